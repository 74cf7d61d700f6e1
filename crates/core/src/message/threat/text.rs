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

/// A set of bytes; asking it is one load. Made by [`bytes!`].
#[derive(Debug)]
pub(super) struct Bytes(pub(super) [bool; 256]);

impl Bytes {
    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// Whether all bytes of a text are in it.
    #[inline]
    pub(super) fn has_all(&self, text: &[u8]) -> bool {
        text.iter().all(|&b| self.has(b))
    }
}

/// The set of the bytes that match a pattern, computed by the compiler.
macro_rules! bytes {
    ($pattern:pat) => {{
        let mut set = [false; 256];
        let mut n = 0_u8;
        let mut rest = &mut set as &mut [bool];
        while let Some((first, tail)) = rest.split_first_mut() {
            *first = matches!(n, $pattern);
            n = n.wrapping_add(1);
            rest = tail;
        }
        $crate::message::threat::text::Bytes(set)
    }};
}

const WORD: Bytes = bytes!(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_');

/// Part of an identifier in most languages.
#[inline]
pub(super) fn is_word(byte: u8) -> bool {
    WORD.has(byte)
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
#[inline]
pub(super) fn has(text: &[u8], needle: &str) -> bool {
    // Most texts asked so are short, and a search costs more to make than to run.
    match needle.as_bytes() {
        &[byte] => memchr::memchr(byte, text).is_some(),
        needle => text.len() >= needle.len() && memchr::memmem::find(text, needle).is_some(),
    }
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
    /// Bytes of the shortest piece.
    shortest: usize,
}

/// Pieces in one packed search: past it the machine's buckets fill up and every byte is a candidate.
const PACKED_PIECES_MAX: usize = 32;

impl Needles {
    pub(super) fn new(pieces: &str) -> Self {
        let pieces: Vec<String> = pieces.split_whitespace().map(|piece| piece.replace('·', " ")).collect();
        let shortest = pieces.iter().map(String::len).min().unwrap_or(0);
        let (single, long): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.len() == 1);
        let mut needles = Self { packed: Vec::new(), bytes: single.concat().into_bytes(), rest: None, shortest };
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
        if text.len() < self.shortest {
            return false;
        }
        self.bytes.iter().any(|&b| memchr::memchr(b, text).is_some())
            || self.packed.iter().any(|set| set.find(text).is_some())
            || self.rest.as_ref().is_some_and(|set| set.is_match(text))
    }
}

/// Words looked up whole. Written in one string, separated by white space. Lower case, letters and digits first.
#[derive(Debug)]
pub(super) struct Words {
    /// By first byte: bit n says that a word of n bytes begins with it. Most words of prose end here.
    lengths: Box<[u32; 256]>,
    /// Words as numbers, in an open-addressing table at most a quarter full; 0 is free.
    table: Box<[u128]>,
}

/// Longest word in a set, bytes: one bit for each length.
const WORD_BYTES_MAX: usize = 31;

impl Words {
    /// Words longer than [`WORD_BYTES_MAX`] are left out; there are none.
    pub(super) fn new(words: &'static str) -> Self {
        let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        let slots = (words.len() * 4).next_power_of_two();
        let mut set = Self { lengths: Box::new([0; 256]), table: vec![0; slots].into() };
        for word in words.into_iter().filter(|word| word.len() <= WORD_BYTES_MAX) {
            if let Some(lengths) = word.first().and_then(|&first| set.lengths.get_mut(usize::from(first))) {
                *lengths |= 1 << word.len();
            }
            let number = number(word);
            let mut slot = place(number);
            while let Some(found) = set.table.get_mut(slot & (slots - 1)) {
                if *found == 0 || *found == number {
                    *found = number;
                    break;
                }
                slot += 1;
            }
        }
        set
    }

    /// Whether a word is one of them, in any case of its letters.
    #[inline]
    pub(super) fn has(&self, word: &[u8]) -> bool {
        let Some(first) = word.first().map(u8::to_ascii_lowercase) else { return false };
        let lengths = self.lengths.get(usize::from(first)).copied().unwrap_or(0);
        word.len() <= WORD_BYTES_MAX && lengths >> word.len() & 1 == 1 && self.is_listed(number(word))
    }

    fn is_listed(&self, number: u128) -> bool {
        let mut slot = place(number);
        loop {
            match self.table.get(slot & (self.table.len().wrapping_sub(1))) {
                None | Some(0) => return false,
                Some(&found) if found == number => return true,
                Some(_) => slot += 1,
            }
        }
    }
}

/// A word's first 16 bytes, in lower case, as a number; none is 0, as no word holds a zero byte. Longer words are told apart by
/// their length alone, which is enough for the few there are.
fn number(word: &[u8]) -> u128 {
    word.iter().take(16).fold(0, |number, b| number << 8 | u128::from(b.to_ascii_lowercase()))
}

/// Where a number is looked for first.
fn place(number: u128) -> usize {
    let mixed = (number as u64 ^ (number >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The mask keeps the low bits, whatever the width of usize.
    (mixed >> 40) as usize
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

pub(super) use {bytes, needles, words};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_and_nothing_else_is() {
        let list = "or and union onreadystatechange geometrycollection a";
        let words = Words::new(list);
        for word in list.split(' ') {
            assert!(words.has(word.as_bytes()), "{word}");
            assert!(words.has(word.to_ascii_uppercase().as_bytes()), "{word}");
        }
        for word in ["", "o", "ors", "an", "onreadystatechang", "b", "\0", "unionunionunionunionunionunionunion"] {
            assert!(!words.has(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn needles_are_found_anywhere() {
        assert!(!Needles::new("longer than").occur(b"tha"));
        let needles = Needles::new("( ab·c longer");
        for text in ["x(", "zab cz", "the longer one of the two", "longer"] {
            assert!(needles.occur(text.as_bytes()), "{text}");
        }
        for text in ["", "abc", "long er, and nothing else in it"] {
            assert!(!needles.occur(text.as_bytes()), "{text}");
        }
        let many = (0..100).map(|n| format!("piece{n}x")).collect::<Vec<_>>().join(" ");
        let needles = Needles::new(&many);
        assert!((0..100).all(|n| needles.occur(format!("it has piece{n}x in it").as_bytes())));
        assert!(!needles.occur(b"piece100x, and more of that kind"));
    }

    #[test]
    fn words_are_counted_from_one() {
        assert_eq!(nth_word(b"  ab cd", 1), 2);
        assert_eq!(nth_word(b"  ab cd", 2), 5);
        assert_eq!(nth_word(b"  ab cd", 3), usize::MAX);
        assert_eq!(words_up_to(b"a b c d", 3), 3);
    }
}
