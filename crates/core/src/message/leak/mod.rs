//! What must not leave (SPEC 8.5): credentials and keys, payment cards, national numbers, errors of databases and
//! programs, records in bulk.
//!
//! Decides over the bytes of a whole message, whatever its form: no JSON is parsed, for what a backend answers is its
//! own. One search for the marks of secrets and one look at runs of digits; where a mark stands, a validator reads the
//! grammar of the thing (alphabet, length, checksum). Linear, without recursion; allocates nothing for a message that
//! carries nothing. Output: the first [`Leak`] of the wanted classes. Never repeats what it found: a [`Leak`] says kind
//! and place. Cases stand beside each kind.

mod bulk;
mod credential;
mod digits;
mod failure;
mod mask;

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind, packed};

pub use mask::{Unmaskable, mask};

/// Kinds of what must not leave.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LeakClass {
    /// Keys, tokens, passwords in addresses, password hashes, account files.
    Credential,
    /// Payment card numbers with a valid check digit.
    Card,
    /// National numbers and bank accounts that check.
    Personal,
    /// Errors of databases, stack traces, program text.
    Error,
    /// Records of many people at once.
    Bulk,
}

impl LeakClass {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Credential, Self::Card, Self::Personal, Self::Error, Self::Bulk];
}

/// What was found, and where; nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// Its class.
    pub class: LeakClass,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Offset in the message, bytes.
    pub at: usize,
}

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeakSet(u8);

impl LeakSet {
    /// Whether a class is in it.
    #[must_use]
    pub const fn contains(self, class: LeakClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// Puts a class in.
    pub const fn insert(&mut self, class: LeakClass) {
        self.0 |= 1 << class as u8;
    }

    /// Takes a class out.
    pub const fn remove(&mut self, class: LeakClass) {
        self.0 &= !(1 << class as u8);
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<LeakClass> for LeakSet {
    fn from_iter<I: IntoIterator<Item = LeakClass>>(classes: I) -> Self {
        Self(classes.into_iter().fold(0, |set, class| set | 1 << class as u8))
    }
}

/// Marks judged in one message; a text with more of them is no talk, and judging them all would cost too much.
const JUDGED_MAX: usize = 1_000;

/// The validator of a mark: looks at the text around its offset.
type Validator = fn(&[u8], usize) -> Option<&'static str>;

/// Marks without two capitals in a row, and the class of each.
static MARKS: LazyLock<Marks> = LazyLock::new(|| Marks::new(credential::MARKS, failure::MARKS));
/// Marks with them; prose has none, so these are not searched for in most messages.
static CAPITAL_MARKS: LazyLock<Marks> = LazyLock::new(|| Marks::new(credential::CAPITAL_MARKS, failure::CAPITAL_MARKS));

struct Marks {
    searcher: Searcher,
    validators: Vec<(LeakClass, Validator)>,
}

impl Marks {
    fn new(credentials: &[(&'static str, Validator)], errors: &[(&'static str, Validator)]) -> Self {
        let mut needles = Vec::new();
        let mut validators = Vec::new();
        for (class, list) in [(LeakClass::Credential, credentials), (LeakClass::Error, errors)] {
            for (needle, validator) in list {
                needles.push(*needle);
                validators.push((class, *validator));
            }
        }
        Self { searcher: Searcher::new(&needles), validators }
    }

    fn find(&self, text: &[u8], wanted: LeakSet) -> Option<Leak> {
        let mut judged = 0;
        self.searcher.each(text, |number, at| {
            let (class, validator) = self.validators.get(number).filter(|(class, _)| wanted.contains(*class))?;
            judged += 1;
            if judged > JUDGED_MAX {
                return Some(Leak { class: *class, what: "a text full of marks", at });
            }
            validator(text, at).map(|what| Leak { class: *class, what, at })
        })
    }
}

/// Whether two capital letters stand side by side.
fn has_capitals(text: &[u8]) -> bool {
    let after = text.get(1..).unwrap_or_default();
    let ((blocks, tail), (afters, _)) = (text.as_chunks::<32>(), after.as_chunks::<32>());
    for (block, after) in blocks.iter().zip(afters) {
        let mut both = 0_u8;
        // Branchless on purpose: a loop over a fixed chunk becomes SIMD.
        for (a, b) in block.iter().zip(after) {
            both |= u8::from(a.wrapping_sub(b'A') < 26) & u8::from(b.wrapping_sub(b'A') < 26);
        }
        if both != 0 {
            return true;
        }
    }
    let tail = text.get(text.len() - (tail.len() + 32).min(text.len())..).unwrap_or_default();
    tail.windows(2).any(|pair| pair.iter().all(u8::is_ascii_uppercase))
}

/// With SIMD where the machine has it.
enum Searcher {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
    /// Never: the words are fixed. Were it so, nothing would be marked; a test says that it is not.
    Nothing,
}

impl Searcher {
    fn new(needles: &[&str]) -> Self {
        let packed =
            packed::Config::new().match_kind(packed::MatchKind::LeftmostFirst).builder().extend(needles).build();
        packed.map(Self::Packed).unwrap_or_else(|| {
            let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(needles);
            automaton.map_or(Self::Nothing, Self::Automaton)
        })
    }

    /// Calls `seen` with number and place of each mark until it has an answer.
    fn each<T>(&self, text: &[u8], mut seen: impl FnMut(usize, usize) -> Option<T>) -> Option<T> {
        match self {
            Self::Packed(searcher) => searcher.find_iter(text).find_map(|m| seen(m.pattern().as_usize(), m.start())),
            Self::Automaton(searcher) => searcher.find_iter(text).find_map(|m| seen(m.pattern().as_usize(), m.start())),
            Self::Nothing => None,
        }
    }
}

/// The first leak of a message among `wanted`. `records_max`: records of persons beyond which they are bulk.
#[must_use]
pub fn find(text: &[u8], wanted: LeakSet, records_max: usize) -> Option<Leak> {
    if wanted.is_empty() {
        return None;
    }
    MARKS
        .find(text, wanted)
        .or_else(|| if has_capitals(text) { CAPITAL_MARKS.find(text, wanted) } else { None })
        .or_else(|| {
            let (what, at) = wanted.contains(LeakClass::Credential).then(|| credential::find(text)).flatten()?;
            Some(Leak { class: LeakClass::Credential, what, at })
        })
        .or_else(|| digits::find(text, 0, wanted))
        .or_else(|| if wanted.contains(LeakClass::Bulk) { bulk::find(text, records_max) } else { None })
}

/// The byte at an offset; 0 past the end.
#[inline]
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The byte before an offset; 0 at the start.
#[inline]
fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte(text, at))
}

/// What follows an offset.
#[inline]
fn rest(text: &[u8], at: usize) -> &[u8] {
    text.get(at..).unwrap_or_default()
}

/// Bytes from an offset that a test accepts, at most `most`.
fn run(text: &[u8], at: usize, most: usize, accepts: impl Fn(u8) -> bool) -> usize {
    rest(text, at).iter().take(most).take_while(|&&b| accepts(b)).count()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a token may begin here. `\n` and the like of JSON count as an edge.
fn is_edge(text: &[u8], at: usize) -> bool {
    let last = before(text, at);
    !is_word(last) && last != b'-' || at >= 2 && byte(text, at - 2) == b'\\' && matches!(last, b'n' | b'r' | b't')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> LeakSet {
        LeakClass::ALL.into_iter().collect()
    }

    pub(super) fn class(text: &str) -> Option<LeakClass> {
        find(text.as_bytes(), all(), 20).map(|leak| leak.class)
    }

    #[test]
    fn the_marks_are_searched() {
        for marks in [&*MARKS, &*CAPITAL_MARKS] {
            assert!(!matches!(marks.searcher, Searcher::Nothing));
            assert!(marks.validators.len() <= 32, "past 32 the search takes twice as long");
        }
        let shortest = credential::MARKS.iter().chain(failure::MARKS).map(|(mark, _)| mark.len()).min();
        assert!(shortest >= Some(4), "the search skips by the shortest mark");
        for (mark, _) in credential::CAPITAL_MARKS.iter().chain(failure::CAPITAL_MARKS) {
            assert!(has_capitals(mark.as_bytes()), "{mark}");
        }
    }

    #[test]
    fn a_text_full_of_marks_is_not_judged_to_its_end() {
        assert_eq!(class(&"SQL ".repeat(JUDGED_MAX)), None);
        assert_eq!(class(&"SQL ".repeat(JUDGED_MAX + 1)), Some(LeakClass::Error));
    }

    #[test]
    fn only_wanted_classes_are_found() {
        let card = "pay with 4111 1111 1111 1111";
        assert_eq!(class(card), Some(LeakClass::Card));
        let wanted: LeakSet = [LeakClass::Credential, LeakClass::Error].into_iter().collect();
        assert_eq!(find(card.as_bytes(), wanted, 20), None);
        assert_eq!(find(card.as_bytes(), LeakSet::default(), 20), None);
    }

    proptest! {
        #[test]
        fn capitals_are_seen_wherever_they_stand(text in "[a-zA-Z ]{0,3}[a-z A]{0,60}[a-zA-Z]{0,3}[a-z ]{0,40}") {
            let obvious = text.as_bytes().windows(2).any(|pair| pair.iter().all(u8::is_ascii_uppercase));
            prop_assert_eq!(has_capitals(text.as_bytes()), obvious);
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = find(&text, all(), 3);
        }

        #[test]
        fn no_pieces_of_secrets_make_it_panic(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "AKIA", "ghp_", "eyJ", "-----BEGIN ", "://", "$2b$", ":x:", "SQL", "at ", "@", "4111", "-", "078-05-",
                "\\n", ".", "xoxb-", "DE", "Exception", "\n", " ", "é",
            ]), 0..40),
        ) {
            let _ = find(pieces.concat().as_bytes(), all(), 3);
        }
    }
}
