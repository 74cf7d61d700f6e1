//! JSON Schema (2020-12; with `$schema` an older draft): whether a value fits, and where it does not.
//!
//! A [`Schema`] is compiled once, when a policy is. It asks nobody: `$ref` stays inside its document. Patterns run in
//! linear time: what looks around or refers back is refused at load. `format` is asserted, and one that is not known
//! is refused, since it would assert nothing. A [`Violation`] says where and which rule, never the value.
//!
//! Tests: here, `refused.rs`, and `tests/schema_suite.rs` (JSON-Schema-Test-Suite).

mod locate;
mod refused;

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use locate::Plan;
pub use refused::SchemaError;
pub(crate) use refused::each_reference;

/// Largest compiled pattern, bytes; a schema may hold many.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Formats of OpenAPI and AsyncAPI that say how a number or text is stored, and assert nothing about text.
const STORAGE_FORMATS: [&str; 7] = ["int32", "int64", "float", "double", "byte", "binary", "password"];

/// Formats that older drafts do not have and their documents use all the same.
const LATER_FORMATS: [&str; 2] = ["uuid", "duration"];

/// Which language a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// What its `$schema` says, else 2020-12.
    Written,
    /// Draft 7, which AsyncAPI builds on, unless its `$schema` says otherwise.
    Draft7,
}

/// A compiled schema.
pub struct Schema {
    /// Tells whether a value fits, in time that grows with the value.
    validator: Validator,
    /// Tells where it does not.
    locator: Locator,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema(..)")
    }
}

/// What tells where a value does not fit.
enum Locator {
    /// The schema itself.
    Same,
    /// A schema that means the same and does not try every branch of every branch.
    Rewritten { validator: Validator, original: Value },
    /// Nothing: it is told that a value does not fit, and not where.
    Nowhere,
}

/// Where a value does not fit. Both pointers are RFC 6901.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Into the value: what is wrong, missing or too much; empty for the whole value. Control characters in a key are replaced.
    pub at: String,
    /// Into the schema: the rule that was broken; empty where that cannot be told.
    pub rule: String,
}

impl Schema {
    /// Compiles.
    ///
    /// # Errors
    /// What is wrong with the schema, and where: the operator's fault.
    pub fn compile(schema: &Value, dialect: Dialect) -> Result<Self, SchemaError> {
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let mut options = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .with_pattern_options(patterns);
        if dialect == Dialect::Draft7 && schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft7);
        }
        for name in STORAGE_FORMATS {
            options = options.with_format(name, |_: &str| true);
        }
        if dialect == Dialect::Draft7 || schema.get("$schema").is_some() {
            for name in LATER_FORMATS {
                let check = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
                if let Ok(check) = check.build(&serde_json::json!({ "format": name })) {
                    options = options.with_format(name, move |text: &str| check.is_valid(&Value::from(text)));
                }
            }
        }
        let refused = |error: ValidationError<'_>| SchemaError::new(schema, &error);
        let validator = options.build(schema).map_err(refused)?;
        let locator = match locate::plan(schema) {
            Plan::Same => Locator::Same,
            Plan::Nowhere => Locator::Nowhere,
            Plan::Rewritten(rewritten) => match options.build(&rewritten) {
                Ok(validator) => Locator::Rewritten { validator, original: schema.clone() },
                // What was one schema is another; where it breaks is then not told.
                Err(_) => Locator::Nowhere,
            },
        };
        Ok(Self { validator, locator })
    }

    /// Whether a schema is written as one; references and patterns are not looked at.
    ///
    /// # Errors
    /// As [`Schema::compile`].
    pub fn check_form(schema: &Value, dialect: Dialect) -> Result<(), SchemaError> {
        let checked = match dialect {
            Dialect::Draft7 if schema.get("$schema").is_none() => jsonschema::draft7::meta::validate(schema),
            _ => jsonschema::draft202012::meta::validate(schema),
        };
        checked.map_err(|error| SchemaError::new(schema, &error))
    }

    /// The first rule that a value breaks.
    #[must_use]
    pub fn violation(&self, value: &Value) -> Option<Violation> {
        if self.validator.is_valid(value) {
            return None;
        }
        let found = match &self.locator {
            Locator::Same => self.validator.validate(value).err().map(|error| describe(&error)),
            Locator::Rewritten { validator, original } => validator.validate(value).err().map(|error| {
                let found = describe(&error);
                Violation { rule: locate::written(original, found.rule), ..found }
            }),
            Locator::Nowhere => None,
        };
        Some(found.unwrap_or_else(|| Violation { at: String::new(), rule: String::new() }))
    }
}

fn describe(error: &ValidationError<'_>) -> Violation {
    let mut at = error.instance_path().as_str().replace(|c: char| c.is_control(), "\u{fffd}");
    // The rule speaks of an object; what its reader must change is one of its members.
    let member = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected.first().map(String::as_str),
        _ => None,
    };
    if let Some(member) = member {
        crate::message::json::pointer::push_step(&mut at, member, usize::MAX);
    }
    Violation { at, rule: error.schema_path().as_str().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(schema: &Value) -> Schema {
        Schema::compile(schema, Dialect::Written).unwrap_or_else(|error| panic!("{schema}: {error:?}"))
    }

    #[test]
    fn a_violation_names_the_place_and_the_rule_and_never_the_value() {
        let schema = compile(&json!({
            "type": "object",
            "required": ["text"],
            "properties": {
                "text": {"type": "string", "maxLength": 10, "pattern": "^[a-z]*$"},
                "user": {"$ref": "#/$defs/user"},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": true},
                "mail": {"format": "email"},
                "when": {"format": "date-time"},
            },
            "additionalProperties": false,
            "$defs": {"user": {"properties": {"age": {"type": "integer", "minimum": 0}}, "unevaluatedProperties": false}},
        }));
        for (value, at, rule) in [
            (json!({}), "/text", "/required"),
            (json!([]), "", "/type"),
            (json!({"text": "abcdefghijk"}), "/text", "/properties/text/maxLength"),
            (json!({"text": "A"}), "/text", "/properties/text/pattern"),
            (json!({"text": 7}), "/text", "/properties/text/type"),
            (json!({"text": "a", "user": {"age": -1}}), "/user/age", "/$defs/user/properties/age/minimum"),
            (json!({"text": "a", "user": {"age": 0, "x": 1}}), "/user/x", "/$defs/user/unevaluatedProperties"),
            (json!({"text": "a", "tags": ["a", "c"]}), "/tags/1", "/properties/tags/items/enum"),
            (json!({"text": "a", "tags": ["a", "a"]}), "/tags", "/properties/tags/uniqueItems"),
            (json!({"text": "a", "mail": "nobody"}), "/mail", "/properties/mail/format"),
            (json!({"text": "a", "when": "today"}), "/when", "/properties/when/format"),
            (json!({"text": "a", "a/b~\n": 1}), "/a~1b~0\u{fffd}", "/additionalProperties"),
        ] {
            let found = schema.violation(&value).unwrap_or_else(|| panic!("{value} fits"));
            assert_eq!((found.at.as_str(), found.rule.as_str()), (at, rule), "{value}");
        }
        let fits = json!({"text": "a", "user": {"age": 3}, "tags": ["b"], "mail": "a@b.example"});
        assert_eq!(schema.violation(&fits), None);
    }

    #[test]
    fn a_schema_may_be_true_or_false() {
        assert_eq!(compile(&json!(true)).violation(&json!({"a": 1})), None);
        let found = compile(&json!({"properties": {"a": false}})).violation(&json!({"a": 1})).unwrap();
        assert_eq!((found.at.as_str(), found.rule.as_str()), ("/a", "/properties/a"));
    }

    #[test]
    fn a_pattern_that_backtracking_engines_choke_on_is_judged_in_linear_time() {
        let schema = compile(&json!({"pattern": "^(a+)+$"}));
        let text = "a".repeat(100_000) + "b";
        assert!(schema.violation(&json!(text)).is_some());
    }

    /// A tree of choices, as expressions and rich texts are written.
    fn choices(unevaluated: bool) -> Value {
        let branch = |op: &str| {
            let mut branch = json!({"type": "object", "required": ["op"], "properties": {"op": {"const": op}, "a": {"$ref": "#/$defs/e"}}});
            if unevaluated {
                branch["unevaluatedProperties"] = json!(false);
            }
            branch
        };
        json!({"$ref": "#/$defs/e", "$defs": {"e": {"oneOf": [branch("n"), branch("m"), {"type": "integer"}]}}})
    }

    #[test]
    fn a_tree_of_choices_takes_time_that_grows_with_the_message_and_not_with_its_branches() {
        // Trying every branch of every branch takes 3^90 steps.
        let mut deep = json!(true);
        for _ in 0..90 {
            deep = json!({"op": "n", "a": deep});
        }
        let found = compile(&choices(false)).violation(&deep).unwrap();
        assert_eq!((found.at.as_str(), found.rule.as_str()), ("", "/$defs/e/oneOf"));
        let found = compile(&choices(true)).violation(&deep).unwrap();
        assert_eq!((found.at.as_str(), found.rule.as_str()), ("", ""));
        assert_eq!(compile(&choices(true)).violation(&json!({"op": "n", "a": {"op": "m", "a": 3}})), None);
    }

    #[test]
    fn a_schema_that_refers_to_itself_alone_ends() {
        for schema in [json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#"}]}), json!({"anyOf": [{"$ref": "#"}]})] {
            assert_eq!(compile(&schema).violation(&json!({"a": 1})), None, "{schema}");
        }
    }

    #[test]
    fn draft_7_is_read_as_draft_7() {
        // An array of `items` is a tuple in draft 7 and no schema in 2020-12.
        let tuple = json!({"items": [{"type": "string"}, {"type": "integer"}]});
        let schema = Schema::compile(&tuple, Dialect::Draft7).unwrap();
        assert!(schema.violation(&json!(["a", "b"])).is_some());
        assert!(Schema::compile(&tuple, Dialect::Written).is_err());
        let named = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]});
        assert!(compile(&named).violation(&json!([1])).is_some());
        let id = Schema::compile(&json!({"format": "uuid"}), Dialect::Draft7).unwrap();
        assert_eq!(id.violation(&json!("0191d2c4-1111-7abc-8def-0123456789ab")), None);
        assert!(id.violation(&json!("42")).is_some());
    }
}
