//! Expressions that only a database evaluates, wherever they stand: spellings that a parser accepts and nobody writes,
//! calls glued between the quotes of somebody else's text, subqueries in place of a value.

use super::super::text::{
    all, before, byte, has, is_space, is_word, needles, one_of, rest, skip_space, window, word_at, word_before, words,
};
use super::{Operand, close_paren, comparison, gap, junction, operand, swallows};

/// Bytes looked at from either end of a long text.
const END_BYTES: usize = 4096;

/// `sleep(5)#`, `and pi()=pi()`: a call and what a statement would have beside it, and nothing else.
fn alone(low: &[u8]) -> Option<&'static str> {
    let low = low.trim_ascii();
    let name = word_at(low, 0);
    if name == b"pg_sleep" && byte(low, name.len()) == b'(' && low.len() < 24 {
        return Some("a database function and a comment that swallows the rest");
    }
    if words!("sleep pg_sleep benchmark randomblob load_file lo_import").has(name) && byte(low, name.len()) == b'(' {
        let end = close_paren(low, name.len());
        let tail = rest(low, end);
        return (name == b"lo_import" || matches!(tail, b"--" | b"#" | b"-- -" | b"--+"))
            .then_some("a database function and a comment that swallows the rest");
    }
    let after = if one_of(name, &["and", "or"]) { name.len() } else { 0 };
    let call = |from: usize| match operand(low, from) {
        Some((Operand::Call, end)) => Some(end),
        _ => None,
    };
    let end = call(gap(low, after))?;
    // A listing has lines.
    if low.contains(&b'\n') && !has(low, "/*") {
        return None;
    }
    if after == 0 {
        // `pi() and cos(pi())=-1`.
        let next = gap(low, junction(low, gap(low, end))?);
        let right = comparison(low, call(next)?)?;
        return operand(low, right).map(|_| "calls compared, and nothing else");
    }
    let (_, stop) = operand(low, comparison(low, end)?)?;
    (gap(low, stop) >= low.len() || swallows(low, gap(low, stop))).then_some("calls compared, and nothing else")
}

/// `'x'!='y`, `'1001'='10`: a text compared with one that somebody else's quote ends.
fn open_ended(low: &[u8]) -> Option<&'static str> {
    let low = low.trim_ascii();
    let quote = byte(low, 0);
    let (kind, end) = operand(low, 0).filter(|_| matches!(quote, b'\'' | b'"'))?;
    let next = comparison(low, end)?;
    let tail = rest(low, next + 1);
    let open = byte(low, next) == quote && !tail.is_empty() && tail.len() < 32 && !tail.contains(&quote);
    (kind == Operand::Text && open && tail.iter().all(|b| is_word(*b)))
        .then_some("a comparison that somebody else's quote ends")
}

/// Whether the string has one.
pub(in super::super) fn expression(low: &[u8]) -> Option<&'static str> {
    // Of a long text its two ends: what is put into a statement stands where the text begins or stops.
    let (head, tail) = low.split_at_checked(END_BYTES).unwrap_or((low, b""));
    let tail = if tail.len() > END_BYTES { rest(tail, tail.len() - END_BYTES) } else { tail };
    if tail.is_empty() { within(low) } else { within(head).or_else(|| within(tail)) }
}

fn within(low: &[u8]) -> Option<&'static str> {
    None.or_else(|| spelled(low))
        .or_else(|| chooses(low))
        .or_else(|| glued_call(low))
        .or_else(|| called(low))
        .or_else(|| subquery(low))
        .or_else(|| ends_in_comment(low))
        .or_else(|| alone(low))
        .or_else(|| open_ended(low))
}

/// `1.e(…`, `concat(0x3c62723e,…`, `benchmark(5000000,md5(…`, `@:=`, `or {if length(…`.
fn spelled(low: &[u8]) -> Option<&'static str> {
    let exponent = all(low, ".e(").any(|at| before(low, at).is_ascii_digit());
    let assigned = has(low, "@:=") && has(low, "select");
    let spells = memchr::memchr_iter(b'(', low).any(|open| {
        let inner = gap(low, open + 1);
        match word_before(low, open) {
            b"concat" | b"concat_ws" | b"char" | b"unhex" | b"group_concat" | b"make_set" | b"elt" => {
                let digits = window(low, inner + 2, 64).iter().take_while(|b| b.is_ascii_hexdigit()).count();
                rest(low, inner).starts_with(b"0x")
                    && digits >= 6
                    && matches!(byte(low, inner + 2 + digits), b',' | b')')
            }
            b"benchmark" => {
                let count = word_at(low, inner);
                let comma = gap(low, inner + count.len());
                let worked = gap(low, comma + 1);
                count.len() >= 4
                    && count.iter().all(u8::is_ascii_digit)
                    && byte(low, comma) == b','
                    && byte(low, worked + word_at(low, worked).len()) == b'('
            }
            _ => false,
        }
    });
    let escaped = ["or", "and"].iter().any(|word| {
        all(low, word).any(|at| {
            let brace = gap(low, at + word.len());
            let name = word_at(low, brace + 1);
            let call = gap(low, brace + 1 + name.len());
            byte(low, brace) == b'{'
                && !is_word(before(low, at))
                && !name.is_empty()
                && call > brace + 1 + name.len()
                && byte(low, call + word_at(low, call).len()) == b'('
        })
    });
    (exponent || assigned || spells || escaped).then_some("an expression that only a database reads")
}

/// `case when 7=7 then`, `iif(7=7,…`, `elt(7=7,…`, `(7=7)*9`: a choice by a literal that is compared with itself.
fn chooses(low: &[u8]) -> Option<&'static str> {
    let same = |from: usize| {
        let from = if byte(low, from) == b'(' { gap(low, from + 1) } else { from };
        let left = word_at(low, from);
        let equals = gap(low, from + left.len());
        let next = gap(low, equals + 1);
        let number = !left.is_empty() && left.iter().all(u8::is_ascii_digit);
        (number && byte(low, equals) == b'=' && word_at(low, next) == left).then(|| next + left.len())
    };
    let by_case = all(low, "when").any(|at| {
        let end = same(gap(low, at + 4)).map(|end| gap(low, end + usize::from(byte(low, end) == b')')));
        end.is_some_and(|end| word_at(low, end) == b"then") && has(rest(low, at), "else")
    });
    let by_call = memchr::memchr_iter(b'(', low).any(|open| {
        words!("iif elt make_set if").has(word_before(low, open))
            && same(gap(low, open + 1)).is_some_and(|end| byte(low, gap(low, end)) == b',')
    });
    let by_product = byte(low, 0) == b'('
        && same(1).is_some_and(|end| rest(low, end).starts_with(b")*") && byte(low, end + 2).is_ascii_digit());
    (by_case || by_call || by_product).then_some("an expression that only a database reads")
}

/// `' || owner.call('a') || '`, `x'.sleep(12).'`, `'+sleep(5)+'`: a call between quotes that close and open.
fn glued_call(low: &[u8]) -> Option<&'static str> {
    let joined = |at: usize| match byte(low, at) {
        b'|' if byte(low, at + 1) == b'|' => Some(at + 2),
        b'+' | b'.' => Some(at + 1),
        _ => None,
    };
    let found = memchr::memchr2_iter(b'\'', b'"', low).take(16).any(|quote| {
        let Some(next) = joined(skip_space(low, quote + 1)) else { return false };
        let start = skip_space(low, next);
        let mut end = start + word_at(low, start).len();
        while byte(low, end) == b'.' && is_word(byte(low, end + 1)) {
            end += 1 + word_at(low, end + 1).len();
        }
        if end == start || byte(low, end) != b'(' {
            return false;
        }
        let Some(next) = joined(skip_space(low, close_paren(low, end))) else { return false };
        // What is joined by dots or pluses may be a program's text; a short string whose quotes do not pair is none.
        let lone =
            low.len() < 80 && memchr::memchr2_iter(b'\'', b'"', low.get(..quote).unwrap_or_default()).count() == 0;
        byte(low, skip_space(low, next)) == byte(low, quote) && lone && !low.ends_with(b"\")") && !low.ends_with(b"')")
    });
    found.then_some("a call between quotes that close and open")
}

/// `' and likelihood(id,0)--`, `'or(glob 1)--`, `and case when 1=1 then`: a condition that is a call or a case.
fn called(low: &[u8]) -> Option<&'static str> {
    let found = memchr::memchr2_iter(b'\'', b'"', low).take(8).any(|quote| {
        let at = gap(low, quote + 1);
        let Some(mut after) = junction(low, at) else { return false };
        if byte(low, at).is_ascii_alphabetic() && is_word(byte(low, after)) {
            return false;
        }
        after = gap(low, after);
        while byte(low, after) == b'(' || word_at(low, after) == b"not" {
            after = gap(low, after + word_at(low, after).len().max(1));
        }
        if case_when(low, after) {
            return true;
        }
        let name = word_at(low, after);
        let open = gap(low, after + name.len());
        if name.len() < 3 {
            return false;
        }
        let mut end = if byte(low, open) == b'(' { close_paren(low, open) } else { gap(low, operand_end(low, open)) };
        while byte(low, gap(low, end)) == b')' {
            end = gap(low, end) + 1;
        }
        let end = gap(low, end);
        let glued = byte(low, open) == b'(' || byte(low, end.saturating_sub(1)) == b')';
        let reopened = junction(low, end).is_some_and(|next| byte(low, gap(low, next)) == byte(low, quote));
        glued && (swallows(low, end) && byte(low, end) != 0 || reopened)
    });
    let led = junction(low, 0).is_some_and(|after| {
        let at = gap(low, after);
        // `case when [query] then 1 else …`: a place left to be filled.
        let blank = word_at(low, at) == b"case"
            && has(rest(low, at), "when")
            && has(rest(low, at), "then")
            && has(rest(low, at), "else");
        case_when(low, at) || blank && low.len() < 200
    });
    (found || led).then_some("a condition that calls the database")
}

fn operand_end(low: &[u8], at: usize) -> usize {
    operand(low, at).map_or(at, |(_, end)| end)
}

/// `case when a=b then`.
fn case_when(low: &[u8], at: usize) -> bool {
    let when = gap(low, at + 4);
    word_at(low, at) == b"case"
        && word_at(low, when) == b"when"
        && operand(low, when + 4).and_then(|(_, end)| comparison(low, end)).is_some()
        && has(rest(low, when), "then")
}

/// `= all (select …`, `rlike (select …`, `in (select …)`, `(select a from b limit 1,1)` and nothing else.
fn subquery(low: &[u8]) -> Option<&'static str> {
    let found = all(low, "select").take(8).any(|at| {
        let open = skip_back(low, at);
        if open == 0 || before(low, open) != b'(' || is_word(byte(low, at + 6)) {
            return false;
        }
        let quantifier = word_before(low, skip_back(low, open - 1));
        let whole = skip_space(low, 0) + 1 == open && low.ends_with(b")");
        let operator = words!("all any some rlike regexp in exists").has(quantifier);
        let led = operator && skip_back(low, open - 1) == quantifier.len();
        let compared = matches!(quantifier, b"all" | b"any" | b"some") && has(low, "=");
        let lists = needles!("from case concat char( chr( count( password").occur(window(low, at, 160));
        let columns = needles!(", * ( = ·limit· ·where·").occur(rest(low, at));
        lists && (whole && columns && has(low, " from ") && low.len() < 200 || led) || compared
    });
    found.then_some("a subquery in place of a value")
}

fn skip_back(low: &[u8], at: usize) -> usize {
    at - low.get(..at).unwrap_or_default().iter().rev().take(16).take_while(|b| is_space(**b)).count()
}

/// `delete from users;--`: a statement whose author wants nothing behind it read.
fn ends_in_comment(low: &[u8]) -> Option<&'static str> {
    let low = low.trim_ascii_end();
    let head = low.strip_suffix(b"--").or_else(|| low.strip_suffix(b"#"))?.trim_ascii_end().strip_suffix(b";")?;
    let verb = words!("select delete insert update drop alter create truncate exec grant").has(word_at(head, 0));
    let object = needles!("·from· ·into· ·set· ·table· ·user· ·to·").occur(head);
    (verb && object && head.len() < 200).then_some("a statement and a comment that swallows the rest")
}
