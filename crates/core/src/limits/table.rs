//! A bounded table of counters (SPEC 6.5): decides which entry may be forgotten when it is full.
//!
//! First one that is idle, else the one closest to idle that is not protected; never a protected one. When
//! neither is found among [`PROBES_MAX`] entries, the newcomer is not stored. Never grows past its bound,
//! never searches longer than that. Keys are 128-bit hashes with a secret seed, made by the caller.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Entries looked at when a full table needs room: enough to find an idle one with high probability,
/// few enough that an inventor of keys cannot buy work with them.
pub const PROBES_MAX: usize = 16;

/// What the table must know of an entry.
pub(crate) trait Tracked: Default {
    /// From this instant on, nothing is lost with it. Monotonic nanoseconds.
    fn idle_at(&self, now: u64) -> u64;
    /// Whether forgetting it would be a gift to its owner.
    fn is_protected(&self, now: u64) -> bool;
}

/// At most `entries_max` entries.
#[derive(Debug)]
pub(crate) struct Table<E> {
    slots: HashMap<u128, usize, BuildHasherDefault<Hashed>>,
    entries: Vec<(u128, E)>,
    entries_max: usize,
    hand: usize,
}

impl<E: Tracked> Table<E> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { slots: HashMap::default(), entries: Vec::new(), entries_max, hand: 0 }
    }

    /// Sets another bound; a table that holds more keeps what it has and takes nothing new without a loss.
    pub(crate) fn resize(&mut self, entries_max: usize) {
        self.entries_max = entries_max;
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &E> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// Entries with their hashes.
    pub(crate) fn hashed_entries(&self) -> impl Iterator<Item = (u128, &E)> {
        self.entries.iter().map(|(hash, entry)| (*hash, entry))
    }

    pub(crate) fn find(&mut self, hash: u128) -> Option<&mut E> {
        let slot = *self.slots.get(&hash)?;
        self.entries.get_mut(slot).map(|(_, entry)| entry)
    }

    /// The entry of a hash, made when there is room for it.
    pub(crate) fn find_or_admit(&mut self, hash: u128, now: u64) -> Option<&mut E> {
        let slot = match self.slots.get(&hash) {
            Some(slot) => *slot,
            None => self.admit(hash, now)?,
        };
        self.entries.get_mut(slot).map(|(_, entry)| entry)
    }

    fn admit(&mut self, hash: u128, now: u64) -> Option<usize> {
        let slot = if self.entries.len() < self.entries_max {
            self.entries.push((hash, E::default()));
            self.entries.len() - 1
        } else {
            let slot = self.victim(now)?;
            let entry = self.entries.get_mut(slot)?;
            self.slots.remove(&entry.0);
            *entry = (hash, E::default());
            slot
        };
        self.slots.insert(hash, slot);
        Some(slot)
    }

    fn victim(&mut self, now: u64) -> Option<usize> {
        let len = self.entries.len();
        let mut second_best: Option<(u64, usize)> = None;
        for _ in 0..PROBES_MAX.min(len) {
            let slot = self.hand % len;
            self.hand = (slot + 1) % len;
            let (_, entry) = self.entries.get(slot)?;
            if entry.is_protected(now) {
                continue;
            }
            let idle_at = entry.idle_at(now);
            if idle_at <= now {
                return Some(slot);
            }
            if second_best.is_none_or(|(best, _)| idle_at < best) {
                second_best = Some((idle_at, slot));
            }
        }
        second_best.map(|(_, slot)| slot)
    }
}

/// Keys are hashed already: the lower half is taken as it is (the upper half chose the shard).
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u128` is used; other input is folded so that it is hashed at all.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = u64::try_from(value & u128::from(u64::MAX)).unwrap_or(0);
    }
}
