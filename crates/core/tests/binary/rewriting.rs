//! MessagePack and CBOR messages whose values are changed: what is not changed stays as the bytes that came.

use portcullis_core::inspection::{Action, Kind, Verdict};
use portcullis_core::message::binary::{Buffers, Format, read, rewrite};
use portcullis_core::message::json::{Bounds, Fault};
use portcullis_core::verdict::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::house;
use crate::samples::{FORMATS, any_json, bytes_of, same, value_of};

const BOUNDS: Bounds = Bounds { depth_max: 64, keys_max: 100_000, values_max: 100_000, string_bytes_max: 1 << 20 };

fn text_of(format: Format, bytes: &[u8]) -> Vec<u8> {
    let mut buffers = Buffers::default();
    read(format, bytes, &BOUNDS, &mut buffers).unwrap();
    buffers.text().to_vec()
}

/// Puts a value in the place of the `nth` one, counted as they stand; text in that of a container, as sealing does.
fn put(value: &mut Value, nth: &mut usize, new: &Value) {
    if *nth == 0 {
        *value = if value.is_object() || value.is_array() { json!(new.to_string()) } else { new.clone() };
    }
    *nth = nth.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, nth, new)),
        Value::Object(members) => members.values_mut().for_each(|member| put(member, nth, new)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_is_not_changed_is_the_bytes_that_came(value in any_json()) {
        for format in FORMATS {
            let bytes = bytes_of(format, &value);
            let text = text_of(format, &bytes);
            prop_assert_eq!(rewrite(format, &bytes, &text, &BOUNDS), Ok(bytes));
        }
    }

    #[test]
    fn a_changed_value_is_read_as_it_was_meant(value in any_json(), nth in 0_usize..30, new in any_json()) {
        let mut changed = value.clone();
        put(&mut changed, &mut nth.clone(), &new);
        for format in FORMATS {
            let written = rewrite(format, &bytes_of(format, &value), changed.to_string().as_bytes(), &BOUNDS).unwrap();
            let found = value_of(format, &written);
            prop_assert!(same(&found, &changed), "{:?} {} {}", format, found, changed);
        }
    }

    #[test]
    fn a_masked_field_leaves_its_neighbours_to_the_byte(a in any_json(), b in any_json(), c in any_json()) {
        for format in FORMATS {
            let message = json!({"a": a, "b": b, "c": {"d": c}});
            let mut masked = message.clone();
            for pointer in ["/b", "/c/d"] {
                let value = masked.pointer_mut(pointer).unwrap();
                *value = if value.is_null() { Value::Null } else { json!("***") };
            }
            let verdict = judge(format, "mask: [/b, /c/d]", &bytes_of(format, &message));
            let expected = Some(bytes_of(format, &masked)).filter(|_| masked != message);
            prop_assert_eq!(verdict.rewritten, expected);
        }
    }

    #[test]
    fn no_bytes_and_no_json_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60), json in "[\\[\\]{}:,\"\\\\a0-9.e-]{0,40}",
    ) {
        for format in FORMATS {
            let _ = rewrite(format, &bytes, json.as_bytes(), &BOUNDS);
            let mut buffers = Buffers::default();
            if read(format, &bytes, &BOUNDS, &mut buffers).is_ok() {
                prop_assert_eq!(rewrite(format, &bytes, buffers.text(), &BOUNDS), Ok(bytes.clone()));
            }
        }
    }
}

#[test]
fn lengths_and_numbers_are_written_at_every_width() {
    for length in [0, 1, 15, 16, 23, 24, 31, 32, 255, 256, 65_535, 65_536] {
        let object: serde_json::Map<String, Value> =
            (0..length.min(300)).map(|n| (format!("k{n}"), json!(n))).collect();
        for value in [json!("x".repeat(length)), json!(vec![1; length]), Value::Object(object)] {
            for format in FORMATS {
                let written = rewrite(format, &bytes_of(format, &json!(null)), value.to_string().as_bytes(), &BOUNDS);
                assert_eq!(value_of(format, &written.unwrap()), value, "{format:?} {length}");
            }
        }
    }
    for power in 0..64 {
        for near in [-1_i128, 0, 1] {
            for number in [(1_i128 << power) + near, -(1_i128 << power) + near] {
                let Ok(text) =
                    i64::try_from(number).map(|n| n.to_string()).or(u64::try_from(number).map(|n| n.to_string()))
                else {
                    continue;
                };
                for format in FORMATS {
                    let written = rewrite(format, &bytes_of(format, &json!("x")), text.as_bytes(), &BOUNDS).unwrap();
                    assert_eq!(value_of(format, &written).to_string(), text, "{format:?}");
                }
            }
        }
    }
}

fn judge(format: Format, rule: &str, bytes: &[u8]) -> Verdict {
    let written = format!("{{ binary: on, limits: [], binaries: {{ read_as: {} }}, {rule} }}", format.label());
    house::judge(&written, Kind::Binary, &[bytes]).remove(0)
}

#[test]
fn widths_tags_moments_and_kinds_of_text_stay() {
    // 5 in eight bytes, a text with a long head, bytes, a moment, a float of four bytes.
    let parts: [&[u8]; 6] = [
        &[0x86, 0xa1, b'n', 0xcf, 0, 0, 0, 0, 0, 0, 0, 5],
        &[0xa1, b't', 0xda, 0, 1, b'x', 0xa1, b'b', 0xc4, 2, 0xff, 0xfe],
        &[0xa1, b'm', 0xd6, 0xff, 0x65, 0x53, 0xf1, 0, 0xa1, b'f', 0xca, 0x3f, 0xc0, 0, 0, 0xa1, b's'],
        &[0xc4, 6],
        b"secret",
        &[],
    ];
    let mut expected = parts[..3].concat();
    expected.extend([0xc4, 3]);
    expected.extend(b"***");
    let verdict = judge(Format::Msgpack, "mask: [/s]", &parts.concat());
    assert_eq!((verdict.action, verdict.rewritten), (Action::Rewrite, Some(expected)), "bytes stay bytes");

    // "This is CBOR", a moment with its tag, a half, an undefined, a number in eight bytes; and a date that loses its tag.
    let head = [0xd9, 0xd9, 0xf7, 0xa5];
    let kept = [0x61, b'm', 0xc1, 0x1a, 0x65, 0x53, 0xf1, 0, 0x61, b'h', 0xf9, 0x3e, 0, 0x61, b'u', 0xf7];
    let wide = [0x61, b'n', 0x1b, 0, 0, 0, 0, 0, 0, 0, 5, 0x61, b'd'];
    let message = [&head[..], &kept, &wide, &[0xc0, 0x64], b"2026"].concat();
    let expected = [&head[..], &kept, &wide, &[0x63], b"***"].concat();
    let verdict = judge(Format::Cbor, "mask: [/d]", &message);
    assert_eq!((verdict.action, verdict.rewritten), (Action::Rewrite, Some(expected)));
}

#[test]
fn every_check_that_changes_text_changes_these_too() {
    for format in FORMATS {
        let card = bytes_of(format, &json!({"pan": "4111 1111 1111 1111", "n": 1}));
        let verdict = judge(format, "leaks: { mode: mask }", &card);
        assert_eq!(value_of(format, &verdict.rewritten.unwrap()), json!({"pan": "**** **** **** 1111", "n": 1}));
        let number = bytes_of(format, &json!({"pan": 4_111_111_111_111_111_u64}));
        let verdict = judge(format, "leaks: { mode: mask }", &number);
        assert_eq!(value_of(format, &verdict.rewritten.unwrap()), json!({"pan": "************1111"}));
        let html = bytes_of(format, &json!({"text": "<b>x</b><script>y</script>", "n": [1, {"a": null}]}));
        let verdict = judge(format, "html: { fields: [/text] }, mask: ['/n/*']", &html);
        let expected = json!({"text": "<b>x</b>", "n": ["***", "***"]});
        assert_eq!(value_of(format, &verdict.rewritten.unwrap()), expected);
        // A check after the change judges the text that was changed.
        let twice = bytes_of(format, &json!({"text": "<i>' OR '1'='1' -- </i>"}));
        let verdict = judge(format, "html: { fields: [/text] }, threats: { mode: drop }", &twice);
        assert_eq!((verdict.action, verdict.rewritten), (Action::Drop, None));
    }
}

#[test]
fn what_cannot_be_said_is_dropped() {
    let foreign = Err(Fault::Malformed("another message than the one that came"));
    for format in FORMATS {
        let bytes = bytes_of(format, &json!({"a": [1, 2], "b": "x"}));
        for json in
            [r#"{"a":[1,2]}"#, r#"{"a":[1,2],"c":"x"}"#, r#"{"a":[1],"b":"x"}"#, r#"{"a":[1,2,3],"b":"x"}"#, "", "{"]
        {
            assert_eq!(rewrite(format, &bytes, json.as_bytes(), &BOUNDS), foreign, "{json}");
        }
        let replaced = rewrite(format, &bytes, br#"{"a":{"x":[]},"b":"x"}"#, &BOUNDS).unwrap();
        assert_eq!(value_of(format, &replaced), json!({"a": {"x": []}, "b": "x"}));
        let large = rewrite(format, &bytes, br#"{"a":[1,2],"b":18446744073709551616}"#, &BOUNDS);
        assert_eq!(large, Err(Fault::Malformed("a whole number of more than 64 bits")));
    }
    // Bytes that are no text, and whose base64 reads as a card.
    let card = [0xe3, 0x5d, 0x75, 0xd7, 0x5d, 0x75, 0xd7, 0x5d, 0x75, 0xd7, 0x5d, 0x75];
    let message = [&[0x81, 0xa1, b'b', 0xc4, 12][..], &card].concat();
    assert_eq!(text_of(Format::Msgpack, &message), br#"{"b":"4111111111111111"}"#);
    assert_eq!(judge(Format::Msgpack, "mask: [/b]", &message).action, Action::Rewrite, "stars are meant as such");
    let verdict = judge(Format::Msgpack, "leaks: { mode: mask }", &message);
    let last = verdict.findings.last().unwrap();
    assert_eq!((verdict.action, last.reason, verdict.rewritten), (Action::Drop, Reason::BinaryRewritten, None));
    assert!(last.detail.contains("bytes that are no text"), "{}", last.detail);
}
