//! One direction of one connection: bytes in, messages and control frames out.
//!
//! Decides which bytes are a message and which break RFC 6455 (or RFC 7692, where compression was
//! negotiated). A message that came whole is not copied: a server's payload is a slice of the
//! input, a client's is unmasked once into the [`Scratch`]. What comes in pieces is collected,
//! within [`Limits`]; an idle decoder holds no heap memory once [`Decoder::release`]d.
//!
//! Never judges content beyond UTF-8, never answers a ping, never remembers a message.
//! Tests: `tests/{frames,fragments,text,compression,splits}.rs`.

use std::ops::Range;

use crate::assembly::Assembly;
use crate::close;
use crate::deflate::Inflate;
use crate::error::ProtocolError;
use crate::frame::{Header, Opcode, Sender};
use crate::item::{Control, Item, Message, MessageKind, Step, Wire};
use crate::limits::{HEADER_BYTES_MAX, Limits};
use crate::mask::unmask_over;
use crate::scratch::Scratch;
use crate::utf8;

/// Reads what one peer sends.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    inflate: Option<Inflate>,
    assembly: Assembly,
    /// Boxed, for it is rare and the decoder is per connection.
    failed: Option<Box<ProtocolError>>,
    sender: Sender,
    closed: bool,
}

/// What was found and where, without borrowing.
enum Found {
    Message {
        kind: MessageKind,
        compressed: bool,
        frames: u32,
        /// `None`: held.
        wire: Option<Range<usize>>,
        payload: Payload,
    },
    Control {
        opcode: Opcode,
        payload_bytes: usize,
    },
}

enum Payload {
    Input(Range<usize>),
    Held(Range<usize>),
    Scratch,
}

impl Decoder {
    /// A decoder for what `sender` sends; `inflate` if permessage-deflate was negotiated.
    #[must_use]
    pub fn new(sender: Sender, limits: Limits, inflate: Option<Inflate>) -> Self {
        Self { limits, inflate, assembly: Assembly::new(), failed: None, sender, closed: false }
    }

    /// Reads the next item out of `input`.
    ///
    /// Without an item, all of `input` is used up and, where needed, held inside. With one, call
    /// again with what follows `consumed`. After a close frame all input is used up and ignored,
    /// for RFC 6455 5.5.1 lets nothing follow it.
    ///
    /// # Errors
    /// The first rule that the bytes break, whichever way they are cut. The connection is then to
    /// be failed; every later call returns the same error.
    pub fn decode<'a>(&'a mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Result<Step<'a>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(**error);
        }
        if self.closed {
            return Ok(Step { consumed: input.len(), item: None });
        }
        self.assembly.forget_delivered();
        let mut at = 0;
        match self.advance(input, &mut at, scratch) {
            Ok(found) => Ok(Step { consumed: at, item: found.map(|found| self.item(found, input, scratch)) }),
            Err(error) => {
                self.failed = Some(Box::new(error));
                self.give_up_memory();
                Err(error)
            }
        }
    }

    /// Judges by other limits from the next header on; what is held already stays.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes of memory held for a message or frame in progress; without the
    /// [`crate::deflate::INFLATER_BYTES`] that an [`Inflate`] with context takeover keeps.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.assembly.capacity()
    }

    /// Gives the held memory back, unless a message or frame is in progress. Call it before
    /// waiting for more bytes.
    pub fn release(&mut self) {
        self.assembly.release();
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.assembly.is_mid_message()
    }

    /// Nothing will be decoded any more.
    fn give_up_memory(&mut self) {
        self.assembly = Assembly::new();
        self.inflate = None;
    }

    fn advance(&mut self, input: &[u8], at: &mut usize, scratch: &mut Scratch) -> Result<Option<Found>, ProtocolError> {
        loop {
            let rest = input.get(*at..).unwrap_or_default();
            if self.assembly.is_mid_payload() {
                *at += self.assembly.hold_payload(rest, self.sender, &mut scratch.plain)?;
                if self.assembly.is_mid_payload() {
                    return Ok(None);
                }
            } else {
                if rest.is_empty() {
                    return Ok(None);
                }
                let Some(header) = self.header(rest)? else {
                    self.assembly.hold_pending(rest);
                    *at = input.len();
                    return Ok(None);
                };
                if header.opcode.is_control() {
                    return self.control(&header, rest, at, scratch);
                }
                let whole = self.assembly.is_empty() && header.fin;
                self.assembly.begin_frame(&header, &self.limits, self.inflate.is_some())?;
                if whole && let Some(end) = frame_end(&header, rest) {
                    let frame = *at..*at + end;
                    *at = frame.end;
                    return self.whole(&header, frame, input, scratch).map(Some);
                }
                *at += self.hold_header(&header, rest);
            }
            if !self.assembly.is_mid_payload() && self.assembly.is_last_frame() {
                return self.finish(scratch).map(Some);
            }
        }
    }

    /// The next header, out of what is pending and what is new.
    fn header(&self, rest: &[u8]) -> Result<Option<Header>, ProtocolError> {
        let pending = self.assembly.pending();
        if pending.is_empty() {
            return Header::parse(rest, self.sender);
        }
        let mut joined = [0; HEADER_BYTES_MAX];
        let mut len = 0;
        for (slot, byte) in joined.iter_mut().zip(pending.iter().chain(rest)) {
            *slot = *byte;
            len += 1;
        }
        Header::parse(joined.get(..len).unwrap_or_default(), self.sender)
    }

    /// Moves the rest of a data frame's header to the message; returns how many bytes that were.
    fn hold_header(&mut self, header: &Header, rest: &[u8]) -> usize {
        let pending = self.assembly.pending().len();
        let taken = header.header_bytes.saturating_sub(pending);
        self.assembly.hold_pending(rest.get(..taken).unwrap_or(rest));
        self.assembly.keep_pending();
        taken
    }

    fn control(
        &mut self,
        header: &Header,
        rest: &[u8],
        at: &mut usize,
        scratch: &mut Scratch,
    ) -> Result<Option<Found>, ProtocolError> {
        if header.rsv1 {
            return Err(match self.inflate {
                Some(_) => ProtocolError::CompressedControl,
                None => ProtocolError::CompressionNotNegotiated,
            });
        }
        let payload_bytes = (header.payload_bytes & 0x7f) as usize;
        let total = header.header_bytes + payload_bytes;
        let pending = self.assembly.pending().len();
        let Some(new) = rest.get(..total.saturating_sub(pending)) else {
            self.assembly.hold_pending(rest);
            *at += rest.len();
            return Ok(None);
        };
        *at += new.len();
        let frame = if pending == 0 {
            new
        } else {
            self.assembly.hold_pending(new);
            self.assembly.pending()
        };
        let masked = frame.get(header.header_bytes..).unwrap_or_default();
        unmask_over(&mut scratch.control, masked, header.mask.unwrap_or_default());
        self.assembly.drop_pending();
        if header.opcode == Opcode::Close {
            let payload = scratch.control.get(..payload_bytes).unwrap_or_default();
            close::parse(payload)?;
            self.closed = true;
            self.give_up_memory();
        }
        Ok(Some(Found::Control { opcode: header.opcode, payload_bytes }))
    }

    /// A message in one frame that stands whole at `frame` of the input.
    fn whole(
        &mut self,
        header: &Header,
        frame: Range<usize>,
        input: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Found, ProtocolError> {
        let (kind, compressed) = (self.assembly.kind(), self.assembly.compressed());
        self.assembly.reset();
        let range = frame.start + header.header_bytes..frame.end;
        let bytes = input.get(range.clone()).unwrap_or_default();
        let payload = if compressed {
            let packed = match header.mask {
                None => bytes,
                Some(_) => {
                    scratch.packed.clear();
                    scratch.packed.append(bytes, header.mask);
                    scratch.packed.as_slice()
                }
            };
            inflate(&mut self.inflate, packed, &mut scratch.plain, &mut scratch.inflater, &self.limits)?;
            Payload::Scratch
        } else if header.mask.is_some() {
            scratch.plain.clear();
            scratch.plain.append(bytes, header.mask);
            Payload::Scratch
        } else {
            Payload::Input(range)
        };
        if kind == MessageKind::Text {
            utf8::validate(match payload {
                Payload::Scratch => scratch.plain.as_slice(),
                _ => bytes,
            })?;
        }
        Ok(Found::Message { kind, compressed, frames: 1, wire: Some(frame), payload })
    }

    /// The message that is held is complete.
    fn finish(&mut self, scratch: &mut Scratch) -> Result<Found, ProtocolError> {
        let (kind, compressed) = (self.assembly.kind(), self.assembly.compressed());
        let plain = self.assembly.plain_range(self.sender);
        let payload = if compressed {
            let packed = match plain {
                Some(range) => self.assembly.wire().get(range).unwrap_or_default(),
                None => {
                    scratch.packed.clear();
                    self.assembly.gather(self.sender, &mut scratch.packed);
                    scratch.packed.as_slice()
                }
            };
            inflate(&mut self.inflate, packed, &mut scratch.plain, &mut scratch.inflater, &self.limits)?;
            if kind == MessageKind::Text {
                utf8::validate(scratch.plain.as_slice())?;
            }
            Payload::Scratch
        } else {
            self.assembly.finish_text()?;
            match plain {
                Some(range) => Payload::Held(range),
                None => {
                    scratch.plain.clear();
                    self.assembly.gather(self.sender, &mut scratch.plain);
                    Payload::Scratch
                }
            }
        };
        let frames = self.assembly.frames();
        self.assembly.deliver();
        Ok(Found::Message { kind, compressed, frames, wire: None, payload })
    }

    fn item<'a>(&'a self, found: Found, input: &'a [u8], scratch: &'a Scratch) -> Item<'a> {
        match found {
            Found::Message { kind, compressed, frames, wire, payload } => Item::Message(Message {
                kind,
                wire: wire.map_or_else(|| Wire::Held(self.assembly.wire()), Wire::Input),
                payload: match payload {
                    Payload::Input(range) => input.get(range).unwrap_or_default(),
                    Payload::Held(range) => self.assembly.wire().get(range).unwrap_or_default(),
                    Payload::Scratch => scratch.plain.as_slice(),
                },
                compressed,
                frames,
            }),
            Found::Control { opcode, payload_bytes } => {
                let payload = scratch.control.get(..payload_bytes).unwrap_or_default();
                Item::Control(Control {
                    opcode,
                    payload,
                    close: match opcode {
                        Opcode::Close => close::parse(payload).ok(),
                        _ => None,
                    },
                })
            }
        }
    }
}

/// Where the frame at the beginning of `rest` ends, if all of it is there.
fn frame_end(header: &Header, rest: &[u8]) -> Option<usize> {
    let after = rest.len().checked_sub(header.header_bytes)?;
    let payload = usize::try_from(header.payload_bytes).ok()?;
    (payload <= after).then_some(header.header_bytes + payload)
}

fn inflate(
    config: &mut Option<Inflate>,
    packed: &[u8],
    out: &mut crate::buffer::Buffer,
    shared: &mut Option<Box<flate2::Decompress>>,
    limits: &Limits,
) -> Result<(), ProtocolError> {
    match config {
        Some(config) => config.message(packed, out, shared, limits),
        None => Err(ProtocolError::CompressionNotNegotiated),
    }
}
