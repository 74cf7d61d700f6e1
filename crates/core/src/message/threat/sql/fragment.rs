//! Pieces of SQL that make sense only inside a statement of somebody else's.

use super::super::text::{byte, has, is_space, is_word, needles, one_of, rest, word_at};
use super::{FUNCTIONS, Operand, comparison, gap, junction, operand, statement};

/// Whether the string is such a piece, from its first word or its first quote.
pub(in super::super) fn fragment(low: &[u8]) -> Option<&'static str> {
    None.or_else(|| unfinished(low))
        .or_else(|| bare_condition(low))
        .or_else(|| sandwiched(low))
        .or_else(|| ordered(low))
        .or_else(|| inner(low))
}

/// `or 1=`, `having 1=`, `' or 'x' <`, `and 1=(`: a condition whose other side is the statement's.
fn unfinished(low: &[u8]) -> Option<&'static str> {
    let mut at = word_at(low, 0).len();
    let quoted = matches!(byte(low, at), b'\'' | b'"');
    at = if quoted || byte(low, at) == b'=' { at + 1 } else { 0 };
    at = gap(low, at);
    let having = word_at(low, at) == b"having";
    let from = if having { at + 6 } else { junction(low, at)? };
    let (kind, end) = operand(low, gap(low, from))?;
    let literal = matches!(kind, Operand::Number | Operand::Text | Operand::OpenText);
    let named = quoted && matches!(kind, Operand::Name);
    if !(literal || named) {
        return None;
    }
    let end = comparison(low, gap(low, end))?;
    let open = rest(low, end).iter().all(|&b| is_space(b) || matches!(b, b'\'' | b'"' | b'(' | b'`'));
    open.then_some("a condition whose other side is a statement's own")
}

/// `' or "`, `x' - 'y`, `'+'x`: an operator between a quote that closes and one that opens again.
fn sandwiched(low: &[u8]) -> Option<&'static str> {
    let quote = low.iter().position(|b| matches!(b, b'\'' | b'"'))?;
    let head = low.get(..quote)?;
    if head.len() > 16 || !head.iter().all(|&b| is_word(b) || matches!(b, b'\\' | b'@' | b'.')) {
        return None;
    }
    let at = gap(low, quote + 1);
    let (end, word) = match junction(low, at) {
        Some(end) => (end, byte(low, at).is_ascii_alphabetic()),
        None if matches!(byte(low, at), b'+' | b'-' | b'*' | b'|' | b'^') => (at + 1, false),
        // `a' = 'b`; a word before and behind, for `'='` may be talked of.
        None if !head.is_empty() => (comparison(low, at)?, false),
        None => return None,
    };
    let next = gap(low, end);
    let tail = rest(low, next + 1);
    let short = tail.len() <= 12 && !tail.iter().any(|b| matches!(b, b'\'' | b'"'));
    // `'or'` and `'+'` by themselves, or before a sentence, are quoted words.
    let bare = head.is_empty() && (tail.is_empty() || !word && is_space(byte(tail, 0))) && !(word && next > end);
    (matches!(byte(low, next), b'\'' | b'"') && short && !bare && (word || !tail.is_empty()))
        .then_some("an operator between quotes that close and open")
}

/// `or x=y--`, `having count(id) > 5`, `pay=||(…`: the whole string is what would stand after a value.
fn bare_condition(low: &[u8]) -> Option<&'static str> {
    let low = low.trim_ascii();
    let word = word_at(low, 0);
    let after = gap(low, word.len());
    if one_of(word, &["or", "and", "xor"]) {
        let left = word_at(low, after);
        let equals = after + left.len();
        let right = word_at(low, equals + 1);
        let end = gap(low, equals + 1 + right.len());
        let whole = end >= low.len() || super::swallows(low, end);
        if byte(low, equals) == b'=' && !left.is_empty() && !right.is_empty() && whole {
            return Some("a condition and nothing else");
        }
        return bare_operands(low, after).then_some("a condition and nothing else");
    }
    if word == b"having" {
        let name = word_at(low, after);
        let call = byte(low, after + name.len()) == b'(';
        return (call && one_of(name, &["count", "sum", "min", "max", "avg"])).then_some("a clause and nothing else");
    }
    let symbols = rest(low, word.len() + 1);
    let glued = byte(low, word.len()) == b'=' && (symbols.starts_with(b"||") || symbols.starts_with(b"&&"));
    (glued && !word.is_empty() && matches!(byte(low, gap(low, word.len() + 3)), b'(' | b'a'..=b'z'))
        .then_some("a condition in place of a value")
}

/// `a = a`, `1 --'`, `name like char(37);`: what stands behind a bare `or`.
fn bare_operands(low: &[u8], after: usize) -> bool {
    let Some((left, end)) = operand(low, after) else { return false };
    let at = gap(low, end);
    if left == Operand::Number && rest(low, at).starts_with(b"--") {
        return rest(low, at + 2).iter().all(|&b| is_space(b) || matches!(b, b'\'' | b'"' | b'-'));
    }
    let Some(next) = comparison(low, end) else { return false };
    let Some((right, stop)) = operand(low, next) else { return false };
    let stop = gap(low, stop);
    let whole = stop >= low.len() || super::swallows(low, stop);
    let same = left == right
        && low.get(after..end) == low.get(gap(low, next)..stop.min(low.len())).map(<[u8]>::trim_ascii_end);
    whole && (same || left == Operand::Name && right == Operand::Call && FUNCTIONS.has(word_at(low, gap(low, next))))
}

/// `order by 17#`, `order by 1,sleep(5),3`.
fn ordered(low: &[u8]) -> Option<&'static str> {
    if !one_of(word_at(low, 0), &["order", "group"]) {
        return None;
    }
    let by = gap(low, 5);
    let column = gap(low, by + 2);
    let digits = word_at(low, column);
    let after = column + digits.len();
    let goes_on = match byte(low, after) {
        b'#' => true,
        b'-' => byte(low, after + 1) == b'-',
        b',' => byte(low, gap(low, after + 1)).is_ascii_digit() || has(rest(low, after), "("),
        _ => false,
    };
    let numbered = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let called = FUNCTIONS.has(digits) && byte(low, after) == b'(' && {
        let end = super::close_paren(low, after);
        matches!(rest(low, end), b"#" | b"--" | b"-- -")
    };
    (word_at(low, by) == b"by" && (numbered && goes_on || called)).then_some("a clause by the number of a column")
}

/// `( … ) --`, `'insert into t(…`, `from information_schema.…`.
fn inner(low: &[u8]) -> Option<&'static str> {
    let commented = low.trim_ascii_end().ends_with(b"--") && byte(low, 0) == b'(';
    if commented && (has(low, "select") || low.iter().filter(|b| **b == b'\'').count() >= 2) {
        return Some("an expression and a comment that swallows the rest");
    }
    if matches!(byte(low, 0), b'\'' | b'"') && !is_word(byte(low, 1)) | statement(low, 1, true) {
        let at = gap(low, 1);
        let named =
            one_of(word_at(low, at), &["insert", "exec", "execute", "create", "drop", "alter", "delete", "update"]);
        if named && statement(low, at, true) {
            return Some("a quote closes and a statement follows");
        }
    }
    let led = low.iter().take(3).take_while(|b| matches!(b, b';' | b'\'' | b'"') || is_space(**b)).count();
    let begins = word_at(low, led);
    let second = word_at(low, gap(low, led + begins.len()));
    let cut = begins == b"select" && low.len() < 24
        || begins == b"insert" && second == b"into"
        || begins == b"delete" && second == b"from"
        || begins == b"sleep" && byte(low, led + 5) == b'(';
    if cut && low.get(..led).is_some_and(|head| head.contains(&b';')) {
        return Some("a statement ends and another begins");
    }
    needles!(
        "from·`information_schema` from·information_schema. from·pg_catalog. select·pg_sleep exec·xp_ exec·sp_ execute·xp_ exec·master \
         utl_http.request utl_file. utl_inaddr. dbms_scheduler. dbms_xml dbms_pipe. dbms_ldap. master..sys \
         information_schema.tables information_schema.columns openrowset( xp_cmdshell sp_addlogin sp_password into·outfile·' into·dumpfile"
    )
    .occur(low)
    .then_some("a name that only a database's own tables and procedures have")
}
