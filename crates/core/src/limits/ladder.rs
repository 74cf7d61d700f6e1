//! The ladder of waits for repeat offenders (SPEC 6.3): 5 s → 30 s → 5 min → 30 min → 1 h, unless said otherwise.
//!
//! Decides how long a sender that is refused again and again has to wait. A wait is earned when offences come faster
//! than a rate; the next one is longer. What is sent while waiting neither lengthens the wait nor counts. Each span of
//! good conduct after a wait walks one step back. One standing is two numbers, however many offences there were; a
//! clock that goes back can lengthen a wait by as much, never more than the longest wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Bucket, Counter, LimitState};
use crate::policy::checked::Offenders;

/// Steps that a ladder may have.
pub const STEPS_MAX: usize = 16;

/// A compiled ladder.
#[derive(Debug, Clone)]
pub struct Ladder {
    offences: Bucket,
    waits_ms: Box<[u64]>,
    forgive_ms: u64,
}

/// A step that was climbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Climb {
    /// Which step, from 1.
    pub step: usize,
    /// How long to wait.
    pub wait: Duration,
    /// Steps that good conduct had walked back since the last climb.
    pub forgiven: usize,
}

/// When the wait ends or ended, and which step it was; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) until_ms: u64,
    pub(super) step: u64,
}

impl Standing {
    pub(super) fn of(bits: u64) -> Self {
        Self { until_ms: bits >> 8, step: bits & 0xFF }
    }

    pub(super) fn bits(self) -> u64 {
        self.until_ms << 8 | self.step
    }
}

impl Ladder {
    /// Compiles a ladder of at most [`STEPS_MAX`] steps.
    #[must_use]
    pub fn compile(spec: &Offenders) -> Self {
        let rate = spec.after;
        Self {
            offences: Bucket::new(rate.count, rate.per, rate.burst),
            waits_ms: spec.waits.iter().take(STEPS_MAX).map(|wait| millis(*wait)).collect(),
            forgive_ms: millis(spec.forgive_after).max(1),
        }
    }

    /// Steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.waits_ms.len()
    }

    /// What is left of a wait.
    #[must_use]
    pub fn waiting(&self, counter: &Counter, now_nanos: u64) -> Option<Duration> {
        let [_, standing] = counter.words();
        let standing = Standing::of(standing.load(Ordering::Relaxed));
        let longest = self.waits_ms.iter().max().copied().unwrap_or(0);
        let left = Duration::from_millis(standing.until_ms).saturating_sub(Duration::from_nanos(now_nanos));
        (!left.is_zero()).then(|| left.min(Duration::from_millis(longest)))
    }

    /// Counts an offence; tells the step when it was one too many.
    pub fn offence(&self, counter: &Counter, now_nanos: u64) -> Option<Climb> {
        let [offences, standing] = counter.words();
        let seen = standing.load(Ordering::Relaxed);
        let now_ms = now_nanos.div_ceil(1_000_000);
        let had = Standing::of(seen);
        if had.until_ms > now_ms || self.fits(offences, now_nanos) {
            return None;
        }
        let forgiven = (now_ms.saturating_sub(had.until_ms) / self.forgive_ms).min(had.step);
        let last = u64::try_from(self.waits_ms.len()).unwrap_or(0);
        let step = (had.step - forgiven + 1).min(last);
        let at = usize::try_from(step).ok()?;
        let wait = self.waits_ms.get(at.checked_sub(1)?).copied()?;
        let next = Standing { until_ms: now_ms.saturating_add(wait), step };
        // Where two offences come at once, one climbs.
        standing.compare_exchange(seen, next.bits(), Ordering::Relaxed, Ordering::Relaxed).ok()?;
        offences.store(0, Ordering::Relaxed);
        let forgiven = usize::try_from(forgiven).unwrap_or(0);
        Some(Climb { step: at, wait: Duration::from_millis(wait), forgiven })
    }

    fn fits(&self, offences: &AtomicU64, now: u64) -> bool {
        let counted = offences.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| {
            let mut state = LimitState { at, ..LimitState::default() };
            self.offences.check(&mut state, now, 1).allowed.then_some(state.at)
        });
        counted.is_ok()
    }

    /// Until this instant a standing is worth remembering.
    pub(super) fn penalty_until(counter: &Counter, forgive_ms: u64) -> u64 {
        let [_, standing] = counter.words();
        let standing = Standing::of(standing.load(Ordering::Relaxed));
        let until = standing.until_ms.saturating_add(forgive_ms.saturating_mul(standing.step));
        until.saturating_mul(1_000_000)
    }

    pub(super) fn forgive_ms(&self) -> u64 {
        self.forgive_ms
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> 8)
}

/// A ladder of three steps, for tests: the second offence in a minute climbs.
#[cfg(test)]
pub(super) fn of_three_steps() -> Ladder {
    use crate::policy::checked::{Offenders, Rate, RateAlgorithm};
    use std::time::Duration;
    let after = Rate { count: 1, per: Duration::from_secs(60), burst: 1, algorithm: RateAlgorithm::TokenBucket };
    let waits = [5, 30, 300].map(Duration::from_secs).to_vec();
    Ladder::compile(&Offenders { after, waits, forgive_after: Duration::from_secs(600) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::checked::{Rate, RateAlgorithm};
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn ladder(after: u32) -> Ladder {
        let rate =
            Rate { count: after, per: Duration::from_secs(60), burst: after, algorithm: RateAlgorithm::TokenBucket };
        let waits = [5, 30, 300, 1800, 3600].map(Duration::from_secs).to_vec();
        Ladder::compile(&Offenders { after: rate, waits, forgive_after: Duration::from_secs(600) })
    }

    /// Offends until it climbs.
    fn climb(ladder: &Ladder, counter: &Counter, now: u64) -> Climb {
        (0..1000).find_map(|_| ladder.offence(counter, now)).expect("it climbs")
    }

    #[test]
    fn each_wait_is_longer_than_the_last_up_to_the_top() {
        let (ladder, counter, mut now) = (ladder(3), Counter::default(), SECOND);
        for wait in [5, 30, 300, 1800, 3600, 3600] {
            for _ in 0..3 {
                assert_eq!(ladder.offence(&counter, now), None, "tolerated");
            }
            let climb = ladder.offence(&counter, now).expect("the fourth");
            assert_eq!((climb.wait.as_secs(), climb.forgiven), (wait, 0));
            assert_eq!(ladder.waiting(&counter, now), Some(Duration::from_secs(wait)));
            now += wait * SECOND;
            assert_eq!(ladder.waiting(&counter, now - 1), Some(Duration::from_nanos(1)));
            assert_eq!(ladder.waiting(&counter, now), None);
        }
    }

    #[test]
    fn what_is_sent_while_waiting_does_not_lengthen_the_wait() {
        let (ladder, counter) = (ladder(1), Counter::default());
        climb(&ladder, &counter, SECOND);
        for at in 1..5 {
            assert_eq!(ladder.offence(&counter, at * SECOND), None);
        }
        assert_eq!(ladder.waiting(&counter, 6 * SECOND), None);
        assert_eq!(ladder.offence(&counter, 6 * SECOND), None, "and none of it was counted");
    }

    #[test]
    fn good_conduct_walks_the_ladder_back() {
        let (ladder, counter) = (ladder(1), Counter::default());
        let mut now = SECOND;
        for _ in 0..3 {
            now += climb(&ladder, &counter, now).wait.as_secs() * SECOND;
        }
        now += 2 * 600 * SECOND + 599 * SECOND;
        assert_eq!(climb(&ladder, &counter, now), Climb { step: 2, wait: Duration::from_secs(30), forgiven: 2 });
        now += 30 * SECOND + 50 * 600 * SECOND;
        assert_eq!(climb(&ladder, &counter, now), Climb { step: 1, wait: Duration::from_secs(5), forgiven: 2 });
    }

    #[test]
    fn rare_offences_earn_nothing() {
        let (ladder, counter) = (ladder(6), Counter::default());
        assert!((1..500).all(|minute| ladder.offence(&counter, minute * 11 * SECOND).is_none()));
    }

    #[test]
    fn a_clock_that_goes_back_costs_at_most_the_longest_wait() {
        let (ladder, counter) = (ladder(1), Counter::default());
        climb(&ladder, &counter, 1_000_000 * SECOND);
        assert_eq!(ladder.waiting(&counter, SECOND), Some(Duration::from_secs(3600)));
    }

    /// The obvious model: every offence that counted, and a list of what happened.
    struct Model {
        after: usize,
        tokens_ns: u64,
        last: u64,
        step: u64,
        until: u64,
    }

    impl Model {
        fn offence(&mut self, now: u64) -> Option<u64> {
            let emission = 60 * SECOND / self.after as u64;
            if now < self.until {
                return None;
            }
            self.tokens_ns = (self.tokens_ns + (now - self.last)).min(60 * SECOND);
            self.last = now;
            if self.tokens_ns >= emission {
                self.tokens_ns -= emission;
                return None;
            }
            let mut clean = now - self.until;
            while clean >= 600 * SECOND && self.step > 0 {
                clean -= 600 * SECOND;
                self.step -= 1;
            }
            self.step = (self.step + 1).min(5);
            let wait = [5, 30, 300, 1800, 3600][self.step as usize - 1];
            self.until = now + wait * SECOND;
            self.tokens_ns = 60 * SECOND;
            Some(wait)
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_obvious_model(
            after in prop::sample::select(vec![1usize, 2, 3, 5, 10]),
            steps in prop::collection::vec(prop_oneof![8 => 0u64..8, 2 => 0u64..400, 1 => 0u64..4000], 1..400),
        ) {
            let ladder = ladder(u32::try_from(after).unwrap());
            let (counter, mut now) = (Counter::default(), 100 * SECOND);
            let mut model = Model { after, tokens_ns: 60 * SECOND, last: now, step: 0, until: 0 };
            for step in steps {
                now += step * SECOND;
                let climbed = ladder.offence(&counter, now).map(|climb| climb.wait.as_secs());
                prop_assert_eq!(climbed, model.offence(now));
                let left = ladder.waiting(&counter, now).map_or(0, |left| left.as_secs());
                prop_assert_eq!(left, model.until.saturating_sub(now) / SECOND);
            }
        }
    }
}
