//! How often: decides whether one more event fits a rate, and says when to come back if not.
//!
//! Never reads a clock, never allocates in a step, never blocks: what threads share is atomic ([`counter`]). Input: a compiled [`Limit`], a 16-byte [`LimitState`], the time in nanoseconds, a cost.
//! Output: an [`Allowance`]. [`ledger`] keeps the states of many keys in bounded memory (SPEC 6.1, 6.5).
//! Tests stand beside each step and compare it with a slow, obvious model.

pub mod bucket;
pub mod conditions;
pub mod counter;
pub mod exchange;
pub mod ip_key;
pub mod kept;
pub mod ladder;
pub mod ledger;
pub mod pattern;
pub mod table;
pub mod waits;
pub mod window;

use std::time::Duration;

use crate::policy::checked::{Factor, Rate, RateAlgorithm};

pub use bucket::Bucket;
pub use conditions::{CALENDARS_MAX, Conditions};
pub use counter::Counter;
pub use ip_key::IpKey;
pub use kept::{KEPT_MAX, KeptStanding};
pub use ladder::{Climb, Ladder};
pub use ledger::{Held, Key, Ledger, Party};
pub use pattern::TypeMap;
pub use waits::Wait;
pub use window::Window;

/// What a limit says about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Whether it fits.
    pub allowed: bool,
    /// Zero when allowed; else the shortest wait after which the same event would fit. An event that can
    /// never fit (its cost exceeds the limit) is told the time until the limit is untouched again.
    pub retry_after: Duration,
    /// Events of cost 1 that would still fit right now.
    pub remaining: u32,
}

/// What is remembered of one key: 16 bytes, the same for both algorithms. The default is an unused key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitState {
    /// Bucket: when it is full again. Window: when the current window began. Monotonic nanoseconds.
    pub(crate) at: u64,
    /// Window: cost counted in the current window.
    pub(crate) current: u32,
    /// Window: cost counted in the window before it.
    pub(crate) previous: u32,
}

/// A rate, compiled to integer steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Generic cell rate algorithm.
    Bucket(Bucket),
    /// Sliding window.
    Window(Window),
}

impl Limit {
    /// Compiles a rate of the policy. A count or period of zero cannot be built there; were one to come,
    /// it is read as 1.
    #[must_use]
    pub fn compile(rate: Rate) -> Self {
        match rate.algorithm {
            RateAlgorithm::TokenBucket => Self::Bucket(Bucket::new(rate.count, rate.per, rate.burst)),
            RateAlgorithm::SlidingWindow => Self::Window(Window::new(rate.count, rate.per)),
        }
    }

    /// The same limit for a rate so many times as high. What a state has used of it stays used in proportion (a
    /// bucket) or in number (a window).
    #[must_use]
    pub fn scaled(&self, by: Factor) -> Self {
        match self {
            _ if by == Factor::ONE => *self,
            Self::Bucket(bucket) => Self::Bucket(bucket.scaled(by)),
            Self::Window(window) => Self::Window(window.scaled(by)),
        }
    }

    /// Counts an event of `cost` at `now_nanos` when it fits; counts nothing when it does not.
    pub fn check(&self, state: &mut LimitState, now_nanos: u64, cost: u32) -> Allowance {
        match self {
            Self::Bucket(bucket) => bucket.check(state, now_nanos, cost),
            Self::Window(window) => window.check(state, now_nanos, cost),
        }
    }

    /// Gives an event back that was counted and did not come to be: another node's count refused it.
    pub fn give_back(&self, state: &mut LimitState, cost: u32) {
        match self {
            Self::Bucket(bucket) => bucket.give_back(state, cost),
            Self::Window(_) => Window::give_back(state, cost),
        }
    }

    /// The most that fits at once: the burst of a bucket, the count of a window.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        match self {
            Self::Bucket(bucket) => bucket.burst(),
            Self::Window(window) => window.count(),
        }
    }

    /// The time over which the capacity comes back.
    #[must_use]
    pub fn period(&self) -> Duration {
        match self {
            Self::Bucket(bucket) => bucket.refill(),
            Self::Window(window) => window.period(),
        }
    }

    /// From this instant on the state is worth no more than an unused one.
    #[must_use]
    pub fn idle_at(&self, state: &LimitState) -> u64 {
        match self {
            Self::Bucket(_) => state.at,
            Self::Window(window) => window.idle_at(state),
        }
    }

    /// Until this instant at least half of the limit is used up, so that forgetting the state would be a gift.
    #[must_use]
    pub fn penalty_until(&self, state: &LimitState) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.penalty_until(state),
            Self::Window(window) => window.penalty_until(state),
        }
    }
}

/// Nanoseconds of a duration; a duration past 584 years counts as 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_sixteen_bytes() {
        assert_eq!(std::mem::size_of::<LimitState>(), 16);
    }

    #[test]
    fn what_is_given_back_fits_again() {
        for algorithm in [RateAlgorithm::TokenBucket, RateAlgorithm::SlidingWindow] {
            let limit = Limit::compile(Rate { count: 3, per: Duration::from_secs(60), burst: 3, algorithm });
            let (mut state, now) = (LimitState::default(), 1_000_000_000_000);
            while limit.check(&mut state, now, 1).allowed {}
            limit.give_back(&mut state, 1);
            assert!(limit.check(&mut state, now, 1).allowed, "{algorithm:?}");
            assert!(!limit.check(&mut state, now, 1).allowed, "{algorithm:?}");
        }
    }

    #[test]
    fn a_rate_compiles_to_its_algorithm() {
        let rate = |algorithm| Rate { count: 10, per: Duration::from_secs(1), burst: 3, algorithm };
        assert_eq!(Limit::compile(rate(RateAlgorithm::TokenBucket)).capacity(), 3);
        assert_eq!(Limit::compile(rate(RateAlgorithm::SlidingWindow)).capacity(), 10);
    }
}
