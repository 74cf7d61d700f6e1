//! Numbers that check: payment cards (ISO/IEC 7812, Luhn), United States social security numbers, bank accounts
//! (IBAN, ISO 13616, modulo 97).
//!
//! Rows of digits that can be none of these are not looked at; a number that is part of a longer word or number is none.

use crate::message::survey::Survey;

use super::{Leak, LeakClass, LeakSet, before, byte, is_word, rest, run};

/// Digits of a card, least and most.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// The first number of a wanted class that begins at `start` or after.
pub(super) fn find(text: &[u8], survey: &Survey, start: usize, wanted: LeakSet) -> Option<Leak> {
    if !wanted.contains(LeakClass::Card) && !wanted.contains(LeakClass::Personal) {
        return None;
    }
    let mut next = start;
    survey.numbers(start).find_map(|at| {
        if at < next {
            return None;
        }
        let end = group_end(text, at);
        next = end;
        judged(text, at, end, wanted)
    })
}

/// One row of digits.
fn judged(text: &[u8], at: usize, end: usize, wanted: LeakSet) -> Option<Leak> {
    let (after, goes_on) = (byte(text, end), byte(text, end + 1).is_ascii_digit());
    let whole = CARD_DIGITS.contains(&(end - at)) || end - at == 4 && matches!(after, b' ' | b'-') && goes_on;
    if whole
        && wanted.contains(LeakClass::Card)
        && !is_part_of_a_word(text, at)
        && let Some((what, _)) = card(text, at)
    {
        return Some(Leak { class: LeakClass::Card, what, at });
    }
    if end - at == 3
        && after == b'-'
        && wanted.contains(LeakClass::Personal)
        && !is_part_of_a_word(text, at)
        && is_social_security(text, at)
    {
        return Some(Leak { class: LeakClass::Personal, what: "a social security number", at });
    }
    if end - at >= 2 && before(text, at).is_ascii_uppercase() && wanted.contains(LeakClass::Personal) {
        let at = bank_account(text, at)?.start;
        return Some(Leak { class: LeakClass::Personal, what: "a bank account number", at });
    }
    None
}

fn group_end(text: &[u8], at: usize) -> usize {
    at + run(text, at, 64, |b| b.is_ascii_digit()).max(1)
}

/// `v1.4111…`, `id-4111…`, `$4111…`, `x4111`: of something longer. An escaped line's end is none.
fn is_part_of_a_word(text: &[u8], at: usize) -> bool {
    let last = before(text, at);
    let escape = at >= 2 && byte(text, at - 2) == b'\\' && matches!(last, b'n' | b'r' | b't');
    (is_word(last) && !escape) || matches!(last, b'-' | b'.' | b'$' | b'#' | b'%' | b'/')
}

/// Where the number that was found at an offset ends.
pub(super) fn end(text: &[u8], class: LeakClass, at: usize) -> usize {
    let found = match class {
        LeakClass::Card => card(text, at).map(|(_, end)| end),
        _ if byte(text, at).is_ascii_uppercase() => bank_account(text, at + 2).map(|account| account.end),
        // `AAA-GG-SSSS`
        _ => Some(at + 11),
    };
    found.unwrap_or_else(|| group_end(text, at)).min(text.len())
}

/// A card number, with its scheme's name and its end: digits in one row, or in groups that one sign separates.
#[cold]
fn card(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let mut digits = [0_u8; 19];
    let (mut count, mut from, mut groups) = (0, at, 0);
    let separator = match byte(text, group_end(text, at)) {
        sign @ (b' ' | b'-') => sign,
        _ => 0,
    };
    loop {
        let len = run(text, from, 20, |b| b.is_ascii_digit());
        // Groups are of four, but for American Express and the last.
        if groups > 0 && len < 3 {
            break;
        }
        for &b in rest(text, from).get(..len)? {
            *digits.get_mut(count)? = b - b'0';
            count += 1;
        }
        from += len;
        groups += 1;
        let goes_on = separator != 0 && byte(text, from) == separator && byte(text, from + 1).is_ascii_digit();
        if !goes_on || (count >= 16 && groups >= 4) {
            break;
        }
        if groups == 1 && len != 4 {
            break;
        }
        from += 1;
    }
    let after = byte(text, from);
    let fraction = after == b'.' && byte(text, from + 1).is_ascii_digit();
    let ends = !is_word(after) && !fraction && after != b'-';
    let digits = digits.get(..count)?;
    if !ends || !CARD_DIGITS.contains(&count) || !passes_luhn(digits) {
        return None;
    }
    scheme(digits).map(|scheme| (scheme, from))
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, digit)| {
            let digit = u32::from(*digit);
            if n % 2 == 0 { digit } else { digit * 2 % 10 + digit / 5 }
        })
        .sum();
    // All the same is a pattern, not a number.
    sum.is_multiple_of(10) && digits.windows(2).any(|pair| pair.first() != pair.last())
}

fn scheme(digits: &[u8]) -> Option<&'static str> {
    let lead = |len: usize| digits.iter().take(len).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let (two, three, four) = (lead(2), lead(3), lead(4));
    match digits.len() {
        16 if (51..=55).contains(&two) || (2221..=2720).contains(&four) => Some("a Mastercard number"),
        15 if two == 34 || two == 37 => Some("an American Express number"),
        16 if four == 6011 || two == 65 || (644..=649).contains(&three) => Some("a Discover number"),
        16 if (3528..=3589).contains(&four) => Some("a JCB number"),
        14 if (300..=305).contains(&three) || two == 36 || two == 38 => Some("a Diners Club number"),
        16..=19 if two == 62 => Some("a UnionPay number"),
        13 | 16 | 19 if lead(1) == 4 => Some("a Visa number"),
        _ => None,
    }
}

/// `AAA-GG-SSSS` with the numbers that are given out.
#[cold]
fn is_social_security(text: &[u8], at: usize) -> bool {
    let number = |from: usize, len: usize| {
        let fits = run(text, from, len + 1, |b| b.is_ascii_digit()) == len;
        fits.then(|| rest(text, from).iter().take(len).fold(0_u32, |n, b| n * 10 + u32::from(b - b'0')))
    };
    let dashes = byte(text, at + 3) == b'-' && byte(text, at + 6) == b'-';
    let after = byte(text, at + 11);
    let (Some(area), Some(group), Some(serial)) = (number(at, 3), number(at + 4, 2), number(at + 7, 4)) else {
        return false;
    };
    dashes && !is_word(after) && after != b'-' && area > 0 && area != 666 && area < 900 && group > 0 && serial > 0
}

/// Lengths of accounts by country: the shortest and the longest there are.
const ACCOUNT_CHARS: std::ops::RangeInclusive<usize> = 15..=34;

/// An account whose check digits begin here, from its country on.
#[cold]
fn bank_account(text: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let start = at.checked_sub(2)?;
    let head = text.get(start..at)?;
    if !head.iter().all(u8::is_ascii_uppercase) || is_word(before(text, start)) {
        return None;
    }
    let mut remainder = 0_u32;
    let mut chars = 0;
    let mut add = |b: u8| {
        remainder = match b {
            b'0'..=b'9' => remainder * 10 + u32::from(b - b'0'),
            _ => remainder * 100 + u32::from(b.to_ascii_uppercase() - b'A') + 10,
        } % 97;
    };
    // The country and check digits go to the end.
    let mut from = at + 2;
    while chars < 31 {
        let b = byte(text, from);
        // Groups of four between spaces.
        if b == b' ' && chars % 4 == 0 && byte(text, from + 1).is_ascii_alphanumeric() {
            from += 1;
            continue;
        }
        if !(b.is_ascii_uppercase() || b.is_ascii_digit()) {
            break;
        }
        add(b);
        chars += 1;
        from += 1;
    }
    let check = text.get(at..at + 2).filter(|check| check.iter().all(u8::is_ascii_digit))?;
    head.iter().chain(check).for_each(|b| add(*b));
    let fits = !is_word(byte(text, from)) && ACCOUNT_CHARS.contains(&(chars + 4));
    (fits && remainder == 1).then_some(start..from)
}

#[cfg(test)]
mod tests {
    use super::super::LeakClass::{Card, Personal};
    use super::super::tests::class;

    #[test]
    fn cards_are_found_in_every_way_they_are_written() {
        for text in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111, thanks",
            "card 5555555555554444 exp 12/30",
            r#"{"pan":"3782 822463 10005"}"#,
            r#"{"a":"x\n6011000990139424"}"#,
            "(3530111333300000)",
            "30569309025904.",
        ] {
            assert_eq!(class(text), Some(Card), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_no_cards_pass() {
        for text in [
            "4111111111111112",
            "order 4111111111111111x",
            "v4.4111111111111111",
            "id-4111111111111111",
            "4111111111111111-2",
            "0000 0000 0000 0000",
            "1700000000000 1700000000123",
            "1234567890123456",
            "+49 170 1234567890",
            "ab4111111111111111",
            "3.14159265358979323846264338327950288419716939937510",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }

    #[test]
    fn national_numbers_check() {
        for text in ["ssn 219-09-9999", "IBAN DE89370400440532013000", "GB82 WEST 1234 5698 7654 32 please"] {
            assert_eq!(class(text), Some(Personal), "{text}");
        }
        for text in [
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "219-00-9999",
            "219-09-0000",
            "1219-09-9999",
            "219-09-99991",
            "555-123-4567",
            "DE88370400440532013000",
            "AB12",
            "XDE89370400440532013000",
            "2024-01-15",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }
}
