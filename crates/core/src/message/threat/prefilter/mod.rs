//! Which questions are worth asking of a string: one pass over its punctuation, one search for a few words.
//!
//! Letters, digits, spaces and the marks of plain prose are told from the rest by a survey of the whole message. Every
//! other byte is looked at together with its neighbours: an apostrophe between letters asks nothing, a quote followed by `or`
//! asks for SQL. It may suspect the honest; it must not clear the guilty (see [`Signs`]).

mod marks;
mod near;
mod ways;

use std::sync::LazyLock;

use super::decode::HEX_ESCAPES;
use super::signs::Signs;
use super::text::{self, Bytes, bytes, is_space, rest, skip_space, word_at, words};
use crate::message::survey::{Class, Prints, Surveyed};
pub(super) use marks::quote_asks;
use near::Neighbours;

/// A word without white space or punctuation that is shorter than this carries nothing.
const BLAND_BYTES_MAX: usize = 16;

const BLAND: Bytes = bytes!(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-');

/// Letters, digits, `-` and `_` only, and few: names, ids, keys.
#[inline]
pub(super) fn is_bland(text: &[u8]) -> bool {
    text.len() < BLAND_BYTES_MAX && BLAND.has_all(text)
}

/// Hexadecimal digits and dashes where a UUID has them (RFC 9562 section 4): most ids. No grammar begins there, and nothing
/// that unpacks to text: the first dash makes a byte of base64 that is none.
#[inline]
pub(super) fn is_uuid(text: &[u8]) -> bool {
    let Ok(text) = <&[u8; 36]>::try_from(text) else { return false };
    let dashes = [text[8], text[13], text[18], text[23]] == [b'-'; 4];
    // Without an early end, for vectors.
    dashes && text.iter().fold(0, |others, b| others + u8::from(!b.is_ascii_hexdigit())) == 4
}

/// Letters, digits, `_` and single `-` only: no grammar begins there.
#[inline]
pub(super) fn is_one_word(text: Surveyed<'_>) -> bool {
    BLAND.has_all(text.text) && !text.each(Class::Mark).any(|at| rest(text.text, at).starts_with(b"--"))
}

/// Words that matter without any punctuation, and what each shows. Few: the survey has eight buckets for them, and
/// prose has many bytes that may begin one.
const WORDS: &[(&str, Signs)] = &[
    ("select", Signs::STATEMENT),
    ("union", Signs::STATEMENT),
    ("insert", Signs::STATEMENT),
    ("delete", Signs::STATEMENT),
    ("waitfor", Signs::STATEMENT),
    ("document.", Signs::BROWSER),
    ("constructor", Signs::BROWSER),
    ("boot.ini", Signs::PATH),
    ("openrowset", Signs::STATEMENT),
    ("outfile", Signs::STATEMENT),
    ("master..", Signs::STATEMENT),
    ("ro0ab", Signs::CALL),
    ("scriptengine", Signs::CALL),
];

/// A word of SQL goes on as SQL does.
fn goes_on(text: &[u8], word: &str, end: usize) -> bool {
    let next = super::sql::gap(text, end);
    match word {
        "select" => super::sql::selects(rest(text, end)),
        "union" => {
            !byte(text, next).is_ascii_lowercase()
                || words!("all select distinct distinctrow values table").has(word_at(text, next))
        }
        "insert" => is(word_at(text, next), "into"),
        "delete" => words!("from low_priority quick ignore").has(word_at(text, next)),
        "waitfor" => words!("delay time").has(word_at(text, next)),
        _ => true,
    }
}

/// First words of SQL statements that have no word above.
fn opens_statement(text: &[u8]) -> bool {
    words!("drop truncate alter create update exec execute declare grant load shutdown use copy backup")
        .has(word_at(text, 0))
}

/// How the words begin, and what only [`may_peel`](super::decode::may_peel) asks for.
pub(super) static PRINTS: LazyLock<Prints> =
    LazyLock::new(|| Prints::any_case(WORDS.iter().map(|(word, _)| *word).chain(HEX_ESCAPES)));

/// Makes what the first message would else wait for.
pub(super) fn prepare() {
    LazyLock::force(&PRINTS);
    Neighbours::prepare();
}

/// The words of the list that stand in a text, in any case: each with what it shows and the offset behind it.
fn words_in(text: Surveyed<'_>) -> impl Iterator<Item = (&'static str, Signs, usize)> {
    text.each(Class::Word).filter_map(move |third| {
        let here = rest(text.text, third.checked_sub(2)?);
        if !PRINTS.may_begin(here) {
            return None;
        }
        let letter = byte(here, 2);
        WORDS.iter().find_map(|&(word, shown)| {
            let end = third - 2 + word.len();
            // Each word's third letter leaves one or two of them.
            (word.as_bytes().get(2) == Some(&letter) && starts(here, 0, word)).then_some((word, shown, end))
        })
    })
}

/// What a text shows, in any case of its letters.
pub(super) fn signs(text: Surveyed<'_>) -> Signs {
    let mut signs = begins(text.text);
    let mut neighbours = Neighbours::of(signs);
    for at in text.each(Class::Mark) {
        if neighbours.leave_open(text.text, at) {
            let shown = marks::shown_by(text.text, at);
            if !signs.has(shown) {
                signs.add(shown);
                neighbours.close(signs);
            }
        }
    }
    for (word, shown, end) in words_in(text) {
        signs.add(when(!signs.has(shown) && goes_on(text.text, word, end), shown));
    }
    signs
}

/// What its first words show.
fn begins(text: &[u8]) -> Signs {
    when(begins_as_value(text), Signs::VALUE)
        .and(when(opens_statement(text), Signs::STATEMENT))
        .and(when(words!("time nohup setsid stdbuf timeout").has(word_at(text, 0)), Signs::PATH))
}

const NONE: Signs = Signs::NONE;

/// `shown` where a condition holds.
#[inline]
const fn when(condition: bool, shown: Signs) -> Signs {
    if condition { shown } else { NONE }
}

/// The byte at an offset, in lower case; 0 past the end.
#[inline]
fn byte(text: &[u8], at: usize) -> u8 {
    text::byte(text, at).to_ascii_lowercase()
}

/// The byte before an offset, in lower case; 0 at the start.
#[inline]
fn before(text: &[u8], at: usize) -> u8 {
    text::before(text, at).to_ascii_lowercase()
}

/// Whether a word is this one, in any case.
fn is(word: &[u8], other: &str) -> bool {
    word.eq_ignore_ascii_case(other.as_bytes())
}

/// Whether what follows an offset starts with a word, in any case.
fn starts(text: &[u8], at: usize, word: &str) -> bool {
    rest(text, at).get(..word.len()).is_some_and(|here| is(here, word))
}

/// The string begins with a value, or nothing, and goes on with a word that operates on it.
fn begins_as_value(text: &[u8]) -> bool {
    let mut at = text
        .iter()
        .take(8)
        .take_while(|&&b| is_space(b) || matches!(b, b'(' | b'-' | b'+' | b'~' | b'!' | b'@' | b'.' | b'\'' | b'"'))
        .count();
    if is_operator_word(rest(text, at)) {
        return true;
    }
    at += word_at(text, at).len();
    if byte(text, at) == b'.' && byte(text, at + 1).is_ascii_digit() {
        at += 1 + word_at(text, at + 1).len();
    }
    if byte(text, at) == b'=' {
        at += 1 + word_at(text, at + 1).len();
    }
    let mut next = skip_space(text, at);
    while matches!(byte(text, next), b')' | b'/' | b'*' | b'%' | b'\'' | b'"') && next < at + 8 {
        next = skip_space(text, next + 1);
    }
    match byte(text, next) {
        b'a'..=b'z' => is_operator_word(rest(text, next)) || opens_statement(rest(text, next)),
        b'-' => byte(text, next + 1) == b'-',
        b'|' | b'&' | b'#' | b';' => true,
        _ => false,
    }
}

pub(super) fn is_operator_word(text: &[u8]) -> bool {
    let len = text.iter().take(12).take_while(|b| b.is_ascii_alphabetic()).count();
    len > 1
        && text.get(..len).is_some_and(|word| {
            words!(
                "or and xor union having order group limit like rlike regexp between in is div mod not procedure into where select \
                sounds collate as if waitfor when insert offset"
            )
            .has(word)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::survey::{Survey, Wanted};
    use proptest::prelude::*;

    fn all(text: &[u8]) -> Signs {
        let mut survey = Survey::default();
        survey.of(text, Wanted::Prose(&PRINTS));
        signs(Surveyed::at(text, &survey, 0))
    }

    #[test]
    fn a_uuid_is_told_by_its_form() {
        assert!(is_uuid(b"0190b6c2-7d3e-7A10-8f00-3C5Dffa0e411"));
        for other in [
            "0190b6c2-7d3e-7a10-8f00-3c5dffa0e41",
            "0190b6c2-7d3e-7a10-8f00-3c5dffa0e4111",
            "0190b6c2-7d3e-7a10-8f00-3c5dffa0e41g",
            "0190b6c2-7d3e-7a10-8f00--c5dffa0e411",
            "0190b6c2 7d3e-7a10-8f00-3c5dffa0e411",
            "' or 1=1 -- ' or 1=1 -- ' or 1=1 -- ",
        ] {
            assert!(!is_uuid(other.as_bytes()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_uuid_never_unpacks_to_text(id in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", upper: bool) {
            let id = if upper { id.to_ascii_uppercase() } else { id };
            let mut out = Vec::new();
            prop_assert!(super::super::decode::peel(id.as_bytes(), &mut out).is_empty());
        }

        #[test]
        fn case_changes_nothing(
            pieces in prop::collection::vec(
                prop_oneof![
                    "[ -~]{0,6}",
                    prop::sample::select(vec![
                        "' OR ", "Select 1", "uNion aLL", "<ScRipt", "Xp_Cmd", "Exec Sp_", "dBms_", "JavaScript:", "OnError=",
                        "E:", "O:8", "Data:image/PNG", "$A", "{Cat,", "1.E(", "@Import", "-Wrapper", "#Set", "%C0", "Document.",
                        "; Ls", "B-Inf", "+ADw-", "/Etc/", "FILE:", "Eval (", "W[O", "A^B", "C:\\", "..\\",
                    ]).prop_map(str::to_owned),
                ],
                0..8,
            ),
        ) {
            let text = pieces.concat();
            prop_assert_eq!(all(text.as_bytes()), all(text.to_ascii_lowercase().as_bytes()), "{}", text);
            prop_assert_eq!(all(text.as_bytes()), all(text.to_ascii_uppercase().as_bytes()), "{}", text);
        }
    }
}
