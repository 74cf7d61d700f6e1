//! Which questions are worth asking of a string: one pass over its punctuation, one search for a few words.
//!
//! Letters, digits, spaces and the marks of plain prose are told from the rest by a survey of the whole message. Every
//! other byte is looked at together with its neighbours: an apostrophe between letters asks nothing, a quote followed by `or`
//! asks for SQL. It may suspect the honest; it must not clear the guilty (see [`Signs`]).

use std::sync::LazyLock;

use super::command::PROGRAMS;
use super::signs::Signs;
use super::text::{Bytes, before, byte, bytes, is_space, is_word, rest, skip_space, word_at, word_before, words};
use crate::message::survey::{Class, Prints, Surveyed};

/// A word without white space or punctuation that is shorter than this carries nothing.
const BLAND_BYTES_MAX: usize = 16;

const BLAND: Bytes = bytes!(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-');

/// Letters, digits, `-` and `_` only, and few: names, ids, keys.
#[inline]
pub(super) fn is_bland(text: &[u8]) -> bool {
    text.len() < BLAND_BYTES_MAX && BLAND.has_all(text)
}

/// Letters, digits, `_` and single `-` only: no grammar begins there.
#[inline]
pub(super) fn is_one_word(text: &[u8]) -> bool {
    BLAND.has_all(text) && !text.windows(2).any(|pair| pair == b"--")
}

/// Words that matter without any punctuation, and what each shows. Few: the survey has eight buckets for them, and
/// prose has many bytes that may begin one.
const WORDS: &[(&str, Signs)] = &[
    ("select", Signs::STATEMENT),
    ("union", Signs::STATEMENT),
    ("insert", Signs::STATEMENT),
    ("delete", Signs::STATEMENT),
    ("waitfor", Signs::STATEMENT),
    ("document.", Signs::BROWSER),
    ("constructor", Signs::BROWSER),
    ("boot.ini", Signs::PATH),
    ("openrowset", Signs::STATEMENT),
    ("outfile", Signs::STATEMENT),
    ("master..", Signs::STATEMENT),
    ("ro0ab", Signs::CALL),
    ("scriptengine", Signs::CALL),
];

/// A word of SQL goes on as SQL does.
fn goes_on(low: &[u8], word: &str, end: usize) -> bool {
    let next = super::sql::gap(low, end);
    match word {
        "select" => super::sql::selects(rest(low, end)),
        "union" => {
            !byte(low, next).is_ascii_lowercase()
                || words!("all select distinct distinctrow values table").has(word_at(low, next))
        }
        "insert" => word_at(low, next) == b"into",
        "delete" => word_at(low, next) == b"from",
        "waitfor" => word_at(low, next) == b"delay",
        _ => true,
    }
}

/// First words of SQL statements that have no word above.
fn opens_statement(low: &[u8]) -> bool {
    words!("drop truncate alter create update exec execute declare grant load shutdown use copy backup")
        .has(word_at(low, 0))
}

/// How the words begin.
pub(super) static PRINTS: LazyLock<Prints> = LazyLock::new(|| Prints::any_case(WORDS.iter().map(|(word, _)| *word)));

/// The words of the list that stand in a text, in any case: number in the list and offset.
fn words_in(text: Surveyed<'_>) -> impl Iterator<Item = (&'static str, Signs, usize)> {
    text.each(Class::Word).filter_map(move |third| {
        let at = third.checked_sub(2)?;
        WORDS.iter().find_map(|&(word, shown)| {
            let here = text.text.get(at..at + word.len())?;
            here.eq_ignore_ascii_case(word.as_bytes()).then_some((word, shown, at))
        })
    })
}

/// Nothing in it is worth a closer look; nearly all that people write to each other. Copies nothing.
pub(super) fn is_quiet(text: Surveyed<'_>) -> bool {
    let loud = text.any(Class::Loud) && (text.any(Class::Mark) || words_in(text).next().is_some());
    !loud && !begins(text.text).any(Signs::all())
}

/// What a text shows, given it in lower case as well; the classes worth judging rest on it.
pub(super) fn signs(text: Surveyed<'_>, low: &[u8]) -> Signs {
    let mut signs = begins(low);
    for (word, shown, at) in words_in(text) {
        signs.add(when(goes_on(low, word, at + word.len()), shown));
    }
    for at in text.each(Class::Mark) {
        signs.add(shown_by(low, at, byte(low, at)));
    }
    signs
}

/// What its first words show.
fn begins(text: &[u8]) -> Signs {
    when(begins_as_value(text), Signs::VALUE)
        .and(when(opens_statement(text), Signs::STATEMENT))
        .and(when(words!("time nohup setsid stdbuf timeout").has(word_at(text, 0)), Signs::PATH))
}

const NONE: Signs = Signs::NONE;

/// `shown` where a condition holds.
#[inline]
const fn when(condition: bool, shown: Signs) -> Signs {
    if condition { shown } else { NONE }
}

/// What one mark shows, given its neighbours.
fn shown_by(low: &[u8], at: usize, b: u8) -> Signs {
    let next = byte(low, at + 1);
    let last = before(low, at);
    match b {
        b'\'' | b'"' => quote(low, at, last, next),
        b'`' => {
            let start = skip_space(low, at + 1);
            let program = PROGRAMS.has(word_at(low, start)) || matches!(byte(low, start), b'/' | b'$');
            quote(low, at, last, next).and(when(program, Signs::SUBSTITUTION)).and(called(low, at))
        }
        b'<' => tag(low, at, next),
        b';' | b'|' | b'&' | b'\n' | b'\r' => separator(low, at, b),
        b'$' => match next {
            b'{' => Signs::DOLLAR_BRACE,
            b'(' => Signs::SUBSTITUTION,
            b'a'..=b'z' | b'_' | b'$' => when(is_word(last), Signs::DISGUISE).and(Signs::DOLLAR),
            b'0'..=b'9' | b' ' | b',' | b'.' | 0 => NONE,
            _ => Signs::DISGUISE.and(Signs::DOLLAR),
        },
        b'{' => {
            let word = word_at(low, at + 1);
            let called = word.len() > 1 && matches!(byte(low, at + 1 + word.len()), b'(' | b'}' | b':' | b' ');
            let expands = PROGRAMS.has(word) && byte(low, at + 1 + word.len()) == b',';
            let opens = matches!(next, b'{' | b'%' | b'#' | b'$' | b'0'..=b'9' | b'@' | b'=')
                || matches!(last, b'#' | b'*' | b'@' | b'~');
            when(opens || called, Signs::TEMPLATE).and(when(expands, Signs::DISGUISE))
        }
        b'[' => {
            let spelled = matches!(last, b'w' | b'f' | b's' | b'p' | b't') && (next == b'o' || next == b'\\');
            let chain = spelled
                || matches!(next, b']' | b'(' | b'!' | b'+' | b'\'' | b'"' | b'/')
                || matches!(last, b']' | b')');
            when(chain, Signs::BRACKETS).and(when(next == b'[' || next == b'=', Signs::TEMPLATE))
        }
        b']' => when(next == b'.' || next == b'(' || next == b'[', Signs::BRACKETS),
        b'(' => parenthesis(low, at, last, next),
        b')' => when(next == b'(' || last == b'*' || next == b')' && last == b'(', Signs::FILTER)
            .and(when(matches!(byte(low, skip_space(low, at + 1)), b'('), Signs::FILTER)),
        b'=' => equals(low, at, last),
        b'>' | b'!' => when(is_literal_edge(low, at, next), Signs::COMPARISON),
        b'#' => {
            let word = word_at(low, at + 1);
            when(matches!(word, b"set" | b"rt" | b"foreach" | b"include" | b"parse"), Signs::TEMPLATE)
                .and(when(last.is_ascii_digit() || matches!(last, b')' | b'\'' | b'"'), Signs::COMMENT))
        }
        b'@' => match next {
            b'@' => Signs::SERVER_VARIABLE,
            b'(' | b'{' => Signs::TEMPLATE.and(Signs::CALL),
            b'i' if word_at(low, at + 1) == b"import" => Signs::ADDRESS,
            b's' if word_at(low, at + 1) == b"system" => Signs::TEMPLATE,
            _ => NONE,
        },
        b'-' => dash(low, at, last, next),
        b'_' => underscore(low, at, next),
        b'+' => when(word_at(low, at + 1) == b"adw", Signs::ADDRESS),
        b'/' | b'\\' => slash(low, at, b, last, next),
        b'^' => when(last.is_ascii_lowercase() && next.is_ascii_lowercase(), Signs::DISGUISE),
        b'%' => when(matches!(next, b'c' | b'u' | b'0' | b'e' | b'f' | b'2') || last == b'.', Signs::OVERLONG)
            .and(when(next == b'>', Signs::SERVER))
            .and(when(matches!(word_at(low, at + 1), b"comspec" | b"programfiles" | b"path"), Signs::DISGUISE)),
        b':' => colon(low, at, next),
        0..=0x1f => when(b != b'\t', Signs::ADDRESS.and(Signs::QUOTE)),
        _ => NONE,
    }
}

/// A comment, a folder of a Java server, or an interpreter that is given its program.
fn dash(low: &[u8], at: usize, last: u8, next: u8) -> Signs {
    if last == b' ' && matches!(next, b'c' | b'e' | b'r') {
        let interpreter = matches!(word_before(low, at - 1), b"bash" | b"sh" | b"zsh" | b"ksh" | b"dash" | b"perl")
            || matches!(word_before(low, at - 1), b"python" | b"python2" | b"python3" | b"ruby" | b"php" | b"node");
        return when(interpreter, Signs::CALL);
    }
    let utf7 = word_before(low, at) == b"adw";
    if next == b'w' && rest(low, at).starts_with(b"-wrapper") {
        return Signs::PATH;
    }
    when(next == b'-' && (!is_space(last) || at < 48), Signs::COMMENT)
        .and(when(utf7, Signs::ADDRESS))
        .and(when(next == b'i' && last == b'b' && rest(low, at).starts_with(b"-inf"), Signs::PATH))
}

/// Packages and procedures of databases: `dbms_…`, `xp_cmd…`, `…_schema`.
fn underscore(low: &[u8], at: usize, next: u8) -> Signs {
    let tail = || rest(low, at + 1);
    let known = match before(low, at) {
        b's' => low.get(..at).is_some_and(|head| head.ends_with(b"dbms")),
        b'l' => low.get(..at).is_some_and(|head| head.ends_with(b"utl")),
        b'g' => tail().starts_with(b"sleep"),
        b'p' => match low.get(at.saturating_sub(7)..at) {
            Some([.., b'x', _]) => tail().starts_with(b"cmd"),
            Some([head @ .., b's', _]) => {
                head == b"exec " || tail().starts_with(b"password") || tail().starts_with(b"addlogin")
            }
            _ => false,
        },
        _ => false,
    };
    when(known || next == b's' && tail().starts_with(b"schema"), Signs::STATEMENT)
}

/// A quote asks only where it is not an apostrophe and what follows is no prose.
fn quote(low: &[u8], at: usize, last: u8, next: u8) -> Signs {
    let inside = is_word(last) && (is_word(next) || matches!(next, b'\'' | b'"' | b'*' | b'?'));
    let disguise = when(
        inside && !next.is_ascii_lowercase()
            || is_word(last) && next.is_ascii_lowercase() && at > 0 && matches!(byte(low, at + 2), b'\'' | b'"'),
        Signs::DISGUISE,
    );
    if matches!(next, b'.' | b',' | b'?' | b'!' | b':' | 0x80..) {
        return disguise;
    }
    let mut from = skip_space(low, at + 1);
    while matches!(byte(low, from), b')' | b']' | b'}') {
        from = skip_space(low, from + 1);
    }
    let asks = match byte(low, from) {
        b'a'..=b'z' => is_operator_word(rest(low, from)),
        b'0'..=b'9' | b'.' | b',' | b'?' | b':' | b'_' | b'~' | b'$' | b'[' | b'{' | b'\\' | 0x80.. => false,
        0 => from < low.len(),
        _ => true,
    };
    disguise.and(when(asks, Signs::QUOTE))
}

/// Whether the quote at an offset asks for SQL: what follows it continues an expression.
pub(super) fn quote_asks(low: &[u8], at: usize) -> bool {
    quote(low, at, before(low, at), byte(low, at + 1)).any(Signs::QUOTE)
}

fn tag(low: &[u8], at: usize, next: u8) -> Signs {
    match next {
        b'<' => Signs::TAG.and(Signs::SUBSTITUTION),
        b'a'..=b'z' | b'/' | 0x01..=0x1f => Signs::TAG,
        b'!' => Signs::TAG.and(Signs::DECLARATION).and(when(rest(low, at).starts_with(b"<!--#"), Signs::SERVER)),
        b'?' | b'%' | b'#' => Signs::TAG.and(Signs::SERVER),
        b'(' => Signs::SUBSTITUTION,
        _ => when(is_literal_edge(low, at, next), Signs::COMPARISON),
    }
}

/// A separator asks when a program, a statement or a path follows.
fn separator(low: &[u8], at: usize, b: u8) -> Signs {
    let mut start = at + 1;
    while matches!(
        byte(low, start),
        b' ' | b'\t' | b'|' | b'&' | b';' | b'(' | b'{' | b'!' | b'\'' | b'"' | b'`' | b'$' | b'\n' | b'\r'
    ) && start < at + 24
    {
        start += 1;
    }
    let first = byte(low, start);
    let word = word_at(low, start);
    let asks = if word.is_empty() {
        matches!(first, b'/' | b'\\' | b'-' | b'+') && b != b'\n' || first == b'/' || start == at + 24
    } else {
        PROGRAMS.has(word) || words!("drop insert update delete select create alter truncate exec execute declare shutdown waitfor if begin grant copy backup restore call handler use set return var while function this db iex it sleep commit rollback invoke rundll32 c99 http https start").has(word)
            || matches!(byte(low, start + word.len()), b'\\' | b'\'' | b'"' | b'$' | b'/' | b'.' | b'-')
    };
    let doubled = (b == b'|' || b == b'&') && (byte(low, at + 1) == b);
    let operates = doubled && (is_literal_start(low, at + 2) || at < 48);
    when(asks, Signs::SEPARATOR).and(when(operates, Signs::COMPARISON))
}

fn parenthesis(low: &[u8], at: usize, last: u8, next: u8) -> Signs {
    let filter = when(matches!(next, b'&' | b'|' | b'!') || last == b'(' && next == b')', Signs::FILTER);
    let function = when(next == b')' && byte(low, skip_space(low, at + 2)) == b'{', Signs::FUNCTION);
    let exponent = last == b'e' && at > 2 && byte(low, at - 2) == b'.';
    let query = when(exponent || word_at(low, skip_space(low, at + 1)) == b"select", Signs::STATEMENT);
    filter.and(function).and(query).and(when(last == b'<' || last == b'>', Signs::SUBSTITUTION)).and(called(low, at))
}

/// The name before a call is one that an attacker calls.
fn called(low: &[u8], at: usize) -> Signs {
    let mut end = at;
    while end > 0 && end + 6 > at && (is_space(before(low, end)) || matches!(before(low, end), b'.' | b'?' | b')')) {
        end -= 1;
    }
    let name = word_before(low, end);
    if name.len() < 2 || end + 1 < at && !is_word(before(low, end)) {
        return NONE;
    }
    let known = super::sql::FUNCTIONS.has(name)
        || words!(
            "alert confirm prompt eval settimeout setinterval function import fetch write writeln print open atob expression \
            url system exec shell_exec passthru popen proc_open pcntl_exec assert create_function call_user_func phpinfo \
            file_get_contents unserialize preg_replace fopen readfile include require file_put_contents getenv show_source highlight_file \
            base64_decode array_map usort spawn spawnsync execsync posix_getpwuid __import__ getruntime binding call apply find \
            insert remove drop findone constructor fromcharcode foreach map filter some every findindex getoutput run \
            processbuilder iex downloadstring sub wait init"
        )
        .has(name);
    when(known, Signs::CALL)
}

fn equals(low: &[u8], at: usize, last: u8) -> Signs {
    let mut end = at;
    while end > 0 && is_space(before(low, end)) && end + 8 > at {
        end -= 1;
    }
    let name = word_before(low, end);
    let handler = name.len() > 4 && name.starts_with(b"on");
    let browser = matches!(name, b"innerhtml" | b"outerhtml" | b"location" | b"href" | b"cookie" | b"onerror")
        && (last == b'.' || before(low, end - name.len()) == b'.' || name == b"location");
    when(handler, Signs::HANDLER)
        .and(when(browser, Signs::BROWSER))
        .and(when(is_literal_edge(low, at, byte(low, at + 1)), Signs::COMPARISON))
}

/// A comparison's both sides look like literals, or one side closes or opens a quote.
fn is_literal_edge(low: &[u8], at: usize, next: u8) -> bool {
    let mut end = at;
    while end > 0
        && (is_space(before(low, end)) || matches!(before(low, end), b'=' | b'<' | b'>' | b'!'))
        && end + 8 > at
    {
        end -= 1;
    }
    let left = before(low, end);
    let left_literal = left.is_ascii_digit() || matches!(left, b'\'' | b'"' | b')' | b'`');
    left_literal && (next == b'=' || next == b'>' || is_literal_start(low, at + 1))
}

fn is_literal_start(low: &[u8], at: usize) -> bool {
    let mut start = skip_space(low, at);
    while matches!(byte(low, start), b'(' | b'=' | b'-' | b'+') && start < at + 8 {
        start = skip_space(low, start + 1);
    }
    matches!(byte(low, start), b'0'..=b'9' | b'\'' | b'"' | b'@')
}

fn slash(low: &[u8], at: usize, b: u8, last: u8, next: u8) -> Signs {
    if last == b'.' && before(low, at.saturating_sub(1)) == b'.'
        || next == b'.' && matches!(byte(low, at + 2), b'.' | b'/' | b'\\')
    {
        return Signs::CLIMB.and(Signs::PATH);
    }
    let near = [next, byte(low, at + 2), byte(low, at + 3)];
    let wild = !is_word(last) && last != b'/' && near.iter().any(|b| matches!(b, b'?' | b'*' | b'['));
    let word = word_at(low, at + 1);
    let folder =
        words!("etc bin proc dev var root sbin windows winnt boot usr inetpub config passwd shadow system32 opt")
            .has(word)
            || (next == b'.' && (2..20).contains(&rest(low, at + 1).len()));
    let hidden = next == b'.' && words!("ssh git aws env htpasswd htaccess bash_history").has(word_at(low, at + 2));
    let comment = b == b'/' && next == b'*' || b == b'*' && next == b'/';
    let disguise = b == b'\\' && last.is_ascii_lowercase() && next.is_ascii_lowercase() || wild && b == b'/';
    when(folder || hidden, Signs::PATH)
        .and(when(comment, Signs::COMMENT))
        .and(when(disguise, Signs::DISGUISE))
        .and(when(b == b'\\' && matches!(next, b'\'' | b'"'), Signs::QUOTE))
}

fn colon(low: &[u8], at: usize, next: u8) -> Signs {
    let name = word_before(low, at);
    // `O:8:"name":…`: an object as PHP writes it.
    if name == b"o" && next.is_ascii_digit() {
        return Signs::CALL;
    }
    // `name:1.2.3:=`: a directory's match by rule.
    if next == b'=' && before(low, at).is_ascii_digit() {
        return Signs::FILTER;
    }
    match name {
        b"data" if rest(low, at).starts_with(b":image/png") || rest(low, at).starts_with(b":image/jpeg") => NONE,
        b"javascript" | b"vbscript" | b"livescript" | b"mocha" | b"binding" | b"behavior" | b"behaviour" | b"data" => {
            Signs::ADDRESS
        }
        b"file" | b"php" | b"expect" | b"phar" | b"zip" | b"glob" => Signs::SCHEME,
        b"c" | b"d" if matches!(next, b'/' | b'\\') => Signs::PATH,
        name if name.ends_with(b"script") => Signs::ADDRESS,
        _ => NONE,
    }
}

/// The string begins with a value, or nothing, and goes on with a word that operates on it.
fn begins_as_value(low: &[u8]) -> bool {
    let mut at = low
        .iter()
        .take(8)
        .take_while(|&&b| is_space(b) || matches!(b, b'(' | b'-' | b'+' | b'~' | b'!' | b'@' | b'.' | b'\'' | b'"'))
        .count();
    if is_operator_word(rest(low, at)) {
        return true;
    }
    at += word_at(low, at).len();
    if byte(low, at) == b'.' && byte(low, at + 1).is_ascii_digit() {
        at += 1 + word_at(low, at + 1).len();
    }
    if byte(low, at) == b'=' {
        at += 1 + word_at(low, at + 1).len();
    }
    let mut next = skip_space(low, at);
    while matches!(byte(low, next), b')' | b'/' | b'*' | b'%' | b'\'' | b'"') && next < at + 8 {
        next = skip_space(low, next + 1);
    }
    match byte(low, next) {
        b'a'..=b'z' | b'A'..=b'Z' => is_operator_word(rest(low, next)) || opens_statement(rest(low, next)),
        b'-' => byte(low, next + 1) == b'-',
        b'|' | b'&' | b'#' | b';' => true,
        _ => false,
    }
}

pub(super) fn is_operator_word(text: &[u8]) -> bool {
    let len = text.iter().take(12).take_while(|b| b.is_ascii_alphabetic()).count();
    len > 1
        && text.get(..len).is_some_and(|word| {
            words!(
                "or and xor union having order group limit like rlike regexp between in is div mod not procedure into where select \
                sounds collate as if waitfor when insert offset"
            )
            .has(word)
        })
}
