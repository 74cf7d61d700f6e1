//! XML entities: would a parser fetch or multiply what a document type declares (CWE-611, CWE-776).
//!
//! An entity declaration, a document type with an external subset, or an inclusion convicts; the document
//! types of HTML do not.

use super::View;
use super::text::{all, byte, has, has_any, is_word, rest, skip_space, trimmed, window, word_at};

/// How far a declaration is read.
const DECLARATION_BYTES_MAX: usize = 512;

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    if all(low, "<!entity").any(|at| declares(low, at + 8)) {
        return Some("an entity declaration");
    }
    if all(low, "<!doctype").any(|at| is_external(low, at + 9)) {
        return Some("a document type with an external subset");
    }
    if has(low, "include")
        && has(low, "<")
        && all(low, ":include").any(|at| has(window(low, at, DECLARATION_BYTES_MAX), "href"))
    {
        return Some("an XML inclusion");
    }
    None
}

/// `name "value"`, `name SYSTEM "…"`, `% name …`.
fn declares(low: &[u8], at: usize) -> bool {
    let mut name = skip_space(low, at);
    if name == at {
        return false;
    }
    if byte(low, name) == b'%' || byte(low, name) == b'&' {
        name = skip_space(low, name + 1);
    }
    let tail = window(low, name, DECLARATION_BYTES_MAX);
    is_word(byte(low, name)) && (has_any(tail, &["\"", "'", "&#"]) || has_any(tail, &["system", "public"]))
}

fn is_external(low: &[u8], at: usize) -> bool {
    let name_at = skip_space(low, at);
    let name = word_at(low, name_at);
    let next = skip_space(low, name_at + name.len());
    let keyword = word_at(low, next);
    match keyword {
        b"system" => name != b"html" || !has(window(low, next, 64), "about:legacy-compat"),
        // The public identifiers of HTML and SVG are read from a catalogue.
        b"public" => !has_any(window(low, next, 96), &["-//w3c//", "-//ietf//", "-//apple//"]),
        _ => {
            // An internal subset that refers to a parameter entity.
            byte(low, next) == b'[' && {
                let subset = trimmed(window(low, next, DECLARATION_BYTES_MAX));
                has_any(rest(subset, 1), &["%", "<!entity", "<!attlist", "<!notation"])
            }
        }
    }
}
