//! Just enough SQL grammar to see whether it goes on at an offset: white space with comments, operands,
//! conditions, statements. Every step looks ahead a bounded number of bytes.

mod condition;
mod expression;
mod fragment;
mod statement;

use std::sync::LazyLock;

pub(super) use condition::{condition, numeric_condition, tautology};
pub(super) use expression::expression;
pub(super) use fragment::fragment;
pub(super) use statement::{functions, selects, statement, statements};

use super::text::{Words, byte, is_space, is_word, rest, window, word_at, words};

/// White space and comments skipped in one go, bytes.
const GAP_BYTES_MAX: usize = 96;

/// Longest string literal read, bytes.
const LITERAL_BYTES_MAX: usize = 128;

/// Past white space, comments and the `+` of form encoding.
#[inline]
pub(super) fn gap(low: &[u8], from: usize) -> usize {
    // Mostly there is none, or one space.
    let at = if byte(low, from) == b' ' { from + 1 } else { from };
    if is_word(byte(low, at)) { at } else { wide_gap(low, from) }
}

fn wide_gap(low: &[u8], from: usize) -> usize {
    let mut at = from;
    while at - from < GAP_BYTES_MAX {
        let b = byte(low, at);
        if is_space(b) || b == 0xc2 && byte(low, at + 1) == 0xa0 {
            at += 1;
        } else if b == b'/' && byte(low, at + 1) == b'*' {
            // MySQL runs what stands in `/*!50000 … */`.
            if byte(low, at + 2) == b'!' {
                at += 3 + rest(low, at + 3).iter().take(6).take_while(|b| b.is_ascii_digit()).count();
                continue;
            }
            match memchr::memmem::find(window(low, at + 2, GAP_BYTES_MAX), b"*/") {
                Some(len) => at += len + 4,
                None => return at,
            }
        } else if b == b'*' && byte(low, at + 1) == b'/' {
            at += 2;
        } else if (b == b'-' && byte(low, at + 1) == b'-' || b == b'#') && comment_line(low, at).is_some() {
            at = comment_line(low, at).unwrap_or(at + 1);
        } else {
            return at;
        }
    }
    at
}

/// The offset after a comment to the line's end, where the line ends soon.
fn comment_line(low: &[u8], at: usize) -> Option<usize> {
    memchr::memchr(b'\n', window(low, at, 256)).map(|len| at + len + 1)
}

/// A comment that swallows the rest of a query: `--`, `#`, `/*` without an end, `;` and a zero byte.
pub(super) fn swallows(low: &[u8], at: usize) -> bool {
    let tail = rest(low, at);
    match byte(low, at) {
        b'-' => {
            tail.starts_with(b"--")
                && (tail.len() == 2
                    || is_space(byte(tail, 2))
                    || matches!(byte(tail, 2), b'+' | b'-' | b'%' | b'!' | b'\'' | b'"')
                    || tail.len() < 12)
        }
        b'#' => tail.len() < 3 && !is_space(byte(tail, 1)),
        b'/' => tail.starts_with(b"/*") && memchr::memmem::find(tail, b"*/").is_none(),
        b';' => {
            let next = byte(tail, 1);
            tail.len() == 1 && at > 0
                || next == 0 && tail.len() > 1
                || next == b'%' && tail.starts_with(b";%00")
                || swallows_after(low, at + 1)
        }
        0 => at < low.len() && at > 1,
        _ => false,
    }
}

fn swallows_after(low: &[u8], at: usize) -> bool {
    let tail = rest(low, super::text::skip_space(low, at));
    tail.starts_with(b"--") || tail.starts_with(b"/*") && memchr::memmem::find(tail, b"*/").is_none()
}

/// What an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    Number,
    Text,
    /// A string that the rest of the query closes.
    OpenText,
    Name,
    Call,
    Variable,
    Query,
    Constant,
}

/// Functions of databases that a condition calls, and that prose does not.
pub(super) static FUNCTIONS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "sleep benchmark pg_sleep char chr nchar ascii ord hex unhex concat concat_ws group_concat \
        substring substr mid length database user current_user session_user system_user version \
        load_file extractvalue updatexml convert cast count exists ifnull isnull nullif coalesce elt \
        make_set floor rand md5 sha1 exp row json_keys xmltype ctxsys utl_inaddr sqlite_version \
        randomblob iif case if left right upper lower conv pow sin like regexp_substring strcmp \
        greatest least bin quote schema gtid_subset polygon geometrycollection name_const \
        st_latfromgeohash dbms_pipe dbms_utility db_name host_name object_id xp_cmdshell max min sum \
        avg abs not current_database current_schema repeat replace reverse trim lpad rpad instr \
        position locate field interval timestampadd hextoraw rawtohex to_char decode nvl tdesencrypt \
        compress procedure analyse values space collation charset coercibility sqrt pi power log \
        bit_length octet_length",
    )
});

/// Reads one operand, in any case of its letters; the offset after it.
pub(super) fn operand(low: &[u8], from: usize) -> Option<(Operand, usize)> {
    let mut at = gap(low, from);
    // Signs, negations and parentheses in front change nothing.
    for _ in 0..8 {
        match byte(low, at) {
            b'(' | b'-' | b'+' | b'~' | b'@' if byte(low, at) != b'-' || byte(low, at + 1) != b'-' => {
                at = gap(low, at + 1)
            }
            b'!' if byte(low, at + 1) != b'=' => at = gap(low, at + 1),
            _ => {
                let word = word_at(low, at);
                if !words!("not binary distinct all any some").has(word) {
                    break;
                }
                at = gap(low, at + word.len());
            }
        }
    }
    match byte(low, at) {
        b'0'..=b'9' | b'.' => {
            let len = rest(low, at).iter().take(40).take_while(|&&b| is_word(b) || b == b'.').count();
            let word = window(low, at, len);
            let numeric = word.iter().all(|b| matches!(b, b'.' | b'x' | b'X') || b.is_ascii_hexdigit());
            (numeric && word.iter().any(u8::is_ascii_digit)).then_some((Operand::Number, at + len))
        }
        quote @ (b'\'' | b'"') => {
            let tail = window(low, at + 1, LITERAL_BYTES_MAX);
            match memchr::memchr(quote, tail) {
                Some(len) => Some((Operand::Text, at + len + 2)),
                None => Some((Operand::OpenText, low.len().min(at + 1 + tail.len()))),
            }
        }
        b'`' | b'[' => {
            let close = if byte(low, at) == b'`' { b'`' } else { b']' };
            memchr::memchr(close, window(low, at + 1, 64)).map(|len| (Operand::Name, at + len + 2))
        }
        _ => {
            let word = word_at(low, at);
            if word.is_empty() {
                return None;
            }
            let mut end = at + word.len();
            if word.eq_ignore_ascii_case(b"select") {
                return Some((Operand::Query, end));
            }
            while byte(low, end) == b'.' && is_word(byte(low, end + 1)) {
                end += 1 + word_at(low, end + 1).len();
            }
            let next = gap(low, end);
            if byte(low, next) == b'(' {
                return Some((Operand::Call, close_paren(low, next)));
            }
            if words!("true false null").has(word) {
                return Some((Operand::Constant, end));
            }
            if matches!(byte(low, end), b'\'' | b'"') && words!("n x b e date").has(word) {
                return operand(low, end);
            }
            Some((if low.get(at.saturating_sub(1)) == Some(&b'@') { Operand::Variable } else { Operand::Name }, end))
        }
    }
}

/// Past what arithmetic adds to an operand: `1+2+3`, `pi()*pi()`.
pub(super) fn arithmetic(low: &[u8], from: usize) -> usize {
    let mut end = from;
    for _ in 0..12 {
        let mut at = gap(low, end);
        while byte(low, at) == b')' {
            at = gap(low, at + 1);
        }
        let sign = match byte(low, at) {
            b'+' | b'*' | b'/' | b'%' => true,
            b'-' => byte(low, at + 1) != b'-',
            _ => false,
        };
        match operand(low, at + 1).filter(|_| sign) {
            Some((Operand::Number | Operand::Call, next)) => end = next,
            _ => return end,
        }
    }
    end
}

/// The offset after the parenthesis that closes the one at `at`, or after what could be read of it.
pub(super) fn close_paren(low: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    for (n, &b) in window(low, at, 256).iter().enumerate() {
        match b {
            b'(' => depth += 1,
            // Also one that closes what was never opened.
            b')' if depth <= 1 => return at + n + 1,
            b')' => depth -= 1,
            _ => {}
        }
    }
    low.len().min(at + 256)
}

/// A comparison operator; the offset after it.
pub(super) fn comparison(low: &[u8], from: usize) -> Option<usize> {
    let mut at = gap(low, from);
    while byte(low, at) == b')' {
        at = gap(low, at + 1);
    }
    for operator in ["<=>", "!=", "<>", "<=", ">=", "==", "=", "<", ">", "~~", "^="] {
        if rest(low, at).starts_with(operator.as_bytes()) {
            return Some(at + operator.len());
        }
    }
    let mut word = word_at(low, at);
    if word == b"not" {
        at = gap(low, at + 3);
        word = word_at(low, at);
    }
    if word == b"sounds" {
        at = gap(low, at + 6);
        word = word_at(low, at);
    }
    words!("like rlike regexp ilike similar glob in between is div mod").has(word).then_some(at + word.len())
}

/// A word that joins conditions, `||` or `&&`; the offset after it.
pub(super) fn junction(low: &[u8], at: usize) -> Option<usize> {
    let word = word_at(low, at);
    if words!("or and xor having where when").has(word) {
        return Some(at + word.len());
    }
    let tail = rest(low, at);
    (tail.starts_with(b"||") || tail.starts_with(b"&&")).then_some(at + 2)
}
