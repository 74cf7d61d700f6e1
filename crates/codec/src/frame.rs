//! Frame headers, both ways, and whole frames to send (RFC 6455 5.2).
//!
//! [`Header::parse`] judges what a header says by itself. What depends on the frames before it
//! (continuations, compression, sizes) is judged by the [`crate::Decoder`].

use crate::close;
use crate::error::ProtocolError;
use crate::item::MessageKind;
use crate::mask::apply_mask;

/// Payload bytes that a control frame may carry (RFC 6455 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Whose bytes are read. A client's frames are masked, a server's are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The bytes come from a client.
    Client,
    /// The bytes come from a server.
    Server,
}

/// What a frame is (RFC 6455 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation,
    /// The first or only frame of a text message.
    Text,
    /// The first or only frame of a binary message.
    Binary,
    /// The closing handshake.
    Close,
    /// A question whether the peer is there.
    Ping,
    /// The answer to a ping, or a heartbeat nobody asked for.
    Pong,
}

impl Opcode {
    /// The four bits on the wire.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether this is a close, ping or pong.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }

    fn parse(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return Err(ProtocolError::ReservedOpcode(bits)),
        })
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Last frame of its message.
    pub fin: bool,
    /// The message is compressed (RFC 7692 6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Payload bytes that follow; at most 2^63 − 1, and not to be trusted.
    pub payload_bytes: u64,
    /// The key, of a client's frame.
    pub mask: Option<[u8; 4]>,
    /// Bytes of this header: 2 to 14.
    pub header_bytes: usize,
}

impl Header {
    /// Reads the header at the beginning of `bytes`; `None` when more bytes are needed.
    ///
    /// Rules are judged in the order of the bytes, each as soon as its byte is there, so the
    /// error is the same however the bytes are cut.
    ///
    /// # Errors
    /// Reserved bits and opcodes, fragmented or long control frames, a mask that is missing or
    /// out of place, lengths that are not minimal or exceed 63 bits.
    #[inline]
    pub fn parse(bytes: &[u8], sender: Sender) -> Result<Option<Self>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if first & 0x30 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::parse(first & 0x0f)?;
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let short = second & 0x7f;
        match (sender, second & 0x80 != 0) {
            (Sender::Client, false) => return Err(ProtocolError::UnmaskedClientFrame),
            (Sender::Server, true) => return Err(ProtocolError::MaskedServerFrame),
            _ => {}
        }
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }

        let Some((payload_bytes, rest)) = parse_length(short, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = match sender {
            Sender::Server => (None, rest),
            Sender::Client => match rest.split_first_chunk::<4>() {
                Some((key, rest)) => (Some(*key), rest),
                None => return Ok(None),
            },
        };
        Ok(Some(Self {
            fin,
            rsv1: first & 0x40 != 0,
            opcode,
            payload_bytes,
            mask,
            header_bytes: bytes.len() - rest.len(),
        }))
    }
}

#[inline]
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, fewest, rest) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), 1 << 16, rest),
            None => return Ok(None),
        },
        _ => return Ok(Some((u64::from(short), rest))),
    };
    if length >> 63 != 0 {
        return Err(ProtocolError::LengthOverflow);
    }
    if length < fewest {
        return Err(ProtocolError::NonMinimalLength);
    }
    Ok(Some((length, rest)))
}

/// Appends a header. A `payload_bytes` of 2^63 or more, which no payload has, is cut to 63 bits.
pub fn encode_header(
    out: &mut Vec<u8>,
    fin: bool,
    rsv1: bool,
    opcode: Opcode,
    payload_bytes: u64,
    mask: Option<[u8; 4]>,
) {
    out.push(u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode.bits());
    let masked = u8::from(mask.is_some()) << 7;
    match payload_bytes {
        0..=125 => out.push(masked | (payload_bytes & 0x7f) as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&((payload_bytes & 0xffff) as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload_bytes & (u64::MAX >> 1)).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
}

/// Appends a message as one uncompressed frame.
pub fn encode_message(out: &mut Vec<u8>, kind: MessageKind, payload: &[u8], mask: Option<[u8; 4]>) {
    encode_frame(out, false, kind.opcode(), payload, mask);
}

/// Appends a message as one frame with RSV1 set; `payload` comes from [`crate::compress_into`].
pub fn encode_compressed_message(out: &mut Vec<u8>, kind: MessageKind, payload: &[u8], mask: Option<[u8; 4]>) {
    encode_frame(out, true, kind.opcode(), payload, mask);
}

/// Appends a control frame; of the payload, the first 125 bytes.
pub fn encode_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    encode_frame(out, false, opcode, payload, mask);
}

/// Appends a close frame. A reason that does not fit is cut between characters. A code that may
/// not be on the wire ([`close::is_valid_code`]) gives a close frame without payload.
pub fn encode_close(out: &mut Vec<u8>, code: u16, reason: &str, mask: Option<[u8; 4]>) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let mut used = 0;
    if close::is_valid_code(code) {
        let reason = close::truncated_reason(reason).as_bytes();
        for (to, from) in payload.iter_mut().zip(code.to_be_bytes().iter().chain(reason)) {
            *to = *from;
        }
        used = 2 + reason.len();
    }
    let payload = payload.get(..used).unwrap_or_default();
    encode_control(out, Opcode::Close, payload, mask);
}

fn encode_frame(out: &mut Vec<u8>, rsv1: bool, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    out.reserve(payload.len() + crate::limits::HEADER_BYTES_MAX);
    encode_header(out, true, rsv1, opcode, payload.len() as u64, mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(payload, key, 0);
    }
}
