//! Documents inside a string: the values that an XML or JSON text carries, each of which is a string of its own.
//!
//! Says where the parts are, never what they mean; a malformed document yields what can be read of it.

use super::text::{byte, rest};

/// Parts of one document that are judged by themselves; the document as a whole is judged as well.
const PARTS_MAX: usize = 256;

/// Whether a string is a document.
pub(super) fn is_document(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    text.starts_with(b"<?xml")
        || matches!(text.first(), Some(b'{' | b'[')) && matches!(text.trim_ascii_end().last(), Some(b'}' | b']'))
}

/// The parts: offsets of attribute values and text of XML, of strings of JSON.
pub(super) fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let xml = text.trim_ascii_start().starts_with(b"<?xml");
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let b = byte(text, at);
            at += 1;
            let len = match b {
                b'"' if xml => memchr::memchr(b'"', rest(text, at)),
                b'"' => json_string(rest(text, at)),
                b'>' if xml => memchr::memchr(b'<', rest(text, at)),
                _ => continue,
            };
            let part = rest(text, at).get(..len?)?;
            at += part.len() + usize::from(b == b'"');
            if part.len() > 2 {
                return Some(part);
            }
        }
        None
    })
    .take(PARTS_MAX)
}

/// Length up to the closing quote.
fn json_string(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', rest(text, from))?;
        if byte(text, at) == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_documents() {
        let of =
            |text: &'static str| parts(text.as_bytes()).map(|p| std::str::from_utf8(p).unwrap()).collect::<Vec<_>>();
        assert_eq!(of(r#"<?xml version="1.0"?><a b="one two">three</a>"#), ["1.0", "one two", "three"]);
        assert_eq!(of(r#"{"key":"va\"lue","n":[1,"x","long"]}"#), ["key", r#"va\"lue"#, "long"]);
        assert_eq!(of(r#"{"open"#), Vec::<&str>::new());
        assert_eq!(parts("[\"abc\"]".repeat(PARTS_MAX + 1).as_bytes()).count(), PARTS_MAX);
    }
}
