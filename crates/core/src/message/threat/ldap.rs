//! LDAP filters (RFC 4515): would a string close the filter it is put into and open another (CWE-90).
//!
//! What convicts is the filter's own grammar: `)` then `(`, with an attribute and a comparison, or a bare
//! composition `(&(a=b)…)`. Closures such as `(|(k, v)|` have neither.

use super::View;
use super::text::{all, byte, has, is_word, rest, skip_space};

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    if let Some(rule) = absolute(low).or_else(|| by_rule(low)) {
        return Some(rule);
    }
    if !has(low, "=") && !has(low, "*)") {
        return None;
    }
    for opening in ["(&", "(|", "(!"] {
        for at in all(low, opening) {
            let inner = skip_space(low, at + 2);
            if byte(low, inner) == b'(' && is_item(low, inner + 1) {
                return Some("a composed directory filter");
            }
        }
    }
    for at in memchr::memchr_iter(b')', low) {
        // A row of them closes once.
        if at > 0 && byte(low, at - 1) == b')' {
            continue;
        }
        let mut next = skip_space(low, at + 1);
        while byte(low, next) == b')' {
            next += 1;
        }
        if byte(low, next) != b'(' {
            continue;
        }
        let after_star = at > 0 && byte(low, at - 1) == b'*';
        let mut inner = next + 1;
        let mut composed = false;
        while matches!(byte(low, inner), b'(' | b'&' | b'|' | b'!') {
            composed |= byte(low, inner) != b'(';
            inner += 1;
        }
        if is_item(low, inner) && (after_star || composed || is_short_value(low, at)) {
            return Some("a directory filter closed and another opened");
        }
        if composed && (after_star || is_short_value(low, at)) && matches!(byte(low, inner), b')' | 0) {
            return Some("a directory filter closed and another opened");
        }
    }
    None
}

/// `name)(&))`, `name)(|))`: a value, then a filter that is always true or never (RFC 4526), and nothing else.
fn absolute(low: &[u8]) -> Option<&'static str> {
    let low = low.trim_ascii_end();
    let close = memchr::memchr(b')', low)?;
    let whole = matches!(rest(low, close), b")(&)" | b")(|)" | b")(&))" | b")(|))" | b")(&)))" | b")(|)))");
    (whole && close > 0 && is_short_value(low, close)).then_some("a directory filter closed and an absolute one opened")
}

/// `attribute:1.2.3:=value`: a match by the number of its rule (RFC 4515, extensible).
fn by_rule(low: &[u8]) -> Option<&'static str> {
    let found = all(low, ":=").any(|at| {
        let head = low.get(..at).unwrap_or_default();
        let number = head.iter().rev().take(64).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let oid = head.get(head.len() - number..).unwrap_or_default();
        let named =
            head.len() > number + 1 && byte(low, at - number - 1) == b':' && is_word(byte(low, at - number - 2));
        named && oid.iter().filter(|b| **b == b'.').count() >= 3
    });
    found.then_some("a directory's match by the number of its rule")
}

/// `attribute = value`, `attribute >= value`, `attribute =*`.
fn is_item(low: &[u8], at: usize) -> bool {
    let tail = rest(low, at);
    let name = tail.iter().take(64).take_while(|&&b| is_word(b) || matches!(b, b'-' | b';' | b'.' | b':')).count();
    let mut op = at + name;
    if matches!(byte(low, op), b'~' | b'>' | b'<') {
        op += 1;
    }
    let value = byte(low, op + 1);
    name > 0
        && byte(low, op) == b'='
        && value != b'='
        && value != b' '
        && value != b'>'
        && !matches!(value, b'"' | b'\'')
}

/// The text up to the closing parenthesis is one value without white space, as a form's field is.
fn is_short_value(low: &[u8], at: usize) -> bool {
    at <= 64 && low.get(..at).is_some_and(|head| !head.iter().any(|b| b.is_ascii_whitespace() || *b == b'('))
}
