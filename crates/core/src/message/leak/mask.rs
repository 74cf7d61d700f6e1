//! What was found, made unreadable: each byte of it becomes `*`, in place. A card keeps its last four digits, an address
//! its host; of an error the whole text goes, of records in bulk every e-mail address.
//!
//! JSON stays JSON of the same shape: nothing outside a string's quotes changes, no escape is cut in half; a number that
//! is a card becomes a string. What stands in a key cannot be masked, for two keys could become one. Afterwards the text
//! is searched again, and one that still holds something is given up.

use std::ops::Range;

use super::{Leak, LeakClass, LeakSet, bulk, byte, credential, digits, find};
use crate::message::json::StringSpan;
use crate::message::rewrite::{Edit, splice};

/// Credentials and errors masked in one message: each takes a search of the whole.
const SEARCHES_MAX: usize = 64;
/// Digits of a card that may be read.
const CARD_DIGITS_KEPT: usize = 4;

/// Why a message cannot be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmaskable {
    /// It stands in a key.
    Key,
    /// There is too much of it, or something is left.
    Left,
}

impl Unmaskable {
    /// In words, for operators.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Key => "it stands in a key, which cannot be masked",
            Self::Left => "there is too much of it to be masked",
        }
    }
}

/// The text without what the classes of `wanted` find in it. `strings`: those of a message that is JSON, keys included,
/// in their order.
///
/// # Errors
/// [`Unmaskable`]: the message must not go on.
pub fn mask(
    text: &[u8],
    wanted: LeakSet,
    records_max: usize,
    strings: Option<&[StringSpan]>,
) -> Result<Vec<u8>, Unmaskable> {
    let mut masking = Masking { text: text.to_vec(), strings, numbers: Vec::new() };
    masking.numbers(wanted)?;
    // Searched one after another: where a credential ends is known only once it is found.
    let mut searched = 0;
    while let Some(found) = find(&masking.text, wanted, records_max) {
        searched += 1;
        if searched > SEARCHES_MAX {
            return Err(Unmaskable::Left);
        }
        let before = masking.left();
        masking.found(&found)?;
        if masking.left() == before {
            return Err(Unmaskable::Left);
        }
    }
    Ok(masking.finish())
}

struct Masking<'m> {
    text: Vec<u8>,
    strings: Option<&'m [StringSpan]>,
    /// Number tokens of JSON that are masked, to be quoted.
    numbers: Vec<Range<usize>>,
}

impl Masking<'_> {
    /// Bytes that can be read; masking must make them fewer.
    fn left(&self) -> usize {
        self.text.iter().filter(|b| **b != b'*').count()
    }

    /// Every card, national number and account, in one pass.
    fn numbers(&mut self, wanted: LeakSet) -> Result<(), Unmaskable> {
        // Stars take the place of digits that were looked at, so that it stays true for those to come.
        let survey = super::surveyed(&self.text);
        let mut from = 0;
        while let Some(found) = digits::find(&self.text, &survey, from, wanted) {
            let end = digits::end(&self.text, found.class, found.at);
            let kept = if found.class == LeakClass::Card { CARD_DIGITS_KEPT } else { 0 };
            self.number(found.at..end, kept)?;
            from = end.max(found.at + 1);
        }
        Ok(())
    }

    /// Digits and letters become stars but for the last; what separates groups stays.
    fn number(&mut self, range: Range<usize>, kept: usize) -> Result<(), Unmaskable> {
        let range = self.within(range)?;
        let bytes = self.text.get_mut(range).unwrap_or_default();
        let masked = bytes.iter().filter(|b| b.is_ascii_alphanumeric()).count().saturating_sub(kept);
        bytes.iter_mut().filter(|b| b.is_ascii_alphanumeric()).take(masked).for_each(|b| *b = b'*');
        Ok(())
    }

    fn found(&mut self, found: &Leak) -> Result<(), Unmaskable> {
        match found.class {
            LeakClass::Credential => {
                let range = self.within(credential::extent(&self.text, found.what, found.at))?;
                self.fill(range);
            }
            LeakClass::Card | LeakClass::Personal => self.numbers([found.class].into_iter().collect())?,
            LeakClass::Error => {
                let range = match self.strings {
                    None => 0..self.text.len(),
                    Some(_) => self.string(found.at)?.map_or(0..0, |span| span.start as usize..span.end as usize),
                };
                self.fill(range);
            }
            LeakClass::Bulk => {
                let ranges: Vec<Range<usize>> = bulk::addresses(&self.text).collect();
                for range in ranges {
                    let range = self.within(range)?;
                    self.fill(range);
                }
            }
        }
        Ok(())
    }

    fn fill(&mut self, range: Range<usize>) {
        self.text.get_mut(range).unwrap_or_default().fill(b'*');
    }

    /// The string around an offset; `None` where none is.
    fn string(&self, at: usize) -> Result<Option<StringSpan>, Unmaskable> {
        let strings = self.strings.unwrap_or_default();
        let after = strings.partition_point(|span| span.start as usize <= at);
        let span = after.checked_sub(1).and_then(|number| strings.get(number)).filter(|span| at < span.end as usize);
        if span.is_some_and(|span| span.key) {
            return Err(Unmaskable::Key);
        }
        Ok(span.copied())
    }

    /// What may be written of a range, so that JSON stays JSON.
    fn within(&mut self, range: Range<usize>) -> Result<Range<usize>, Unmaskable> {
        let range = range.start.min(self.text.len())..range.end.min(self.text.len());
        if self.strings.is_none() {
            return Ok(range);
        }
        let Some(span) = self.string(range.start)? else {
            let token = self.token(range.start);
            let range = range.start..range.end.min(token.end);
            if !self.numbers.contains(&token) {
                self.numbers.push(token);
            }
            return Ok(range);
        };
        let edge = |at: usize| escape(&self.text, at).filter(|escape| escape.start >= span.start as usize);
        let start = edge(range.start).map_or(range.start, |escape| escape.end);
        let end = range.end.min(span.end as usize);
        let end = edge(end).map_or(end, |escape| escape.end);
        Ok(start..end.max(start))
    }

    /// The number token around an offset.
    fn token(&self, at: usize) -> Range<usize> {
        let is_part = |b: &&u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'*');
        let before = self.text.get(..at).map_or(0, |head| head.iter().rev().take_while(is_part).count());
        let after = self.text.get(at..).map_or(0, |tail| tail.iter().take_while(is_part).count());
        at - before..at + after
    }

    fn finish(self) -> Vec<u8> {
        if self.numbers.is_empty() {
            return self.text;
        }
        let quoted = |token: &Range<usize>| {
            let digits = self.text.get(token.clone()).unwrap_or_default();
            Edit { range: token.clone(), new: [b"\"", digits, b"\""].concat().into() }
        };
        splice(&self.text, self.numbers.iter().map(quoted).collect())
    }
}

/// The escape of JSON that an offset lies inside of, not at its edge.
fn escape(text: &[u8], at: usize) -> Option<Range<usize>> {
    let head = text.get(at.saturating_sub(5)..at)?;
    let start = at - head.len() + head.iter().rposition(|b| *b == b'\\')?;
    let row = text.get(..=start)?.iter().rev().take_while(|b| **b == b'\\').count();
    // Of an even row each second one is itself escaped; the last one begins nothing, but may end before `at`.
    let (start, len) =
        if row % 2 == 1 { (start, if byte(text, start + 1) == b'u' { 6 } else { 2 }) } else { (start - 1, 2) };
    (start < at && at < start + len).then(|| start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::json::{Bounds, Pointers, Scan};
    use proptest::prelude::*;
    use serde_json::Value;

    const BOUNDS: Bounds = Bounds { depth_max: 64, keys_max: 10_000, values_max: 10_000, string_bytes_max: 1 << 20 };

    fn all() -> LeakSet {
        LeakClass::ALL.into_iter().collect()
    }

    fn masked(text: &str) -> Result<String, Unmaskable> {
        let mut scan = Scan::seeded(1);
        let is_json = scan.run(text.as_bytes(), &BOUNDS, &Pointers::default()).is_ok();
        let strings = is_json.then(|| scan.strings());
        mask(text.as_bytes(), all(), 3, strings).map(|text| String::from_utf8(text).unwrap())
    }

    /// Symbols of many kinds, assembled so that no scanner of repositories takes them for a secret.
    fn filler(len: usize) -> String {
        "Ab3dE5fG7hJ9kL2mN4pQ6rS8tU".chars().cycle().take(len).collect()
    }

    #[test]
    fn each_kind_is_masked_as_far_as_it_must() {
        let token = format!("ghp_{}", filler(36));
        let key = format!(r#"{{"k":"-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n, ok"}}"#, filler(40));
        for (text, expected) in [
            ("card 4111 1111 1111 1111, thanks".to_owned(), "card **** **** **** 1111, thanks".to_owned()),
            (r#"{"pan":"4111111111111111","x":1}"#.into(), r#"{"pan":"************1111","x":1}"#.into()),
            (r#"{"pan":4111111111111111,"x":1}"#.into(), r#"{"pan":"************1111","x":1}"#.into()),
            (r#"[4111111111111111, 5555555555554444]"#.into(), r#"["************1111", "************4444"]"#.into()),
            (r#"{"a":"x\n378282246310005"}"#.into(), r#"{"a":"x\n***********0005"}"#.into()),
            ("ssn 219-09-9999".into(), "ssn ***-**-****".into()),
            ("GB82 WEST 1234 5698 7654 32 please".into(), "**** **** **** **** **** ** please".into()),
            (
                format!(r#"{{"a":"{token}","b":"{token} and more"}}"#),
                format!(r#"{{"a":"{0}","b":"{0} and more"}}"#, "*".repeat(40)),
            ),
            (
                format!(r#"{{"a":"ya29.{}\/{}\u0041 x"}}"#, filler(30), filler(9)),
                format!(r#"{{"a":"{} x"}}"#, "*".repeat(5 + 30 + 2 + 9 + 6)),
            ),
            (
                format!("postgres://app:{}@db.internal:5432/prod", filler(12)),
                "postgres://app:************@db.internal:5432/prod".into(),
            ),
            (key.clone(), format!(r#"{{"k":"{}\n, ok"}}"#, "*".repeat(key.len() - r#"{"k":"\n, ok"}"#.len()))),
            (
                r#"{"f":"a\nroot:x:0:0:root:/root:/bin/bash\nb"}"#.into(),
                format!(r#"{{"f":"a\n{}\nb"}}"#, "*".repeat("root:x:0:0:root:/root:/bin/bash".len())),
            ),
            (
                format!(r#"{{"aws_secret_access_key":"{}"}}"#, filler(40)),
                format!(r#"{{"aws_secret_access_key":"{}"}}"#, "*".repeat(40)),
            ),
            (
                r#"{"ok":1,"e":"You have an error in your SQL syntax; check","z":"fine"}"#.into(),
                format!(
                    r#"{{"ok":1,"e":"{}","z":"fine"}}"#,
                    "*".repeat("You have an error in your SQL syntax; check".len())
                ),
            ),
            (
                r#"["a@x.example","b@x.example","c@x.example","d@x.example"]"#.into(),
                r#"["***********","***********","***********","***********"]"#.into(),
            ),
            ("nothing".into(), "nothing".into()),
        ] {
            assert_eq!(masked(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_stands_in_a_key_is_not_masked_but_given_up() {
        assert_eq!(masked(r#"{"4111111111111111":1}"#), Err(Unmaskable::Key));
        assert_eq!(masked(&format!(r#"{{"a":{{"ghp_{}":1}}}}"#, filler(36))), Err(Unmaskable::Key));
    }

    #[test]
    fn more_credentials_than_are_searched_for_are_given_up_and_cards_are_all_masked() {
        let many = format!("ghp_{} ", filler(36)).repeat(SEARCHES_MAX + 1);
        assert_eq!(masked(&many), Err(Unmaskable::Left));
        let cards = "4111111111111111 ".repeat(1000);
        assert_eq!(masked(&cards), Ok("************1111 ".repeat(1000)));
    }

    /// What a value is made of, without what it says; a number may have become text.
    fn shape(value: &Value) -> String {
        match value {
            Value::Array(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(",")),
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| format!("{key:?}:{}", shape(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            Value::String(_) | Value::Number(_) => "leaf".into(),
            other => other.to_string(),
        }
    }

    fn secrets() -> Vec<String> {
        vec![
            "4111111111111111".to_owned(),
            "4111 1111 1111 1111".into(),
            "219-09-9999".into(),
            "DE89370400440532013000".into(),
            format!("ghp_{}", filler(36)),
            format!("sk_live_{}", filler(24)),
            format!("$2b$12${}", filler(53)),
            format!("https://u:{}@h.example/", filler(10)),
            format!("-----BEGIN PRIVATE KEY-----\n{}", filler(40)),
            "root:x:0:0:root:/root:/bin/bash".into(),
            "ORA-00933".into(),
            "a@b.example".into(),
            "c@d.example".into(),
            format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", filler(30), filler(43)),
            format!("aws_secret_access_key = {}", filler(40)),
        ]
    }

    fn piece() -> impl Strategy<Value = String> {
        let plain =
            prop::sample::select(vec!["é", "\\", "\"", "\n", "/", " ", ", ", "x", "\u{1f600}", "n", ":", "*", "u0041"]);
        prop_oneof![prop::sample::select(secrets()), plain.prop_map(str::to_owned), plain_text()]
    }

    fn plain_text() -> impl Strategy<Value = String> {
        "[a-z ]{0,6}"
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop::collection::vec(piece(), 0..6).prop_map(|pieces| Value::String(pieces.concat()));
        let leaf = prop_oneof![
            text,
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            Just(Value::from(4_111_111_111_111_111_u64)),
            Just(Value::from(5_555_555_555_554_444_u64)),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..5).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn masked_json_is_json_of_the_same_shape_and_holds_nothing_that_is_found(value in value(), pretty in any::<bool>(), slashes in any::<bool>()) {
            let mut text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            if slashes {
                text = text.replace('/', "\\/");
            }
            if let Ok(masked) = masked(&text) {
                let read: Value = serde_json::from_str(&masked).unwrap_or_else(|error| panic!("{error}\n{text}\n{masked}"));
                prop_assert_eq!(shape(&read), shape(&value));
                prop_assert_eq!(find(masked.as_bytes(), all(), 3), None);
            }
        }

        #[test]
        fn nothing_that_was_found_can_be_read(pieces in prop::collection::vec(prop::sample::select(secrets()), 1..8), json in any::<bool>()) {
            let text = pieces.join("; ");
            let text = if json { Value::from(text).to_string() } else { text };
            let masked = masked(&text).unwrap();
            for secret in ["4111111", "4111 1111", "219-09", "DE89", "3704", "fG7hJ9kL2mN4", "/bin/bash", "eyJhbGci"] {
                prop_assert!(!masked.contains(secret), "{} in {}", secret, masked);
            }
        }

        #[test]
        fn no_text_makes_it_panic(pieces in prop::collection::vec(piece(), 0..12)) {
            let text = pieces.concat();
            if let Ok(masked) = masked(&text) {
                prop_assert_eq!(find(masked.as_bytes(), all(), 3), None);
            }
        }
    }
}
