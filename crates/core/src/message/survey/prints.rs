//! How the words begin that a survey looks for.

use super::look::{Folded, Table};
use super::{BLOCK, lowest};

/// How words begin: the sets of their first three bytes, at most eight buckets of words. Says where one may stand.
#[derive(Debug)]
pub(crate) struct Prints {
    pub(super) halved: [Table; 3],
    pub(super) folded: [Folded; 3],
    /// The first three bytes of each word together, hashed to one of [`SLOTS`] bits: eight buckets mix words up.
    known: [u64; SLOTS / 64],
}

const SLOTS: usize = 512;

/// The bit of three bytes, in any case of their letters.
#[inline]
fn slot([a, b, c]: [u8; 3]) -> usize {
    let three = u32::from_le_bytes([a | 0x20, b | 0x20, c | 0x20, 0]);
    (three.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SLOTS.ilog2())) as usize
}

/// Sets of bytes that a table can hold at most, a bit each.
const BUCKETS: usize = 8;

/// A set of bytes, as exactly as a kind of table can hold it.
trait Bytes: Copy {
    fn of(bytes: [u8; 2]) -> Self;

    fn and(self, other: Self) -> Self;

    /// How much of what people write is one of these bytes.
    fn share(self) -> u64;
}

/// As a [`Table`] holds it: some low halves with some high ones, a bit each.
#[derive(Debug, Clone, Copy)]
struct Halves {
    low: u16,
    high: u16,
}

impl Bytes for Halves {
    fn of([a, b]: [u8; 2]) -> Self {
        Self { low: 1 << (a & 15) | 1 << (b & 15), high: 1 << (a >> 4) | 1 << (b >> 4) }
    }

    fn and(self, other: Self) -> Self {
        Self { low: self.low | other.low, high: self.high | other.high }
    }

    fn share(self) -> u64 {
        let row = |high: u8| numbers(self.low).map(move |low| u64::from(share(high << 4 | low)));
        numbers(self.high).flat_map(row).sum()
    }
}

/// As a [`Folded`] table holds it: a bit for what the six low bits are.
#[derive(Debug, Clone, Copy)]
struct Low6(u64);

impl Bytes for Low6 {
    fn of([a, b]: [u8; 2]) -> Self {
        Self(1 << (a & 63) | 1 << (b & 63))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn share(self) -> u64 {
        numbers(self.0).flat_map(|low| [low, low | 64]).map(|byte| u64::from(share(byte))).sum()
    }
}

/// The numbers of the bits that are set.
fn numbers(bits: impl Into<u64>) -> impl Iterator<Item = u8> {
    let mut bits = bits.into();
    std::iter::from_fn(move || (bits != 0).then(|| lowest(&mut bits) as u8))
}

/// Words that are mistaken for one another.
#[derive(Debug, Clone, Copy)]
struct Bucket<B> {
    /// Their first, second and third bytes.
    bytes: [B; 3],
    /// How often it is met in prose, in parts of 10¹².
    mistakes: u64,
}

impl<B: Bytes> Bucket<B> {
    fn of(bytes: [B; 3]) -> Self {
        Self { bytes, mistakes: bytes.into_iter().map(B::share).product() }
    }

    fn with(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.bytes, other.bytes);
        Self::of([a.and(x), b.and(y), c.and(z)])
    }
}

/// Throws buckets together until there are few: each time the two that then are met the least more often.
fn few<B: Bytes>(mut buckets: Vec<Bucket<B>>) -> Vec<Bucket<B>> {
    let more =
        |one: &Bucket<B>, other: &Bucket<B>| one.with(*other).mistakes.saturating_sub(one.mistakes + other.mistakes);
    // By the later of two buckets: how much more often both are met as one.
    let mut pairs: Vec<Vec<u64>> = Vec::new();
    for (b, other) in buckets.iter().enumerate() {
        pairs.push(buckets.iter().take(b).map(|one| more(one, other)).collect());
    }
    while buckets.len() > BUCKETS {
        let each =
            pairs.iter().enumerate().flat_map(|(b, row)| row.iter().enumerate().map(move |(a, more)| (more, a, b)));
        let Some((_, a, b)) = each.min() else { break };
        let other = buckets.remove(b);
        pairs.remove(b);
        for row in pairs.iter_mut().filter(|row| row.len() > b) {
            row.remove(b);
        }
        let Some(one) = buckets.get_mut(a) else { break };
        *one = one.with(other);
        let both = *one;
        for (n, bucket) in buckets.iter().enumerate() {
            if let Some(pair) = pairs.get_mut(a.max(n)).and_then(|row| row.get_mut(a.min(n))) {
                *pair = more(bucket, &both);
            }
        }
    }
    buckets
}

/// How often a byte is met in JSON chat, in parts of ten thousand: roughly, and only what is cheap depends on it.
fn share(byte: u8) -> u16 {
    const LETTERS: [u16; 26] = [
        620, 110, 210, 320, 960, 170, 150, 460, 530, 10, 60, 310, 190, 530, 570, 140, 10, 460, 490, 690, 210, 70, 180,
        15, 150, 10,
    ];
    match byte {
        b'a'..=b'z' => LETTERS.get(usize::from(byte - b'a')).copied().unwrap_or(0),
        b' ' => 1_500,
        b'"' => 150,
        b'.' | b',' | b':' => 80,
        b'0'..=b'9' => 60,
        b'A'..=b'Z' => 25,
        b'!'..=b'~' => 15,
        _ => 2,
    }
}

impl Prints {
    /// Of words of three ASCII bytes or more, as they are written.
    pub(crate) fn exact<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self::of(words, |byte| [byte, byte])
    }

    /// The same in any case of their letters.
    pub(crate) fn any_case<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self::of(words, |byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()])
    }

    fn of<'w>(words: impl IntoIterator<Item = &'w str>, cases: fn(u8) -> [u8; 2]) -> Self {
        let mut prints = Self {
            halved: [const { Table::empty() }; 3],
            folded: [const { Folded([0; BLOCK]) }; 3],
            known: [0; SLOTS / 64],
        };
        let (mut halves, mut low) = (Vec::new(), Vec::new());
        for word in words {
            let Some(three) = word.as_bytes().first_chunk::<3>() else { continue };
            let slot = slot(*three);
            if let Some(bits) = prints.known.get_mut(slot / 64) {
                *bits |= 1 << (slot % 64);
            }
            halves.push(Bucket::of(three.map(|byte| Halves::of(cases(byte)))));
            low.push(Bucket::of(three.map(|byte| Low6::of(cases(byte)))));
        }
        for (number, bucket) in few(halves).iter().enumerate() {
            for (table, halves) in prints.halved.iter_mut().zip(bucket.bytes) {
                table.insert_halves(halves.low, halves.high, 1 << number);
            }
        }
        for (number, bucket) in few(low).iter().enumerate() {
            for (Folded(table), low) in prints.folded.iter_mut().zip(bucket.bytes) {
                let chosen = table.iter_mut().enumerate().filter(|(at, _)| low.0 >> at & 1 == 1);
                chosen.for_each(|(_, entry)| *entry |= 1 << number);
            }
        }
        prints
    }

    /// Whether one of the words may begin with these bytes; few others do.
    #[inline]
    pub(crate) fn may_begin(&self, text: &[u8]) -> bool {
        let Some(three) = text.first_chunk() else { return false };
        let slot = slot(*three);
        self.known.get(slot / 64).is_some_and(|bits| bits >> (slot % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_prose_seldom_mistakes_share_a_bucket() {
        let of = |word: &[u8; 3]| Bucket::of(word.map(|byte| Halves::of([byte, byte])));
        let words = [b"the", b"<?p", b"and", b"<?=", b"ing", b"<ti", b"for", b"was", b"you", b"hat"];
        let buckets = few(words.into_iter().map(of).collect());
        assert_eq!(buckets.len(), BUCKETS);
        let signs = of(b"<?p").with(of(b"<?=")).with(of(b"<ti"));
        assert!(buckets.iter().any(|bucket| bucket.mistakes == signs.mistakes), "{buckets:?}");
        assert_eq!(few(vec![of(b"the"), of(b"and")]).len(), 2);
    }
}
