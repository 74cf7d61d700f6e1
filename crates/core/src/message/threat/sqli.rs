//! SQL injection: does a string close the context it is put into and go on as SQL (CWE-89).
//!
//! Three ways in: a quote that closes, a value that ends where a number would, a statement of its own. Behind
//! each, the grammar decides ([`super::sql`]): a condition between operands, `UNION SELECT`, a statement after
//! `;`, a comment that swallows the rest, a function that waits or reveals. `O'Brien`, arithmetic, and
//! sentences with `select` and `or` have no such continuation.

use super::View;
use super::sql::{FUNCTIONS, Operand, comparison, gap, junction, operand, swallows};
use super::text::{
    all, before, byte, has, has_any, is_space, is_word, one_of, rest, trimmed, window, word_at, word_before,
};

/// Ways in that are tried on one string: enough for any honest text, and a bound on work.
const ENTRIES_MAX: usize = 256;

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = trimmed(view.low);
    union(low)
        .or_else(|| behind_quotes(low))
        .or_else(|| behind_value(low))
        .or_else(|| tautology(low))
        .or_else(|| functions(low))
        .or_else(|| statements(low))
}

/// `UNION [ALL] SELECT` with something selected.
fn union(low: &[u8]) -> Option<&'static str> {
    let found = all(low, "union").take(ENTRIES_MAX).any(|at| {
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

/// What follows SELECT reads as columns, not as a sentence.
fn selects(columns: &[u8]) -> bool {
    let at = gap(columns, 0);
    let tail = rest(columns, at);
    if tail.is_empty()
        || at > 0 && matches!(byte(columns, 0), b'/' | b'\n' | b'\t' | b'+' | b'(')
        || swallows(columns, at)
    {
        return true;
    }
    match operand(columns, 0) {
        None => matches!(tail.first(), Some(b'*' | b'$' | b'{' | b'%' | b'<' | b'?')),
        Some((Operand::Name, end)) => {
            let next = gap(columns, end);
            matches!(byte(columns, next), b',' | b'|' | b'#' | b'-' | 0 | b'/' | b'+')
                || matches!(word_at(columns, next), b"from" | b"into" | b"as" | b"limit")
        }
        Some(_) => true,
    }
}

/// A quote that closes, with SQL behind it.
fn behind_quotes(low: &[u8]) -> Option<&'static str> {
    let mut seen = [0_usize; 3];
    for (n, at) in memchr::memchr3_iter(b'\'', b'"', b'`', low).enumerate().take(ENTRIES_MAX) {
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
            && !has_any(window(low, at + 1, 8), &["or ", "or'", "or/", "and ", "union", "or\"", "having"])
        {
            continue;
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
    if !first && !closed {
        // Inside the string's own pairs of quotes only a whole condition counts.
        return (nth < 8 && byte(low, from) != quote).then(|| condition(low, at, true)).flatten();
    }
    if swallows(low, at)
        && (at == from || closed || byte(low, at) != b'#')
        && (nth == 0 || low.len() < 64)
        && !matches!(quote, b'`')
    {
        let value = low.get(..from.saturating_sub(1)).unwrap_or_default();
        let lone = byte(low, at) == b';' && rest(low, at).len() == 1;
        if value.len() < 48 && !(lone && nth > 0) && !(lone && value.iter().any(|b| is_space(*b))) {
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
            matches!(operand(low, after), Some((Operand::Text | Operand::OpenText | Operand::Call | Operand::Query, _)))
                && from < 32
        }
        b"waitfor" => word_at(low, after) == b"delay",
        b"if" => byte(low, after) == b'(',
        _ => false,
    };
    if clause && (word != b"union" || matches!(word_at(low, after), b"all" | b"select" | b"distinct")) {
        return Some("a quote closes and a clause follows");
    }
    operator(low, at, quote, from)
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
            one_of(called, FUNCTIONS) && byte(low, at) != b','
                || byte(low, at) == b','
                    && one_of(called, &["sleep", "benchmark", "pg_sleep", "extractvalue", "updatexml", "load_file"])
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
            let bare = rest(low, at + op)
                .iter()
                .all(|&b| b == quote || is_space(b) || b.is_ascii_digit() || matches!(b, b'-' | b'#' | b'='));
            short && rest_is_short && bare && byte(low, at + op) != b'>'
                || short && junction(low, gap(low, end)).is_some()
        }
        Operand::Variable => tail.starts_with(b"@@") || window(low, at + op, 8).starts_with(b"@@"),
        Operand::Constant => swallows(low, gap(low, end)),
        Operand::Name => swallows(low, gap(low, end)) && from < 24 && matches!(byte(low, at), b'=' | b'|'),
    };
    convicts.then_some("a quote closes and an expression goes on")
}

/// `or 1=1`, `and 'a'='a`, `|| sleep(1)`, `or exists(select …`. `strict`: both operands are literals and equal in kind.
fn condition(low: &[u8], at: usize, strict: bool) -> Option<&'static str> {
    let after = junction(low, at)?;
    let word = word_at(low, at);
    if matches!(word, b"having" | b"where" | b"when") && !strict {
        return None;
    }
    if is_word(byte(low, after)) && !word.is_empty() {
        return None;
    }
    let (left, end) = operand(low, after)?;
    let name = word_at(low, gap(low, after));
    if left == Operand::Query
        || left == Operand::Call
            && one_of(name, FUNCTIONS)
            && !matches!(name, b"if" | b"case" | b"not" | b"replace" | b"user" | b"count" | b"position")
    {
        return Some("a condition that calls the database");
    }
    if let Some(next) = comparison(low, end) {
        let (right, _) = operand(low, next)?;
        let literal = |kind| matches!(kind, Operand::Number | Operand::Text | Operand::OpenText | Operand::Constant);
        let one_sided = literal(left) && right != Operand::Name || literal(right) && left != Operand::Name;
        let fits = if strict {
            literal(left) && literal(right) && (left == right || right == Operand::OpenText)
        } else {
            one_sided || literal(right) || left == Operand::Name && right == Operand::Name && low.len() < 32
        };
        return fits.then_some("a condition that is always true or tells something");
    }
    if strict {
        return None;
    }
    let rest_at = gap(low, end);
    let ends = rest_at >= low.len() || swallows(low, rest_at);
    match left {
        Operand::Number | Operand::Constant | Operand::OpenText if ends => Some("a condition that is always true"),
        Operand::Text if ends || matches!(byte(low, rest_at), b'-' | b'+' | b'*' | b'/' | b'^' | b'&' | b'|') => {
            Some("a condition that is always true")
        }
        Operand::Number | Operand::Text if junction(low, rest_at).is_some_and(|next| operand(low, next).is_some()) => {
            Some("a chain of conditions")
        }
        Operand::Name if swallows(low, rest_at) && byte(low, rest_at) != b';' => {
            Some("a condition and a comment that swallows the rest")
        }
        _ => None,
    }
}

/// A string that begins as a value and goes on as SQL: `1 or 1=1`, `-1) union`, `x and sleep(3)`.
fn behind_value(low: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    let mut digits = false;
    while matches!(byte(low, at), b'(' | b'-' | b'+' | b'~' | b'!' | b'@' | b' ' | b'.') {
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
        digits = word.first().is_some_and(u8::is_ascii_digit) || matches!(word, b"null" | b"true" | b"false");
        at += word.len();
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
        b"rlike" | b"regexp" | b"like" => {
            digits && matches!(operand(low, after), Some((Operand::Query | Operand::Call, _)))
        }
        _ => false,
    };
    if clause {
        return Some("a value ends and a clause follows");
    }
    if (digits || closed) && byte(low, next) == b';' && statement(low, gap(low, next + 1), true) {
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

/// `or 1=1` behind a number: literals on both sides, or the database called.
fn numeric_condition(low: &[u8], at: usize, symbolic: bool) -> Option<&'static str> {
    let after = junction(low, at)?;
    let (left, end) = operand(low, after)?;
    let name = word_at(low, gap(low, after));
    if left == Operand::Query
        || left == Operand::Call
            && one_of(name, FUNCTIONS)
            && !matches!(name, b"if" | b"not" | b"user" | b"min" | b"max" | b"log" | b"right" | b"left" | b"position")
    {
        return Some("a condition that calls the database");
    }
    let literal = |kind| {
        matches!(kind, Operand::Number | Operand::Text | Operand::OpenText | Operand::Constant | Operand::Variable)
    };
    if let Some(next) = comparison(low, end) {
        let (right, stop) = operand(low, next)?;
        let symbols_only =
            symbolic && left == Operand::Number && right == Operand::Number && low.get(gap(low, end)) != Some(&b'=');
        let short = low.len() - stop.min(low.len()) < 48;
        let same_names = left == Operand::Name && right == Operand::Name && low.len() < 24;
        if !symbols_only
            && short
            && (literal(left) && literal(right)
                || same_names
                || matches!(right, Operand::Query | Operand::Call) && literal(left)
                || literal(right) && left == Operand::Name && low.len() < 40)
        {
            return Some("a condition that is always true or tells something");
        }
        return None;
    }
    let ends = gap(low, end) >= low.len() || swallows(low, gap(low, end));
    (ends && !symbolic && matches!(left, Operand::Constant | Operand::OpenText)
        || swallows(low, gap(low, end)) && byte(low, gap(low, end)) != b';' && literal(left))
    .then_some("a condition that is always true")
}

/// `or 1=1`, `and 'a'='a'` anywhere: no sentence compares a literal with itself.
fn tautology(low: &[u8]) -> Option<&'static str> {
    for word in ["or", "and", "||", "having", "xor", "&&"] {
        for at in all(low, word).take(ENTRIES_MAX) {
            if is_word(before(low, at)) && is_word(byte(low, at)) {
                continue;
            }
            let Some(after) = junction(low, at) else { continue };
            let Some((left, end)) = operand(low, after) else { continue };
            if !matches!(left, Operand::Number | Operand::Text) {
                continue;
            }
            let op = gap(low, end);
            if byte(low, op) != b'=' && word_at(low, op) != b"like" {
                continue;
            }
            let Some(next) = comparison(low, end) else { continue };
            let Some((right, stop)) = operand(low, next) else { continue };
            let bare = |from: usize, to: usize| {
                low.get(from..to.max(from))
                    .unwrap_or_default()
                    .iter()
                    .copied()
                    .filter(|&b| is_word(b))
                    .take(40)
                    .collect::<Vec<u8>>()
            };
            let (a, b) = (bare(after, end), bare(next, stop.min(low.len())));
            if a == b && !a.is_empty() && (left == right || right == Operand::OpenText)
                || left == Operand::Number
                    && right == Operand::Number
                    && matches!(word, "or" | "and" | "having")
                    && byte(low, next) != b'='
            {
                return Some("a literal compared with itself");
            }
        }
    }
    None
}

/// Functions and names whose only use in a message is to wait, reveal or break out.
fn functions(low: &[u8]) -> Option<&'static str> {
    for (name, needs_number) in [
        ("sleep", true),
        ("pg_sleep", true),
        ("benchmark", true),
        ("extractvalue", false),
        ("updatexml", false),
        ("load_file", false),
        ("randomblob", true),
    ] {
        for at in all(low, name).take(16) {
            let lead = before(low, at);
            let open = gap(low, at + name.len());
            if byte(low, open) != b'(' || matches!(lead, b'.' | b':') || is_word(lead) {
                continue;
            }
            let argument = gap(low, open + 1);
            let fits = !needs_number || matches!(byte(low, argument), b'0'..=b'9' | b'(' | b'_' | b'$' | b'[');
            let context = has_any(
                low,
                &["select", "'", "\"", "--", " and ", " or ", "if(", "/*", "||", "*sleep", "+sleep", "-sleep", "^"],
            ) || low.len() < 40 && name != "sleep";
            if fits
                && context
                && !has_any(low, &["time.sleep", "thread"])
                && (name != "sleep"
                    || has_any(
                        low,
                        &[
                            "select",
                            "(select",
                            "and sleep",
                            "or sleep",
                            "and(",
                            "or(",
                            "if(",
                            "'+sleep",
                            "*/",
                            "' ",
                            "\" ",
                            "||",
                            "*sleep",
                            "sleep(__",
                        ],
                    ))
            {
                return Some("a database function that waits or reveals");
            }
        }
    }
    let names = has_any(
        low,
        &[
            "information_schema.",
            "`information_schema`",
            "xp_cmdshell",
            "sp_password",
            "sysobjects",
            "syscolumns",
            "sys.user$",
            "utl_http.",
            "utl_inaddr.",
            "dbms_pipe.",
            "dbms_lock.",
            "dbms_xslprocessor",
            "dbms_java",
            "into outfile",
            "into dumpfile",
            "pg_catalog.",
            "sqlite_master",
            "pg_read_file",
            "pg_ls_dir",
            "xp_dirtree",
            "xp_regread",
            "openrowset(",
            "mysql.user",
            "all_tables",
            "ctxsys.drithsx",
            "master..",
            "master.dbo",
            "pg_shadow",
            "v$version",
            "msysaccessobjects",
            "xmltype(",
            "procedure analyse(",
            "procedure/**/analyse",
        ],
    ) && has_any(low, &["select", "exec", "(", "'", ";"]);
    let names = names && !(super::text::words_up_to(low, 24) >= 24 && !has(low, "select"));
    if names {
        return Some("a database's own catalogue or procedure");
    }
    let server_variable = all(low, "@@").any(|at| {
        let word = word_at(low, at + 2);
        one_of(
            word,
            &[
                "version",
                "servername",
                "datadir",
                "hostname",
                "basedir",
                "global",
                "microsoftversion",
                "language",
                "spid",
                "pack_received",
                "connections",
                "cpu_busy",
                "tmpdir",
                "version_compile_os",
                "max_allowed_packet",
                "rowcount",
                "identity",
                "dbts",
                "trancount",
            ],
        )
    });
    let wait = all(low, "waitfor").any(|at| word_at(low, gap(low, at + 7)) == b"delay");
    (server_variable || wait).then_some("a server's variable or a wait")
}

/// A statement by itself: after `;`, or the whole string.
fn statements(low: &[u8]) -> Option<&'static str> {
    if memchr::memchr_iter(b';', low).take(ENTRIES_MAX).any(|at| {
        statement(low, gap(low, at + 1), true)
            && word_before(low, at).len() < 40
            && (at < 40 || has(rest(low, at), "--"))
    }) {
        return Some("a statement follows");
    }
    if all(low, "select").take(ENTRIES_MAX).any(|at| !is_word(before(low, at)) && query(low, at)) {
        return Some("a query");
    }
    statement(low, 0, false).then_some("a statement")
}

/// `DROP TABLE x`, `INSERT INTO x VALUES (`, `UPDATE x SET y =`, `DELETE FROM x`, `EXEC xp_…`, `SHUTDOWN`…
fn statement(low: &[u8], at: usize, stacked: bool) -> bool {
    let word = word_at(low, at);
    let next = gap(low, at + word.len());
    let second = word_at(low, next);
    let third = gap(low, next + second.len());
    match word {
        b"drop" | b"truncate" => {
            one_of(second, &["table", "database", "schema", "view", "user", "procedure", "function", "column"])
                && !word_at(low, third).is_empty()
                && (stacked || super::text::words_up_to(low, 6) < 6)
        }
        b"alter" => {
            one_of(second, &["table", "user", "database", "login"])
                && is_word(byte(low, third))
                && has_any(
                    window(low, third, 80),
                    &[" add ", " drop ", " modify", "identified", "password", " rename", " column"],
                )
        }
        b"create" => {
            one_of(second, &["table", "user", "function", "procedure", "database", "login", "trigger", "or", "view"])
                && has_any(window(low, third, 96), &["(", "identified", "returns", " as ", "replace", "password"])
                && has_any(low, &[";", "("])
        }
        b"insert" => second == b"into" && has_any(window(low, third, 200), &["values", "select", "("]) && has(low, "("),
        b"update" => !second.is_empty() && word_at(low, third) == b"set" && has(window(low, third, 120), "="),
        b"delete" => second == b"from" && (stacked || has(window(low, third, 120), "where")),
        b"exec" | b"execute" => {
            second.starts_with(b"xp_")
                || second.starts_with(b"sp_")
                || matches!(second, b"master" | b"immediate")
                || byte(low, next) == b'(' && stacked
                || byte(low, next) == b'@'
        }
        b"declare" => byte(low, next) == b'@',
        b"shutdown" => stacked && (rest(low, next).is_empty() || swallows(low, next) || second == b"with"),
        b"waitfor" => second == b"delay",
        b"select" => {
            stacked
                && (selects(rest(low, at + 6))
                    && (query(low, at) || has_any(window(low, next, 64), &["sleep", "(", "@@", "null"])))
        }
        b"if" | b"begin" => stacked && has_any(window(low, next, 160), &["waitfor", "select ", "exec "]),
        b"grant" => {
            has_any(window(low, next, 120), &[" on ", " to "])
                && has_any(window(low, next, 120), &["privileges", "select", "dba", "execute"])
        }
        b"load" => second == b"data" && has(low, "infile"),
        b"copy" | b"backup" | b"restore" => {
            stacked && has_any(window(low, next, 120), &["program", "to disk", "from '", "to '", "database"])
        }
        b"call" | b"handler" | b"use" | b"set" | b"commit" | b"rollback" => stacked && byte(low, third) == b'@',
        _ => false,
    }
}

/// `SELECT … FROM name`: columns and a table, with a mark that no sentence has.
fn query(low: &[u8], at: usize) -> bool {
    let columns = window(low, at + 6, 400);
    if !selects(columns) {
        return false;
    }
    if byte(low, at.saturating_sub(1)) == b'(' && at > 0 {
        let (kind, _) = operand(low, at + 6).unwrap_or((Operand::Name, 0));
        return kind != Operand::Name
            || has(columns, " from ")
                && at > 1
                && matches!(byte(low, skip_back(low, at - 1)), b'=' | b'+' | b'|' | b'\'' | b'(' | b',' | b'-' | b'*');
    }
    let from = memchr::memmem::find(columns, b"from");
    let lists = from.and_then(|from| columns.get(..from)).unwrap_or_default();
    let is_list = has_any(lists, &["*", ",", "(", "@@", "/**/", "'"]);
    let listed = from.is_some() && is_list && !has(lists, ". ");
    // A query alone is the message: one in a sentence or a listing is talked about.
    let alone = at <= 24 && super::text::words_up_to(low, 40) < 40 && !has(low, "```");
    let number = operand(low, at + 6).is_some_and(|(kind, end)| {
        matches!(kind, Operand::Number | Operand::Text)
            && (byte(low, gap(low, end)) == b',' || swallows(low, gap(low, end)))
    });
    alone && (listed || number || has(columns, "/**/")) && !(at == 0 && listed && has(low, "\n"))
        || listed && has_any(columns, &["information_schema", "char(", "0x", "--"])
}

fn skip_back(low: &[u8], at: usize) -> usize {
    let mut at = at;
    while at > 0 && is_space(byte(low, at - 1)) {
        at -= 1;
    }
    at.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_a_statement() {
        for text in
            ["drop the table", "update me", "select", "insert coin", "delete from memory", "2 and a half", "1 or 2"]
        {
            let view = View { low: text.as_bytes(), key: false, layers: 0 };
            assert_eq!(judge(&view), None, "{text}");
        }
    }
}
