//! The profiles of many users, in bounded memory, and when they are unusual enough to act (SPEC 7.5).
//!
//! Decides whether the signs of one moment weigh enough. Never acts: it tells the action that the policy names. Where
//! the table is full, whoever was not seen for longest is learned anew.

use std::hash::Hash as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

pub use super::anomaly::KeptProfile;
use super::anomaly::{Arrived, Profile, Rules, Signs};
use super::country::Country;
use crate::limits::table::{Table, Tracked};
use crate::policy::checked::{Anomalies as Spec, AnomalyAction};
use crate::time::Now;

const SHARDS: usize = 16;
/// Whoever was not seen for so long may leave for a newcomer.
const IDLE_MS: u64 = 3_600_000;
/// Profiles kept over a restart, those seen last first: some 3 MB.
pub const PROFILES_KEPT_MAX: usize = 10_000;

impl Tracked for Profile {
    fn idle_at(&self, _: u64) -> u64 {
        self.seen_ms.saturating_add(IDLE_MS)
    }

    fn is_protected(&self, _: u64) -> bool {
        false
    }
}

/// What was unusual, and what the policy says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusual {
    /// What happens.
    pub action: AnomalyAction,
    /// The signs in words, with their weight: `11 times this user's usual rate, new country KP: weight 6 of 4`.
    pub detail: String,
}

/// See the module.
pub struct Anomalies {
    spec: ArcSwap<Spec>,
    shards: [Mutex<Table<Profile>>; SHARDS],
    seed: [u64; 2],
}

impl Anomalies {
    /// Nobody is known.
    #[must_use]
    pub fn new(spec: &Spec, seed: [u64; 2]) -> Self {
        let entries_max = (spec.tracked_max / SHARDS).max(1);
        let shards = std::array::from_fn(|_| Mutex::new(Table::new(entries_max)));
        Self { spec: ArcSwap::from_pointee(spec.clone()), shards, seed }
    }

    /// Takes over another policy's rules; profiles stay.
    pub fn reconfigure(&self, spec: &Spec) {
        for shard in &self.shards {
            lock(shard).resize((spec.tracked_max / SHARDS).max(1));
        }
        self.spec.store(std::sync::Arc::new(spec.clone()));
    }

    /// A user connects from a country, with a client that calls itself so.
    pub fn arrived(&self, subject: &str, country: Option<Country>, agent: Option<&str>, now: Now) -> Option<Unusual> {
        let hour = u8::try_from(now.unix_seconds() / 3600 % 24).unwrap_or(0);
        let agent = agent.map(|agent| u64::try_from(self.hash(agent) & u128::from(u64::MAX)).unwrap_or(0));
        self.judge(subject, now, |profile, rules| profile.arrived(Arrived { hour, country, agent }, rules))
    }

    /// A user has sent so much on one connection in one span of time; `types` has a bit for each type of message.
    pub fn sent(&self, subject: &str, messages: u32, bytes: u64, types: u64, now: Now) -> Option<Unusual> {
        self.judge(subject, now, |profile, rules| profile.sent(messages, bytes, types, rules))
    }

    /// What is usual for whom, at most [`PROFILES_KEPT_MAX`].
    #[must_use]
    pub fn kept(&self, now: Now) -> Vec<KeptProfile> {
        let now_ms = millis(now);
        let mut kept = Vec::new();
        for shard in &self.shards {
            for (hash, profile) in lock(shard).hashed_entries() {
                let halves = [hash >> 64, hash & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0));
                let idle_ms = now_ms.saturating_sub(profile.seen_ms);
                let mut one = profile.kept();
                (one.user, one.idle_ms) = (halves, idle_ms);
                kept.push(one);
            }
        }
        kept.sort_by_key(|profile| profile.idle_ms);
        kept.truncate(PROFILES_KEPT_MAX);
        kept
    }

    /// Goes on with what an earlier run of the same seed has learned.
    pub fn restore(&self, kept: &[KeptProfile], away: std::time::Duration, now: Now) {
        if !self.is_on() {
            return;
        }
        let (now_ms, away_ms) = (millis(now), u64::try_from(away.as_millis()).unwrap_or(u64::MAX));
        for profile in kept.iter().take(PROFILES_KEPT_MAX) {
            let [high, low] = profile.user;
            let hash = u128::from(high) << 64 | u128::from(low);
            let seen_ms = now_ms.saturating_sub(profile.idle_ms.saturating_add(away_ms));
            if let Some(held) = self.shard(hash).find_or_admit(hash, now_ms) {
                *held = Profile::from_kept(profile, seen_ms);
            }
        }
    }

    /// Whether anybody is looked at.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.spec.load().action.is_some()
    }

    /// Users that are known.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn judge(&self, subject: &str, now: Now, step: impl FnOnce(&mut Profile, Rules) -> Signs) -> Option<Unusual> {
        let spec = self.spec.load();
        let action = spec.action?;
        let now_ms = millis(now);
        let hash = self.hash(subject);
        let signs = {
            let mut shard = self.shard(hash);
            let profile = shard.find_or_admit(hash, now_ms)?;
            profile.seen_ms = now_ms;
            step(profile, Rules { learn: spec.learn, over: spec.over })
        };
        let weight: u32 = signs.iter().map(|(weight, _)| weight).sum();
        if weight < spec.threshold {
            return None;
        }
        let words: Vec<&str> = signs.iter().map(|(_, words)| words.as_str()).collect();
        Some(Unusual { action, detail: format!("{}: weight {weight} of {}", words.join(", "), spec.threshold) })
    }

    fn shard(&self, hash: u128) -> MutexGuard<'_, Table<Profile>> {
        let [first, rest @ ..] = &self.shards;
        let at = usize::try_from(hash >> 96).unwrap_or(0) % SHARDS;
        lock(at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first))
    }

    fn hash(&self, text: &str) -> u128 {
        let [first, second] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(first, second);
        text.hash(&mut hasher);
        hasher.finish128().as_u128()
    }
}

fn millis(now: Now) -> u64 {
    u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A profile is whole after every statement, so a poisoned one is still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Anomalies").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spec() -> Spec {
        Spec { action: Some(AnomalyAction::Score), learn: 10, over: 10, threshold: 4, tracked_max: 1000 }
    }

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_700_000_000) }
    }

    #[test]
    fn signs_of_one_moment_are_weighed_together_and_users_apart() {
        let anomalies = Anomalies::new(&spec(), [1, 2]);
        let [de, kp] = ["DE", "KP"].map(Country::in_use);
        for second in 0..20 {
            for user in ["ada", "grace"] {
                assert_eq!(anomalies.arrived(user, de, Some("phone"), at(second)), None);
                assert_eq!(anomalies.sent(user, 5, 500, 1, at(second)), None);
            }
        }
        assert_eq!(anomalies.arrived("grace", de, Some("tablet"), at(21)), None, "a new agent alone is no wonder");
        let unusual = anomalies.arrived("ada", kp, Some("curl"), at(21)).unwrap();
        assert_eq!(unusual.detail, "new country KP, new agent: weight 4 of 4");
        let unusual = anomalies.sent("grace", 60, 600_000, 1, at(22)).unwrap();
        assert!(unusual.detail.contains("12 times this user's usual rate"), "{unusual:?}");
        assert!(unusual.detail.contains("size of messages"), "{unusual:?}");
    }

    #[test]
    fn what_is_usual_for_whom_is_known_after_a_restart() {
        let before = Anomalies::new(&spec(), [1, 2]);
        let [de, kp] = ["DE", "KP"].map(Country::in_use);
        for second in 0..20 {
            before.arrived("ada", de, Some("phone"), at(second));
        }
        before.arrived("grace", de, None, at(500));
        let kept = before.kept(at(600));
        assert_eq!(kept.iter().map(|profile| profile.idle_ms).collect::<Vec<_>>(), [100_000, 581_000]);
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("ada") && !text.contains("phone"), "{text}");
        let kept: Vec<KeptProfile> = serde_json::from_str(&text).unwrap();
        for (seed, known) in [([1, 2], true), ([3, 4], false)] {
            let after = Anomalies::new(&spec(), seed);
            after.restore(&kept, Duration::from_secs(60), at(1));
            assert_eq!(after.arrived("ada", kp, Some("curl"), at(2)).is_some(), known);
        }
    }

    #[test]
    fn inventing_users_takes_no_memory_past_the_bound() {
        let anomalies = Anomalies::new(&spec(), [1, 2]);
        for n in 0..50_000 {
            anomalies.sent(&format!("invented {n}"), 1, 1, 1, at(n));
        }
        assert!(anomalies.tracked() <= 1000);
        let off = Anomalies::new(&Spec { action: None, ..spec() }, [1, 2]);
        assert!(off.sent("ada", 1, 1, 1, at(0)).is_none() && off.tracked() == 0 && !off.is_on());
    }
}
