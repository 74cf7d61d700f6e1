//! The little of RFC 6455 that a load tool speaks: frames, masks, the opening handshake's head.
//!
//! It is deliberately not the gateway's codec: a tool that shared its code would share its
//! mistakes. Nothing here validates what the gateway under test is there to validate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

pub(crate) const FIN: u8 = 0x80;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Largest head of an HTTP request or answer that is read, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A frame's head (RFC 6455 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// FIN, the reserved bits and the opcode, as on the wire.
    pub(crate) first_byte: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload_bytes: u64,
}

impl Head {
    pub(crate) fn opcode(self) -> u8 {
        self.first_byte & 0x0F
    }

    pub(crate) fn is_final(self) -> bool {
        self.first_byte & FIN != 0
    }

    /// The head that `bytes` begin with, and what follows it; nothing if it is cut short.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[first_byte, second], rest) = bytes.split_first_chunk()?;
        let (payload_bytes, rest) = match second & 0x7F {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (u64::from(length), rest),
        };
        let (mask, rest) = if second & 0x80 == 0 {
            (None, rest)
        } else {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest)
        };
        Some((Self { first_byte, mask, payload_bytes }, rest))
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.payload_bytes), u16::try_from(self.payload_bytes)) {
            (Ok(length @ ..=125), _) => out.extend_from_slice(&[self.first_byte, masked | length]),
            (_, Ok(length)) => {
                out.extend_from_slice(&[self.first_byte, masked | 126]);
                out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                out.extend_from_slice(&[self.first_byte, masked | 127]);
                out.extend_from_slice(&self.payload_bytes.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend_from_slice(&key);
        }
    }
}

/// A run of payload bytes of one frame, unmasked. A frame comes as one piece or several; an
/// empty frame as one empty piece.
#[derive(Debug)]
pub(crate) struct Piece<'d> {
    pub(crate) head: Head,
    pub(crate) bytes: &'d mut [u8],
    pub(crate) starts_frame: bool,
    pub(crate) ends_frame: bool,
}

/// Cuts a byte stream into pieces of frames; keeps a head that is cut short and no payload.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    cut_head: Vec<u8>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    head: Head,
    done_bytes: u64,
}

impl Deframer {
    /// The next piece in `data`, which is advanced past it; nothing when `data` is used up.
    pub(crate) fn next_piece<'d>(&mut self, data: &mut &'d mut [u8]) -> Option<Piece<'d>> {
        let (mut open, starts_frame) = match self.open.take() {
            Some(open) => (open, false),
            None => (Open { head: self.next_head(data)?, done_bytes: 0 }, true),
        };
        let left_bytes = open.head.payload_bytes.saturating_sub(open.done_bytes);
        let here = usize::try_from(left_bytes).unwrap_or(usize::MAX).min(data.len());
        if here == 0 && left_bytes > 0 && !starts_frame {
            self.open = Some(open);
            return None;
        }
        let (bytes, rest) = std::mem::take(data).split_at_mut(here);
        *data = rest;
        if let Some(key) = open.head.mask {
            apply_mask(bytes, key, open.done_bytes);
        }
        let head = open.head;
        open.done_bytes += here as u64;
        let ends_frame = open.done_bytes == head.payload_bytes;
        if !ends_frame {
            self.open = Some(open);
        }
        Some(Piece { head, bytes, starts_frame, ends_frame })
    }

    fn next_head(&mut self, data: &mut &mut [u8]) -> Option<Head> {
        let whole = if self.cut_head.is_empty() { Head::parse(data) } else { None };
        if let Some((head, rest)) = whole {
            let used = data.len() - rest.len();
            *data = std::mem::take(data).split_at_mut(used).1;
            return Some(head);
        }
        while let Some((byte, rest)) = std::mem::take(data).split_first_mut() {
            self.cut_head.push(*byte);
            *data = rest;
            if let Some((head, _)) = Head::parse(&self.cut_head) {
                self.cut_head.clear();
                return Some(head);
            }
        }
        None
    }
}

/// XORs `bytes`, which begin `offset` bytes into their frame's payload (RFC 6455 5.3).
pub(crate) fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    let turn = u32::try_from(offset % 4).unwrap_or(0) * 8;
    let word = u64::from(u32::from_le_bytes(key).rotate_right(turn));
    let wide = word << 32 | word;
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_le_bytes(*chunk) ^ wide).to_le_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= key;
    }
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 4.2.2).
pub(crate) fn accept_for(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(digest)
}

/// Where the empty line after an HTTP head ends, if it is there.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a header in an HTTP head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// SplitMix64: masks and ids that do not repeat, cheaply; nothing here is a secret.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn mask(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next_u64().to_le_bytes();
        [a, b, c, d]
    }

    pub(crate) fn websocket_key(&mut self) -> String {
        let [one, two] = [self.next_u64(), self.next_u64()];
        STANDARD.encode((u128::from(one) << 64 | u128::from(two)).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first_byte: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Head { first_byte, mask, payload_bytes: payload.len() as u64 }.encode(&mut out);
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = mask {
            apply_mask(&mut out[start..], key, 0);
        }
        out
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let sizes = [0, 1, 7, 125, 126, 300, 65_535, 65_536];
        for mask in [None, Some([0xDE, 0xAD, 0xBE, 0xEF])] {
            for size in sizes {
                let payload: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
                let one = frame(FIN | TEXT, mask, &payload);
                let stream = [one.as_slice(), &one].concat();
                for step in [1, 3, 14, 1000, stream.len()] {
                    let mut deframer = Deframer::default();
                    let (mut got, mut ends) = (Vec::new(), 0);
                    for chunk in stream.clone().chunks_mut(step) {
                        let mut data = chunk;
                        while let Some(piece) = deframer.next_piece(&mut data) {
                            got.extend_from_slice(piece.bytes);
                            ends += usize::from(piece.ends_frame);
                        }
                    }
                    assert_eq!(ends, 2, "{size} bytes in steps of {step}");
                    assert_eq!(got, [payload.as_slice(), &payload].concat());
                }
            }
        }
    }

    #[test]
    fn the_accept_value_is_the_one_of_the_rfc() {
        assert_eq!(accept_for("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
