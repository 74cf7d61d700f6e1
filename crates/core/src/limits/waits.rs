//! Waits of repeat offenders over several nodes (SPEC 6.3, 6.6): a step that is climbed on one node holds on all.
//!
//! Each node counts offences alone; a climb it tells, and of two standings the one that ends later stands. The next climb
//! goes on from there, wherever it happens. Never on a message's way. Names are digests, the same on every node.

use std::sync::atomic::Ordering;

use super::ladder::Standing;
use super::ledger::{Kept, Ledger};

/// A standing on the ladder, as nodes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Names its party, the same on every node.
    pub name: u128,
    /// What is left of the wait, milliseconds; below zero it ended so long ago.
    pub left_ms: i64,
    /// The step.
    pub step: u64,
    /// Good conduct of so long walks one step back, milliseconds.
    pub forgive_ms: u64,
    /// As it was when it was told.
    bits: u64,
}

impl Wait {
    /// A wait that another node told of.
    #[must_use]
    pub const fn heard(name: u128, left_ms: i64, step: u64, forgive_ms: u64) -> Self {
        Self { name, left_ms, step, forgive_ms, bits: 0 }
    }

    /// When nobody needs to know of it, milliseconds from now.
    #[must_use]
    pub fn matters_for_ms(&self) -> u64 {
        u64::try_from(self.left_ms.saturating_add_unsigned(self.forgive_ms.saturating_mul(self.step))).unwrap_or(0)
    }
}

impl Ledger {
    /// Somebody climbed a step: the next [`waits`](Self::waits) look.
    pub fn climbed(&self) {
        self.climbs.store(true, Ordering::Release);
    }

    /// Waits that nobody was told of, at most so many; with `all` every one that matters. The same again until they are
    /// [`told`](Self::told_waits).
    #[must_use]
    pub fn waits(&self, all: bool, waits_max: usize, now_nanos: u64) -> Vec<Wait> {
        let mut found = Vec::new();
        // Looking is cheap where nothing happened.
        if !self.climbs.swap(false, Ordering::AcqRel) && !all {
            return found;
        }
        let now_ms = now_nanos / 1_000_000;
        let mut more = false;
        self.each_named(|name, told, what, counter| {
            let Kept::Conduct { forgive_ms } = what else { return };
            let [_, standing] = counter.words();
            let bits = standing.load(Ordering::Relaxed);
            let Standing { until_ms, step } = Standing::of(bits);
            let left_ms = until_ms.cast_signed().saturating_sub(now_ms.cast_signed());
            let wait = Wait { name, left_ms, step, forgive_ms, bits };
            if step > 0 && (all || bits != told) && wait.matters_for_ms() > 0 {
                if found.len() < waits_max {
                    found.push(wait);
                } else {
                    more = true;
                }
            }
        });
        if more || !found.is_empty() {
            self.climbed();
        }
        found
    }

    /// These were told.
    pub fn told_waits(&self, told: &[Wait]) {
        for wait in told {
            self.tell_conduct(wait.name, wait.bits);
        }
    }

    /// What other nodes tell of a party: of two standings the one that ends later stands.
    pub fn hear_wait(&self, heard: &Wait, now_nanos: u64) {
        if heard.step == 0 || heard.matters_for_ms() == 0 {
            return;
        }
        let until_ms = (now_nanos / 1_000_000).saturating_add_signed(heard.left_ms);
        let step = heard.step.min(0xFF);
        self.raise_conduct(heard.name, heard.forgive_ms, Standing { until_ms, step }.bits(), now_nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Party;
    use crate::limits::ladder::of_three_steps as ladder;

    const SECOND: u64 = 1_000_000_000;

    /// Offends until it climbs; the step.
    fn climb(ledger: &Ledger, now: u64) -> usize {
        let counter = ledger.conduct(&ladder(), Party::User("mallory"), now).unwrap();
        let climb = (0..3).find_map(|_| ladder().offence(&counter, now)).expect("it climbs");
        ledger.climbed();
        climb.step
    }

    fn waiting(ledger: &Ledger, now: u64) -> Option<u64> {
        let counter = ledger.conduct(&ladder(), Party::User("mallory"), now).unwrap();
        ladder().waiting(&counter, now).map(|left| left.as_secs())
    }

    /// What one tells, the other hears; their clocks are a day apart.
    fn exchange(from: &Ledger, to: &Ledger, now: u64) -> usize {
        let waits = from.waits(false, 100, now);
        from.told_waits(&waits);
        for wait in &waits {
            to.hear_wait(&Wait::heard(wait.name, wait.left_ms, wait.step, wait.forgive_ms), now + 86_400 * SECOND);
        }
        waits.len()
    }

    #[test]
    fn who_climbs_on_one_node_waits_on_the_other_and_goes_on_from_there() {
        let (one, two) = (Ledger::new(64, [1, 1]).named(), Ledger::new(64, [2, 2]).named());
        let day = 86_400 * SECOND;
        assert_eq!(climb(&one, SECOND), 1);
        assert_eq!(waiting(&two, SECOND + day), None);
        assert_eq!(exchange(&one, &two, SECOND), 1);
        assert_eq!(waiting(&two, SECOND + day), Some(5), "though it did nothing there");
        assert_eq!(climb(&two, 10 * SECOND + day), 2, "the ladder goes on");
        assert_eq!(exchange(&one, &two, 10 * SECOND), 0, "told once");
    }

    #[test]
    fn what_was_heard_is_not_told_back_and_an_earlier_end_changes_nothing() {
        let (one, two) = (Ledger::new(64, [1, 1]).named(), Ledger::new(64, [2, 2]).named());
        climb(&one, SECOND);
        exchange(&one, &two, SECOND);
        assert_eq!(two.waits(false, 100, SECOND), []);
        two.climbed();
        assert_eq!(two.waits(false, 100, SECOND), []);
        let name = two.waits(true, 100, 86_400 * SECOND)[0].name;
        two.hear_wait(&Wait::heard(name, 1000, 1, 600_000), 86_401 * SECOND);
        assert_eq!(waiting(&two, 86_401 * SECOND), Some(5), "not shortened");
        two.hear_wait(&Wait::heard(name, -700_000, 1, 600_000), 86_401 * SECOND);
        assert_eq!(waiting(&two, 86_401 * SECOND), Some(5), "what good conduct has walked back is nothing");
    }

    #[test]
    fn what_finds_no_room_or_no_ear_is_told_again() {
        let ledger = Ledger::new(64, [1, 1]).named();
        for name in ["a", "b", "c"] {
            let counter = ledger.conduct(&ladder(), Party::User(name), SECOND).unwrap();
            assert!((0..3).any(|_| ladder().offence(&counter, SECOND).is_some()));
        }
        ledger.climbed();
        let first = ledger.waits(false, 2, SECOND);
        assert_eq!(first.len(), 2);
        assert_eq!(ledger.waits(false, 2, SECOND), first, "nobody heard");
        ledger.told_waits(&first);
        assert_eq!(ledger.waits(false, 2, SECOND).len(), 1);
        let alone = Ledger::new(64, [1, 1]);
        climb(&alone, SECOND);
        assert_eq!(alone.waits(true, 9, SECOND), [], "a node that is alone tells nothing");
    }
}
