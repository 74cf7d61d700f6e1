//! The states of many keys in bounded memory (SPEC 6.5).
//!
//! Decides which key's state may be forgotten when the table is full: one that is worth nothing any more
//! (idle), else one that has used less than half of its limit; never one that has used half or more. When
//! neither is found, a new key is not stored: all such keys of a shard share one state per limit, so that
//! whoever invents keys is limited together with the other inventors, and nobody's penalty is lost.
//! Never grows past `entries_max`, never allocates for a key it refuses to store, never searches more than
//! [`PROBES_MAX`](super::table::PROBES_MAX) entries. The hash is SipHash-1-3 with a seed given by the caller, so that keys that
//! meet in one place cannot be computed from outside.

use std::collections::BTreeMap;
use std::hash::Hash as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::table::{Table, Tracked};
use super::{Allowance, IpKey, Limit, LimitState};

/// Shards of a large ledger; a small one has fewer.
const SHARDS_MAX: usize = 64;

/// A shard holds at least this many entries, so that one shard's bad luck does not fill it.
const SHARD_ENTRIES_MIN: usize = 16;

/// Whom a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party<'a> {
    /// A subject.
    User(&'a str),
    /// A client address.
    Ip(IpKey),
}

/// A limit and a party, hashed. Made by [`Ledger::key`]; kept for the life of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    hash: u128,
    scope: u32,
}

/// The table.
#[derive(Debug)]
pub struct Ledger {
    shards: Box<[Mutex<Shard>]>,
    seed: [u64; 2],
}

#[derive(Debug)]
struct Shard {
    table: Table<Entry>,
    /// One state per limit; the number of limits is the policy's.
    overflow: BTreeMap<u32, LimitState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    state: LimitState,
    idle_at: u64,
    penalty_until: u64,
}

impl Tracked for Entry {
    fn idle_at(&self) -> u64 {
        self.idle_at
    }

    fn is_protected(&self, now: u64) -> bool {
        self.penalty_until > now
    }
}

impl Ledger {
    /// A table of at most `entries_max` entries (at least 1); about 80 bytes each. `seed` is drawn once per process.
    #[must_use]
    pub fn new(entries_max: usize, seed: [u64; 2]) -> Self {
        let entries_max = entries_max.max(1);
        let shards = (entries_max / SHARD_ENTRIES_MIN).clamp(1, SHARDS_MAX);
        let shards = (0..shards)
            // The first shards take what does not divide evenly.
            .map(|i| entries_max / shards + usize::from(i < entries_max % shards))
            .map(|entries_max| Mutex::new(Shard::new(entries_max)))
            .collect();
        Self { shards, seed }
    }

    /// The key of a limit (`scope`: any number that names it) and a party.
    #[must_use]
    pub fn key(&self, scope: u32, party: Party<'_>) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        scope.hash(&mut hasher);
        party.hash(&mut hasher);
        Key { hash: hasher.finish128().as_u128(), scope }
    }

    /// Counts one event of a key. Same meaning as [`Limit::check`].
    pub fn check(&self, limit: &Limit, key: &Key, now_nanos: u64, cost: u32) -> Allowance {
        let Some(mut shard) = self.shard(key) else {
            // There is at least one shard; were there none, nothing could be remembered, so nothing passes.
            return Allowance { allowed: false, retry_after: limit.period(), remaining: 0 };
        };
        shard.check(limit, key, now_nanos, cost)
    }

    /// Entries held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.len()).sum()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        // The upper half chooses the shard, the lower half the slot within it.
        let index = usize::try_from(key.hash >> 96).unwrap_or(0) % self.shards.len().max(1);
        self.shards.get(index).map(lock)
    }
}

/// A panic elsewhere never poisons a counter: states are plain numbers and always whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn new(entries_max: usize) -> Self {
        Self { table: Table::new(entries_max), overflow: BTreeMap::new() }
    }

    fn check(&mut self, limit: &Limit, key: &Key, now: u64, cost: u32) -> Allowance {
        let Some(entry) = self.table.find_or_admit(key.hash, now) else {
            return limit.check(self.overflow.entry(key.scope).or_default(), now, cost);
        };
        let allowance = limit.check(&mut entry.state, now, cost);
        entry.idle_at = limit.idle_at(&entry.state);
        entry.penalty_until = limit.penalty_until(&entry.state);
        allowance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn ten_a_second() -> Limit {
        Limit::Bucket(super::super::Bucket::new(10, Duration::from_secs(1), 10))
    }

    fn user(ledger: &Ledger, name: &str) -> Key {
        ledger.key(0, Party::User(name))
    }

    #[test]
    fn keys_are_counted_apart_and_limits_too() {
        let ledger = Ledger::new(100, [1, 2]);
        let limit = ten_a_second();
        for _ in 0..10 {
            assert!(ledger.check(&limit, &user(&ledger, "a"), SECOND, 1).allowed);
        }
        assert!(!ledger.check(&limit, &user(&ledger, "a"), SECOND, 1).allowed);
        assert!(ledger.check(&limit, &user(&ledger, "b"), SECOND, 1).allowed);
        assert!(ledger.check(&limit, &ledger.key(1, Party::User("a")), SECOND, 1).allowed);
    }

    #[test]
    fn the_seed_moves_every_key() {
        let party = Party::User("a");
        assert_ne!(Ledger::new(1, [1, 2]).key(0, party).hash, Ledger::new(1, [1, 3]).key(0, party).hash);
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        for bound in [1, 15, 16, 100, 1000, 1037] {
            let ledger = Ledger::new(bound, [3, 4]);
            for i in 0..3 * bound {
                ledger.check(&ten_a_second(), &user(&ledger, &i.to_string()), SECOND, 1);
                assert!(ledger.len() <= bound, "{bound}");
            }
        }
    }

    #[test]
    fn inventing_keys_never_frees_a_penalised_one() {
        let ledger = Ledger::new(64, [5, 6]);
        let limit = ten_a_second();
        for name in ["x", "y", "z"] {
            ledger.check(&limit, &user(&ledger, name), SECOND, 10);
        }
        for i in 0..10_000 {
            ledger.check(&limit, &user(&ledger, &format!("invented {i}")), SECOND, 1);
        }
        for name in ["x", "y", "z"] {
            assert!(!ledger.check(&limit, &user(&ledger, name), SECOND, 1).allowed, "{name}");
        }
    }

    #[test]
    fn when_all_are_penalised_newcomers_share_one_state_per_shard() {
        let ledger = Ledger::new(16, [7, 8]);
        let limit = ten_a_second();
        for i in 0..16 {
            ledger.check(&limit, &user(&ledger, &i.to_string()), SECOND, 10);
        }
        let passed =
            (0..100).filter(|i| ledger.check(&limit, &user(&ledger, &format!("new {i}")), SECOND, 1).allowed).count();
        assert_eq!(passed, 10, "one shard, one shared bucket");
        assert_eq!(ledger.len(), 16);
        // A second later all are idle, and a newcomer has a state of its own.
        for _ in 0..10 {
            assert!(ledger.check(&limit, &user(&ledger, "later"), 3 * SECOND, 1).allowed);
        }
    }

    #[test]
    fn an_idle_entry_leaves_before_a_used_one() {
        let ledger = Ledger::new(2, [9, 9]);
        let limit = ten_a_second();
        ledger.check(&limit, &user(&ledger, "idle"), SECOND, 1);
        ledger.check(&limit, &user(&ledger, "used"), 5 * SECOND, 4);
        ledger.check(&limit, &user(&ledger, "new"), 5 * SECOND, 1);
        assert_eq!(ledger.check(&limit, &user(&ledger, "used"), 5 * SECOND, 0).remaining, 6);
    }
}
