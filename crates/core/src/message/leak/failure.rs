//! Failures that tell an attacker where to push: errors of databases in the words of their drivers, stack traces,
//! program text that should have been run.
//!
//! A mark alone says nothing: people talk about SQL and exceptions. What convicts is the form a program prints.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{Validator, before, byte, is_word, rest, run};

/// Marks, and their validators.
pub(super) const MARKS: &[(&str, Validator)] = &[
    ("SQL ", database),
    ("SQLS", database),
    ("SQLE", database),
    ("SQLi", database),
    ("ySQL", database),
    ("reSQL", database),
    ("ORA-", |text, at| numbered(text, at + 4)),
    ("ODBC", database),
    ("DB2 ", database),
    ("OLE DB", database),
    ("sqli", database),
    ("sqlE", database),
    ("sql_f", database),
    ("pg_query", database),
    ("pg_fetch", database),
    ("sqlalchemy", database),
    ("Sybase", database),
    ("yntax ", database),
    ("quotation mark", database),
    ("select statements have", database),
    ("Query failed", database),
    ("jdbc", database),
    ("ActiveRecord", database),
    ("psycopg2", database),
    ("Exception", exception),
    ("Traceback (most recent call last)", |_, _| Some("a stack trace")),
    ("Fatal error", script),
    ("Parse error", script),
    ("Warning", script),
    ("Notice", script),
    ("Stack trace:", |_, _| Some("a stack trace")),
    ("<?php", program),
    ("<?= ", program),
    ("<title>", error_page),
    ("  at ", frame),
    ("\\tat ", frame),
    ("\tat ", frame),
];

static LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("on line "));

fn has(text: &[u8], words: &str) -> bool {
    memchr::memmem::find(text, words.as_bytes()).is_some()
}

/// Bytes around a mark that are looked at.
const AROUND: usize = 160;

/// In lower case: what drivers and servers print, with nothing in it that one installation would change.
const DATABASE: &[&str] = &[
    "error in your sql syntax",
    "sqlstate[",
    "sqlstate=",
    "sqlstate:",
    "unclosed quotation mark",
    "quoted string not properly terminated",
    "sql command not properly ended",
    "syntax error at or near",
    "syntax error (missing operator)",
    "syntax error in query expression",
    "syntax error in string in query",
    "xpath syntax error",
    "incorrect syntax near",
    "dynamic sql error",
    "select statements have different number of columns",
    "not a valid mysql",
    "mysql server version for the right syntax",
    "mysql_fetch_",
    "mysqli_fetch_",
    "pg_query()",
    "pg_exec()",
    "pg_fetch_",
    "query failed: error",
    "sqlite3::",
    "sqlite3.operationalerror",
    "sqlite error",
    "sqlite_error",
    "[odbc",
    "odbc driver",
    "odbc sql server driver",
    "ole db provider",
    "sybase: server message",
    "com.mysql.jdbc",
    "org.postgresql.",
    "com.microsoft.sqlserver",
    "java.sql.sqlexception",
    "sqlexception",
    "jdbc driver",
    "db2 sql error",
    "cli driver][db2",
    "psycopg2.",
    "pymysql.err",
    "sqlalchemy.exc",
    "activerecord::",
    "sql error:",
    "warning: mssql",
    "microsoft sql native client error",
    "sql server",
];

fn database(text: &[u8], at: usize) -> Option<&'static str> {
    let around = text.get(at.saturating_sub(AROUND / 2)..text.len().min(at + AROUND / 2))?.to_ascii_lowercase();
    let says = |phrase: &&str| memchr::memmem::find(&around, phrase.as_bytes()).is_some();
    // A product's name alone is talk; with an error beside it, it is a message.
    let (name, phrases) = DATABASE.split_last()?;
    let talked = says(name) && (memchr::memmem::find(&around, b"error ").is_some() && around.contains(&b'['));
    (phrases.iter().any(says) || talked).then_some("a database's error")
}

/// `ORA-00933`.
fn numbered(text: &[u8], at: usize) -> Option<&'static str> {
    (run(text, at, 6, |b| b.is_ascii_digit()) == 5).then_some("a database's error")
}

/// `org.example.SomeException: words`, `Exception in thread "main"`, `System.NullReferenceException:`.
fn exception(text: &[u8], at: usize) -> Option<&'static str> {
    if rest(text, at).starts_with(b"Exception in thread ") {
        return Some("a stack trace");
    }
    let is_name = |b: u8| is_word(b) || matches!(b, b'.' | b'$');
    let name = text.get(..at)?.iter().rev().take(128).take_while(|b| is_name(**b)).count();
    let segments = text.get(at - name..at)?.iter().filter(|b| **b == b'.').count();
    let after = byte(text, at + 9);
    (segments >= 2 || segments == 1 && text.get(at - name..at)?.starts_with(b"System.")).then_some(()).and_then(|()| {
        matches!(after, b':' | b'\n' | b'\r' | b'\\' | 0 | b'"').then_some("an exception with its class")
    })
}

/// Bytes between what a script's error says of its harm and the file and line that it names.
const MESSAGE_BYTES_MAX: usize = 400;

/// `Fatal error: … in /path/file.php on line 12`, also in HTML.
fn script(text: &[u8], at: usize) -> Option<&'static str> {
    let error = text.get(at..text.len().min(at + MESSAGE_BYTES_MAX + 40))?;
    let names_a_script = |line: usize| {
        let file = error.get(line.saturating_sub(40)..line).unwrap_or_default();
        has(file, ".php") || has(file, ".inc")
    };
    LINE.find_iter(error).any(names_a_script).then_some("a script's error")
}

/// `<title>500.15 - Server error`: a server's own page, with the number of its cause.
fn error_page(text: &[u8], at: usize) -> Option<&'static str> {
    let status = at + 7;
    let digits = run(text, status, 4, |b| b.is_ascii_digit());
    let cause = run(text, status + 4, 4, |b| b.is_ascii_digit());
    let fails = matches!(byte(text, status), b'4' | b'5') && digits == 3 && byte(text, status + 3) == b'.';
    (fails && cause > 0 && rest(text, status + 4 + cause).starts_with(b" - ")).then_some("a server's error page")
}

/// `<?php` or `<?=` and a statement behind it.
fn program(text: &[u8], at: usize) -> Option<&'static str> {
    let tag = if byte(text, at + 2) == b'=' { 3 } else { 5 };
    let line = text.get(at + tag..text.len().min(at + 400))?;
    let spaced = matches!(line.first(), Some(b' ' | b'\n' | b'\r' | b'\t' | b'\\'));
    (spaced && (line.contains(&b';') || line.contains(&b'$') || memchr::memmem::find(line, b"?>").is_some()))
        .then_some("program text")
}

/// `at com.example.Thing.method(Thing.java:42)`, `at Object.<anonymous> (/srv/app.js:3:9)`, with another one after it.
fn frame(text: &[u8], at: usize) -> Option<&'static str> {
    let line = text.get(at..text.len().min(at + 240))?;
    let open = memchr::memchr(b'(', line)?;
    let close = open + memchr::memchr(b')', line.get(open..)?)?;
    let place = line.get(open..close)?;
    let numbered = place.iter().rev().take_while(|b| b.is_ascii_digit()).count() > 0 && place.contains(&b':');
    let again = memchr::memmem::find(line.get(close..)?, b"at ").is_some();
    let begins = at == 0 || !is_word(before(text, at));
    (numbered && again && begins).then_some("a stack trace")
}

#[cfg(test)]
mod tests {
    use super::super::LeakClass::Error;
    use super::super::tests::class;

    #[test]
    fn what_programs_print_is_found() {
        for text in [
            "You have an error in your SQL syntax; check the manual",
            "ORA-01756: quoted string not properly terminated",
            "ERROR: syntax error at or near \"'\" LINE 1",
            "SQLSTATE[42000]: Syntax error or access violation",
            "Unclosed quotation mark after the character string ''.",
            "[Microsoft][ODBC Driver 17] login failed",
            "org.hibernate.exception.GenericJDBCException: could not run",
            "System.NullReferenceException: Object reference not set",
            "Traceback (most recent call last):\n  File \"a.py\"",
            "Warning: include(x.php): failed to open in /srv/www/index.php on line 3",
            "<?php echo $secret; ?>",
            "<?= $row[0] ?>",
            "<title>500.19 - Internal Server Error</title>",
            "Error\n    at a.b.C.d(C.java:10)\n    at a.b.E.f(E.java:20)",
        ] {
            assert_eq!(class(text), Some(Error), "{text}");
        }
    }

    #[test]
    fn what_people_say_about_programs_passes() {
        for text in [
            "SQL is fun, and MySQL too",
            "we got an exception in the build, no idea why",
            "There was a syntax error in my code, sorry",
            "Exception handling in Rust is done with Result",
            "the RuntimeException class",
            "Warning: the road is closed",
            "meet me at (the usual place: 5)",
            "php files begin with <?php",
            "<?= is short for echo",
            "<title>5.1 - a chapter</title>",
            "we use ODBC at work",
            "I was at home (really), at least",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }
}
