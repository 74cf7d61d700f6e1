//! Connections of a thread that were read in one turn of its event loop: judged together, then written together.
//!
//! Each on its own would run the system's code for a read, then the inspection's, then the system's for a write, and each
//! of the three pushes the others out of the processor's nearest cache. Together a stage's code is fetched once (cohort
//! scheduling: Larus and Parkes, USENIX 2002). Nobody waits for a cohort to fill: it is whoever was ready.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Range;
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
            let judged = relay.borrow_mut().judge(now);
            if let Some(judged) = judged {
                passed.push((relay, judged));
            }
        }
        for (relay, passed) in passed.drain(..) {
            relay.borrow_mut().deliver(passed, now);
        }
        Poll::Pending
    }
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
        if bytes.is_empty() {
            worker.reads.borrow_mut().give_back(read);
            return None;
        }
        Some(Passed { direction, read, bytes, messages })
    }

    fn write_passed(&mut self, passed: Passed, cx: &mut Context<'_>, now: Now) {
        let Passed { direction, read, bytes, messages } = passed;
        let worker = Rc::clone(&self.worker);
        self.write(direction, worker.reads.borrow().bytes(&read).get(bytes), messages, cx, now);
        worker.reads.borrow_mut().give_back(read);
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
