//! The codec on any bytes: how they are cut changes neither the items nor the error, nothing
//! panics, and memory stays within what the limits say.
//!
//! Input: one byte of settings, one byte of where to cut, the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_codec::limits::HEADER_BYTES_MAX;
use portcullis_codec::{Decoder, Inflate, Item, Limits, MessageKind, Opcode, Params, ProtocolError, Scratch, Sender};

const LIMITS: Limits = Limits {
    message_bytes_max: 4096,
    frame_bytes_max: 2048,
    fragments_max: 16,
    inflate_ratio_max: 50,
    inflate_ratio_grace_bytes: 512,
};

#[derive(Debug, PartialEq)]
enum Seen {
    Message(MessageKind, Vec<u8>, Vec<u8>, bool, u32),
    Control(Opcode, Vec<u8>, Option<u16>),
}

fuzz_target!(|data: &[u8]| {
    let [settings, cut, stream @ ..] = data else {
        return;
    };
    let whole = run(*settings, stream, stream.len().max(1));
    let cut = run(*settings, stream, usize::from(*cut) + 1);
    assert_eq!(whole, cut, "cut and whole differ");
});

fn decoder(settings: u8) -> Decoder {
    let sender = if settings & 1 == 0 { Sender::Client } else { Sender::Server };
    let params = Params {
        server_no_context_takeover: settings & 2 == 0,
        client_no_context_takeover: settings & 2 == 0,
        ..Params::default()
    };
    let inflate = (settings & 4 != 0).then(|| Inflate::new(&params, sender));
    Decoder::new(sender, LIMITS, inflate)
}

fn run(settings: u8, stream: &[u8], size: usize) -> (Vec<Seen>, Option<ProtocolError>) {
    let held_max = 2
        * (Limits::compressed_bytes_max(LIMITS.message_bytes_max) as usize
            + HEADER_BYTES_MAX * LIMITS.fragments_max as usize
            + 131);
    let mut decoder = decoder(settings);
    let mut scratch = Scratch::new();
    let mut items = Vec::new();
    for piece in stream.chunks(size) {
        let mut at = 0;
        while at < piece.len() {
            let rest = &piece[at..];
            match decoder.decode(rest, &mut scratch) {
                Err(error) => return (items, Some(error)),
                Ok(step) => {
                    assert!(step.consumed > 0 && step.consumed <= rest.len());
                    assert!(step.item.is_some() || step.consumed == rest.len());
                    items.extend(step.item.map(|item| seen(item, rest)));
                    at += step.consumed;
                }
            }
            assert!(decoder.held_bytes() <= held_max);
        }
        if settings & 8 != 0 {
            decoder.release();
        }
    }
    (items, None)
}

fn seen(item: Item<'_>, input: &[u8]) -> Seen {
    match item {
        Item::Message(message) => {
            assert!(message.payload.len() as u64 <= LIMITS.message_bytes_max);
            assert!(message.frames <= LIMITS.fragments_max);
            if message.kind == MessageKind::Text {
                assert!(std::str::from_utf8(message.payload).is_ok());
            }
            Seen::Message(
                message.kind,
                message.payload.to_vec(),
                message.wire.bytes(input).to_vec(),
                message.compressed,
                message.frames,
            )
        }
        Item::Control(control) => {
            assert!(control.payload.len() <= 125);
            let code = control.close.and_then(|close| close.code);
            Seen::Control(control.opcode, control.payload.to_vec(), code)
        }
    }
}
