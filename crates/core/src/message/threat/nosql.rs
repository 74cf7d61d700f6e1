//! NoSQL: would a document database take a part of a string as an operator or run it as JavaScript (CWE-943).
//!
//! Convicts are query operators where a key stands (in the message's own JSON, in JSON inside a string, in
//! form syntax), and JavaScript conditions behind a quote that closes. Update operators (`$set`) and schema
//! keywords (`$ref`) are not queries.

use std::sync::LazyLock;

use super::View;
use super::text::{
    Words, all, before, byte, has, has_any, is_word, needles, rest, skip_space, window, word_at, word_before, words,
};

/// Operators that turn a value into a query (MongoDB's names).
static QUERY_OPERATORS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "ne eq gt gte lt lte in nin not or and nor exists regex where expr elemmatch mod all size \
        function accumulator lookup jsonschema text comment",
    )
});

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    if view.key {
        let name = low.strip_prefix(b"$").unwrap_or_default();
        return QUERY_OPERATORS.has(name).then_some("a query operator as key");
    }
    for at in memchr::memchr_iter(b'$', low) {
        let name = word_at(low, at + 1);
        if QUERY_OPERATORS.has(name) && stands_as_key(low, at, at + 1 + name.len()) {
            return Some("a query operator where a key stands");
        }
    }
    script(low)
}

/// `{"$ne":`, `{$ne:`, `[$ne]=`, `.$where(`.
fn stands_as_key(low: &[u8], dollar: usize, end: usize) -> bool {
    let quote = before(low, dollar);
    if quote == b'[' {
        // As a form writes a key: nothing stands before it but the key's name.
        let short = low.len() < 64 && !low.iter().any(u8::is_ascii_whitespace);
        return byte(low, end) == b']' && (short || matches!(byte(low, end + 1), b'=' | b'['));
    }
    let (start, end) = match quote {
        b'"' | b'\'' => (dollar - 1, if byte(low, end) == quote { end + 1 } else { return false }),
        b'\\' => return matches!(byte(low, end), b'\\') && has(window(low, end, 8), ":"),
        _ => (dollar, end),
    };
    let opener = low.get(..start).unwrap_or_default().iter().rev().take(16).find(|b| !b.is_ascii_whitespace());
    let colon = skip_space(low, end);
    // `$name:expr` is a macro's parameter in Rust.
    let parameter = quote != b'"'
        && quote != b'\''
        && words!("expr ident ty tt path pat pat_param stmt block item meta literal lifetime vis")
            .has(word_at(low, colon + 1));
    matches!(opener, Some(b'{' | b',') | None) && byte(low, colon) == b':' && !parameter
}

/// `' || this.a == 'b`, `'; return true; var x='`, `1; while(true){}`.
fn script(low: &[u8]) -> Option<&'static str> {
    // Code has lines; what closes a quote in a form's field stands on the first.
    let first_line = memchr::memchr(b'\n', low).unwrap_or(low.len());
    let one_line = first_line + 1 >= low.len();
    let mut seen = [false; 2];
    for at in memchr::memchr2_iter(b'\'', b'"', low.get(..first_line).unwrap_or_default()) {
        // Every second quote ends a text of the string's own.
        let [single, double] = &mut seen;
        let inside = if byte(low, at) == b'"' { double } else { single };
        *inside = !*inside;
        if !*inside {
            continue;
        }
        let next = skip_space(low, at + 1);
        let next = if byte(low, next) == b')' { skip_space(low, next + 1) } else { next };
        let tail = rest(low, next);
        let condition = if tail.starts_with(b"||") || tail.starts_with(b"&&") {
            next + 2
        } else if byte(low, next) == b';' {
            next + 1
        } else {
            continue;
        };
        let at = skip_space(low, condition);
        let tail = rest(low, at);
        if [
            "this.",
            "return ",
            "return(",
            "while(",
            "while (",
            "db.",
            "sleep(",
            "function(",
            "function (",
            "it=new",
            "var ",
        ]
        .iter()
        .any(|word| tail.starts_with(word.as_bytes()))
        {
            return Some("a quote closes and JavaScript goes on");
        }
        if is_comparison(low, at) {
            return Some("a quote closes and a JavaScript condition goes on");
        }
    }
    let starts = skip_space(low, 0);
    // `0; return true`: a number ends, and a function's body goes on.
    let digits = rest(low, starts).iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    let body = skip_space(low, starts + digits + 1);
    if one_line && digits > 0 && byte(low, starts + digits) == b';' && low.len() < 200 {
        let tail = rest(low, body);
        let value = rest(tail, skip_space(tail, 6));
        let returns = tail.starts_with(b"return")
            && (words!("true false this db new function").has(word_at(value, 0))
                || matches!(byte(value, 0), b'0'..=b'9' | b'!' | b'\'' | b'"' | b'('))
            || tail.starts_with(b"while(")
            || tail.starts_with(b"while (");
        if returns || tail.starts_with(b"var ") && needles!("while( while·( do{ return").occur(tail) {
            return Some("a JavaScript condition goes on");
        }
    }
    let tail = rest(low, starts);
    if tail.starts_with(b"||") && is_comparison(low, skip_space(low, starts + 2)) {
        return Some("a JavaScript condition goes on");
    }
    if one_line
        && has(low, "this.")
        && !has_any(low, &["function", "=>", "){"])
        && needles!("return·this. true,·this. .match(/ this.password this.user").occur(low)
        && has_any(low, &["||", "&&", ";", "$where"])
    {
        return Some("a JavaScript condition on the document");
    }
    if all(low, "db.").any(|at| is_database_call(low, at)) {
        return Some("a database call");
    }
    None
}

/// `1==1`, `'a'=='a`, `1 == 1`.
fn is_comparison(low: &[u8], at: usize) -> bool {
    let tail = window(low, at, 64);
    let Some(op) = memchr::memmem::find(tail, b"==") else { return false };
    let left = tail.get(..op).unwrap_or_default().trim_ascii();
    let right = rest(tail, op + 2);
    let right = right.strip_prefix(b"=").unwrap_or(right).trim_ascii();
    let bare = |side: &[u8]| -> Vec<u8> {
        side.iter().copied().take(32).take_while(|b| !b"/;%".contains(b)).filter(|b| is_word(*b)).collect()
    };
    let literal = |side: &[u8]| matches!(side.first(), Some(b'0'..=b'9' | b'\'' | b'"'));
    literal(left) && literal(right) && (bare(left) == bare(right) || left.len() <= 4)
}

/// `db.users.find(`, not a word of prose.
fn is_database_call(low: &[u8], at: usize) -> bool {
    static CALLS: LazyLock<Words> = LazyLock::new(|| {
        Words::new("find findone insert remove drop getcollectionnames stores injection eval dropdatabase")
    });
    if is_word(before(low, at)) {
        return false;
    }
    let tail = window(low, at, 64);
    let Some(paren) = memchr::memchr(b'(', tail) else { return false };
    CALLS.has(word_before(tail, paren)) && needles!("'; \"; }); return ||").occur(low)
}
