//! What the tests of several rooms share: frames built by hand, items that own their bytes.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use portcullis_codec::{
    Decoder, Inflate, Item, Limits, MessageKind, Opcode, Params, ProtocolError, Scratch, Sender, encode_header,
    unmask_into,
};

pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An item that outlives the call it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Message { kind: MessageKind, payload: Vec<u8>, wire: Vec<u8>, compressed: bool, frames: u32 },
    Control { opcode: Opcode, payload: Vec<u8>, close: Option<(Option<u16>, String)> },
}

/// Items, and the error that ended them.
pub(crate) type Outcome = (Vec<Seen>, Option<ProtocolError>);

/// One frame as `sender` would send it.
pub(crate) fn frame(sender: Sender, fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match sender {
        Sender::Client => {
            encode_header(&mut out, fin, rsv1, opcode, payload.len() as u64, Some(KEY));
            unmask_into(&mut out, payload, KEY, 0);
        }
        Sender::Server => {
            encode_header(&mut out, fin, rsv1, opcode, payload.len() as u64, None);
            out.extend_from_slice(payload);
        }
    }
    out
}

pub(crate) fn client(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(Sender::Client, fin, false, opcode, payload)
}

pub(crate) fn server(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(Sender::Server, fin, false, opcode, payload)
}

pub(crate) fn plain(sender: Sender) -> Decoder {
    Decoder::new(sender, Limits::default(), None)
}

pub(crate) fn limited(sender: Sender, limits: Limits) -> Decoder {
    Decoder::new(sender, limits, None)
}

pub(crate) fn inflating(sender: Sender, limits: Limits, takeover: bool) -> Decoder {
    let params =
        Params { server_no_context_takeover: !takeover, client_no_context_takeover: !takeover, ..Params::default() };
    Decoder::new(sender, limits, Some(Inflate::new(&params, sender)))
}

/// Feeds one piece of input to its end.
pub(crate) fn feed(decoder: &mut Decoder, scratch: &mut Scratch, piece: &[u8], into: &mut Outcome) {
    let mut at = 0;
    while at < piece.len() && into.1.is_none() {
        let rest = &piece[at..];
        match decoder.decode(rest, scratch) {
            Err(error) => into.1 = Some(error),
            Ok(step) => {
                assert!(step.consumed <= rest.len());
                assert!(step.consumed > 0, "a step that does not advance");
                match step.item {
                    Some(item) => into.0.push(seen(item, rest)),
                    None => assert_eq!(step.consumed, rest.len()),
                }
                at += step.consumed;
            }
        }
    }
}

/// Feeds `wire` in pieces of the given sizes, over and over; no sizes: in one piece.
pub(crate) fn run(decoder: &mut Decoder, wire: &[u8], sizes: &[usize]) -> Outcome {
    let mut scratch = Scratch::new();
    let mut outcome = (Vec::new(), None);
    let mut sizes = sizes.iter().copied().filter(|size| *size > 0).cycle();
    let mut rest = wire;
    while !rest.is_empty() && outcome.1.is_none() {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, after) = rest.split_at(size);
        // A buffer of its own, so that nothing is read from where an earlier piece was.
        feed(decoder, &mut scratch, &Vec::from(piece), &mut outcome);
        rest = after;
    }
    outcome
}

pub(crate) fn seen(item: Item<'_>, input: &[u8]) -> Seen {
    match item {
        Item::Message(message) => Seen::Message {
            kind: message.kind,
            payload: message.payload.to_vec(),
            wire: message.wire.bytes(input).to_vec(),
            compressed: message.compressed,
            frames: message.frames,
        },
        Item::Control(control) => Seen::Control {
            opcode: control.opcode,
            payload: control.payload.to_vec(),
            close: control.close.map(|c| (c.code, c.reason.to_owned())),
        },
    }
}

/// Payloads of the messages.
pub(crate) fn payloads(outcome: &Outcome) -> Vec<Vec<u8>> {
    let message = |seen: &Seen| match seen {
        Seen::Message { payload, .. } => Some(payload.clone()),
        Seen::Control { .. } => None,
    };
    outcome.0.iter().filter_map(message).collect()
}
