//! Records in bulk: more addresses of different persons in one message than a screen shows, or a list of accounts with
//! the hashes of their passwords.

use crate::message::survey::{Class, Surveyed};

use super::{Leak, LeakClass, byte, is_word, run};

/// Addresses kept to tell them apart; a hash each.
const ADDRESSES_MAX: usize = 64;
/// Accounts with a hash beside them that are a list.
const HASHED_MIN: usize = 2;

/// What may be records: `@`, and colons after a quote.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) addresses: usize,
    pub(super) keys: usize,
}

impl Seen {
    /// Nobody has counted.
    pub(super) const UNKNOWN: Self = Self { addresses: usize::MAX, keys: usize::MAX };

    fn may_be_bulk(self, records_max: usize) -> bool {
        self.addresses >= HASHED_MIN.min(records_max.saturating_add(1)) || self.keys > records_max
    }
}

/// Whether the message holds more than `records_max` different e-mail addresses, or a list of them with hashes.
pub(super) fn find(all: Surveyed<'_>, records_max: usize, seen: Seen) -> Option<Leak> {
    if !seen.may_be_bulk(records_max) {
        return None;
    }
    let text = all.text;
    let mut seen = [0_u64; ADDRESSES_MAX];
    let (mut count, mut hashed, mut first) = (0, 0, 0);
    if let Some(at) = all.each(Class::Mark).find_map(persons(text, records_max)) {
        return Some(Leak { class: LeakClass::Bulk, what: "records of many persons", at });
    }
    for at in all.each(Class::Mark).filter(|at| byte(text, *at) == b'@') {
        let Some((start, end)) = address(text, at) else { continue };
        if count == 0 {
            first = start;
        }
        hashed += usize::from(is_hash(text, end));
        let mark = fnv(text.get(start..end).unwrap_or_default());
        let known = seen.iter().take(count).any(|known| *known == mark);
        if let Some(slot) = seen.get_mut(count).filter(|_| !known) {
            *slot = mark;
            count += 1;
        }
        if count > records_max.min(ADDRESSES_MAX - 1) {
            return Some(Leak { class: LeakClass::Bulk, what: "addresses of many persons", at: first });
        }
        if hashed >= HASHED_MIN {
            return Some(Leak {
                class: LeakClass::Bulk,
                what: "accounts with the hashes of their passwords",
                at: first,
            });
        }
    }
    None
}

/// Keys under which records hold what one person alone has.
const PERSONAL_KEYS: [&[u8]; 12] = [
    b"phone",
    b"phone_number",
    b"phoneNumber",
    b"mobile",
    b"date_of_birth",
    b"dateOfBirth",
    b"dob",
    b"birthdate",
    b"birthday",
    b"ssn",
    b"national_id",
    b"passport_number",
];
/// Longest of them, with its quote.
const KEY_BYTES_MAX: usize = 16;
/// Shortest value that tells a person, bytes.
const VALUE_BYTES_MIN: usize = 6;

/// Asked with each mark of the text: the place of one personal key too many. The same value again, as of one person's
/// messages, does not count.
fn persons(text: &[u8], records_max: usize) -> impl FnMut(usize) -> Option<usize> {
    let mut counts = [(0_usize, 0_u64); PERSONAL_KEYS.len()];
    move |at| {
        if byte(text, at) != b':' || at < 5 || byte(text, at - 1) != b'"' {
            return None;
        }
        let head = text.get(at.saturating_sub(KEY_BYTES_MAX + 2)..at - 1)?;
        let key = head.get(memchr::memrchr(b'"', head)? + 1..)?;
        let number = PERSONAL_KEYS.iter().position(|known| *known == key)?;
        let value = run(text, at + 1, 64, |b| !matches!(b, b',' | b'}' | b']'));
        let value = text.get(at + 1..at + 1 + value)?.trim_ascii();
        let (count, latest) = counts.get_mut(number)?;
        let mark = fnv(value);
        if value.len() >= VALUE_BYTES_MIN && mark != *latest {
            *count += 1;
            *latest = mark;
        }
        (*count > records_max).then_some(at)
    }
}

/// Every address, with the hash beside it.
pub(super) fn addresses(text: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    memchr::memchr_iter(b'@', text).filter_map(|at| {
        let (start, end) = address(text, at)?;
        let hash = if is_hash(text, end) { 1 + run(text, end + 1, 128, |b| b.is_ascii_hexdigit()) } else { 0 };
        Some(start..end + hash)
    })
}

/// Where the address around an `@` begins and ends.
fn address(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let is_local = |b: u8| is_word(b) || matches!(b, b'.' | b'-' | b'+');
    let local = text.get(..at)?.iter().rev().take(64).take_while(|b| is_local(**b)).count();
    let domain = run(text, at + 1, 253, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let dot = memchr::memchr(b'.', text.get(at + 1..at + 1 + domain)?)?;
    (local > 0 && dot > 0 && dot + 2 < domain).then_some((at - local, at + 1 + domain))
}

/// `:`, `,` or `|`, then 32, 40, 64 or 128 hexadecimal digits.
fn is_hash(text: &[u8], end: usize) -> bool {
    let digits = run(text, end + 1, 129, |b| b.is_ascii_hexdigit());
    matches!(byte(text, end), b':' | b',' | b'|' | b';' | b' ' | b'\t') && matches!(digits, 32 | 40 | 64 | 128)
}

/// FNV-1a: tells addresses apart; whoever finds two that collide hides one of more than twenty.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::super::LeakClass::Bulk;
    use super::super::tests::class;

    fn addresses(count: usize) -> String {
        (0..count).map(|n| format!("person{n}@mail.example, ")).collect()
    }

    #[test]
    fn more_addresses_than_allowed_are_bulk() {
        assert_eq!(class(&addresses(20)), None);
        assert_eq!(class(&addresses(21)), Some(Bulk));
        assert_eq!(class(&"same@mail.example ".repeat(100)), None, "one person, often");
    }

    #[test]
    fn records_of_persons_without_addresses_are_bulk() {
        let records = |count: usize, key: &str| -> String {
            let records: Vec<String> =
                (0..count).map(|n| format!("{{\"id\":{n},\"{key}\":\"+49 30 {n:07}\"}}")).collect();
            format!("[{}]", records.join(","))
        };
        for key in ["phone", "ssn", "dateOfBirth", "passport_number"] {
            assert_eq!(class(&records(20, key)), None, "{key}");
            assert_eq!(class(&records(21, key)), Some(Bulk), "{key}");
        }
        assert_eq!(class(&records(100, "telephone_kind")), None);
        assert_eq!(class(&"{\"phone\":\"+49 30 1234567\"}".repeat(100)), None, "one person, often");
        assert_eq!(class(&"{\"phone\":null},".repeat(100)), None);
    }

    #[test]
    fn accounts_with_hashes_are_a_list() {
        let hash = "0123456789abcdef".repeat(2);
        assert_eq!(class(&format!("a@b.example:{hash}\nc@d.example:{hash}")), Some(Bulk));
        assert_eq!(class(&format!("a@b.example:{hash}")), None, "a commit and its author");
        assert_eq!(class("look @ this, @you and a@b"), None);
    }
}
