//! Sliding window in constant memory: two counters, the older weighted by how much of it still overlaps.
//!
//! Decides whether an event fits `count` per window. Assumes that the earlier window's events were spread
//! evenly; the weight is rounded against the caller. A window has no burst of its own: its count is one.
//! When time runs backwards the window stands still, for at most one period. Tests: below, against the
//! formula in exact fractions.

use std::time::Duration;

use super::{Allowance, LimitState, nanos};
use crate::policy::checked::Factor;

/// A compiled sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    count: u32,
    period: u64,
}

impl Window {
    /// `count` events in any span of `per`. Zeros are read as 1 (one nanosecond for `per`).
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        Self { count: count.max(1), period: nanos(per).max(1) }
    }

    /// Events in one window.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A count so many times as high, at least 1.
    pub(super) fn scaled(&self, by: Factor) -> Self {
        Self { count: by.multiply(self.count).max(1), ..*self }
    }

    /// Charges cost that was let through elsewhere; what is used in all.
    pub(super) fn charge(&self, state: &mut LimitState, now: u64, amount: u64) -> u64 {
        *state = self.moved_to(*state, now);
        let elapsed = now.saturating_sub(state.at).min(self.period);
        let current = u64::from(state.current).saturating_add(amount).min(u64::from(u32::MAX));
        state.current = u32::try_from(current).unwrap_or(u32::MAX);
        self.carried(state.previous, elapsed).saturating_add(current)
    }

    /// The count of the present window with which so much is used in all.
    pub(super) fn current_for(&self, state: &LimitState, now: u64, used: u64) -> u32 {
        let elapsed = now.saturating_sub(state.at).min(self.period);
        u32::try_from(used.saturating_sub(self.carried(state.previous, elapsed))).unwrap_or(u32::MAX)
    }

    /// Gives an event back that was counted and did not come to be.
    pub(super) fn give_back(state: &mut LimitState, cost: u32) {
        state.current = state.current.saturating_sub(cost);
    }

    pub(super) fn period_nanos(&self) -> u64 {
        self.period
    }

    /// The window's length.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// Counts `cost` when it fits.
    pub fn check(&self, state: &mut LimitState, now: u64, cost: u32) -> Allowance {
        *state = self.moved_to(*state, now);
        let elapsed = now.saturating_sub(state.at).min(self.period);
        let used = self.carried(state.previous, elapsed).saturating_add(u64::from(state.current));
        let count = u64::from(self.count);
        if used.saturating_add(u64::from(cost)) > count {
            let remaining = u32::try_from(count.saturating_sub(used)).unwrap_or(u32::MAX);
            let retry_after = Duration::from_nanos(self.wait(state, elapsed, cost));
            return Allowance { allowed: false, retry_after, remaining };
        }
        state.current = state.current.saturating_add(cost);
        let remaining = u32::try_from(count - used - u64::from(cost)).unwrap_or(u32::MAX);
        Allowance { allowed: true, retry_after: Duration::ZERO, remaining }
    }

    pub(super) fn idle_at(&self, state: &LimitState) -> u64 {
        let windows = match (state.current, state.previous) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        };
        state.at.saturating_add(self.period.saturating_mul(windows))
    }

    pub(super) fn penalty_until(&self, state: &LimitState) -> u64 {
        let half = u64::from(self.count.div_ceil(2));
        let previous = u64::from(state.previous);
        let current = u64::from(state.current);
        if current >= half {
            // Past its own window it counts for half while half of it, at least, overlaps.
            let overlap = self.share(current - half, current);
            state.at.saturating_add(self.period).saturating_add(overlap)
        } else if previous.saturating_add(current) >= half {
            state.at.saturating_add(self.share(previous + current - half, previous))
        } else {
            0
        }
    }

    /// The state with its windows moved so that `now` lies in the current one.
    fn moved_to(&self, state: LimitState, now: u64) -> LimitState {
        let age = now.saturating_sub(state.at);
        if age >= self.period.saturating_mul(2) {
            return LimitState { at: now, current: 0, previous: 0 };
        }
        if age >= self.period {
            return LimitState { at: state.at.saturating_add(self.period), current: 0, previous: state.current };
        }
        // A start further ahead than a period can only come from a clock that went back.
        LimitState { at: state.at.min(now.saturating_add(self.period)), ..state }
    }

    /// What of the earlier window still counts, rounded up.
    fn carried(&self, previous: u32, elapsed: u64) -> u64 {
        if previous == 0 {
            return 0;
        }
        let overlap = self.period - elapsed;
        // Nearly always it fits 64 bits, which divide several times as fast.
        if let Some(weighted) = u64::from(previous).checked_mul(overlap) {
            return weighted.div_ceil(self.period);
        }
        let weighted = (u128::from(previous) * u128::from(overlap)).div_ceil(u128::from(self.period));
        u64::try_from(weighted).unwrap_or(u64::MAX)
    }

    /// Nanoseconds until `cost` fits.
    fn wait(&self, state: &LimitState, elapsed: u64, cost: u32) -> u64 {
        let to_next = self.period - elapsed;
        let Some(free) = self.count.checked_sub(cost) else {
            return to_next.saturating_add(self.period);
        };
        match free.checked_sub(state.current) {
            Some(room) => self.until_carried_is(state.previous, room).saturating_sub(elapsed),
            None => to_next.saturating_add(self.until_carried_is(state.current, free)),
        }
    }

    /// Time into a window after which at most `room` of `earlier` still counts.
    fn until_carried_is(&self, earlier: u32, room: u32) -> u64 {
        if earlier <= room {
            return 0;
        }
        self.period - self.share(u64::from(room), u64::from(earlier))
    }

    /// `period × part / whole`, rounded down; `part` of 0 whole is the period.
    fn share(&self, part: u64, whole: u64) -> u64 {
        if whole == 0 {
            return self.period;
        }
        let share = u128::from(self.period) * u128::from(part) / u128::from(whole);
        u64::try_from(share).unwrap_or(u64::MAX).min(self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_window_fills_and_empties_by_overlap() {
        let window = Window::new(10, Duration::from_secs(1));
        let mut state = LimitState::default();
        for _ in 0..10 {
            assert!(window.check(&mut state, 100 * SECOND, 1).allowed);
        }
        let refused = window.check(&mut state, 100 * SECOND, 1);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!(refused.retry_after, Duration::from_millis(1100));
        assert!(!window.check(&mut state, 101 * SECOND, 1).allowed);
        assert!(window.check(&mut state, 101 * SECOND + SECOND / 2, 5).allowed, "half of the old window overlaps");
        assert!(!window.check(&mut state, 101 * SECOND + SECOND / 2, 1).allowed);
        assert_eq!(window.check(&mut state, 110 * SECOND, 1).remaining, 9);
    }

    #[test]
    fn a_clock_that_goes_back_costs_at_most_three_periods() {
        let window = Window::new(1, Duration::from_secs(1));
        let mut state = LimitState::default();
        assert!(window.check(&mut state, 1_000_000 * SECOND, 1).allowed);
        assert!(!window.check(&mut state, 5, 1).allowed);
        assert!(window.check(&mut state, 3 * SECOND + 5, 1).allowed);
    }

    #[test]
    fn the_ends_of_every_number_are_survived() {
        for (count, per) in [(u32::MAX, Duration::MAX), (1, Duration::from_nanos(1)), (0, Duration::ZERO)] {
            let window = Window::new(count, per);
            let mut state = LimitState::default();
            for now in [0, u64::MAX, 1, u64::MAX / 2, u64::MAX] {
                for cost in [0, 1, u32::MAX] {
                    let _ = window.check(&mut state, now, cost);
                    let _ = (window.idle_at(&state), window.penalty_until(&state));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_formula_and_never_exceeds_twice_the_count_in_a_period(
            count in 1u32..40, per_ms in 1u64..3000,
            steps in prop::collection::vec((0u64..900_000_000, 0u32..4), 1..200),
        ) {
            let window = Window::new(count, Duration::from_millis(per_ms));
            let period = per_ms * 1_000_000;
            let mut state = LimitState::default();
            let mut now = 10_000 * SECOND;
            // The model: the start of the current window and every accepted event since the earlier one.
            let mut start = 0;
            let mut events: Vec<(u64, u32)> = Vec::new();
            for (step, cost) in steps {
                now += step;
                if now - start >= 2 * period { start = now; events.clear(); }
                if now - start >= period { start += period; }
                let sum = |from: u64, to: u64| -> u128 {
                    events.iter().filter(|e| e.0 >= from && e.0 < to).map(|e| u128::from(e.1)).sum()
                };
                let previous = sum(start.saturating_sub(period), start);
                let current = sum(start, u64::MAX);
                let overlap = u128::from(period - (now - start));
                let fits = previous * overlap + (current + u128::from(cost)) * u128::from(period)
                    <= u128::from(count) * u128::from(period);
                let allowance = window.check(&mut state, now, cost);
                prop_assert_eq!(allowance.allowed, fits);
                if allowance.allowed {
                    events.push((now, cost));
                } else if cost <= count {
                    let wait = nanos(allowance.retry_after);
                    prop_assert!(wait > 0);
                    let mut early = state;
                    prop_assert!(!window.check(&mut early, now + wait - 1, cost).allowed);
                    let mut on_time = state;
                    prop_assert!(window.check(&mut on_time, now + wait, cost).allowed);
                }
                let recent: u32 = events.iter().filter(|e| e.0 + period > now).map(|e| e.1).sum();
                prop_assert!(recent <= 2 * count);
            }
        }
    }
}
