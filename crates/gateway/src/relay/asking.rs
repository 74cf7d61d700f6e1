//! Messages that wait for callbacks (SPEC 8.11).
//!
//! One message of a side waits at a time, and what its sender said behind it waits with it, undecoded: order is kept, and
//! that side is not read, so back-pressure is TCP's own. The other side goes on. A message that no callback concerns
//! never comes here. What waits is bounded by the largest message, its question and one read.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use portcullis_codec::MessageKind;
use portcullis_core::inspection::callback::Ask;
use portcullis_core::inspection::{Action, Direction, Verdict};
use portcullis_core::time::Now;

use super::lane::{Lane, Stop};
use super::{Phase, Relay};
use crate::callback::{Answers, Reserved, Speaker, hear};

/// A message that waits.
pub(super) struct Held {
    answers: Pin<Box<dyn Future<Output = Answers>>>,
    /// The frames that go on if it may.
    frame: Vec<u8>,
    /// It came compressed: its receiver lacks what later ones may refer to if it does not go on.
    compressed: bool,
    /// What was read behind it.
    rest: Vec<u8>,
}

/// A message that a lane stopped at.
pub(super) struct Stopped {
    pub(super) ask: Box<Ask>,
    pub(super) frame: Vec<u8>,
    pub(super) compressed: bool,
}

impl Relay {
    /// Asks about a message. `rest` is what was read behind it.
    #[cold]
    pub(super) fn hold(&mut self, direction: Direction, stopped: Stopped, rest: &[u8]) {
        let Stopped { ask, frame, compressed } = stopped;
        let caller = &self.caller;
        let speaker = Speaker {
            route: Arc::clone(&caller.route),
            principal: Arc::clone(&caller.principal),
            client: caller.client,
            ip_key: caller.ip_key,
            connection_id: caller.connection_id.clone(),
            direction,
        };
        let question = speaker.question(&ask);
        let bytes = frame.len() + rest.len() + ask.bytes() + question.len();
        let room = Reserved::room(&self.worker.shared, bytes);
        let answers = Box::pin(hear(Rc::clone(&self.worker), speaker, ask, question, room));
        let held = Held { answers, frame, compressed, rest: rest.to_vec() };
        self.side(direction).held = Some(Box::new(held));
    }

    /// Lets go of what waits: nobody is left to send it to.
    pub(super) fn let_go(&mut self) {
        self.client.held = None;
        self.upstream.held = None;
    }

    /// Looks whether the answers came, and does what they say. True when they did.
    pub(super) fn answer(&mut self, direction: Direction, cx: &mut Context<'_>, now: Now) -> bool {
        let side = self.side(direction);
        let Some(held) = side.held.as_mut() else { return false };
        let Poll::Ready(answers) = held.answers.as_mut().poll(cx) else { return false };
        let Some(held) = side.held.take() else { return false };
        // It was not read, so it could not be heard.
        side.heard_at = now.mono;
        let deflate = self.deflate.is_some();
        let mut lane = self.lane(direction, now);
        let verdict = lane.answered(answers);
        let outcome = lane.let_on(&verdict, &held, deflate, cx);
        self.after(direction, outcome, now);
        if !matches!(self.phase, Phase::Failed { .. }) && !held.rest.is_empty() {
            self.take_in(direction, &held.rest, cx, now);
        }
        true
    }
}

impl Lane<'_> {
    fn let_on(&mut self, verdict: &Verdict, held: &Held, deflate: bool, cx: &mut Context<'_>) -> Result<(), Stop> {
        if verdict.action == Action::Pass {
            self.write(Some(&held.frame), cx)?;
        } else {
            // Only text is put in the place of another.
            if let Some(text) = &verdict.rewritten {
                let frame = self.reencoded(MessageKind::Text, text);
                self.write(Some(&frame), cx)?;
            }
            self.from.reencode |= deflate && held.compressed;
        }
        self.tell(verdict)
    }
}
