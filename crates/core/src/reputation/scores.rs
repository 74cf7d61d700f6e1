//! The scores of addresses, their subnets and users, in bounded memory (SPEC 7.1, 6.5).
//!
//! Decides when a source is suspicious, slowed or banned, and says why. A caller with a subject answers for itself and
//! never for others behind its address; an anonymous one answers with its address and, far later, its subnet. Never
//! bans: it orders, and whoever keeps the blocklist obeys. Never scores an address that the operator exempts. A source
//! with a standing is not forgotten for a newcomer; where there is no room the newcomer has no score.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::block::{Block, REASON_BYTES_MAX, Target, VALUE_BYTES_MAX};
use super::exchange::{self, Telling};
use super::fact::Fact;
use super::score::Score;
use crate::limits::table::{Table, Tracked};
use crate::policy::checked::Reputation;
use crate::time::Now;

const SHARDS: usize = 16;
/// Bans ordered and not yet obeyed.
const ORDERS_MAX: usize = 1024;
/// Sources with a standing that are remembered by name, for operators.
pub const NAMED_MAX: usize = 200;
/// Prefix lengths of what is one subnet.
pub(super) const SUBNET_V4: u8 = 24;
pub(super) const SUBNET_V6: u8 = 48;
/// A source with fewer points is forgotten as if it had none.
const FORGOTTEN_BELOW: f32 = 0.5;

/// Who has a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Party<'a> {
    Address(IpNet),
    Subnet(IpNet),
    User(&'a str),
}

/// What a score has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing.
    #[default]
    Clear,
    /// It is noted.
    Suspicious,
    /// It waits.
    Slowed,
    /// It is kept out.
    Banned,
}

impl Standing {
    /// The name in events and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Suspicious => "suspicious",
            Self::Slowed => "slowed",
            Self::Banned => "banned",
        }
    }
}

/// A source whose standing has risen.
#[derive(Debug, Clone, PartialEq)]
pub struct Risen {
    /// Who.
    pub target: Target,
    /// To what.
    pub to: Standing,
    /// Why: score, threshold, facts.
    pub detail: String,
}

/// A source with a standing, as an operator sees it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Scored {
    /// Who.
    #[serde(flatten)]
    pub target: Target,
    /// What it has led to.
    pub standing: Standing,
    /// Its points at present.
    pub score: f32,
    /// Which facts gave which.
    pub facts: Vec<(&'static str, f32)>,
}

/// Whether a fact was one, and what it has led to.
enum Counted {
    Yes(Option<Risen>),
    /// It belongs to a burst that was counted.
    Again,
}

/// One score as it is kept over a restart: the hash of its source, and its points by fact.
pub type Kept = (u128, [f32; super::fact::FACTS]);

/// Scores kept at most, the highest first.
pub const KEPT_MAX: usize = 10_000;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Entry {
    pub(super) score: Score,
    standing: Standing,
    /// A ban was ordered that lasts until then, milliseconds.
    ordered_until_ms: u64,
    /// When a burst counted last, milliseconds.
    burst_ms: u64,
    idle_ms: u64,
    pub(super) protected_ms: u64,
    /// What other nodes know it by; zero where they do not.
    pub(super) name: u128,
    /// Points that they were not told of.
    pub(super) untold: Score,
    /// It waits to be told.
    pub(super) telling: bool,
}

/// What points have led to, before anybody was told.
pub(super) struct Step {
    to: Standing,
    score: Score,
    /// The end of the ban that was ordered before, where this orders one.
    orders: Option<u64>,
}

impl Entry {
    /// What its points come to; a standing that was lost is.
    fn reach(&mut self, spec: &Reputation, times: u32, now_ms: u64) -> Standing {
        self.idle_ms = self.score.fades_to(FORGOTTEN_BELOW, spec.half_life);
        self.protected_ms = self.score.fades_to(points_of(spec.suspicious, times) / 2.0, spec.half_life);
        let total = self.score.total(spec.half_life, now_ms);
        // A standing is lost with half of its points, so that a score at its edge tells nobody twice.
        self.standing = self.standing.min(judged(spec, total * 2.0, times));
        judged(spec, total, times)
    }

    /// Takes the standing that its points have earned, and tells nobody: another node does.
    pub(super) fn stand(&mut self, spec: &Reputation, times: u32, now_ms: u64) {
        let reached = self.reach(spec, times, now_ms);
        self.standing = self.standing.max(reached);
    }

    /// The same, and tells whether it has risen or a ban is to be ordered.
    pub(super) fn weigh(&mut self, spec: &Reputation, times: u32, now_ms: u64) -> Option<Step> {
        let reached = self.reach(spec, times, now_ms);
        let orders = reached == Standing::Banned && self.ordered_until_ms <= now_ms;
        if reached <= self.standing && !orders {
            return None;
        }
        self.standing = reached;
        let was_ordered = self.ordered_until_ms;
        if orders {
            self.ordered_until_ms = now_ms.saturating_add(u64::try_from(spec.ban_for.as_millis()).unwrap_or(u64::MAX));
        }
        Some(Step { to: reached, score: self.score, orders: orders.then_some(was_ordered) })
    }
}

impl Tracked for Entry {
    fn idle_at(&self, _: u64) -> u64 {
        self.idle_ms
    }

    fn is_protected(&self, now: u64) -> bool {
        self.protected_ms > now
    }
}

/// See the module.
pub struct Scores {
    spec: ArcSwap<Reputation>,
    exempt: ArcSwap<Vec<IpNet>>,
    shards: [Mutex<Table<Entry>>; SHARDS],
    orders: Mutex<Vec<Block>>,
    named: Mutex<Vec<(u128, Target)>>,
    /// Other nodes hear of them.
    common: bool,
    telling: Mutex<Telling>,
    seed: [u64; 2],
}

impl Scores {
    /// Scores under a policy's rules. `seed` is the same over restarts where scores are kept.
    #[must_use]
    pub fn new(spec: &Reputation, exempt: Vec<IpNet>, seed: [u64; 2]) -> Self {
        let entries_max = (spec.tracked_max / SHARDS).max(1);
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Table::new(entries_max))),
            spec: ArcSwap::from_pointee(spec.clone()),
            exempt: ArcSwap::from_pointee(exempt),
            orders: Mutex::default(),
            named: Mutex::default(),
            common: false,
            telling: Mutex::default(),
            seed,
        }
    }

    /// Scores that other nodes hear of.
    #[must_use]
    pub fn in_common(self) -> Self {
        Self { common: true, ..self }
    }

    /// Takes over another policy's rules; scores stay.
    pub fn reconfigure(&self, spec: &Reputation, exempt: Vec<IpNet>) {
        for shard in &self.shards {
            lock(shard).resize((spec.tracked_max / SHARDS).max(1));
        }
        self.spec.store(std::sync::Arc::new(spec.clone()));
        self.exempt.store(std::sync::Arc::new(exempt));
    }

    /// Counts a fact against a caller, told by its subject where it has one. Tells whose standing has risen by it.
    pub fn count(&self, fact: Fact, client: IpAddr, subject: Option<&str>, now: Now) -> Vec<Risen> {
        let spec = self.spec.load();
        let points = spec.points.get(fact.place()).copied().unwrap_or(0);
        if !spec.enabled || points == 0 {
            return Vec::new();
        }
        let mut risen = Vec::new();
        for party in self.parties(&spec, client, subject).into_iter().flatten() {
            // What is no further fact of an address is none of its subnet.
            let Counted::Yes(step) = self.add(&spec, party, (fact, points), now) else { break };
            risen.extend(step);
        }
        risen
    }

    /// What the score of a caller has led to.
    #[must_use]
    pub fn standing(&self, client: IpAddr, subject: Option<&str>, now: Now) -> Standing {
        let spec = self.spec.load();
        if !spec.enabled {
            return Standing::Clear;
        }
        let standing = |party: Party<'_>| {
            let hash = self.hash(party);
            let times = times(&spec, party);
            self.shard(hash)
                .find(hash)
                .map_or(Standing::Clear, |entry| judged(&spec, entry.score.total(spec.half_life, millis(now)), times))
        };
        self.parties(&spec, client, subject).into_iter().flatten().map(standing).max().unwrap_or_default()
    }

    /// Who answers for a caller's acts. Without a subject, its address and its subnet, unless they are exempt.
    fn parties<'a>(&self, spec: &Reputation, client: IpAddr, subject: Option<&'a str>) -> [Option<Party<'a>>; 2] {
        let user = subject.map(Party::User);
        if user.is_some() && !spec.addresses_of_users {
            return [user, None];
        }
        let client = client.to_canonical();
        let (own, around) = if client.is_ipv6() { (spec.ipv6_prefix, SUBNET_V6) } else { (32, SUBNET_V4) };
        let net = |length: u8| IpNet::new(client, length).ok().map(|net| net.trunc());
        let exempt = self.exempt.load();
        if exempt.iter().any(|exempt| exempt.contains(&client)) {
            return [user, None];
        }
        if user.is_some() {
            return [user, net(own).map(Party::Address)];
        }
        // A subnet is not answerable for its honest part where the operator vouches for some of it.
        let vouched = |net: &IpNet| exempt.iter().any(|exempt| exempt.contains(net) || net.contains(exempt));
        let subnet = net(around).filter(|net| spec.subnet_times.is_some() && !vouched(net));
        [net(own).map(Party::Address), subnet.map(Party::Subnet)]
    }

    fn add(&self, spec: &Reputation, party: Party<'_>, (fact, points): (Fact, u32), now: Now) -> Counted {
        let hash = self.hash(party);
        let now_ms = millis(now);
        let times = times(spec, party);
        let mut shard = self.shard(hash);
        let Some(entry) = shard.find_or_admit(hash, now_ms) else { return Counted::Yes(None) };
        if fact.is_burst() && !matches!(party, Party::Subnet(_)) {
            // A clock that went back is no reason to wait for it.
            if entry.burst_ms > now_ms && entry.burst_ms <= now_ms.saturating_add(1000) {
                return Counted::Again;
            }
            entry.burst_ms = now_ms.saturating_add(1000);
        }
        entry.score.add(fact, points, spec.half_life, now_ms);
        if self.common {
            entry.note(exchange::name(party), fact, points, spec, now_ms);
            if !entry.telling {
                entry.telling = lock(&self.telling).push(entry.name, || target(party));
            }
        }
        let step = entry.weigh(spec, times, now_ms);
        drop(shard);
        let risen = step.and_then(|step| Some(self.rise(spec, hash, target(party)?, times, step, now)));
        Counted::Yes(risen)
    }

    /// Orders what a step has earned, and says why.
    pub(super) fn rise(
        &self,
        spec: &Reputation,
        hash: u128,
        target: Target,
        times: u32,
        step: Step,
        now: Now,
    ) -> Risen {
        let detail = words(spec, &step.score, step.to, times, millis(now));
        if let Some(was_ordered) = step.orders
            && !self.order(spec, &target, &detail, now)
            && let Some(entry) = self.shard(hash).find(hash)
        {
            // It is ordered with the next fact.
            entry.ordered_until_ms = was_ordered;
        }
        self.name(hash, &target);
        Risen { target, to: step.to, detail }
    }

    fn order(&self, spec: &Reputation, target: &Target, detail: &str, now: Now) -> bool {
        let reason: String = detail.chars().filter(|c| !c.is_control()).collect();
        let reason = reason.get(..REASON_BYTES_MAX).unwrap_or(&reason);
        let Ok(block) = Block::ban(target.clone(), spec.ban_for, reason, now.unix_millis()) else { return true };
        let mut orders = lock(&self.orders);
        let room = orders.len() < ORDERS_MAX;
        if room {
            orders.push(block);
        }
        room
    }

    /// Orders that the credentials of a user end, or a ban, for `ban_for`. False while too many orders wait.
    pub fn order_user(&self, subject: &str, banned: bool, reason: &str, now: Now) -> bool {
        let spec = self.spec.load();
        let Ok(target) = Target::parse("user", subject) else { return false };
        let make = if banned { Block::ban } else { Block::revocation };
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON_BYTES_MAX / 4).collect();
        let Ok(block) = make(target, spec.ban_for, &reason, now.unix_millis()) else { return false };
        let mut orders = lock(&self.orders);
        let room = orders.len() < ORDERS_MAX;
        if room {
            orders.push(block);
        }
        room
    }

    /// Bans that scores have earned since the last call.
    pub fn take_orders(&self) -> Vec<Block> {
        std::mem::take(&mut *lock(&self.orders))
    }

    /// Forgets what speaks against a source: an operator has lifted its ban.
    pub fn forgive(&self, lifted: &Target) {
        let mut named = lock(&self.named);
        let hit = |target: &Target| match (lifted, target) {
            (Target::Network(lifted), Target::Network(net)) => lifted.contains(net) || net.contains(lifted),
            (lifted, target) => lifted == target,
        };
        let lost: Vec<u128> = named.extract_if(.., |(_, target)| hit(target)).map(|(hash, _)| hash).collect();
        drop(named);
        // Its own, also where only other nodes have named it.
        let own =
            exchange::names_of(lifted, self.spec.load().ipv6_prefix).map(|name| name.map(|name| self.place(name)));
        for hash in lost.into_iter().chain(own.into_iter().flatten()) {
            let forgotten = self.shard(hash).find(hash).map(std::mem::take);
            if let Some(name) = forgotten.map(|entry| entry.name).filter(|name| *name != 0) {
                lock(&self.telling).forget(name);
            }
        }
    }

    /// Remembers the name of a source with a standing; of more than [`NAMED_MAX`] the earliest leave.
    fn name(&self, hash: u128, target: &Target) {
        let mut named = lock(&self.named);
        if named.iter().any(|(held, _)| *held == hash) {
            return;
        }
        if named.len() >= NAMED_MAX {
            named.remove(0);
        }
        named.push((hash, target.clone()));
    }

    /// Sources with a standing, at most [`NAMED_MAX`], the highest score first.
    #[must_use]
    pub fn scored(&self, now: Now) -> Vec<Scored> {
        let (spec, now_ms) = (self.spec.load(), millis(now));
        let named: Vec<(u128, Target)> = lock(&self.named).clone();
        let mut found: Vec<Scored> = Vec::new();
        for (hash, target) in named {
            let Some(entry) = self.shard(hash).find(hash).copied() else { continue };
            let subnet = matches!(&target, Target::Network(net) if is_subnet(net));
            let times = if subnet { spec.subnet_times.unwrap_or(1) } else { 1 };
            let score = entry.score.total(spec.half_life, now_ms);
            let standing = if entry.ordered_until_ms > now_ms { Standing::Banned } else { judged(&spec, score, times) };
            if standing > Standing::Clear {
                let facts = entry.score.facts(spec.half_life, now_ms);
                let facts = facts.into_iter().map(|(fact, points)| (fact.label(), points)).collect();
                found.push(Scored { target, standing, score, facts });
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }

    /// Scores that are worth remembering, at most [`KEPT_MAX`], the highest first.
    #[must_use]
    pub fn kept(&self, now: Now) -> Vec<Kept> {
        let (spec, now_ms) = (self.spec.load(), millis(now));
        let mut kept = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let live = shard.hashed_entries().filter(|(_, entry)| entry.protected_ms > now_ms);
            kept.extend(live.map(|(hash, entry)| (hash, entry.score.at(spec.half_life, now_ms).parts().0)));
        }
        let total = |(_, points): &Kept| points.iter().sum::<f32>();
        kept.sort_by(|a, b| total(b).total_cmp(&total(a)));
        kept.truncate(KEPT_MAX);
        kept
    }

    /// Puts scores of an earlier run in force, as they have faded since. Whom they banned stands on the blocklist.
    pub fn restore(&self, kept: impl IntoIterator<Item = Kept>, away: std::time::Duration, now: Now) {
        let (spec, now_ms) = (self.spec.load(), millis(now));
        let away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        for (hash, points) in kept.into_iter().take(KEPT_MAX) {
            let score = Score::from_parts(points, 0).at(spec.half_life, away_ms);
            let score = Score::from_parts(score.parts().0, now_ms);
            if let Some(entry) = self.shard(hash).find_or_admit(hash, now_ms) {
                entry.score = score;
                entry.standing = judged(&spec, score.total(spec.half_life, now_ms), 1);
                entry.idle_ms = score.fades_to(FORGOTTEN_BELOW, spec.half_life);
                entry.protected_ms = score.fades_to(points_of(spec.suspicious, 1) / 2.0, spec.half_life);
            }
        }
    }

    /// Sources that something is remembered of.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn hash(&self, party: Party<'_>) -> u128 {
        self.place(exchange::name(party))
    }

    /// Where the source of a name is kept.
    pub(super) fn place(&self, name: u128) -> u128 {
        exchange::hash(name, self.seed)
    }

    pub(super) fn spec(&self) -> std::sync::Arc<Reputation> {
        self.spec.load_full()
    }

    pub(super) fn telling(&self) -> &Mutex<Telling> {
        &self.telling
    }

    /// Looks at the entry of a name, or changes it.
    pub(super) fn entry<T>(&self, name: u128, look: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let hash = self.place(name);
        self.shard(hash).find(hash).map(look)
    }

    /// Shows every entry.
    pub(super) fn each_entry(&self, mut show: impl FnMut(&Entry)) {
        for shard in &self.shards {
            lock(shard).entries().for_each(&mut show);
        }
    }

    pub(super) fn shard(&self, hash: u128) -> MutexGuard<'_, Table<Entry>> {
        let [first, rest @ ..] = &self.shards;
        let at = usize::try_from(hash >> 96).unwrap_or(0) % SHARDS;
        lock(at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first))
    }
}

fn is_subnet(net: &IpNet) -> bool {
    net.prefix_len() == if net.addr().is_ipv6() { SUBNET_V6 } else { SUBNET_V4 }
}

/// A subnet's thresholds are so many times an address's.
fn times(spec: &Reputation, party: Party<'_>) -> u32 {
    if matches!(party, Party::Subnet(_)) { spec.subnet_times.unwrap_or(1) } else { 1 }
}

pub(super) fn points_of(threshold: u32, times: u32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "thresholds are far below 2^24")]
    let points = threshold.saturating_mul(times) as f32;
    points
}

fn judged(spec: &Reputation, total: f32, times: u32) -> Standing {
    // Sums of fading points are rounded: a threshold of five is reached by five of one point at once.
    let reaches = |threshold: u32| total >= points_of(threshold, times) - 0.01;
    if spec.ban.is_some_and(reaches) {
        Standing::Banned
    } else if spec.slow.is_some_and(reaches) {
        Standing::Slowed
    } else if reaches(spec.suspicious) {
        Standing::Suspicious
    } else {
        Standing::Clear
    }
}

fn words(spec: &Reputation, score: &Score, reached: Standing, times: u32, now_ms: u64) -> String {
    let total = score.total(spec.half_life, now_ms);
    let threshold = match reached {
        Standing::Banned => spec.ban,
        Standing::Slowed => spec.slow,
        Standing::Suspicious | Standing::Clear => Some(spec.suspicious),
    };
    let of = threshold.unwrap_or_default().saturating_mul(times);
    format!("score {total:.0} of {of}: {}", score.words(spec.half_life, now_ms))
}

pub(super) fn target(party: Party<'_>) -> Option<Target> {
    match party {
        Party::Address(net) | Party::Subnet(net) => Some(Target::Network(net)),
        Party::User(subject) => {
            let fits = subject.len() <= VALUE_BYTES_MAX && !subject.chars().any(char::is_control);
            fits.then(|| Target::User(subject.to_owned()))
        }
    }
}

pub(super) fn millis(now: Now) -> u64 {
    u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A score is whole after every statement, so a poisoned one is still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scores").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "scores_tests.rs"]
mod tests;
