//! Standard output: text or JSON, and control characters made harmless.
//!
//! Decides how what clients sent is shown on a terminal. Never colours, never buffers beyond a line.

use std::io::Write as _;

use crate::exit::{Failure, Outcome};

/// Writes one line.
pub(crate) fn line(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// Writes one value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Outside(format!("cannot write the output as JSON: {error}")))?;
    line(&harmless(&text))
}

/// Writes one value as one line of JSON.
pub(crate) fn json_line(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::Outside(format!("cannot write the output as JSON: {error}")))?;
    line(&harmless(&text))
}

/// JSON with the characters escaped that JSON allows and a terminal obeys. They stand only inside strings.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter != '\n' && drives_a_terminal(letter) {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

fn drives_a_terminal(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The text with every control and direction-changing character escaped, so that a stored value
/// cannot move the cursor, ring, recolour or reorder the terminal of whoever reads it (CWE-150).
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if drives_a_terminal(letter) {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_and_drives_no_terminal() {
        let value = serde_json::json!({ "a": "\u{9b}2J \u{202e} \u{1b} ü" });
        let shown = harmless(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!shown.chars().any(|letter| letter != '\n' && drives_a_terminal(letter)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn nothing_a_client_sent_can_drive_the_terminal() {
        let cases = [
            ("plain ünïcode", "plain ünïcode"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("two\nlines", "two\\u{a}lines"),
            ("bell\x07", "bell\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ];
        for (given, shown) in cases {
            assert_eq!(printable(given), shown);
        }
    }
}
