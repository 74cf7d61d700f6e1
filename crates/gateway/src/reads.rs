//! Where a thread's reads go.
//!
//! What was read may stay where it is for a while, so that several connections are read before any is judged. One buffer
//! for the thread: a connection that waits to be read holds none.

use std::ops::Range;

/// Bytes read at once. Holds a window of sixteen 1 KiB messages or three of 16 KiB.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// The buffer, and what of it is held.
pub(crate) struct Reads {
    buffer: Vec<u8>,
    held_bytes: usize,
    holders: usize,
}

/// Bytes that were read and are held until they are given back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Span(Range<usize>);

impl Reads {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 2 * READ_BYTES], held_bytes: 0, holders: 0 }
    }

    /// Room for one read: [`READ_BYTES`], unless what is held [`is_full`](Self::is_full).
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let end = self.buffer.len().min(self.held_bytes + READ_BYTES);
        self.buffer.get_mut(self.held_bytes..end).unwrap_or_default()
    }

    /// Holds the first `bytes` of the room.
    pub(crate) fn hold(&mut self, bytes: usize) -> Span {
        let start = self.held_bytes;
        self.held_bytes = self.buffer.len().min(start + bytes);
        self.holders += 1;
        Span(start..self.held_bytes)
    }

    /// Whether another read would have less than its room.
    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes > READ_BYTES
    }

    /// What is held.
    pub(crate) fn bytes(&self, span: &Span) -> &[u8] {
        self.buffer.get(span.0.clone()).unwrap_or_default()
    }

    /// Gives it back. The last bytes, or the last holder's, make room again.
    pub(crate) fn give_back(&mut self, span: Span) {
        self.holders = self.holders.saturating_sub(1);
        if self.holders == 0 {
            self.held_bytes = 0;
        } else if span.0.end == self.held_bytes {
            self.held_bytes = span.0.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(reads: &mut Reads, byte: u8, count: usize) -> Span {
        reads.room().get_mut(..count).unwrap().fill(byte);
        reads.hold(count)
    }

    #[test]
    fn what_is_held_stays_as_it_was_read() {
        let mut reads = Reads::new();
        let first = fill(&mut reads, 1, 1000);
        let second = fill(&mut reads, 2, 500);
        reads.room().fill(3);
        assert_eq!(reads.bytes(&first), [1; 1000]);
        assert_eq!(reads.bytes(&second), [2; 500]);
        reads.give_back(first);
        reads.room().fill(3);
        assert_eq!(reads.bytes(&second), [2; 500]);
    }

    #[test]
    fn a_read_has_its_whole_room_until_the_buffer_is_full() {
        let mut reads = Reads::new();
        let first = fill(&mut reads, 1, READ_BYTES);
        assert!(!reads.is_full());
        assert_eq!(reads.room().len(), READ_BYTES);
        let second = fill(&mut reads, 2, 1);
        assert!(reads.is_full());
        reads.give_back(second);
        assert!(!reads.is_full(), "the last bytes make room");
        let second = fill(&mut reads, 2, READ_BYTES);
        assert!(reads.room().is_empty());
        reads.give_back(first);
        assert!(reads.is_full(), "those before them do not");
        reads.give_back(second);
        assert_eq!(reads.room().len(), READ_BYTES);
        assert_eq!(reads.hold(1), Span(0..1));
    }
}
