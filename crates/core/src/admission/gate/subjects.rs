//! Failed authentications by the subject that their credentials name (SPEC 3.9): guesses at one user from many addresses.
//!
//! What a credential names before it is verified is anybody's word. So it is only counted, and past the rate it only makes
//! wait; it never bans, and is nobody's subject. The table is bounded as that of addresses is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Gate, lock, pick};
use crate::limits::LimitState;
use crate::limits::table::Tracked;
use crate::time::Now;

/// What is remembered of a subject.
#[derive(Debug, Default)]
pub(super) struct Guessed {
    failed: LimitState,
    idle_at: u64,
    penalty_until: u64,
}

impl Tracked for Guessed {
    fn idle_at(&self, _: u64) -> u64 {
        self.idle_at
    }

    fn is_protected(&self, now: u64) -> bool {
        self.penalty_until > now
    }
}

impl Gate {
    /// Whether failures are counted by subject at all.
    pub(in crate::admission) fn counts_subjects(&self) -> bool {
        self.settings.load().failed_by_subject.is_some()
    }

    /// Whether failures of any subject are still remembered.
    pub(in crate::admission) fn any_guessed(&self, now: Now) -> bool {
        now.mono_nanos() < self.guessed_until.load(Ordering::Relaxed)
    }

    /// How long credentials that name a subject wait, if too many of them failed.
    pub(in crate::admission) fn guessed_at(&self, subject: &str, now: Now) -> Option<Duration> {
        let limit = self.settings.load().failed_by_subject?;
        let hash = self.user_hash("", subject);
        let mut untouched = lock(pick(&self.subjects, hash)).find(hash)?.failed;
        let allowance = limit.check(&mut untouched, now.mono_nanos(), 1);
        (!allowance.allowed).then_some(allowance.retry_after)
    }

    /// Counts a credential that named a subject and did not prove it.
    pub(in crate::admission) fn failed_as(&self, subject: &str, now: Now) {
        let Some(limit) = self.settings.load().failed_by_subject else { return };
        let hash = self.user_hash("", subject);
        let now = now.mono_nanos();
        let mut shard = lock(pick(&self.subjects, hash));
        let Some(entry) = shard.find_or_admit(hash, now) else { return };
        limit.check(&mut entry.failed, now, 1);
        entry.idle_at = limit.idle_at(&entry.failed);
        self.guessed_until.fetch_max(entry.idle_at, Ordering::Relaxed);
        entry.penalty_until = limit.penalty_until(&entry.failed);
    }
}
