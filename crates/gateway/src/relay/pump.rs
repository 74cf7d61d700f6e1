//! One direction: read while the other side takes what it says, hand on to its lane, and end what a lane stopped.

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
use crate::worker::Scratch;

/// Reads of one direction before the other has its turn.
const READS_MAX: usize = 4;

impl Relay {
    /// Moves one direction. True when it should be called again at once.
    pub(super) fn pump(&mut self, direction: Direction, cx: &mut Context<'_>, now: Now) -> bool {
        let worker = std::rc::Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        let Scratch { read, .. } = &mut *scratch;
        let mut buffer = std::mem::take(read);
        let mut again = false;
        for round in 0..READS_MAX {
            if !self.may_read(direction, cx, now.mono) {
                break;
            }
            let from = match direction {
                Direction::Inbound => &mut self.client,
                Direction::Outbound => &mut self.upstream,
            };
            match from.poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    from.ended = true;
                    self.side_ended(direction, now.mono);
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    from.heard_at = now.mono;
                    let input = buffer.get(..count).unwrap_or_default();
                    self.decide(direction, input, &mut scratch, cx, now);
                    again = round + 1 == READS_MAX;
                }
            }
        }
        scratch.read = buffer;
        drop(scratch);
        let side = if direction == Direction::Inbound { &self.client } else { &self.upstream };
        let paused_until = side.memory.paused_until();
        if paused_until > now.mono {
            self.wake_by(paused_until);
        }
        again
    }

    /// Takes bytes that were read with the handshake.
    pub(super) fn take_in(&mut self, direction: Direction, input: &[u8], cx: &mut Context<'_>, now: Now) {
        let worker = std::rc::Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        self.decide(direction, input, &mut scratch, cx, now);
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

    pub(super) fn decide(
        &mut self,
        direction: Direction,
        input: &[u8],
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
        now: Now,
    ) {
        if matches!(self.phase, Phase::Failed { .. }) {
            return;
        }
        if self.side(direction).close_received {
            return;
        }
        let deflate = self.deflate.is_some();
        let mut lane = self.lane(direction, now);
        let outcome = lane.run(input, scratch, deflate, cx);
        let Lane { messages, dropped, closed, renewal, stopped, used, .. } = lane;
        let waiting = self.side(opposite(direction)).count_queued(messages.saturating_sub(dropped));
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
        let queue_max = self.caller.route.spec.messages(direction == Direction::Inbound).queue_max;
        if queue_max.is_some_and(|max| waiting > u64::from(max)) && outcome.is_ok() {
            return self.time_out(Reason::SlowReader, now.mono);
        }
        let goes_on = outcome.is_ok();
        self.after(direction, outcome, now);
        if let Some(stopped) = stopped.filter(|_| goes_on) {
            self.hold(direction, stopped, input.get(used..).unwrap_or_default());
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

fn opposite(direction: Direction) -> Direction {
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
