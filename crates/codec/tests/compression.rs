//! permessage-deflate: messages, bombs, streams that end where they should not.

mod support;

use portcullis_codec::frame::encode_compressed_message;
use portcullis_codec::{
    Decoder, Inflate, Limits, MessageKind, Opcode, Params, ProtocolError as E, Scratch, Sender, compress_into, scratch,
};
use support::*;

fn packed(payload: &[u8], bits: u8) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(compress_into(&mut Scratch::new(), payload, &mut out, bits));
    out
}

fn sent(packed: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    encode_compressed_message(&mut wire, MessageKind::Text, packed, Some(KEY));
    wire
}

/// A single compressed message under `limits`: payload length or error.
fn verdict(packed: &[u8], limits: Limits, takeover: bool) -> Result<usize, E> {
    let mut decoder = inflating(Sender::Client, limits, takeover);
    let outcome = run(&mut decoder, &sent(packed), &[]);
    match outcome.1 {
        Some(error) => Err(error),
        None => Ok(payloads(&outcome).first().map_or(0, Vec::len)),
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut n = 0x1234_5678_9abc_def0u64;
    let mut next = || {
        n ^= n << 13;
        n ^= n >> 7;
        n ^= n << 17;
        b' ' + (n % 95) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn the_examples_of_rfc_7692_7_2_3_are_read() {
    let hello = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..];
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("one block", hello, b"Hello"),
        ("a block without compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], b"Hello"),
        ("a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello"),
        ("two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
        ("nothing", &[0x00], b""),
    ];
    for takeover in [false, true] {
        for (name, packed, text) in cases {
            let mut decoder = inflating(Sender::Client, Limits::default(), takeover);
            let outcome = run(&mut decoder, &sent(packed), &[]);
            assert_eq!((payloads(&outcome), outcome.1), (vec![text.to_vec()], None), "{name}");
        }
    }
    // 7.2.3.2: the second message refers to the first.
    let again = sent(&[0xf2, 0x00, 0x11, 0x00, 0x00]);
    let wire = [sent(hello), again].concat();
    let outcome = run(&mut inflating(Sender::Client, Limits::default(), true), &wire, &[]);
    assert_eq!(payloads(&outcome), [b"Hello", b"Hello"]);
    let outcome = run(&mut inflating(Sender::Client, Limits::default(), false), &wire, &[]);
    assert_eq!((payloads(&outcome).len(), outcome.1), (1, Some(E::InflateFailed)));
}

#[test]
fn what_is_compressed_is_read_back_at_every_window_and_takeover() {
    let texts = [vec![], b"a".to_vec(), vec![b'a'; 70_000], noise(50_000), b"{\"a\":1}".repeat(3000)];
    let limits = Limits { inflate_ratio_max: 0, ..Limits::default() };
    for bits in 9..=15 {
        for takeover in [false, true] {
            let params = Params {
                client_max_window_bits: Some(bits),
                client_no_context_takeover: !takeover,
                ..Params::default()
            };
            let inflate = Inflate::new(&params, Sender::Client);
            assert_eq!(inflate.has_context_takeover(), takeover);
            let mut decoder = Decoder::new(Sender::Client, limits, Some(inflate));
            let wire: Vec<u8> = texts.iter().flat_map(|text| sent(&packed(text, bits))).collect();
            let outcome = run(&mut decoder, &wire, &[]);
            assert_eq!((payloads(&outcome), outcome.1), (texts.to_vec(), None), "{bits} bits");
        }
    }
}

#[test]
fn a_window_that_zlib_cannot_do_leaves_the_output_alone() {
    let mut out = b"before".to_vec();
    for bits in [0, 8, 16, 255] {
        assert!(!compress_into(&mut Scratch::new(), b"text", &mut out, bits));
        assert_eq!(out, b"before");
    }
}

#[test]
fn compressed_output_is_appended_and_one_compressor_serves_many_windows() {
    let mut scratch = Scratch::new();
    for bits in [15, 9, 9, 12, 15] {
        let mut out = b"before".to_vec();
        assert!(compress_into(&mut scratch, &[b'z'; 4000], &mut out, bits));
        assert_eq!(verdict(&out[6..], Limits::default(), false), Ok(4000));
    }
}

#[test]
fn uncompressed_messages_pass_between_compressed_ones_and_leave_the_context_alone() {
    let hello = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    let wire = [sent(hello), client(true, Opcode::Text, b"between"), sent(again)].concat();
    let outcome = run(&mut inflating(Sender::Client, Limits::default(), true), &wire, &[1]);
    assert_eq!(payloads(&outcome), [&b"Hello"[..], b"between", b"Hello"]);
}

#[test]
fn a_compressed_message_in_fragments_with_a_ping_between_is_forwarded_as_it_came() {
    let packed = packed(&b"{\"track\":7}".repeat(50), 15);
    let (a, b) = packed.split_at(packed.len() / 3);
    let first = frame(Sender::Client, false, true, Opcode::Text, a);
    let ping = client(true, Opcode::Ping, b"");
    let last = client(true, Opcode::Continuation, b);
    let wire = [first.as_slice(), &ping, &last].concat();
    for sizes in [&[][..], &[1], &[5]] {
        let mut decoder = inflating(Sender::Client, Limits::default(), false);
        let (items, error) = run(&mut decoder, &wire, sizes);
        assert_eq!((items.len(), error), (2, None));
        assert!(matches!(&items[1], Seen::Message { compressed: true, payload, wire, .. }
            if *payload == b"{\"track\":7}".repeat(50) && *wire == [first.as_slice(), &last].concat()));
    }
}

#[test]
fn streams_that_readers_disagree_about_are_refused() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let cases: &[(&str, Vec<u8>)] = &[
        ("no bytes at all", vec![]),
        ("not deflate", vec![0xff, 0xff, 0xff]),
        ("block type 3", vec![0x06, 0x00]),
        ("a stored block whose length contradicts itself", vec![0x00, 0x05, 0x00, 0x00, 0x00, b'H']),
        ("a stored block cut short", vec![0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e']),
        ("a block cut short", hello[..4].to_vec()),
        ("the tail not taken off, and cut", [&hello[..], &[0x00, 0x00]].concat()),
        ("data after a final block", [&last[..], &[0x00], &hello[..]].concat()),
        ("two bytes of padding after a final block", [&last[..], &[0x00, 0x00]].concat()),
        ("padding that is not zero", [&last[..], &[0x01]].concat()),
        ("a reference to before the message", vec![0x02, 0x13, 0x00, 0x00]),
    ];
    for takeover in [false, true] {
        for (name, packed) in cases {
            let verdict = verdict(packed, Limits::default(), takeover);
            assert_eq!(verdict, Err(E::InflateFailed), "{name}, takeover {takeover}");
        }
    }
}

#[test]
fn a_message_that_ends_inside_a_block_header_is_refused_where_each_stands_alone() {
    // A dynamic block whose header is not complete even after the four bytes of the tail.
    let verdict = verdict(&[0x04, 0x80], Limits::default(), false);
    assert_eq!(verdict, Err(E::InflateFailed));
}

#[test]
fn after_a_final_block_the_next_message_begins_afresh() {
    let last = sent(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]);
    let hello = sent(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    for takeover in [false, true] {
        let mut decoder = inflating(Sender::Client, Limits::default(), takeover);
        let outcome = run(&mut decoder, &[last.as_slice(), &hello, &last].concat(), &[]);
        assert_eq!((payloads(&outcome).len(), outcome.1), (3, None));
    }
}

#[test]
fn inflated_text_must_be_utf8() {
    for sizes in [&[][..], &[1]] {
        let wire = sent(&packed(&[0xed, 0xa0, 0x80], 15));
        let mut decoder = inflating(Sender::Client, Limits::default(), false);
        assert_eq!(run(&mut decoder, &wire, sizes).1, Some(E::InvalidUtf8));
    }
}

#[test]
fn a_message_that_inflates_to_the_limit_passes_and_one_byte_more_is_refused() {
    for max in [1, 100, 16_383, 16_384, 16_385, 100_000] {
        let limits = Limits { message_bytes_max: max, inflate_ratio_max: 0, ..Limits::default() };
        for takeover in [false, true] {
            let fits = packed(&vec![b'a'; max as usize], 15);
            assert_eq!(verdict(&fits, limits, takeover), Ok(max as usize));
            let over = packed(&vec![b'a'; max as usize + 1], 15);
            assert_eq!(verdict(&over, limits, takeover), Err(E::InflatedTooLarge { max }));
        }
    }
}

#[test]
fn a_message_that_ends_past_the_limit_is_too_large_and_one_that_grows_on_is_a_bomb() {
    let max = 1 << 20;
    let limits = Limits { message_bytes_max: max, inflate_ratio_grace_bytes: max, ..Limits::default() };
    for takeover in [false, true] {
        let of = |letters: u64| verdict(&packed(&vec![b'a'; letters as usize], 15), limits, takeover);
        assert_eq!(of(max), Ok(max as usize));
        assert_eq!(of(max + 1), Err(E::InflatedTooLarge { max }), "one letter more, a thousandfold");
        assert_eq!(of(4 * max), Err(E::InflateRatio { max: 100 }));
        // However far past the limit it is: what does not grow beyond the ratio is no bomb.
        let honest = packed(&noise((max + max / 16) as usize), 15);
        let refused = verdict(&honest, Limits { frame_bytes_max: 4 * max, ..limits }, takeover);
        assert_eq!(refused, Err(E::InflatedTooLarge { max }));
    }
}

#[test]
fn a_message_of_the_limit_that_does_not_compress_is_not_refused_for_its_stored_blocks() {
    let max = 1 << 20;
    let limits = Limits::default();
    // Blocks of zlib's default, of Python's `websockets`, and of zlib at its lowest memory.
    for block_bytes in [16_383, 2_047, 127] {
        let mut stored = Vec::new();
        for block in noise(max).chunks(block_bytes) {
            let len = (block.len() as u16).to_le_bytes();
            stored.push(0);
            stored.extend(len);
            stored.extend(len.map(|byte| !byte));
            stored.extend_from_slice(block);
        }
        stored.push(0);
        assert!(stored.len() > max);
        assert_eq!(verdict(&stored, limits, false), Ok(max), "blocks of {block_bytes}");
    }
}

#[test]
fn a_compressed_frame_is_refused_on_its_header_when_no_message_could_be_so_long() {
    let limits = Limits { message_bytes_max: 10_000, frame_bytes_max: 10_000, ..Limits::default() };
    let most = Limits::compressed_bytes_max(10_000);
    let wire = sent(&vec![0; most as usize + 1]);
    let refused = E::FrameTooLarge { declared: most + 1, max: 10_000 };
    let mut decoder = inflating(Sender::Client, limits, false);
    assert_eq!(run(&mut decoder, &wire[..8], &[]).1, Some(refused));
}

#[test]
fn a_ratio_at_the_limit_passes_and_above_it_is_refused_past_the_grace() {
    let text = vec![b'a'; 200_000];
    let small = packed(&text, 15);
    let ratio = text.len().div_ceil(small.len()) as u32;
    let limits = |max| Limits { inflate_ratio_max: max, inflate_ratio_grace_bytes: 1000, ..Limits::default() };
    assert_eq!(verdict(&small, limits(ratio), false), Ok(200_000));
    let max = ratio - 1;
    assert_eq!(verdict(&small, limits(max), false), Err(E::InflateRatio { max }));
    let graceful = Limits { inflate_ratio_grace_bytes: 200_000, ..limits(1) };
    assert_eq!(verdict(&small, graceful, false), Ok(200_000));
    let short = Limits { inflate_ratio_grace_bytes: 199_999, ..limits(1) };
    assert_eq!(verdict(&small, short, false), Err(E::InflateRatio { max: 1 }));
}

/// The class of 6 MB that become 1 GB: built of one block repeated, without a gigabyte at hand.
#[test]
fn a_bomb_of_megabytes_is_stopped_with_bounded_memory() {
    // After each message's final flush the stream goes on, so blocks can be put in a row.
    let block = [packed(&vec![b'a'; 1 << 20], 15), vec![0x00, 0x00, 0xff, 0xff]].concat();
    let mut bomb = block.repeat(1100);
    bomb.truncate(bomb.len() - 4);
    let mib = 1 << 20;
    let by_size = Limits { message_bytes_max: 16 * mib, frame_bytes_max: 16 * mib, ..Limits::default() };
    let by_ratio = Limits { message_bytes_max: 1024 * mib, inflate_ratio_max: 2, ..by_size };
    let no_ratio = Limits { inflate_ratio_max: 0, ..by_size };
    let cases = [
        (by_size, E::InflateRatio { max: 100 }),
        (no_ratio, E::InflatedTooLarge { max: 16 * mib }),
        (by_ratio, E::InflateRatio { max: 2 }),
    ];
    for (limits, refused) in cases {
        for takeover in [false, true] {
            let mut decoder = inflating(Sender::Client, limits, takeover);
            let mut scratch = Scratch::new();
            let wire = sent(&bomb);
            assert_eq!(decoder.decode(&wire, &mut scratch), Err(refused));
            let inflated = 2 * wire.len().max(16 << 20);
            assert!(scratch.held_bytes() <= 2 * (inflated + (16 << 10)) + wire.len());
            scratch.shrink();
            assert_eq!(scratch.held_bytes(), 0);
        }
    }
}

#[test]
fn a_bomb_of_bombs_leaves_the_shared_inflater_fit_for_the_next_connection() {
    let mut scratch = Scratch::new();
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let bomb = sent(&packed(&[b'a'; 100_000], 15));
    let honest = sent(&packed(b"honest", 15));
    for _ in 0..3 {
        let mut decoder = inflating(Sender::Client, limits, false);
        let refused = decoder.decode(&bomb, &mut scratch);
        assert_eq!(refused, Err(E::InflateRatio { max: 100 }));
        let mut outcome = (Vec::new(), None);
        feed(&mut inflating(Sender::Client, limits, false), &mut scratch, &honest, &mut outcome);
        assert_eq!(payloads(&outcome), [b"honest"]);
    }
}

#[test]
fn scratch_keeps_what_is_small_and_gives_back_what_is_large() {
    let mut scratch = Scratch::new();
    let mut decoder = plain(Sender::Client);
    let mut outcome = (Vec::new(), None);
    feed(&mut decoder, &mut scratch, &client(true, Opcode::Binary, &[1; 1000]), &mut outcome);
    scratch.shrink();
    assert!((1000..=scratch::KEEP_BYTES).contains(&scratch.held_bytes()));
    feed(&mut decoder, &mut scratch, &client(true, Opcode::Binary, &vec![1; 1 << 20]), &mut outcome);
    assert!(scratch.held_bytes() > scratch::KEEP_BYTES);
    scratch.shrink();
    assert_eq!(scratch.held_bytes(), 0);
}
