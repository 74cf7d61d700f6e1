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

use super::nodes::{Count, Lease};
use crate::identity::logout::SeenLogouts;
use crate::identity::ticket::Tickets;
use crate::identity::{KeyBook, Principal, Sessions, TokenCache};
use crate::limits::table::{Hashed, Table, Tracked};
use crate::limits::{Allowance, IpKey, Limit, LimitState, nanos};
use crate::policy::Policy;
use crate::policy::checked::{AttemptDelay, Factor, Geo};
use crate::reputation::{Anomalies, Blocklist, Provenance, Scores, Standing, Watch};
use crate::time::Now;
use crate::verdict::Reason;

const SHARDS: usize = 16;
/// Sockets of one address that may be within their handshake at once, where no other number is set.
pub const HANDSHAKES_PER_IP_MAX: u32 = 256;

/// A refusal by a counter: why, and when to come back.
pub type Full = (Reason, Option<Duration>);

/// See the module.
pub struct Gate {
    settings: ArcSwap<Settings>,
    total: AtomicUsize,
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

struct Settings {
    total_max: usize,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    trusted: Vec<IpNet>,
    rate: Option<Limit>,
    per_ip_max: Option<u32>,
    failed: Option<Limit>,
    ban: Duration,
    /// There may be other nodes.
    shared: bool,
    geo: Geo,
    attempt_delay: Option<AttemptDelay>,
    slowed_delay: Duration,
    tracked_max: usize,
    ipv6_prefix: u8,
}

struct Addresses {
    table: Table<Entry>,
    overflow: Entry,
}

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    key: Option<IpKey>,
    rate: LimitState,
    failed: LimitState,
    open: u32,
    handshaking: u32,
    banned_until: u64,
    idle_at: u64,
    penalty_until: u64,
    /// Attempts that wait: when their backlog is gone.
    attempts_until: u64,
}

impl Tracked for Entry {
    fn idle_at(&self, _: u64) -> u64 {
        self.idle_at.max(self.banned_until).max(self.attempts_until)
    }

    fn is_protected(&self, now: u64) -> bool {
        self.open > 0 || self.handshaking > 0 || self.banned_until > now || self.penalty_until > now
    }
}

impl Entry {
    /// Brings what the table reads in line with the rates.
    fn settle(&mut self, settings: &Settings) {
        let limits = [(&settings.rate, &self.rate), (&settings.failed, &self.failed)];
        let states = || limits.iter().filter_map(|(limit, state)| Some((limit.as_ref()?, *state)));
        let idle_at = states().map(|(limit, state)| limit.idle_at(state)).max();
        let penalty_until = states().map(|(limit, state)| limit.penalty_until(state)).max();
        self.idle_at = idle_at.unwrap_or_default();
        self.penalty_until = penalty_until.unwrap_or_default();
    }
}

/// Where an address is counted: its hash, and whether it has an entry of its own.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u128,
    own: bool,
}

impl Addresses {
    /// The entry of an address, and whether it is its own.
    fn entry(&mut self, hash: u128, key: IpKey, now: u64) -> (&mut Entry, bool) {
        match self.table.find_or_admit(hash, now) {
            Some(entry) => {
                entry.key = Some(key);
                (entry, true)
            }
            None => (&mut self.overflow, false),
        }
    }

    /// The entry that was counted in; it cannot have left, for an open connection protects it.
    fn counted(&mut self, place: Place) -> &mut Entry {
        match self.table.find(place.hash).filter(|_| place.own) {
            Some(entry) => entry,
            None => &mut self.overflow,
        }
    }
}

impl Gate {
    /// Counters for a policy. `seed` comes from the system's generator; nobody can compute which addresses or users meet in one
    /// shard without it.
    #[must_use]
    pub fn new(policy: &Policy, seed: [u64; 2]) -> Arc<Self> {
        let settings = Settings::of(policy);
        let shard = || Addresses { table: Table::new(settings.shard_entries_max()), overflow: Entry::default() };
        Arc::new(Self {
            total: AtomicUsize::new(0),
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

    /// Counts a socket before it has said anything: capacity, deny-list, bans, handshakes of one address. A
    /// trusted proxy's own address is counted in the total alone.
    pub(super) fn socket(self: &Arc<Self>, peer: IpAddr, now: Now) -> Result<Pending, Reason> {
        let settings = self.settings.load();
        let mut place = None;
        if !within(&settings.trusted, peer) {
            settings.denied(peer)?;
            if self.banned_for(peer, now).is_some() {
                return Err(Reason::SourceBanned);
            }
            if !within(&settings.allow, peer) {
                self.provenance.judge(&settings.geo, peer)?;
                place = Some(self.handshaking(&settings, peer, now.mono_nanos())?);
            }
        }
        let pending = Pending { gate: Arc::clone(self), place };
        // Counted first and looked at then: two that come at once cannot both have the last place. Dropping
        // `pending` gives it back.
        if self.total.fetch_add(1, Ordering::Relaxed) >= settings.total_max {
            return Err(Reason::ServerFull);
        }
        Ok(pending)
    }

    fn handshaking(&self, settings: &Settings, peer: IpAddr, now: u64) -> Result<Place, Reason> {
        let key = IpKey::of(peer, settings.ipv6_prefix);
        let hash = self.hash(key);
        let mut shard = lock(pick(&self.addresses, hash));
        let (entry, own) = shard.entry(hash, key, now);
        if entry.banned_until > now {
            return Err(Reason::SourceBanned);
        }
        if entry.handshaking >= settings.per_ip_max.unwrap_or(HANDSHAKES_PER_IP_MAX).max(1) {
            return Err(Reason::ConnectionsPerIp);
        }
        entry.handshaking += 1;
        Ok(Place { hash, own })
    }

    /// Counts an attempt of a client: deny-list, ban, failed authentications, rate, concurrency.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr, now: Now) -> Result<Seat, Full> {
        self.watch.attempt();
        self.provenance.attempt(client);
        let settings = self.settings.load();
        settings.denied(client).map_err(|reason| (reason, None))?;
        if let Some(left) = self.banned_for(client, now) {
            return Err((Reason::SourceBanned, Some(left)));
        }
        let exempt = within(&settings.allow, client);
        if !exempt {
            self.provenance.judge(&settings.geo, client).map_err(|reason| (reason, None))?;
        }
        let key = IpKey::of(client, settings.ipv6_prefix);
        let hash = self.hash(key);
        let slowed = !exempt && self.scores.standing(client, None, now) >= Standing::Slowed;
        // Where all and a country are raised the stricter one holds.
        let all = self.pressure.load(Ordering::Relaxed);
        let pressure = Factor::from_permille(all.min(self.provenance.pressure(client).permille()));
        let mut delay = if slowed { settings.slowed_delay } else { Duration::ZERO };
        let now = now.mono_nanos();
        let mut shard = lock(pick(&self.addresses, hash));
        let (entry, own) = shard.entry(hash, key, now);
        let mut rate = None;
        if !exempt {
            delay = delay.max(settings.attempt_delay.map_or(Duration::ZERO, |spec| entry.delay(&spec, now)));
            rate = entry.attempt(&settings, pressure, now)?;
        }
        entry.open += 1;
        drop(shard);
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Seat {
            gate: Arc::clone(self),
            key,
            place: Place { hash, own },
            user: None,
            rate,
            delay,
            leases: Vec::new(),
        })
    }

    /// Counts a failed authentication. True when it brought a ban.
    pub(super) fn failed(&self, client: IpAddr, now: Now) -> bool {
        let settings = self.settings.load();
        let Some(limit) = &settings.failed else { return false };
        if within(&settings.allow, client) {
            return false;
        }
        let key = IpKey::of(client, settings.ipv6_prefix);
        let hash = self.hash(key);
        let now = now.mono_nanos();
        let mut shard = lock(pick(&self.addresses, hash));
        let (entry, own) = shard.entry(hash, key, now);
        let allowance = limit.check(&mut entry.failed, now, 1);
        // The last one that the rate allows brings the ban: five a minute means that the fifth is the last. When
        // the ban ends the count begins anew. Without a ban, `attempt` refuses until the rate has refilled.
        let bans = allowance.remaining == 0 && own && !settings.ban.is_zero();
        if bans {
            entry.banned_until = now.saturating_add(nanos(settings.ban));
            entry.failed = LimitState::default();
        }
        entry.settle(&settings);
        bans
    }

    /// Bans an address whose failures other nodes counted too.
    pub(super) fn ban_failed(&self, client: IpAddr, now: Now) {
        let ban = self.settings.load().ban;
        self.ban(self.key(client), ban, now);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.settings.load().shared
    }

    /// An attempt as other nodes should count it; `None` where there are none, or nothing to count.
    pub(super) fn count_attempt(&self, seat: &Seat, client: IpAddr) -> Option<Count> {
        let settings = self.settings.load();
        let rate = seat.rate.map(|(limit, _)| limit);
        let (failed, places_max) = (settings.failed, settings.per_ip_max);
        let counts = rate.is_some() || failed.is_some() || places_max.is_some();
        let asks = settings.shared && counts && !within(&settings.allow, client);
        asks.then_some(Count::Attempt { address: seat.key, rate, failed, places_max })
    }

    /// How failed authentications of a client are counted by all nodes.
    pub(super) fn shares_failures(&self, client: IpAddr) -> Option<(Limit, Duration)> {
        let settings = self.settings.load();
        let limit = settings.failed.filter(|_| settings.shared && !within(&settings.allow, client))?;
        Some((limit, settings.ban))
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

impl Entry {
    /// How long an attempt waits: nothing up to the rate, then twice as long each time. Idle, the backlog goes as the
    /// rate says.
    fn delay(&mut self, spec: &AttemptDelay, now: u64) -> Duration {
        let step = nanos(spec.after.per).max(1) / u64::from(spec.after.count.max(1));
        let free = step.saturating_mul(u64::from(spec.after.burst));
        // Past 32 doublings a wait is at its longest; more is not remembered, and a clock that goes back is forgiven.
        let most = now.saturating_add(free).saturating_add(step.saturating_mul(32));
        self.attempts_until = self.attempts_until.max(now).saturating_add(step).min(most);
        let over = (self.attempts_until - now).saturating_sub(free).div_ceil(step.max(1));
        match u32::try_from(over).unwrap_or(u32::MAX).checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => {
                spec.first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(spec.max)
            }
        }
    }

    /// Judges and counts an attempt; tells what is left of the rate, and its limit.
    fn attempt(&mut self, settings: &Settings, pressure: Factor, now: u64) -> Result<Option<(Limit, Allowance)>, Full> {
        if self.banned_until > now {
            return Err((Reason::SourceBanned, Some(Duration::from_nanos(self.banned_until - now))));
        }
        if let Some(limit) = &settings.failed {
            let mut untouched = self.failed;
            let allowance = limit.check(&mut untouched, now, 1);
            if !allowance.allowed {
                return Err((Reason::AuthenticationRate, Some(allowance.retry_after)));
            }
        }
        let mut rate = None;
        if let Some(limit) = settings.rate.map(|limit| limit.scaled(pressure)) {
            let allowance = limit.check(&mut self.rate, now, 1);
            self.settle(settings);
            if !allowance.allowed {
                return Err((Reason::ConnectionRate, Some(allowance.retry_after)));
            }
            rate = Some((limit, allowance));
        }
        if settings.per_ip_max.is_some_and(|max| self.open >= max) {
            return Err((Reason::ConnectionsPerIp, None));
        }
        Ok(rate)
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
            shared: spec.shared_state.is_some(),
            geo: spec.geo.clone(),
            attempt_delay: spec.sources.attempt_delay,
            slowed_delay: spec.reputation.delay,
            tracked_max: spec.sources.tracked_max,
            ipv6_prefix: spec.listen.ipv6_prefix,
        }
    }

    fn shard_entries_max(&self) -> usize {
        (self.tracked_max / SHARDS).max(1)
    }

    fn denied(&self, ip: IpAddr) -> Result<(), Reason> {
        if within(&self.deny, ip) { Err(Reason::SourceDenied) } else { Ok(()) }
    }
}

/// A socket within its handshake; counted until dropped.
pub struct Pending {
    gate: Arc<Gate>,
    place: Option<Place>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(place) = self.place {
            let mut shard = lock(pick(&self.gate.addresses, place.hash));
            let entry = shard.counted(place);
            entry.handshaking = entry.handshaking.saturating_sub(1);
        }
    }
}

/// An admitted client's place; counted until dropped.
pub struct Seat {
    gate: Arc<Gate>,
    key: IpKey,
    place: Place,
    user: Option<u128>,
    rate: Option<(Limit, Allowance)>,
    delay: Duration,
    /// Its places among the connections of all nodes.
    leases: Vec<Lease>,
}

impl Seat {
    /// How long the attempt waits before it is looked at.
    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    /// The key its address is counted under.
    #[must_use]
    pub fn ip_key(&self) -> IpKey {
        self.key
    }

    /// The rate of connection attempts of its address, and what is left of it.
    pub(super) fn rate(&self) -> Option<(Limit, Allowance)> {
        self.rate
    }

    /// Holds a place as long as this one.
    pub(super) fn hold(&mut self, place: Option<Lease>) {
        self.leases.extend(place);
    }

    /// The other nodes leave this much of the rate.
    pub(super) fn at_most(&mut self, remaining: Option<u32>) {
        if let (Some((_, allowance)), Some(remaining)) = (&mut self.rate, remaining) {
            allowance.remaining = allowance.remaining.min(remaining);
        }
    }

    /// Gives the attempt back that other nodes' counts refuse.
    pub(super) fn give_back(&mut self) {
        if let Some((limit, _)) = self.rate.take() {
            let mut shard = lock(pick(&self.gate.addresses, self.place.hash));
            limit.give_back(&mut shard.counted(self.place).rate, 1);
        }
    }

    /// Counts the connection to its user on a route, or a group of them, too; tells how many more there may be.
    pub(super) fn take_user(&mut self, route: &str, subject: &str, max: u32) -> Result<u32, Full> {
        let hash = self.gate.user_hash(route, subject);
        let mut users = lock(pick(&self.gate.users, hash));
        let open = users.get(&hash).copied().unwrap_or_default();
        let left = max.checked_sub(open + 1).ok_or((Reason::ConnectionsPerUser, None))?;
        users.insert(hash, open + 1);
        self.user = Some(hash);
        Ok(left)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        {
            let mut shard = lock(pick(&self.gate.addresses, self.place.hash));
            let entry = shard.counted(self.place);
            entry.open = entry.open.saturating_sub(1);
        }
        if let Some(hash) = self.user.take() {
            let mut users = lock(pick(&self.gate.users, hash));
            if let Some(open) = users.get_mut(&hash) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    users.remove(&hash);
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
