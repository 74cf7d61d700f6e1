//! Messages in several frames: order, control frames in between, floods.

mod support;

use portcullis_codec::limits::HEADER_BYTES_MAX;
use portcullis_codec::{Limits, Opcode, ProtocolError as E, Scratch, Sender};
use support::*;

fn flood(opcode: Opcode, payload: &[u8], count: usize) -> Vec<u8> {
    let mut wire = client(false, opcode, payload);
    for _ in 1..count {
        wire.extend(client(false, Opcode::Continuation, payload));
    }
    wire
}

#[test]
fn fragments_become_one_message_whose_wire_is_what_came() {
    for sender in [Sender::Client, Sender::Server] {
        let mut wire = frame(sender, false, false, Opcode::Text, "Gr".as_bytes());
        wire.extend(frame(sender, false, false, Opcode::Continuation, b""));
        wire.extend(frame(sender, true, false, Opcode::Continuation, "ün".as_bytes()));
        for sizes in [&[][..], &[1], &[4, 3]] {
            let (items, error) = run(&mut plain(sender), &wire, sizes);
            assert_eq!(error, None);
            let [Seen::Message { payload, wire: forwarded, frames, .. }] = items.as_slice() else {
                panic!("{items:?}")
            };
            assert_eq!((payload.as_slice(), *frames), ("Grün".as_bytes(), 3));
            assert_eq!(*forwarded, wire);
        }
    }
}

#[test]
fn a_ping_between_fragments_is_delivered_at_once_and_is_no_part_of_the_message() {
    let first = client(false, Opcode::Text, b"one ");
    let ping = client(true, Opcode::Ping, b"there?");
    let last = client(true, Opcode::Continuation, b"two");
    let mut decoder = plain(Sender::Client);
    let mut scratch = Scratch::new();
    let mut outcome = (Vec::new(), None);
    feed(&mut decoder, &mut scratch, &first, &mut outcome);
    assert!(outcome.0.is_empty() && decoder.is_mid_message());
    feed(&mut decoder, &mut scratch, &ping, &mut outcome);
    assert!(matches!(&outcome.0[0], Seen::Control { payload, .. } if payload == b"there?"));
    feed(&mut decoder, &mut scratch, &last, &mut outcome);
    assert!(matches!(&outcome.0[1], Seen::Message { payload, wire, .. }
        if payload == b"one two" && *wire == [first.as_slice(), &last].concat()));
    assert!(!decoder.is_mid_message());
}

#[test]
fn a_close_between_fragments_ends_the_message_unfinished() {
    let mut wire = client(false, Opcode::Text, b"one");
    wire.extend(client(true, Opcode::Close, &[0x03, 0xe8]));
    let mut decoder = plain(Sender::Client);
    let (items, error) = run(&mut decoder, &wire, &[]);
    assert_eq!((items.len(), error), (1, None));
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn as_many_fragments_as_allowed_pass_and_one_more_is_refused_empty_or_not() {
    let limits = Limits { fragments_max: 8, ..Limits::default() };
    for payload in [&b""[..], b"a"] {
        let mut wire = flood(Opcode::Text, payload, 7);
        wire.extend(client(true, Opcode::Continuation, payload));
        let (items, error) = run(&mut limited(Sender::Client, limits), &wire, &[]);
        assert_eq!((items.len(), error), (1, None));

        let wire = flood(Opcode::Text, payload, 9);
        let (items, error) = run(&mut limited(Sender::Client, limits), &wire, &[3]);
        assert_eq!((items.len(), error), (0, Some(E::TooManyFragments { max: 8 })));
    }
}

#[test]
fn a_limit_of_no_fragments_still_lets_single_frames_pass() {
    let limits = Limits { fragments_max: 0, ..Limits::default() };
    let (items, error) = run(&mut limited(Sender::Client, limits), &client(true, Opcode::Text, b"a"), &[]);
    assert_eq!((items.len(), error), (1, None));
    let (_, error) = run(&mut limited(Sender::Client, limits), &flood(Opcode::Text, b"a", 2), &[]);
    assert_eq!(error, Some(E::TooManyFragments { max: 1 }));
}

#[test]
fn fragments_that_add_up_to_the_limit_pass_and_one_byte_more_is_refused_on_its_header() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let mut wire = client(false, Opcode::Binary, &[1; 600]);
    wire.extend(client(true, Opcode::Continuation, &[1; 400]));
    assert_eq!(run(&mut limited(Sender::Client, limits), &wire, &[]).0.len(), 1);

    let mut wire = client(false, Opcode::Binary, &[1; 600]);
    wire.extend(&client(true, Opcode::Continuation, &[1; 401])[..8]);
    let refused = Some(E::MessageTooLarge { max: 1000 });
    assert_eq!(run(&mut limited(Sender::Client, limits), &wire, &[]), (vec![], refused));
}

#[test]
fn a_flood_of_one_byte_fragments_holds_bounded_memory_until_it_is_refused() {
    let limits = Limits::default();
    let most = 2 * limits.fragments_max as usize * (HEADER_BYTES_MAX + 1);
    let wire = flood(Opcode::Binary, b"x", 131_000);
    let mut decoder = limited(Sender::Client, limits);
    let mut scratch = Scratch::new();
    let mut outcome = (Vec::new(), None);
    for piece in wire.chunks(1460) {
        feed(&mut decoder, &mut scratch, piece, &mut outcome);
        assert!(decoder.held_bytes() <= most);
    }
    assert_eq!(outcome.1, Some(E::TooManyFragments { max: 1024 }));
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn memory_follows_what_has_arrived_up_to_twice_and_never_past_the_frame() {
    let wire = client(true, Opcode::Binary, &vec![7; 100_000]);
    let mut decoder = plain(Sender::Client);
    let mut scratch = Scratch::new();
    let mut arrived = 0;
    for piece in wire[..wire.len() - 1].chunks(1460) {
        decoder.decode(piece, &mut scratch).unwrap();
        arrived += piece.len();
        assert!(decoder.held_bytes() <= (2 * arrived).min(wire.len()).max(64));
    }
}

#[test]
fn a_slow_frame_of_single_bytes_is_collected_whatever_it_is() {
    let mut wire = client(true, Opcode::Ping, &[9; 125]);
    wire.extend(client(true, Opcode::Text, &[b'a'; 300]));
    wire.extend(client(true, Opcode::Pong, b""));
    let mut decoder = plain(Sender::Client);
    let (items, error) = run(&mut decoder, &wire, &[1]);
    assert_eq!((items.len(), error), (3, None));
    decoder.release();
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn ten_thousand_pings_leave_nothing_behind() {
    let wire = client(true, Opcode::Ping, &[1; 125]).repeat(10_000);
    let mut decoder = plain(Sender::Client);
    let (items, error) = run(&mut decoder, &wire, &[1000]);
    assert_eq!((items.len(), error), (10_000, None));
    assert!(decoder.held_bytes() <= 512);
}
