//! MessagePack and CBOR as JSON, against two readers that nobody here wrote; and what the checks make of them.

use portcullis_core::inspection::{Action, Kind};
use portcullis_core::message::binary::{Buffers, Format, read};
use portcullis_core::message::json::{Bounds, Fault};
use portcullis_core::verdict::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::house::judge;
use crate::samples::{FORMATS, any_json, bytes_of, same};

const BOUNDS: Bounds = Bounds { depth_max: 8, keys_max: 1000, values_max: 1000, string_bytes_max: 1 << 16 };

fn as_json(format: Format, bytes: &[u8]) -> Result<Value, Fault> {
    let mut buffers = Buffers::default();
    read(format, bytes, &BOUNDS, &mut buffers).map_err(|refusal| refusal.fault)?;
    Ok(serde_json::from_slice(buffers.text()).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(buffers.text()));
    }))
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(value in any_json()) {
        for format in FORMATS {
            let bytes = bytes_of(format, &value);
            let found = as_json(format, &bytes).unwrap();
            prop_assert!(same(&found, &value), "{format:?} {found} {value}");
            // Every cut is refused, and so is every tail.
            for end in 0..bytes.len() {
                prop_assert!(as_json(format, &bytes[..end]).is_err());
            }
            let tail = [bytes.as_slice(), &[0]].concat();
            prop_assert_eq!(as_json(format, &tail), Err(Fault::Malformed("bytes after the message")));
        }
    }

    #[test]
    fn no_bytes_panic_and_what_we_read_others_read_too(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut buffers = Buffers::default();
        if read(Format::Msgpack, &bytes, &BOUNDS, &mut buffers).is_ok() {
            let mut rest = bytes.as_slice();
            rmpv::decode::read_value(&mut rest).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert!(buffers.text().len() <= bytes.len() * 8);
        }
        if read(Format::Cbor, &bytes, &BOUNDS, &mut buffers).is_ok() {
            let mut rest = bytes.as_slice();
            ciborium::from_reader::<ciborium::Value, _>(&mut rest).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert!(buffers.text().len() <= bytes.len() * 8);
        }
    }
}

#[test]
fn what_json_cannot_say_is_refused_and_the_rest_is_said_as_documented() {
    let malformed = |why: &'static str| Err(Fault::Malformed(why));
    for (bytes, expected) in [
        (&[0xc1][..], malformed("a byte that MessagePack never uses")),
        (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], malformed("a number that is not finite")),
        (&[0xd4, 5, 0], malformed("an extension type")),
        (&[0xa1, 0xff], malformed("text that is not UTF-8")),
        (&[0x81, 0xc0, 1], malformed("a key that is neither text nor a whole number")),
        (&[0xdd, 0xff, 0xff, 0xff, 0xff], malformed("more items are announced than bytes are left")),
        (&[0xdf, 0x7f, 0xff, 0xff, 0xff, 0], malformed("more items are announced than bytes are left")),
        (&[0xdb, 0xff, 0xff, 0xff, 0xff, 0], malformed("the bytes end too early")),
        (&[0xd6, 0xff, 0x65, 0x53, 0xf1, 0], Ok(json!(1_700_000_000))),
        (&[0xd7, 0xff, 0x77, 0x35, 0x94, 0, 0x65, 0x53, 0xf1, 0], Ok(json!(1_700_000_000.5))),
        (&[0x81, 0x07, 0xc3], Ok(json!({"7": true}))),
        (&[0xc4, 2, b'h', b'i'], Ok(json!("hi"))),
        (&[0xc4, 2, 0xff, 0xfe], Ok(json!("//4="))),
        (&[0xe0], Ok(json!(-32))),
        (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], Ok(json!(u64::MAX))),
    ] {
        assert_eq!(as_json(Format::Msgpack, bytes), expected, "{bytes:02x?}");
    }
    for (bytes, expected) in [
        (&[0x9f, 1, 0xff][..], malformed("a length that is not announced")),
        (&[0x5f, 0x41, 0, 0xff], malformed("a length that is not announced")),
        (&[0xf9, 0x7e, 0], malformed("a number that is not finite")),
        (&[0xc2, 0x41, 1], malformed("a tag that JSON has no word for")),
        (&[0xc0, 1], malformed("a tag before something else than it says")),
        (&[0xe0], malformed("a simple value that JSON has no word for")),
        (&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], malformed("more items are announced than bytes are left")),
        (&[0x81, 0xd9, 0xd9, 0xf7, 0x61, b'a', 1], malformed("a tag that JSON has no word for")),
        (&[0xd9, 0xd9, 0xf7, 0x82, 0xf7, 0xf6], Ok(json!([null, null]))),
        (&[0xc1, 0x1a, 0x65, 0x53, 0xf1, 0], Ok(json!(1_700_000_000))),
        (&[0xc0, 0x61, b'x'], Ok(json!("x"))),
        (&[0xf9, 0x3e, 0], Ok(json!(1.5))),
        (&[0xf9, 0, 1], Ok(json!(5.960_464_477_539_063e-8))),
        (&[0xa1, 0x20, 0xf5], Ok(json!({"-1": true}))),
    ] {
        assert_eq!(as_json(Format::Cbor, bytes), expected, "{bytes:02x?}");
    }
    assert_eq!(as_json(Format::Msgpack, &[0x91; 10]), Err(Fault::TooDeep));
    assert_eq!(as_json(Format::Cbor, &[0x81; 10]), Err(Fault::TooDeep));
}

#[test]
fn every_check_sees_what_msgpack_and_cbor_say() {
    let policy = |format: &str| {
        format!(
            "{{ binary: on, binaries: {{ read_as: {format} }}, envelope: {{ required: [/id], types: [chat],
                timestamp_tolerance: 300s, replay_ids_max: 8 }}, threats: {{ mode: drop }}, limits: [],
                schemas: {{ chat: {{ inline: {{ properties: {{ text: {{ maxLength: 40 }} }} }} }} }} }}"
        )
    };
    let now = 1_700_000_000;
    let cases = [
        (json!({"type": "chat", "id": "1", "timestamp": now, "text": "hi"}), None),
        (json!({"type": "chat", "id": "1", "timestamp": now, "text": "hi"}), Some((Reason::Replayed, "/id"))),
        (json!({"type": "chat", "timestamp": now}), Some((Reason::EnvelopeMissing, "/id"))),
        (json!({"type": "nope", "id": "2", "timestamp": now}), Some((Reason::TypeRefused, "/type"))),
        (json!({"type": "chat", "id": "3", "timestamp": now - 999}), Some((Reason::TimestampSkew, "/timestamp"))),
        (json!({"type": "chat", "id": "4", "text": "x".repeat(41)}), Some((Reason::SchemaViolation, "/text"))),
        (json!({"type": "chat", "id": "5", "a": ["' OR '1'='1' -- "]}), Some((Reason::ThreatSqli, "/a/0"))),
    ];
    for format in FORMATS {
        let bytes: Vec<Vec<u8>> = cases.iter().map(|(message, _)| bytes_of(format, message)).collect();
        let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let verdicts = judge(&policy(format.label()), Kind::Binary, &bytes);
        for (verdict, (message, expected)) in verdicts.iter().zip(&cases) {
            let found = verdict.findings.first().map(|f| (f.reason, f.field.as_deref().unwrap_or_default()));
            assert_eq!(found, *expected, "{format:?} {message}");
            assert_eq!(verdict.action == Action::Pass, expected.is_none());
        }
        assert_eq!(verdicts[6].findings[0].message_type.as_deref(), Some("chat"));
    }
}

#[test]
fn a_key_twice_a_file_and_text_in_place_of_msgpack_are_refused() {
    let policy = "{ binary: on, binaries: { read_as: msgpack, kinds: [msgpack, png] }, limits: [] }";
    let twice = [0x82, 0xa1, b'a', 1, 0xa1, b'a', 2];
    let number_and_text = [0x82, 0xa1, b'7', 1, 7, 2];
    let (png, gif, text) = (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &b"GIF89a\x01\0"[..], &b"{\"a\":1}"[..]);
    let verdicts = judge(policy, Kind::Binary, &[&twice, &number_and_text, png, gif, text]);
    let reasons: Vec<_> = verdicts.iter().map(|v| v.findings.first().map(|f| f.reason)).collect();
    let (twice, malformed) = (Some(Reason::JsonDuplicateKey), Some(Reason::BinaryMalformed));
    assert_eq!(reasons, [twice, twice, None, malformed, malformed]);
}

#[test]
fn kinds_sizes_and_rates_of_binary_messages_hold() {
    let policy = "{ binary: on, binaries: { kinds: [png, octet-stream], bytes_max: 16B, rate: 4/min }, limits: [] }";
    let png = &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..];
    let long = [1; 17];
    let verdicts = judge(policy, Kind::Binary, &[png, b"GIF89a\x01\0", &long, &[1, 2, 0xff], png]);
    let reasons: Vec<_> = verdicts.iter().map(|v| v.findings.first().map(|f| f.reason)).collect();
    let expected = [None, Some(Reason::BinaryKind), Some(Reason::MessageTooLarge), None, Some(Reason::MessageRate)];
    assert_eq!(reasons, expected);
    assert!(verdicts[4].findings[0].retry_after.is_some());
    let text = judge(policy, Kind::Text, &[b"a text is not binary and longer"]);
    assert_eq!(text[0].action, Action::Pass);
}
