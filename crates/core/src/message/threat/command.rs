//! Command injection: would a shell, or an interpreter that a string reaches, run a part of it (CWE-78, CWE-94).
//!
//! A shell line in a chat begins with a command (`lspci | grep VGA`); an injected one begins with a value, or
//! with nothing, and then a separator and a command. Obfuscation that only a filter's author needs (`$IFS`,
//! `c\at`, `{cat,/etc/passwd}`), substitution glued to a value, and calls that run programs convict anywhere.

use std::sync::LazyLock;

use super::signs::Signs;
use super::text::{
    Words, all, before, byte, has, has_any, is_space, is_word, needles, nth_word, places_max, rest, skip_space,
    trimmed, window, word_at, word_before, words, words_up_to,
};
use super::{View, code, disguise};

/// Programs an intruder runs; also words of English, where `;` or `|` in front and their arguments decide.
pub(super) static PROGRAMS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "ls cat id whoami uname pwd ifconfig ipconfig netstat wget curl nc ncat netcat bash sh zsh \
        ksh csh dash python python2 python3 perl php ruby node lua ping ping6 nslookup dig host \
        chmod chown rm cp mv dir type net powershell cmd tasklist systeminfo reg base64 tftp ftp ps \
        env printenv kill sudo su echo sleep head tail more less tac nl od xxd strings sort find \
        grep awk sed telnet ssh scp w who last hostname touch mkdir exec eval set export timeout ver \
        vol gcc make tar crontab mail sendmail xterm phpinfo route arp lsof mount df du free top \
        uptime date reboot shutdown halt busybox socat openssl printf rev dd tee xargs cut wc time \
        nohup source passwd adduser useradd getent groups traceroute net1 certutil bitsadmin wmic \
        rundll32 mshta cscript regsvr32 lwp-download fetch apt apt-get yum help copy del \
        ipconfig.exe aux cd nmap lynx test /bin/ \
        ansible ansible-pull ansible-playbook aria2c arping aspell axel bridge bunzip2 bzcat bzip2 c89 c99 cobc column \
        comm cpan cpio cpulimit crash csplit csvtool dmesg dmsetup docker dosbox dpkg dvips ed emacs expand expect \
        ffmpeg fish flock fold gawk gdb gem genisoimage ghc ghci ginsh git gtester gunzip gzip hexdump hping3 iconv \
        iftop invoke-expression invoke-restmethod invoke-webrequest ionice irb irm iwr java javac jjs jq jrunscript \
        knife latex lftp logsave ltrace lua5.1 mawk mosquitto msgattrib msgcat msgconv msgfilter msgmerge mtr mysql \
        mysqldump nano nasm nawk nroff nsenter openvt opkg pandoc pdb pdflatex pico pidstat pip pip3 pkexec pkg psftp \
        psql puppet pwsh rake rbash readelf restic rlogin rlwrap rpm rpmquery rsync run-mailcap run-parts rvim sash \
        scanmem screen script scrot sdiff setarch sftp shuf smbclient sqlite3 ss ssh-copy-id ssh-keygen ssh-keyscan \
        start-bitstransfer start-process start-stop-daemon stdbuf strace svn sysctl systemctl tcpdump tcsh tmux \
        unexpand uniq unshare unsquashfs unxz unzip update-alternatives uudecode uuencode valgrind vi vigr vim \
        vimdiff vipw virsh xelatex xmodmap xmore xz xzcat zcat zsoelim zypper findstr schtasks vssadmin bcdedit nltest \
        dsquery icacls takeown robocopy xcopy forfiles installutil msbuild msiexec get-content get-childitem \
        get-process",
    )
});

/// Of those, the ones that prose puts after `;`, `&` or a line break too.
static ORDINARY: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "more less find sort who last host type time date test make set free top head tail mail env \
        cut kill touch net source export help copy w fetch route cat node echo sleep strings mount \
        exec eval groups less shutdown reboot del cd python ruby perl php timeout printf ping id rev \
        split dash bash apt-get apt sudo su rm cp mv ls grep sh passwd ps dir lua sed awk ssh ftp df \
        du tar wget yum bridge column comm crash docker ed emacs expand expect fish flock fold gem git java javac jq \
        knife latex mosquitto mysql nano pico pip pip3 pkg puppet rake rpm rsync screen script scrot ss svn tmux vi \
        vim xz zip unzip gzip dpkg gdb psql sqlite3 systemctl ffmpeg pandoc uniq",
    )
});

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

/// A program's name at an offset.
struct Program<'t> {
    name: &'t [u8],
    path: bool,
    end: usize,
}

impl<'t> Program<'t> {
    fn read(low: &'t [u8], at: usize) -> Option<Self> {
        let tail = window(low, at, 96);
        let len = tail.iter().take_while(|&&b| is_word(b) || matches!(b, b'/' | b'-' | b'.' | b'\\' | b':')).count();
        let word = tail.get(..len)?;
        let path = word.iter().any(|b| matches!(b, b'/' | b'\\'));
        let name = word.rsplit(|b| matches!(b, b'/' | b'\\')).next()?;
        let name = name.strip_suffix(b".exe").unwrap_or(name);
        let in_bin = path && has_any(word, &["bin/", "system32\\", "windows\\"]);
        (PROGRAMS.has(name) || in_bin && !name.is_empty()).then_some(Self { name, path: in_bin, end: at + len })
    }

    fn ordinary(&self) -> bool {
        !self.path && ORDINARY.has(self.name)
    }

    fn tail<'l>(&self, low: &'l [u8]) -> &'l [u8] {
        window(low, self.end, 96)
    }

    /// What follows the name can follow a program's name.
    fn ends(&self, low: &[u8]) -> bool {
        let b = byte(low, self.end);
        b == 0
            || is_space(b)
            || matches!(
                b,
                b';' | b'|' | b'&' | b'>' | b'<' | b'`' | b')' | b'\'' | b'"' | b'#' | b'$' | b'}' | b'%' | b'+'
            )
    }

    /// An option, a path, an address or a redirection follows.
    fn argued(&self, low: &[u8]) -> bool {
        let at = skip_space(low, self.end);
        let tail = window(low, at, 64);
        self.path
            || matches!(
                byte(tail, 0),
                b'-' | b'/' | b'>' | b'<' | b'|' | b'&' | b'%' | b'$' | b'.' | b'*' | b'`' | b'\\' | b'#'
            )
            || byte(tail, 0).is_ascii_digit()
            || needles!("/etc http \\ 127.0 /bin c: .txt .php").occur(tail)
    }

    /// What it is asked to do is no administrator's chat.
    fn harmful(&self, low: &[u8]) -> bool {
        let tail = self.tail(low);
        let leaks = words!("cat more less head tail tac nl grep type od strings sort base64 cp xxd rev dd comm column")
            .has(self.name)
            && needles!("/etc/passwd /etc/shadow /etc/hosts boot.ini win.ini /proc/self .ssh").occur(tail);
        let shell = words!("nc ncat netcat bash sh socat telnet").has(self.name)
            && needles!("·-e· ·-i· /dev/tcp exec: ·-c· -lvp ·-l·").occur(tail);
        let fetch = words!("wget curl lwp-download certutil bitsadmin").has(self.name)
            && needles!("|·sh |sh |bash |·bash -o·/tmp burpcollaborator").occur(tail);
        let reads =
            has_any(window(tail, 0, 48), &["/etc/passwd", "/etc/shadow", "/root/.ssh"]) && words_up_to(low, 5) < 5;
        let wipe = self.name == b"rm" && has(tail, "-rf /");
        // An option that is given a shell line.
        let given = needles!("sh,-c, ·!sh ·!/bin/sh").occur(tail);
        leaks || shell || fetch || wipe || reads || given
    }
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
    if matches!(quote, b'\'' | b'"') && byte(low, program.end) == quote && low.contains(&b'\n') {
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
    let from = memchr::memrchr(b'\n', low.get(..at).unwrap_or_default()).map_or(0, |end| end + 1);
    let line = rest(low, from).trim_ascii_start();
    let name = word_at(line, 0);
    let assigns = name.len() > 1 && byte(line, name.len()) == b'=';
    // One line that asks who and where the machine is gives a form's field its value.
    assigns
        && (low.contains(&b'\n') && words_up_to(low, 4) > 3
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

/// Calls that run programs or code, in the languages of servers.
fn interpreter(low: &[u8]) -> Option<&'static str> {
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
                    _ => super::sql::close_paren(low, open),
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
