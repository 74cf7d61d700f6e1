//! Scores over several nodes (SPEC 7.1): each node tells what it counted against whom, and hears what all have.
//!
//! Where nodes meet there is one sum of a source. A node adds to it what it counted since it last did, and raises its own
//! score to the sum, so that a source which spreads its failures over nodes is seen as one. Whoever tells last knows the
//! source by name and orders what the sum has earned. Never on a message's way, never lowers a score: lifting a ban does,
//! on every node. Names are digests, the same on every node.
//!
//! Bounded: at most [`TELLING_MAX`] sources wait to be told; what finds no room is told with its next fact. Of sources
//! that a node never saw it takes those with half of `suspicious` or more. Tests: below, with nodes in virtual time.

use std::hash::Hash as _;

use ipnet::IpNet;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::block::Target;
use super::fact::FACTS;
use super::score::Score;
use super::scores::{Entry, Party, Risen, SUBNET_V4, SUBNET_V6, Scores, lock, millis, points_of};
use crate::identity::cache::digest;
use crate::policy::checked::Reputation;
use crate::time::Now;

/// Sources that wait to be told at most.
pub const TELLING_MAX: usize = 16_384;
/// Sources whose scores were lifted and nobody was told.
const FORGOTTEN_MAX: usize = 1024;
/// Points below this are not worth a word.
const TOLD_FROM: f32 = 0.01;

/// Points by fact.
pub type Points = [f32; FACTS];

/// What a node says of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Names it, the same on every node.
    pub name: u128,
    /// What is said.
    pub act: Act,
    target: Option<Target>,
}

impl Told {
    /// A word on a source that is known by its name only.
    #[must_use]
    pub const fn new(name: u128, act: Act) -> Self {
        Self { name, act, target: None }
    }
}

/// See [`Told`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// So many points came to it.
    Add(Points),
    /// It has at least so many: where nodes meet, the sum was lost.
    Raise(Points),
    /// What spoke against it is forgiven.
    Forget,
}

/// What all nodes have against a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Names it.
    pub name: u128,
    /// Its points at present.
    pub points: Points,
}

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    sources: Vec<(u128, Option<Target>)>,
    forgotten: Vec<u128>,
}

impl Telling {
    /// Whether there is room for it.
    pub(super) fn push(&mut self, name: u128, target: impl FnOnce() -> Option<Target>) -> bool {
        let room = self.sources.len() < TELLING_MAX;
        if room {
            self.sources.push((name, target()));
        }
        room
    }

    pub(super) fn forget(&mut self, name: u128) {
        if self.forgotten.len() < FORGOTTEN_MAX && !self.forgotten.contains(&name) {
            self.forgotten.push(name);
        }
    }
}

/// 128 bits of SHA-256 over a party: nobody can make two meet, and all nodes say the same. The last bit tells subnets,
/// whose thresholds are others.
pub(super) fn name(party: Party<'_>) -> u128 {
    let (kind, text) = match party {
        Party::Address(net) => (b'a', net.to_string()),
        Party::Subnet(net) => (b's', net.to_string()),
        Party::User(subject) => (b'u', subject.to_owned()),
    };
    let digest = digest(&[&[kind], text.as_bytes()].concat());
    let (half, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    let name = u128::from_be_bytes(*half) & !1;
    if matches!(party, Party::Subnet(_)) { name | 1 } else { name.max(2) }
}

/// Where a name is kept: who shares a place cannot be computed from outside.
pub(super) fn hash(name: u128, [first, second]: [u64; 2]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(first, second);
    name.hash(&mut hasher);
    hasher.finish128().as_u128()
}

fn times(spec: &Reputation, name: u128) -> u32 {
    if name & 1 == 1 { spec.subnet_times.unwrap_or(1) } else { 1 }
}

impl Scores {
    /// What is to be told, at most so many words. The same again until it is [`settle`](Self::settle)d.
    #[must_use]
    pub fn tell(&self, words_max: usize, now: Now) -> Vec<Told> {
        let (spec, now_ms) = (self.spec(), millis(now));
        let (forgotten, sources) = {
            let telling = lock(self.telling());
            let forgotten: Vec<u128> = telling.forgotten.iter().take(words_max).copied().collect();
            let room = words_max.saturating_sub(forgotten.len());
            (forgotten, telling.sources.iter().take(room).cloned().collect::<Vec<_>>())
        };
        let forget = |name| Told::new(name, Act::Forget);
        let mut told: Vec<Told> = forgotten.into_iter().map(forget).collect();
        for (name, target) in sources {
            // One that was forgotten for others is told of no more, and still settled.
            let points =
                self.entry(name, |entry| entry.untold.at(spec.half_life, now_ms).parts().0).unwrap_or_default();
            told.push(Told { name, act: Act::Add(points), target });
        }
        told
    }

    /// The scores that are worth telling a meeting place that has lost its memory, at most so many.
    #[must_use]
    pub fn tell_all(&self, words_max: usize, now: Now) -> Vec<Told> {
        let (spec, now_ms) = (self.spec(), millis(now));
        let mut told = Vec::new();
        self.each_entry(|entry| {
            if entry.name != 0 && entry.protected_ms > now_ms && told.len() < words_max {
                let untold = entry.untold.at(spec.half_life, now_ms).parts().0;
                let mut points = entry.score.at(spec.half_life, now_ms).parts().0;
                points.iter_mut().zip(untold).for_each(|(held, untold)| *held = (*held - untold).max(0.0));
                told.push(Told::new(entry.name, Act::Raise(points)));
            }
        });
        told
    }

    /// What was told arrived, and this is what all have. Tells whose standing has risen by it, of those that this node
    /// told of: one node speaks for all.
    pub fn settle(&self, told: Vec<Told>, heard: &[Heard], now: Now) -> Vec<Risen> {
        let (spec, now_ms) = (self.spec(), millis(now));
        self.arrived(&told, &spec, now_ms);
        let mut by_name: std::collections::HashMap<u128, Target> =
            told.into_iter().filter_map(|told| Some((told.name, told.target?))).collect();
        let forgotten = lock(self.telling()).forgotten.clone();
        let mut risen = Vec::new();
        for heard in heard.iter().filter(|heard| !forgotten.contains(&heard.name)) {
            risen.extend(self.hear(&spec, heard, by_name.remove(&heard.name), now));
        }
        risen
    }

    fn arrived(&self, told: &[Told], spec: &Reputation, now_ms: u64) {
        let mut again = Vec::new();
        for told in told {
            let Act::Add(points) = told.act else { continue };
            let left = self.entry(told.name, |entry| {
                let mut left = entry.untold.at(spec.half_life, now_ms).parts().0;
                left.iter_mut().zip(points).for_each(|(held, told)| *held = (*held - told).max(0.0));
                entry.untold = Score::from_parts(left, now_ms);
                entry.telling = left.iter().sum::<f32>() >= TOLD_FROM;
                entry.telling
            });
            if left == Some(true) {
                again.push((told.name, told.target.clone()));
            }
        }
        let mut telling = lock(self.telling());
        let gone: std::collections::HashSet<u128> = told.iter().map(|told| told.name).collect();
        telling.sources.retain(|(name, _)| !gone.contains(name));
        telling.sources.extend(again);
        let forgot = |name: &u128| told.iter().any(|told| told.name == *name && told.act == Act::Forget);
        telling.forgotten.retain(|name| !forgot(name));
    }

    fn hear(&self, spec: &Reputation, heard: &Heard, target: Option<Target>, now: Now) -> Option<Risen> {
        let (hash, times, now_ms) = (self.place(heard.name), times(spec, heard.name), millis(now));
        let sum = Score::from_parts(heard.points, now_ms);
        let mut shard = self.shard(hash);
        let worth = sum.total(spec.half_life, now_ms) >= points_of(spec.suspicious, times) / 2.0;
        let known = shard.find(hash).is_some();
        let entry = if known || worth { shard.find_or_admit(hash, now_ms)? } else { return None };
        entry.name = heard.name;
        // What was counted here meanwhile comes on top.
        let untold = entry.untold.at(spec.half_life, now_ms).parts().0;
        let held = entry.score.at(spec.half_life, now_ms).parts().0;
        let all = std::array::from_fn(|fact| {
            let part = |points: &Points| points.get(fact).copied().unwrap_or(0.0);
            part(&held).max(part(&sum.parts().0) + part(&untold))
        });
        entry.score = Score::from_parts(all, now_ms);
        let Some(target) = target else {
            entry.stand(spec, times, now_ms);
            return None;
        };
        let step = entry.weigh(spec, times, now_ms)?;
        drop(shard);
        Some(self.rise(spec, hash, target, times, step, now))
    }
}

impl Entry {
    /// Counts points that nobody was told of.
    pub(super) fn note(&mut self, name: u128, fact: super::Fact, points: u32, spec: &Reputation, now_ms: u64) {
        self.name = name;
        self.untold.add(fact, points, spec.half_life, now_ms);
    }
}

/// The names by which all nodes know a target's own score.
pub(super) fn names_of(lifted: &Target, ipv6_prefix: u8) -> [Option<u128>; 2] {
    match lifted {
        Target::User(subject) => [Some(name(Party::User(subject))), None],
        Target::Network(net) => {
            let (own, around) = if net.addr().is_ipv6() { (ipv6_prefix, SUBNET_V6) } else { (32, SUBNET_V4) };
            let address = IpNet::new(net.addr(), own).ok().filter(|_| net.prefix_len() >= own);
            let subnet = Some(*net).filter(|net| net.prefix_len() == around);
            [address.map(|net| name(Party::Address(net.trunc()))), subnet.map(|net| name(Party::Subnet(net)))]
        }
        _ => [None, None],
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
