//! Commands in disguise: spellings that a shell undoes and nobody writes but to get past a filter.

use super::command::PROGRAMS;
use super::text::{
    all, before, byte, has, has_any, is_space, is_word, needles, skip_space, trimmed, window, word_at, word_before,
    words, words_up_to,
};

/// Spellings that only hide.
pub(super) fn judge(low: &[u8]) -> Option<&'static str> {
    let separators = needles!(
        "$ifs ${ifs $'\\x20' ${path: ${home: ${pwd: ${shell ${ps $u; %programfiles:~ %comspec \
                    %path:~ {cat, {ls, {id, {curl, {wget, {nc, {ping, {bash, {sh,"
    )
    .occur(low)
        // `c$@at`: glued into a word. By itself it is a script's arguments.
        || all(low, "$@").any(|at| is_word(before(low, at)) || is_word(byte(low, at + 2)));
    let sh_ifs = separators
        && needles!("cat ls ping id wget curl bash sh { echo etc").occur(low)
        && words_up_to(low, 8) < 8
        && !has(low, "\"$@\"");
    // `() { :;};` defines a function that old shells ran on import.
    let shellshock = all(low, "()").any(|at| {
        let brace = skip_space(low, at + 2);
        byte(low, brace) == b'{' && needles!(":; :·; _; ignored x;").occur(window(low, brace, 12))
    });
    // A command's output as another one's input; a function that calls itself twice.
    let here = needles!("<<<$( <<<·$( <<<`").occur(low) && words_up_to(low, 8) < 8;
    let sockets = has_any(low, &["/dev/tcp/", "/dev/udp/"]) && needles!("bash exec sh· >& <>").occur(low);
    if sh_ifs || shellshock || here || sockets || is_fork_bomb(low) || runs_a_variable(low) {
        return Some("a shell's way to hide or reach out");
    }
    let mut words = low.split(|&b| is_space(b) || matches!(b, b';' | b'|' | b'&' | b'=' | b'+' | b'`'));
    words.any(is_disguised).then_some("a command in disguise")
}

/// `f(){ f & f; };f`.
fn is_fork_bomb(low: &[u8]) -> bool {
    all(low, "()").any(|at| {
        let name = word_before(low, at);
        let brace = skip_space(low, at + 2);
        let body = window(low, brace + 1, 32);
        let named = if name.is_empty() && before(low, at) == b':' { b":".as_slice() } else { name };
        let calls = |text: &[u8]| trimmed(text).strip_suffix(b"()").unwrap_or(trimmed(text)) == named;
        let mut parts = body.split(|b| matches!(b, b'|' | b'&' | b';' | b'}'));
        !named.is_empty()
            && byte(low, brace) == b'{'
            && parts.next().is_some_and(calls)
            && parts.next().is_some_and(calls)
    })
}

/// `a=nc&&$a -lvp 555`, `v='u';cu$v…`: a name is given a piece of a command, then stands where a command does.
fn runs_a_variable(low: &[u8]) -> bool {
    // A script has lines.
    if low.len() > 200 || low.contains(&b'\n') || !low.contains(&b'=') {
        return false;
    }
    let separates = |b: u8| matches!(b, b';' | b'&' | b'|');
    all(low, "$").take(8).any(|at| {
        let name = word_at(low, at + 1);
        let ahead = if is_space(before(low, at)) { at.saturating_sub(2) } else { at.saturating_sub(1) };
        let glued = is_word(before(low, at));
        if name.is_empty() || name.len() > 8 || at == 0 || !(glued || separates(byte(low, ahead))) {
            return false;
        }
        let head = low.get(..at).unwrap_or_default();
        head.split(|b| separates(*b)).any(|part| {
            let value = trimmed(part).strip_prefix(name).and_then(|part| part.strip_prefix(b"="));
            value.is_some_and(|value| !value.is_empty() && !value.iter().any(|b| is_space(*b)))
        })
    })
}

/// `c''at`, `c\at`, `/b?n/c?t`, `/e*c/pa*wd`, `who$@ami`: a program's name once the disguise is off.
fn is_disguised(word: &[u8]) -> bool {
    let marked = |b: &u8| matches!(b, b'\'' | b'"' | b'\\' | b'^' | b'`' | b'$' | b'?' | b'*' | b'[');
    // Every name that could be under it has a letter, a digit or a slash.
    let named = |b: &u8| b.is_ascii_alphanumeric() || *b == b'/';
    if word.len() < 3 || word.len() > 64 || !word.iter().any(marked) || !word.iter().any(named) {
        return false;
    }
    let marks = word.iter().filter(|b| matches!(b, b'\'' | b'"' | b'\\' | b'^' | b'`')).count();
    if marks >= 1
        && !matches!(word.first(), Some(b'\'' | b'"' | b'`'))
        && !matches!(word.last(), Some(b'\'' | b'"' | b'`' | b'\\'))
    {
        let bare: Vec<u8> = word.iter().copied().filter(|b| !matches!(b, b'\'' | b'"' | b'\\' | b'^' | b'`')).collect();
        let path = bare.starts_with(b"/etc/passwd") || bare.starts_with(b"/bin/") || bare.starts_with(b"/etc/shadow");
        if path && !has(word, "\\/")
            || words!("cat whoami uname wget curl bash netstat ifconfig python nslookup ping passwd").has(&bare)
        {
            return true;
        }
    }
    if is_interrupted(word) || is_doubled(word) || is_bracketed(word) {
        return true;
    }
    let wild = word.iter().filter(|b| matches!(b, b'?' | b'*' | b'[')).count();
    let slashes = word.iter().filter(|b| **b == b'/').count();
    // `/*nonce*/` is a comment, `/dev/mapper/*.img` the files of a kind.
    let known = || needles!("/b /e /us /?? /*").occur(word) && !has(word, "/*.") && !word.starts_with(b"/*");
    wild >= 2 && slashes >= 2 && word.starts_with(b"/") && known() && !has_any(word, &["**", "/*/", "http", "*.*"])
}

/// `ti''me`, `ca""t`: an empty text inside a program's name.
fn is_doubled(word: &[u8]) -> bool {
    if !word.windows(2).any(|pair| matches!(pair, b"''" | b"\"\"")) {
        return false;
    }
    let mut bare = Vec::with_capacity(word.len());
    let mut at = 0;
    while at < word.len() {
        let quote = byte(word, at);
        let empty = matches!(quote, b'\'' | b'"') && byte(word, at + 1) == quote;
        if empty && is_word(before(word, at)) && is_word(byte(word, at + 2)) {
            at += 2;
        } else {
            bare.push(quote);
            at += 1;
        }
    }
    bare.len() < word.len() && PROGRAMS.has(&bare)
}

/// `/usr/bin/[u]name`: a choice of one letter inside a program's path.
fn is_bracketed(word: &[u8]) -> bool {
    let single = memchr::memchr_iter(b'[', word).any(|at| is_word(byte(word, at + 1)) && byte(word, at + 2) == b']');
    if !single || byte(word, 0) != b'/' {
        return false;
    }
    let bare: Vec<u8> = word.iter().copied().filter(|b| !matches!(b, b'[' | b']')).collect();
    let name = bare.rsplit(|b| *b == b'/').next().unwrap_or_default();
    (bare.starts_with(b"/bin/") || bare.starts_with(b"/usr/bin/")) && PROGRAMS.has(name)
}

/// `c$@at`, `/et$_c/pas$-swd`: variables that are empty stand inside a name.
fn is_interrupted(word: &[u8]) -> bool {
    if word.len() > 48 || !word.iter().skip(1).any(|b| *b == b'$') {
        return false;
    }
    let mut bare = Vec::with_capacity(word.len());
    let mut unset = false;
    let mut at = 0;
    while at < word.len() {
        // In front it is a name looked up twice, as in Perl.
        if at > 0
            && byte(word, at) == b'$'
            && matches!(byte(word, at + 1), b'@' | b'*' | b'_' | b'-' | b'?' | b'!' | b'$' | b'#')
        {
            at += 2;
        } else if at > 0 && byte(word, at) == b'$' && is_word(before(word, at)) && word_at(word, at + 1).len() == 1 {
            // `/etc$u/passwd$u`: nobody names it, so it is empty.
            unset = true;
            at += 2;
        } else {
            bare.push(byte(word, at));
            at += 1;
        }
    }
    if unset {
        return [&b"/etc/passwd"[..], b"/etc/shadow", b"/etc/hosts", b"/bin/"]
            .iter()
            .any(|path| bare.starts_with(path));
    }
    bare.len() < word.len() && (PROGRAMS.has(&bare) || bare.starts_with(b"/etc/") || bare.starts_with(b"/bin/"))
}
