//! Encodings that hide an attack, peeled one layer at a time.
//!
//! A layer undoes, in one pass, percent-encoding (`%41`, `%u0041`, overlong UTF-8 such as `%c0%ae`), HTML
//! entities, `\x41`, `\u0041`, `\u{41}`, `0x41` in rows and full-width forms; or, where the whole string is one
//! word of base64 or hex that decodes to text, that. The output never exceeds the input, but for base64's
//! absence of growth it is shorter: each layer costs at most what the one before cost. Total on any bytes.

use super::encodings::Encodings;
use super::text::{Bytes, before, byte, bytes, is_space, rest};
use crate::message::survey::{Class, Surveyed};

/// Shortest string read as base64 or hex: shorter ones are ids.
const PACKED_BYTES_MIN: usize = 16;

/// Whether one of the escapes may be in it.
fn has_escapes(text: &[u8]) -> bool {
    memchr::memchr3(b'%', b'&', b'\\', text).is_some() || memchr::memchr(0xef, text).is_some() || has_hex_run(text)
}

/// How a row of hexadecimal escapes begins, for the survey of words.
pub(super) const HEX_ESCAPES: [&str; 16] =
    ["0x0", "0x1", "0x2", "0x3", "0x4", "0x5", "0x6", "0x7", "0x8", "0x9", "0xa", "0xb", "0xc", "0xd", "0xe", "0xf"];

/// Whether there may be a layer, as far as a survey tells that looked for [`HEX_ESCAPES`] too.
pub(super) fn may_peel(text: Surveyed<'_>) -> bool {
    begins_packed(text.text) && is_packed(text.text)
        || text.each(Class::Mark).any(|at| matches!(byte(text.text, at), b'%' | b'&' | b'\\'))
        || text.any(Class::Escape) && memchr::memchr(0xef, text.text).is_some()
        || text.each(Class::Word).any(|at| before(text.text, at) | 0x20 == b'x')
}

/// Whether base64 or hex that begins like this is text: ids and hashes seldom do.
fn begins_packed(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    if byte(text, 1) == b'x' {
        return true;
    }
    let Some([a, b, c, d]) = text.first_chunk::<4>() else { return false };
    let base64 = || {
        let bits = [a, b, c, d].into_iter().try_fold(0, |bits, symbol| Some(bits << 6 | base64_value(*symbol)?))?;
        Some([bits >> 16, bits >> 8 & 0xff, bits & 0xff].into_iter().all(|code| is_text(code as u8)))
    };
    let hex = || Some([hex_pair(&[*a, *b])?, hex_pair(&[*c, *d])?].into_iter().all(|code| is_text(code as u8)));
    base64() == Some(true) || hex() == Some(true)
}

/// Undoes one layer into `out` and says what it was; nothing when there was none.
pub(super) fn peel(text: &[u8], out: &mut Vec<u8>) -> Encodings {
    if is_packed(text) {
        if unpack_hex(text, out) {
            return Encodings::HEX;
        }
        if unpack_base64(text, out) {
            return Encodings::BASE64;
        }
    }
    out.clear();
    if has_escapes(text) { unescape(text, out) } else { Encodings::default() }
}

fn unescape(text: &[u8], out: &mut Vec<u8>) -> Encodings {
    let percent = memchr::memchr(b'%', text).is_some();
    let mut undone = Encodings::default();
    let mut at = 0;
    // Where the latest `0x41` ended: another one there belongs to the same row.
    let mut row_end = usize::MAX;
    while at < text.len() {
        let here = rest(text, at);
        let decoded = match byte(text, at) {
            b'%' => percent_escape(here),
            b'&' => entity(here),
            b'\\' => backslash_escape(here),
            b'0' if byte(text, at + 1) == b'x' => {
                let decoded = hex_run(here, at == row_end);
                if decoded.is_some() {
                    row_end = at + 4;
                }
                decoded
            }
            0xef => full_width(here),
            // Form encoding, where the string is percent-encoded at all.
            b'+' if percent => Some((' ', 1)),
            _ => None,
        };
        match decoded {
            Some((c, used)) => {
                // A `+` alone is no encoding.
                undone.add(match byte(text, at) {
                    b'%' => Encodings::PERCENT,
                    b'&' => Encodings::ENTITY,
                    b'\\' => Encodings::BACKSLASH,
                    b'0' => Encodings::HEX,
                    b'+' => Encodings::default(),
                    _ => Encodings::FULL_WIDTH,
                });
                let mut utf8 = [0; 4];
                out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                at += used;
            }
            None => {
                out.push(byte(text, at));
                at += 1;
            }
        }
    }
    undone
}

fn hex(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

fn hex_pair(text: &[u8]) -> Option<u32> {
    Some(hex(byte(text, 0))? << 4 | hex(byte(text, 1))?)
}

fn hex_quad(text: &[u8]) -> Option<u32> {
    Some(hex_pair(text)? << 8 | hex_pair(rest(text, 2))?)
}

/// `%41`, `%u0041`, and sequences that are UTF-8, also overlong.
fn percent_escape(text: &[u8]) -> Option<(char, usize)> {
    if byte(text, 1) | 0x20 == b'u' {
        return fold(hex_quad(rest(text, 2))?).map(|c| (c, 6));
    }
    let lead = hex_pair(rest(text, 1))?;
    let more = match lead {
        0xc0..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf7 => 3,
        _ => 0,
    };
    let mut code = if more == 0 { lead } else { lead & (0x3f >> more) };
    for n in 1..=more {
        let next = rest(text, n * 3);
        let trail = if byte(next, 0) == b'%' { hex_pair(rest(next, 1)) } else { None };
        match trail {
            // Decoders that accept overlong forms mask the trail's upper bits, whatever they are.
            Some(trail) => code = code << 6 | trail & 0x3f,
            None => return Some((char::from_u32(lead)?, 3)),
        }
    }
    fold(code).map(|c| (c, 3 + more * 3))
}

/// Look-alikes of ASCII become ASCII.
fn fold(code: u32) -> Option<char> {
    char::from_u32(match code {
        0xff01..=0xff5e => code - 0xfee0,
        0x2215 | 0x2044 => u32::from('/'),
        0x2216 => u32::from('\\'),
        0x2024 => u32::from('.'),
        0x02b9 | 0x2018 | 0x2019 | 0x02bc => u32::from('\''),
        other => other,
    })
}

/// U+FF01–U+FF5E in UTF-8.
fn full_width(text: &[u8]) -> Option<(char, usize)> {
    let code = match (byte(text, 1), byte(text, 2)) {
        (0xbc, last @ 0x80..=0xbf) => 0xff00 + u32::from(last - 0x80),
        (0xbd, last @ 0x80..=0xbf) => 0xff40 + u32::from(last - 0x80),
        _ => return None,
    };
    if (0xff01..=0xff5e).contains(&code) { fold(code).map(|c| (c, 3)) } else { None }
}

/// Named entities that matter to an attacker; the others are letters.
const ENTITIES: &[(&str, char)] = &[
    ("lt", '<'),
    ("gt", '>'),
    ("amp", '&'),
    ("quot", '"'),
    ("apos", '\''),
    ("tab", '\t'),
    ("newline", '\n'),
    ("colon", ':'),
    ("semi", ';'),
    ("lpar", '('),
    ("rpar", ')'),
    ("sol", '/'),
    ("bsol", '\\'),
    ("equals", '='),
    ("lbrace", '{'),
    ("lcub", '{'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("dollar", '$'),
    ("grave", '`'),
    ("period", '.'),
    ("excl", '!'),
    ("num", '#'),
    ("vert", '|'),
    ("comma", ','),
    ("lsqb", '['),
    ("rsqb", ']'),
    ("percnt", '%'),
    ("nbsp", ' '),
];

fn entity(text: &[u8]) -> Option<(char, usize)> {
    if byte(text, 1) == b'#' {
        let radix_16 = byte(text, 2) | 0x20 == b'x';
        let start = if radix_16 { 3 } else { 2 };
        let radix = if radix_16 { 16 } else { 10 };
        // Zeros in front are free in HTML, so a long run is read, but not without end.
        let digits = rest(text, start).iter().take(12).take_while(|&&b| char::from(b).is_digit(radix)).count();
        let mut code = 0_u32;
        for &digit in text.get(start..start + digits)? {
            code = code.saturating_mul(radix).saturating_add(char::from(digit).to_digit(radix)?);
        }
        if digits == 0 {
            return None;
        }
        let end = start + digits;
        return fold(code).map(|c| (c, end + usize::from(byte(text, end) == b';')));
    }
    let len = rest(text, 1).iter().take(8).take_while(|b| b.is_ascii_alphabetic()).count();
    let name = text.get(1..=len)?;
    let closed = byte(text, len + 1) == b';';
    ENTITIES.iter().find_map(|(known, c)| {
        // Only the oldest entities work without a semicolon.
        let fits =
            name.eq_ignore_ascii_case(known.as_bytes()) && (closed || matches!(*known, "lt" | "gt" | "quot" | "amp"));
        fits.then_some((*c, len + 1 + usize::from(closed)))
    })
}

/// `\x41`, `\u0041`, `\u{41}`, `\033`, `\n`.
fn backslash_escape(text: &[u8]) -> Option<(char, usize)> {
    if let Some(octal) = text.get(1..4).filter(|digits| digits.iter().all(|b| matches!(b, b'0'..=b'7'))) {
        let code = octal.iter().fold(0, |code, b| code << 3 | u32::from(b - b'0'));
        return char::from_u32(code).filter(char::is_ascii).map(|c| (c, 4));
    }
    match byte(text, 1) {
        b'n' => return Some(('\n', 2)),
        b'r' => return Some(('\r', 2)),
        _ => {}
    }
    match byte(text, 1) | 0x20 {
        b'x' => char::from_u32(hex_pair(rest(text, 2))?).map(|c| (c, 4)),
        b'u' if byte(text, 2) == b'{' => {
            let digits = rest(text, 3).iter().take(6).take_while(|b| b.is_ascii_hexdigit()).count();
            let mut code = 0;
            for &digit in text.get(3..3 + digits)? {
                code = code << 4 | hex(digit)?;
            }
            (digits > 0 && byte(text, 3 + digits) == b'}').then(|| fold(code).map(|c| (c, digits + 4)))?
        }
        b'u' => fold(hex_quad(rest(text, 2))?).map(|c| (c, 6)),
        _ => None,
    }
}

/// `0x2e` in a row of such, or followed by what no number is followed by.
fn hex_run(text: &[u8], in_row: bool) -> Option<(char, usize)> {
    let code = hex_pair(rest(text, 2))?;
    let next = byte(text, 4);
    let goes_on = next == b'0' && byte(text, 5) == b'x';
    (in_row || goes_on || next == b'/' || next == b'\\' || next == b'.' || next.is_ascii_lowercase() && code < 0x30)
        .then(|| char::from_u32(code).map(|c| (c, 4)))?
}

/// `0x` anywhere. An `x` is rare enough in prose that looking for it alone is the faster search.
fn has_hex_run(text: &[u8]) -> bool {
    memchr::memchr_iter(b'x', text).any(|at| at > 0 && byte(text, at - 1) == b'0')
}

/// One word that could be base64 or hex. Ends at the first space of a sentence.
fn is_packed(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.len() >= PACKED_BYTES_MIN && PACKED.has_all(text)
}

/// Symbols of base64, both alphabets, its padding, and hex.
const PACKED: Bytes = bytes!(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_' | b'=');

fn unpack_hex(text: &[u8], out: &mut Vec<u8>) -> bool {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    out.clear();
    // Every byte is a digit, as was just seen.
    for code in digits.chunks(2).filter_map(hex_pair).filter_map(|code| u8::try_from(code).ok()) {
        if !is_text(code) {
            return false;
        }
        out.push(code);
    }
    !out.is_empty()
}

fn unpack_base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let text = text.trim_ascii();
    let end = text.iter().rposition(|&b| b != b'=').map_or(0, |last| last + 1);
    out.clear();
    let (mut bits, mut held) = (0_u32, 0);
    for &symbol in text.get(..end).unwrap_or_default() {
        let Some(value) = base64_value(symbol) else { return false };
        bits = (bits << 6 | value) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            let code = (bits >> held & 0xff) as u8;
            // An id or a hash is told within a few symbols.
            if !is_text(code) {
                return false;
            }
            out.push(code);
        }
    }
    !out.is_empty()
}

fn base64_value(symbol: u8) -> Option<u32> {
    Some(match symbol {
        b'A'..=b'Z' => u32::from(symbol - b'A'),
        b'a'..=b'z' => u32::from(symbol - b'a') + 26,
        b'0'..=b'9' => u32::from(symbol - b'0') + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// Printable ASCII: what an attack is made of.
fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || is_space(byte) && byte != 0xa0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn once(text: &str) -> Option<String> {
        let mut out = Vec::new();
        (!peel(text.as_bytes(), &mut out).is_empty()).then(|| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn one_layer_of_each_encoding() {
        for (text, expected) in [
            ("%3Cb%3e", "<b>"),
            ("a+b%20c", "a b c"),
            ("%253C", "%3C"),
            ("%c0%ae%c0%af", "./"),
            ("%e0%80%af", "/"),
            ("%u2215%uff0e", "/."),
            ("&lt;&#60;&#x3C;&#0000060;&lt b", "<<<<< b"),
            ("&lpar;1&rpar;", "(1)"),
            (r"\x3c\u003c\u{3c}", "<<<"),
            ("\u{ff1c}script\u{ff1e}", "<script>"),
            ("0x2e0x2e0x2f", "../"),
            ("PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "<script>alert(1)</script>"),
            ("3c7363726970743e616c65727428313c", "<script>alert(1<"),
        ] {
            assert_eq!(once(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_encoded_stays() {
        for text in [
            "100% sure",
            "R&D",
            "a+b",
            "C:\\dir",
            "0x41",
            "iVBORw0KGgoAAAANSUhEUgAAAAUA",
            "d41d8cd98f00b204e9800998ecf8427e",
            "x".repeat(40).as_str(),
        ] {
            assert_eq!(once(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_layer_never_grows_and_never_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            peel(&text, &mut out);
            prop_assert!(out.len() <= text.len());
        }

        #[test]
        fn what_has_no_escape_and_is_not_packed_has_no_layer(text in "[ -~]{0,60}") {
            let mut out = Vec::new();
            let escapes = !unescape(text.as_bytes(), &mut out).is_empty();
            prop_assert!(!escapes || has_escapes(text.as_bytes()));
        }
    }
}
