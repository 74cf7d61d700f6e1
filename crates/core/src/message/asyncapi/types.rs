//! The types that a payload's schema demands where a message says its type.

use serde_json::Value;

use super::document::Document;

/// Schemas looked into on the way to the type; a circle ends there.
const STEPS_MAX: usize = 256;

/// The `const` or `enum` texts at a pointer into the values of a schema; `None` where it demands none.
pub(super) fn of(document: &Document<'_>, schema: Option<&str>, type_at: &str) -> Option<Vec<String>> {
    let steps: Vec<String> =
        type_at.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let mut left = STEPS_MAX;
    let mut found = demanded(document, schema?, &steps, &mut left)?;
    found.sort();
    found.dedup();
    Some(found)
}

fn demanded(document: &Document<'_>, at: &str, steps: &[String], left: &mut usize) -> Option<Vec<String>> {
    *left = left.checked_sub(1)?;
    let (at, schema) = document.follow(at).ok()?;
    let own = match steps.split_first() {
        Some((step, rest)) => {
            let below = format!("{at}/properties{}", super::document::step(step));
            document.at(&below).and_then(|_| demanded(document, &below, rest, left))
        }
        None => words(schema),
    };
    if own.is_some() {
        return own;
    }
    let branches = |key: &str| schema.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    for number in 0..branches("allOf") {
        let found = demanded(document, &format!("{at}/allOf/{number}"), steps, left);
        if found.is_some() {
            return found;
        }
    }
    // Any branch may hold, so each must say its types.
    for key in ["oneOf", "anyOf"] {
        if branches(key) > 0 {
            let found: Option<Vec<Vec<String>>> = (0..branches(key))
                .map(|number| demanded(document, &format!("{at}/{key}/{number}"), steps, left))
                .collect();
            return found.map(|found| found.concat());
        }
    }
    None
}

fn words(schema: &Value) -> Option<Vec<String>> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word.to_owned()]);
    }
    let words: Option<Vec<String>> =
        schema.get("enum")?.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    words.filter(|words| !words.is_empty())
}
