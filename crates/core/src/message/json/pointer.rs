//! JSON Pointers (RFC 6901), compiled: which fields a scan is asked to note.

use std::sync::Arc;

/// Pointers one scan can follow: a bit each.
pub const POINTERS_MAX: usize = 64;

/// Why a pointer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// RFC 6901 section 3.
    #[error("`{0}` is not a JSON Pointer: it must be empty or begin with `/`, and `~` must be `~0` or `~1`")]
    Malformed(String),
    /// Past [`POINTERS_MAX`].
    #[error("more than {POINTERS_MAX} fields are named for one direction; name fewer")]
    TooMany,
}

/// A set of pointers; each has a number, its place in the set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointers {
    list: Vec<Vec<Token>>,
    depth_max: usize,
    /// Those whose every field is noted: see [`Pointers::add_each`].
    each: u64,
    /// Shared with copies of this very set only.
    identity: Arc<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    name: Box<[u8]>,
    index: Option<u32>,
    /// `*`, in a pattern: any member, any element.
    any: bool,
}

impl Pointers {
    /// Adds a pointer and tells its number; one that is there already keeps its number.
    ///
    /// # Errors
    /// When it is not a pointer, or one too many.
    pub fn add(&mut self, pointer: &str) -> Result<usize, PointerError> {
        self.enter(parse(pointer).ok_or_else(|| PointerError::Malformed(pointer.to_owned()))?)
    }

    /// Adds a pattern: a pointer in which the step `*` stands for any member or element. Every field that fits is noted,
    /// see [`super::Scan::marks`].
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_each(&mut self, pattern: &str) -> Result<usize, PointerError> {
        let mut tokens = parse(pattern).ok_or_else(|| PointerError::Malformed(pattern.to_owned()))?;
        for token in &mut tokens {
            token.any = token.name.as_ref() == b"*";
        }
        let number = self.enter(tokens)?;
        self.each |= 1 << number;
        Ok(number)
    }

    fn enter(&mut self, tokens: Vec<Token>) -> Result<usize, PointerError> {
        self.identity = Arc::default();
        if let Some(known) = self.list.iter().position(|have| *have == tokens) {
            return Ok(known);
        }
        if self.list.len() == POINTERS_MAX {
            return Err(PointerError::TooMany);
        }
        self.depth_max = self.depth_max.max(tokens.len());
        self.list.push(tokens);
        Ok(self.list.len() - 1)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What tells this set from others while it lives.
    pub(super) const fn identity(&self) -> &Arc<()> {
        &self.identity
    }

    /// Those added as patterns.
    pub(super) fn each(&self) -> u64 {
        self.each
    }

    /// The deepest level any pointer reaches.
    pub(super) fn depth_max(&self) -> usize {
        self.depth_max
    }

    /// Pointers that end at the root.
    pub(super) fn at_root(&self) -> u64 {
        self.list.iter().enumerate().filter(|(_, tokens)| tokens.is_empty()).fold(0, |hits, (n, _)| hits | 1 << n)
    }

    /// A member or element at `depth` (1 is the root's) begins: follows those whose next step it is, and
    /// tells which end here.
    pub(super) fn step(&self, progress: &mut [u16], depth: usize, is_it: impl Fn(Step<'_>) -> bool) -> u64 {
        let before = u16::try_from(depth - 1).unwrap_or(u16::MAX);
        let mut hits = 0;
        for (number, (tokens, reached)) in self.list.iter().zip(progress).enumerate() {
            *reached = (*reached).min(before);
            if *reached != before {
                continue;
            }
            let Some(token) = tokens.get(depth - 1) else { continue };
            if token.any || is_it(Step { name: &token.name, index: token.index }) {
                *reached += 1;
                hits |= u64::from(tokens.len() == depth) << number;
            }
        }
        hits
    }
}

/// One step of a pointer: a member's name, or an element's number where it reads as one.
pub(super) struct Step<'p> {
    pub(super) name: &'p [u8],
    pub(super) index: Option<u32>,
}

fn parse(pointer: &str) -> Option<Vec<Token>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    pointer.strip_prefix('/')?.split('/').map(token).collect()
}

fn token(text: &str) -> Option<Token> {
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'~' => match bytes.next()? {
                b'0' => b'~',
                b'1' => b'/',
                _ => return None,
            },
            other => other,
        });
    }
    // RFC 6901 section 4: no leading zeros.
    let index =
        if text == "0" || (text.starts_with(|c: char| matches!(c, '1'..='9'))) { text.parse().ok() } else { None };
    Some(Token { name: name.into(), index, any: false })
}

/// Appends one step to a pointer, escaped; what would pass `bytes_max` is left out. False when it was.
pub(crate) fn push_step(pointer: &mut String, name: &str, bytes_max: usize) -> bool {
    let before = pointer.len();
    pointer.push('/');
    let mut rest = name.chars();
    while pointer.len() <= bytes_max {
        match rest.next() {
            None => return true,
            Some('~') => pointer.push_str("~0"),
            Some('/') => pointer.push_str("~1"),
            // A name is a client's; control characters have no place in a log line.
            Some(c) if c.is_control() => pointer.push('\u{fffd}'),
            Some(c) => pointer.push(c),
        }
    }
    pointer.truncate(before);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_a_name_takes_its_place_too() {
        let mut pointer = "/abc".to_owned();
        assert!(!push_step(&mut pointer, "", 4));
        assert_eq!(pointer, "/abc");
        assert!(push_step(&mut pointer, "", 5));
        assert!(push_step(&mut pointer, "a~", 9));
        assert_eq!(pointer, "/abc//a~0");
        assert!(!push_step(&mut pointer, "é", 11));
        assert_eq!(pointer, "/abc//a~0");
    }

    #[test]
    fn pointers_are_those_of_the_rfc() {
        let mut set = Pointers::default();
        for good in ["", "/", "/a", "/a~1b", "/m~0n", "/0", "/a/01"] {
            assert!(set.add(good).is_ok(), "{good}");
        }
        for bad in ["a", "/a~", "/a~2"] {
            assert!(matches!(set.add(bad), Err(PointerError::Malformed(_))), "{bad}");
        }
        assert_eq!(set.add("/a").unwrap(), 2);
        assert_eq!(token("a~1~0").unwrap().name.as_ref(), b"a/~");
        assert_eq!(token("01").unwrap().index, None);
        assert_eq!(token("10").unwrap().index, Some(10));
    }

    #[test]
    fn one_pointer_more_than_bits_is_refused() {
        let mut set = Pointers::default();
        for n in 0..POINTERS_MAX {
            set.add(&format!("/f{n}")).unwrap();
        }
        assert_eq!(set.add("/one_more"), Err(PointerError::TooMany));
        assert_eq!(set.add("/f0"), Ok(0));
    }
}
