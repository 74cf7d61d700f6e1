//! Properties: how bytes are cut changes nothing, what is encoded is decoded, nothing panics.

mod support;

use portcullis_codec::frame::encode_compressed_message;
use portcullis_codec::{Decoder, Limits, MessageKind, Opcode, Scratch, Sender, close, compress_into};
use proptest::collection::vec;
use proptest::prelude::*;
use support::*;

/// Small limits, so that random streams reach them.
const TIGHT: Limits = Limits {
    message_bytes_max: 400,
    frame_bytes_max: 300,
    fragments_max: 5,
    inflate_ratio_max: 20,
    inflate_ratio_grace_bytes: 100,
};

/// A frame that follows most rules, most of the time.
fn any_frame(sender: Sender) -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        3 => Just(Opcode::Continuation),
        4 => Just(Opcode::Text),
        2 => Just(Opcode::Binary),
        2 => Just(Opcode::Ping),
        1 => Just(Opcode::Pong),
        1 => Just(Opcode::Close),
    ];
    let payload = prop_oneof![
        4 => "[a-zß€😀]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => (0u8..4).prop_map(|n| vec![n; 100 * usize::from(n)]),
        1 => Just(vec![0x03, 0xe8]),
    ];
    let parts = (prop::bool::weighted(0.6), prop::bool::weighted(0.3), opcode, payload);
    parts.prop_map(move |(fin, rsv1, opcode, payload)| {
        let fin = fin || opcode.is_control();
        let rsv1 = rsv1 && matches!(opcode, Opcode::Text | Opcode::Binary);
        let mut out = payload.clone();
        if rsv1 && fin {
            out.clear();
            assert!(compress_into(&mut Scratch::new(), &payload, &mut out, 15));
        }
        frame(sender, fin, rsv1, opcode, &out)
    })
}

fn decoders(sender: Sender) -> [fn(Sender) -> Decoder; 4] {
    let _ = sender;
    [
        plain,
        |sender| limited(sender, TIGHT),
        |sender| inflating(sender, TIGHT, true),
        |sender| inflating(sender, Limits::default(), false),
    ]
}

fn any_sender() -> impl Strategy<Value = Sender> {
    prop_oneof![Just(Sender::Client), Just(Sender::Server)]
}

fn agree(sender: Sender, wire: &[u8], sizes: &[usize]) -> Result<(), TestCaseError> {
    for decoder in decoders(sender) {
        let whole = run(&mut decoder(sender), wire, &[]);
        prop_assert_eq!(&run(&mut decoder(sender), wire, sizes), &whole);
        prop_assert_eq!(&run(&mut decoder(sender), wire, &[1]), &whole);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_cut_of_frames_gives_the_same_items_and_the_same_error(
        (sender, wire) in any_sender().prop_flat_map(|sender| {
            (Just(sender), vec(any_frame(sender), 1..8).prop_map(|frames| frames.concat()))
        }),
        sizes in vec(1usize..60, 1..6),
    ) {
        agree(sender, &wire, &sizes)?;
    }

    #[test]
    fn a_flipped_byte_is_seen_alike_however_the_frames_are_cut(
        mut wire in vec(any_frame(Sender::Client), 1..5).prop_map(|frames| frames.concat()),
        at in any::<prop::sample::Index>(),
        bits in 1u8..,
        sizes in vec(1usize..60, 1..6),
    ) {
        let at = at.index(wire.len());
        wire[at] ^= bits;
        agree(Sender::Client, &wire, &sizes)?;
    }

    #[test]
    fn random_bytes_never_panic_and_never_hold_more_than_they_are(
        sender in any_sender(),
        wire in vec(any::<u8>(), 0..600),
        sizes in vec(1usize..60, 1..6),
    ) {
        agree(sender, &wire, &sizes)?;
        for decoder in decoders(sender) {
            let mut decoder = decoder(sender);
            run(&mut decoder, &wire, &sizes);
            prop_assert!(decoder.held_bytes() <= 2 * wire.len() + 64);
        }
    }

    #[test]
    fn what_is_encoded_in_any_fragments_is_decoded_and_forwarded_as_given(
        sender in any_sender(),
        text in "[a-zß€😀]{0,200}",
        cuts in vec(any::<prop::sample::Index>(), 0..5),
        sizes in vec(1usize..200, 0..4),
        packed in any::<bool>(),
    ) {
        let mut body = text.clone().into_bytes();
        if packed {
            body.clear();
            prop_assert!(compress_into(&mut Scratch::new(), text.as_bytes(), &mut body, 15));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(body.len());
        let (mut wire, mut start) = (Vec::new(), 0);
        for (n, end) in cuts.iter().enumerate() {
            let opcode = if n == 0 { Opcode::Text } else { Opcode::Continuation };
            let fin = n + 1 == cuts.len();
            wire.extend(frame(sender, fin, packed && n == 0, opcode, &body[start..*end]));
            start = *end;
        }
        let mut decoder = inflating(sender, Limits::default(), true);
        let wanted = Seen::Message {
            kind: MessageKind::Text,
            payload: text.into_bytes(),
            wire: wire.clone(),
            compressed: packed,
            frames: cuts.len() as u32,
        };
        prop_assert_eq!(run(&mut decoder, &wire, &sizes), (vec![wanted], None));
    }

    #[test]
    fn text_in_pieces_is_judged_as_the_standard_library_judges_it_whole(
        mut text in "[a-zß€😀]{0,30}".prop_map(String::into_bytes),
        wrong in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in any::<prop::sample::Index>(),
    ) {
        if let Some((at, byte)) = wrong.filter(|_| !text.is_empty()) {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let cut = cut.index(text.len() + 1);
        let mut wire = client(false, Opcode::Text, &text[..cut]);
        wire.extend(client(true, Opcode::Continuation, &text[cut..]));
        let valid = std::str::from_utf8(&text).is_ok();
        prop_assert_eq!(run(&mut plain(Sender::Client), &wire, &[]).1.is_none(), valid);
    }

    #[test]
    fn inflating_random_bytes_never_panics_and_never_exceeds_the_limit(
        packed in vec(any::<u8>(), 0..300),
        takeover in any::<bool>(),
    ) {
        let mut wire = Vec::new();
        encode_compressed_message(&mut wire, MessageKind::Binary, &packed, Some(KEY));
        let outcome = run(&mut inflating(Sender::Client, TIGHT, takeover), &wire, &[]);
        prop_assert!(payloads(&outcome).iter().all(|payload| payload.len() <= 400));
    }

    #[test]
    fn a_reason_is_cut_between_characters_and_no_earlier_than_needed(reason in "\\PC{0,200}") {
        let cut = close::truncated_reason(&reason);
        prop_assert!(reason.starts_with(cut));
        prop_assert!(cut.len() <= 123);
        prop_assert!(cut.len() == reason.len() || cut.len() >= 120);
    }
}
