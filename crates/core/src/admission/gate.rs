//! What admission counts: connections in all, per address, per user; failed authentications and the bans that
//! follow from them.
//!
//! Bounded, and sharded so that no lock is shared by all. An address is forgotten when nothing is lost with it,
//! else when it has used less than half of its rates; never one with open connections, a ban or a penalty. When
//! a shard holds only such, strangers share its overflow entry: its rates and its number of connections are
//! theirs together, but no ban falls on it, for honest strangers would be banned with the others (SPEC 6.5).
//! Never lets the allow-list overrule the deny-list or an operator's ban.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::identity::logout::SeenLogouts;
use crate::identity::ticket::Tickets;
use crate::identity::{KeyBook, Principal, Sessions, TokenCache};
use crate::limits::table::{Hashed, Table};
use crate::limits::{IpKey, LimitState, nanos};
use crate::policy::Policy;
use crate::policy::checked::Factor;
use crate::reputation::{Anomalies, Blocklist, Provenance, Scores, Watch};
use crate::time::Now;
use crate::verdict::Reason;

mod address;
mod counting;
mod seat;
mod settings;
mod subjects;

use address::{Addresses, Entry};
pub use seat::{Pending, Seat};
use settings::Settings;
use subjects::Guessed;

const SHARDS: usize = 16;
/// Sockets of one address that may be within their handshake at once, where no other number is set.
pub const HANDSHAKES_PER_IP_MAX: u32 = 256;

/// A refusal by a counter: why, and when to come back.
pub type Full = (Reason, Option<Duration>);

/// See the module.
pub struct Gate {
    settings: ArcSwap<Settings>,
    total: AtomicUsize,
    /// Open connections of anonymous callers.
    anonymous: AtomicUsize,
    /// Subjects that credentials named which failed.
    subjects: [Mutex<Table<Guessed>>; SHARDS],
    /// Monotonic nanoseconds until which any of them is remembered.
    guessed_until: AtomicU64,
    addresses: [Mutex<Addresses>; SHARDS],
    /// Open connections by route and subject; one entry for each that has any.
    users: [Mutex<Users>; SHARDS],
    seed: [u64; 2],
    /// Whom operators keep out.
    blocklist: ArcSwap<Blocklist>,
    /// Zero outside a lockdown.
    locked_until_unix_ms: AtomicU64,
    /// What a flood multiplies the rate of attempts by, in thousandths.
    pressure: AtomicU32,
    watch: Watch,
    provenance: Provenance,
    scores: Scores,
    anomalies: Anomalies,
    api_keys: ArcSwap<KeyBook>,
    /// Opaque tokens that their provider called active lately.
    introspected: ArcSwap<TokenCache>,
    /// By route: what its authorizer allowed lately.
    authorized: ArcSwap<HashMap<String, TokenCache>>,
    tickets: Tickets,
    sessions: Sessions,
    logouts: SeenLogouts,
}

type Users = HashMap<u128, u32, BuildHasherDefault<Hashed>>;

impl Gate {
    /// Counters for a policy. `seed` comes from the system's generator; nobody can compute which addresses or users meet in one
    /// shard without it.
    #[must_use]
    pub fn new(policy: &Policy, seed: [u64; 2]) -> Arc<Self> {
        let settings = Settings::of(policy);
        let shard = || Addresses { table: Table::new(settings.shard_entries_max()), overflow: Entry::default() };
        Arc::new(Self {
            total: AtomicUsize::new(0),
            anonymous: AtomicUsize::new(0),
            guessed_until: AtomicU64::new(0),
            subjects: std::array::from_fn(|_| Mutex::new(Table::new(settings.shard_entries_max()))),
            addresses: std::array::from_fn(|_| Mutex::new(shard())),
            users: Default::default(),
            seed,
            settings: ArcSwap::from_pointee(settings),
            blocklist: ArcSwap::default(),
            locked_until_unix_ms: AtomicU64::new(0),
            pressure: AtomicU32::new(Factor::ONE.permille()),
            watch: Watch::new(seed),
            provenance: Provenance::default(),
            scores: scores(policy, seed),
            anomalies: Anomalies::new(&policy.checked.anomalies, seed),
            api_keys: ArcSwap::default(),
            introspected: ArcSwap::from_pointee(introspected(policy)),
            authorized: ArcSwap::from_pointee(authorized(policy)),
            tickets: Tickets::default(),
            sessions: Sessions::default(),
            logouts: SeenLogouts::default(),
        })
    }

    /// Puts another blocklist in force.
    pub fn set_blocklist(&self, list: Blocklist) {
        self.blocklist.store(Arc::new(list));
    }

    /// What admission sees, for flood detection. Failures beyond the gate's own are counted by whoever refuses.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What is known of where clients come from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What is usual for users.
    #[must_use]
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// What speaks against addresses and users.
    #[must_use]
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Multiplies the rate of attempts by what a flood makes of it.
    pub fn set_pressure(&self, factor: Factor) {
        self.pressure.store(factor.permille(), Ordering::Relaxed);
    }

    /// Puts a lockdown in force until a Unix time, or none.
    pub fn set_lockdown(&self, until_unix_ms: Option<u64>) {
        self.locked_until_unix_ms.store(until_unix_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// What is left of a lockdown.
    #[must_use]
    pub fn locked_for(&self, now: Now) -> Option<Duration> {
        let left = self.locked_until_unix_ms.load(Ordering::Relaxed).saturating_sub(now.unix_millis());
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Why an operator keeps a client out, if one does.
    #[must_use]
    pub fn blocked(&self, client: IpAddr, principal: &Principal, now: Now) -> Option<Reason> {
        let list = self.blocklist.load();
        let unix_ms = now.unix_millis();
        list.banned_until(client, unix_ms)
            .map(|_| Reason::SourceBanned)
            .or_else(|| list.refuses(principal, unix_ms))
            .or_else(|| self.api_keys.load().refuses(principal))
            .or_else(|| self.sessions.refuses(principal))
            .or_else(|| (principal.is_anonymous() && self.locked_for(now).is_some()).then_some(Reason::Lockdown))
    }

    /// Puts another book of API keys in force; the one before.
    pub fn set_api_keys(&self, keys: KeyBook) -> Arc<KeyBook> {
        self.api_keys.swap(Arc::new(keys))
    }

    /// The tickets that wait to be used.
    #[must_use]
    pub fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// The sessions in force.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn logouts(&self) -> &SeenLogouts {
        &self.logouts
    }

    pub(super) fn authorized(&self) -> Arc<HashMap<String, TokenCache>> {
        self.authorized.load_full()
    }

    pub(super) fn introspected(&self) -> Arc<TokenCache> {
        self.introspected.load_full()
    }

    /// The API keys in force.
    #[must_use]
    pub fn api_keys(&self) -> Arc<KeyBook> {
        self.api_keys.load_full()
    }

    /// What is left of an operator's ban of an address.
    fn banned_for(&self, ip: IpAddr, now: Now) -> Option<Duration> {
        let until = self.blocklist.load().banned_until(ip, now.unix_millis())?;
        Some(Duration::from_millis(until.saturating_sub(now.unix_millis())))
    }

    /// Takes over another policy's numbers; counts stay.
    pub fn reconfigure(&self, policy: &Policy) {
        let settings = Settings::of(policy);
        for shard in &self.addresses {
            lock(shard).table.resize(settings.shard_entries_max());
        }
        for shard in &self.subjects {
            lock(shard).resize(settings.shard_entries_max());
        }
        self.settings.store(Arc::new(settings));
        self.anomalies.reconfigure(&policy.checked.anomalies);
        self.scores.reconfigure(&policy.checked.reputation, exempt(policy));
        self.introspected.store(Arc::new(introspected(policy)));
        self.authorized.store(Arc::new(authorized(policy)));
    }

    /// Connections held, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Entries of the blocklist, and addresses whose failures earned a ban.
    #[must_use]
    pub fn blocked_in_all(&self, now: Now) -> usize {
        self.blocklist.load().len() + self.bans(now).len()
    }

    /// Open connections of anonymous callers.
    #[must_use]
    pub fn anonymous_connections(&self) -> usize {
        self.anonymous.load(Ordering::Relaxed)
    }

    /// Subjects that something is remembered of.
    #[must_use]
    pub fn tracked_subjects(&self) -> usize {
        self.subjects.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Addresses that something is remembered of.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.addresses.iter().map(|shard| lock(shard).table.len()).sum()
    }

    /// Addresses banned at `now`, with what is left of each ban.
    #[must_use]
    pub fn bans(&self, now: Now) -> Vec<(IpKey, Duration)> {
        let now = now.mono_nanos();
        let left = |until: u64| Duration::from_nanos(until.saturating_sub(now));
        let mut found = Vec::new();
        for shard in &self.addresses {
            let shard = lock(shard);
            let banned = shard.table.entries().filter(|entry| entry.banned_until > now);
            found.extend(banned.filter_map(|entry| Some((entry.key?, left(entry.banned_until)))));
        }
        found
    }

    /// Bans an address for so long, or lifts its ban with zero. False when every tracked address has a penalty of
    /// its own and none can be forgotten for this one.
    pub fn ban(&self, key: IpKey, how_long: Duration, now: Now) -> bool {
        let now = now.mono_nanos();
        let hash = self.hash(key);
        let mut shard = lock(pick(&self.addresses, hash));
        if how_long.is_zero() {
            if let Some(entry) = shard.table.find(hash) {
                entry.banned_until = 0;
                entry.failed = LimitState::default();
            }
            return true;
        }
        let (entry, own) = shard.entry(hash, key, now);
        if own {
            entry.banned_until = now.saturating_add(nanos(how_long));
        }
        own
    }

    /// The key an address is counted under.
    #[must_use]
    pub fn key(&self, ip: IpAddr) -> IpKey {
        IpKey::of(ip, self.settings.load().ipv6_prefix)
    }

    fn hash(&self, key: IpKey) -> u128 {
        let mut hasher = self.hasher();
        key.hash(&mut hasher);
        hasher.finish128().as_u128()
    }

    fn user_hash(&self, route: &str, subject: &str) -> u128 {
        let mut hasher = self.hasher();
        (route, subject).hash(&mut hasher);
        hasher.finish128().as_u128()
    }

    fn hasher(&self) -> SipHasher13 {
        let [first, second] = self.seed;
        SipHasher13::new_with_keys(first, second)
    }
}

fn authorized(policy: &Policy) -> HashMap<String, TokenCache> {
    let caches = policy.checked.routes.iter().filter_map(|route| {
        let spec = route.authorizer.as_ref()?;
        Some((route.name.clone(), TokenCache::new(spec.cache_entries_max, spec.cache_ttl)))
    });
    caches.collect()
}

fn introspected(policy: &Policy) -> TokenCache {
    let spec = policy.checked.identity.introspection.as_ref();
    spec.map_or_else(|| TokenCache::new(0, Duration::ZERO), |one| TokenCache::new(one.cache_entries_max, one.cache_ttl))
}

/// Scores, which other nodes hear of where there are any.
fn scores(policy: &Policy, seed: [u64; 2]) -> Scores {
    let scores = Scores::new(&policy.checked.reputation, exempt(policy), seed);
    if policy.checked.shared_state.is_some() { scores.in_common() } else { scores }
}

/// Addresses that have no score: those the operator vouches for, and proxies, which are nobody's address.
fn exempt(policy: &Policy) -> Vec<IpNet> {
    let spec = &policy.checked;
    spec.sources.allow.iter().chain(&spec.listen.trusted_proxies).copied().collect()
}

fn within(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|network| network.contains(&ip))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters are whole after every statement, so a poisoned one is still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The upper bits choose the shard, the lower ones the slot within it.
fn pick<T>(shards: &[T; SHARDS], hash: u128) -> &T {
    let [first, rest @ ..] = shards;
    let at = usize::try_from(hash >> 96).unwrap_or(0) % SHARDS;
    at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first)
}
