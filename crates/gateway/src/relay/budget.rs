//! How many events a connection may write: one noisy connection must neither fill the audit nor hide what is grave.
//!
//! [`EVENTS_PER_SECOND`] of low and medium severity a second and as many of high and critical, and beyond them the first
//! of every reason: who floods with duplicate keys, which are as grave as an attack, hides no attack behind them. The
//! rest are counted in metrics, and their number stands in the next event of their severity.

use std::time::Duration;

use portcullis_core::verdict::{Reason, Severity};

/// Events of one weight in one second.
const EVENTS_PER_SECOND: u32 = 20;
/// Words of a bit for each reason.
const WORDS: usize = Reason::ALL.len().div_ceil(64);

/// What a connection may still write.
#[derive(Debug, Default)]
pub(super) struct EventBudget {
    /// The second that is counted began then.
    window: Duration,
    /// Reasons that were written in it.
    written: [u64; WORDS],
    ordinary: Budget,
    severe: Budget,
    /// Of the latest event that was written.
    pub(super) last_reference: String,
}

#[derive(Debug, Default)]
struct Budget {
    spent: u32,
    withheld: u64,
}

impl EventBudget {
    /// How many events of this weight were withheld before this one; `None` withholds this one too.
    pub(super) fn spend(&mut self, reason: Reason, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.written = [0; WORDS];
            self.ordinary.spent = 0;
            self.severe.spent = 0;
        }
        let first = self.is_first(reason);
        let budget = match reason.row().severity {
            Severity::Low | Severity::Medium => &mut self.ordinary,
            Severity::High | Severity::Critical => &mut self.severe,
        };
        if budget.spent >= EVENTS_PER_SECOND && !first {
            budget.withheld += 1;
            return None;
        }
        budget.spent = budget.spent.saturating_add(1);
        Some(std::mem::take(&mut budget.withheld))
    }

    /// Whether a reason is written for the first time in this second.
    fn is_first(&mut self, reason: Reason) -> bool {
        let number = reason as usize;
        let Some(word) = self.written.get_mut(number / 64) else { return false };
        let bit = 1 << (number % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flood(events: &mut EventBudget, reason: Reason) -> usize {
        (0..1000).filter(|_| events.spend(reason, SECOND).is_some()).count()
    }

    #[test]
    fn a_flood_hides_no_attack_be_it_as_grave() {
        let mut events = EventBudget::default();
        assert_eq!(flood(&mut events, Reason::JsonMalformed), 20);
        assert_eq!(flood(&mut events, Reason::JsonDuplicateKey), 20);
        assert_eq!(Reason::JsonDuplicateKey.row().severity, Reason::ThreatSqli.row().severity);
        for reason in [Reason::ThreatSqli, Reason::ThreatXss, Reason::TenantCrossing, Reason::TypeRefused] {
            assert!(events.spend(reason, SECOND).is_some(), "{}", reason.label());
            assert_eq!(events.spend(reason, SECOND), None, "{}", reason.label());
        }
    }

    #[test]
    fn all_of_one_reason_that_fit_the_second_are_written() {
        let mut events = EventBudget::default();
        assert_eq!(flood(&mut events, Reason::ThreatSqli), 20);
        assert_eq!(events.spend(Reason::ThreatSqli, SECOND * 2), Some(980));
    }

    #[test]
    fn what_was_withheld_is_named_in_the_next_event_of_its_weight() {
        let mut events = EventBudget::default();
        flood(&mut events, Reason::JsonMalformed);
        assert_eq!(events.spend(Reason::ThreatSqli, SECOND), Some(0));
        assert_eq!(events.spend(Reason::JsonMalformed, SECOND * 2), Some(980));
        assert_eq!(events.spend(Reason::JsonMalformed, SECOND * 2), Some(0));
    }

    #[test]
    fn a_second_has_a_most_whatever_comes() {
        let mut events = EventBudget::default();
        let all = Reason::ALL.iter().cycle().take(Reason::ALL.len() * 100);
        let written = all.filter(|reason| events.spend(**reason, SECOND).is_some()).count();
        assert!(written <= Reason::ALL.len() + 2 * EVENTS_PER_SECOND as usize);
    }
}
