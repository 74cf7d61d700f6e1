//! A reusable byte buffer whose memory stays initialised between uses.
//!
//! A `Vec` that is cleared and filled again either zeroes its room each time or copies twice;
//! this one zeroes only what it grows by. Bytes of earlier users stay in it beyond `len` and are
//! never handed out.

use crate::mask::unmask_over;

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Room for exactly `wanted` bytes after what is there; fill it, then [`Self::advance`].
    pub(crate) fn room(&mut self, wanted: usize) -> &mut [u8] {
        let end = self.len.saturating_add(wanted);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.len..end).unwrap_or_default()
    }

    /// Bytes written to the room count as content.
    pub(crate) fn advance(&mut self, written: usize) {
        self.len = self.len.saturating_add(written).min(self.bytes.len());
    }

    /// Appends `src`; `key`, where there is one, is in phase with its first byte.
    pub(crate) fn append(&mut self, src: &[u8], key: Option<[u8; 4]>) {
        let room = self.room(src.len());
        match key {
            Some(key) => unmask_over(room, src, key),
            None => room.copy_from_slice(src),
        }
        self.advance(src.len());
    }

    /// Forgets the content, and gives memory back when there is more than `keep_bytes` of it.
    pub(crate) fn shrink(&mut self, keep_bytes: usize) {
        self.len = 0;
        if self.bytes.capacity() > keep_bytes {
            self.bytes = Vec::new();
        }
    }
}
