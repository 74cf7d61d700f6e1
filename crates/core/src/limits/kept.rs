//! What of the ladder's standings outlives a restart (SPEC 6.3): how long each sender still waits, and its step.
//!
//! Decides nothing: numbers out, numbers in. Keys are hashes with a seed that must be the same again.

use std::sync::atomic::Ordering;

use super::ladder::Standing;
use super::ledger::{Kept as What, Ledger};

/// Standings kept at most; those that wait longest first.
pub const KEPT_MAX: usize = 10_000;

/// A standing as it is kept: what is left of its wait, and its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptStanding {
    /// The hash of its party.
    pub hash: u128,
    /// What is left of the wait, milliseconds; below zero it ended so long ago.
    pub left_ms: i64,
    /// The step.
    pub step: u64,
    /// Good conduct of so long walks one step back, milliseconds.
    pub forgive_ms: u64,
}

impl Ledger {
    /// The standings that are worth remembering, at most [`KEPT_MAX`].
    #[must_use]
    pub fn kept_standings(&self, now_nanos: u64) -> Vec<KeptStanding> {
        let now_ms = now_nanos / 1_000_000;
        let mut kept = Vec::new();
        self.each_entry(|hash, what, counter| {
            let What::Conduct { forgive_ms } = what else { return };
            let [_, standing] = counter.words();
            let Standing { until_ms, step } = Standing::of(standing.load(Ordering::Relaxed));
            if until_ms.saturating_add(forgive_ms.saturating_mul(step)) > now_ms {
                let left_ms = until_ms.cast_signed().saturating_sub(now_ms.cast_signed());
                kept.push(KeptStanding { hash, left_ms, step, forgive_ms });
            }
        });
        kept.sort_by_key(|standing| std::cmp::Reverse(standing.left_ms));
        kept.truncate(KEPT_MAX);
        kept
    }

    /// Puts standings in force again after so long; what good conduct has walked back meanwhile is walked back.
    pub fn restore_standings(&self, kept: &[KeptStanding], away_ms: u64, now_nanos: u64) {
        let now_ms = now_nanos / 1_000_000;
        for standing in kept.iter().take(KEPT_MAX) {
            let left = standing.left_ms.saturating_sub_unsigned(away_ms);
            let clean = left.min(0).unsigned_abs();
            let step = standing.step.min(0xFF).saturating_sub(clean / standing.forgive_ms.max(1));
            if step == 0 {
                continue;
            }
            let until_ms = now_ms.saturating_add(left.max(0).unsigned_abs());
            let forgive_ms = standing.forgive_ms;
            self.put_conduct(standing.hash, forgive_ms, Standing { until_ms, step }.bits(), now_nanos);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Party;
    use crate::limits::ladder::of_three_steps as ladder;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_wait_goes_on_after_a_restart_and_good_conduct_meanwhile_counts() {
        let ladder = ladder();
        let before = Ledger::new(64, [1, 2]);
        let counter = before.conduct(&ladder, Party::User("mallory"), SECOND).unwrap();
        for _ in 0..2 {
            ladder.offence(&counter, SECOND);
        }
        assert_eq!(ladder.waiting(&counter, SECOND), Some(Duration::from_secs(5)));
        let kept = before.kept_standings(2 * SECOND);
        assert_eq!((kept.len(), kept[0].left_ms, kept[0].step), (1, 4000, 1));
        for (away_ms, left) in [(0, Some(4)), (3000, Some(1)), (10_000, None)] {
            let after = Ledger::new(64, [1, 2]);
            after.restore_standings(&kept, away_ms, SECOND / 2);
            let counter = after.conduct(&ladder, Party::User("mallory"), SECOND / 2).unwrap();
            let waiting = ladder.waiting(&counter, SECOND / 2).map(|left| left.as_secs());
            assert_eq!(waiting, left, "{away_ms}");
            let next = (0..2).find_map(|_| ladder.offence(&counter, 400 * SECOND)).unwrap();
            assert_eq!(next.step, 2, "the ladder goes on where it was");
        }
        let long_after = Ledger::new(64, [1, 2]);
        long_after.restore_standings(&kept, 700_000, SECOND);
        assert!(long_after.is_empty(), "ten minutes of good conduct");
        let other_seed = Ledger::new(64, [3, 4]);
        other_seed.restore_standings(&kept, 0, SECOND);
        let counter = other_seed.conduct(&ladder, Party::User("mallory"), SECOND).unwrap();
        assert_eq!(ladder.waiting(&counter, SECOND), None, "a hash of another seed names nobody");
    }
}
