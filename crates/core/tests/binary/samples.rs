//! Values, and what writers and readers that nobody here wrote make of them.

use portcullis_core::message::binary::Format;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) const FORMATS: [Format; 2] = [Format::Msgpack, Format::Cbor];

fn msgpack_of(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap().into(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.as_i64().unwrap().into(), Into::into),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => rmpv::Value::Array(items.iter().map(msgpack_of).collect()),
        Value::Object(members) => {
            rmpv::Value::Map(members.iter().map(|(key, value)| (key.as_str().into(), msgpack_of(value))).collect())
        }
    }
}

fn json_of(value: &rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(truth) => json!(truth),
        rmpv::Value::Integer(number) => number.as_u64().map_or_else(|| json!(number.as_i64().unwrap()), |n| json!(n)),
        rmpv::Value::F64(number) => json!(number),
        rmpv::Value::String(text) => json!(text.as_str().unwrap()),
        rmpv::Value::Array(items) => items.iter().map(json_of).collect(),
        rmpv::Value::Map(members) => {
            members.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json_of(value))).collect()
        }
        other => unreachable!("{other}"),
    }
}

/// A value in a format, by a writer that nobody here wrote.
pub(crate) fn bytes_of(format: Format, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Msgpack => rmpv::encode::write_value(&mut out, &msgpack_of(value)).unwrap(),
        Format::Cbor => ciborium::into_writer(value, &mut out).unwrap(),
    }
    out
}

/// What a reader that nobody here wrote makes of it.
pub(crate) fn value_of(format: Format, bytes: &[u8]) -> Value {
    match format {
        Format::Msgpack => {
            let mut rest = bytes;
            let value = rmpv::decode::read_value(&mut rest).unwrap();
            assert!(rest.is_empty(), "{bytes:02x?}");
            json_of(&value)
        }
        Format::Cbor => {
            let mut rest = bytes;
            let value = ciborium::from_reader(&mut rest).unwrap();
            assert!(rest.is_empty(), "{bytes:02x?}");
            value
        }
    }
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[\\x00-\\x1f\"\\\\a/]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\n]{0,6}", inner, 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Equal, numbers as numbers.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}
