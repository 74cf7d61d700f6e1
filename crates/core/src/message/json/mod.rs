//! Strict JSON (RFC 8259) in one pass, without a tree: what is refused, and where the strings stand.
//!
//! Input: the bytes of one message, already UTF-8. Output: the spans of every string (keys and values) and
//! of the fields that were asked for by JSON Pointer (RFC 6901), in a [`Scan`] that is reused from message
//! to message. Refused are malformed text, duplicate keys (compared decoded), lone surrogates, a byte order
//! mark, control characters, and whatever is deeper, longer or more than [`Bounds`] allow.
//!
//! It never recurses, never builds a tree, never copies a string that has no escapes. Memory is bounded by
//! `Bounds`: 8 bytes a level, 12 a string, 24 a key, 20 a
//! field that fits a pattern, 4–8 more for each key of an object with many; and 32 KiB for the keys that texts of late had.
//! Tests: beside each file, and `tests/json_suite.rs` (JSONTestSuite; `serde_json` as oracle).

mod keys;
mod number;
pub mod pointer;
mod scan;
mod shape;
mod string;

pub(crate) use keys::hash as seeded_hash;
pub use pointer::Pointers;
pub use scan::{Mark, Scan, Value, ValueKind};
pub(crate) use string::plain_run;
pub use string::{StringSpan, decode_into};

use crate::policy::checked;

/// The most one message may hold. All are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Nesting; a scalar alone has depth 0.
    pub depth_max: u32,
    /// Object keys in the message.
    pub keys_max: u32,
    /// Values in the message, containers included.
    pub values_max: u32,
    /// Bytes of one string after decoding.
    pub string_bytes_max: u32,
}

impl From<&checked::Json> for Bounds {
    fn from(json: &checked::Json) -> Self {
        Self {
            depth_max: json.depth_max,
            keys_max: json.keys_max,
            values_max: json.values_max,
            string_bytes_max: json.string_bytes_max,
        }
    }
}

/// Longest text that can be scanned, bytes: offsets are 32 bits wide.
pub const TEXT_BYTES_MAX: usize = u32::MAX as usize - 1;

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not JSON.
    Malformed(&'static str),
    /// An object has a key twice.
    DuplicateKey,
    /// Nesting past `depth_max`.
    TooDeep,
    /// Keys past `keys_max`.
    TooManyKeys,
    /// Values past `values_max`.
    TooManyValues,
    /// A string past `string_bytes_max`.
    StringTooLong,
}

/// A refusal and the byte it happened at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub fault: Fault,
    /// Offset into the text, bytes.
    pub at: usize,
}

impl Refusal {
    /// In words, for operators.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}, at byte {}", self.fault.words(), self.at)
    }
}

impl Fault {
    /// In words, for operators.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::DuplicateKey => "a key stands twice in one object",
            Self::TooDeep => "nesting is deeper than `json.depth_max`",
            Self::TooManyKeys => "more keys than `json.keys_max`",
            Self::TooManyValues => "more values than `json.values_max`",
            Self::StringTooLong => "a string is longer than `json.string_bytes_max`",
        }
    }
}
