//! Where a thread's reads go.
//!
//! What was read may stay where it is for a while, so that several connections are read before any is judged. One buffer
//! for the thread: a connection that waits to be read holds none.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// Bytes read at once. Holds a window of sixteen 1 KiB messages or three of 16 KiB.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// The buffer, and what of it is held.
pub(crate) struct Reads {
    buffer: Vec<u8>,
    held_bytes: usize,
    holders: usize,
}

/// Bytes that were read, held as long as this lives.
pub(crate) struct Span {
    reads: Rc<RefCell<Reads>>,
    range: Range<usize>,
}

impl Span {
    /// Holds the first `bytes` of the room.
    pub(crate) fn of(reads: &Rc<RefCell<Reads>>, bytes: usize) -> Self {
        Self { range: reads.borrow_mut().hold(bytes), reads: Rc::clone(reads) }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.reads.borrow_mut().give_back(&self.range);
    }
}

impl Reads {
    pub(crate) fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { buffer: vec![0; 2 * READ_BYTES], held_bytes: 0, holders: 0 }))
    }

    /// Room for one read: [`READ_BYTES`], unless what is held [`is_full`](Self::is_full).
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let end = self.buffer.len().min(self.held_bytes + READ_BYTES);
        self.buffer.get_mut(self.held_bytes..end).unwrap_or_default()
    }

    fn hold(&mut self, bytes: usize) -> Range<usize> {
        let start = self.held_bytes;
        self.held_bytes = self.buffer.len().min(start + bytes);
        self.holders += 1;
        start..self.held_bytes
    }

    /// Whether another read would have less than its room.
    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes > READ_BYTES
    }

    /// What is held.
    pub(crate) fn bytes(&self, span: &Span) -> &[u8] {
        self.buffer.get(span.range.clone()).unwrap_or_default()
    }

    /// The last bytes, or the last holder's, make room again.
    fn give_back(&mut self, range: &Range<usize>) {
        self.holders = self.holders.saturating_sub(1);
        if self.holders == 0 {
            self.held_bytes = 0;
        } else if range.end == self.held_bytes {
            self.held_bytes = range.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(reads: &Rc<RefCell<Reads>>, byte: u8, count: usize) -> Span {
        reads.borrow_mut().room().get_mut(..count).unwrap().fill(byte);
        Span::of(reads, count)
    }

    #[test]
    fn what_is_held_stays_as_it_was_read() {
        let reads = Reads::new();
        let first = fill(&reads, 1, 1000);
        let second = fill(&reads, 2, 500);
        reads.borrow_mut().room().fill(3);
        assert_eq!(reads.borrow().bytes(&first), [1; 1000]);
        assert_eq!(reads.borrow().bytes(&second), [2; 500]);
        drop(first);
        reads.borrow_mut().room().fill(3);
        assert_eq!(reads.borrow().bytes(&second), [2; 500]);
    }

    #[test]
    fn a_read_has_its_whole_room_until_the_buffer_is_full() {
        let reads = Reads::new();
        let first = fill(&reads, 1, READ_BYTES);
        assert!(!reads.borrow().is_full());
        assert_eq!(reads.borrow_mut().room().len(), READ_BYTES);
        let second = fill(&reads, 2, 1);
        assert!(reads.borrow().is_full());
        drop(second);
        assert!(!reads.borrow().is_full(), "the last bytes make room");
        let second = fill(&reads, 2, READ_BYTES);
        assert!(reads.borrow_mut().room().is_empty());
        drop(first);
        assert!(reads.borrow().is_full(), "those before them do not");
        drop(second);
        assert_eq!(reads.borrow_mut().room().len(), READ_BYTES);
        assert_eq!(Span::of(&reads, 1).range, 0..1);
    }
}
