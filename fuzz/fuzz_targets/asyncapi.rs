//! AsyncAPI documents: no document panics; what is read is read the same again, and what is wrong is told with its place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::message::asyncapi::{Asked, Describes, read};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    for describes in [Describes::Backend, Describes::Client] {
        let asked = Asked { describes, channels: None, inbound_type_at: "/type", outbound_type_at: "/type" };
        match (read(&document, &asked), read(&document, &asked)) {
            (Ok(one), Ok(other)) => {
                assert!(one.inbound.keys().eq(other.inbound.keys()) && one.outbound.keys().eq(other.outbound.keys()));
            }
            (Err(one), Err(other)) => assert!(!one.is_empty() && one.len() == other.len()),
            _ => panic!("not the same twice"),
        }
    }
});
