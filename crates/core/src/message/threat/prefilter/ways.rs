//! Every way in which a mark may show something, as far as its neighbours tell: [`super::near`] makes tables of them.
//!
//! To be held to [`super::marks`]: what is told there must have a way here. A way may be too wide, never too narrow.

use super::Signs;

/// Bytes looked at: two before the mark, the mark, two behind.
pub(super) const BYTES: usize = 5;

/// What may be shown, and what each of the bytes must be for that, in lower case.
pub(super) struct Way {
    pub(super) shows: Signs,
    pub(super) bytes: [fn(u8) -> bool; BYTES],
}

/// A way, by patterns: what it may show; the mark; what stands two before and before it; behind it and two behind.
macro_rules! way {
    ($($sign:ident)+: $mark:pat => $earlier:pat, $last:pat => $next:pat, $after:pat) => {
        Way {
            shows: Signs::NONE$(.and(Signs::$sign))+,
            bytes: [
                |byte| matches!(byte, $earlier),
                |byte| matches!(byte, $last),
                |byte| matches!(byte, $mark),
                |byte| matches!(byte, $next),
                |byte| matches!(byte, $after),
            ],
        }
    };
}

/// Part of a name.
macro_rules! word {
    () => {
        b'a'..=b'z' | b'0'..=b'9' | b'_'
    };
}

/// All else.
macro_rules! no_word {
    () => {
        0..=b'/' | b':'..=b'^' | b'`' | b'{'..
    };
}

/// White space as [`super::super::text::is_space`] has it.
macro_rules! space {
    () => {
        b'\t'..=b'\r' | b' ' | 0xa0
    };
}

/// What stands before a comparison, where that may be a literal.
macro_rules! literal_end {
    () => {
        space!() | b'=' | b'<' | b'>' | b'!' | b'0'..=b'9' | b'\'' | b'"' | b')' | b'`'
    };
}

/// What a separator is followed by before its program.
macro_rules! lead {
    () => {
        b' ' | b'\t' | b'|' | b'&' | b';' | b'(' | b'{' | b'!' | b'\'' | b'"' | b'`' | b'$' | b'\n' | b'\r'
    };
}

pub(super) const WAYS: &[Way] = &[
    // Seldom seen in prose: always asked.
    way!(ADDRESS QUOTE: 0..=8 | 0x0b | 0x0c | 0x0e..=0x1f => _, _ => _, _),
    way!(QUOTE DISGUISE SUBSTITUTION CALL: b'`' => _, _ => _, _),
    way!(CLIMB PATH DISGUISE QUOTE: b'\\' => _, _ => _, _),
    way!(DISGUISE: b'^' => _, b'a'..=b'z' => b'a'..=b'z', _),
    // A quote inside a word.
    way!(DISGUISE: b'\'' | b'"' => _, word!() => b'0'..=b'9' | b'_' | b'\'' | b'"' | b'*' | b'?', _),
    way!(DISGUISE: b'\'' | b'"' => _, word!() => b'a'..=b'z', b'\'' | b'"'),
    // A quote, then a word that operates, at once or behind space; or a mark.
    way!(QUOTE: b'\'' | b'"' => _, _ => b'i' | b'o', b'f'),
    way!(QUOTE: b'\'' | b'"' => _, _ => b'o' | b'g' | b'p', b'r'),
    way!(QUOTE: b'\'' | b'"' => _, _ => b'a' | b'i' | b'u', b'n' | b's'),
    way!(QUOTE: b'\'' | b'"' => _, _ => b'x' | b'm' | b'n' | b's' | b'c', b'o'),
    way!(QUOTE: b'\'' | b'"' => _, _ => b'h' | b'w', b'a' | b'h'),
    way!(QUOTE: b'\'' | b'"' => _, _ => b'l' | b'd', b'i'),
    way!(QUOTE: b'\'' | b'"' => _, _ => b'r' | b'b' | b's', b'e' | b'l'),
    way!(QUOTE: b'\'' | b'"' => _, _ => space!() | b')' | b']' | b'}',
        b'a'..=b'd' | b'g'..=b'i' | b'l'..=b'p' | b'r' | b's' | b'u' | b'w' | b'x'
        | 0..=b'#' | b'%'..=b'+' | b'-' | b'/' | b';'..=b'>' | b'@' | b']' | b'^' | b'`' | b'|' | b'}' | 0x7f | 0xa0),
    way!(QUOTE: b'\'' | b'"' => _, _ => 0..=8 | 0x0e..=0x1f | b'"' | b'#' | b'%'..=b'(' | b'*' | b'+' | b'-' | b'/'
        | b';'..=b'>' | b'@' | b'^' | b'`' | b'|' | 0x7f, _),
    // What begins a tag; a comparison between literals.
    way!(TAG: b'<' => _, _ => b'a'..=b'z' | b'/' | 1..=0x1f, _),
    way!(TAG SUBSTITUTION: b'<' => _, _ => b'<' | b'(', _),
    way!(TAG DECLARATION SERVER: b'<' => _, _ => b'!' | b'?' | b'%' | b'#', _),
    way!(COMPARISON: b'<' | b'>' | b'!' | b'=' => _, literal_end!() => b'=' | b'>' | b'(' | b'-' | b'+' | b'0'..=b'9' | b'\'' | b'"' | b'@', _),
    way!(COMPARISON: b'<' | b'>' | b'!' | b'=' => _, literal_end!() => space!(), space!() | b'=' | b'(' | b'-' | b'+' | b'0'..=b'9' | b'\'' | b'"' | b'@'),
    // A separator, then a word or a path.
    way!(SEPARATOR: b';' | b'|' | b'&' | b'\n' | b'\r' => _, _ => word!() | b'/' | b'\\' | b'-' | b'+', _),
    way!(SEPARATOR: b';' | b'|' | b'&' | b'\n' | b'\r' => _, _ => lead!(), lead!() | word!() | b'/' | b'\\' | b'-' | b'+'),
    way!(COMPARISON: b'|' | b'&' => _, _ => b'|' | b'&', _),
    // No price.
    way!(DOLLAR_BRACE: b'$' => _, _ => b'{', _),
    way!(SUBSTITUTION: b'$' => _, _ => b'(', _),
    way!(DOLLAR: b'$' => _, _ => b'a'..=b'z' | b'_' | b'$', _),
    way!(DISGUISE: b'$' => _, word!() => b'a'..=b'z' | b'_' | b'$', _),
    way!(DISGUISE DOLLAR: b'$' => _, _ => 1..=0x1f | b'!'..=b'#' | b'%'..=b'\'' | b')'..=b'+' | b'-' | b'/' | b':'..=b'^' | b'`' | b'|'.., _),
    // Templates; a shell's list.
    way!(TEMPLATE: b'{' => _, _ => b'{' | b'%' | b'#' | b'$' | b'0'..=b'9' | b'@' | b'=', _),
    way!(TEMPLATE: b'{' => _, b'#' | b'*' | b'@' | b'~' => _, _),
    way!(TEMPLATE: b'{' => _, _ => word!(), word!()),
    way!(DISGUISE: b'{' => _, _ => word!(), word!() | b','),
    // Brackets in a chain.
    way!(TEMPLATE: b'[' => _, _ => b'[' | b'=', _),
    way!(BRACKETS: b'[' | b']' => _, _ => b']' | b'(' | b'!' | b'+' | b'\'' | b'"' | b'/', _),
    way!(BRACKETS: b'[' => _, b'w' | b'f' | b's' | b'p' | b't' => b'o' | b'\\', _),
    way!(BRACKETS: b'[' => _, b']' | b')' => _, _),
    way!(BRACKETS: b']' => _, _ => b'.' | b'(' | b'[', _),
    // What is called has a name of two letters or more, perhaps some space before it.
    way!(CALL: b'(' => word!(), word!() => _, _),
    way!(CALL: b'(' => word!() | space!() | b'.' | b'?' | b')', space!() | b'.' | b'?' | b')' => _, _),
    way!(SUBSTITUTION: b'(' => _, b'<' | b'>' => _, _),
    way!(FILTER: b'(' => _, _ => b'&' | b'|' | b'!', _),
    way!(FILTER: b'(' => _, b'(' => b')', _),
    way!(FUNCTION: b'(' => _, _ => b')', _),
    way!(STATEMENT: b'(' => b'.', b'e' => _, _),
    way!(STATEMENT: b'(' => _, _ => b's', b'e'),
    way!(STATEMENT: b'(' => _, _ => space!(), space!() | b's'),
    // Filters of directories.
    way!(FILTER: b')' => _, b'*' => _, _),
    way!(FILTER: b')' => _, b'(' => b')', _),
    way!(FILTER: b')' => _, _ => b'(', _),
    way!(FILTER: b')' => _, _ => space!(), space!() | b'('),
    // A handler or a property has a long name.
    way!(HANDLER BROWSER: b'=' => word!(), word!() => _, _),
    way!(HANDLER BROWSER: b'=' => word!() | space!(), space!() => _, _),
    // Directives; comments behind a value.
    way!(TEMPLATE: b'#' => _, _ => b's' | b'r' | b'f' | b'i' | b'p', b'e' | b't' | b'o' | b'n' | b'a'),
    way!(COMMENT: b'#' => _, b'0'..=b'9' | b')' | b'\'' | b'"' => _, _),
    way!(SERVER_VARIABLE: b'@' => _, _ => b'@', _),
    way!(TEMPLATE CALL: b'@' => _, _ => b'(' | b'{', _),
    way!(ADDRESS: b'@' => _, _ => b'i', b'm'),
    way!(TEMPLATE: b'@' => _, _ => b's', b'y'),
    // Comments, options of interpreters, `+adw-`, `-wrapper`, `web-inf`.
    way!(COMMENT: b'-' => _, _ => b'-', _),
    way!(CALL: b'-' => _, b' ' => b'c' | b'e' | b'r', _),
    way!(ADDRESS: b'-' => b'd', b'w' => _, _),
    way!(PATH: b'-' => _, _ => b'w', b'r'),
    way!(PATH: b'-' => _, b'b' => b'i', b'n'),
    way!(ADDRESS: b'+' => _, _ => b'a', b'd'),
    // `dbms_`, `utl_`, `xp_`, `sp_`; `pg_sleep`, `…_schema`.
    way!(STATEMENT: b'_' => b'm' | b't' | b'x' | b's', b's' | b'l' | b'p' => _, _),
    way!(STATEMENT: b'_' => _, _ => b's', b'c' | b'l'),
    // Climbing, hidden folders, comments, wild cards; then the folders of a system.
    way!(CLIMB PATH: b'/' => b'.', b'.' => _, _),
    way!(CLIMB PATH: b'/' => _, _ => b'.', _),
    way!(COMMENT: b'/' => _, _ => b'*', _),
    way!(DISGUISE: b'/' => _, 0..=b'.' | b':'..=b'^' | b'`' | b'{'.. => _, _),
    way!(PATH: b'/' => _, _ => b'b' | b'c' | b'r' | b'w', b'i' | b'o'),
    way!(PATH: b'/' => _, _ => b's', b'b' | b'h' | b'y'),
    way!(PATH: b'/' => _, _ => b'v' | b'p', b'a' | b'r'),
    way!(PATH: b'/' => _, _ => b'e' | b'o', b't' | b'p'),
    way!(PATH: b'/' => _, _ => b'i' | b'u', b'n' | b's'),
    way!(PATH: b'/' => _, _ => b'd', b'e'),
    way!(OVERLONG: b'%' => _, _ => b'c' | b'u' | b'0' | b'e' | b'f' | b'2', _),
    way!(OVERLONG: b'%' => _, b'.' => _, _),
    way!(SERVER: b'%' => _, _ => b'>', _),
    way!(DISGUISE: b'%' => _, _ => b'c' | b'p', b'o' | b'r' | b'a'),
    // The names before a colon, by how they end.
    way!(CALL: b':' => b'e', b'w' => _, _),
    way!(CALL SCHEME: b':' => b'l' | b'm', b'y' | b'e' => _, _),
    way!(CALL: b':' => no_word!(), b'o' => b'0'..=b'9', _),
    way!(ADDRESS SCHEME: b':' => b'p' | b'c', b't' => _, _),
    way!(ADDRESS: b':' => b'h' | b't', b'a' => _, _),
    way!(ADDRESS: b':' => b'n', b'g' => _, _),
    way!(ADDRESS SCHEME: b':' => b'o' | b'u' | b'a', b'r' => _, _),
    way!(SCHEME: b':' => b'h' | b'i', b'p' => _, _),
    way!(SCHEME: b':' => b'o', b'b' => _, _),
    way!(PATH: b':' => no_word!(), b'c' | b'd' => b'/' | b'\\', _),
    way!(FILTER: b':' => _, b'0'..=b'9' => b'=', _),
];
