//! One key's state, shared by the connections that count together: 24 bytes of atomics, no lock.
//!
//! Decides the same as [`Limit::check`] on a [`LimitState`]. A bucket is one number and so exact: whatever the
//! threads do, what passes is what one thread would have let pass. A window is two numbers; at the turn of a
//! window a thread may count into the one that just ended after others have weighed it. The bound of that: one
//! message for each other worker thread, once a window.

use std::sync::atomic::{AtomicU64, Ordering};

use super::exchange::DEBT_MAX;
use super::{Allowance, Limit, LimitState, Window};

/// Windows by which another thread's clock may be ahead of ours.
const AHEAD_MAX: u64 = 1024;
const LOW: u64 = 0xFFFF_FFFF;

/// See the module.
#[derive(Debug, Default)]
pub struct Counter {
    /// Bucket: when it is full again. Window: an even window's number and count.
    even: AtomicU64,
    /// Window: an odd window's number and count.
    odd: AtomicU64,
    /// What was let through since it was made: of a bucket nanoseconds of credit, of a window cost.
    spent: AtomicU64,
}

/// A window's number, modulo 2^32, and what was counted in it.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u64,
    count: u32,
}

impl Slot {
    fn of(bits: u64) -> Self {
        Self { number: bits >> 32, count: u32::try_from(bits & LOW).unwrap_or(u32::MAX) }
    }

    fn bits(self) -> u64 {
        (self.number & LOW) << 32 | u64::from(self.count)
    }
}

impl Counter {
    /// Counts an event of `cost` at `now` when it fits; counts nothing when it does not.
    pub fn check(&self, limit: &Limit, now: u64, cost: u32) -> Allowance {
        match limit {
            Limit::Bucket(bucket) => loop {
                let at = self.even.load(Ordering::Relaxed);
                let mut state = LimitState { at, ..LimitState::default() };
                // Other nodes may have let through more than fits.
                let allowance = bucket.check_owing(&mut state, now, cost, DEBT_MAX);
                if put(&self.even, at, state.at) {
                    if allowance.allowed {
                        self.note(bucket.emission_nanos().saturating_mul(u64::from(cost)));
                    }
                    return allowance;
                }
            },
            Limit::Window(window) => loop {
                let (mut state, number, slot, bits) = self.window(window, now);
                // Within the window of that number, so that counting leaves the state there.
                let now = now.max(state.at);
                let allowance = window.check(&mut state, now, cost);
                if !allowance.allowed {
                    return allowance;
                }
                if put(slot, bits, Slot { number, count: state.current }.bits()) {
                    self.note(u64::from(cost));
                    return allowance;
                }
            },
        }
    }

    fn note(&self, amount: u64) {
        self.spent.fetch_add(amount, Ordering::Relaxed);
    }

    /// What was let through since it was made, in the units of [`Spent`](super::exchange::Spent).
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// All nodes have used this much, in the same units: the state is raised to it, never lowered.
    pub fn raise(&self, limit: &Limit, now: u64, used: u64) {
        match limit {
            Limit::Bucket(_) => {
                self.even.fetch_max(now.saturating_add(used), Ordering::Relaxed);
            }
            Limit::Window(window) => loop {
                let (state, number, slot, bits) = self.window(window, now);
                let count = window.current_for(&state, now.max(state.at), used);
                if count <= state.current || put(slot, bits, Slot { number, count }.bits()) {
                    return;
                }
            },
        }
    }

    /// The state as one thread would hold it.
    #[must_use]
    pub fn state(&self, limit: &Limit, now: u64) -> LimitState {
        match limit {
            Limit::Bucket(_) => LimitState { at: self.even.load(Ordering::Relaxed), ..LimitState::default() },
            Limit::Window(window) => self.window(window, now).0,
        }
    }

    /// Its two numbers, for a state that is neither bucket nor window.
    pub(super) fn words(&self) -> [&AtomicU64; 2] {
        [&self.even, &self.odd]
    }

    /// The state at `now`, on windows that all threads number alike; the window's number, where to count, and what
    /// stands there.
    fn window(&self, window: &Window, now: u64) -> (LimitState, u64, &AtomicU64, u64) {
        let (even, odd) = (self.even.load(Ordering::Relaxed), self.odd.load(Ordering::Relaxed));
        let period = window.period_nanos();
        let mine = number_at(now, period, [even, odd]);
        let ahead = [even, odd].into_iter().map(|bits| Slot::of(bits).number.wrapping_sub(mine) & LOW);
        let number = mine.saturating_add(ahead.filter(|ahead| *ahead <= AHEAD_MAX).max().unwrap_or(0));
        let (here, bits, before) = if number % 2 == 0 { (&self.even, even, odd) } else { (&self.odd, odd, even) };
        let counted = |bits, wanted: u64| {
            let slot = Slot::of(bits);
            if slot.number == wanted & LOW { slot.count } else { 0 }
        };
        let previous = if number == 0 { 0 } else { counted(before, number - 1) };
        let state = LimitState { at: number.saturating_mul(period), current: counted(bits, number), previous };
        (state, number, here, bits)
    }
}

/// The number of the window that `now` lies in. That is nearly always one of those counted in, which two products prove
/// in a third of the time of a division.
fn number_at(now: u64, period: u64, counted: [u64; 2]) -> u64 {
    let holds = |number: &u64| {
        number.checked_mul(period).and_then(|start| now.checked_sub(start)).is_some_and(|elapsed| elapsed < period)
    };
    counted.map(|bits| Slot::of(bits).number).into_iter().find(holds).unwrap_or_else(|| now / period)
}

/// Whether the number is in place.
fn put(place: &AtomicU64, seen: u64, next: u64) -> bool {
    seen == next || place.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Bucket;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    /// The obvious model: every accepted event of the present and the earlier window, on a fixed grid.
    struct Model {
        count: u128,
        period: u64,
        events: Vec<(u64, u32)>,
    }

    impl Model {
        fn check(&mut self, now: u64, cost: u32) -> bool {
            let start = now / self.period * self.period;
            let sum = |from: u64, to: u64| -> u128 {
                self.events.iter().filter(|e| e.0 >= from && e.0 < to).map(|e| u128::from(e.1)).sum()
            };
            let overlap = u128::from(self.period - (now - start));
            let earlier = sum(start.saturating_sub(self.period), start) * overlap;
            let fits = earlier + (sum(start, u64::MAX) + u128::from(cost)) * u128::from(self.period)
                <= self.count * u128::from(self.period);
            if fits {
                self.events.push((now, cost));
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn a_shared_window_agrees_with_the_formula(
            count in 1u32..40, per_ms in 1u64..3000,
            steps in prop::collection::vec((0u64..900_000_000, 0u32..4), 1..200),
        ) {
            let window = Window::new(count, Duration::from_millis(per_ms));
            let mut model = Model { count: count.into(), period: per_ms * 1_000_000, events: Vec::new() };
            let (counter, mut now) = (Counter::default(), 10_000 * SECOND);
            for (step, cost) in steps {
                now += step;
                prop_assert_eq!(counter.check(&Limit::Window(window), now, cost).allowed, model.check(now, cost));
            }
        }

        #[test]
        fn a_shared_bucket_is_a_bucket(
            steps in prop::collection::vec((0u64..400_000_000, 0u32..4), 1..200),
        ) {
            let limit = Limit::Bucket(Bucket::new(7, Duration::from_secs(1), 5));
            let (counter, mut state, mut now) = (Counter::default(), LimitState::default(), SECOND);
            for (step, cost) in steps {
                now += step;
                prop_assert_eq!(counter.check(&limit, now, cost), limit.check(&mut state, now, cost));
                prop_assert_eq!(counter.state(&limit, now), state);
            }
        }

        #[test]
        fn a_bucket_agrees_with_governor(
            count in 1u32..50, burst in 1u32..20, steps in prop::collection::vec(0u64..300_000_000, 1..200),
        ) {
            use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
            let nonzero = |n: u32| std::num::NonZeroU32::new(n).unwrap();
            let clock = FakeRelativeClock::default();
            // Both round the time of one event; a period they divide evenly leaves nothing to round.
            let emission = Duration::from_nanos(SECOND / u64::from(count));
            let quota = Quota::with_period(emission).unwrap().allow_burst(nonzero(burst));
            let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
            let ours = Limit::Bucket(Bucket::new(1, emission, burst));
            let (counter, mut now) = (Counter::default(), SECOND);
            for step in steps {
                now += step;
                clock.advance(Duration::from_nanos(step));
                prop_assert_eq!(counter.check(&ours, now, 1).allowed, theirs.check().is_ok());
            }
        }
    }

    /// Threads that hammer one key at one instant: the number passed is told.
    fn hammered(limit: Limit, counter: &Counter, now: impl Fn(u64) -> u64 + Sync) -> u32 {
        let passed = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (passed, now) = (&passed, &now);
                scope.spawn(move || {
                    for _ in 0..5_000 {
                        if counter.check(&limit, now(thread), 1).allowed {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        passed.into_inner()
    }

    #[test]
    fn threads_never_take_more_than_the_limit_together() {
        for limit in [
            Limit::Bucket(Bucket::new(1000, Duration::from_secs(1), 1000)),
            Limit::Window(Window::new(1000, Duration::from_secs(1))),
        ] {
            assert_eq!(hammered(limit, &Counter::default(), |_| 10 * SECOND), 1000, "{limit:?}");
        }
    }

    #[test]
    fn at_the_turn_of_a_window_each_other_thread_adds_one_message_at_most() {
        let limit = Limit::Window(Window::new(1000, Duration::from_secs(1)));
        // One thread is behind the turn, three are past it.
        let passed = hammered(limit, &Counter::default(), |thread| 10 * SECOND - u64::from(thread == 0));
        assert!((1000..=1003).contains(&passed), "{passed}");
    }

    #[test]
    fn a_thread_whose_clock_is_behind_counts_into_the_newest_window() {
        let limit = Limit::Window(Window::new(10, Duration::from_secs(1)));
        let counter = Counter::default();
        assert!(counter.check(&limit, 11 * SECOND, 10).allowed);
        assert!(!counter.check(&limit, 11 * SECOND - 1, 1).allowed);
    }
}
