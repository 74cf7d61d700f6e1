//! The states of many keys in bounded memory (SPEC 6.5).
//!
//! Decides which key's state may be forgotten when the table is full: one that is worth nothing any more
//! (idle), else one that has used less than half of its limit; never one that has used half or more. When
//! neither is found, a new key is not stored: all such keys of a shard share one state per limit, so that
//! whoever invents keys is limited together with the other inventors, and nobody's penalty is lost.
//! Never grows past `entries_max`, never allocates for a key it refuses to store, never searches more than
//! [`PROBES_MAX`](super::table::PROBES_MAX) entries. The hash is SipHash-1-3 with a seed given by the caller, so that keys that
//! meet in one place cannot be computed from outside.
//!
//! A connection asks for its [`Counter`]s once and keeps them: from then on a message takes no lock. A counter that
//! a connection holds is not forgotten.

use std::collections::BTreeMap;
use std::hash::Hash as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::exchange::Spent;
use super::table::{Table, Tracked};
use super::{Conditions, Counter, IpKey, Ladder, Limit};
use crate::identity::cache::digest;
use crate::message::seen::Seen;

/// Shards of a large ledger; a small one has fewer.
const SHARDS_MAX: usize = 64;

/// A shard holds at least this many entries, so that one shard's bad luck does not fill it.
const SHARD_ENTRIES_MIN: usize = 16;

/// Names the rate of sessions among the scopes of limits, whose own are hashes.
pub const SESSIONS: u32 = 0x5e55_1045;

/// Names the standings among the scopes of limits.
const CONDUCT: u32 = 0;

/// Whom a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party<'a> {
    /// A subject.
    User(&'a str),
    /// A client address.
    Ip(IpKey),
    /// An API key, by its public id.
    ApiKey(&'a str),
    /// A tenant.
    Tenant(&'a str),
    /// Everyone together.
    All,
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
    conditions: AtomicU64,
    seen: Seen,
    /// Entries have names that other nodes know them by.
    named: bool,
    /// Somebody climbed the ladder since waits were looked for.
    pub(super) climbs: AtomicBool,
}

/// A key's counter, as a connection holds it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The counter.
    pub counter: Arc<Counter>,
    /// Whether it is the key's own; else the table was full and it is shared with other newcomers.
    pub own: bool,
}

#[derive(Debug)]
struct Shard {
    table: Table<Entry>,
    /// One counter per limit; the number of limits is the policy's.
    overflow: BTreeMap<u32, Arc<Counter>>,
}

#[derive(Debug, Default)]
struct Entry {
    counter: Arc<Counter>,
    kept: Kept,
    /// What other nodes know it by; zero where they do not.
    name: u128,
    /// Of what was let through, so much was told; of a standing, what was told.
    told: u64,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Kept {
    #[default]
    Nothing,
    Limit(Limit),
    Conduct {
        forgive_ms: u64,
    },
}

impl Entry {
    fn read(&self, now: u64, judge: impl Fn(&Limit, &super::LimitState) -> u64) -> u64 {
        match self.kept {
            Kept::Nothing => 0,
            Kept::Limit(limit) => judge(&limit, &self.counter.state(&limit, now)),
            Kept::Conduct { forgive_ms } => Ladder::penalty_until(&self.counter, forgive_ms),
        }
    }
}

impl Tracked for Entry {
    fn idle_at(&self, now: u64) -> u64 {
        self.read(now, Limit::idle_at)
    }

    fn is_protected(&self, now: u64) -> bool {
        Arc::strong_count(&self.counter) > 1 || self.read(now, Limit::penalty_until) > now
    }
}

impl Ledger {
    /// Message ids and tokens that users have used.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// A table of at most `entries_max` entries (at least 1); about 210 bytes each. `seed` is drawn once per process.
    #[must_use]
    pub fn new(entries_max: usize, seed: [u64; 2]) -> Self {
        let entries_max = entries_max.max(1);
        let shards = (entries_max / SHARD_ENTRIES_MIN).clamp(1, SHARDS_MAX);
        let shards = (0..shards)
            // The first shards take what does not divide evenly.
            .map(|i| entries_max / shards + usize::from(i < entries_max % shards))
            .map(|entries_max| Mutex::new(Shard::new(entries_max)))
            .collect();
        Self {
            shards,
            seed,
            conditions: AtomicU64::new(Conditions::default().to_bits()),
            seen: Seen::default(),
            named: false,
            climbs: AtomicBool::new(false),
        }
    }

    /// One whose counts other nodes may hear of.
    #[must_use]
    pub fn named(self) -> Self {
        Self { named: true, ..self }
    }

    /// The key of a limit and a party, and its counter.
    #[must_use]
    pub fn open(&self, limit: &Limit, scope: u32, party: Party<'_>, now_nanos: u64) -> (Key, Held) {
        let key = self.key(scope, party);
        let held = self.counter(limit, &key, now_nanos);
        if self.named
            && held.own
            && let Some(mut shard) = self.shard(&key)
            && let Some(entry) = shard.table.find(key.hash).filter(|entry| entry.name == 0)
        {
            entry.name = name(scope, party);
        }
        (key, held)
    }

    /// What was let through and not told, at most so many entries. The same again until it is
    /// [`settle`](Self::settle)d.
    #[must_use]
    pub fn spent(&self, entries_max: usize) -> Vec<Spent> {
        let mut found = Vec::new();
        for shard in self.shards.iter().filter(|_| self.named) {
            let shard = lock(shard);
            let spent = shard.table.hashed_entries().filter_map(|(hash, entry)| {
                let amount = entry.counter.spent().saturating_sub(entry.told);
                match entry.kept {
                    Kept::Limit(limit) if amount > 0 && entry.name != 0 => {
                        Some(Spent { name: entry.name, limit, amount, hash })
                    }
                    _ => None,
                }
            });
            found.extend(spent.take(entries_max.saturating_sub(found.len())));
        }
        found
    }

    /// An amount was told, and all nodes have used so much.
    pub fn settle(&self, spent: &Spent, used: u64, now_nanos: u64) {
        let Some(mut shard) = self.shard(&Key { hash: spent.hash, scope: 0 }) else { return };
        let Some(entry) = shard.table.find(spent.hash).filter(|entry| entry.name == spent.name) else { return };
        entry.told = entry.told.saturating_add(spent.amount);
        // What was let through while the answer was on its way comes on top.
        let since = entry.counter.spent().saturating_sub(entry.told);
        entry.counter.raise(&spent.limit, now_nanos, used.saturating_add(since));
    }

    /// The key of a limit (`scope`: any number that names it) and a party.
    #[must_use]
    pub fn key(&self, scope: u32, party: Party<'_>) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        scope.hash(&mut hasher);
        party.hash(&mut hasher);
        Key { hash: hasher.finish128().as_u128(), scope }
    }

    /// The counter of a key. Kept for the life of a connection; asked for again when it is not the key's own.
    #[must_use]
    pub fn counter(&self, limit: &Limit, key: &Key, now_nanos: u64) -> Held {
        match self.shard(key) {
            Some(mut shard) => shard.counter(limit, key, now_nanos),
            // There is at least one shard.
            None => Held { counter: Arc::default(), own: false },
        }
    }

    /// The standing of a party on the ladder of waits; `None` while the table is full. Nobody shares another's.
    #[must_use]
    pub fn conduct(&self, ladder: &Ladder, party: Party<'_>, now_nanos: u64) -> Option<Arc<Counter>> {
        let name = name(CONDUCT, party);
        let key = self.conduct_key(name);
        let mut shard = self.shard(&key)?;
        let entry = shard.table.find_or_admit(key.hash, now_nanos)?;
        entry.kept = Kept::Conduct { forgive_ms: ladder.forgive_ms() };
        entry.name = if self.named { name } else { 0 };
        Some(Arc::clone(&entry.counter))
    }

    /// Where the standing of a name is kept: who shares a place cannot be computed from outside.
    fn conduct_key(&self, name: u128) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        (CONDUCT, name).hash(&mut hasher);
        Key { hash: hasher.finish128().as_u128(), scope: CONDUCT }
    }

    /// Shows every entry that other nodes know: name, what was told, what its counter counts, the counter.
    pub(super) fn each_named(&self, mut show: impl FnMut(u128, u64, Kept, &Counter)) {
        for shard in &self.shards {
            for entry in lock(shard).table.entries().filter(|entry| entry.name != 0) {
                show(entry.name, entry.told, entry.kept, &entry.counter);
            }
        }
    }

    /// A standing was told.
    pub(super) fn tell_conduct(&self, name: u128, bits: u64) {
        let key = self.conduct_key(name);
        if let Some(mut shard) = self.shard(&key)
            && let Some(entry) = shard.table.find(key.hash)
        {
            entry.told = bits;
        }
    }

    /// Raises a standing to what another node tells, where that ends later.
    pub(super) fn raise_conduct(&self, name: u128, forgive_ms: u64, bits: u64, now_nanos: u64) {
        let key = self.conduct_key(name);
        let Some(mut shard) = self.shard(&key) else { return };
        let Some(entry) = shard.table.find_or_admit(key.hash, now_nanos) else { return };
        entry.kept = Kept::Conduct { forgive_ms };
        entry.name = name;
        let [_, word] = entry.counter.words();
        // The end stands in the upper bits, the step in the lower.
        if word.fetch_max(bits, Ordering::Relaxed) < bits {
            entry.told = bits;
        }
    }

    /// Shows every entry: hash, what its counter counts, the counter.
    pub(super) fn each_entry(&self, mut show: impl FnMut(u128, Kept, &Counter)) {
        for shard in &self.shards {
            for (hash, entry) in lock(shard).table.hashed_entries() {
                show(hash, entry.kept, &entry.counter);
            }
        }
    }

    /// Puts a standing under a hash of an earlier run.
    pub(super) fn put_conduct(&self, hash: u128, forgive_ms: u64, standing: u64, now_nanos: u64) {
        let Some(mut shard) = self.shard(&Key { hash, scope: CONDUCT }) else { return };
        let Some(entry) = shard.table.find_or_admit(hash, now_nanos) else { return };
        entry.kept = Kept::Conduct { forgive_ms };
        let [_, word] = entry.counter.words();
        word.store(standing, Ordering::Relaxed);
    }

    /// What multiplies limits at the moment.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        Conditions::from_bits(self.conditions.load(Ordering::Relaxed))
    }

    /// Sets what multiplies limits.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.conditions.store(conditions.to_bits(), Ordering::Relaxed);
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

/// 128 bits of SHA-256 over a limit and a party: nobody can make two meet, and all nodes say the same.
fn name(scope: u32, party: Party<'_>) -> u128 {
    let (kind, text) = match party {
        Party::User(name) => (b'u', name.as_bytes().to_vec()),
        Party::Ip(key) => (b'i', key.to_string().into_bytes()),
        Party::ApiKey(id) => (b'k', id.as_bytes().to_vec()),
        Party::Tenant(name) => (b't', name.as_bytes().to_vec()),
        Party::All => (b'a', Vec::new()),
    };
    let digest = digest(&[&scope.to_be_bytes()[..], &[kind], &text].concat());
    let (half, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    // Zero is no name.
    u128::from_be_bytes(*half).max(1)
}

/// A panic elsewhere never poisons a counter: states are plain numbers and always whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn new(entries_max: usize) -> Self {
        Self { table: Table::new(entries_max), overflow: BTreeMap::new() }
    }

    fn counter(&mut self, limit: &Limit, key: &Key, now: u64) -> Held {
        match self.table.find_or_admit(key.hash, now) {
            Some(entry) => {
                entry.kept = Kept::Limit(*limit);
                Held { counter: Arc::clone(&entry.counter), own: true }
            }
            None => Held { counter: Arc::clone(self.overflow.entry(key.scope).or_default()), own: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    impl Ledger {
        /// One event of a connection that comes and goes.
        fn check(&self, limit: &Limit, key: &Key, now: u64, cost: u32) -> super::super::Allowance {
            self.counter(limit, key, now).counter.check(limit, now, cost)
        }
    }

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

    #[test]
    fn a_counter_that_a_connection_holds_is_not_forgotten() {
        let ledger = Ledger::new(16, [3, 1]);
        let limit = ten_a_second();
        let key = user(&ledger, "connected");
        let held = ledger.counter(&limit, &key, SECOND);
        for i in 0..1000 {
            ledger.check(&limit, &user(&ledger, &format!("invented {i}")), 60 * SECOND, 1);
        }
        assert!(Arc::ptr_eq(&held.counter, &ledger.counter(&limit, &key, 60 * SECOND).counter));
    }
}
