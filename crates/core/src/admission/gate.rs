//! What admission counts: connections in all, per address, per user; failed authentications and the bans that
//! follow from them.
//!
//! Bounded, and sharded so that no lock is shared by all. An address that is forgotten is one without open
//! connections, without a ban, and with its rates untouched; when a shard holds none such, strangers share one
//! overflow entry, so inventing addresses evicts nobody's penalty (SPEC 6.5).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::limits::{IpKey, Limit, LimitState};
use crate::policy::Policy;
use crate::time::Now;
use crate::verdict::Reason;

const SHARDS: usize = 16;
/// Entries looked at to find one that can be forgotten.
const EVICTION_LOOKS: usize = 32;
/// Sockets of one address that may be within their handshake at once, where no other number is set.
pub const HANDSHAKES_PER_IP_MAX: u32 = 256;

/// A refusal by a counter: why, and when to come back.
pub type Full = (Reason, Option<Duration>);

/// See the module.
pub struct Gate {
    settings: ArcSwap<Settings>,
    total: AtomicUsize,
    addresses: [Mutex<Addresses>; SHARDS],
    users: [Mutex<BTreeMap<UserKey, u32>>; SHARDS],
    seed: [u64; 2],
}

type UserKey = (String, Box<str>);

struct Settings {
    total_max: usize,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    trusted: Vec<IpNet>,
    rate: Option<Limit>,
    per_ip_max: Option<u32>,
    failed: Option<Limit>,
    ban: Duration,
    tracked_max: usize,
    ipv6_prefix: u8,
}

#[derive(Default)]
struct Addresses {
    known: BTreeMap<IpKey, Entry>,
    overflow: Entry,
    cursor: Option<IpKey>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    rate: LimitState,
    failed: LimitState,
    open: u32,
    handshaking: u32,
    banned_until: u64,
}

impl Entry {
    fn forgettable(&self, settings: &Settings, now: u64) -> bool {
        let idle = |limit: &Option<Limit>, state| limit.is_none_or(|limit| limit.idle_at(state) <= now);
        self.open == 0
            && self.handshaking == 0
            && self.banned_until <= now
            && idle(&settings.rate, &self.rate)
            && idle(&settings.failed, &self.failed)
    }
}

impl Addresses {
    fn entry(&mut self, key: IpKey, settings: &Settings, now: u64) -> &mut Entry {
        let most = (settings.tracked_max / SHARDS).max(1);
        if !self.known.contains_key(&key) && self.known.len() >= most && !self.forget_one(settings, now) {
            return &mut self.overflow;
        }
        self.known.entry(key).or_default()
    }

    /// The entry that a seat was counted in.
    fn counted(&mut self, key: IpKey) -> &mut Entry {
        match self.known.get_mut(&key) {
            Some(entry) => entry,
            None => &mut self.overflow,
        }
    }

    fn forget_one(&mut self, settings: &Settings, now: u64) -> bool {
        let from = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.known.range((from, Bound::Unbounded));
        let seen: Vec<_> = behind.take(EVICTION_LOOKS).map(|(key, entry)| (*key, *entry)).collect();
        self.cursor = if seen.len() < EVICTION_LOOKS { None } else { seen.last().map(|(key, _)| *key) };
        let victim = seen.iter().find(|(_, entry)| entry.forgettable(settings, now));
        victim.is_some_and(|(key, _)| self.known.remove(key).is_some())
    }
}

impl Gate {
    /// Counters for a policy. `seed` comes from the system's generator; it spreads users over shards.
    #[must_use]
    pub fn new(policy: &Policy, seed: [u64; 2]) -> Arc<Self> {
        Arc::new(Self {
            settings: ArcSwap::from_pointee(Settings::of(policy)),
            total: AtomicUsize::new(0),
            addresses: Default::default(),
            users: Default::default(),
            seed,
        })
    }

    /// Takes over another policy's numbers; counts stay.
    pub fn reconfigure(&self, policy: &Policy) {
        self.settings.store(Arc::new(Settings::of(policy)));
    }

    /// Connections held, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Addresses that something is remembered of.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.addresses.iter().map(|shard| lock(shard).known.len()).sum()
    }

    /// Addresses banned at `now`, with what is left of each ban.
    #[must_use]
    pub fn bans(&self, now: Now) -> Vec<(IpKey, Duration)> {
        let now = now.mono_nanos();
        let left = |until: u64| Duration::from_nanos(until.saturating_sub(now));
        let mut found = Vec::new();
        for shard in &self.addresses {
            let banned = lock(shard);
            let banned = banned.known.iter().filter(|(_, entry)| entry.banned_until > now);
            found.extend(banned.map(|(key, entry)| (*key, left(entry.banned_until))));
        }
        found
    }

    /// Bans an address for so long, or lifts its ban with zero.
    pub fn ban(&self, key: IpKey, how_long: Duration, now: Now) {
        let settings = self.settings.load();
        let nanos = now.mono_nanos();
        let mut shard = lock(self.shard(key));
        let entry = shard.entry(key, &settings, nanos);
        entry.banned_until = nanos.saturating_add(crate::limits::nanos(how_long));
        if how_long.is_zero() {
            entry.failed = LimitState::default();
        }
    }

    /// The key an address is counted under.
    #[must_use]
    pub fn key(&self, ip: IpAddr) -> IpKey {
        IpKey::of(ip, self.settings.load().ipv6_prefix)
    }

    /// Counts a socket before it has said anything: capacity, deny-list, bans, handshakes of one address. A
    /// trusted proxy's own address is counted in the total alone.
    pub(super) fn socket(self: &Arc<Self>, peer: IpAddr, now: Now) -> Result<Pending, Reason> {
        let settings = self.settings.load();
        if self.total.load(Ordering::Relaxed) >= settings.total_max {
            return Err(Reason::ServerFull);
        }
        let mut counted = None;
        if !within(&settings.trusted, peer) && !within(&settings.allow, peer) {
            let key = IpKey::of(peer, settings.ipv6_prefix);
            settings.denied(peer)?;
            let nanos = now.mono_nanos();
            let mut shard = lock(self.shard(key));
            let entry = shard.entry(key, &settings, nanos);
            if entry.banned_until > nanos {
                return Err(Reason::SourceBanned);
            }
            if entry.handshaking >= settings.per_ip_max.unwrap_or(HANDSHAKES_PER_IP_MAX).max(1) {
                return Err(Reason::ConnectionsPerIp);
            }
            entry.handshaking += 1;
            counted = Some(key);
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Pending { gate: Arc::clone(self), key: counted })
    }

    /// Counts an attempt of a client: deny-list, ban, rate, concurrency.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr, now: Now) -> Result<Seat, Full> {
        let settings = self.settings.load();
        let key = IpKey::of(client, settings.ipv6_prefix);
        let nanos = now.mono_nanos();
        let mut shard = lock(self.shard(key));
        let entry = shard.entry(key, &settings, nanos);
        if !within(&settings.allow, client) {
            settings.denied(client).map_err(|reason| (reason, None))?;
            if entry.banned_until > nanos {
                return Err((Reason::SourceBanned, Some(Duration::from_nanos(entry.banned_until - nanos))));
            }
            if let Some(limit) = &settings.rate {
                let allowance = limit.check(&mut entry.rate, nanos, 1);
                if !allowance.allowed {
                    return Err((Reason::ConnectionRate, Some(allowance.retry_after)));
                }
            }
            if settings.per_ip_max.is_some_and(|max| entry.open >= max) {
                return Err((Reason::ConnectionsPerIp, None));
            }
        }
        entry.open += 1;
        drop(shard);
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { gate: Arc::clone(self), key, user: None })
    }

    /// Counts a failed authentication. True when it brought a ban.
    pub(super) fn failed(&self, client: IpAddr, now: Now) -> bool {
        let settings = self.settings.load();
        let Some(limit) = &settings.failed else { return false };
        if within(&settings.allow, client) {
            return false;
        }
        let key = IpKey::of(client, settings.ipv6_prefix);
        let nanos = now.mono_nanos();
        let mut shard = lock(self.shard(key));
        let entry = shard.entry(key, &settings, nanos);
        let allowance = limit.check(&mut entry.failed, nanos, 1);
        // The last one that the rate allows brings the ban: five a minute means that the fifth is the last.
        let ban = allowance.remaining == 0;
        if ban {
            entry.banned_until = nanos.saturating_add(crate::limits::nanos(settings.ban));
        }
        ban
    }

    fn shard(&self, key: IpKey) -> &Mutex<Addresses> {
        let bits = match key.address() {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64 ^ u128::from(v6) as u64,
        };
        pick(&self.addresses, spread(bits, self.seed))
    }

    fn user_shard(&self, user: &str) -> &Mutex<BTreeMap<UserKey, u32>> {
        let bits = user.bytes().fold(self.seed[1], |sum, byte| spread(sum ^ u64::from(byte), self.seed));
        pick(&self.users, bits)
    }
}

impl Settings {
    fn of(policy: &Policy) -> Self {
        let spec = &policy.checked;
        Self {
            total_max: spec.listen.connections_max,
            allow: spec.sources.allow.clone(),
            deny: spec.sources.deny.clone(),
            trusted: spec.listen.trusted_proxies.clone(),
            rate: spec.sources.connection_rate.map(Limit::compile),
            per_ip_max: spec.sources.connections_per_ip_max,
            failed: spec.sources.failed_auth_rate.map(Limit::compile),
            ban: spec.sources.ban_duration,
            tracked_max: spec.sources.tracked_max,
            ipv6_prefix: spec.listen.ipv6_prefix,
        }
    }

    fn denied(&self, ip: IpAddr) -> Result<(), Reason> {
        if within(&self.deny, ip) { Err(Reason::SourceDenied) } else { Ok(()) }
    }
}

/// A socket within its handshake; counted until dropped.
pub struct Pending {
    gate: Arc<Gate>,
    key: Option<IpKey>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = self.key {
            let mut shard = lock(self.gate.shard(key));
            let entry = shard.counted(key);
            entry.handshaking = entry.handshaking.saturating_sub(1);
        }
    }
}

/// An admitted client's place; counted until dropped.
pub struct Seat {
    gate: Arc<Gate>,
    key: IpKey,
    user: Option<UserKey>,
}

impl Seat {
    /// The key its address is counted under.
    #[must_use]
    pub fn ip_key(&self) -> IpKey {
        self.key
    }

    /// Counts the connection to its user on a route too.
    pub(super) fn take_user(&mut self, route: &str, subject: &str, max: u32) -> Result<(), Full> {
        let mut users = lock(self.gate.user_shard(subject));
        let key = (route.to_owned(), Box::from(subject));
        let open = users.entry(key.clone()).or_default();
        if *open >= max {
            return Err((Reason::ConnectionsPerUser, None));
        }
        *open += 1;
        self.user = Some(key);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        {
            let mut shard = lock(self.gate.shard(self.key));
            let entry = shard.counted(self.key);
            entry.open = entry.open.saturating_sub(1);
        }
        if let Some(key) = self.user.take() {
            let mut users = lock(self.gate.user_shard(&key.1));
            if let Some(open) = users.get_mut(&key) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    users.remove(&key);
                }
            }
        }
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("key", &self.key).finish_non_exhaustive()
    }
}

fn within(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|network| network.contains(&ip))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters are whole after every statement, so a poisoned one is still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spread(bits: u64, seed: [u64; 2]) -> u64 {
    let mixed = (bits ^ seed[0]).wrapping_mul(seed[1] | 1);
    mixed ^ (mixed >> 32)
}

fn pick<T>(shards: &[T; SHARDS], bits: u64) -> &T {
    let [first, rest @ ..] = shards;
    let at = usize::try_from(bits % SHARDS as u64).unwrap_or(0);
    at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first)
}
