//! Path traversal: would a file system climb out of a folder or open a file nobody should read (CWE-22).
//!
//! A path climbs honestly in code (`../../lib`), so what convicts is climbing *to* something, climbing far,
//! climbing under an encoding, or a string that is nothing but the path of a secret.

use std::sync::LazyLock;

use super::View;
use super::text::{Needles, all, before, byte, has, has_any, is_word, needles, rest, trimmed, window};

/// Files that are read to learn a system's secrets.
static TARGETS: LazyLock<Needles> = LazyLock::new(|| {
    Needles::new(
        "etc/passwd etc\\passwd etc\\shadow etc/shadow etc/group etc/hosts etc/issue etc/motd etc/master.passwd etc/httpd \
        etc/apache etc/nginx etc/mysql etc/ssh etc/crontab etc/fstab proc/self proc/version \
        proc/cmdline proc/mounts boot.ini win.ini system.ini windows/system32 windows\\system32 \
        winnt web-inf meta-inf web.config .htpasswd .htaccess .ssh/ id_rsa .git/ .env .bash_history \
        var/log var/www usr/local inetpub config.php wp-config global.asa /etc \\etc cmd.exe my.cnf \
        database.yml ntuser autoexec.bat localstart.asp desktop.ini php.ini root/ /.aws/ apache/logs/ logs/access logs/error config/sam",
    )
});

/// Steps up that no import takes.
const STEPS_MAX: usize = 5;

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = trimmed(view.low);
    let one_word = !low.iter().any(u8::is_ascii_whitespace);
    let climb = climbing(low);
    if climb.steps > 0 {
        if climb.odd {
            return Some("a path that climbs by a trick");
        }
        if climb.steps > STEPS_MAX {
            return Some("a path that climbs far");
        }
        let target = window(low, climb.end, 64);
        if TARGETS.occur(target) && (climb.steps > 1 || one_word) {
            return Some("a path that climbs to a secret");
        }
        if view.layers > 0 && climb.hidden(view) {
            return Some("a path that climbs under an encoding");
        }
        let bare = low.iter().all(|b| matches!(b, b'.' | b'/' | b'\\'));
        if one_word && climb.steps >= 2 && (bare || is_bare_climb(low)) {
            return Some("a path that climbs");
        }
    }
    if one_word && is_overlong(low) {
        return Some("a path spelled in bytes that are no UTF-8");
    }
    // What a careless library takes for the end of a path.
    if one_word && low.contains(&0) && TARGETS.occur(low) {
        return Some("the path of a secret, and a byte that ends it");
    }
    if one_word && is_secret(low) {
        return Some("the path of a secret");
    }
    scheme(low, one_word)
}

/// `%c0%ae%c0%af`, `..%uefc8..%uefc8`, `..%c1%pc`, `..2f..2f`: bytes that mean a dot or a slash to a careless
/// decoder and nothing to an honest one, in a row.
fn is_overlong(low: &[u8]) -> bool {
    let count = |needle| all(low, needle).take(4).count();
    let bytes =
        ["%c0%", "%c1%", "%e0%80%", "%f0%80%80", "%f8%80", "%fc%80", "..%uefc8", "..%uf025", "%25c0%25", "%25c1%25"]
            .map(count);
    let sum: usize = bytes.iter().sum();
    sum >= 2
        || sum >= 1 && has_any(low, &["..", "etc", ".ini"])
        || count("..2f") >= 2
        || count("..5c") >= 2
        || needles!("..2fetc2f ..0x2fetc ..0x5cetc ..0x2f..0x2f ..0x5c..0x5c").occur(low)
}

/// How a text climbs.
struct Climb {
    steps: usize,
    /// Where the last step ends.
    end: usize,
    /// Steps of a shape that only filters' authors know.
    odd: bool,
}

impl Climb {
    fn hidden(&self, view: &View<'_>) -> bool {
        self.steps >= 1 && view.layers > 0
    }
}

fn climbing(low: &[u8]) -> Climb {
    let mut climb = Climb { steps: 0, end: 0, odd: false };
    let mut read_to = 0;
    let mut most = 0;
    for at in all(low, "..") {
        if at < read_to {
            continue;
        }
        let dots = rest(low, at).iter().take_while(|&&b| b == b'.').count();
        let after = at + dots;
        read_to = after;
        let slash = byte(low, after);
        let before_dots = before(low, at);
        if is_word(before_dots) || !matches!(slash, b'/' | b'\\' | b';' | 0) {
            continue;
        }
        if slash == b';' && !matches!(byte(low, after + 1), b'/' | b'\\')
            || slash == 0 && !matches!(before_dots, b'/' | b'\\')
        {
            continue;
        }
        // Another path begins.
        if climb.end > 0 && low.get(climb.end..at).is_some_and(|between| between.iter().any(|&b| ends_path(b))) {
            climb.steps = 0;
        }
        climb.odd |= slash == b';' && climb.steps > 0
            || dots > 2 && matches!((slash, byte(low, after + 1)), (b'/', b'/') | (b'\\', b'\\') | (b'/', b'.'));
        climb.steps += 1;
        most = most.max(climb.steps);
        climb.end = after;
    }
    climb.steps = climb.steps.max(most);
    climb
}

/// What no path has inside it.
fn ends_path(b: u8) -> bool {
    b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b',' | b':')
}

/// Nothing before the first step but a slash or a parameter.
fn is_bare_climb(low: &[u8]) -> bool {
    let first = memchr::memmem::find(low, b"..").unwrap_or(0);
    let last = memchr::memmem::rfind(low, b"..").map_or(0, |at| at + 3);
    first <= 1 && (rest(low, last).is_empty() || needles!(".ini .exe .conf %00 passwd \0").occur(rest(low, last)))
        || low.get(..first).is_some_and(|head| head.ends_with(b"="))
}

/// The whole string is the path of a file that is read for its secrets.
fn is_secret(low: &[u8]) -> bool {
    let path = low.strip_prefix(b"file://").unwrap_or(low);
    let rooted =
        matches!(path.first(), Some(b'/' | b'\\')) || byte(path, 1) == b':' && matches!(byte(path, 2), b'/' | b'\\');
    static SECRETS: LazyLock<Needles> = LazyLock::new(|| {
        Needles::new(
            "/etc/passwd /etc/shadow /etc/master.passwd /proc/self/ /proc/version /proc/cmdline boot.ini \
        win.ini system32 /.ssh/ /.aws/credentials inetpub/wwwroot inetpub\\wwwroot global.asa id_rsa /.bash_history /etc/group /etc/sudoers web-inf/web.xml \
        /.htpasswd /var/log/apache /var/log/auth /var/log/nginx /var/log/httpd /config/sam \
        /proc/net/ /proc/sched /proc/mounts",
        )
    });
    let known = SECRETS.occur(path);
    // `\\host\c$\…`: a drive that Windows shares with its administrators.
    let shared = path.starts_with(b"\\\\") && needles!("\\c$\\ \\d$\\ \\admin$\\ \\ipc$").occur(path);
    shared
        || known && (rooted || low.starts_with(b"file:"))
        || matches!(path, b"web-inf/web.xml" | b"/web-inf/web.xml" | b".htpasswd" | b"boot.ini" | b"/etc/passwd%00")
}

fn scheme(low: &[u8], one_word: bool) -> Option<&'static str> {
    for (scheme, target) in
        [("file:", "/etc/"), ("file:", "c:"), ("file:", "/proc/"), ("file:", "boot.ini"), ("file:", "win.ini")]
    {
        if one_word && all(low, scheme).any(|at| !is_word(before(low, at)) && has(window(low, at, 48), target)) {
            return Some("a local file as URL");
        }
    }
    ["php://filter", "php://input", "expect://", "phar://", "zip://", "data://text/plain", "glob://"]
        .iter()
        .any(|wrapper| has(low, wrapper))
        .then_some("a stream wrapper")
}
