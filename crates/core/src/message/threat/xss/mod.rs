//! Cross-site scripting: would a browser execute a part of a string (CWE-79).
//!
//! Reads tags as a browser does, forgivingly: a name right after `<`, attributes with or without quotes, an end
//! that may be missing. A tag convicts when it runs by itself (script, an embedded document), carries a
//! handler, or points an address at a script. Without a tag, what convicts is a quote that closes into a
//! handler or into JavaScript, or a script address. `Vec<String>` and `a < b` have nothing of it.

use std::sync::LazyLock;

mod script;
mod tag;

use super::View;
use super::signs::Signs;
use super::text::{
    Words, all, before, byte, has, has_any, is_space, is_word, needles, rest, skip_space, trimmed, window, word_at,
    word_before,
};

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    let mut read_to = 0;
    let last = memchr::memrchr(b'>', low).unwrap_or(0);
    for at in memchr::memchr_iter(b'<', low) {
        // A tag inside another tag's text was read with it, unless that one was left open.
        if at < read_to {
            continue;
        }
        let tag = tag::Tag::read(low, at, last);
        read_to = tag.as_ref().map_or(0, |tag| if tag.closed { tag.end } else { at + 1 });
        if let Some(rule) = tag.and_then(|tag| tag.executes()) {
            return Some(rule);
        }
        if let Some(rule) = declaration(low, at) {
            return Some(rule);
        }
    }
    let shows = |signs| view.signs.any(signs);
    None.or_else(|| shows(Signs::HANDLER).then(|| handler(low)).flatten())
        .or_else(|| shows(Signs::ADDRESS).then(|| address(low)).flatten())
        .or_else(|| shows(Signs::ADDRESS.and(Signs::CALL).and(Signs::TAG)).then(|| styles(low)).flatten())
        .or_else(|| {
            shows(Signs::CALL.and(Signs::BRACKETS).and(Signs::BROWSER).and(Signs::ADDRESS))
                .then(|| script::judge(low).or_else(|| super::sink::judge(low)))
                .flatten()
        })
}

/// `<?xml-stylesheet`, `<![CDATA[<script`, `<!--` that hides a script, `<%`.
fn declaration(low: &[u8], at: usize) -> Option<&'static str> {
    if !matches!(byte(low, at + 1), b'?' | b'!') {
        return None;
    }
    let tail = window(low, at, 256);
    let sheet = tail.starts_with(b"<?xml-stylesheet") && has(tail, "href");
    let import = tail.starts_with(b"<?import") || tail.starts_with(b"<!--[if");
    let hidden = (tail.starts_with(b"<![cdata[") || tail.starts_with(b"<!--"))
        && has_any(tail, &["<script", "onerror=", "onload=", "javascript:"]);
    let list = tail.starts_with(b"<!attlist") && has_any(tail, &["javascript", "onload", "xlink"]);
    (sheet || import || hidden || list).then_some("a declaration that executes")
}

/// Events whose handlers run with little help from the user, or none.
static EVENTS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "onerror onload onclick onmouseover onfocus onblur ontoggle onstart onbegin onend onscroll \
        onresize onkeydown onkeypress onkeyup onmouseenter onmousemove onmouseout onmousedown \
        onmouseup onpageshow onanimationstart onanimationend ontransitionend onpointerover \
        onpointerdown onpointerenter onsubmit onchange oninput onwheel oncopy onpaste oncut ondrag \
        ondrop onhashchange onmessage onbeforeunload onunload onreadystatechange onpropertychange \
        onfinish onbounce onloadstart oncanplay onplay onafterscriptexecute onbeforescriptexecute \
        onfocusin onauxclick oncontextmenu ondblclick onselect onsearch oninvalid onshow onpopstate \
        ontouchstart onrepeat onactivate onwebkittransitionend onanimationcancel onloadend \
        onsecuritypolicyviolation",
    )
});

/// `" onmouseover=alert(1)`: a handler behind a quote, or a known one that calls.
fn handler(low: &[u8]) -> Option<&'static str> {
    all(low, "on")
        .any(|at| {
            let lead = before(low, at);
            if is_word(lead) || matches!(lead, b'.' | b'-' | b'$') {
                return false;
            }
            let name = word_at(low, at);
            let equals = skip_space(low, at + name.len());
            if !EVENTS.has(name) || byte(low, equals) != b'=' || matches!(byte(low, equals + 1), b'=' | b'>' | b'{') {
                return false;
            }
            let value = skip_space(low, equals + 1);
            // Code that assigns (`onclick = function`, `onload = () =>`) or JSX is not an attribute.
            let assigned = is_space(byte(low, equals + 1)) && !matches!(lead, b'"' | b'\'' | b'/');
            let tail = window(low, value, 160);
            !assigned && needles!("( ` = &# javascript \\u00").occur(tail)
        })
        .then_some("an event handler")
}

/// `javascript:…` where an address begins, and documents in an address.
fn address(low: &[u8]) -> Option<&'static str> {
    for scheme in ["script:", "script&colon;"] {
        for at in all(low, scheme) {
            let word = word_before(low, at + 6);
            if !matches!(word, b"javascript" | b"vbscript" | b"livescript") && !word.ends_with(b"javascript") {
                continue;
            }
            let tail = window(low, at + scheme.len(), 160);
            let code = skip_space(tail, 0);
            let glued = code == 0 || byte(tail, 0) != b' ';
            if glued && !rest(tail, code).is_empty() && needles!("( ` = // % & \\ .").occur(tail) {
                return Some("a script address");
            }
        }
    }
    let spread = has(low, "script") && squeezed_address(low);
    let document = ["data:text/html", "data:image/svg+xml", "data:application/xhtml", "data:text/xml"]
        .iter()
        .any(|kind| all(low, kind).any(|at| {
            let tail = window(low, at, 200);
            has(tail, ",") && (has_any(tail, &["<", "%3c", "base64", "&lt"]))
        } && !has(window(low, at, 200), "image/svg+xml;base64") || kind.ends_with("html") && has(window(low, at, 200), ",")));
    (spread || document).then_some("a script address")
}

/// `jav\tascript:` at the start of the string.
fn squeezed_address(low: &[u8]) -> bool {
    let mut wanted = b"javascript:".iter();
    let mut skipped = 0;
    for &b in trimmed(low).iter().take(64) {
        if is_space(b) && b != b' ' || b < 0x20 {
            skipped += 1;
        } else if wanted.next() != Some(&b) {
            return false;
        }
        if wanted.as_slice().is_empty() {
            return skipped > 0;
        }
    }
    false
}

fn styles(low: &[u8]) -> Option<&'static str> {
    let sheet = all(low, "<style").any(|at| {
        let tail = window(low, at, 400);
        has_any(tail, &["@import'", "@import ", "@import\"", "expression("]) || has(tail, "javascript:")
    });
    let expression = all(low, "expression(").any(|at| {
        matches!(before(low, at), b':' | b' ' | b'/' | b'*')
            && needles!("alert javascript eval document write =").occur(window(low, at, 80))
            && has(low, ":")
    });
    let binding = needles!(
        "-moz-binding: behavior:url( behaviour:url( url(javascript: url('javascript: \
                    url(\"javascript: @import'javascript @import·'javascript @import·\"javascript"
    )
    .occur(low);
    (sheet || expression || binding).then_some("a style that executes")
}
