//! How the words begin that a survey looks for.

use super::look::Table;

/// How words begin: the sets of their first three bytes, eight buckets of words. Says where one may stand.
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
        let mut words: Vec<&[u8]> = words.into_iter().map(str::as_bytes).collect();
        // Words that begin alike share a bucket: what a bucket holds together is mistaken for one another.
        words.sort_unstable();
        let mut prints = Self { tables: [const { Table::empty() }; 3], known: [0; SLOTS / 64] };
        let by_bucket = words.len().div_ceil(8).max(1);
        for (bucket, words) in words.chunks(by_bucket).enumerate() {
            for word in words {
                let slot = word.first_chunk().map_or(0, |three| slot(*three));
                if let Some(bits) = prints.known.get_mut(slot / 64) {
                    *bits |= 1 << (slot % 64);
                }
                for (table, byte) in prints.tables.iter_mut().zip(*word) {
                    cases(*byte).into_iter().for_each(|byte| table.insert(byte, 1 << bucket));
                }
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
