//! Calls that run programs or code, in the languages of servers.

use super::super::sql::close_paren;
use super::super::text::{
    all, before, byte, has, has_any, is_space, needles, skip_space, window, word_at, word_before, words, words_up_to,
};
use super::program::Program;

/// Calls that run programs or code, in the languages of servers.
pub(super) fn interpreter(low: &[u8]) -> Option<&'static str> {
    let php = (has(low, "<?") && needles!("<?php <?= <?· <?system <?exec").occur(low))
        && !has(low, "<?xml")
        && words_up_to(low, 60) < 60
        && if low.contains(&b'\n') {
            // A program that somebody shows has lines; what it does decides.
            needles!("$_ ` system( exec( passthru( eval( popen( assert( base64_decode( file_get_contents( phpinfo include($ call_user").occur(low)
        } else {
            needles!("( ` $_ ?> echo include").occur(low)
        };
    let calls = memchr::memchr_iter(b'(', low).any(|open| {
        let end = open - low.get(..open).unwrap_or_default().iter().rev().take(8).take_while(|b| is_space(**b)).count();
        let name = word_before(low, end);
        words!(
            "system exec shell_exec passthru popen proc_open pcntl_exec assert eval create_function call_user_func phpinfo \
            file_get_contents preg_replace fopen readfile include require file_put_contents getenv show_source \
            highlight_file base64_decode array_map usort spawn spawnsync execsync posix_getpwuid"
        )
        .has(name)
            && runs(low, end - name.len(), name, open)
    });
    let imports = (needles!(
        "os.system( os.popen( subprocess.popen subprocess.call subprocess.run subprocess.check subprocess.get \
                    commands.getoutput getruntime().exec runtime.exec new·processbuilder java.lang.processbuilder \
                    process.mainmodule process.binding('spawn process.binding(\"spawn kernel.exec io.popen( \
                    runtime.getruntime _$$nd_func$$_ system.diagnostics.process"
    )
    .occur(low)
        || reaches_out(low))
        && needles!("' \" id exec system").occur(low)
        && words_up_to(low, 24) < 24
        && !has(low, "```");
    let includes = has_any(low, &["<!--#exec", "<!--#include", "<!--#echo", "<!--#printenv"]);
    let marks = needles!(
        "_$$nd_func$$_ downloadstring( invoke-expression iex·( iex( @{[system @{[·system @{[` @{[&system @{[·&system"
    )
    .occur(low)
        && words_up_to(low, 24) < 24;
    let superglobals = needles!("$_get[ $_post[ $_request[ $_server['http").occur(low) && words_up_to(low, 8) < 8;
    (php || calls || imports || includes || marks || superglobals).then_some("a call that runs a program")
}

/// `__import__('os').system(…`, `require('child_process').exec('id')`, `process.binding(x).spawn(`: a module that runs
/// programs, and at once a call of it. To import one is every program's business.
fn reaches_out(low: &[u8]) -> bool {
    needles!("__import__( child_process process.binding(").occur(low)
        && ["__import__(", "require(", "child_process", "process.binding("].iter().any(|name| {
            all(low, name).take(8).any(|at| {
                let own = name.starts_with('_')
                    && before(low, at) == b'.'
                    && !has(window(low, at.saturating_sub(20), 20), "__");
                let open = at + name.len() - 1;
                let argument = window(low, open + 1, 64);
                let end = match *name {
                    "child_process" => at + name.len(),
                    _ => close_paren(low, open),
                };
                let called = byte(low, end) == b'.' && {
                    let method = word_at(low, end + 1);
                    let paren = end + 1 + method.len();
                    let quoted = matches!(byte(low, skip_space(low, paren + 1)), b'\'' | b'"' | b'`' | b'$');
                    byte(low, paren) == b'(' && (quoted || !name.starts_with('c') && *name != "require(")
                };
                let known = match *name {
                    "require(" => has(window(argument, 0, 20), "child_process"),
                    _ => true,
                };
                let module = *name == "__import__("
                    && needles!("'os' \"os\" subprocess 'pty 'socket' base64 builtins").occur(window(argument, 0, 16));
                !own && known && (called || module)
            })
        })
}

/// `system('id')`, `eval($_GET[x])`: the call with an argument that is code, where no code surrounds it.
fn runs(low: &[u8], at: usize, name: &[u8], open: usize) -> bool {
    if matches!(before(low, at), b'.' | b':' | b'>' | b'!') {
        return false;
    }
    let argument = window(low, open + 1, 120);
    let tainted = needles!(
        "$_get $_post $_request $_cookie $_server base64_decode( chr( str_rot13( gzinflate( php:// \
                    getallheaders"
    )
    .occur(argument);
    let first = skip_space(argument, 0);
    let quoted = matches!(byte(argument, first), b'\'' | b'"' | b'`');
    let program = quoted
        && Program::read(argument, first + 1)
            .is_some_and(|program| program.ends(argument) && (words_up_to(low, 6) < 6 || program.harmful(argument)));
    let secret =
        quoted && has_any(argument, &["/etc/passwd", "cmd.exe", "/bin/sh", "/etc/shadow"]) && words_up_to(low, 10) < 10;
    let info = name == b"phpinfo" && words_up_to(low, 8) < 8;
    tainted || program || secret || info
}
