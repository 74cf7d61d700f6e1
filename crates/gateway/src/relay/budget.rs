//! How many events one connection may write, so that a noisy one does not fill the audit.

use std::time::Duration;

use portcullis_core::verdict::Severity;

/// Events a connection may write in one second; the rest are counted in metrics and named in the next. High and
/// critical ones have as many of their own, so that no flood of small faults hides an attack.
const EVENTS_PER_SECOND: u32 = 20;

/// Keeps one noisy connection from filling the audit.
#[derive(Debug, Default)]
pub(super) struct EventBudget {
    ordinary: Budget,
    severe: Budget,
    /// Of the last event that was written: what a withheld one is answered with.
    pub(super) last_reference: String,
}

#[derive(Debug, Default)]
struct Budget {
    window: Duration,
    spent: u32,
    suppressed: u64,
}

impl EventBudget {
    /// How many events of this weight were withheld before this one; `None` withholds this one too.
    pub(super) fn spend(&mut self, severity: Severity, now: Duration) -> Option<u64> {
        match severity {
            Severity::Low | Severity::Medium => self.ordinary.spend(now),
            Severity::High | Severity::Critical => self.severe.spend(now),
        }
    }
}

impl Budget {
    fn spend(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.spent = 0;
        }
        if self.spent >= EVENTS_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.spent += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_flood_of_small_faults_does_not_hide_an_attack() {
        let mut events = EventBudget::default();
        for _ in 0..1000 {
            events.spend(Severity::Medium, SECOND);
        }
        assert_eq!(events.spend(Severity::Medium, SECOND), None);
        assert_eq!(events.spend(Severity::High, SECOND), Some(0));
        assert_eq!(events.spend(Severity::Critical, SECOND), Some(0));
    }

    #[test]
    fn what_was_withheld_is_named_in_the_next_second() {
        let mut events = EventBudget::default();
        let kept = (0..EVENTS_PER_SECOND + 5).filter(|_| events.spend(Severity::Low, SECOND).is_some()).count();
        assert_eq!(kept, EVENTS_PER_SECOND as usize);
        assert_eq!(events.spend(Severity::Low, SECOND * 2), Some(5));
        assert_eq!(events.spend(Severity::Low, SECOND * 2), Some(0));
    }
}
