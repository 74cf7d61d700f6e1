//! Small questions about bytes that every judge asks.

/// The byte at an offset; 0 past the end.
#[inline]
pub(super) fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The byte before an offset; 0 at the start.
#[inline]
pub(super) fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte(text, at))
}

/// Part of an identifier in most languages.
#[inline]
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// White space to a parser; the no-break space's second byte counts, as attackers use it.
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0xa0)
}

/// The first offset from `at` that is not white space.
pub(super) fn skip_space(text: &[u8], at: usize) -> usize {
    at + rest(text, at).iter().take_while(|&&b| is_space(b)).count()
}

/// What follows an offset.
#[inline]
pub(super) fn rest(text: &[u8], at: usize) -> &[u8] {
    text.get(at..).unwrap_or_default()
}

/// The word that begins at an offset; empty when none does. At most 64 bytes are looked at.
pub(super) fn word_at(text: &[u8], at: usize) -> &[u8] {
    let tail = rest(text, at);
    let len = tail.iter().take(64).take_while(|&&b| is_word(b)).count();
    tail.get(..len).unwrap_or_default()
}

/// The word that ends just before an offset. At most 64 bytes are looked at.
pub(super) fn word_before(text: &[u8], at: usize) -> &[u8] {
    let head = text.get(..at).unwrap_or_default();
    let len = head.iter().rev().take(64).take_while(|&&b| is_word(b)).count();
    head.get(head.len() - len..).unwrap_or_default()
}

/// Whether a needle occurs.
pub(super) fn has(text: &[u8], needle: &str) -> bool {
    memchr::memmem::find(text, needle.as_bytes()).is_some()
}

/// Whether any needle occurs.
pub(super) fn has_any(text: &[u8], needles: &[&str]) -> bool {
    needles.iter().any(|needle| has(text, needle))
}

/// Every offset of a needle.
pub(super) fn all<'t>(text: &'t [u8], needle: &'t str) -> impl Iterator<Item = usize> + 't {
    memchr::memmem::find_iter(text, needle.as_bytes())
}

/// Whether a word is on a list.
pub(super) fn one_of(word: &[u8], list: &[&str]) -> bool {
    list.iter().any(|item| item.as_bytes() == word)
}

/// At most `bytes_max` bytes from an offset.
pub(super) fn window(text: &[u8], at: usize, bytes_max: usize) -> &[u8] {
    let tail = rest(text, at);
    tail.get(..tail.len().min(bytes_max)).unwrap_or_default()
}

/// Without white space at both ends.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Words separated by spaces, counted up to `max`.
pub(super) fn words_up_to(text: &[u8], max: usize) -> usize {
    text.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty()).take(max).count()
}
