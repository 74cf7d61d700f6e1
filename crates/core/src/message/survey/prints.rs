//! How the words begin that a survey looks for.

use super::look::Table;

/// How words begin: the sets of their first three bytes, at most eight buckets of words. Says where one may stand.
#[derive(Debug)]
pub(crate) struct Prints {
    pub(super) tables: [Table; 3],
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

/// A set of bytes as a table holds it: some low halves with some high ones, a bit each.
#[derive(Debug, Clone, Copy)]
struct Halves {
    low: u16,
    high: u16,
}

impl Halves {
    fn of(bytes: [u8; 2]) -> Self {
        let [a, b] = bytes;
        Self { low: 1 << (a & 15) | 1 << (b & 15), high: 1 << (a >> 4) | 1 << (b >> 4) }
    }

    fn and(self, other: Self) -> Self {
        Self { low: self.low | other.low, high: self.high | other.high }
    }

    /// How much of what people write is one of these bytes.
    fn share(self) -> u64 {
        let row = |high: u8| numbers(self.low).map(move |low| u64::from(share(high << 4 | low)));
        numbers(self.high).flat_map(row).sum()
    }
}

/// The numbers of the bits that are set.
fn numbers(bits: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |bit| bits >> bit & 1 == 1)
}

/// Words that are mistaken for one another.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Their first, second and third bytes.
    bytes: [Halves; 3],
    /// How often it is met in prose, in parts of 10¹².
    mistakes: u64,
}

impl Bucket {
    fn of(bytes: [Halves; 3]) -> Self {
        Self { bytes, mistakes: bytes.into_iter().map(Halves::share).product() }
    }

    fn with(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.bytes, other.bytes);
        Self::of([a.and(x), b.and(y), c.and(z)])
    }
}

/// Throws buckets together until there are few: each time the two that then are met the least more often.
fn few(mut buckets: Vec<Bucket>) -> Vec<Bucket> {
    while buckets.len() > BUCKETS {
        let mut best: Option<(u64, usize, usize, Bucket)> = None;
        for (b, other) in buckets.iter().enumerate() {
            for (a, one) in buckets.iter().enumerate().take(b) {
                let both = one.with(*other);
                let more = both.mistakes.saturating_sub(one.mistakes + other.mistakes);
                if best.is_none_or(|(least, ..)| more < least) {
                    best = Some((more, a, b, both));
                }
            }
        }
        let Some((_, a, b, both)) = best else { break };
        buckets.swap_remove(b);
        if let Some(bucket) = buckets.get_mut(a) {
            *bucket = both;
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
        let mut prints = Self { tables: [const { Table::empty() }; 3], known: [0; SLOTS / 64] };
        let mut buckets = Vec::new();
        for word in words {
            let Some(three) = word.as_bytes().first_chunk::<3>() else { continue };
            let slot = slot(*three);
            if let Some(bits) = prints.known.get_mut(slot / 64) {
                *bits |= 1 << (slot % 64);
            }
            buckets.push(Bucket::of(three.map(|byte| Halves::of(cases(byte)))));
        }
        for (number, bucket) in few(buckets).iter().enumerate() {
            for (table, halves) in prints.tables.iter_mut().zip(bucket.bytes) {
                table.insert_halves(halves.low, halves.high, 1 << number);
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
