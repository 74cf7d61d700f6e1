//! What must not leave: no bytes panic, a class that is not wanted is not found, and the same bytes say the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::message::leak::{LeakClass, LeakSet, find};

fuzz_target!(|data: &[u8]| {
    let mut wanted: LeakSet = LeakClass::ALL.into_iter().collect();
    while let Some(leak) = find(data, wanted, 3) {
        assert!(wanted.contains(leak.class) && leak.at < data.len());
        assert_eq!(find(data, wanted, 3), Some(leak));
        let alone: LeakSet = [leak.class].into_iter().collect();
        assert!(find(data, alone, 3).is_some());
        wanted.remove(leak.class);
    }
});
