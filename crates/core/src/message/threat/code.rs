//! Code that an interpreter behind the application would evaluate (CWE-94, CWE-502): a whole string that is a call,
//! an object that is made when it is read, a command line for another interpreter.

use super::text::{
    all, before, byte, has, has_any, is_space, is_word, needles, one_of, rest, skip_space, window, word_at, words,
};

pub(super) fn judge(low: &[u8]) -> Option<&'static str> {
    None.or_else(|| call(low))
        .or_else(|| expansion(low))
        .or_else(|| object(low))
        .or_else(|| command_line(low))
        .or_else(|| wildcards(low))
        .or_else(|| swallowing(low))
}

/// How far a call's end is looked for, bytes.
const CALL_BYTES_MAX: usize = 255;

/// `eval($x)`, `system('…`: the string is a call and nothing else.
fn call(low: &[u8]) -> Option<&'static str> {
    let start = low.iter().take_while(|b| matches!(b, b'@' | b'\\' | b';') || is_space(**b)).count();
    let mut name = word_at(low, start);
    let mut end = start + name.len();
    if name == b"new" {
        end = skip_space(low, end);
        name = word_at(low, end);
        end += name.len();
        if name != b"function" {
            return None;
        }
    }
    let known = words!(
        "eval assert system exec passthru shell_exec popen proc_open pcntl_exec unserialize create_function phpinfo fopen \
         file_get_contents function call_user_func"
    );
    let open = skip_space(low, end);
    if !known.has(name) || byte(low, open) != b'(' || name == b"function" && !low.starts_with(b"new") {
        return None;
    }
    let tail = low.trim_ascii_end();
    let tail = tail.strip_suffix(b";").unwrap_or(tail);
    let first = byte(low, skip_space(low, open + 1));
    let quoted = matches!(first, b'\'' | b'"' | b'`' | b'$');
    // A test asserts that something holds; only PHP's old one ran a text.
    if rest(tail, open).contains(&b'\n') || has(tail, "=>") || name == b"assert" && (!quoted || open > end) {
        return None;
    }
    // Of a long call only its beginning is read.
    let closed = tail.ends_with(b")")
        && (super::sql::close_paren(tail, open) >= tail.len() || tail.len() - open > CALL_BYTES_MAX);
    (closed || quoted && !tail.ends_with(b"))") || open + 1 >= low.len())
        .then_some("a call that runs code, and nothing else")
}

/// `${@print(1)}`, "${`id`}".
fn expansion(low: &[u8]) -> Option<&'static str> {
    all(low, "${")
        .any(|at| match byte(low, at + 2) {
            b'@' => byte(low, at + 3).is_ascii_alphabetic(),
            mark => mark == b'`',
        })
        .then_some("code inside an expansion")
}

/// `a';exit(md5(1));//`: a value that may close a quote, a statement that calls, a comment that swallows the rest.
fn swallowing(low: &[u8]) -> Option<&'static str> {
    let low = low.trim_ascii();
    let code = low.strip_suffix(b"//").or_else(|| low.strip_suffix(b"#"))?.trim_ascii_end().strip_suffix(b";")?;
    let value = low.iter().take(24).take_while(|b| is_word(**b)).count();
    let quote = usize::from(matches!(byte(low, value), b'\'' | b'"'));
    let mark = byte(low, value + quote);
    let name = skip_space(low, value + quote + 1);
    let open = name + word_at(low, name).len();
    let calls = open > name && byte(low, open) == b'(';
    let ends = || super::sql::close_paren(code, open) >= code.len();
    (matches!(mark, b';' | b'.') && (mark == b';' || quote == 1) && calls && ends())
        .then_some("a call that runs code, and nothing else")
}

/// `O:8:"stdClass":1:{…` of PHP, Java's `rO0AB…`, names of classes that run what they are given.
fn object(low: &[u8]) -> Option<&'static str> {
    let php = all(low, "o:").any(|at| {
        let digits = rest(low, at + 2).iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let name = at + 2 + digits;
        !is_word(before(low, at)) && digits > 0 && byte(low, name) == b':' && matches!(byte(low, name + 1), b'"' | b'&')
    });
    let java = all(low, "ro0ab").any(|at| !is_word(before(low, at)));
    let class = needles!("javax.script.scriptengine java.lang.runtime java.lang.processbuilder").occur(low);
    // `!!python/object/apply:os.system`, as YAML writes it.
    let tagged = needles!("!python/object !ruby/object: !!javax.").occur(low);
    (php || java || class || tagged).then_some("an object that acts when it is read")
}

/// `bash -c "…"`, `perl -e '…'`, `… | sh`.
fn command_line(low: &[u8]) -> Option<&'static str> {
    let shell = |name: &[u8]| one_of(name, &["sh", "bash", "zsh", "ksh", "dash", "shell"]);
    let start = usize::from(byte(low, 0) == b'$');
    let name = word_at(low, start);
    let flag = skip_space(low, start + name.len());
    let option = window(low, flag, 3);
    let inline = shell(name) && option == b"-c "
        || one_of(name, &["perl", "ruby", "node"]) && option == b"-e "
        || name == b"php" && option == b"-r "
        || one_of(name, &["python", "python2", "python3"]) && option == b"-c ";
    if inline && matches!(byte(low, skip_space(low, flag + 3)), b'"' | b'\'') {
        return Some("code on an interpreter's command line");
    }
    let tail = low.trim_ascii_end();
    let last = tail.iter().rev().take_while(|b| is_word(**b)).count();
    let pipe = tail.get(..tail.len() - last)?.trim_ascii_end();
    let piped = pipe.ends_with(b"|") && shell(rest(tail, tail.len() - last)) && pipe.len() < 200;
    (piped && !has_any(low, &["curl -fs", "https://get.", "https://sh."])).then_some("a text piped into a shell")
}

/// A line's end, also written as `\n`, and a program by its path: what is before was to end another command.
pub(super) fn on_a_line_of_its_own(low: &[u8]) -> Option<&'static str> {
    let start = low.iter().take_while(|b| matches!(b, b'"' | b'\'' | b';' | b' ')).count();
    let path = rest(low, start);
    let path = path.strip_prefix(b"\\n").or_else(|| path.strip_prefix(b"\n")).or_else(|| path.strip_prefix(b"\r\n"))?;
    (path.starts_with(b"/bin/") || path.starts_with(b"/usr/bin/") || path.starts_with(b"/sbin/"))
        .then_some("a program on a line of its own")
}

/// `/et*/passwd`, `/???/c?t`: a system's folder spelt with wildcards.
fn wildcards(low: &[u8]) -> Option<&'static str> {
    let found = memchr::memchr_iter(b'/', low).any(|at| {
        if spells_secret(low, at) {
            return true;
        }
        let name = rest(low, at + 1);
        let len = name.iter().take(8).take_while(|b| **b != b'/' && !is_space(**b)).count();
        let Some(name) = name.get(..len).filter(|name| byte(low, at + 1 + name.len()) == b'/') else { return false };
        let wild = name.iter().any(|b| matches!(b, b'?' | b'*'));
        // At the beginning of a path, not within one.
        let rooted =
            matches!(before(low, at), 0 | b' ' | b';' | b'|' | b'+' | b'=' | b'(' | b'`' | b'\'' | b'"' | b'\t');
        let folder =
            || [&b"etc"[..], b"bin", b"usr", b"dev", b"proc"].iter().any(|folder| matches_wildcards(name, folder));
        wild && rooted && name.iter().any(|b| *b != b'*') && folder()
    });
    found.then_some("a system's folder spelt with wildcards")
}

/// `/etc/pa?swd`, `/etc/pass*`: a secret's name spelt with wildcards.
fn spells_secret(low: &[u8], at: usize) -> bool {
    let Some(name) = rest(low, at).strip_prefix(b"/etc/") else { return false };
    let len = name.iter().take(12).take_while(|&&b| is_word(b) || matches!(b, b'?' | b'*')).count();
    let name = name.get(..len).unwrap_or_default();
    let letters = name.iter().filter(|b| is_word(**b)).count();
    letters >= 3 && letters < len && (matches_wildcards(name, b"passwd") || matches_wildcards(name, b"shadow"))
}

/// `?` is one letter, `*` any number of them. Both are short.
fn matches_wildcards(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', tail)) => (0..=name.len()).any(|skip| matches_wildcards(tail, rest(name, skip))),
        Some((b'?', tail)) => name.split_first().is_some_and(|(_, name)| matches_wildcards(tail, name)),
        Some((letter, tail)) => {
            name.split_first().is_some_and(|(first, name)| first == letter && matches_wildcards(tail, name))
        }
    }
}
