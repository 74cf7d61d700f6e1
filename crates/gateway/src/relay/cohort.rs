//! Connections of a thread that were read in one turn of its event loop: judged together, then written together.
//!
//! Each on its own would run the system's code for a read, then the inspection's, then the system's for a write, and each
//! of the three pushes the others out of the processor's nearest cache. Together a stage's code is fetched once (cohort
//! scheduling: Larus and Parkes, USENIX 2002). Nobody waits for a cohort to fill: it is whoever was ready.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis_core::inspection::Direction;
use portcullis_core::time::Now;

use super::lane::Stop;
use super::pump::opposite;
use super::{Phase, Relay};
use crate::reads::Span;
use crate::worker::Worker;

/// Places kept from cohort to cohort.
const KEPT_MAX: usize = 1024;

/// Those that were read and wait to be judged.
#[derive(Default)]
pub(crate) struct Cohort {
    read: RefCell<Vec<Rc<RefCell<Relay>>>>,
    /// Wakes [`Judging`].
    waker: Cell<Option<Waker>>,
    /// The present, once it was asked for, until [`Judging`] ends the turn.
    now: Cell<Option<Now>>,
}

impl Cohort {
    /// The present as all that have their turn now see it: reading the clock takes as long as a check.
    pub(super) fn now(&self, worker: &Worker) -> Now {
        self.now.get().unwrap_or_else(|| {
            let now = worker.now();
            self.now.set(Some(now));
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
            now
        })
    }

    /// To be judged with the others of this turn. Whoever joins has asked for the present before, so [`Judging`] is awake.
    pub(super) fn join(&self, relay: &Rc<RefCell<Relay>>) {
        self.read.borrow_mut().push(Rc::clone(relay));
    }
}

/// What passed of a read, to be written.
pub(super) struct Passed {
    direction: Direction,
    read: Span,
    /// Of the read.
    bytes: Range<usize>,
    messages: u64,
}

/// The task of a worker that judges its cohorts. It is woken by the first that has its turn, so it runs when all that were
/// ready have been read.
struct Judging {
    worker: Rc<Worker>,
    cohort: Vec<Rc<RefCell<Relay>>>,
    passed: Vec<(Rc<RefCell<Relay>>, Passed)>,
}

/// See [`Judging`]. A cohort is bounded by what reads hold, so it is not cut off in between.
pub(crate) fn judging(worker: Rc<Worker>) -> impl Future<Output = ()> {
    tokio::task::unconstrained(Judging { worker, cohort: Vec::new(), passed: Vec::new() })
}

impl Future for Judging {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { worker, cohort, passed } = self.get_mut();
        worker.cohort.waker.set(Some(cx.waker().clone()));
        worker.cohort.now.set(None);
        std::mem::swap(&mut *worker.cohort.read.borrow_mut(), cohort);
        let now = worker.now();
        for relay in cohort.drain(..) {
            if let Some(judged) = apart(&relay, |relay| relay.judge(now), Relay::cut).flatten() {
                passed.push((relay, judged));
            }
        }
        for (relay, passed) in passed.drain(..) {
            apart(&relay, |relay| relay.deliver(passed, now), Relay::cut);
        }
        cohort.shrink_to(KEPT_MAX);
        passed.shrink_to(KEPT_MAX);
        Poll::Pending
    }
}

/// Does something for one of many. A defect that panics ends that one (`cut`), as it would in a task of its own, and none of its
/// neighbours.
fn apart<C, T>(one: &RefCell<C>, what: impl FnOnce(&mut C) -> T, cut: impl FnOnce(&mut C)) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(|| what(&mut one.borrow_mut())));
    if outcome.is_err() {
        cut(&mut one.borrow_mut());
    }
    outcome.ok()
}

impl Relay {
    /// Whether something was read and is not judged.
    pub(super) fn is_read(&self) -> bool {
        self.client.unjudged.is_some() || self.upstream.unjudged.is_some()
    }

    /// Judges and writes what was read, for which nobody else is waited for.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, now: Now) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            if let Some(span) = self.side(direction).unjudged.take() {
                self.settle_read(direction, span, cx, now);
            }
        }
    }

    /// Judges a read and writes what passes.
    pub(super) fn settle_read(&mut self, direction: Direction, span: Span, cx: &mut Context<'_>, now: Now) {
        if let Some(passed) = self.judge_read(direction, span, cx, now) {
            self.write_passed(passed, cx, now);
        }
    }

    fn judge_read(&mut self, direction: Direction, read: Span, cx: &mut Context<'_>, now: Now) -> Option<Passed> {
        let worker = Rc::clone(&self.worker);
        let (bytes, messages) = self.decide(direction, worker.reads.borrow().bytes(&read), cx, now);
        (!bytes.is_empty()).then_some(Passed { direction, read, bytes, messages })
    }

    fn write_passed(&mut self, passed: Passed, cx: &mut Context<'_>, now: Now) {
        let Passed { direction, read, bytes, messages } = passed;
        let worker = Rc::clone(&self.worker);
        self.write(direction, worker.reads.borrow().bytes(&read).get(bytes), messages, cx, now);
    }

    fn judge(&mut self, now: Now) -> Option<Passed> {
        let live = Rc::clone(&self.live);
        live.in_its_name(|cx| {
            let both = self.client.unjudged.is_some() && self.upstream.unjudged.is_some();
            let passed = if both {
                // What one direction says may end the connection, and a Close comes behind what passed before it.
                self.settle(cx, now);
                None
            } else if let Some(read) = self.client.unjudged.take() {
                self.judge_read(Direction::Inbound, read, cx, now)
            } else {
                let read = self.upstream.unjudged.take()?;
                self.judge_read(Direction::Outbound, read, cx, now)
            };
            if passed.is_none() {
                self.look_again(now.mono);
            }
            passed
        })
    }

    fn deliver(&mut self, passed: Passed, now: Now) {
        let live = Rc::clone(&self.live);
        live.in_its_name(|cx| {
            let direction = passed.direction;
            self.write_passed(passed, cx, now);
            // TLS keeps what it sealed until it is told.
            if self.side(opposite(direction)).poll_flush(cx, now.mono).is_err() {
                self.after(direction, Err(Stop::Broken), now);
            }
        });
        self.look_again(now.mono);
    }

    /// Ends at once, without a word.
    #[cold]
    fn cut(&mut self) {
        tracing::error!("connection {} is cut: a defect of the gateway", self.caller.connection_id);
        self.phase = Phase::Failed { until: Duration::ZERO };
        (self.client.ended, self.upstream.ended) = (true, true);
        self.live.wake();
    }

    /// Has the connection's own task look at it, unless all that can come next is more from its sockets.
    fn look_again(&self, now: Duration) {
        let at_rest = |side: &super::Side| {
            side.held.is_none() && !side.ended && side.backlog() == 0 && side.memory.paused_until() <= now
        };
        let open = matches!(self.phase, Phase::Open) && self.timer_armed;
        if !(open && at_rest(&self.client) && at_rest(&self.upstream)) {
            self.live.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_ends_one_connection_and_none_of_its_neighbours() {
        let connections = [1, 0, 2].map(RefCell::new);
        let judge = |one: &mut i32| 12_i32.checked_div(*one).expect("a defect, printed here on purpose");
        let judged = connections.each_ref().map(|one| apart(one, judge, |one| *one = -1));
        assert_eq!(judged, [Some(12), None, Some(6)]);
        assert_eq!(connections.map(RefCell::into_inner), [1, -1, 2]);
    }

    #[test]
    fn what_a_defect_held_of_the_reads_is_given_back() {
        let reads = crate::reads::Reads::new();
        let span = Span::of(&reads, crate::reads::READ_BYTES);
        let judge = |span: &mut Option<Span>| {
            let span = span.take();
            let seen = reads.borrow().bytes(span.as_ref().unwrap()).len();
            assert_eq!(seen, 0, "a defect, printed here on purpose");
        };
        assert_eq!(apart(&RefCell::new(Some(span)), judge, |_| ()), None);
        let _another = Span::of(&reads, 1);
        assert!(!reads.borrow().is_full());
    }
}
