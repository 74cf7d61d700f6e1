//! What was refused in the last hour: the counters as they stood a minute apart, so that nothing is counted twice.
//!
//! Decides nothing. The hour is sixty minutes and at most one more; before the gateway is an hour old it is all its life.

use std::collections::VecDeque;
use std::time::Duration;

use portcullis_core::verdict::Reason;

/// How far back is looked.
const SPAN: Duration = Duration::from_secs(3600);
/// From one look at the counters to the next.
const STEP: Duration = Duration::from_secs(60);
/// Most looks kept: those of an hour, and the one before it.
const LOOKS_MAX: usize = 61;

/// Counts since the start by reason, in the order of [`Reason::ALL`].
pub(crate) type Counts = Box<[u64]>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Hour {
    /// Oldest first, each a `STEP` or more behind the one before.
    looks: VecDeque<(Duration, Counts)>,
}

impl Hour {
    /// Looks at the counters, once a `STEP`.
    pub(super) fn look(&mut self, now: Duration, counts: impl FnOnce() -> Counts) {
        if now < self.looks.back().map_or(Duration::ZERO, |(at, _)| *at) + STEP {
            return;
        }
        while self.looks.len() >= LOOKS_MAX || self.looks.get(1).is_some_and(|(at, _)| is_past(*at, now)) {
            self.looks.pop_front();
        }
        self.looks.push_back((now, counts()));
    }

    /// How often something for one of these reasons was refused, by the counts as they stand.
    pub(super) fn refusals(&self, now: Duration, counts: &[u64], of: impl Fn(Reason) -> bool) -> u64 {
        let before = self.looks.iter().rev().find(|(at, _)| is_past(*at, now)).map(|(_, counts)| &**counts);
        let of_reason = |counts: &[u64], at: usize| counts.get(at).copied().unwrap_or_default();
        let since = |at: usize| of_reason(counts, at).saturating_sub(of_reason(before.unwrap_or_default(), at));
        Reason::ALL.iter().enumerate().filter(|(_, reason)| of(**reason)).map(|(at, _)| since(at)).sum()
    }
}

fn is_past(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) >= SPAN
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn counts(of: Reason, number: u64) -> Counts {
        Reason::ALL.iter().map(|reason| if *reason == of { number } else { 0 }).collect()
    }

    /// One refusal a second for so many seconds; what the hour tells at the end of each.
    fn told(seconds: u32) -> Vec<u64> {
        let mut hour = Hour::default();
        (0..=seconds)
            .map(|second| {
                let (now, counts) = (SECOND * second, counts(Reason::MessageRate, u64::from(second)));
                hour.look(now, || counts.clone());
                assert!(hour.looks.len() <= LOOKS_MAX);
                hour.refusals(now, &counts, |_| true)
            })
            .collect()
    }

    #[test]
    fn a_young_gateway_tells_its_whole_life_and_an_old_one_an_hour() {
        let told = told(4 * 3600);
        for (second, count) in told.into_iter().enumerate() {
            let expected = if second < 3660 { second as u64..=second as u64 } else { 3600..=3660 };
            assert!(expected.contains(&count), "{count} in second {second}");
        }
    }

    #[test]
    fn only_the_reasons_asked_for_are_told_and_old_ones_are_forgotten() {
        let mut hour = Hour::default();
        let counted = counts(Reason::MessageRate, 7);
        hour.look(SECOND * 60, || counted.clone());
        let rate = |at: u32| hour.refusals(SECOND * at, &counted, |reason| reason == Reason::MessageRate);
        assert_eq!((rate(61), rate(3659), rate(3660)), (7, 7, 0));
        assert_eq!(hour.refusals(SECOND * 61, &counted, |reason| reason != Reason::MessageRate), 0);
    }

    #[test]
    fn a_gateway_that_slept_for_hours_tells_what_came_since_it_last_looked() {
        let mut hour = Hour::default();
        hour.look(SECOND * 60, || counts(Reason::MessageRate, 7));
        let counted = counts(Reason::MessageRate, 9);
        hour.look(SECOND * 30_000, || counted.clone());
        assert_eq!(hour.refusals(SECOND * 30_001, &counted, |_| true), 2);
        assert_eq!(hour.looks.len(), 2);
    }
}
