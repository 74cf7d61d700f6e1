//! Which encodings were undone before an attack showed.

use std::fmt;

/// A set of encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encodings(u8);

const NAMES: [(Encodings, &str); 6] = [
    (Encodings::PERCENT, "percent"),
    (Encodings::ENTITY, "html entity"),
    (Encodings::BACKSLASH, "backslash escape"),
    (Encodings::FULL_WIDTH, "full-width"),
    (Encodings::HEX, "hex"),
    (Encodings::BASE64, "base64"),
];

impl Encodings {
    pub(super) const PERCENT: Self = Self(1);
    pub(super) const ENTITY: Self = Self(2);
    pub(crate) const BACKSLASH: Self = Self(4);
    pub(super) const FULL_WIDTH: Self = Self(8);
    pub(super) const HEX: Self = Self(16);
    pub(super) const BASE64: Self = Self(32);

    /// Whether nothing was undone.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Their names, joined by commas.
impl fmt::Display for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (_, name) in NAMES.iter().filter(|(one, _)| self.0 & one.0 != 0) {
            write!(f, "{between}{name}")?;
            between = ", ";
        }
        Ok(())
    }
}
