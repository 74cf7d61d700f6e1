//! CBOR as JSON: no bytes panic, what is read is JSON that the strict scanner takes, and `ciborium` reads it too. Written
//! anew without a change it is the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::message::binary::{Buffers, Format, read, rewrite};
use portcullis_core::message::json::{Bounds, Fault, Pointers, Scan};

const BOUNDS: Bounds = Bounds { depth_max: 64, keys_max: 10_000, values_max: 10_000, string_bytes_max: 1 << 16 };

fuzz_target!(|data: &[u8]| {
    let mut buffers = Buffers::default();
    if read(Format::Cbor, data, &BOUNDS, &mut buffers).is_err() {
        return;
    }
    let mut rest = data;
    ciborium::from_reader::<ciborium::Value, _>(&mut rest).expect("others read it");
    assert!(rest.is_empty() && buffers.text().len() <= data.len() * 8);
    let unchanged = rewrite(Format::Cbor, data, buffers.text(), &BOUNDS);
    assert_eq!(unchanged.as_deref(), Ok(data), "what is not changed stays");
    match Scan::seeded(1).run(buffers.text(), &BOUNDS, &Pointers::default()).map_err(|refusal| refusal.fault) {
        Ok(()) | Err(Fault::DuplicateKey) => {}
        Err(fault) => panic!("{fault:?}: {}", String::from_utf8_lossy(buffers.text())),
    }
});
