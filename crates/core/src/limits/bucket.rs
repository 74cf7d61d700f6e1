//! Token bucket by the generic cell rate algorithm (ITU-T I.371): one instant is the whole state.
//!
//! Decides whether an event fits a rate refilled evenly, with a burst. Never lets more than
//! `burst + rate × time` through in any span, whatever the clock does: when time runs backwards a key
//! waits at most one full refill longer. Tests: below, against tokens counted as fractions.

use std::time::Duration;

use super::exchange::DEBT_MAX;
use super::{Allowance, LimitState, nanos};
use crate::policy::checked::Factor;

/// A compiled token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds that one event costs; rounded up, so the rate is never exceeded.
    emission: u64,
    /// Nanoseconds of credit in a full bucket.
    depth: u64,
    /// Events in a full bucket.
    burst: u32,
}

impl Bucket {
    /// `count` events per `per`, `burst` of them at once. Zeros are read as 1 (one nanosecond for `per`).
    #[must_use]
    pub fn new(count: u32, per: Duration, burst: u32) -> Self {
        let emission = nanos(per).max(1).div_ceil(u64::from(count.max(1)));
        let burst = burst.max(1);
        Self { emission, depth: emission.saturating_mul(u64::from(burst)), burst }
    }

    /// Rate and burst so many times as high; the burst stays at least 1.
    pub(super) fn scaled(&self, by: Factor) -> Self {
        let emission = by.divide(self.emission).max(1);
        let burst = by.multiply(self.burst).max(1);
        Self { emission, depth: emission.saturating_mul(u64::from(burst)), burst }
    }

    /// Events in a full bucket.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// From empty to full.
    #[must_use]
    pub fn refill(&self) -> Duration {
        Duration::from_nanos(self.depth)
    }

    /// Takes `cost` from the bucket when it holds that much.
    pub fn check(&self, state: &mut LimitState, now: u64, cost: u32) -> Allowance {
        // More than a full bucket can only come from a clock that went back. It is forgotten at once, or the key
        // would wait until the clock is back where it was.
        self.check_owing(state, now, cost, 1)
    }

    /// The same where so many full buckets may be owed.
    pub(super) fn check_owing(&self, state: &mut LimitState, now: u64, cost: u32, debt_max: u64) -> Allowance {
        state.at = state.at.min(now.saturating_add(self.depth.saturating_mul(debt_max)));
        // Credit used, in nanoseconds.
        let used = state.at.saturating_sub(now);
        let wanted = used.saturating_add(self.emission.saturating_mul(u64::from(cost)));
        if wanted > self.depth {
            let missing = if cost > self.burst { used } else { wanted - self.depth };
            return Allowance {
                allowed: false,
                retry_after: Duration::from_nanos(missing),
                remaining: self.whole_events(used),
            };
        }
        state.at = now.saturating_add(wanted);
        Allowance { allowed: true, retry_after: Duration::ZERO, remaining: self.whole_events(wanted) }
    }

    /// What one event takes of the depth, nanoseconds.
    #[must_use]
    pub fn emission_nanos(&self) -> u64 {
        self.emission
    }

    /// Charges nanoseconds of credit that were let through elsewhere; what is owed in all. More than a full bucket may
    /// be owed, up to [`DEBT_MAX`] of them.
    pub(super) fn charge(&self, state: &mut LimitState, now: u64, amount: u64) -> u64 {
        let most = self.depth.saturating_mul(DEBT_MAX);
        let owed = state.at.saturating_sub(now).saturating_add(amount).min(most);
        state.at = now.saturating_add(owed);
        owed
    }

    /// Gives an event back that was counted and did not come to be.
    pub(super) fn give_back(&self, state: &mut LimitState, cost: u32) {
        state.at = state.at.saturating_sub(self.emission.saturating_mul(u64::from(cost)));
    }

    pub(super) fn penalty_until(&self, state: &LimitState) -> u64 {
        state.at.saturating_sub(self.depth / 2)
    }

    fn whole_events(&self, used: u64) -> u32 {
        u32::try_from(self.depth.saturating_sub(used) / self.emission).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_at_once_then_one_per_emission() {
        let bucket = Bucket::new(10, Duration::from_secs(1), 3);
        let mut state = LimitState::default();
        for left in [2, 1, 0] {
            let allowance = bucket.check(&mut state, SECOND, 1);
            assert!(allowance.allowed);
            assert_eq!(allowance.remaining, left);
        }
        let refused = bucket.check(&mut state, SECOND, 1);
        assert_eq!((refused.allowed, refused.retry_after), (false, Duration::from_millis(100)));
        assert!(!bucket.check(&mut state, SECOND + 99_999_999, 1).allowed);
        assert!(bucket.check(&mut state, SECOND + 100_000_000, 1).allowed);
    }

    #[test]
    fn a_cost_above_the_burst_never_fits_and_changes_nothing() {
        let bucket = Bucket::new(10, Duration::from_secs(1), 3);
        let mut state = LimitState::default();
        assert!(!bucket.check(&mut state, 0, 4).allowed);
        assert!(bucket.check(&mut state, 0, 3).allowed);
    }

    #[test]
    fn a_clock_that_goes_back_costs_at_most_one_refill() {
        let bucket = Bucket::new(1, Duration::from_secs(1), 1);
        let mut state = LimitState::default();
        assert!(bucket.check(&mut state, 1_000_000 * SECOND, 1).allowed);
        let refused = bucket.check(&mut state, 5, 1);
        assert!(!refused.allowed);
        assert!(refused.retry_after <= Duration::from_secs(1));
        assert!(bucket.check(&mut state, 5 + SECOND, 1).allowed);
    }

    #[test]
    fn a_scaled_bucket_keeps_what_was_used_in_proportion() {
        let bucket = Bucket::new(10, Duration::from_secs(1), 10);
        let (double, tenth) = (bucket.scaled(Factor::from_permille(2000)), bucket.scaled(Factor::from_permille(10)));
        assert_eq!((double.burst(), tenth.burst()), (20, 1), "never less than one");
        let mut state = LimitState::default();
        assert!(bucket.check(&mut state, SECOND, 5).allowed);
        assert_eq!(double.check(&mut state, SECOND, 0).remaining, 10, "half is left of either");
    }

    #[test]
    fn the_ends_of_every_number_are_survived() {
        for (count, per, burst) in
            [(1, Duration::MAX, u32::MAX), (u32::MAX, Duration::from_nanos(1), 1), (0, Duration::ZERO, 0)]
        {
            let bucket = Bucket::new(count, per, burst);
            let mut state = LimitState::default();
            for now in [0, u64::MAX, 1, u64::MAX / 2] {
                for cost in [0, 1, u32::MAX] {
                    let _ = bucket.check(&mut state, now, cost);
                }
            }
        }
    }

    /// The obvious model: tokens as an exact fraction (numerator over `emission`), refilled by elapsed time.
    struct Model {
        emission: u128,
        capacity: u128,
        credit: u128,
        last: u64,
    }

    impl Model {
        fn check(&mut self, now: u64, cost: u32) -> bool {
            self.credit = (self.credit + u128::from(now - self.last)).min(self.capacity);
            self.last = now;
            let price = self.emission * u128::from(cost);
            let allowed = price <= self.credit;
            if allowed {
                self.credit -= price;
            }
            allowed
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_tokens_counted_one_by_one(
            count in 1u32..200, per_ms in 1u64..5000, burst in 1u32..50,
            steps in prop::collection::vec((0u64..400_000_000, 0u32..4), 1..200),
        ) {
            let bucket = Bucket::new(count, Duration::from_millis(per_ms), burst);
            let emission = u128::from((per_ms * 1_000_000).div_ceil(u64::from(count)));
            let capacity = emission * u128::from(burst);
            let mut model = Model { emission, capacity, credit: capacity, last: SECOND };
            let mut state = LimitState::default();
            let mut now = SECOND;
            for (step, cost) in steps {
                now += step;
                let allowance = bucket.check(&mut state, now, cost);
                prop_assert_eq!(allowance.allowed, model.check(now, cost));
                prop_assert_eq!(u128::from(allowance.remaining), model.credit / emission);
                if !allowance.allowed && cost <= burst {
                    let wait = nanos(allowance.retry_after);
                    let mut early = state;
                    prop_assert!(!bucket.check(&mut early, now + wait - 1, cost).allowed);
                    let mut on_time = state;
                    prop_assert!(bucket.check(&mut on_time, now + wait, cost).allowed);
                }
            }
        }
    }
}
