//! What one mark shows, together with its neighbours.

use super::super::command::PROGRAMS;
use super::super::signs::Signs;
use super::super::text::{is_space, is_word, rest, skip_space, word_at, word_before, words};
use super::{NONE, before, byte, is, is_operator_word, starts, when};

/// What the mark at an offset shows, given its neighbours. The text may be in any case; so for all below.
pub(super) fn shown_by(text: &[u8], at: usize) -> Signs {
    let (b, next, last) = (byte(text, at), byte(text, at + 1), before(text, at));
    match b {
        b'\'' | b'"' => quote(text, at, last, next),
        b'`' => {
            let start = skip_space(text, at + 1);
            let program = PROGRAMS.has(word_at(text, start)) || matches!(byte(text, start), b'/' | b'$');
            quote(text, at, last, next).and(when(program, Signs::SUBSTITUTION)).and(called(text, at))
        }
        b'<' => tag(text, at, next),
        b';' | b'|' | b'&' | b'\n' | b'\r' => separator(text, at, b),
        b'$' => match next {
            b'{' => Signs::DOLLAR_BRACE,
            b'(' => Signs::SUBSTITUTION,
            b'a'..=b'z' | b'_' | b'$' => when(is_word(last), Signs::DISGUISE).and(Signs::DOLLAR),
            b'0'..=b'9' | b' ' | b',' | b'.' | 0 => NONE,
            _ => Signs::DISGUISE.and(Signs::DOLLAR),
        },
        b'{' => {
            let word = word_at(text, at + 1);
            let called = word.len() > 1 && matches!(byte(text, at + 1 + word.len()), b'(' | b'}' | b':' | b' ');
            let expands = PROGRAMS.has(word) && byte(text, at + 1 + word.len()) == b',';
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
        b'(' => parenthesis(text, at, last, next),
        b')' => when(next == b'(' || last == b'*' || next == b')' && last == b'(', Signs::FILTER)
            .and(when(matches!(byte(text, skip_space(text, at + 1)), b'('), Signs::FILTER)),
        b'=' => equals(text, at, last),
        b'>' | b'!' => when(is_literal_edge(text, at, next), Signs::COMPARISON),
        b'#' => {
            let word = word_at(text, at + 1);
            when(words!("set rt foreach include parse").has(word), Signs::TEMPLATE)
                .and(when(last.is_ascii_digit() || matches!(last, b')' | b'\'' | b'"'), Signs::COMMENT))
        }
        b'@' => match next {
            b'@' => Signs::SERVER_VARIABLE,
            b'(' | b'{' => Signs::TEMPLATE.and(Signs::CALL),
            b'i' if is(word_at(text, at + 1), "import") => Signs::ADDRESS,
            b's' if is(word_at(text, at + 1), "system") => Signs::TEMPLATE,
            _ => NONE,
        },
        b'-' => dash(text, at, last, next),
        b'_' => underscore(text, at, next),
        b'+' => when(is(word_at(text, at + 1), "adw"), Signs::ADDRESS),
        b'/' | b'\\' => slash(text, at, b, last, next),
        b'^' => when(last.is_ascii_alphabetic() && next.is_ascii_alphabetic(), Signs::DISGUISE),
        b'%' => when(matches!(next, b'c' | b'u' | b'0' | b'e' | b'f' | b'2') || last == b'.', Signs::OVERLONG)
            .and(when(next == b'>', Signs::SERVER))
            .and(when(words!("comspec programfiles path").has(word_at(text, at + 1)), Signs::DISGUISE)),
        b':' => colon(text, at, next),
        0..=0x1f => when(b != b'\t', Signs::ADDRESS.and(Signs::QUOTE)),
        _ => NONE,
    }
}

/// A comment, a folder of a Java server, or an interpreter that is given its program.
fn dash(text: &[u8], at: usize, last: u8, next: u8) -> Signs {
    if last == b' ' && matches!(next, b'c' | b'e' | b'r') {
        let interpreters = words!("bash sh zsh ksh dash perl python python2 python3 ruby php node");
        return when(interpreters.has(word_before(text, at - 1)), Signs::CALL);
    }
    let utf7 = is(word_before(text, at), "adw");
    if next == b'w' && starts(text, at, "-wrapper") {
        return Signs::PATH;
    }
    when(next == b'-' && (!is_space(last) || at < 48), Signs::COMMENT)
        .and(when(utf7, Signs::ADDRESS))
        .and(when(next == b'i' && last == b'b' && starts(text, at, "-inf"), Signs::PATH))
}

/// Packages and procedures of databases: `dbms_…`, `xp_cmd…`, `…_schema`.
fn underscore(text: &[u8], at: usize, next: u8) -> Signs {
    let tail = |word| starts(text, at + 1, word);
    let head = |word: &str| at.checked_sub(word.len()).is_some_and(|from| starts(text, from, word));
    let known = match before(text, at) {
        b's' => head("dbms"),
        b'l' => head("utl"),
        b'g' => tail("sleep"),
        b'p' => head("xp") && tail("cmd") || head("sp") && (head("exec sp") || tail("password") || tail("addlogin")),
        _ => false,
    };
    when(known || next == b's' && tail("schema"), Signs::STATEMENT)
}

/// A quote asks only where it is not an apostrophe and what follows is no prose.
fn quote(text: &[u8], at: usize, last: u8, next: u8) -> Signs {
    // `can't`, `it's`: no word that operates has one letter.
    if last.is_ascii_alphabetic() && next.is_ascii_alphabetic() && byte(text, at + 2) == b' ' {
        return NONE;
    }
    let inside = is_word(last) && (is_word(next) || matches!(next, b'\'' | b'"' | b'*' | b'?'));
    let disguise = when(
        inside && !next.is_ascii_alphabetic()
            || is_word(last) && next.is_ascii_alphabetic() && at > 0 && matches!(byte(text, at + 2), b'\'' | b'"'),
        Signs::DISGUISE,
    );
    if matches!(next, b'.' | b',' | b'?' | b'!' | b':' | 0x80..) {
        return disguise;
    }
    let mut from = skip_space(text, at + 1);
    while matches!(byte(text, from), b')' | b']' | b'}') {
        from = skip_space(text, from + 1);
    }
    let asks = match byte(text, from) {
        b'a'..=b'z' => is_operator_word(rest(text, from)),
        b'0'..=b'9' | b'.' | b',' | b'?' | b':' | b'_' | b'~' | b'$' | b'[' | b'{' | b'\\' | 0x80.. => false,
        0 => from < text.len(),
        _ => true,
    };
    disguise.and(when(asks, Signs::QUOTE))
}

/// Whether the quote at an offset asks for SQL: what follows it continues an expression.
pub(in super::super) fn quote_asks(text: &[u8], at: usize) -> bool {
    quote(text, at, before(text, at), byte(text, at + 1)).any(Signs::QUOTE)
}

fn tag(text: &[u8], at: usize, next: u8) -> Signs {
    match next {
        b'<' => Signs::TAG.and(Signs::SUBSTITUTION),
        b'a'..=b'z' | b'/' | 0x01..=0x1f => Signs::TAG,
        b'!' => Signs::TAG.and(Signs::DECLARATION).and(when(rest(text, at).starts_with(b"<!--#"), Signs::SERVER)),
        b'?' | b'%' | b'#' => Signs::TAG.and(Signs::SERVER),
        b'(' => Signs::SUBSTITUTION,
        _ => when(is_literal_edge(text, at, next), Signs::COMPARISON),
    }
}

/// A separator asks when a program, a statement or a path follows.
fn separator(text: &[u8], at: usize, b: u8) -> Signs {
    let mut start = at + 1;
    while matches!(
        byte(text, start),
        b' ' | b'\t' | b'|' | b'&' | b';' | b'(' | b'{' | b'!' | b'\'' | b'"' | b'`' | b'$' | b'\n' | b'\r'
    ) && start < at + 24
    {
        start += 1;
    }
    let first = byte(text, start);
    let word = word_at(text, start);
    let asks = if word.is_empty() {
        matches!(first, b'/' | b'\\' | b'-' | b'+') && b != b'\n' || first == b'/' || start == at + 24
    } else {
        PROGRAMS.has(word) || words!("drop insert update delete select create alter truncate exec execute declare shutdown waitfor if begin grant copy backup restore call handler use set return var while function this db iex it sleep commit rollback invoke rundll32 c99 http https start").has(word)
            || matches!(byte(text, start + word.len()), b'\\' | b'\'' | b'"' | b'$' | b'/' | b'.' | b'-')
    };
    let doubled = (b == b'|' || b == b'&') && (byte(text, at + 1) == b);
    let operates = doubled && (is_literal_start(text, at + 2) || at < 48);
    when(asks, Signs::SEPARATOR).and(when(operates, Signs::COMPARISON))
}

fn parenthesis(text: &[u8], at: usize, last: u8, next: u8) -> Signs {
    let filter = when(matches!(next, b'&' | b'|' | b'!') || last == b'(' && next == b')', Signs::FILTER);
    let function = when(next == b')' && byte(text, skip_space(text, at + 2)) == b'{', Signs::FUNCTION);
    let exponent = last == b'e' && at > 2 && byte(text, at - 2) == b'.';
    let query = when(exponent || is(word_at(text, skip_space(text, at + 1)), "select"), Signs::STATEMENT);
    filter.and(function).and(query).and(when(last == b'<' || last == b'>', Signs::SUBSTITUTION)).and(called(text, at))
}

/// The name before a call is one that an attacker calls.
fn called(text: &[u8], at: usize) -> Signs {
    let mut end = at;
    while end > 0 && end + 6 > at && (is_space(before(text, end)) || matches!(before(text, end), b'.' | b'?' | b')')) {
        end -= 1;
    }
    let name = word_before(text, end);
    if name.len() < 2 || end + 1 < at && !is_word(before(text, end)) {
        return NONE;
    }
    let known = super::super::sql::FUNCTIONS.has(name)
        || words!(
            "alert confirm prompt eval settimeout setinterval function import fetch write writeln print open atob expression \
            url system exec shell_exec passthru popen proc_open pcntl_exec assert create_function call_user_func phpinfo \
            file_get_contents unserialize preg_replace fopen readfile include require file_put_contents getenv show_source highlight_file \
            base64_decode array_map usort spawn spawnsync execsync posix_getpwuid __import__ getruntime binding call apply find \
            insert remove drop findone constructor fromcharcode foreach map filter some every findindex getoutput run \
            processbuilder iex downloadstring sub wait init exit die print_r var_dump"
        )
        .has(name);
    when(known, Signs::CALL)
}

fn equals(text: &[u8], at: usize, last: u8) -> Signs {
    let mut end = at;
    while end > 0 && is_space(before(text, end)) && end + 8 > at {
        end -= 1;
    }
    let name = word_before(text, end);
    let handler = name.len() > 4 && starts(name, 0, "on");
    let browser = words!("innerhtml outerhtml location href cookie onerror").has(name)
        && (last == b'.' || before(text, end - name.len()) == b'.' || is(name, "location"));
    when(handler, Signs::HANDLER)
        .and(when(browser, Signs::BROWSER))
        .and(when(is_literal_edge(text, at, byte(text, at + 1)), Signs::COMPARISON))
}

/// A comparison's both sides look like literals, or one side closes or opens a quote.
fn is_literal_edge(text: &[u8], at: usize, next: u8) -> bool {
    let mut end = at;
    while end > 0
        && (is_space(before(text, end)) || matches!(before(text, end), b'=' | b'<' | b'>' | b'!'))
        && end + 8 > at
    {
        end -= 1;
    }
    let left = before(text, end);
    let left_literal = left.is_ascii_digit() || matches!(left, b'\'' | b'"' | b')' | b'`');
    left_literal && (next == b'=' || next == b'>' || is_literal_start(text, at + 1))
}

fn is_literal_start(text: &[u8], at: usize) -> bool {
    let mut start = skip_space(text, at);
    while matches!(byte(text, start), b'(' | b'=' | b'-' | b'+') && start < at + 8 {
        start = skip_space(text, start + 1);
    }
    matches!(byte(text, start), b'0'..=b'9' | b'\'' | b'"' | b'@')
}

fn slash(text: &[u8], at: usize, b: u8, last: u8, next: u8) -> Signs {
    if last == b'.' && before(text, at.saturating_sub(1)) == b'.'
        || next == b'.' && matches!(byte(text, at + 2), b'.' | b'/' | b'\\')
    {
        return Signs::CLIMB.and(Signs::PATH);
    }
    let near = [next, byte(text, at + 2), byte(text, at + 3)];
    let wild = !is_word(last) && last != b'/' && near.iter().any(|b| matches!(b, b'?' | b'*' | b'['));
    let word = word_at(text, at + 1);
    let folder =
        words!("etc bin proc dev var root sbin windows winnt boot usr inetpub config passwd shadow system32 opt")
            .has(word)
            || (next == b'.' && (2..20).contains(&rest(text, at + 1).len()));
    let hidden = next == b'.' && words!("ssh git aws env htpasswd htaccess bash_history").has(word_at(text, at + 2));
    let comment = b == b'/' && next == b'*' || b == b'*' && next == b'/';
    let disguise = b == b'\\' && last.is_ascii_alphabetic() && next.is_ascii_alphabetic() || wild && b == b'/';
    // `\\host\c$`: another machine's folder.
    let abroad = b == b'\\' && at == 0 && next == b'\\';
    when(folder || hidden || abroad, Signs::PATH)
        .and(when(comment, Signs::COMMENT))
        .and(when(disguise, Signs::DISGUISE))
        .and(when(b == b'\\' && matches!(next, b'\'' | b'"'), Signs::QUOTE))
}

fn colon(text: &[u8], at: usize, next: u8) -> Signs {
    let name = word_before(text, at);
    // `O:8:"name":…`: an object as PHP writes it.
    if is(name, "o") && next.is_ascii_digit() {
        return Signs::CALL;
    }
    // `!!python/object/new:…`.
    if words!("new apply module name").has(name)
        && at.checked_sub(name.len() + 7).is_some_and(|from| starts(text, from, "object/"))
    {
        return Signs::CALL;
    }
    // `name:1.2.3:=`: a directory's match by rule.
    if next == b'=' && before(text, at).is_ascii_digit() {
        return Signs::FILTER;
    }
    let picture = || is(name, "data") && (starts(text, at, ":image/png") || starts(text, at, ":image/jpeg"));
    let script = name.len().checked_sub(6).is_some_and(|from| starts(name, from, "script"));
    if script || words!("mocha binding behavior behaviour data").has(name) {
        return when(!picture(), Signs::ADDRESS);
    }
    let drive = matches!(next, b'/' | b'\\') && words!("c d").has(name);
    when(drive, Signs::PATH).and(when(words!("file php expect phar zip glob").has(name), Signs::SCHEME))
}
