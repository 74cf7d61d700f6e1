//! WebSocket frames and permessage-deflate: bytes to messages and back, pure.
//!
//! Decides what a peer's bytes mean under RFC 6455 and RFC 7692, and refuses what those forbid.
//! Never opens a socket, reads a clock, draws randomness (mask keys are arguments) or reserves
//! memory that a peer merely announced.
//!
//! | room | what |
//! |---|---|
//! | [`decoder`] | one direction of one connection: bytes in, [`Item`]s out |
//! | [`frame`] | headers: parse and encode; whole frames, encoded |
//! | [`mask`] | the XOR of RFC 6455 5.3 |
//! | [`close`] | close codes and reasons |
//! | [`deflate`] | RFC 7692: negotiation, inflating, compressing |
//! | [`handshake`] | `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` |
//! | [`limits`] | how much a peer may send |
//! | [`error`] | one variant per broken rule |
//!
//! Tests of one room stand at its end; what needs several rooms is in `tests/`.

pub mod close;
pub mod decoder;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod item;
pub mod limits;
pub mod mask;
pub mod scratch;

mod assembly;
mod buffer;
mod utf8;

pub use close::CloseReason;
pub use decoder::Decoder;
pub use deflate::{DeflatePolicy, Inflate, Offer, Params, Proposal, compress_into};
pub use error::ProtocolError;
pub use frame::{Header, Opcode, Sender, encode_close, encode_control, encode_header, encode_message};
pub use item::{Control, Item, Message, MessageKind, Step, Wire};
pub use limits::Limits;
pub use mask::{apply_mask, unmask_into};
pub use scratch::Scratch;
