//! Statements: a query, a change or a call to the database by itself, and the names only a database knows.

use super::super::text::{
    all, before, byte, has, has_any, is_space, is_word, needles, one_of, rest, window, word_at, word_before, words,
    words_up_to,
};
use super::{Operand, gap, operand, swallows};

/// Functions and names whose only use in a message is to wait, reveal or break out.
pub(in super::super) fn functions(low: &[u8]) -> Option<&'static str> {
    if waits(low) {
        return Some("a database function that waits or reveals");
    }
    let names = needles!(
        "information_schema. `information_schema` xp_cmdshell sp_password sysobjects syscolumns \
                    sys.user$ utl_http. utl_inaddr. dbms_pipe. dbms_lock. dbms_xslprocessor dbms_java \
                    into·outfile into·dumpfile pg_catalog. sqlite_master pg_read_file pg_ls_dir xp_dirtree \
                    xp_regread openrowset( mysql.user all_tables ctxsys.drithsx master.. master.dbo pg_shadow \
                    v$version msysaccessobjects xmltype( procedure·analyse( procedure/**/analyse"
    )
    .occur(low)
        && needles!("select exec ( ' ;").occur(low);
    let names = names && (words_up_to(low, 24) < 24 || has(low, "select"));
    if names {
        return Some("a database's own catalogue or procedure");
    }
    let server_variable = all(low, "@@").any(|at| {
        let word = word_at(low, at + 2);
        words!(
            "version servername datadir hostname basedir global microsoftversion language spid \
                    pack_received connections cpu_busy tmpdir version_compile_os max_allowed_packet rowcount \
                    identity dbts trancount"
        )
        .has(word)
    });
    let wait = all(low, "waitfor").any(|at| waits_for(low, gap(low, at + 7)));
    if server_variable || wait {
        return Some("a server's variable or a wait");
    }
    nested(low).then_some("calls that read a database letter by letter")
}

/// `waitfor delay '…'`, `waitfor time '…'`.
fn waits_for(low: &[u8], at: usize) -> bool {
    let word = word_at(low, at);
    word == b"delay" || word == b"time" && matches!(byte(low, gap(low, at + 4)), b'\'' | b'"')
}

/// `sleep(5)` with SQL around it, `benchmark(…)`, `load_file(…)`.
fn waits(low: &[u8]) -> bool {
    let query = has(low, "select");
    // Asked of the whole text, so once and not for each call.
    let (mut context, mut mixed) = (None, None);
    memchr::memchr_iter(b'(', low).any(|open| {
        let end = open - low.get(..open).unwrap_or_default().iter().rev().take(8).take_while(|b| is_space(**b)).count();
        let name = word_before(low, end);
        let counts = matches!(name, b"sleep" | b"pg_sleep" | b"benchmark" | b"randomblob");
        if !counts && !matches!(name, b"extractvalue" | b"updatexml" | b"load_file") {
            return false;
        }
        if matches!(before(low, end - name.len()), b'.' | b':') {
            return false;
        }
        let argument = byte(low, gap(low, open + 1));
        let works = name != b"benchmark" || window(low, open + 1, 64).contains(&b'(');
        let fits =
            !counts || works && query || works && matches!(argument, b'0'..=b'9' | b'(' | b'_' | b'$' | b'[' | b'-');
        // Every language sleeps; only SQL does so inside an expression.
        let in_sql = *context.get_or_insert_with(|| {
            needles!("select and·sleep or·sleep and( or( if( '+sleep */ '· \"· || *sleep sleep(__").occur(low)
                && !has_any(low, &["time.sleep", "thread"])
        });
        fits && if name == b"sleep" {
            in_sql
        } else {
            in_sql
                || low.len() < 40
                || *mixed.get_or_insert_with(|| needles!("' \" -- ·and· ·or· /* ^ (char(").occur(low))
        }
    })
}

/// `ascii(substring(…`, `hex(load_file(…`: a function that spells, around one that reads.
fn nested(low: &[u8]) -> bool {
    memchr::memchr_iter(b'(', low).any(|at| {
        let inner = gap(low, at + 1);
        let name = word_at(low, inner);
        words!("ascii ord hex unhex conv mid bin length char cast convert concat count md5").has(word_before(low, at))
            && words!("substring substr mid version database load_file char passwd password unhex user current_user select lower upper")
                .has(name)
            // `ord(char)` is a program's own.
            && match byte(low, gap(low, inner + name.len())) {
                b'(' => true,
                b',' | b')' | b' ' => name != b"char",
                _ => false,
            }
    })
}

/// A statement by itself: after `;`, or the whole string.
pub(in super::super) fn statements(low: &[u8]) -> Option<&'static str> {
    let mut comment = None;
    if memchr::memchr_iter(b';', low).any(|at| {
        statement(low, gap(low, at + 1), true)
            && word_before(low, at).len() < 40
            && !is_listing(low, at)
            && (at < 40 || *comment.get_or_insert_with(|| memchr::memmem::rfind(low, b"--")) > Some(at))
    }) {
        return Some("a statement follows");
    }
    let whole = |at: usize| !is_word(before(low, at)) && !matches!(byte(low, at + 6), b'a'..=b'z' | b'_');
    if all(low, "select").any(|at| whole(at) && query(low, at)) {
        return Some("a query");
    }
    let schema = one_of(word_at(low, 0), &["create", "alter", "grant"]) && low.trim_ascii_end().contains(&b'\n');
    (!schema && statement(low, 0, false)).then_some("a statement")
}

/// A statement of several words before the `;` at an offset, and the next on another line: somebody shows a script.
fn is_listing(low: &[u8], at: usize) -> bool {
    let lines = window(low, at + 1, 16).iter().take_while(|b| is_space(**b)).any(|b| *b == b'\n');
    lines && words_up_to(window(low, 0, at.min(400)), 4) > 2 && !matches!(byte(low, at - at.min(1)), b'\'' | b'"')
}

/// `DROP TABLE x`, `INSERT INTO x VALUES (`, `UPDATE x SET y =`, `DELETE FROM x`, `EXEC xp_…`, `SHUTDOWN`…
pub(in super::super) fn statement(low: &[u8], at: usize, stacked: bool) -> bool {
    let word = word_at(low, at);
    let next = gap(low, at + word.len());
    let second = word_at(low, next);
    let third = gap(low, next + second.len());
    match word {
        b"drop" | b"truncate" => {
            words!("table database schema view user procedure function column").has(second)
                && !word_at(low, third).is_empty()
                && (stacked || words_up_to(low, 6) < 6)
        }
        b"alter" => {
            one_of(second, &["table", "user", "database", "login"])
                && is_word(byte(low, third))
                && needles!("·add· ·drop· ·modify identified password ·rename ·column").occur(window(low, third, 80))
        }
        b"create" => {
            words!("table user function procedure database login trigger or view").has(second)
                && needles!("( identified returns ·as· replace password").occur(window(low, third, 96))
                && (has_any(low, &[";", "("]) || has(low, " identified by "))
        }
        b"insert" => second == b"into" && has_any(window(low, third, 200), &["values", "select", "("]) && has(low, "("),
        b"update" => !second.is_empty() && word_at(low, third) == b"set" && has(window(low, third, 120), "="),
        b"delete" if one_of(second, &["low_priority", "quick", "ignore"]) => word_at(low, third) == b"from",
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
        b"waitfor" => waits_for(low, next),
        b"select" => {
            // `; select *` that was cut off.
            let cut = at > 0 && low.len() < 40 && rest(low, next).trim_ascii_end() == b"*";
            stacked && cut
                || stacked
                    && (selects(rest(low, at + 6))
                        && (query(low, at) || has_any(window(low, next, 64), &["sleep", "(", "@@", "null"])))
        }
        b"if" | b"begin" => stacked && has_any(window(low, next, 160), &["waitfor", "select ", "exec ", "declare @"]),
        b"grant" => {
            has_any(window(low, next, 120), &[" on ", " to "])
                && has_any(window(low, next, 120), &["privileges", "select", "dba", "execute", "connect", "resource"])
        }
        b"load" => second == b"data" && has(low, "infile"),
        b"copy" if word_at(low, gap(low, third + 4)) == b"program" => {
            // `from program '…'`, and nothing behind the text.
            let text = gap(low, gap(low, third + 4) + 7);
            let end = operand(low, text).filter(|_| byte(low, text) == b'\'').map_or(0, |(_, end)| end);
            word_at(low, third) == b"from"
                && (rest(low, end).trim_ascii().is_empty() || byte(low, end) == b';')
                && end > 0
        }
        b"copy" | b"backup" | b"restore" => {
            stacked && needles!("program to·disk from·' to·' database").occur(window(low, next, 120))
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
    let is_list = needles!("* , ( @@ /**/ '").occur(lists);
    let listed = from.is_some() && is_list && !has(lists, ". ");
    // A query alone is the message: one in a sentence or a listing is talked about.
    let alone = at <= 24 && words_up_to(low, 40) < 40 && !has(low, "```");
    let number = operand(low, at + 6).is_some_and(|(kind, end)| {
        matches!(kind, Operand::Number | Operand::Text)
            && (byte(low, gap(low, end)) == b',' || swallows(low, gap(low, end)))
    });
    let filtered =
        from.is_some() && (has(columns, " where ") && has(columns, "=") || needles!("·like·' ·limit·1").occur(columns));
    let asks = matches!(operand(low, at + 6), Some((Operand::Call | Operand::Variable, end)) if at == 0 && matches!(byte(low, gap(low, end)), 0 | b';' | b','));
    alone
        && (listed || number || filtered && words_up_to(low, 12) < 12 || asks || has(columns, "/**/"))
        && !(at == 0 && listed && has(low, "\n"))
        || listed && has_any(columns, &["information_schema", "char(", "0x", "--"])
}

fn skip_back(low: &[u8], at: usize) -> usize {
    let mut at = at;
    while at > 0 && is_space(byte(low, at - 1)) {
        at -= 1;
    }
    at.saturating_sub(1)
}

/// What follows SELECT, in any case of its letters, reads as columns, not as a sentence.
pub(in super::super) fn selects(columns: &[u8]) -> bool {
    !is_sentence(columns) && reads_as_columns(columns)
}

/// A space and a word that begins no expression; then a space and a word that no query has there, or an apostrophe. Nearly
/// all that people write ends here.
fn is_sentence(columns: &[u8]) -> bool {
    let word = word_at(columns, 1);
    let end = 1 + word.len();
    let goes_on = match byte(columns, end) {
        b' ' => {
            byte(columns, end + 1).is_ascii_alphabetic() && !words!("from into as limit").has(word_at(columns, end + 1))
        }
        b'\'' => word.len() > 4,
        _ => false,
    };
    goes_on
        && byte(columns, 0) == b' '
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && !words!("not binary distinct all any some select true false null").has(word)
}

fn reads_as_columns(columns: &[u8]) -> bool {
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
                || words!("from into as limit").has(word_at(columns, next))
        }
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_sentence_reads_as_columns(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    " ", " ", " ", "\t", "'", "\"", "(", ",", "*", "/**/", "-", "--", "#", ".", "1", "@", "not", "ALL", "any", "select",
                    "true", "Null", "n", "x", "date", "From", "into", "as", "limit", "name", "committee", "s", "_", "\u{a0}",
                ]),
                0..8,
            ),
        ) {
            let text = pieces.concat();
            prop_assert!(!(is_sentence(text.as_bytes()) && reads_as_columns(text.as_bytes())), "{}", text);
        }
    }
}
