//! What must not leave (SPEC 8.5): credentials and keys, payment cards, national numbers, errors of databases and
//! programs, records in bulk.
//!
//! Decides over the bytes of a whole message, whatever its form: no JSON is parsed, for what a backend answers is its
//! own. One survey for the marks of secrets and for runs of digits; where a mark stands, a validator reads the
//! grammar of the thing (alphabet, length, checksum). Linear, without recursion; allocates nothing for a message that
//! carries nothing. Output: the first [`Leak`] of the wanted classes. Never repeats what it found: a [`Leak`] says kind
//! and place. Cases stand beside each kind.

mod bulk;
mod credential;
mod digits;
mod escapes;
mod failure;
mod forms;
mod issuers;
mod mask;
mod rules;

use std::sync::LazyLock;

use crate::message::survey::{Class, Prints, Survey, Surveyed, Wanted};
use crate::message::threat::named;
pub use escapes::without_escapes;
pub use mask::{Unmaskable, mask};
pub use rules::{Rule, rules};

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

    /// The name in findings.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Card => "card",
            Self::Personal => "personal",
            Self::Error => "error",
            Self::Bulk => "bulk",
        }
    }

    /// Where it is explained, in the manual.
    #[must_use]
    pub const fn page(self) -> &'static str {
        match self {
            Self::Credential => "docs/threats.md#credential",
            Self::Card => "docs/threats.md#card",
            Self::Personal => "docs/threats.md#personal",
            Self::Error => "docs/threats.md#error",
            Self::Bulk => "docs/threats.md#bulk",
        }
    }
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

impl Leak {
    /// The name of its rule: `credential/an-aws-access-key`.
    #[must_use]
    pub fn rule_name(&self) -> String {
        named(self.class.label(), self.what)
    }
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

/// All marks. Their first three bytes are looked for by the survey.
static MARKS: LazyLock<Surveying> = LazyLock::new(|| {
    let marks = Marks::new(credential::MARKS, failure::MARKS);
    let prints = Prints::exact(marks.needles.iter().copied());
    let mut by_first = vec![Vec::new(); 256];
    for (number, needle) in marks.needles.iter().enumerate() {
        if let Some(numbers) = needle.bytes().next().and_then(|first| by_first.get_mut(usize::from(first))) {
            numbers.push(number);
        }
    }
    Surveying { marks, prints, by_first }
});

/// Marks that a survey finds.
struct Surveying {
    marks: Marks,
    prints: Prints,
    /// The marks that begin with a byte.
    by_first: Vec<Vec<usize>>,
}

impl Surveying {
    fn find(&self, all: Surveyed<'_>, wanted: LeakSet) -> Option<Leak> {
        let mut leaks = self.leaks(all, wanted);
        let leak = leaks.next()?;
        if leak.what != credential::VARIABLE {
            return Some(leak);
        }
        // What is in the variable may say better itself what it is.
        let value = credential::extent(all.text, leak.what, leak.at);
        let more = leaks.take_while(|other| other.at < value.end);
        more.filter(|other| other.class == leak.class && value.contains(&other.at)).last().or(Some(leak))
    }

    fn leaks(&self, all: Surveyed<'_>, wanted: LeakSet) -> impl Iterator<Item = Leak> {
        let mut judged = 0;
        all.each(Class::Word).filter_map(move |third| {
            let at = third.checked_sub(2)?;
            if !self.prints.may_begin(rest(all.text, at)) {
                return None;
            }
            let numbers = self.by_first.get(usize::from(byte(all.text, at)))?;
            numbers.iter().find_map(|&number| {
                let stands = rest(all.text, at).starts_with(self.marks.needles.get(number)?.as_bytes());
                if stands { self.marks.judge(number, all.text, at, wanted, &mut judged) } else { None }
            })
        })
    }
}

struct Marks {
    needles: Vec<&'static str>,
    validators: Vec<(LeakClass, Validator)>,
}

impl Marks {
    fn new(credentials: &[(&'static str, Validator)], errors: &[(&'static str, Validator)]) -> Self {
        let mut marks = Self { needles: Vec::new(), validators: Vec::new() };
        for (class, list) in [(LeakClass::Credential, credentials), (LeakClass::Error, errors)] {
            for (needle, validator) in list {
                marks.needles.push(*needle);
                marks.validators.push((class, *validator));
            }
        }
        marks
    }

    /// What a mark's validator says of the text around it.
    #[cold]
    fn judge(&self, number: usize, text: &[u8], at: usize, wanted: LeakSet, judged: &mut usize) -> Option<Leak> {
        let (class, validator) = self.validators.get(number).filter(|(class, _)| wanted.contains(*class))?;
        *judged += 1;
        if *judged > JUDGED_MAX {
            return Some(Leak { class: *class, what: "a text full of marks", at });
        }
        validator(text, at).map(|what| Leak { class: *class, what, at })
    }
}

/// The first leak of a message among `wanted`. `records_max`: records of persons beyond which they are bulk.
#[must_use]
pub fn find(text: &[u8], wanted: LeakSet, records_max: usize) -> Option<Leak> {
    find_in(text, &surveyed(text), wanted, records_max)
}

/// Makes what a search needs, which else the first message would.
pub(crate) fn prepare() {
    LazyLock::force(&MARKS);
}

/// What [`find_in`] asks of a text.
fn surveyed(text: &[u8]) -> Survey {
    let mut survey = Survey::default();
    survey_for_leaks(&mut survey, text);
    survey
}

/// Looks at a text for what [`find_in`] asks of it.
pub(crate) fn survey_for_leaks(survey: &mut Survey, text: &[u8]) {
    survey.of(text, Wanted::All(&MARKS.prints));
}

/// The same of a message that a survey has looked at.
pub(crate) fn find_in(text: &[u8], survey: &Survey, wanted: LeakSet, records_max: usize) -> Option<Leak> {
    if wanted.is_empty() {
        return None;
    }
    let all = Surveyed::at(text, survey, 0);
    let mut seen = bulk::Seen::default();
    MARKS
        .find(all, wanted)
        .or_else(|| {
            if !wanted.contains(LeakClass::Credential) {
                seen = bulk::Seen::UNKNOWN;
                return None;
            }
            let (what, at) = credential::find(all, &mut seen)?;
            Some(Leak { class: LeakClass::Credential, what, at })
        })
        .or_else(|| digits::find(text, survey, 0, wanted))
        .or_else(|| if wanted.contains(LeakClass::Bulk) { bulk::find(all, records_max, seen) } else { None })
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
    fn a_secret_in_a_variable_is_called_what_it_is() {
        let what = |text: &str| find(text.as_bytes(), all(), 20).map(|leak| (leak.what, leak.at));
        let token = format!("hvs.{}", "CAESIJ3kL9".repeat(3));
        assert_eq!(what(&format!("MY_TOKEN={token} set")), Some(("a Vault token", 9)));
        assert_eq!(what(&format!("MY_TOKEN=Zx81-kkQ0-a and {token}")), Some(("a secret in a variable", 2)));
    }

    #[test]
    fn the_marks_are_searched() {
        for mark in &MARKS.marks.needles {
            let survey = surveyed(mark.as_bytes());
            assert!(survey.each(Class::Word, 0..mark.len()).any(|third| third == 2), "{mark}");
            assert!(MARKS.prints.may_begin(mark.as_bytes()), "{mark}");
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
