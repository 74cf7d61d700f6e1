//! The judges of attacks over text that nobody wrote: whatever it is, none panics (and here an offset that goes below zero
//! is a panic), and the same text is judged the same again.

use portcullis_core::message::threat::{Buffers, Detector};
use portcullis_core::policy::checked::ThreatClass::{
    Command, Ldap, Lookup, Nosql, Sqli, Template, Traversal, Xss, Xxe,
};
use proptest::prelude::*;

fn judged(text: &[u8]) {
    let classes = [Sqli, Nosql, Xss, Command, Traversal, Template, Ldap, Xxe, Lookup];
    let detector = Detector::new(classes.into_iter().collect(), 3);
    let mut buffers = Buffers::default();
    let mut judge = |key, escapes| detector.string(text, escapes, key, detector.classes(), &mut buffers);
    let first = judge(false, true);
    assert_eq!(first, judge(false, true));
    judge(true, false);
}

#[test]
fn a_parenthesis_that_was_never_opened_closes_nothing() {
    for text in ["b*$)))))))*)A@SS)\" ;\"=;\"))\"==3;#", "a';)x;//", "a;)))\";#", "1)) or 1=1)#"] {
        judged(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn marks_in_any_order_panic_no_judge(text in "[a-d01'\"`();#/*$@{}<>=|&:.,!?%\\[\\]\\\\ +~^-]{0,120}") {
        judged(text.as_bytes());
    }

    #[test]
    fn words_of_attacks_in_any_order_panic_no_judge(parts in prop::collection::vec(prop::sample::select(vec![
        "select", "union", " or ", "1", "=", "'", "\"", "--", "#", "/*", "*/", "(", ")", ";", "//", "sleep", "$(", "`", "${",
        "{{", "}}", "jndi:", "<", ">", "script", "on", "href", "javascript:", "&#x", "\\u00", "%2e", "%", "../", "etc/passwd",
        "|", "&&", "cat ", "$ne", "{", "}", ":", "[", "]", ",", "*", "(&", "<!DOCTYPE", "SYSTEM", " ", "a", "case", "end",
    ]), 0..40)) {
        judged(parts.concat().as_bytes());
    }
}
