//! A message that arrives in pieces: its bytes as they came, and what is known of it so far.
//!
//! Memory grows with what has arrived, never with what was announced: at most to twice that, and
//! never beyond the end of the frame it arrives in.

use crate::buffer::Buffer;
use crate::error::ProtocolError;
use crate::frame::{Header, Opcode, Sender};
use crate::item::MessageKind;
use crate::limits::Limits;
use crate::mask::phased;
use crate::utf8::Utf8;

/// Bytes unmasked at a time to judge their UTF-8 before the message is whole: stays in the
/// processor's first cache.
const VALIDATE_BYTES: usize = 16 << 10;

/// A piece up to this is looked at byte by byte first, for most are ASCII.
const SHORT_BYTES: usize = 16;

/// An emptied buffer above this is freed when the next bytes come, not kept for them.
const KEEP_BYTES: usize = 16 << 10;

/// The message in progress, if `frames` is not zero, and then perhaps the beginning of a frame
/// whose header, or whose control payload, is not complete.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// `wire_bytes` of the message, then the beginning of a frame.
    held: Vec<u8>,
    wire_bytes: usize,
    /// Payload bytes to come of the frame in progress.
    remaining: u64,
    /// Payload bytes announced by the frames so far.
    payload_bytes: u64,
    frames: u32,
    /// Key of the frame in progress, in phase with its next byte.
    key: [u8; 4],
    utf8: Utf8,
    kind: MessageKind,
    compressed: bool,
    fin: bool,
    delivered: bool,
}

impl Assembly {
    pub(crate) fn new() -> Self {
        Self {
            held: Vec::new(),
            wire_bytes: 0,
            remaining: 0,
            payload_bytes: 0,
            frames: 0,
            key: [0; 4],
            utf8: Utf8::default(),
            kind: MessageKind::Binary,
            compressed: false,
            fin: false,
            delivered: false,
        }
    }

    pub(crate) fn kind(&self) -> MessageKind {
        self.kind
    }

    pub(crate) fn compressed(&self) -> bool {
        self.compressed
    }

    pub(crate) fn frames(&self) -> u32 {
        self.frames
    }

    pub(crate) fn is_last_frame(&self) -> bool {
        self.fin
    }

    pub(crate) fn is_mid_message(&self) -> bool {
        self.frames > 0
    }

    /// Whether bytes of the frame in progress are still to come.
    pub(crate) fn is_mid_payload(&self) -> bool {
        self.remaining > 0
    }

    /// Whether nothing is held of a message or frame to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0 && (self.delivered || self.held.is_empty())
    }

    pub(crate) fn capacity(&self) -> usize {
        self.held.capacity()
    }

    /// The message as it came.
    pub(crate) fn wire(&self) -> &[u8] {
        self.held.get(..self.wire_bytes).unwrap_or_default()
    }

    /// The beginning of a frame that is not complete.
    pub(crate) fn pending(&self) -> &[u8] {
        self.held.get(self.wire_bytes..).unwrap_or_default()
    }

    pub(crate) fn hold_pending(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    pub(crate) fn drop_pending(&mut self) {
        self.held.truncate(self.wire_bytes);
    }

    /// What is pending is the header of a frame of this message.
    pub(crate) fn keep_pending(&mut self) {
        self.wire_bytes = self.held.len();
    }

    /// Judges the header of a data frame against the message and the limits, and begins it.
    pub(crate) fn begin_frame(
        &mut self,
        header: &Header,
        limits: &Limits,
        may_compress: bool,
    ) -> Result<(), ProtocolError> {
        let kind = match header.opcode {
            Opcode::Continuation if self.frames == 0 => {
                return Err(ProtocolError::UnexpectedContinuation);
            }
            Opcode::Continuation if header.rsv1 => {
                return Err(ProtocolError::CompressedContinuation);
            }
            Opcode::Continuation => self.kind,
            _ if self.frames > 0 => return Err(ProtocolError::ExpectedContinuation),
            _ if header.rsv1 && !may_compress => {
                return Err(ProtocolError::CompressionNotNegotiated);
            }
            Opcode::Text => MessageKind::Text,
            _ => MessageKind::Binary,
        };
        let compressed = header.rsv1 || (self.frames > 0 && self.compressed);
        let announced = self.payload_bytes.saturating_add(header.payload_bytes);
        judge_size(header.payload_bytes, announced, compressed, limits)?;
        let fragments_max = limits.fragments_max.max(1);
        if self.frames >= fragments_max {
            return Err(ProtocolError::TooManyFragments { max: fragments_max });
        }

        self.kind = kind;
        self.compressed = compressed;
        self.fin = header.fin;
        self.frames += 1;
        self.payload_bytes = announced;
        self.remaining = header.payload_bytes;
        self.key = header.mask.unwrap_or_default();
        Ok(())
    }

    /// Takes what `input` has of the frame in progress; returns how many bytes that were.
    pub(crate) fn hold_payload(
        &mut self,
        input: &[u8],
        sender: Sender,
        block: &mut Buffer,
    ) -> Result<usize, ProtocolError> {
        let taken = usize::try_from(self.remaining).map_or(input.len(), |n| n.min(input.len()));
        let piece = input.get(..taken).unwrap_or_default();
        if self.kind == MessageKind::Text && !self.compressed {
            self.validate(piece, sender, block)?;
        }
        self.remaining -= taken as u64;
        self.reserve(taken);
        self.held.extend_from_slice(piece);
        self.wire_bytes = self.held.len();
        self.key = phased(self.key, taken);
        Ok(taken)
    }

    fn validate(&mut self, piece: &[u8], sender: Sender, block: &mut Buffer) -> Result<(), ProtocolError> {
        if sender == Sender::Server {
            return self.utf8.feed(piece);
        }
        // Spares the many tiny pieces of a hostile message the way through the buffer.
        if piece.len() <= SHORT_BYTES && !self.utf8.is_open() {
            let mut bytes = piece.iter().zip(self.key.iter().cycle());
            if bytes.all(|(byte, mask)| (byte ^ mask).is_ascii()) {
                return Ok(());
            }
        }
        // A block is a multiple of four bytes, so the key keeps its phase.
        for masked in piece.chunks(VALIDATE_BYTES) {
            block.clear();
            block.append(masked, Some(self.key));
            self.utf8.feed(block.as_slice())?;
        }
        Ok(())
    }

    /// Room for `more` bytes: doubles, but not past the end of the frame in progress.
    fn reserve(&mut self, more: usize) {
        let needed = self.held.len().saturating_add(more);
        if needed <= self.held.capacity() {
            return;
        }
        let to_come = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let doubled = self.held.capacity().saturating_mul(2);
        let wanted = needed.saturating_add(to_come).min(doubled).max(needed);
        self.held.reserve_exact(wanted - self.held.len());
    }

    /// The text, if it is one that was judged as it came, does not end inside a character.
    pub(crate) fn finish_text(&self) -> Result<(), ProtocolError> {
        self.utf8.finish()
    }

    /// The payload, if it stands in one piece and unmasked in [`Self::wire`]: where.
    pub(crate) fn plain_range(&self, sender: Sender) -> Option<std::ops::Range<usize>> {
        if self.frames != 1 || sender == Sender::Client {
            return None;
        }
        let header = Header::parse(self.wire(), sender).ok()??;
        Some(header.header_bytes..self.wire_bytes)
    }

    /// Appends the payload of all frames, unmasked.
    pub(crate) fn gather(&self, sender: Sender, out: &mut Buffer) {
        let mut wire = self.wire();
        while let Ok(Some(header)) = Header::parse(wire, sender) {
            let after = wire.get(header.header_bytes..).unwrap_or_default();
            let len = usize::try_from(header.payload_bytes).map_or(after.len(), |n| n.min(after.len()));
            let (payload, next) = after.split_at(len);
            out.append(payload, header.mask);
            wire = next;
        }
    }

    /// The message is complete. Its bytes stay until [`Self::forget_delivered`].
    pub(crate) fn deliver(&mut self) {
        self.reset();
        self.delivered = true;
    }

    /// The message began and ended within one input, nothing of it is held.
    pub(crate) fn reset(&mut self) {
        self.frames = 0;
        self.payload_bytes = 0;
        self.remaining = 0;
        self.utf8 = Utf8::default();
    }

    /// Drops the bytes of a message that was delivered.
    pub(crate) fn forget_delivered(&mut self) {
        if !self.delivered {
            return;
        }
        self.delivered = false;
        self.wire_bytes = 0;
        if self.held.capacity() > KEEP_BYTES {
            self.held = Vec::new();
        } else {
            self.held.clear();
        }
    }

    /// Gives all memory back, if nothing is in progress.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            self.delivered = false;
            self.wire_bytes = 0;
            self.held = Vec::new();
        }
    }
}

fn judge_size(declared: u64, announced: u64, compressed: bool, limits: &Limits) -> Result<(), ProtocolError> {
    let allowed = |max| {
        if compressed { Limits::compressed_bytes_max(max) } else { max }
    };
    if declared > allowed(limits.frame_bytes_max) {
        return Err(ProtocolError::FrameTooLarge { declared, max: limits.frame_bytes_max });
    }
    if announced > allowed(limits.message_bytes_max) {
        return Err(ProtocolError::MessageTooLarge { max: limits.message_bytes_max });
    }
    Ok(())
}
