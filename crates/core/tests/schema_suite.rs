//! JSON-Schema-Test-Suite, the required cases of draft 2020-12, through our compile. Runs where the suite lies beside
//! the repository, or `tests/setup` has fetched it; else it says so.
//!
//! What we judge otherwise than the suite is named in [`DEVIATIONS`] with the reason.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it skips")]

use std::path::{Path, PathBuf};

use portcullis_core::message::schema::{Dialect, Schema};
use serde_json::{Value, json};

/// File, words of the group's description, why.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    ("format.json", "", "`format` is asserted, and one that is not known is refused"),
    ("refRemote.json", "", "nothing outside a document is fetched"),
    ("vocabulary.json", "", "a dialect of one's own is refused"),
    ("dynamicRef.json", "http://localhost:1234", "nothing outside a document is fetched"),
];

/// One file of the suite: how many cases came out as it says, and which did not.
fn run(file: &str, groups: &Value) -> (usize, Vec<String>) {
    let (mut agreed, mut otherwise) = (0, Vec::new());
    for group in groups.as_array().unwrap() {
        let name = group["description"].as_str().unwrap();
        let fetches = group["schema"].to_string().contains("http://localhost:1234");
        let deviates = |(of, words, _): &&(&str, &str, &str)| {
            *of == file && (name.contains(words) || (*words == "http://localhost:1234" && fetches))
        };
        if DEVIATIONS.iter().any(|deviation| deviates(&deviation)) {
            continue;
        }
        let schema = match Schema::compile(&group["schema"], Dialect::Written) {
            Ok(schema) => schema,
            Err(error) => {
                otherwise.push(format!("{file}: {name}: {error:?}"));
                continue;
            }
        };
        for case in group["tests"].as_array().unwrap() {
            let fits = schema.violation(&case["data"]).is_none();
            if Value::Bool(fits) == case["valid"] {
                agreed += 1;
            } else {
                otherwise.push(format!("{file}: {name}: {}", case["description"]));
            }
        }
    }
    (agreed, otherwise)
}

/// Where a variable says, beside the repository, or where `tests/setup` has put it.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("PORTCULLIS_SCHEMA_SUITE").map(PathBuf::from);
    let beside = root.join("../shared/vectors/json-schema-test-suite/tests/draft2020-12");
    let own = root.join(".test-tools/json-schema-suite/tests/draft2020-12");
    let found = named.into_iter().chain([beside, own]).find(|folder| folder.is_dir());
    if found.is_none() {
        println!(
            "skipped: JSON-Schema-Test-Suite is not here; `tests/setup` fetches it, PORTCULLIS_SCHEMA_SUITE may name it"
        );
    }
    found
}

#[test]
fn the_required_cases_come_out_as_the_suite_says() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    let (mut agreed, mut otherwise) = (0, Vec::new());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let groups: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (as_said, not) = run(&name, &groups);
        agreed += as_said;
        otherwise.extend(not);
    }
    println!("{agreed} cases as the suite says");
    assert!(agreed > 500, "only {agreed} cases ran");
    assert!(otherwise.is_empty(), "{otherwise:#?}");
}

#[test]
fn the_runner_notices_a_case_that_comes_out_otherwise() {
    let groups = |valid: bool| {
        json!([{"description": "integers", "schema": {"type": "integer"}, "tests": [
            {"description": "a float is none", "data": 1.5, "valid": valid},
            {"description": "1.0 is one", "data": 1.0, "valid": true},
        ]}])
    };
    assert_eq!(run("type.json", &groups(false)), (2, Vec::new()));
    assert_eq!(run("type.json", &groups(true)).1.len(), 1);
}
