//! Binary messages: what kind they are, and MessagePack and CBOR read as the JSON that the checks understand.
//!
//! Input: the bytes of one message. Output: the name of its kind, or a JSON text in a buffer that is reused from message
//! to message; the bytes that came stay what goes on, but for values that a check changed ([`rewrite`]). One pass, an explicit stack, no tree. Nothing is reserved for what a
//! length announces: a length past the end is refused when it is read. A text is at most six times as long as its bytes.
//!
//! What JSON cannot say is refused, so that a receiver reads nothing that no check has seen: see [`msgpack`] and [`cbor`].
//! Keys must be text or whole numbers, which become their digits. Bytes that are UTF-8 become text, others base64. Names
//! twice in a map are refused by the JSON scanner. Tests: here, `tests/binary.rs` (`rmpv` and `ciborium` as oracles).

mod cbor;
mod kind;
mod msgpack;
mod rewrite;
mod write;

pub use kind::{KINDS, kind_of};
pub use rewrite::rewrite;
pub use write::Buffers;

use crate::message::json::{Bounds, Fault, Refusal};

/// How binary messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// MessagePack.
    Msgpack,
    /// CBOR (RFC 8949).
    Cbor,
}

impl Format {
    /// The name in policies and findings.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Msgpack => "msgpack",
            Self::Cbor => "cbor",
        }
    }
}

/// Reads one message as JSON, into [`Buffers::text`].
///
/// # Errors
/// The first thing that is wrong with it, or cannot be said in JSON; its offset counts in `bytes`.
pub fn read(format: Format, bytes: &[u8], bounds: &Bounds, buffers: &mut Buffers) -> Result<(), Refusal> {
    let mut input = Input { bytes, at: 0 };
    let outcome = match format {
        Format::Msgpack => write::run(&mut input, bounds, buffers, msgpack::next),
        Format::Cbor => write::run(&mut input, bounds, buffers, cbor::next),
    };
    outcome.map_err(|fault| Refusal { fault, at: input.at })
}

/// One item, or the head of one.
enum Item<'b> {
    Null,
    Boolean(bool),
    Whole(i128),
    Float(f64),
    /// Bytes that must be UTF-8.
    Text(&'b [u8]),
    Bytes(&'b [u8]),
    /// A moment: seconds since 1970 and nanoseconds.
    Moment(i64, u32),
    /// So many items follow.
    Array(u64),
    /// So many pairs follow.
    Map(u64),
}

/// The bytes and how far they are read.
struct Input<'b> {
    bytes: &'b [u8],
    at: usize,
}

const EARLY: Fault = Fault::Malformed("the bytes end too early");

impl<'b> Input<'b> {
    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = self.bytes.get(self.at).copied().ok_or(EARLY)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, count: u64) -> Result<&'b [u8], Fault> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count)).ok_or(EARLY)?;
        let taken = self.bytes.get(self.at..end).ok_or(EARLY)?;
        self.at = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N as u64)?.try_into().map_err(|_| EARLY)
    }

    /// An unsigned number of 1, 2, 4 or 8 bytes, the largest first.
    fn unsigned(&mut self, bytes: u64) -> Result<u64, Fault> {
        Ok(self.take(bytes)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}
