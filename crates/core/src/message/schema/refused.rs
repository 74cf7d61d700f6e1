//! Why a schema is none, in words and with its place: the library's errors as an operator reads them.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// Longest piece of a schema in a message, characters.
const EXCERPT_CHARS_MAX: usize = 60;

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// Where: a JSON Pointer (RFC 6901) into the schema.
    pub pointer: String,
    /// What is wrong, the offending thing in backticks.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl SchemaError {
    pub(super) fn new(schema: &Value, error: &ValidationError<'_>) -> Self {
        if let ValidationErrorKind::Referencing(_) = error.kind() {
            return reference(schema);
        }
        let error = innermost(error);
        let pointer = error.instance_path().as_str().to_owned();
        let found = schema.pointer(&pointer);
        let name = pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
        match error.kind() {
            ValidationErrorKind::Format { format } if format == "regex" => {
                pattern(pointer, found.and_then(Value::as_str).unwrap_or(&name))
            }
            ValidationErrorKind::Pattern { .. } => pattern(pointer, found.and_then(Value::as_str).unwrap_or(&name)),
            ValidationErrorKind::Custom { .. } if name == "format" => Self {
                pointer,
                message: format!("the format {} is not known", excerpt(found)),
                help: "write one of JSON Schema's, as `date-time`, `email`, `uri`, `uuid`, `ipv4`; or a `pattern`"
                    .to_owned(),
            },
            ValidationErrorKind::Enum { options } => {
                let words: Vec<String> =
                    options.as_array().into_iter().flatten().map(|word| excerpt(Some(word))).collect();
                Self {
                    pointer,
                    message: format!("{} cannot stand at `{name}`", excerpt(found)),
                    help: format!("it may be {}", words.join(", ")),
                }
            }
            _ => Self {
                pointer,
                message: format!("this is not JSON Schema: {}", clip(&error.to_string())),
                help: "see https://json-schema.org/understanding-json-schema/reference".to_owned(),
            },
        }
    }

    /// The same, of a schema that stands at `pointer` in a larger document.
    pub(crate) fn below(mut self, pointer: &str) -> Self {
        self.pointer.insert_str(0, pointer);
        self
    }
}

/// Of an error in every branch, the one that says most: the first branch's.
fn innermost<'e>(error: &'e ValidationError<'e>) -> &'e ValidationError<'e> {
    match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let mut inner = context.iter().flatten();
            inner.next().map_or(error, |first| innermost(first))
        }
        _ => error,
    }
}

fn pattern(pointer: String, text: &str) -> SchemaError {
    let shown = clip(text);
    let is_other_kind = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|mark| text.contains(mark))
        || (1..10).any(|number| text.contains(&format!("\\{number}")));
    let (message, help) = if is_other_kind {
        (
            format!("the pattern `{shown}` looks around or refers back, which cannot be matched in linear time"),
            "write it without `(?=`, `(?!`, `(?<` and `\\1`; `not` and `allOf` can say the same",
        )
    } else {
        (format!("the pattern `{shown}` is malformed or too large"), "write a shorter regular expression")
    };
    SchemaError { pointer, message, help: help.to_owned() }
}

/// The library says which reference leads nowhere, but not where it stands.
fn reference(schema: &Value) -> SchemaError {
    let dialect = schema.get("$schema").and_then(Value::as_str);
    if let Some(dialect) = dialect.filter(|uri| !uri.contains("json-schema.org/")) {
        return SchemaError {
            pointer: "/$schema".to_owned(),
            message: format!("the dialect `{}` is not known", clip(dialect)),
            help: "write `https://json-schema.org/draft/2020-12/schema`, or leave it out".to_owned(),
        };
    }
    let mut remote = None;
    let mut nowhere = None;
    each_reference(schema, &mut String::new(), &mut |pointer, target| {
        let place = || Some((pointer.to_owned(), target.to_owned()));
        match target.strip_prefix('#') {
            None => remote = remote.take().or_else(place),
            Some(fragment) if fragment.starts_with('/') && schema.pointer(&unescaped(fragment)).is_none() => {
                nowhere = nowhere.take().or_else(place);
            }
            Some(_) => {}
        }
    });
    match (nowhere, remote) {
        (Some((pointer, target)), _) => SchemaError {
            pointer,
            message: format!("`{}` leads to nothing in this document", clip(&target)),
            help: "define it, as under `$defs`, or correct the reference".to_owned(),
        },
        (None, Some((pointer, target))) => SchemaError {
            pointer,
            message: format!("`{}` leads out of this document", clip(&target)),
            help: "nothing is fetched: copy what it means under `$defs` and write `#/$defs/NAME`".to_owned(),
        },
        (None, None) => SchemaError {
            pointer: String::new(),
            message: "a `$ref`, `$dynamicRef` or `$id` leads to nothing in this document".to_owned(),
            help: "define what it means under `$defs` and write `#/$defs/NAME`".to_owned(),
        },
    }
}

/// Calls `visit` with every reference and where it stands.
pub(crate) fn each_reference(value: &Value, pointer: &mut String, visit: &mut impl FnMut(&str, &str)) {
    let before = pointer.len();
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                match member.as_str().filter(|_| matches!(key.as_str(), "$ref" | "$dynamicRef")) {
                    Some(target) => visit(pointer, target),
                    None => each_reference(member, pointer, visit),
                }
                pointer.truncate(before);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                each_reference(item, pointer, visit);
                pointer.truncate(before);
            }
        }
        _ => {}
    }
}

/// A fragment is percent-encoded (RFC 6901 section 6).
fn unescaped(fragment: &str) -> String {
    percent_encoding::percent_decode_str(fragment).decode_utf8_lossy().into_owned()
}

fn excerpt(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => format!("`{}`", clip(text)),
        Some(value) => format!("`{}`", clip(&value.to_string())),
        None => "nothing".to_owned(),
    }
}

fn clip(text: &str) -> String {
    let mut out: String = text.chars().take(EXCERPT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(EXCERPT_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::message::schema::{Dialect, Schema};
    use serde_json::json;

    #[test]
    fn a_schema_that_is_none_is_told_with_its_place() {
        for (schema, pointer, message, help) in [
            (
                json!({"properties": {"a": {"type": "strin"}}}),
                "/properties/a/type",
                "`strin` cannot stand at `type`",
                "`string`",
            ),
            (json!({"properties": {"a": {"minLength": -1}}}), "/properties/a/minLength", "this is not JSON Schema", ""),
            (json!({"required": "a"}), "/required", "this is not JSON Schema", ""),
            (json!({"pattern": "(?=a)b"}), "/pattern", "looks around or refers back", "without"),
            (json!({"items": {"pattern": "(a)\\1"}}), "/items/pattern", "looks around or refers back", "without"),
            (json!({"pattern": "("}), "/pattern", "malformed or too large", "shorter"),
            (json!({"pattern": "(a{1000}){1000}"}), "/pattern", "malformed or too large", "shorter"),
            (json!({"patternProperties": {"(?!a)/b": true}}), "/patternProperties/(?!a)~1b", "`(?!a)/b`", "without"),
            (json!({"anyOf": [{"format": "emial"}]}), "/anyOf/0/format", "the format `emial` is not known", "`email`"),
            (json!({"$ref": "#/$defs/x"}), "/$ref", "`#/$defs/x` leads to nothing", "define it"),
            (
                json!({"items": {"$ref": "https://x.example/a"}}),
                "/items/$ref",
                "leads out of this document",
                "nothing is fetched",
            ),
            (
                json!({"items": {"$ref": "other.json#/a"}}),
                "/items/$ref",
                "leads out of this document",
                "nothing is fetched",
            ),
            (
                json!({"items": {"$ref": "file:///etc/passwd"}}),
                "/items/$ref",
                "leads out of this document",
                "nothing is fetched",
            ),
            (
                json!({"$schema": "https://x.example/mine"}),
                "/$schema",
                "the dialect `https://x.example/mine`",
                "2020-12",
            ),
            (json!([1]), "", "this is not JSON Schema", ""),
        ] {
            let error = Schema::compile(&schema, Dialect::Written).expect_err(&schema.to_string());
            assert_eq!(error.pointer, pointer, "{schema}: {error:?}");
            assert!(error.message.contains(message), "{schema}: {error:?}");
            assert!(error.help.contains(help), "{schema}: {error:?}");
        }
    }
}
