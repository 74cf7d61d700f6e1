//! A text as a reader of JSON has it, where it is written with escapes that hide what stands there.

/// The text with `\\/` and `\\uXXXX` of ASCII undone; `None` where there are none. Other escapes stay as they are, `\\n` among
/// them: they hide nothing and part words.
#[must_use]
pub fn without_escapes(text: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'\\', text)?;
    if !memchr::memchr_iter(b'\\', text).any(|at| escape(text, at).is_some()) {
        return None;
    }
    let mut changed = false;
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(text.get(..first)?);
    let mut at = first;
    while let Some(&byte) = text.get(at) {
        let (byte, length) = match byte {
            b'\\' => match escape(text, at) {
                Some(undone) => {
                    changed = true;
                    undone
                }
                // An escaped backslash escapes nothing.
                None => {
                    out.push(byte);
                    at += 1;
                    let Some(&next) = text.get(at) else { break };
                    (next, 1)
                }
            },
            byte => (byte, 1),
        };
        out.push(byte);
        at += length;
    }
    changed.then_some(out)
}

/// The character that an escape stands for, and the escape's length.
fn escape(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match text.get(at + 1)? {
        b'/' => Some((b'/', 2)),
        b'u' => {
            let digits = std::str::from_utf8(text.get(at + 2..at + 6)?).ok()?;
            let code = u32::from_str_radix(digits, 16).ok()?;
            // Quotes, backslashes and control characters stay: they would end or change the string.
            let code =
                u8::try_from(code).ok().filter(|code| code.is_ascii_graphic() && !matches!(code, b'"' | b'\\'))?;
            Some((code, 6))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_undone_and_the_rest_stays() {
        for (text, plain) in [
            (r"https:\/\/u:p@h", Some("https://u:p@h")),
            (r"\u0041KIA", Some("AKIA")),
            (r"a\nb\/c", Some(r"a\nb/c")),
            (r"a\\u0041 \/", Some(r"a\\u0041 /")),
            (r"\u0022 \u005c \u00e9 \n", None),
            ("plain", None),
            ("\\", None),
            (r"\u00", None),
        ] {
            assert_eq!(without_escapes(text.as_bytes()).as_deref(), plain.map(str::as_bytes), "{text}");
        }
    }
}
