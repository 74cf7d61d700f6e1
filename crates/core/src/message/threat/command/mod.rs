//! Command injection: would a shell, or an interpreter that a string reaches, run a part of it (CWE-78, CWE-94).
//!
//! A shell line in a chat begins with a command (`lspci | grep VGA`); an injected one begins with a value, or
//! with nothing, and then a separator and a command. Obfuscation that only a filter's author needs (`$IFS`,
//! `c\at`, `{cat,/etc/passwd}`), substitution glued to a value, and calls that run programs convict anywhere.

mod calls;
mod program;

use super::signs::Signs;
use super::text::{
    all, before, byte, has, has_any, is_space, is_word, needles, nth_word, places_max, rest, skip_space, trimmed,
    window, word_at, word_before, words, words_up_to,
};
use super::{View, code, disguise};
use calls::interpreter;
pub(super) use program::PROGRAMS;
use program::Program;

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = trimmed(view.low);
    let shows = |signs| view.signs.any(signs);
    let hides = Signs::DISGUISE
        .and(Signs::SUBSTITUTION)
        .and(Signs::DOLLAR)
        .and(Signs::DOLLAR_BRACE)
        .and(Signs::FUNCTION)
        .and(Signs::PATH);
    let calls = Signs::CALL.and(Signs::SERVER).and(Signs::DOLLAR);
    None.or_else(|| shows(hides).then(|| disguise::judge(low)).flatten())
        .or_else(|| shows(calls).then(|| interpreter(low)).flatten())
        .or_else(|| shows(Signs::SEPARATOR).then(|| separated(low)).flatten())
        .or_else(|| shows(Signs::SUBSTITUTION).then(|| substituted(low)).flatten())
        .or_else(|| shows(Signs::PATH).then(|| bare(low)).flatten())
        .or_else(|| code::judge(low))
        .or_else(|| (view.layers > 0).then(|| unpacked_line(view.low)).flatten())
        // Before it is trimmed: the line's end is what counts.
        .or_else(|| code::on_a_line_of_its_own(view.low))
}

/// A line's end that was encoded, and a program on the line it begins: nobody encodes the break before a sentence.
fn unpacked_line(low: &[u8]) -> Option<&'static str> {
    let breaks = low.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let start = skip_space(low, breaks);
    let program = Program::read(low, start).filter(|_| breaks > 0)?;
    let whole = words_up_to(low, 6) < 6;
    (program.ends(low) && whole && (program.argued(low) || !program.ordinary() || words_up_to(low, 2) < 2))
        .then_some("a command on a line of its own")
}

/// A separator, then a program.
fn separated(low: &[u8]) -> Option<&'static str> {
    let fourth_word = nth_word(low, 4);
    if low.starts_with(b"cd /") && needles!("cd·/;cd· cd·/;·cd·").occur(window(low, 0, 16)) {
        return Some("a walk through folders, then a command");
    }
    let mut places = 0;
    let separators = low.iter().enumerate().filter(|(_, b)| matches!(b, b';' | b'|' | b'&' | b'\n' | b'\r'));
    let mut read_to = 0;
    for at in separators.map(|(at, _)| at) {
        if at < read_to {
            continue;
        }
        let mut start = at + 1;
        while matches!(
            byte(low, start),
            b';' | b'|' | b'&' | b'\n' | b'\r' | b' ' | b'\t' | b'(' | b'{' | b'!' | b'\'' | b'"' | b'`' | b'$'
        ) {
            start += 1;
        }
        read_to = start;
        let Some(program) = Program::read(low, start) else { continue };
        places += 1;
        if places > places_max(low) {
            return Some("a text full of commands");
        }
        let head = low.get(..at).unwrap_or_default();
        let line = byte(low, at) == b'\n' || byte(low, at) == b'\r';
        if is_listed(low, at, start, &program, head) {
            continue;
        }
        if line && !(value(head) && head.len() < 24 && program.argued(low) && words_up_to(low, 8) < 8) {
            continue;
        }
        if program.harmful(low)
            && (fourth_word >= at
                || !line
                    && needles!("/etc/passwd /etc/shadow /dev/tcp |·sh |sh |·bash |bash").occur(program.tail(low))
                    && !begins_as_command(window(head, 0, 200)))
        {
            return Some("a command after a separator");
        }
        // `x=5; echo $x`: a line of a script.
        let shown = program.name == b"echo" && trimmed(head).contains(&b'=') && is_space(byte(low, at + 1));
        if value(head)
            && !shown
            && (!program.ordinary() || program.argued(low) || head.is_empty() || glued(low, at, start))
            && program.ends(low)
            && !(byte(low, at) == b'&' && is_query(low))
        {
            return Some("a command after a separator");
        }
        if closes_quote(head) && program.ends(low) && (program.argued(low) || !program.ordinary()) {
            return Some("a quote closes and a command follows");
        }
    }
    None
}

/// What only looks like a command behind a separator: `a | 'top' | 'left'` and `(mae|here|du)` are choices,
/// `remove(&dir)` refers, `done` ends a loop, and a line that gives a name a value is a script's.
fn is_listed(low: &[u8], at: usize, start: usize, program: &Program<'_>, head: &[u8]) -> bool {
    let mark = byte(low, at);
    if matches!(mark, b'\n' | b'\r') {
        let last = head.trim_ascii_end();
        let keyword = words!("done fi then do else esac endif end begin").has(word_before(last, last.len()));
        let name = word_at(head, 0);
        let assigns = !name.is_empty() && byte(head, name.len()) == b'=' && program.ordinary();
        return (keyword || assigns) && !program.harmful(low);
    }
    let quote = before(low, start);
    if matches!(quote, b'\'' | b'"') && byte(low, program.end) == quote && window(low, 0, 1024).contains(&b'\n') {
        return true;
    }
    let head = window(head, 0, 512);
    let open = head.iter().filter(|&&b| b == b'(').count() > head.iter().filter(|&&b| b == b')').count();
    let choice = mark == b'|' && matches!(byte(low, program.end), b'|' | b')') && !is_space(byte(low, at + 1));
    let refers = mark == b'&' && matches!(before(low, at), b'(' | b',' | b' ') && byte(low, program.end) == b')';
    open && (choice || refers)
}

/// The text before the separator is one value, as a form's field is: no sentence, no command.
fn value(head: &[u8]) -> bool {
    let head = trimmed(head);
    !begins_as_command(head)
        && words_up_to(head, 2) < 2
        && head.len() < 96
        && !has_any(head, &["```", "://", "()", "{"])
}

fn begins_as_command(head: &[u8]) -> bool {
    let head = trimmed(head);
    Program::read(head, 0).is_some_and(|program| {
        program.ends(head) && !program.path && !matches!(program.name, b"test" | b"ping" | b"echo" | b"id" | b"host")
    }) || has_any(head, &["sudo ", "$ ", "# "])
}

/// No white space on either side of the separator: `a;id`, `x|ls`.
fn glued(low: &[u8], at: usize, start: usize) -> bool {
    !is_space(before(low, at))
        && low.get(at..start).is_some_and(|between| !between.iter().any(|b| is_space(*b)))
        && words_up_to(low, 4) < 4
}

/// `a=1&id=2` is a form, not a command in the background.
fn is_query(low: &[u8]) -> bool {
    has(low, "=") && !low.iter().any(|b| is_space(*b)) && !has_any(low, &["&&", "/etc/", "|"])
}

/// The quote before a separator closes what stands outside: it is no text's own end, and opens none.
fn closes_quote(head: &[u8]) -> bool {
    let head = if head.len() < 96 { trimmed(head) } else { return false };
    let Some(&quote @ (b'\'' | b'"')) = head.last() else { return false };
    let odd = head.iter().filter(|&&b| b == quote).count() % 2 == 1;
    odd && byte(head, head.len().saturating_sub(2)) != b'=' && head.len() < 48 && words_up_to(head, 3) < 3
}

/// Whether the line that holds an offset gives a name a value, among other lines: a script's.
fn is_assigned(low: &[u8], at: usize, program: &Program<'_>) -> bool {
    // How far back a line's beginning is looked for is bounded; a script's names are short.
    let back = at.saturating_sub(256);
    let from = memchr::memrchr(b'\n', low.get(back..at).unwrap_or_default()).map_or(back, |end| back + end + 1);
    let line = rest(low, from).trim_ascii_start();
    let name = word_at(line, 0);
    let assigns = name.len() > 1 && byte(line, name.len()) == b'=';
    // One line that asks who and where the machine is gives a form's field its value.
    assigns
        && (window(low, 0, 1024).contains(&b'\n') && words_up_to(window(low, 0, 256), 4) > 3
            || words!("git echo printf sed awk make expr seq").has(program.name))
}

/// `$(id)`, `` `id` ``, glued to a value or alone.
fn substituted(low: &[u8]) -> Option<&'static str> {
    let (second_word, sixth_word) = (nth_word(low, 2), nth_word(low, 6));
    let mut places = 0;
    for (opening, closing) in [("$(", b')'), ("`", b'`'), ("<(", b')'), (">(", b')')] {
        let last_closing = memchr::memrchr(closing, low).unwrap_or(0);
        for at in all(low, opening) {
            let start = skip_space(low, at + opening.len());
            let start = if matches!(byte(low, start), b'`' | b'(' | b'\'' | b'"' | b'$') {
                skip_space(low, start + 1)
            } else {
                start
            };
            let Some(program) = Program::read(low, start) else { continue };
            places += 1;
            if places > places_max(low) {
                return Some("a text full of commands");
            }
            if !program.ends(low) || last_closing < program.end && opening != "$(" {
                continue;
            }
            let head = low.get(..at).unwrap_or_default();
            // `linux-headers-$(uname -r)` is how the manual says it.
            let manual = matches!(program.name, b"uname" | b"lsb_release")
                && (second_word < at || has(window(head, 0, 200), "-"))
                || !program.harmful(low) && (is_assigned(low, at, &program) || program.name == b"make" && byte(low, program.end) == b')')
                // An arrow: `$code->($script)`.
                || opening == ">(" && matches!(before(low, at), b'-' | b'=');
            let glued = is_word(before(low, at))
                || matches!(
                    before(low, at),
                    b';' | b'|' | b'&' | b'=' | b',' | b'"' | b'\'' | b'/' | b'.' | b'-' | b'@'
                );
            // Backticks are Markdown's, too: there only what is glued to a value, or asks for secrets.
            let convicts = if opening == "`" {
                glued && !is_space(before(low, at)) && words_up_to(low, 3) < 3 && before(low, at) != b'.'
                    || value(head) && head.is_empty() && program.argued(low) && words_up_to(low, 5) < 5
                    || head.is_empty() && words_up_to(low, 2) < 2
            } else {
                value(head) || glued && sixth_word >= at
            };
            if !manual && (convicts || program.harmful(low) && sixth_word >= at) {
                return Some("a command substituted into a value");
            }
        }
    }
    None
}

/// The whole string is a command that nobody says.
fn bare(low: &[u8]) -> Option<&'static str> {
    let program = Program::read(low, 0)?;
    let short = words_up_to(low, 10) < 10;
    if matches!(program.name, b"time" | b"nohup" | b"setsid" | b"stdbuf" | b"timeout") {
        let start = skip_space(low, program.end);
        let start = skip_space(low, start + window(low, start, 12).iter().take_while(|b| b.is_ascii_digit()).count());
        return Program::read(low, start)
            .is_some_and(|run| start > program.end && run.ends(low) && (run.argued(low) || !run.ordinary() && short))
            .then_some("a command run by another");
    }
    (short && program.harmful(low)
        || program.path
            && short
            && program.ends(low)
            && words_up_to(low, 6) < 6
            && !matches!(low.first(), Some(b'a'..=b'z'))
            && words_up_to(low, 2) > 1)
        .then_some("a command")
}
