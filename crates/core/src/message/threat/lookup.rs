//! Lookups: would a logger resolve `${jndi:…}` and fetch code (CVE-2021-44228).
//!
//! Nested lookups are reduced as the logger does it, innermost first: `${lower:J}` is `j`, `${env:NONE:-n}`
//! and `${::-n}` are `n`. What then begins with `jndi:` convicts, and so does nesting beyond reason.

use super::View;
use super::text::{all, byte, has, rest};

/// Lookups open at once; honest ones nest once.
const OPEN_MAX: usize = 8;

/// Reduced text of one lookup that is kept; `jndi:` shows in the first bytes.
const KEPT_BYTES_MAX: usize = 256;

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    if !has(low, "${") {
        return None;
    }
    if all(low, "${jndi").any(|at| byte(low, at + 6) == b':') {
        return Some("a `jndi` lookup");
    }
    reduced(low)
}

/// One level being read: the start of its reduced text.
#[derive(Clone, Copy, Default)]
struct Open {
    text: usize,
}

fn reduced(low: &[u8]) -> Option<&'static str> {
    let mut open = [Open::default(); OPEN_MAX];
    let mut depth = 0;
    let mut kept = [0_u8; KEPT_BYTES_MAX];
    let mut len = 0;
    let mut at = 0;
    while at < low.len() {
        let b = byte(low, at);
        if b == b'$' && byte(low, at + 1) == b'{' {
            let Some(slot) = open.get_mut(depth) else { return Some("lookups nested beyond reason") };
            *slot = Open { text: len };
            depth += 1;
            at += 2;
            continue;
        }
        if depth > 0 && b == b'}' {
            depth -= 1;
            let start = open.get(depth).map_or(0, |level| level.text);
            let body = kept.get(start..len).unwrap_or_default();
            if body.starts_with(b"jndi:") {
                return Some("a hidden `jndi` lookup");
            }
            let (from, to) = value(body);
            kept.copy_within(start + from..start + to, start);
            len = start + (to - from);
            // `${env:NONE:-$}{jndi:…`: what was resolved begins the next lookup.
            let begins = len > start && kept.get(len - 1) == Some(&b'$') && byte(low, at + 1) == b'{';
            if let Some(slot) = open.get_mut(depth).filter(|_| begins) {
                len -= 1;
                *slot = Open { text: len };
                depth += 1;
                at += 2;
                continue;
            }
            if depth == 0 {
                len = 0;
            }
        } else if depth > 0
            && let Some(slot) = kept.get_mut(len)
        {
            *slot = b;
            len += 1;
        }
        at += 1;
    }
    // Left open, which some resolvers take.
    let open_text = open.first().map_or(0, |level| level.text);
    let left = kept.get(open_text..len).unwrap_or_default();
    (depth > 0 && left.starts_with(b"jndi:")).then_some("a hidden `jndi` lookup")
}

/// The part of a lookup's body that is its value.
fn value(body: &[u8]) -> (usize, usize) {
    if let Some(at) = memchr::memmem::rfind(body, b":-") {
        return (at + 2, body.len());
    }
    for name in ["lower:", "upper:"] {
        if body.starts_with(name.as_bytes()) {
            return (name.len(), body.len());
        }
    }
    if body.starts_with(b"date:") || body.starts_with(b"env:") || body.starts_with(b"sys:") {
        let quoted = rest(body, 0).iter().position(|&b| b == b'\'');
        if let Some(at) = quoted {
            let end = body.iter().rposition(|&b| b == b'\'').unwrap_or(at);
            return ((at + 1).min(end), end);
        }
    }
    (body.len(), body.len())
}
