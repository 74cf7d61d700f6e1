//! A field of a message that names something: a type, a tenant, a resource.

use super::{Reading, Workspace};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{Value, ValueKind, decode_into};

/// Digits of a number that every reader of JSON reads as the same number (RFC 8259 6).
const DIGITS_MAX: usize = 15;

/// What a field says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// Nothing: it is not there, or `null`.
    Missing,
    /// A name: a string, or a whole number that nobody can read as another.
    Name(&'a [u8]),
    /// Something that names nothing.
    Other,
}

/// Longest excerpt of a name in a finding's detail, bytes.
const EXCERPT_BYTES_MAX: usize = 64;

/// A name, shortened and printable.
pub(super) fn excerpt(name: &[u8]) -> impl std::fmt::Display + '_ {
    name.get(..name.len().min(EXCERPT_BYTES_MAX)).unwrap_or_default().escape_ascii()
}

/// Where a field stands that a check looks at.
#[derive(Debug)]
pub(super) struct Place {
    number: usize,
    /// Its JSON Pointer, for findings.
    pub(super) pointer: String,
}

impl Place {
    pub(super) fn compile(pointer: &str, pointers: &mut Pointers) -> Result<Self, PointerError> {
        Ok(Self { number: pointers.add(pointer)?, pointer: pointer.to_owned() })
    }

    /// What the present message, JSON, says there.
    pub(super) fn read<'a>(&self, work: &'a mut Workspace, text: &'a [u8]) -> Field<'a> {
        read(work.scan.value(self.number), text, &mut work.name)
    }
}

/// Reads a field; a string with escapes is decoded into `buffer`.
pub(super) fn read<'a>(value: Value, text: &'a [u8], buffer: &'a mut Vec<u8>) -> Field<'a> {
    let raw = value.raw(text);
    match value.kind {
        ValueKind::Missing | ValueKind::Null => Field::Missing,
        ValueKind::String if value.escapes => {
            buffer.clear();
            decode_into(raw, buffer);
            Field::Name(buffer)
        }
        ValueKind::String => Field::Name(raw),
        ValueKind::Number if raw.len() <= DIGITS_MAX && raw.iter().all(u8::is_ascii_digit) => Field::Name(raw),
        _ => Field::Other,
    }
}

/// The type of the present message; one that is not JSON has none.
pub(super) fn type_of<'a>(work: &'a mut Workspace, number: usize, text: &'a [u8]) -> Field<'a> {
    match work.reading {
        Reading::Json => read(work.scan.value(number), text, &mut work.name),
        Reading::Text | Reading::Opaque => Field::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::json::{Bounds, Pointers, Scan};

    #[test]
    fn a_name_is_a_string_or_a_number_that_all_read_alike() {
        let bounds = Bounds { depth_max: 4, keys_max: 8, values_max: 8, string_bytes_max: 64 };
        let mut pointers = Pointers::default();
        let at = pointers.add("/f").unwrap();
        for (text, says) in [
            (r#"{"f":"a"}"#, Some("a")),
            (r#"{"f":"\u0061\u002a"}"#, Some("a*")),
            (r#"{"\u0066":"a"}"#, Some("a")),
            (r#"{"f":""}"#, Some("")),
            (r#"{"f":42}"#, Some("42")),
            (r#"{"f":999999999999999}"#, Some("999999999999999")),
            (r#"{"f":9007199254740993}"#, None),
            (r#"{"f":4.2e1}"#, None),
            (r#"{"f":42.0}"#, None),
            (r#"{"f":-1}"#, None),
            (r#"{"f":["a"]}"#, None),
            (r#"{"f":{"a":1}}"#, None),
            (r#"{"f":true}"#, None),
        ] {
            let mut scan = Scan::seeded(1);
            scan.run(text.as_bytes(), &bounds, &pointers).unwrap();
            let mut buffer = Vec::new();
            let expected = says.map_or(Field::Other, |name| Field::Name(name.as_bytes()));
            assert_eq!(read(scan.value(at), text.as_bytes(), &mut buffer), expected, "{text}");
        }
        for text in ["{}", r#"{"f":null}"#, r#"[{"f":"a"}]"#, r#"{"g":{"f":"a"}}"#] {
            let mut scan = Scan::seeded(1);
            scan.run(text.as_bytes(), &bounds, &pointers).unwrap();
            assert_eq!(read(scan.value(at), text.as_bytes(), &mut Vec::new()), Field::Missing, "{text}");
        }
    }
}
