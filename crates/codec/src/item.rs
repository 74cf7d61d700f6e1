//! What a [`crate::Decoder`] finds in the bytes.

use std::ops::Range;

use crate::close::CloseReason;
use crate::frame::Opcode;

/// What one call of [`crate::Decoder::decode`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of the input that are used up; the next call begins after them.
    pub consumed: usize,
    /// `None` when all input is used up and more is needed.
    pub item: Option<Item<'a>>,
}

/// A message or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A complete message.
    Message(Message<'a>),
    /// A control frame; may arrive between the fragments of a message.
    Control(Control<'a>),
}

/// Text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl MessageKind {
    /// The opcode of such a message's first frame.
    #[must_use]
    pub fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// A complete message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// The bytes exactly as they came: headers, masks, fragments.
    pub wire: Wire<'a>,
    /// Unmasked, inflated, whole. Of a text message this is valid UTF-8.
    pub payload: &'a [u8],
    /// It came compressed.
    pub compressed: bool,
    /// Frames it came in, at least 1.
    pub frames: u32,
}

/// Where the bytes of a message stand as they came, to be forwarded unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire<'a> {
    /// In the `input` of this call.
    Input(Range<usize>),
    /// Collected by the decoder, for they came in pieces; without the control frames that came
    /// in between.
    Held(&'a [u8]),
}

impl<'a> Wire<'a> {
    /// The bytes; `input` is what was given to the call that returned this.
    #[must_use]
    pub fn bytes(&self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Input(range) => input.get(range.clone()).unwrap_or_default(),
            Self::Held(bytes) => bytes,
        }
    }
}

/// A control frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// Close, ping or pong.
    pub opcode: Opcode,
    /// At most 125 bytes, unmasked.
    pub payload: &'a [u8],
    /// What a close frame says; `None` for ping and pong.
    pub close: Option<CloseReason<'a>>,
}
