//! How a connection ends (RFC 6455 7): a Close passed on, or one of the gateway's own; then both sockets shut,
//! what still comes thrown away, and a deadline over all of it.

use std::task::{Context, Poll};
use std::time::Duration;

use portcullis_core::inspection::Direction;
use portcullis_core::verdict::Reason;

use super::{Phase, Relay};

/// What the other side of an ended connection is told: going away (RFC 6455 7.4.1).
const GOING_AWAY: u16 = 1001;
/// Time for a peer to end its half once both Close frames are through.
const LINGER: Duration = Duration::from_secs(1);

impl Relay {
    /// A Close was passed on: the other side has its time to answer.
    #[cold]
    pub(super) fn handshake_close(&mut self, now: Duration) {
        let until = now + self.caller.route.spec.times.close;
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Handshaking { until };
        }
        if self.client.close_sent && self.upstream.close_sent {
            let until = now + LINGER.min(self.caller.route.spec.times.close);
            self.phase = Phase::Handshaking { until };
        }
    }

    /// Ends the connection for a reason of the table.
    pub(super) fn fail(&mut self, reason: Reason, now: Duration) {
        let detailed = self.caller.route.spec.errors.detailed;
        self.fail_with(reason, reason.row().close_code, reason.words(detailed), now);
    }

    /// Ends the connection: the client reads `code` and `words`, the upstream that its peer is going away.
    #[cold]
    pub(super) fn fail_with(&mut self, reason: Reason, code: u16, words: &str, now: Duration) {
        if matches!(self.phase, Phase::Failed { .. }) {
            return;
        }
        self.end = Some(reason);
        let mask = self.worker.mask_key();
        self.client.queue_close(code, words, mask);
        self.upstream.queue_close(GOING_AWAY, "", mask);
        let until = now + self.caller.route.spec.times.close;
        self.phase = Phase::Failed { until };
        self.client.decoder.release();
        self.upstream.decoder.release();
        self.let_go();
        self.wake_by(until);
    }

    /// A side sends no more. Without its Close frame that is the end of the other side as well.
    #[cold]
    pub(super) fn side_ended(&mut self, direction: Direction, now: Duration) {
        if matches!(self.phase, Phase::Failed { .. }) {
            return;
        }
        match direction {
            Direction::Inbound if !self.client.close_received => {
                let mask = self.worker.mask_key();
                self.client.close_sent = true;
                self.upstream.queue_close(GOING_AWAY, "", mask);
                let until = now + self.caller.route.spec.times.close;
                self.phase = Phase::Failed { until };
                self.let_go();
                self.wake_by(until);
            }
            Direction::Outbound if !self.upstream.close_received => {
                // Nobody reads a Close there.
                self.upstream.close_sent = true;
                if self.client.close_sent {
                    self.fail(Reason::UpstreamGone, now);
                } else {
                    self.note_upstream_gone(now);
                    self.fail(Reason::UpstreamGone, now);
                }
            }
            Direction::Inbound | Direction::Outbound => {}
        }
    }

    fn note_upstream_gone(&mut self, now: Duration) {
        use portcullis_core::event::Decision;
        let wall = self.worker.shared.clock.now();
        self.worker.shard().refused(Reason::UpstreamGone, Decision::Closed);
        let detail = format!(
            "the upstream ended after {} ms without a Close frame",
            now.saturating_sub(self.started).as_millis()
        );
        self.worker.record(self.caller.draft(Reason::UpstreamGone, Decision::Closed, "relay", detail), wall);
    }

    /// Writes what waits on both sides.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, now: Duration) {
        if self.client.poll_flush(cx, now).is_err() {
            self.client.ended = true;
            self.side_ended(Direction::Inbound, now);
        }
        if self.upstream.poll_flush(cx, now).is_err() {
            self.upstream.ended = true;
            self.side_ended(Direction::Outbound, now);
        }
        if self.client.stalled_since.is_some() || self.upstream.stalled_since.is_some() {
            self.wake_by(now + self.caller.route.spec.times.write);
        }
    }

    /// Shuts what is finished. True when nothing is left to wait for.
    pub(super) fn close_finished(&mut self, cx: &mut Context<'_>) -> bool {
        let failed = match self.phase {
            Phase::Open => return false,
            Phase::Handshaking { .. } => false,
            Phase::Failed { .. } => true,
        };
        let both = self.client.close_sent && self.upstream.close_sent;
        if !(failed || both) {
            return false;
        }
        // Both have said that they send no more, and have been told so: there is nothing to wait for.
        if self.client.is_through() && self.upstream.is_through() {
            return true;
        }
        // The server ends first (RFC 6455 7.1.1), so the client's socket is shut as soon as all is written. The
        // upstream is a server and ends its own; ours is shut when it has had its Close.
        self.client.poll_shut(cx);
        if failed || self.upstream.close_received {
            self.upstream.poll_shut(cx);
        }
        self.discard(cx);
        self.client.ended && self.upstream.ended
    }

    /// Reads and forgets, so that the sockets end in peace and not with a reset that eats our Close frame.
    fn discard(&mut self, cx: &mut Context<'_>) {
        let worker = std::rc::Rc::clone(&self.worker);
        let mut reads = worker.reads.borrow_mut();
        for side in [&mut self.client, &mut self.upstream] {
            for _ in 0..16 {
                if side.ended {
                    break;
                }
                match side.poll_read(cx, reads.room()) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => side.ended = true,
                    Poll::Ready(Ok(_)) => {}
                }
            }
        }
    }
}
