//! Credentials told by their form alone: tokens of three parts, private keys, addresses with a password in them, hashes of
//! passwords, lines of account files.

use super::credential::{is_base64, is_url_safe};
use super::{before, byte, is_edge, is_word, rest, run};

/// Longest part of a token looked at, bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// Three parts of base64url, the first and second JSON objects (RFC 7519).
pub(super) fn jwt(text: &[u8], at: usize) -> Option<&'static str> {
    // Asked first: a row of marks begins once, and is read once.
    if !is_edge(text, at) {
        return None;
    }
    let header = run(text, at, TOKEN_BYTES_MAX, is_url_safe);
    let claims_at = at + header + 1;
    let claims = run(text, claims_at, 4096, is_url_safe);
    let signature = run(text, claims_at + claims + 1, TOKEN_BYTES_MAX, is_url_safe);
    let dots = byte(text, claims_at.saturating_sub(1)) == b'.' && byte(text, claims_at + claims) == b'.';
    let fits = dots && header >= 16 && rest(text, claims_at).starts_with(b"eyJ") && signature >= 20;
    (is_edge(text, at) && fits).then_some("a JSON Web Token")
}

/// `-----BEGIN … PRIVATE KEY-----` and base64 behind it (RFC 7468).
pub(super) fn private_key(text: &[u8], at: usize) -> Option<&'static str> {
    let head = text.get(at.saturating_sub(40)..at)?;
    let begins = memchr::memmem::rfind(head, b"-----BEGIN ")?;
    let label = head.get(begins + 11..)?;
    let end = at + 11 + if rest(text, at + 11).starts_with(b" BLOCK") { 6 } else { 0 };
    let mut from = end + 5;
    let fits = label.iter().all(|b| b.is_ascii_uppercase() || *b == b' ') && rest(text, end).starts_with(b"-----");
    while matches!(byte(text, from), b'\r' | b'\n' | b' ') || rest(text, from).starts_with(b"\\n") {
        from += if byte(text, from) == b'\\' { 2 } else { 1 };
    }
    (fits && run(text, from, 64, is_base64) >= 16).then_some("a private key")
}

/// `scheme://user:password@host` (RFC 3986 3.2.1).
pub(super) fn address(text: &[u8], at: usize) -> Option<&'static str> {
    let scheme = text.get(..at)?.iter().rev().take(24).take_while(|b| b.is_ascii_alphanumeric() || **b == b'+').count();
    let userinfo =
        run(text, at + 3, 256, |b| b.is_ascii_graphic() && !matches!(b, b'/' | b'@' | b'"' | b'\\' | b'<' | b'`'));
    if scheme < 2 || byte(text, at + 3 + userinfo) != b'@' {
        return None;
    }
    let userinfo = rest(text, at + 3).get(..userinfo)?;
    let colon = userinfo.iter().position(|b| *b == b':')?;
    let password = userinfo.get(colon + 1..)?;
    let host = byte(text, at + 4 + userinfo.len());
    // Documentation writes `user:password`, `user:***`, `<password>`, `${PASSWORD}`.
    let placeholder = password.iter().all(|b| *b == b'*' || *b == b'x')
        || matches!(password.first(), Some(b'$' | b'<' | b'{' | b'%' | b'['))
        || [&b"password"[..], b"pass", b"secret", b"pwd"].contains(&password.to_ascii_lowercase().as_slice());
    (password.len() >= 4 && !placeholder && (host.is_ascii_alphanumeric() || host == b'['))
        .then_some("an address with a password in it")
}

/// Hashes in the forms of crypt(3) and the password hashing competition.
pub(super) fn hash(text: &[u8], at: usize) -> Option<&'static str> {
    let tail = rest(text, at);
    let is_symbol = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'$' | b'+' | b'=' | b',');
    if !matches!(byte(text, at + 1), b'1' | b'2' | b'5' | b'6' | b'y' | b'a') {
        return None;
    }
    let len = run(text, at, 256, is_symbol);
    let fits = if tail.starts_with(b"$2") {
        matches!(byte(text, at + 2), b'a' | b'b' | b'x' | b'y') && byte(text, at + 3) == b'$' && len >= 60
    } else if tail.starts_with(b"$argon2") {
        len >= 50
    } else if !matches!((byte(text, at + 1), byte(text, at + 2)), (b'1' | b'5' | b'6' | b'y', b'$')) {
        false
    } else {
        let salt = run(text, at + 3, 64, |b| is_symbol(b) && b != b'$');
        let least = if tail.starts_with(b"$1$") { 22 } else { 43 };
        byte(text, at + 3 + salt) == b'$' && run(text, at + 4 + salt, 128, is_symbol) >= least
    };
    fits.then_some("a password hash")
}

/// `name:x:uid:gid:…:/…` (passwd(5)).
pub(super) fn account(text: &[u8], at: usize) -> Option<&'static str> {
    let number = |from: usize| {
        let len = run(text, from, 10, |b| b.is_ascii_digit());
        (len > 0 && byte(text, from + len) == b':').then_some(from + len + 1)
    };
    let after = number(number(at + 3)?)?;
    let line = run(text, after, 256, |b| b != b'\n' && b != b'\\' && b != b'"');
    let line = rest(text, after).get(..line)?;
    (is_word(before(text, at)) && memchr::memmem::find(line, b":/").is_some()).then_some("a line of an account file")
}
