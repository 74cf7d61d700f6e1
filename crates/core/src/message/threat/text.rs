//! Small questions about bytes that every judge asks.

use aho_corasick::{AhoCorasick, packed};

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

/// Where the n-th word begins (the first is 1); past every offset when there are fewer.
pub(super) fn nth_word(text: &[u8], n: usize) -> usize {
    let mut words = 0;
    let mut inside = false;
    for (at, b) in text.iter().enumerate() {
        if b.is_ascii_whitespace() {
            inside = false;
        } else if !inside {
            inside = true;
            words += 1;
            if words == n {
                return at;
            }
        }
    }
    usize::MAX
}

/// How many suspicious places one text of this length has before the number itself convicts: honest texts have
/// few, and each costs a judge's time.
pub(super) fn places_max(text: &[u8]) -> usize {
    64 + text.len() / 16
}

/// Pieces of text searched for together. Written in one string: separated by white space, with `·` for a space
/// inside a piece. Packed SIMD searches where the machine has them (an automaton takes 2 ns a byte, these a
/// tenth); the automaton elsewhere.
#[derive(Debug)]
pub(super) struct Needles {
    packed: Vec<packed::Searcher>,
    bytes: Vec<u8>,
    rest: Option<AhoCorasick>,
}

/// Pieces in one packed search: past it the machine's buckets fill up and every byte is a candidate.
const PACKED_PIECES_MAX: usize = 32;

impl Needles {
    pub(super) fn new(pieces: &str) -> Self {
        let pieces: Vec<String> = pieces.split_whitespace().map(|piece| piece.replace('·', " ")).collect();
        let (single, long): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.len() == 1);
        let mut needles = Self { packed: Vec::new(), bytes: single.concat().into_bytes(), rest: None };
        let mut unpacked = Vec::new();
        for some in long.chunks(PACKED_PIECES_MAX) {
            match packed::Searcher::new(some) {
                Some(searcher) => needles.packed.push(searcher),
                None => unpacked.extend_from_slice(some),
            }
        }
        if !unpacked.is_empty() {
            // It fails only for more states than memory has room for; the lists are short.
            needles.rest = AhoCorasick::new(unpacked).ok();
        }
        needles
    }

    /// Whether any occurs.
    pub(super) fn occur(&self, text: &[u8]) -> bool {
        self.bytes.iter().any(|&b| memchr::memchr(b, text).is_some())
            || self.packed.iter().any(|set| set.find(text).is_some())
            || self.rest.as_ref().is_some_and(|set| set.is_match(text))
    }
}

/// Words looked up whole. Written in one string, separated by white space.
#[derive(Debug)]
pub(super) struct Words(Vec<&'static [u8]>);

impl Words {
    pub(super) fn new(words: &'static str) -> Self {
        let mut words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        words.sort_unstable();
        Self(words)
    }

    /// Whether a word is one of them.
    pub(super) fn has(&self, word: &[u8]) -> bool {
        self.0.binary_search(&word).is_ok()
    }
}

/// [`Needles`] where they are used; made once.
macro_rules! needles {
    ($pieces:literal) => {{
        static SET: std::sync::LazyLock<$crate::message::threat::text::Needles> =
            std::sync::LazyLock::new(|| $crate::message::threat::text::Needles::new($pieces));
        &*SET
    }};
}

/// [`Words`] where they are used; made once.
macro_rules! words {
    ($words:literal) => {{
        static SET: std::sync::LazyLock<$crate::message::threat::text::Words> =
            std::sync::LazyLock::new(|| $crate::message::threat::text::Words::new($words));
        &*SET
    }};
}

pub(super) use {needles, words};
