//! The threat judges: no input panics, takes long, or is judged differently when it is judged again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::message::threat::{Buffers, ClassSet, Detector};
use portcullis_core::policy::checked::ThreatClass::{
    Command, Ldap, Lookup, Nosql, Sqli, Template, Traversal, Xss, Xxe,
};

fuzz_target!(|data: &[u8]| {
    let classes = [Sqli, Nosql, Xss, Command, Traversal, Template, Ldap, Xxe, Lookup];
    let detector = Detector::new(classes.into_iter().collect(), 3);
    let mut buffers = Buffers::default();
    for key in [false, true] {
        for escapes in [false, true] {
            let first = detector.string(data, escapes, key, detector.classes(), &mut buffers);
            assert_eq!(first, detector.string(data, escapes, key, detector.classes(), &mut buffers));
            // A class that is not wanted is not found; one that is wanted alone is found alone.
            if let Some(found) = first {
                let only: ClassSet = [found.class].into_iter().collect();
                let alone = detector.string(data, escapes, key, only, &mut buffers);
                assert!(alone.is_some_and(|alone| alone.class == found.class));
            }
        }
    }
});
