//! The strict scanner against `serde_json`: they accept the same texts, but for duplicate keys and our bounds. And one that has
//! read all texts before, and knows their keys, against one that has read none: they find the same.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use portcullis_core::message::json::{Bounds, Fault, Pointers, Scan, decode_into};

const BOUNDS: Bounds = Bounds { depth_max: 100, keys_max: 10_000, values_max: 100_000, string_bytes_max: 1 << 20 };

const POINTERS: [&str; 5] = ["", "/a", "/a/b", "/0", "/a/0/b"];

thread_local! {
    static USED: RefCell<(Scan, Pointers)> = RefCell::new((Scan::seeded(1), pointers()));
}

fn pointers() -> Pointers {
    let mut pointers = Pointers::default();
    for pointer in POINTERS {
        pointers.add(pointer).expect("a pointer");
    }
    pointers
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut scan = Scan::seeded(1);
    let ours = scan.run(data, &BOUNDS, &pointers());
    USED.with_borrow_mut(|(used, pointers)| {
        let outcome = used.run(data, &BOUNDS, pointers);
        assert_eq!(outcome, ours);
        assert_eq!(used.strings(), scan.strings());
        for number in 0..POINTERS.len() {
            assert_eq!(used.value(number), scan.value(number));
        }
        if let Err(refusal) = outcome {
            assert_eq!(used.refused_at(data, &refusal, 128), scan.refused_at(data, &refusal, 128));
        }
    });
    let ours = ours.map_err(|refusal| refusal.fault);
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match (ours, theirs) {
        (Ok(()), Ok(value)) => {
            for (number, pointer) in POINTERS.iter().enumerate() {
                let found = scan.value(number).kind != portcullis_core::message::json::ValueKind::Missing;
                assert_eq!(found, value.pointer(pointer).is_some(), "{pointer}");
            }
            let spans = scan.strings().to_vec();
            for span in spans {
                let mut decoded = Vec::new();
                decode_into(span.raw(data), &mut decoded);
                assert!(std::str::from_utf8(&decoded).is_ok());
                assert!(scan.pointer_of(data, &BOUNDS, span.start, 128).len() <= 128);
            }
        }
        (Ok(()), Err(error)) => {
            assert!(error.to_string().starts_with("number out of range"), "only we accept: {error}")
        }
        (Err(Fault::Malformed(why)), Ok(_)) => panic!("only we refuse: {why}"),
        (Err(_), _) => {}
    }
});
