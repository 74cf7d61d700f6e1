//! Single frames: the malformed, each with its error; sizes at the edge; close frames.

mod support;

use portcullis_codec::frame::CONTROL_BYTES_MAX;
use portcullis_codec::{
    Limits, MessageKind, Opcode, ProtocolError as E, Scratch, Sender, encode_close, encode_control, encode_message,
};
use support::*;

#[test]
fn each_malformed_frame_is_refused_with_its_own_error_however_it_is_cut() {
    let cases: &[(&str, Sender, &[u8], E)] = &[
        ("a client's frame without a mask", Sender::Client, &[0x81, 0x02, b'h', b'i'], E::UnmaskedClientFrame),
        ("a server's frame with a mask", Sender::Server, &[0x81, 0x82, 1, 2, 3, 4, 5, 6], E::MaskedServerFrame),
        ("rsv2", Sender::Server, &[0xa1, 0x00], E::ReservedBits),
        ("rsv3", Sender::Server, &[0x91, 0x00], E::ReservedBits),
        ("rsv2 beside rsv1", Sender::Server, &[0xe1, 0x00], E::ReservedBits),
        ("rsv1 without an extension", Sender::Server, &[0xc1, 0x00], E::CompressionNotNegotiated),
        ("rsv1 on a ping without an extension", Sender::Server, &[0xc9, 0x00], E::CompressionNotNegotiated),
        ("opcode 3", Sender::Server, &[0x83, 0x00], E::ReservedOpcode(3)),
        ("opcode 7", Sender::Server, &[0x87, 0x00], E::ReservedOpcode(7)),
        ("opcode 11", Sender::Server, &[0x8b, 0x00], E::ReservedOpcode(11)),
        ("opcode 15", Sender::Client, &[0x8f, 0x80], E::ReservedOpcode(15)),
        ("a fragmented ping", Sender::Server, &[0x09, 0x00], E::FragmentedControl),
        ("a fragmented close", Sender::Server, &[0x08, 0x00], E::FragmentedControl),
        ("a ping of 126 bytes", Sender::Server, &[0x89, 126, 0, 126], E::ControlTooLong),
        ("a ping of 64-bit length", Sender::Server, &[0x89, 127], E::ControlTooLong),
        ("125 in two bytes", Sender::Server, &[0x82, 126, 0, 125], E::NonMinimalLength),
        ("0 in two bytes", Sender::Server, &[0x82, 126, 0, 0], E::NonMinimalLength),
        ("65535 in eight bytes", Sender::Server, &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], E::NonMinimalLength),
        ("2^63", Sender::Server, &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], E::LengthOverflow),
        ("all ones", Sender::Server, &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255], E::LengthOverflow),
        ("a continuation of nothing", Sender::Server, &[0x80, 0x00], E::UnexpectedContinuation),
        ("a continuation of nothing, not the last", Sender::Server, &[0x00, 0x01, b'a'], E::UnexpectedContinuation),
        (
            "a continuation of a message that ended",
            Sender::Server,
            &[0x81, 0x00, 0x80, 0x00],
            E::UnexpectedContinuation,
        ),
        ("text within text", Sender::Server, &[0x01, 0x01, b'a', 0x81, 0x01, b'b'], E::ExpectedContinuation),
        ("binary within text", Sender::Server, &[0x01, 0x01, b'a', 0x82, 0x01, b'b'], E::ExpectedContinuation),
        ("a close of one byte", Sender::Server, &[0x88, 0x01, 0x03], E::CloseTruncated),
        ("a close whose reason is not utf-8", Sender::Server, &[0x88, 0x03, 0x03, 0xe8, 0xff], E::CloseReasonNotUtf8),
        ("a text that is not utf-8", Sender::Server, &[0x81, 0x02, 0xc0, 0xaf], E::InvalidUtf8),
    ];
    for (name, sender, wire, error) in cases {
        for sizes in [&[][..], &[1], &[2], &[3, 1]] {
            let (_, refused) = run(&mut plain(*sender), wire, sizes);
            assert_eq!(refused, Some(*error), "{name}, cut {sizes:?}");
        }
    }
}

#[test]
fn rsv1_is_refused_on_continuations_and_control_frames_of_a_compressed_connection() {
    let cases: &[(&[u8], E)] = &[
        (&[0x01, 0x01, b'a', 0xc0, 0x00], E::CompressedContinuation),
        (&[0x41, 0x01, 0x00, 0xc0, 0x00], E::CompressedContinuation),
        (&[0xc9, 0x00], E::CompressedControl),
        (&[0xc8, 0x00], E::CompressedControl),
        (&[0xd1, 0x00], E::ReservedBits),
    ];
    for (wire, error) in cases {
        let mut decoder = inflating(Sender::Server, Limits::default(), false);
        assert_eq!(run(&mut decoder, wire, &[]).1, Some(*error), "{wire:x?}");
    }
}

#[test]
fn a_refused_decoder_stays_refused_and_holds_nothing() {
    let mut decoder = plain(Sender::Server);
    let mut scratch = Scratch::new();
    decoder.decode(&server(false, Opcode::Text, b"begun"), &mut scratch).unwrap();
    assert_eq!(decoder.decode(&[0x83], &mut scratch), Err(E::ReservedOpcode(3)));
    assert_eq!(decoder.decode(&[0x81, 0x00], &mut scratch), Err(E::ReservedOpcode(3)));
    assert_eq!(decoder.decode(&[], &mut scratch), Err(E::ReservedOpcode(3)));
    assert_eq!(decoder.held_bytes(), 0);
    assert!(!decoder.is_mid_message());
}

#[test]
fn a_length_of_two_to_the_62_is_refused_on_the_header_and_allocates_nothing() {
    let mut header = vec![0x82, 0xff];
    header.extend((1u64 << 62).to_be_bytes());
    header.extend(KEY);
    let mut decoder = plain(Sender::Client);
    let mut scratch = Scratch::new();
    let refused = E::FrameTooLarge { declared: 1 << 62, max: 1 << 20 };
    assert_eq!(decoder.decode(&header, &mut scratch), Err(refused));
    assert_eq!((decoder.held_bytes(), scratch.held_bytes()), (0, 0));
}

#[test]
fn no_memory_is_reserved_for_what_a_header_merely_announces() {
    let mut header = vec![0x82, 0xff];
    header.extend((1u64 << 62).to_be_bytes());
    header.extend(KEY);
    let limits = Limits { frame_bytes_max: u64::MAX, message_bytes_max: u64::MAX, ..Limits::default() };
    let mut decoder = limited(Sender::Client, limits);
    let mut scratch = Scratch::new();
    decoder.decode(&header, &mut scratch).unwrap();
    assert!(decoder.held_bytes() <= 64, "{}", decoder.held_bytes());
    decoder.decode(&[0; 1000], &mut scratch).unwrap();
    assert!(decoder.held_bytes() <= 2048, "{}", decoder.held_bytes());
}

#[test]
fn a_frame_of_exactly_the_limit_passes_and_one_byte_more_is_refused() {
    let limits = Limits { frame_bytes_max: 1000, message_bytes_max: 2000, ..Limits::default() };
    for sender in [Sender::Client, Sender::Server] {
        for sizes in [&[][..], &[7]] {
            let fits = frame(sender, true, false, Opcode::Binary, &[1; 1000]);
            let (items, error) = run(&mut limited(sender, limits), &fits, sizes);
            assert_eq!((items.len(), error), (1, None));
            let over = frame(sender, true, false, Opcode::Binary, &[1; 1001]);
            let refused = E::FrameTooLarge { declared: 1001, max: 1000 };
            assert_eq!(run(&mut limited(sender, limits), &over, sizes), (vec![], Some(refused)));
        }
    }
}

#[test]
fn lower_limits_hold_from_the_next_header_on() {
    let mut decoder = plain(Sender::Server);
    let mut scratch = Scratch::new();
    let mut outcome = (Vec::new(), None);
    feed(&mut decoder, &mut scratch, &server(false, Opcode::Binary, &[1; 100]), &mut outcome);
    decoder.set_limits(Limits { message_bytes_max: 100, ..Limits::default() });
    feed(&mut decoder, &mut scratch, &server(false, Opcode::Continuation, &[]), &mut outcome);
    assert_eq!(outcome.1, None);
    feed(&mut decoder, &mut scratch, &server(true, Opcode::Continuation, &[1]), &mut outcome);
    assert_eq!(outcome.1, Some(E::MessageTooLarge { max: 100 }));
}

#[test]
fn a_whole_message_is_forwarded_from_the_input_and_nothing_is_held() {
    for sender in [Sender::Client, Sender::Server] {
        for len in [0, 1, 125, 126, 127, 65535, 65536] {
            let wire = frame(sender, true, false, Opcode::Binary, &vec![b'x'; len]);
            let mut input = frame(sender, true, false, Opcode::Ping, b"?");
            let before = input.len();
            input.extend_from_slice(&wire);
            let mut decoder = plain(sender);
            let mut scratch = Scratch::new();
            let step = decoder.decode(&input, &mut scratch).unwrap();
            assert_eq!(step.consumed, before);
            let step = decoder.decode(&input[before..], &mut scratch).unwrap();
            let Some(portcullis_codec::Item::Message(message)) = step.item else { panic!() };
            assert_eq!(message.wire, portcullis_codec::Wire::Input(0..wire.len()));
            assert_eq!(message.payload, vec![b'x'; len]);
            if sender == Sender::Server {
                let start = input[before..].as_ptr() as usize;
                let at = message.payload.as_ptr() as usize;
                assert!(len == 0 || at == start + wire.len() - len, "the payload was copied");
            }
            assert_eq!(decoder.held_bytes(), 0);
        }
    }
}

#[test]
fn an_idle_decoder_is_small_and_gives_its_memory_back() {
    assert!(size_of::<portcullis_codec::Decoder>() <= 128);
    let mut decoder = plain(Sender::Client);
    let wire = client(true, Opcode::Text, &[b'a'; 5000]);
    let outcome = run(&mut decoder, &wire, &[4000]);
    assert_eq!(outcome.0.len(), 1);
    assert!(decoder.held_bytes() > 0);
    decoder.release();
    assert_eq!(decoder.held_bytes(), 0);
    let outcome = run(&mut decoder, &wire, &[4000]);
    assert_eq!(payloads(&outcome), [vec![b'a'; 5000]]);
}

#[test]
fn release_keeps_what_is_in_progress() {
    let wire = client(true, Opcode::Text, b"the quick brown fox");
    for cut in 1..wire.len() {
        let mut decoder = plain(Sender::Client);
        let mut scratch = Scratch::new();
        let mut outcome = (Vec::new(), None);
        feed(&mut decoder, &mut scratch, &wire[..cut], &mut outcome);
        decoder.release();
        feed(&mut decoder, &mut scratch, &wire[cut..], &mut outcome);
        assert_eq!(payloads(&outcome), [b"the quick brown fox"], "cut at {cut}");
    }
}

#[test]
fn close_codes_that_may_be_sent_pass_and_others_do_not() {
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let invalid = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    for code in valid {
        let wire = server(true, Opcode::Close, &[&u16::to_be_bytes(code)[..], b"why"].concat());
        let close = Some((Some(code), "why".to_owned()));
        let (items, error) = run(&mut plain(Sender::Server), &wire, &[]);
        assert!(matches!(&items[0], Seen::Control { close: c, .. } if *c == close), "{code}");
        assert_eq!(error, None);
    }
    for code in invalid {
        let wire = server(true, Opcode::Close, &u16::to_be_bytes(code));
        let (_, error) = run(&mut plain(Sender::Server), &wire, &[]);
        assert_eq!(error, Some(E::InvalidCloseCode(code)));
    }
}

#[test]
fn a_close_without_payload_has_no_code_and_one_of_125_bytes_passes() {
    let (items, _) = run(&mut plain(Sender::Client), &client(true, Opcode::Close, &[]), &[]);
    assert!(matches!(&items[0], Seen::Control { close: Some((None, why)), .. } if why.is_empty()));
    let mut payload = vec![0x03, 0xe8];
    payload.resize(CONTROL_BYTES_MAX, b'*');
    let (items, error) = run(&mut plain(Sender::Client), &client(true, Opcode::Close, &payload), &[1]);
    assert_eq!((items.len(), error), (1, None));
}

#[test]
fn what_follows_a_close_is_used_up_and_ignored() {
    let mut wire = client(true, Opcode::Close, &[]);
    wire.extend(client(true, Opcode::Text, b"more"));
    wire.extend([0xff; 9]);
    for sizes in [&[][..], &[1], &[5]] {
        let mut decoder = plain(Sender::Client);
        let (items, error) = run(&mut decoder, &wire, sizes);
        assert_eq!((items.len(), error, decoder.held_bytes()), (1, None, 0));
    }
}

#[test]
fn what_is_encoded_for_sending_is_decoded_as_it_was_meant() {
    for (sender, key) in [(Sender::Client, Some(KEY)), (Sender::Server, None)] {
        let mut wire = Vec::new();
        encode_message(&mut wire, MessageKind::Text, "grün".as_bytes(), key);
        encode_control(&mut wire, Opcode::Pong, &[7; 300], key);
        encode_close(&mut wire, 4003, &"ü".repeat(100), key);
        let (items, error) = run(&mut plain(sender), &wire, &[]);
        assert_eq!(error, None);
        assert!(matches!(&items[0], Seen::Message { payload, .. } if payload == "grün".as_bytes()));
        assert!(matches!(&items[1], Seen::Control { payload, .. } if *payload == [7; 125]));
        let why = "ü".repeat(61); // 122 of 123 bytes: the next character does not fit
        assert!(matches!(&items[2], Seen::Control { close: Some((Some(4003), w)), .. } if *w == why));
    }
}

#[test]
fn a_code_that_may_not_be_sent_is_encoded_as_a_close_without_payload() {
    let mut wire = Vec::new();
    encode_close(&mut wire, 1006, "lost", None);
    assert_eq!(wire, [0x88, 0x00]);
}

#[test]
fn every_error_has_a_label_of_its_own_and_one_of_three_close_codes() {
    let errors = [
        E::UnmaskedClientFrame,
        E::MaskedServerFrame,
        E::ReservedBits,
        E::ReservedOpcode(3),
        E::FragmentedControl,
        E::ControlTooLong,
        E::NonMinimalLength,
        E::LengthOverflow,
        E::UnexpectedContinuation,
        E::ExpectedContinuation,
        E::InvalidUtf8,
        E::CloseTruncated,
        E::InvalidCloseCode(0),
        E::CloseReasonNotUtf8,
        E::FrameTooLarge { declared: 1, max: 0 },
        E::MessageTooLarge { max: 0 },
        E::TooManyFragments { max: 0 },
        E::CompressionNotNegotiated,
        E::CompressedContinuation,
        E::CompressedControl,
        E::InflateFailed,
        E::InflatedTooLarge { max: 0 },
        E::InflateRatio { max: 0 },
    ];
    let labels: std::collections::BTreeSet<_> = errors.iter().map(E::label).collect();
    assert_eq!(labels.len(), errors.len());
    assert!(labels.iter().all(|l| l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))));
    assert!(errors.iter().all(|e| matches!(e.close_code(), 1002 | 1007 | 1009)));
}
