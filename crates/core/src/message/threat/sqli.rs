//! SQL injection: does a string close the context it is put into and go on as SQL (CWE-89).
//!
//! Three ways in: a quote that closes, a value that ends where a number would, a statement of its own. Behind
//! each, the grammar decides ([`super::sql`]): a condition between operands, `UNION SELECT`, a statement after
//! `;`, a comment that swallows the rest, a function that waits or reveals. `O'Brien`, arithmetic, and
//! sentences with `select` and `or` have no such continuation.

use super::View;
use super::prefilter;
use super::signs::Signs;
use super::sql::{
    FUNCTIONS, Operand, arithmetic, comparison, condition, expression, fragment, functions, gap, junction,
    numeric_condition, operand, selects, statement, statements, swallows, tautology,
};
use super::text::{
    all, before, byte, has, is_space, is_word, needles, one_of, places_max, rest, trimmed, window, word_at, words,
    words_up_to,
};

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = trimmed(view.low);
    let shows = |signs| view.signs.any(signs);
    let quoted = Signs::QUOTE.and(Signs::COMMENT).and(Signs::COMPARISON);
    let named = Signs::CALL.and(Signs::SERVER_VARIABLE).and(Signs::STATEMENT);
    None.or_else(|| shows(Signs::STATEMENT).then(|| union(low)).flatten())
        .or_else(|| shows(Signs::COMMENT).then(|| torn(low)).flatten())
        .or_else(|| shows(quoted).then(|| behind_quotes(low)).flatten())
        .or_else(|| shows(Signs::VALUE.and(Signs::COMMENT)).then(|| behind_value(low)).flatten())
        .or_else(|| shows(Signs::COMPARISON).then(|| tautology(low)).flatten())
        .or_else(|| shows(named).then(|| functions(low)).flatten())
        .or_else(|| shows(Signs::STATEMENT.and(Signs::SEPARATOR)).then(|| statements(low)).flatten())
        .or_else(|| fragment(low))
        .or_else(|| expression(low))
}

/// `UNION [ALL] SELECT` with something selected.
fn union(low: &[u8]) -> Option<&'static str> {
    let found = all(low, "union").any(|at| {
        let lead = before(low, at);
        if is_word(lead) && !lead.is_ascii_digit() && lead != b'f' && lead != b'e' && lead != b'd' {
            return false;
        }
        let mut next = gap(low, at + 5);
        let word = word_at(low, next);
        if one_of(word, &["all", "distinct", "distinctrow"]) {
            next = gap(low, next + word.len());
        }
        while matches!(byte(low, next), b'(' | b'+' | b'%') {
            next = gap(low, next + 1);
        }
        let tail = rest(low, next);
        if let Some(columns) = tail.strip_prefix(b"select") {
            return selects(columns) || next > at + 6 && byte(low, next - 1) != b' ';
        }
        tail.starts_with(b"values") && byte(low, gap(low, next + 6)) == b'(' || tail.starts_with(b"table ")
    });
    found.then_some("a second SELECT joined by UNION")
}

/// `un/**/ion sel/**/ect`: comments that stand inside words.
fn torn(low: &[u8]) -> Option<&'static str> {
    if !has(low, "/**/") || low.len() > 512 || needles!("union select").occur(low) {
        return None;
    }
    let mut bare = Vec::with_capacity(low.len());
    let mut tail = low;
    while let Some(at) = memchr::memmem::find(tail, b"/**/") {
        bare.extend_from_slice(tail.get(..at).unwrap_or_default());
        tail = rest(tail, at + 4);
    }
    bare.extend_from_slice(tail);
    bare.retain(|b| !is_space(*b));
    needles!("unionselect unionallselect").occur(&bare).then_some("a second SELECT joined by UNION")
}

/// A quote that closes, with SQL behind it.
fn behind_quotes(low: &[u8]) -> Option<&'static str> {
    let mut seen = [0_usize; 3];
    let mut places = 0;
    for (n, at) in memchr::memchr3_iter(b'\'', b'"', b'`', low).enumerate() {
        let quote = byte(low, at);
        let slot = usize::from(quote == b'"') + 2 * usize::from(quote == b'`');
        let count = seen.get(slot).copied().unwrap_or(0);
        if let Some(count) = seen.get_mut(slot) {
            *count += 1;
        }
        let opens_text = count % 2 == 1;
        // A letter before and behind is an apostrophe.
        if is_word(byte(low, at + 1))
            && is_word(before(low, at))
            && !needles!("or· or' or/ and· union or\" having").occur(window(low, at + 1, 8))
        {
            continue;
        }
        if !prefilter::quote_asks(low, at) {
            continue;
        }
        places += 1;
        if places > places_max(low) {
            return Some("a text full of quotes that close");
        }
        if let Some(rule) = continues(low, at + 1, quote, !opens_text, n) {
            return Some(rule);
        }
    }
    None
}

/// Whether SQL goes on after a quote. `first`: the quote can close what the query opened.
fn continues(low: &[u8], from: usize, quote: u8, first: bool, nth: usize) -> Option<&'static str> {
    let mut at = gap(low, from);
    let mut closed = false;
    while matches!(byte(low, at), b')' | b']') {
        closed = true;
        at = gap(low, at + 1);
    }
    if !first {
        // Inside the string's own pairs of quotes only a whole condition counts.
        return (nth < 8 && byte(low, from) != quote).then(|| condition(low, at, true)).flatten();
    }
    if swallows(low, at)
        && (at == from || closed || byte(low, at) != b'#')
        && (nth == 0 || low.len() < 64)
        && !matches!(quote, b'`')
    {
        let value = low.get(..from.saturating_sub(1)).unwrap_or_default();
        let nothing = byte(low, at) == 0 && !value.last().copied().is_some_and(is_word);
        let lone = byte(low, at) == b';' && rest(low, at).len() == 1;
        // `"--wide"`, `'--' =>`, `print("--- a ---")`: texts that begin with dashes.
        let dashes = byte(low, at) == b'-' && is_text_of_dashes(low, at, quote, value);
        if value.len() < 48
            && words_up_to(value, 4) < 4
            && !nothing
            && !dashes
            && !(lone && nth > 0)
            && !(lone && value.iter().any(|b| is_space(*b)))
        {
            return Some("a quote closes and a comment swallows the rest");
        }
    }
    if byte(low, at) == b';' {
        let next = gap(low, at + 1);
        if statement(low, next, true) {
            return Some("a quote closes and a statement follows");
        }
    }
    if let Some(rule) = condition(low, at, false) {
        return Some(rule);
    }
    let word = word_at(low, at);
    let after = gap(low, at + word.len());
    let clause = match word {
        b"order" | b"group" => word_at(low, after) == b"by",
        b"limit" | b"offset" => byte(low, after).is_ascii_digit(),
        b"having" | b"where" => operand(low, after).is_some_and(|(_, end)| comparison(low, end).is_some()),
        b"procedure" => word_at(low, after) == b"analyse",
        b"into" => one_of(word_at(low, after), &["outfile", "dumpfile"]),
        b"union" => true,
        b"like" | b"rlike" | b"regexp" | b"between" | b"in" | b"is" => {
            let apart = is_space(byte(low, from)) && from < 32;
            apart
                && matches!(
                    operand(low, after),
                    Some((Operand::Text | Operand::OpenText | Operand::Call | Operand::Query, _))
                )
        }
        b"waitfor" => word_at(low, after) == b"delay",
        b"if" => byte(low, after) == b'(' && from < 32,
        _ => false,
    };
    if clause && (word != b"union" || matches!(word_at(low, after), b"all" | b"select" | b"distinct")) {
        return Some("a quote closes and a clause follows");
    }
    operator(low, at, quote, from)
}

/// The quote opens a text of dashes, or an option, that the same quote closes.
fn is_text_of_dashes(low: &[u8], at: usize, quote: u8, value: &[u8]) -> bool {
    let inner = rest(low, at + 2);
    let word = inner.iter().take(64).take_while(|&&b| is_word(b) || matches!(b, b'-' | b'=' | b'.')).count();
    let closed = byte(inner, word) == quote;
    let behind = rest(inner, word + 1).trim_ascii();
    let option = closed && word > 0 && byte(inner, 0) != b'-';
    let listed = closed && word == 0 && behind.len() > 3;
    let argument = value.ends_with(b"(") && inner.contains(&quote);
    option || listed || argument
}

/// `'+(select …)`, `'||'a`, `'='`, `'-0-'`: an expression goes on.
fn operator(low: &[u8], at: usize, quote: u8, from: usize) -> Option<&'static str> {
    let tail = rest(low, at);
    let op = match byte(low, at) {
        b'|' if tail.starts_with(b"||") => 2,
        b'+' | b'-' | b'*' | b'/' | b'^' | b'%' | b'&' | b'|' => 1,
        b'=' | b'<' | b'>' | b'!' => comparison(low, at)? - at,
        b',' | b'(' => 1,
        _ => return None,
    };
    let (kind, end) = operand(low, at + op)?;
    let called = word_at(low, gap(low, at + op));
    let convicts = match kind {
        Operand::Query => true,
        Operand::Call => {
            FUNCTIONS.has(called) && byte(low, at) != b','
                || byte(low, at) == b','
                    && words!("sleep benchmark pg_sleep extractvalue updatexml load_file").has(called)
        }
        Operand::Number => {
            swallows(low, gap(low, end)) && from < 48 && byte(low, at) != b'('
                || byte(low, gap(low, end)) == b'-' && byte(low, gap(low, end) + 1) == quote
        }
        Operand::Text | Operand::OpenText => {
            // Nothing but quotes and an operator: `'='`, `x'-'`.
            let head = low.get(..from.saturating_sub(1)).unwrap_or_default();
            let short =
                head.len() <= 16 && head.iter().all(|&b| is_word(b)) && byte(low, at) != b',' && byte(low, at) != b'(';
            let rest_is_short =
                rest(low, at + op).len() <= 12 && !rest(low, at + op).iter().any(|&b| is_space(b) && b != b' ');
            let bare = || {
                let plain =
                    |&b: &u8| b == quote || is_space(b) || b.is_ascii_digit() || matches!(b, b'-' | b'#' | b'=');
                quote == b'\'' && rest(low, at + op).iter().all(plain)
            };
            short && rest_is_short && bare() && byte(low, at + op) != b'>'
                || short && junction(low, gap(low, end)).is_some()
        }
        Operand::Variable => tail.starts_with(b"@@") || window(low, at + op, 8).starts_with(b"@@"),
        Operand::Constant => swallows(low, gap(low, end)),
        Operand::Name => swallows(low, gap(low, end)) && from < 24 && matches!(byte(low, at), b'=' | b'|'),
    };
    convicts.then_some("a quote closes and an expression goes on")
}

/// A string that begins as a value and goes on as SQL: `1 or 1=1`, `-1) union`, `x and sleep(3)`.
fn behind_value(low: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    let mut digits = false;
    while matches!(byte(low, at), b'(' | b'-' | b'+' | b'~' | b'!' | b'@' | b' ' | b'.' | b'?' | b'&') {
        at += 1;
    }
    if let Some(equals) = memchr::memchr(b'=', window(low, at, 24))
        && window(low, at, equals).iter().all(|&b| is_word(b))
        && byte(low, at + equals + 1).is_ascii_digit()
    {
        at += equals + 1;
    }
    let word = word_at(low, at);
    if junction(low, at).is_none() {
        digits = word.first().is_some_and(u8::is_ascii_digit);
        at += word.len();
        if digits && byte(low, at) == b'.' {
            at += 1 + word_at(low, at + 1).len();
        }
        if digits && byte(low, at) == b'+' {
            at = arithmetic(low, at);
        }
    }
    let value_end = at;
    let mut next = gap(low, at);
    let mut closed = false;
    while byte(low, next) == b')' {
        closed = true;
        next = gap(low, next + 1);
    }
    let spaced =
        next > value_end || closed || !word.is_empty() && junction(low, value_end).is_some() || word.is_empty();
    if !spaced {
        return None;
    }
    let keyword = word_at(low, next);
    if (digits || closed || word.is_empty()) && !matches!(keyword, b"having" | b"where") {
        let symbolic = matches!(byte(low, next), b'|' | b'&');
        if (!symbolic || word.len() <= 2 || has(low, "select"))
            && let Some(rule) = numeric_condition(low, next, symbolic)
        {
            return Some(rule);
        }
    } else if junction(low, next).is_some()
        && !word.is_empty()
        && let Some(rule) = condition(low, next, true)
    {
        return Some(rule);
    }
    let after = gap(low, next + keyword.len());
    let clause = match keyword {
        b"order" | b"group" => {
            word_at(low, after) == b"by" && byte(low, gap(low, after + 2)).is_ascii_digit() && (digits || closed)
        }
        b"having" => {
            comparison(low, operand(low, after).map_or(after, |(_, end)| end)).is_some()
                && (digits || closed || word.is_empty())
        }
        b"waitfor" => word_at(low, after) == b"delay",
        b"procedure" => word_at(low, after) == b"analyse",
        b"into" => one_of(word_at(low, after), &["outfile", "dumpfile"]),
        b"rlike" | b"regexp" | b"like" => {
            digits && matches!(operand(low, after), Some((Operand::Query | Operand::Call, _)))
        }
        _ => false,
    };
    if clause {
        return Some("a value ends and a clause follows");
    }
    if digits && next > value_end && statement(low, next, false)
        || (digits || closed) && byte(low, next) == b';' && statement(low, gap(low, next + 1), true)
    {
        return Some("a value ends and a statement follows");
    }
    if (digits && rest(low, next).len() < 6 || closed && low.len() < 24)
        && byte(low, next) != b';'
        && byte(low, next) != b'#'
        && swallows(low, next)
    {
        return Some("a value ends and a comment swallows the rest");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_a_statement() {
        for text in
            ["drop the table", "update me", "select", "insert coin", "delete from memory", "2 and a half", "1 or 2"]
        {
            let view = View { low: text.as_bytes(), key: false, layers: 0, signs: Signs::all() };
            assert_eq!(judge(&view), None, "{text}");
        }
    }
}
