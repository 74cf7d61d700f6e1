//! JavaScript without a tag: behind a quote that closes, or nothing but a probe.

use std::sync::LazyLock;

use super::super::text::{
    Words, all, before, byte, has, has_any, is_space, is_word, needles, skip_space, window, word_before, words_up_to,
};

/// Calls that a probe makes to show that it ran.
static PROBES: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "alert confirm prompt eval settimeout setinterval function import fetch write writeln print \
        open atob",
    )
});

/// What convicts, if anything does.
pub(super) fn judge(low: &[u8]) -> Option<&'static str> {
    let (mut quotes, mut counted) = (0_usize, 0_usize);
    // `}alert(/x/);{//`: where nothing but the end of a block has stood. Found once, not for each of a thousand calls.
    let closing = |b: u8| matches!(b, b'}' | b')');
    let ended = low.iter().position(|&b| closing(b));
    let goes_on =
        low.iter().position(|&b| !(is_space(b) || closing(b) || matches!(b, b';' | b']'))).unwrap_or(low.len());
    for at in memchr::memchr2_iter(b'(', b'`', low) {
        let name_end = low
            .get(..at)
            .unwrap_or_default()
            .iter()
            .rev()
            .take(8)
            .position(|b| !is_space(*b) && !matches!(b, b')' | b'?' | b'.'))
            .map_or(0, |n| at - n);
        let name = word_before(low, name_end);
        if !PROBES.has(name) {
            continue;
        }
        let start = name_end - name.len();
        quotes += memchr::memchr3_iter(b'\'', b'"', b'`', low.get(counted..start).unwrap_or_default()).count();
        counted = start.max(counted);
        if breaks_out(low, start, quotes % 2 == 1)
            && !matches!(name, b"function" | b"import" | b"write" | b"print" | b"open")
        {
            return Some("a quote closes and JavaScript goes on");
        }
        let closes = start <= goes_on && ended.is_some_and(|ended| ended < start);
        if closes && matches!(name, b"alert" | b"confirm" | b"prompt" | b"eval") {
            return Some("a quote closes and JavaScript goes on");
        }
        if is_probe(low, name, at) {
            return Some("JavaScript that probes");
        }
    }
    let method = has_any(
        low,
        &[
            "].find(alert",
            "].map(alert",
            "].foreach(alert",
            "].filter(alert",
            "].every(alert",
            "].some(alert",
            "].findindex(alert",
        ],
    );
    let spelled = ["alert", "eval", "cookie", "prompt", "confirm"].iter().any(|name| {
        all(low, name).any(|at| {
            let quote = before(low, at);
            matches!(quote, b'\'' | b'"' | b'/')
                && before(low, at - 1) == b'['
                && is_word(before(low, at.saturating_sub(2)))
        })
    });
    if method || spelled || has_any(low, &["+adw-", "eval('", "eval(\""]) && has_any(low, &["+adw-", "'+'", "\"+\""]) {
        return Some("JavaScript that hides");
    }
    obfuscated(low).then_some("JavaScript that hides")
}

/// The statement before `start` is a string that was closed.
fn breaks_out(low: &[u8], start: usize, odd: bool) -> bool {
    let head = low.get(..start).unwrap_or_default();
    let mut lead = head.iter().rev().take(12);
    let Some(first) = lead.clone().find(|b| !is_space(**b)) else { return false };
    if !matches!(
        first,
        b';' | b'-'
            | b'+'
            | b'*'
            | b'/'
            | b'^'
            | b'|'
            | b'&'
            | b','
            | b'('
            | b'}'
            | b'='
            | b'?'
            | b'<'
            | b'>'
            | b'%'
            | b'['
            | b':'
    ) {
        return false;
    }
    let quote = lead.find(|b| {
        !is_space(**b)
            && !matches!(
                b,
                b';' | b'-'
                    | b'+'
                    | b'*'
                    | b'^'
                    | b'|'
                    | b'&'
                    | b'}'
                    | b')'
                    | b'('
                    | b','
                    | b'/'
                    | b'?'
                    | b'<'
                    | b'>'
                    | b'%'
                    | b'!'
                    | b'~'
                    | b'='
            )
    });
    // A text that itself begins as a string joins the call to it.
    let joined = matches!(head.first(), Some(b'\'' | b'"')) && start < 200 && words_up_to(low, 8) < 8;
    matches!(quote, Some(b'\'' | b'"' | b'`' | b'\\')) && odd || joined && matches!(quote, Some(b'\'' | b'"'))
}

/// `alert(1)`, `prompt(document.cookie)`: a call made only to be seen.
fn is_probe(low: &[u8], name: &[u8], paren: usize) -> bool {
    if !matches!(name, b"alert" | b"confirm" | b"prompt" | b"eval") {
        return false;
    }
    let argument = window(low, skip_space(low, paren + 1), 48);
    let first = byte(argument, 0);
    let number = first.is_ascii_digit()
        && argument
            .iter()
            .take(12)
            .find(|b| !b.is_ascii_digit())
            .is_none_or(|b| matches!(b, b')' | b'`' | b';' | b'/'));
    // A question put to somebody has words in it.
    let asked = matches!(first, b'\'' | b'"')
        && has(window(argument, 0, 40), " ")
        && !needles!("xss cookie document 1337").occur(argument);
    let spoils = !asked
        && needles!(
            "document cookie origin location xss string.fromcharcode atob( window. name) domain 1337 \
                    self[ hash /x/ 'x' \"x\""
        )
        .occur(argument);
    number
        || spoils && argument.len() < 200
        || first == b'/' && has(argument, ".source")
        || matches!(first, b')') && name != b"eval" && low.len() < 24
}

/// Ways to name a function without its name.
fn obfuscated(low: &[u8]) -> bool {
    needles!(
        "fromcharcode( [].constructor constructor.constructor .constructor( []['constructor (![]+[]) \
                    [][( eval(atob eval(name eval(location document['cookie document[\"cookie window['alert \
                    window[\"alert self['alert self[\"alert top['al top[\"al top[/al top[8680439 parent['al \
                    window['al globalthis[ settimeout` document.cookie innerhtml= outerhtml= document.write( \
                    document.location= window.location= location.href= location=' location=\" location=name \
                    self['\\x eval.call alert.call alert.apply .source+/ throw·onerror \
                    onerror=alert onerror=eval document.domain __proto__[ __proto__. constructor[prototype \
                    confirm.call prompt.call confirm.apply prompt.apply"
    )
    .occur(low)
    // `--location=LOCATION` is an option in a manual.
    .then_some(true)
    .or_else(|| all(low, "location=location").any(|at| before(low, at) != b'-').then_some(true))
    .is_some()
        && (has(low, "(") || has(low, "=") || has(low, "`") || low.len() < 24)
        && !is_prose(low)
}

/// Several words and a sentence's end: somebody explains.
fn is_prose(low: &[u8]) -> bool {
    words_up_to(low, 12) >= 12
}
