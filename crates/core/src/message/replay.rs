//! Ids seen before: a window over the latest ids of one connection, in constant memory.
//!
//! Remembers 64-bit seeded hashes, not ids. A fresh id is taken for a seen one with probability at most
//! n / 2⁶⁴ for a window of n: with 10,000 ids and a thousand messages a second, once in 58,000 years. It never takes a
//! seen id for a fresh one while that is in the window. Memory: 16 bytes an id, doubled as ids come, up
//! to the bound.

use super::json;

/// Ids a window has room for at first.
const ROOM_MIN: usize = 16;

/// The window.
#[derive(Debug)]
pub struct Window {
    /// Hashes in the order they came; a ring once it is full.
    ring: Vec<u64>,
    /// The oldest of a full ring.
    oldest: usize,
    /// Place in the ring + 1, or 0; open addressing, never more than half full.
    table: Vec<u32>,
    ids_max: usize,
}

impl Window {
    /// Remembers the last `ids_max` ids (at least 1).
    #[must_use]
    pub fn new(ids_max: u32) -> Self {
        Self { ring: Vec::new(), oldest: 0, table: Vec::new(), ids_max: ids_max.max(1) as usize }
    }

    /// What is remembered of an id. `seed` is the process's.
    #[must_use]
    pub fn hash(seed: u64, id: &[u8]) -> u64 {
        json::seeded_hash(seed, id)
    }

    /// Remembers an id; false when it is remembered already. The oldest leaves when the window is full.
    pub fn remember(&mut self, hash: u64) -> bool {
        if self.find(hash).is_some() {
            return false;
        }
        if self.ring.len() < self.ids_max {
            if self.ring.len() == self.ring.capacity() {
                let more = self.ring.len().max(ROOM_MIN).min(self.ids_max - self.ring.len());
                self.ring.reserve_exact(more);
            }
            self.ring.push(hash);
            if self.ring.len() * 2 > self.table.len() {
                self.grow();
            } else {
                self.enter(hash, self.ring.len());
            }
            return true;
        }
        let place = self.oldest;
        if let Some(&leaving) = self.ring.get(place) {
            self.leave(leaving);
        }
        if let Some(slot) = self.ring.get_mut(place) {
            *slot = hash;
        }
        self.enter(hash, place + 1);
        self.oldest = (place + 1) % self.ids_max;
        true
    }

    /// Ids remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The table's slot of a hash.
    fn find(&self, hash: u64) -> Option<usize> {
        let mask = self.table.len().checked_sub(1)?;
        let mut slot = home(hash, mask);
        loop {
            match self.hash_in(slot) {
                None => return None,
                Some(found) if found == hash => return Some(slot),
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    fn hash_in(&self, slot: usize) -> Option<u64> {
        let number = self.table.get(slot).copied()? as usize;
        self.ring.get(number.checked_sub(1)?).copied()
    }

    fn enter(&mut self, hash: u64, number: usize) {
        let Some(mask) = self.table.len().checked_sub(1) else { return };
        let mut slot = home(hash, mask);
        while self.table.get(slot).is_some_and(|&taken| taken != 0) {
            slot = (slot + 1) & mask;
        }
        if let Some(free) = self.table.get_mut(slot) {
            // The ring holds at most u32::MAX ids: that is what the policy can say.
            *free = u32::try_from(number).unwrap_or(u32::MAX);
        }
    }

    /// Takes a hash out and moves back those that its slot had pushed on.
    fn leave(&mut self, hash: u64) {
        let Some(mut hole) = self.find(hash) else { return };
        let mask = self.table.len() - 1;
        let mut slot = hole;
        loop {
            slot = (slot + 1) & mask;
            let Some(next) = self.hash_in(slot) else { break };
            // It may move when the hole lies between its home and where it stands.
            let from_home = slot.wrapping_sub(home(next, mask)) & mask;
            let from_hole = slot.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.table.swap(hole, slot);
                hole = slot;
            }
        }
        if let Some(hole) = self.table.get_mut(hole) {
            *hole = 0;
        }
    }

    fn grow(&mut self) {
        let room = (self.ring.len() * 2).max(ROOM_MIN).min(self.ids_max);
        self.table = vec![0; (room * 2).next_power_of_two()];
        for number in 1..=self.ring.len() {
            if let Some(&hash) = self.ring.get(number - 1) {
                self.enter(hash, number);
            }
        }
    }
}

fn home(hash: u64, mask: usize) -> usize {
    // The mask keeps the low bits, whatever the width of usize.
    (hash ^ (hash >> 32)) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn an_id_is_known_until_as_many_others_came() {
        let mut window = Window::new(3);
        for id in [1, 2, 3] {
            assert!(window.remember(id));
        }
        assert!(!window.remember(1));
        assert!(window.remember(4), "1 leaves");
        assert!(window.remember(1), "2 leaves");
        assert!(!window.remember(3));
        assert_eq!(window.len(), 3);
    }

    #[test]
    fn memory_stays_within_sixteen_bytes_an_id_and_one_doubling() {
        let mut window = Window::new(1000);
        for id in 0..100_000_u64 {
            assert!(window.remember(Window::hash(9, &id.to_le_bytes())));
        }
        assert_eq!(window.ring.capacity(), 1000);
        assert_eq!(window.table.len(), 2048);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_queue(ids in prop::collection::vec(0_u64..40, 0..400), ids_max in 1_u32..30, spread in 0_u32..60) {
            let mut window = Window::new(ids_max);
            let mut model: VecDeque<u64> = VecDeque::new();
            for id in ids {
                // Hashes that share their low bits meet in one slot.
                let hash = id.rotate_left(spread);
                let fresh = !model.contains(&hash);
                prop_assert_eq!(window.remember(hash), fresh);
                if fresh {
                    model.push_back(hash);
                    if model.len() > ids_max as usize { model.pop_front(); }
                }
            }
        }
    }
}
