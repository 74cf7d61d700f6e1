//! Duplicate keys: whether an object has had a key before.
//!
//! Names are compared decoded, so `"a"` and `"\u0061"` are the same key. A small object's keys are a linked
//! list; past [`LIST_KEYS_MAX`] they move to one open-addressing table shared by the large objects of the
//! message, so that neither many keys nor many objects cost more than constant work a key. The hash is
//! seeded per process: keys that meet in one slot cannot be computed from outside.

use super::string::{StringSpan, decode_into};

/// Keys of one object that are compared one by one.
const LIST_KEYS_MAX: u32 = 8;

/// Slots of the table when it is first needed; a power of two.
const TABLE_SLOTS_MIN: usize = 64;

/// The keys of one message.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: Vec<Entry>,
    /// Entry number + 1, or 0; the length is a power of two or zero.
    table: Vec<u32>,
    tabled: usize,
    seed: u64,
    left: Vec<u8>,
    right: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    span: StringSpan,
    /// Entry number + 1 of the same object's key before it.
    previous: u32,
    object: u32,
    tabled: bool,
}

/// What an open object knows of its keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct ObjectKeys {
    /// Tells the objects of one message apart.
    object: u32,
    /// Entry number + 1 of its last key.
    last: u32,
    count: u32,
}

impl ObjectKeys {
    /// An object without keys.
    pub(super) fn of(object: u32) -> Self {
        Self { object, last: 0, count: 0 }
    }
}

impl Keys {
    pub(super) fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        if self.tabled > 0 {
            self.table.clear();
            self.tabled = 0;
        }
    }

    pub(super) fn shrink_to(&mut self, items: usize) {
        self.entries.shrink_to(items);
        self.table.shrink_to(items);
        self.left.shrink_to(items);
        self.right.shrink_to(items);
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.table.capacity() * size_of::<u32>()
            + self.left.capacity()
            + self.right.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The object's latest key.
    pub(super) fn last_of(&self, object: &ObjectKeys) -> Option<StringSpan> {
        self.entry(object.last).map(|entry| entry.span)
    }

    /// Adds a key to an object; false when the object has it already. `name` is the decoded key.
    #[inline]
    pub(super) fn insert(&mut self, text: &[u8], span: StringSpan, name: &[u8], object: &mut ObjectKeys) -> bool {
        let hash = hash(self.seed, name);
        let fresh = if object.count < LIST_KEYS_MAX {
            self.absent_from_list(text, span, hash, object)
        } else {
            if object.count == LIST_KEYS_MAX {
                self.move_to_table(object);
            }
            self.absent_from_table(text, span, hash, object)
        };
        if !fresh {
            return false;
        }
        let tabled = object.count >= LIST_KEYS_MAX;
        self.entries.push(Entry { hash, span, previous: object.last, object: object.object, tabled });
        // At most 2³² bytes of text, so fewer entries.
        object.last = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        object.count += 1;
        if tabled {
            self.add_to_table(object.last);
        }
        true
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get((number as usize).wrapping_sub(1))
    }

    fn absent_from_list(&mut self, text: &[u8], span: StringSpan, hash: u64, object: &ObjectKeys) -> bool {
        let mut number = object.last;
        while let Some(&entry) = self.entry(number) {
            if entry.hash == hash && self.same_name(text, entry.span, span) {
                return false;
            }
            number = entry.previous;
        }
        true
    }

    fn move_to_table(&mut self, object: &ObjectKeys) {
        let mut number = object.last;
        while let Some(entry) = self.entries.get_mut((number as usize).wrapping_sub(1)) {
            entry.tabled = true;
            let previous = entry.previous;
            self.add_to_table(number);
            number = previous;
        }
    }

    fn absent_from_table(&mut self, text: &[u8], span: StringSpan, hash: u64, object: &ObjectKeys) -> bool {
        let mut slot = place(hash, object.object);
        loop {
            let mask = self.table.len().wrapping_sub(1);
            let number = self.table.get(slot & mask).copied().unwrap_or(0);
            let Some(&entry) = self.entry(number) else { return true };
            if entry.hash == hash && entry.object == object.object && self.same_name(text, entry.span, span) {
                return false;
            }
            slot = (slot & mask) + 1;
        }
    }

    /// Never more than half full, so a free slot is near.
    fn add_to_table(&mut self, number: u32) {
        self.tabled += 1;
        if self.tabled * 2 > self.table.len() {
            let slots = (self.table.len() * 2).max(TABLE_SLOTS_MIN);
            self.table.clear();
            self.table.resize(slots, 0);
            for index in 0..self.entries.len() {
                if self.entries.get(index).is_some_and(|entry| entry.tabled) {
                    self.occupy(u32::try_from(index + 1).unwrap_or(u32::MAX));
                }
            }
            if self.table.contains(&number) {
                return;
            }
        }
        self.occupy(number);
    }

    fn occupy(&mut self, number: u32) {
        let Some(&entry) = self.entry(number) else { return };
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = place(entry.hash, entry.object) & mask;
        while let Some(found) = self.table.get_mut(slot) {
            if *found == 0 || *found == number {
                *found = number;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn same_name(&mut self, text: &[u8], one: StringSpan, other: StringSpan) -> bool {
        if !one.escapes && !other.escapes {
            return one.raw(text) == other.raw(text);
        }
        self.left.clear();
        decode_into(one.raw(text), &mut self.left);
        self.right.clear();
        decode_into(other.raw(text), &mut self.right);
        self.left == self.right
    }
}

/// Where a key of an object is looked for first.
fn place(hash: u64, object: u32) -> usize {
    let mixed = hash ^ u64::from(object).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The mask keeps the low bits, whatever the width of usize.
    (mixed ^ (mixed >> 32)) as usize
}

/// A seeded 64-bit hash by folded multiplication. Not a cryptographic one: the seed is what keeps an
/// attacker from choosing collisions, and a collision costs a comparison, never a wrong answer.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const K: u64 = 0x9fb2_1c65_1e98_df25;
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(0xa076_1d64_78bd_642f);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), K);
    }
    let last = tail.iter().fold(0, |last, &byte| last << 8 | u64::from(byte));
    fold(fold(state ^ last, K) ^ seed, 0xe703_7ed1_a0b4_28db)
}

fn fold(one: u64, other: u64) -> u64 {
    let wide = u128::from(one) * u128::from(other);
    // Both halves are wanted; neither cast loses what is used.
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_differ_by_content_length_and_seed() {
        let mut seen = std::collections::HashSet::new();
        for text in ["", "a", "b", "aa", "\0", "\0\0", "abcdefgh", "abcdefg\0", "abcdefghi", "hgfedcba"] {
            for seed in [1, 2] {
                assert!(seen.insert(hash(seed, text.as_bytes())), "{text:?} {seed}");
            }
        }
    }
}
