//! Where a value does not fit, in time that grows with the value. The library explains a choice (`anyOf`, `oneOf`) by
//! what is wrong in each of its branches; where choices lead to choices by reference, a short message would take longer
//! than the world is old. So each choice becomes `not: { not: choice }`, which means the same and is not explained.

use serde_json::{Map, Value, json};

/// How to tell where a value breaks a schema.
pub(super) enum Plan {
    /// As the schema stands.
    Same,
    /// By another schema that means the same.
    Rewritten(Value),
    /// Not at all: the other schema would not mean the same.
    Nowhere,
}

/// Keywords that hold data, not schemas.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];
const CHOICES: [&str; 2] = ["anyOf", "oneOf"];

/// What a schema is made of.
#[derive(Default)]
struct Seen {
    choices: bool,
    references: bool,
    /// What a rewritten choice would mean otherwise: what counts as evaluated, and references into a branch.
    unlike: bool,
}

/// Decides.
pub(super) fn plan(schema: &Value) -> Plan {
    let mut seen = Seen::default();
    look(schema, schema, &mut seen);
    if !seen.choices || !seen.references {
        return Plan::Same;
    }
    if seen.unlike { Plan::Nowhere } else { Plan::Rewritten(rewrite(schema)) }
}

fn look(root: &Value, schema: &Value, seen: &mut Seen) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members.iter().filter(|(key, _)| !DATA.contains(&key.as_str())) {
                match key.as_str() {
                    "$ref" | "$dynamicRef" | "$recursiveRef" => {
                        seen.references = true;
                        seen.unlike |= member.as_str().is_some_and(|target| leads_into_a_branch(root, target));
                    }
                    "unevaluatedProperties" | "unevaluatedItems" => seen.unlike = true,
                    "anyOf" | "oneOf" => seen.choices |= member.is_array(),
                    _ => {}
                }
                look(root, member, seen);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(root, item, seen)),
        _ => {}
    }
}

/// Whether a reference leads to a place that is another one in the rewritten schema.
fn leads_into_a_branch(root: &Value, target: &str) -> bool {
    CHOICES.iter().any(|key| {
        let mark = format!("/{key}");
        target.match_indices(&mark).any(|(at, _)| {
            let choice = target.get(..at.saturating_add(mark.len())).unwrap_or_default().trim_start_matches('#');
            let plain = percent_encoding::percent_decode_str(choice).decode_utf8_lossy();
            root.pointer(&plain).is_some_and(Value::is_array)
        })
    })
}

fn rewrite(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut out = Map::new();
            let mut choices = Vec::new();
            for (key, member) in members {
                if DATA.contains(&key.as_str()) {
                    out.insert(key.clone(), member.clone());
                } else if CHOICES.contains(&key.as_str()) && member.is_array() {
                    choices.push(json!({ "not": { "not": { key: rewrite(member) } } }));
                } else {
                    out.insert(key.clone(), rewrite(member));
                }
            }
            // A schema whose `allOf` is no list was refused.
            if !choices.is_empty()
                && let Value::Array(all) = out.entry("allOf").or_insert_with(|| Value::Array(Vec::new()))
            {
                all.append(&mut choices);
            }
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(items.iter().map(rewrite).collect()),
        other => other.clone(),
    }
}

/// A rule of the rewritten schema as it stands in the one that was written.
pub(super) fn written(original: &Value, rule: String) -> String {
    let choice =
        rule.strip_suffix("/not").and_then(|above| above.rsplit_once("/allOf/")).and_then(|(holder, number)| {
            let schema = original.pointer(holder)?;
            let own = schema.get("allOf").and_then(Value::as_array).map_or(0, Vec::len);
            let place = number.parse::<usize>().ok()?.checked_sub(own)?;
            let mut choices = CHOICES.iter().filter(|key| schema.get(**key).is_some_and(Value::is_array));
            Some(format!("{holder}/{}", choices.nth(place)?))
        });
    choice.unwrap_or(rule)
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, Schema};
    use super::*;

    #[test]
    fn a_rule_is_named_as_it_was_written() {
        let schema = json!({
            "allOf": [{"type": "object"}],
            "properties": {
                "a": {"anyOf": [{"$ref": "#/$defs/text"}, {"type": "null"}], "oneOf": [{"maxLength": 3}, {"type": "integer"}]},
                "b": {"not": {"type": "string"}},
                "c": {"items": {"oneOf": [{"$ref": "#/$defs/text"}]}},
                "d": {"const": {"anyOf": [1]}},
            },
            "$defs": {"text": {"type": "string"}},
        });
        let compiled = Schema::compile(&schema, Dialect::Written).unwrap();
        for (value, at, rule) in [
            (json!([]), "", "/allOf/0/type"),
            (json!({"a": 5}), "/a", "/properties/a/anyOf"),
            (json!({"a": "long"}), "/a", "/properties/a/oneOf"),
            (json!({"b": "x"}), "/b", "/properties/b/not"),
            (json!({"c": ["x", 1]}), "/c/1", "/properties/c/items/oneOf"),
            (json!({"d": {"anyOf": [2]}}), "/d", "/properties/d/const"),
        ] {
            let found = compiled.violation(&value).unwrap();
            assert_eq!((found.at.as_str(), found.rule.as_str()), (at, rule), "{value}");
        }
        assert_eq!(compiled.violation(&json!({"a": "abc", "c": ["x"], "d": {"anyOf": [1]}})), None);
    }
}
