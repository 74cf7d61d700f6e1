//! The strict scanner against JSONTestSuite and against `serde_json`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use portcullis_core::message::json::{Bounds, Fault, Pointers, Scan};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { depth_max: 127, keys_max: 100_000, values_max: 1_000_000, string_bytes_max: 1 << 20 };

/// Well-formed by the RFC, refused on purpose: two parsers may take different values for one key.
const REFUSED_ON_PURPOSE: &[&str] = &["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

fn verdict(text: &[u8]) -> Result<(), Fault> {
    if std::str::from_utf8(text).is_err() {
        // The codec refuses these before anything is scanned.
        return Err(Fault::Malformed("not UTF-8"));
    }
    Scan::seeded(11).run(text, &BOUNDS, &Pointers::default()).map_err(|refusal| refusal.fault)
}

#[test]
fn json_test_suite_agrees() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/jsontestsuite/test_parsing");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: JSONTestSuite is not at {}", folder.display());
        return;
    };
    let (mut accepted, mut refused) = (0, 0);
    for file in files.map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let result = verdict(&std::fs::read(&file).unwrap());
        if name.starts_with("n_") {
            assert!(result.is_err(), "{name} must be refused");
            refused += 1;
        } else if REFUSED_ON_PURPOSE.contains(&name.as_str()) {
            assert_eq!(result, Err(Fault::DuplicateKey), "{name}");
        } else if name.starts_with("y_") {
            assert_eq!(result, Ok(()), "{name} must be accepted");
            accepted += 1;
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 80 && refused > 150);
}

/// `serde_json` accepts what we do, but for duplicate keys and our bounds; it reads huge numbers only as far as
/// they fit a double.
fn agree(text: &str) -> Result<(), TestCaseError> {
    let ours = verdict(text.as_bytes());
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match ours {
        Ok(()) => {
            let huge = |error: &serde_json::Error| error.to_string().starts_with("number out of range");
            prop_assert!(theirs.as_ref().map_or_else(huge, |_| true), "only we accept {text:?}");
        }
        Err(Fault::Malformed(why)) => prop_assert!(theirs.is_err(), "only we refuse {text:?}: {why}"),
        Err(_) => {}
    }
    Ok(())
}

fn value() -> impl Strategy<Value = String> {
    let text = "[a-c\\\\\"\\u{e9}\\n]{0,4}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?([eE][+-]?[0-9])?",
        text.clone(),
        Just(r#""\ud83d\ude00\u0041""#.to_owned()),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((text.clone(), inner), 0..5).prop_map(|members| {
                format!("{{{}}}", members.iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn well_formed_text_is_judged_as_by_serde_json(text in value()) {
        agree(&text)?;
    }

    #[test]
    fn text_with_one_byte_changed_is_judged_as_by_serde_json(text in value(), at in any::<prop::sample::Index>(), new in "[ -~\\x00-\\x20]") {
        let mut changed: Vec<char> = text.chars().collect();
        let at = at.index(changed.len());
        changed[at] = new.chars().next().unwrap();
        agree(&changed.into_iter().collect::<String>())?;
    }

    #[test]
    fn soup_of_tokens_is_judged_as_by_serde_json(tokens in prop::collection::vec(
        prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u0061\"", "1", "-0.5e2", "01", "true", "nul", " ", "\\", "\"", "\u{feff}"]), 0..12))
    {
        agree(&tokens.concat())?;
    }

    #[test]
    fn a_duplicate_key_is_found_wherever_it_stands(keys in prop::collection::vec("[a-e]{1,2}", 1..40)) {
        let members: Vec<String> = keys.iter().enumerate().map(|(n, key)| {
            // Half of them spelled with escapes.
            let name: String = if n % 2 == 0 { key.clone() } else { key.chars().map(|c| format!("\\u{:04x}", c as u32)).collect() };
            format!("\"{name}\":{{\"{name}\":0}}")
        }).collect();
        let unique = keys.iter().collect::<std::collections::HashSet<_>>().len() == keys.len();
        let expected = if unique { Ok(()) } else { Err(Fault::DuplicateKey) };
        prop_assert_eq!(verdict(format!("{{{}}}", members.join(",")).as_bytes()), expected);
    }
}
