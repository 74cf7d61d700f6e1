//! Time for one message, in nanoseconds: `cargo bench -p portcullis-codec`.
//!
//! The best of several rounds is printed, for noise only ever adds. An argument after `--` picks
//! the cases whose name contains it.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for a person to run")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis_codec::frame::encode_compressed_message;
use portcullis_codec::{
    Decoder, Inflate, Item, Limits, MessageKind, Opcode, Params, ProtocolError, Scratch, Sender, apply_mask,
    compress_into, encode_header, encode_message,
};

const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
const ROUNDS: u32 = 12;
const ROUND: Duration = Duration::from_millis(40);

fn main() {
    println!("{:<46} {:>12} {:>10}", "case", "ns/message", "GB/s");
    masks();
    for bytes in [128, 1024, 16 * 1024] {
        whole(&format!("masked text, {bytes} B"), Sender::Client, text(bytes));
    }
    whole("unmasked text, 1024 B", Sender::Server, text(1024));
    let umlauts = "Größenwahn für Fäden und Türen. ".repeat(28);
    whole("masked text with umlauts, 1 KiB", Sender::Client, umlauts.into_bytes());
    in_halves();
    tiny_fragments();
    compressed("inflating 1 KiB, each message alone", true, 1024);
    compressed("inflating 1 KiB, context takeover", false, 1024);
    compressed("inflating 16 KiB, each message alone", true, 16 * 1024);
    bomb();
    compressing();
}

/// JSON as applications send it: keys that recur, values that do not.
fn text(bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut n: u64 = 1;
    while text.len() < bytes {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.extend(format!(r#"{{"id":"{n:016x}","type":"track","gain":{}}},"#, n % 997).bytes());
    }
    text.truncate(bytes);
    text
}

fn framed(payload: &[u8], sender: Sender) -> Vec<u8> {
    let mut wire = Vec::new();
    let key = KEY.filter(|_| sender == Sender::Client);
    encode_message(&mut wire, MessageKind::Text, payload, key);
    wire
}

fn report(case: &str, bytes: usize, mut once: impl FnMut()) {
    if !is_wanted(case) {
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let mut count = 0u32;
        let start = Instant::now();
        while start.elapsed() < ROUND {
            for _ in 0..32 {
                once();
            }
            count += 32;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    }
    println!("{case:<46} {best:>12.1} {:>10.2}", bytes as f64 / best);
}

fn is_wanted(case: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    wanted.peek().is_none() || wanted.any(|arg| case.contains(&arg))
}

/// Decodes all of `wire`; returns the payload bytes of its messages.
fn decode(decoder: &mut Decoder, scratch: &mut Scratch, wire: &[u8]) -> usize {
    let (mut at, mut bytes) = (0, 0);
    while at < wire.len() {
        let rest = wire.get(at..).unwrap_or_default();
        let step = decoder.decode(rest, scratch).unwrap();
        at += step.consumed;
        if let Some(Item::Message(message)) = step.item {
            bytes += black_box(message.payload).len();
        }
    }
    bytes
}

fn masks() {
    let mut data = text(16 * 1024);
    report("apply_mask, 16 KiB", data.len(), || {
        apply_mask(black_box(&mut data), [1, 2, 3, 4], 1);
    });
}

fn whole(case: &str, sender: Sender, payload: Vec<u8>) {
    let wire = framed(&payload, sender);
    let mut decoder = Decoder::new(sender, Limits::default(), None);
    let mut scratch = Scratch::new();
    report(case, payload.len(), || {
        decode(&mut decoder, &mut scratch, black_box(&wire));
    });
}

fn in_halves() {
    let wire = framed(&text(16 * 1024), Sender::Client);
    let (first, second) = wire.split_at(wire.len() / 2);
    let mut decoder = Decoder::new(Sender::Client, Limits::default(), None);
    let mut scratch = Scratch::new();
    report("masked text, 16384 B in two reads", wire.len(), || {
        decode(&mut decoder, &mut scratch, black_box(first));
        decode(&mut decoder, &mut scratch, black_box(second));
        decoder.release();
    });
}

/// A thousand fragments of one byte: the dearest message for its size.
fn tiny_fragments() {
    let mut wire = Vec::new();
    for n in 0..1000u64 {
        let opcode = if n == 0 { Opcode::Text } else { Opcode::Continuation };
        encode_header(&mut wire, n == 999, false, opcode, 1, KEY);
        wire.push(b'a' ^ 0x37);
    }
    let mut decoder = Decoder::new(Sender::Client, Limits::default(), None);
    let mut scratch = Scratch::new();
    report("hostile: 1000 fragments of one byte", wire.len(), || {
        decode(&mut decoder, &mut scratch, black_box(&wire));
        decoder.release();
    });
}

fn inflating(alone: bool, limits: Limits) -> Decoder {
    let params = Params { client_no_context_takeover: alone, ..Params::default() };
    let inflate = Inflate::new(&params, Sender::Client);
    Decoder::new(Sender::Client, limits, Some(inflate))
}

fn packed(scratch: &mut Scratch, payload: &[u8]) -> Vec<u8> {
    let (mut packed, mut wire) = (Vec::new(), Vec::new());
    assert!(compress_into(scratch, payload, &mut packed, 15));
    encode_compressed_message(&mut wire, MessageKind::Text, &packed, KEY);
    wire
}

fn compressed(case: &str, alone: bool, bytes: usize) {
    let mut scratch = Scratch::new();
    let wire = packed(&mut scratch, &text(bytes));
    let mut decoder = inflating(alone, Limits::default());
    report(case, bytes, || {
        decode(&mut decoder, &mut scratch, black_box(&wire));
    });
}

/// Messages of 1 MB that would inflate to 100 MB or more; at the default limits, and where only
/// the inflated size is limited.
fn bomb() {
    if !is_wanted("hostile: a bomb of 1 MB") {
        return;
    }
    let mut scratch = Scratch::new();
    let wire = packed(&mut scratch, &vec![b'a'; 100 << 20]);
    let by_size = Limits { inflate_ratio_max: 0, ..Limits::default() };
    for (case, limits) in [("default limits", Limits::default()), ("size only", by_size)] {
        report(&format!("hostile: a bomb of 1 MB, {case}"), wire.len(), || {
            let mut decoder = inflating(true, limits);
            let refused = decoder.decode(black_box(&wire), &mut scratch);
            assert!(matches!(
                refused,
                Err(ProtocolError::InflatedTooLarge { .. } | ProtocolError::InflateRatio { .. })
            ));
        });
    }
    let small = packed(&mut scratch, &vec![b'a'; 100 << 10]);
    report(&format!("hostile: {} B that inflate to 100 KiB", small.len()), small.len(), || {
        let mut decoder = inflating(true, Limits::default());
        let refused = decoder.decode(black_box(&small), &mut scratch);
        assert!(matches!(refused, Err(ProtocolError::InflateRatio { .. }) | Ok(_)));
    });
}

fn compressing() {
    let mut scratch = Scratch::new();
    let payload = text(1024);
    let mut out = Vec::new();
    report("compressing 1 KiB", payload.len(), || {
        out.clear();
        assert!(compress_into(&mut scratch, black_box(&payload), &mut out, 15));
    });
}
