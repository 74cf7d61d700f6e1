//! Schemas: no schema and no message panics; a violation is repeated when the same is asked again, and names a rule within
//! its bounds. The input is a schema, a zero byte and a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::message::schema::{Dialect, Schema};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (Some(schema), Some(message)) = (parts.next(), parts.next()) else { return };
    let Ok(schema) = serde_json::from_slice::<Value>(schema) else { return };
    let Ok(compiled) = Schema::compile(&schema, Dialect::Written) else { return };
    let Ok(message) = serde_json::from_slice::<Value>(message) else { return };
    let first = compiled.violation(&message);
    let again = compiled.violation(&message);
    assert_eq!(first.is_some(), again.is_some());
    if let Some(violation) = first {
        assert!(violation.at.is_empty() || violation.at.starts_with('/'), "{:?}", violation.at);
    }
});
