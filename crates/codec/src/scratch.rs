//! What all connections of one worker thread share, for none needs it between two calls.

use flate2::{Compress, Decompress};

use crate::buffer::Buffer;
use crate::frame::CONTROL_BYTES_MAX;

/// Memory of a worker thread: buffers for unmasked and inflated bytes, one inflater and one
/// compressor for messages that stand alone. Nothing of a connection stays in use here after the
/// items of a call are dropped.
pub struct Scratch {
    /// Payload of the message that is delivered.
    pub(crate) plain: Buffer,
    /// Compressed payload, unmasked and in one piece.
    pub(crate) packed: Buffer,
    pub(crate) control: [u8; CONTROL_BYTES_MAX],
    pub(crate) inflater: Option<Box<Decompress>>,
    pub(crate) compressor: Option<(u8, Box<Compress>)>,
}

/// A buffer above this is given back by [`Scratch::shrink`].
pub const KEEP_BYTES: usize = 256 << 10;

impl Scratch {
    /// Allocates nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            plain: Buffer::default(),
            packed: Buffer::default(),
            control: [0; CONTROL_BYTES_MAX],
            inflater: None,
            compressor: None,
        }
    }

    /// Gives back each buffer that grew above [`KEEP_BYTES`]; call it when a worker has nothing
    /// to do.
    pub fn shrink(&mut self) {
        self.plain.shrink(KEEP_BYTES);
        self.packed.shrink(KEEP_BYTES);
    }

    /// Bytes of buffers held, without the inflater (47 KiB) and the compressor (up to
    /// 372 KiB), which exist once used.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.plain.capacity() + self.packed.capacity()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("held_bytes", &self.held_bytes()).finish_non_exhaustive()
    }
}
