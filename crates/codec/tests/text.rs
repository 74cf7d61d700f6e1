//! UTF-8 in text messages: cases after Autobahn's chapter 6, judged as the bytes arrive.

mod support;

use portcullis_codec::{Opcode, ProtocolError as E, Scratch, Sender};
use support::*;

/// Bytes, and whether they are UTF-8.
const CASES: &[(&[u8], bool)] = &[
    (b"", true),
    ("Hello-µ@ßöäüàá-UTF-8!!".as_bytes(), true),
    ("κόσμε".as_bytes(), true),
    (&[0x00], true),
    (&[0x7f], true),
    (&[0xc2, 0x80], true),
    (&[0xdf, 0xbf], true),
    (&[0xe0, 0xa0, 0x80], true),
    (&[0xed, 0x9f, 0xbf], true),
    (&[0xee, 0x80, 0x80], true),
    (&[0xef, 0xbf, 0xbd], true),
    (&[0xef, 0xbf, 0xbf], true),
    (&[0xf0, 0x90, 0x80, 0x80], true),
    (&[0xf4, 0x8f, 0xbf, 0xbf], true),
    // An end inside a character.
    (&[0xce], false),
    (&[0xce, 0xba, 0xe1], false),
    (&[0xce, 0xba, 0xe1, 0xbd], false),
    (&[0xf0, 0x90, 0x80], false),
    // Too large, too long, five and six bytes.
    (&[0xf4, 0x90, 0x80, 0x80], false),
    (&[0xf5, 0x80, 0x80, 0x80], false),
    (&[0xf8, 0x88, 0x80, 0x80, 0x80], false),
    (&[0xfc, 0x84, 0x80, 0x80, 0x80, 0x80], false),
    (&[0xfe], false),
    (&[0xff], false),
    // Continuation bytes alone, and missing.
    (&[0x80], false),
    (&[0xbf, 0x80], false),
    (&[0xc3, 0x20], false),
    (&[0xe2, 0x82, 0x20], false),
    // Overlong.
    (&[0xc0, 0xaf], false),
    (&[0xc1, 0xbf], false),
    (&[0xe0, 0x80, 0xaf], false),
    (&[0xe0, 0x9f, 0xbf], false),
    (&[0xf0, 0x80, 0x80, 0xaf], false),
    (&[0xf0, 0x8f, 0xbf, 0xbf], false),
    // Surrogates.
    (&[0xed, 0xa0, 0x80], false),
    (&[0xed, 0xbf, 0xbf], false),
    (&[0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80], false),
    (&[0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xcf, 0x83, 0xce, 0xbc, 0xce, 0xb5, 0xed, 0xa0, 0x80], false),
];

#[test]
fn text_is_judged_alike_whole_in_pieces_and_in_fragments() {
    for (text, valid) in CASES {
        for padding in [0, 1, 15, 63, 64, 200] {
            let text = [&vec![b'.'; padding], *text].concat();
            let wanted = (!valid).then_some(E::InvalidUtf8);
            for sender in [Sender::Client, Sender::Server] {
                let whole = frame(sender, true, false, Opcode::Text, &text);
                for sizes in [&[][..], &[1], &[2], &[3], &[67]] {
                    let (_, error) = run(&mut plain(sender), &whole, sizes);
                    assert_eq!(error, wanted, "{text:x?}, cut {sizes:?}");
                }
                for cut in 0..=text.len() {
                    let mut wire = frame(sender, false, false, Opcode::Text, &text[..cut]);
                    wire.extend(frame(sender, true, false, Opcode::Continuation, &text[cut..]));
                    let (_, error) = run(&mut plain(sender), &wire, &[]);
                    assert_eq!(error, wanted, "{text:x?}, fragments at {cut}");
                }
            }
        }
    }
}

#[test]
fn the_first_wrong_byte_is_refused_before_its_frame_is_complete() {
    // Autobahn 6.4.1 to 6.4.4: `κόσμε`, then a code point above U+10FFFF.
    let text = [0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xcf, 0x83, 0xce, 0xbc, 0xce, 0xb5, 0xf4, 0x90, 0x80, 0x80, b'e'];
    let wire = client(true, Opcode::Text, &text);
    let wrong = wire.len() - text.len() + 12;
    let mut decoder = plain(Sender::Client);
    let mut scratch = Scratch::new();
    for byte in &wire[..wrong] {
        decoder.decode(&[*byte], &mut scratch).unwrap();
    }
    assert_eq!(decoder.decode(&wire[wrong..=wrong], &mut scratch), Err(E::InvalidUtf8));
}

#[test]
fn a_wrong_byte_in_a_first_fragment_is_refused_at_once() {
    let wire = client(false, Opcode::Text, b"\xed\xa0\x80");
    assert_eq!(run(&mut plain(Sender::Client), &wire, &[]).1, Some(E::InvalidUtf8));
}

#[test]
fn binary_messages_may_be_anything() {
    for (bytes, _) in CASES {
        let mut wire = client(false, Opcode::Binary, bytes);
        wire.extend(client(true, Opcode::Continuation, bytes));
        let outcome = run(&mut plain(Sender::Client), &wire, &[5]);
        assert_eq!(payloads(&outcome), [bytes.repeat(2)]);
    }
}

#[test]
fn a_text_longer_than_the_blocks_it_is_judged_in_passes_at_every_phase() {
    for shift in 0..4 {
        let text = format!("{}{}", ".".repeat(shift), "€ü".repeat(20_000));
        let wire = client(true, Opcode::Text, text.as_bytes());
        for size in [16_383, 16_390, 50_001] {
            let outcome = run(&mut plain(Sender::Client), &wire, &[size]);
            assert_eq!((payloads(&outcome), outcome.1), (vec![text.clone().into_bytes()], None));
        }
    }
}
