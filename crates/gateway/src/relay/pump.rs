//! One direction: read while the other side takes what it says, hand on to its lane, and end what a lane stopped.

use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Duration;

use portcullis_codec::ProtocolError;
use portcullis_core::event::Decision;
use portcullis_core::inspection::Direction;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use super::lane::{Lane, Stop};
use super::side::Side;
use super::{Phase, Relay};
use crate::reads::{READ_BYTES, Span};

/// Reads of one direction before the other has its turn.
const READS_MAX: usize = 4;

impl Relay {
    /// Moves one direction. True when it should be called again at once.
    pub(super) fn pump(&mut self, direction: Direction, cx: &mut Context<'_>, now: Now) -> bool {
        let worker = std::rc::Rc::clone(&self.worker);
        let mut again = false;
        for round in 0..READS_MAX {
            if !self.may_read(direction, cx, now.mono) {
                break;
            }
            let from = self.side(direction);
            let read = from.poll_read(cx, worker.reads.borrow_mut().room());
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    self.settle(cx, now);
                    self.side(direction).ended = true;
                    self.side_ended(direction, now.mono);
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    from.heard_at = now.mono;
                    // Until it is told that nothing is there, nobody wakes it for more.
                    again = round + 1 == READS_MAX;
                    let span = Span::of(&worker.reads, count);
                    let drained = count < READ_BYTES;
                    if drained && from.unjudged.is_none() && !worker.reads.borrow().is_full() {
                        from.unjudged = Some(span);
                        continue;
                    }
                    // There is more than one read, and whether the next may come hangs on this one; or there is no room to
                    // wait for others.
                    self.settle(cx, now);
                    self.settle_read(direction, span, cx, now);
                }
            }
        }
        let side = if direction == Direction::Inbound { &self.client } else { &self.upstream };
        let paused_until = side.memory.paused_until();
        if paused_until > now.mono {
            self.wake_by(paused_until);
        }
        again
    }

    /// Takes bytes that were read with the handshake.
    pub(super) fn take_in(&mut self, direction: Direction, input: &[u8], cx: &mut Context<'_>, now: Now) {
        let (passed, messages) = self.decide(direction, input, cx, now);
        self.write(direction, input.get(passed), messages, cx, now);
    }

    /// Whether this side may be read: it speaks, and the other takes what it says.
    fn may_read(&mut self, direction: Direction, cx: &mut Context<'_>, now: Duration) -> bool {
        let queue_max = self.caller.route.spec.queue_bytes_max;
        let (from, to) = match direction {
            Direction::Inbound => (&mut self.client, &mut self.upstream),
            Direction::Outbound => (&mut self.upstream, &mut self.client),
        };
        // Whoever owes a limit is not read: what it sends waits with it. After its Close a peer says nothing more.
        if from.ended || from.close_received || from.held.is_some() || from.memory.paused_until() > now {
            return false;
        }
        if to.poll_flush(cx, now).is_err() {
            to.ended = true;
            self.side_ended(opposite(direction), now);
            return false;
        }
        // Replies wait on `from` itself: a client that does not read its refusals is not read either.
        to.backlog() < queue_max && from.backlog() < queue_max
    }

    /// A side.
    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Inbound => &mut self.client,
            Direction::Outbound => &mut self.upstream,
        }
    }

    /// Has what was read judged. Gives what is left to be written of it, and how many messages go on in all.
    pub(super) fn decide(
        &mut self,
        direction: Direction,
        input: &[u8],
        cx: &mut Context<'_>,
        now: Now,
    ) -> (Range<usize>, u64) {
        if matches!(self.phase, Phase::Failed { .. }) || self.side(direction).close_received {
            return (0..0, 0);
        }
        let deflate = self.deflate.is_some();
        let worker = std::rc::Rc::clone(&self.worker);
        let mut lane = self.lane(direction, now);
        let outcome = lane.run(input, &mut worker.scratch.borrow_mut(), deflate, cx);
        let Lane { messages, dropped, closed, renewal, stopped, used, passed, .. } = lane;
        if messages > 0 {
            self.message_at = now.mono;
            if let (Direction::Inbound, Some(session)) = (direction, &self.session) {
                session.touch(now.unix_seconds());
            }
            if direction == Direction::Inbound
                && let Some((sent, bytes)) = self.habit.add(messages, used, now.mono)
            {
                self.note_habit(sent, bytes, now);
            }
            self.live.count(direction, messages);
            self.worker.shard().messages(self.counter, direction, messages, used as u64);
        }
        if closed {
            self.handshake_close(now.mono);
        }
        if let (Some(plea), Ok(())) = (renewal, &outcome) {
            self.renew(plea, now);
        }
        let goes_on = outcome.is_ok();
        self.after(direction, outcome, now);
        if let Some(stopped) = stopped.filter(|_| goes_on) {
            self.hold(direction, stopped, input.get(used..).unwrap_or_default());
        }
        let sent = messages.saturating_sub(dropped);
        if passed.is_empty() && goes_on {
            self.note_queued(direction, sent, now);
        }
        (passed, sent)
    }

    /// Writes what passed of a read; `messages` went on in all.
    pub(super) fn write(
        &mut self,
        direction: Direction,
        bytes: Option<&[u8]>,
        messages: u64,
        cx: &mut Context<'_>,
        now: Now,
    ) {
        let bytes = bytes.unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        if self.side(opposite(direction)).send(cx, bytes).is_err() {
            return self.after(direction, Err(Stop::Broken), now);
        }
        self.note_queued(direction, messages, now);
    }

    /// Ends a connection on which more messages wait than may.
    fn note_queued(&mut self, direction: Direction, messages: u64, now: Now) {
        let waiting = self.side(opposite(direction)).count_queued(messages);
        let queue_max = self.caller.route.spec.messages(direction == Direction::Inbound).queue_max;
        if queue_max.is_some_and(|max| waiting > u64::from(max)) {
            self.time_out(Reason::SlowReader, now.mono);
        }
    }

    /// Ends what a lane stopped for good.
    pub(super) fn after(&mut self, direction: Direction, outcome: Result<(), Stop>, now: Now) {
        match outcome {
            Ok(()) => {}
            Err(Stop::Protocol(error)) => self.protocol_error(direction, &error, now),
            Err(Stop::Refused(reason)) => self.fail(reason, now.mono),
            Err(Stop::Broken) => {
                match direction {
                    Direction::Inbound => self.upstream.ended = true,
                    Direction::Outbound => self.client.ended = true,
                }
                self.side_ended(opposite(direction), now.mono);
            }
        }
    }

    #[cold]
    fn protocol_error(&mut self, direction: Direction, error: &ProtocolError, now: Now) {
        let reason = reason_of(direction, error);
        self.worker.shard().refused(reason, Decision::Closed);
        if direction == Direction::Inbound {
            let subject = self.caller.principal.subject.as_deref();
            self.worker.accuse(self.caller.client, subject, reason, Decision::Closed);
        }
        if self.events.spend(reason, now.mono).is_some() {
            let mut draft = self.caller.draft(reason, Decision::Closed, "codec", error.to_string());
            draft.metadata.push(("rule", error.label().into()));
            self.worker.record(draft, now);
        }
        let code = reason.row().close_code;
        if direction == Direction::Outbound {
            let mask = self.worker.mask_key();
            self.upstream.queue_close(error.close_code(), "", mask);
        }
        let detailed = self.caller.route.spec.errors.detailed;
        let words = if detailed && direction == Direction::Inbound {
            error.to_string()
        } else {
            reason.words(detailed).to_owned()
        };
        self.fail_with(reason, code, &words, now.mono);
    }
}

/// What a broken rule of the protocol is called.
fn reason_of(direction: Direction, error: &ProtocolError) -> Reason {
    match (direction, error.close_code()) {
        (Direction::Outbound, _) => Reason::UpstreamProtocol,
        (_, 1007) => Reason::InvalidUtf8,
        (_, 1009) => match error {
            ProtocolError::TooManyFragments { .. } => Reason::TooManyFragments,
            ProtocolError::InflateRatio { .. } => Reason::CompressionBomb,
            _ => Reason::MessageTooLarge,
        },
        _ => Reason::ProtocolError,
    }
}

pub(super) fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_message_that_is_only_too_large_is_no_bomb() {
        let of = |error| reason_of(Direction::Inbound, &error);
        assert_eq!(of(ProtocolError::InflatedTooLarge { max: 9 }), Reason::MessageTooLarge);
        assert_eq!(of(ProtocolError::InflateRatio { max: 9 }), Reason::CompressionBomb);
    }
}
