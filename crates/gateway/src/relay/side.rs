//! One leg with what waits to be written to it and how far its close has come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use portcullis_codec::{Decoder, Opcode, Sender, encode_close, encode_control};
use portcullis_core::inspection::Memory;
use tokio::io::AsyncWrite as _;

use super::asking::Held;
use super::leg::Leg;
use crate::reads::Span;

/// A leg of a connection.
pub(super) struct Side {
    leg: Leg,
    /// Who is at the other end.
    pub sender: Sender,
    /// Reads what this side sends.
    pub decoder: Decoder,
    /// What the checks remember of this side's messages.
    pub memory: Memory,
    /// What was read from this side and is not judged.
    pub unjudged: Option<Span>,
    /// A message of this side that waits for callbacks; what comes behind it is not read.
    pub held: Option<Box<Held>>,
    /// A compressed message of this side was not forwarded as it came, and later ones may refer to it.
    pub reencode: bool,
    /// Bytes that wait for the peer to read; empty, and without heap, while it keeps up.
    waiting: Vec<u8>,
    written: usize,
    /// Messages among what waits.
    queued: u64,
    /// Monotonic time since when the peer takes nothing while bytes wait.
    pub stalled_since: Option<Duration>,
    /// Monotonic time of the last byte from this side.
    pub heard_at: Duration,
    /// Monotonic time of the last ping of ours.
    pub pinged_at: Duration,
    /// Our Close frame is sent or waits.
    pub close_sent: bool,
    /// Its Close frame came.
    pub close_received: bool,
    /// It sends no more: end of stream, or an error.
    pub ended: bool,
    /// Our half is shut.
    shut: bool,
}

/// What our own pings carry, so that their pongs are told from those meant for the other side.
const PING_MARK: [u8; 8] = *b"\x00pcl.hb\x00";

impl Side {
    pub(super) fn new(leg: Leg, sender: Sender, decoder: Decoder, memory: Memory, now: Duration) -> Self {
        Self {
            leg,
            sender,
            decoder,
            memory,
            unjudged: None,
            held: None,
            reencode: false,
            waiting: Vec::new(),
            written: 0,
            queued: 0,
            stalled_since: None,
            heard_at: now,
            pinged_at: now,
            close_sent: false,
            close_received: false,
            ended: false,
            shut: false,
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn backlog(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// Counts messages that were just sent among what waits; gives how many wait. One of which a part was taken counts.
    pub(super) fn count_queued(&mut self, messages: u64) -> u64 {
        self.queued = if self.backlog() == 0 { 0 } else { self.queued.saturating_add(messages) };
        self.queued
    }

    /// Reads what is there. `Ok(0)` is the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.leg.poll_recv(cx, buffer)
    }

    /// Writes as much as the peer takes at once and keeps the rest.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        if self.backlog() == 0 {
            while !bytes.is_empty() {
                match self.leg.poll_send(cx, bytes) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(taken)) => bytes = bytes.get(taken..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what waits. `now` starts and ends the count of a stall.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Duration) -> io::Result<()> {
        while self.backlog() > 0 {
            let rest = self.waiting.get(self.written..).unwrap_or_default();
            match self.leg.poll_send(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(taken)) => {
                    self.queued = share(self.queued, rest.len(), taken);
                    self.written += taken;
                    self.stalled_since = None;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.stalled_since.get_or_insert(now);
                    self.compact();
                    return Ok(());
                }
            }
        }
        self.stalled_since = None;
        self.queued = 0;
        if self.waiting.capacity() > 0 {
            self.waiting = Vec::new();
            self.written = 0;
        }
        match Pin::new(&mut self.leg).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Moves what waits to the front once the written part is the larger one, so the memory held stays
    /// within twice the backlog.
    fn compact(&mut self) {
        if self.written > self.waiting.len() / 2 {
            self.waiting.drain(..self.written);
            self.written = 0;
            self.waiting.shrink_to(self.waiting.len() * 2);
        }
    }

    /// Whether the closing handshake with it is complete and written (RFC 6455 7.1.4), so that its socket may be closed
    /// at once: after its Close frame a peer sends nothing that a reset could overtake. TLS has a farewell of its own.
    pub(super) fn is_through(&self) -> bool {
        let said = self.close_sent && self.close_received && self.backlog() == 0;
        said && matches!(self.leg, Leg::Tcp(_))
    }

    /// Shuts our half once everything is written.
    pub(super) fn poll_shut(&mut self, cx: &mut Context<'_>) {
        if !self.shut && self.backlog() == 0 && Pin::new(&mut self.leg).poll_shutdown(cx).is_ready() {
            self.shut = true;
        }
    }

    /// Appends to what waits: frames of the gateway's own.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Queues a Close frame, once.
    pub(super) fn queue_close(&mut self, code: u16, reason: &str, mask: [u8; 4]) {
        if !self.close_sent {
            self.close_sent = true;
            let mask = self.mask(mask);
            encode_close(&mut self.waiting, code, reason, mask);
        }
    }

    /// Queues the Close frame of the other side, once.
    pub(super) fn queue_close_payload(&mut self, payload: &[u8], mask: [u8; 4]) {
        if !self.close_sent {
            self.close_sent = true;
            let mask = self.mask(mask);
            encode_control(&mut self.waiting, Opcode::Close, payload, mask);
        }
    }

    /// Queues a ping or a pong.
    pub(super) fn queue_control(&mut self, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
        let mask = self.mask(mask);
        encode_control(&mut self.waiting, opcode, payload, mask);
    }

    /// Queues a heartbeat.
    pub(super) fn queue_heartbeat(&mut self, mask: [u8; 4]) {
        self.queue_control(Opcode::Ping, &PING_MARK, mask);
    }

    /// Whether a pong answers a heartbeat of ours.
    pub(super) fn is_heartbeat(payload: &[u8]) -> bool {
        payload == PING_MARK
    }

    /// The mask for a frame to this side: we are a client to a server only.
    pub(super) fn mask(&self, key: [u8; 4]) -> Option<[u8; 4]> {
        matches!(self.sender, Sender::Server).then_some(key)
    }
}

/// How many of `queued` messages are left of `waiting` bytes when some are taken: their share of the bytes, rounded up.
fn share(queued: u64, waiting: usize, taken: usize) -> u64 {
    let left = waiting.saturating_sub(taken) as u64;
    queued.saturating_mul(left).div_ceil((waiting as u64).max(1)).min(queued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_wait_are_counted_by_their_share_of_the_bytes() {
        for (queued, waiting, taken, left) in
            [(10, 100, 0, 10), (10, 100, 1, 10), (10, 100, 10, 9), (10, 100, 99, 1), (10, 100, 100, 0), (0, 0, 0, 0)]
        {
            assert_eq!(share(queued, waiting, taken), left, "{taken} of {waiting}");
        }
        assert_eq!(share(u64::MAX, 2, 1), u64::MAX.div_ceil(2), "a count that is full is no overflow");
    }
}
