//! Numbers (RFC 8259 section 6): where one ends. It never computes a value.

/// Length of the number that `bytes` begins with; `None` where the grammar is broken.
///
/// `number = [ "-" ] int [ frac ] [ exp ]`; what follows the number is the caller's concern.
#[must_use]
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at += digits(bytes, at),
        _ => return None,
    }
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let n = digits(bytes, at);
        if n == 0 {
            return None;
        }
        at += n;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        let n = digits(bytes, at);
        if n == 0 {
            return None;
        }
        at += n;
    }
    Some(at)
}

fn digits(bytes: &[u8], from: usize) -> usize {
    bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn the_grammar_of_numbers() {
        for (text, expected) in [
            ("0", Some(1)),
            ("-0", Some(2)),
            ("10.5e+3,", Some(7)),
            ("1E9", Some(3)),
            ("01", Some(1)), // the second digit is then an unexpected byte
            ("-", None),
            ("1.", None),
            ("1.e3", None),
            (".5", None),
            ("1e", None),
            ("1e+", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(length(text.as_bytes()), expected, "{text}");
        }
    }
}
