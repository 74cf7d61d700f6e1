//! How many events may wait, and who may still enter when it is tight.
//!
//! Decides, without a lock, whether one more event is taken. Low and medium severity enter below
//! `queue_max`; high and critical may use a reserve of [`RESERVE_MAX`] past it. An event counts until
//! it is committed, so the number bounds memory. Never holds the events themselves.

use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_core::verdict::Severity;

/// Places past `queue_max` for events of high and critical severity.
pub const RESERVE_MAX: usize = 1_024;

/// The counted entrance to the queue.
#[derive(Debug)]
pub(crate) struct Gate {
    waiting: AtomicUsize,
    max: usize,
}

impl Gate {
    pub(crate) fn new(max: usize) -> Self {
        Self { waiting: AtomicUsize::new(0), max }
    }

    /// Takes a place; `false` when none is left for this severity.
    pub(crate) fn enter(&self, severity: Severity) -> bool {
        let places = if severity >= Severity::High { self.max.saturating_add(RESERVE_MAX) } else { self.max };
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |waiting| (waiting < places).then_some(waiting + 1))
            .is_ok()
    }

    /// Gives places back.
    pub(crate) fn leave(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::AcqRel);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_taken_and_the_next_refused() {
        let gate = Gate::new(3);
        assert!((0..3).all(|_| gate.enter(Severity::Low)));
        assert!(!gate.enter(Severity::Low));
        assert!(!gate.enter(Severity::Medium));
        assert_eq!(gate.waiting(), 3);
    }

    #[test]
    fn severe_events_use_the_reserve_and_it_ends_too() {
        let gate = Gate::new(1);
        assert!(gate.enter(Severity::Low));
        for _ in 0..RESERVE_MAX {
            assert!(gate.enter(Severity::High));
        }
        assert!(!gate.enter(Severity::Critical));
        assert_eq!(gate.waiting(), 1 + RESERVE_MAX);
    }

    #[test]
    fn a_place_given_back_is_taken_again() {
        let gate = Gate::new(1);
        assert!(gate.enter(Severity::Low));
        gate.leave(1);
        assert!(gate.enter(Severity::Low));
    }

    #[test]
    fn many_threads_never_take_more_places_than_there_are() {
        let gate = Gate::new(500);
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..200).filter(|_| gate.enter(Severity::Low)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 500);
    }
}
