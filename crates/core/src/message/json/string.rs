//! Strings (RFC 8259 section 7): where one ends, whether it is well-formed, and its decoded text.
//!
//! Lone surrogates, unknown escapes and control characters are refused. Plain runs are skipped 32 bytes at a
//! time (the loop over a fixed chunk is what the compiler turns into SIMD), then 8.

use super::Fault;

/// A string in the text: the bytes between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StringSpan {
    /// First byte after the opening quote.
    pub start: u32,
    /// The closing quote.
    pub end: u32,
    /// It has escapes: its text is what [`decode_into`] makes of it.
    pub escapes: bool,
    /// It is the key of a member.
    pub key: bool,
}

impl StringSpan {
    /// The bytes between the quotes, escapes as they stand.
    #[must_use]
    pub fn raw<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What [`measure`] found.
pub(super) struct Measured {
    /// Raw bytes before the closing quote.
    pub(super) raw_len: usize,
    /// Bytes after decoding.
    pub(super) decoded_len: usize,
    /// Whether any escape occurs.
    pub(super) escapes: bool,
}

/// Reads a string whose opening quote stands just before `bytes`. `plain_run` says how many of them from an offset on
/// are neither quote, backslash nor control character. The error's offset counts from there.
#[inline]
pub(super) fn measure(bytes: &[u8], plain_run: impl Fn(usize) -> usize) -> Result<Measured, (Fault, usize)> {
    let mut at = plain_run(0);
    if bytes.get(at) == Some(&b'"') {
        return Ok(Measured { raw_len: at, decoded_len: at, escapes: false });
    }
    let mut saved = 0_usize;
    let mut escapes = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(Measured { raw_len: at, decoded_len: at - saved, escapes }),
            Some(b'\\') => {
                escapes = true;
                let (len, decoded) = escape_length(bytes.get(at + 1..).unwrap_or_default()).map_err(|f| (f, at))?;
                at += len;
                saved += len - decoded;
            }
            Some(_) => return Err((Fault::Malformed("a control character inside a string"), at)),
            None => return Err((Fault::Malformed("the text ends inside a string"), at)),
        }
        // Escapes come in rows, where a long stride is wasted: look at the next byte first.
        if bytes.get(at) != Some(&b'\\') {
            at += plain_run(at);
        }
    }
}

/// Length of the escape after its backslash's offset: raw bytes (backslash included) and decoded bytes.
fn escape_length(after: &[u8]) -> Result<(usize, usize), Fault> {
    match after.first() {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok((2, 1)),
        Some(b'u') => {
            let unit = after.get(1..).and_then(hex4).ok_or(Fault::Malformed("a broken \\u escape"))?;
            match unit {
                0xD800..=0xDBFF => match after.get(5..).and_then(low_surrogate) {
                    Some(_) => Ok((12, 4)),
                    None => Err(Fault::Malformed("a lone surrogate")),
                },
                0xDC00..=0xDFFF => Err(Fault::Malformed("a lone surrogate")),
                _ => Ok((6, char::from_u32(u32::from(unit)).map_or(3, char::len_utf8))),
            }
        }
        Some(_) => Err(Fault::Malformed("an unknown escape")),
        None => Err(Fault::Malformed("the text ends inside a string")),
    }
}

/// `\uDC00`–`\uDFFF` at the front.
fn low_surrogate(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?;
    hex4(digits).filter(|unit| (0xDC00..=0xDFFF).contains(unit))
}

fn hex4(bytes: &[u8]) -> Option<u16> {
    let [a, b, c, d, ..] = *bytes else { return None };
    Some(hex(a)? << 12 | hex(b)? << 8 | hex(c)? << 4 | hex(d)?)
}

fn hex(byte: u8) -> Option<u16> {
    char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())
}

/// Appends the decoded text of `raw` (a string's bytes that [`measure`] accepted) to `out`.
///
/// Total on any input: what is not a valid escape is copied as it stands.
pub fn decode_into(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    // Escapes come in rows: the search is only for the next one behind plain text.
    while let Some(at) = if rest.first() == Some(&b'\\') { Some(0) } else { memchr::memchr(b'\\', rest) } {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (decoded, used) = decode_escape(tail);
        match u8::try_from(decoded) {
            Ok(ascii) if ascii.is_ascii() => out.push(ascii),
            _ => out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = tail.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The character of the escape `tail` begins with, and the bytes it took.
fn decode_escape(tail: &[u8]) -> (char, usize) {
    match tail.get(1) {
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => {
            let Some(unit) = tail.get(2..).and_then(hex4) else { return ('\\', 1) };
            if let Some(plain) = char::from_u32(u32::from(unit)) {
                return (plain, 6);
            }
            let Some(low) = tail.get(6..).and_then(low_surrogate) else { return ('\u{fffd}', 6) };
            let code = 0x1_0000 + ((u32::from(unit) & 0x3ff) << 10) + (u32::from(low) & 0x3ff);
            (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
        }
        Some(&plain @ (b'"' | b'\\' | b'/')) => (char::from(plain), 2),
        _ => ('\\', 1),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Bytes at the front that are neither quote, backslash nor control character.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    // Most keys and short values end within two words.
    for word in bytes.as_chunks::<8>().0.iter().take(2) {
        let hit = special(u64::from_le_bytes(*word));
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let (blocks, _) = bytes.get(at..).unwrap_or_default().as_chunks::<32>();
    for block in blocks {
        let mut hit = 0_u8;
        for &byte in block {
            hit |= u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
        }
        if hit != 0 {
            break;
        }
        at += 32;
    }
    let (words, _) = bytes.get(at..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let hit = special(u64::from_le_bytes(*word));
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    at + tail.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count()
}

/// A word whose lowest set bit lies in the first byte that is a quote, a backslash or below 0x20. (Borrows
/// can set bits above that byte, never below.)
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Measured, (Fault, usize)> {
        measure(text.as_bytes(), |at| plain_run(&text.as_bytes()[at..]))
    }

    #[test]
    fn strings_end_where_the_grammar_says() {
        let ok = |text: &str| read(text).map(|m| (m.raw_len, m.decoded_len, m.escapes));
        assert_eq!(ok("abc\" rest").unwrap(), (3, 3, false));
        assert_eq!(ok("\"").unwrap(), (0, 0, false));
        assert_eq!(ok(r#"a\nb""#).unwrap(), (4, 3, true));
        assert_eq!(ok(r#"\u00e9""#).unwrap(), (6, 2, true));
        assert_eq!(ok(r#"\uD83D\uDE00""#).unwrap(), (12, 4, true));
        for bad in [r#"\uD83D""#, r#"\uDE00""#, r#"\uD83D\u0041""#, r#"\x41""#, r#"\u12g4""#, "a\u{1}\"", "open", r"\"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_run_stops_exactly_at_the_first_special_byte(
            bytes in prop::collection::vec(prop_oneof![20 => any::<u8>().prop_filter("plain", |b| *b >= 0x20 && *b != 0x22 && *b != 0x5c), 1 => any::<u8>()], 0..200)
        ) {
            let slow = bytes.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count();
            prop_assert_eq!(plain_run(&bytes), slow);
        }

        #[test]
        fn decoding_agrees_with_serde_json(text in "\\PC*") {
            let quoted = serde_json::to_string(&text).unwrap();
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for raw in [&quoted[1..quoted.len() - 1], ascii.as_str()] {
                let mut out = Vec::new();
                decode_into(raw.as_bytes(), &mut out);
                prop_assert_eq!(std::str::from_utf8(&out).unwrap(), text.as_str());
            }
        }

        #[test]
        fn decoding_never_panics(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            decode_into(&raw, &mut Vec::new());
        }
    }
}
