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
    /// Open addressing, never more than half full.
    table: Vec<Slot>,
    /// Low bits of a slot that say a place in the ring.
    place_bits: u32,
    ids_max: usize,
}

/// 0, or a place in the ring + 1 with as much of the hash above it as fits: most slots that hold another id are told from
/// the one looked for without reaching for the ring, which is another line of memory.
type Slot = u32;

impl Window {
    /// Remembers the last `ids_max` ids (at least 1).
    #[must_use]
    pub fn new(ids_max: u32) -> Self {
        let ids_max = ids_max.max(1);
        Self {
            ring: Vec::new(),
            oldest: 0,
            table: Vec::new(),
            place_bits: u32::BITS - ids_max.leading_zeros(),
            ids_max: ids_max as usize,
        }
    }

    /// What is remembered of an id. `seed` is the process's.
    #[must_use]
    pub fn hash(seed: u64, id: &[u8]) -> u64 {
        json::seeded_hash(seed, id)
    }

    /// Remembers an id; false when it is remembered already. The oldest leaves when the window is full.
    pub fn remember(&mut self, hash: u64) -> bool {
        if self.holds(hash) {
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
            self.leave(leaving, place + 1);
        }
        if let Some(slot) = self.ring.get_mut(place) {
            *slot = hash;
        }
        self.enter(hash, place + 1);
        self.oldest = if place + 1 < self.ids_max { place + 1 } else { 0 };
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

    fn holds(&self, hash: u64) -> bool {
        let Some(mask) = self.table.len().checked_sub(1) else { return false };
        let print = self.print(hash);
        let mut at = home(hash, mask);
        loop {
            match self.slot(at) {
                0 => return false,
                slot if slot & !self.places() == print && self.hash_of(slot) == hash => return true,
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn slot(&self, at: usize) -> Slot {
        self.table.get(at).copied().unwrap_or(0)
    }

    /// The bits of a slot that say a place.
    fn places(&self) -> Slot {
        Slot::MAX.checked_shr(u32::BITS - self.place_bits).unwrap_or(0)
    }

    /// What of a hash stands in its slot.
    fn print(&self, hash: u64) -> Slot {
        folded(hash).checked_shl(self.place_bits).unwrap_or(0)
    }

    fn hash_of(&self, slot: Slot) -> u64 {
        let place = (slot & self.places()) as usize;
        place.checked_sub(1).and_then(|place| self.ring.get(place)).copied().unwrap_or(0)
    }

    /// Where the id of a taken slot would stand if it had come first.
    fn home_of(&self, slot: Slot, mask: usize) -> usize {
        if mask.checked_shr(u32::BITS - self.place_bits).unwrap_or(0) == 0 {
            // Its print has all the bits of it.
            slot.checked_shr(self.place_bits).unwrap_or(0) as usize & mask
        } else {
            home(self.hash_of(slot), mask)
        }
    }

    fn enter(&mut self, hash: u64, number: usize) {
        let Some(mask) = self.table.len().checked_sub(1) else { return };
        let mut at = home(hash, mask);
        while self.slot(at) != 0 {
            at = (at + 1) & mask;
        }
        let print = self.print(hash);
        if let Some(free) = self.table.get_mut(at) {
            // The ring holds at most u32::MAX ids: that is what the policy can say.
            *free = print | Slot::try_from(number).unwrap_or(Slot::MAX);
        }
    }

    /// Takes an id out and moves back those that its slot had pushed on.
    fn leave(&mut self, hash: u64, number: usize) {
        let Some(mask) = self.table.len().checked_sub(1) else { return };
        let leaving = self.print(hash) | Slot::try_from(number).unwrap_or(Slot::MAX);
        let mut hole = home(hash, mask);
        while self.slot(hole) != leaving {
            if self.slot(hole) == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.slot(at);
            if next == 0 {
                break;
            }
            // It may move when the hole lies between its home and where it stands.
            let from_home = at.wrapping_sub(self.home_of(next, mask)) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.table.swap(hole, at);
                hole = at;
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

/// The halves of a hash in one another: what its home and its print are taken from.
fn folded(hash: u64) -> u32 {
    // The low half, wanted.
    (hash ^ (hash >> 32)) as u32
}

fn home(hash: u64, mask: usize) -> usize {
    folded(hash) as usize & mask
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

    #[test]
    fn a_window_too_large_for_prints_forgets_the_oldest_all_the_same() {
        let mut window = Window::new(70_000);
        let hash = |id: u64| Window::hash(9, &id.to_le_bytes());
        for id in 0..200_000_u64 {
            assert!(window.remember(hash(id)));
        }
        assert!((130_000..200_000).all(|id| !window.remember(hash(id))));
        assert!((100_000..130_000).all(|id| window.remember(hash(id))));
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
