//! A tree as JSON, and where a JSON Pointer into it stands. Decides nothing.

use serde_json::{Map, Number, Value};

use super::tree::{Content, KeyPath, Node, Step};

/// The tree as a JSON value. A number that JSON has no word for becomes null.
pub(crate) fn value(node: &Node) -> Value {
    match &node.content {
        Content::Null => Value::Null,
        Content::Bool(value) => Value::Bool(*value),
        Content::Unsigned(value) => Value::from(*value),
        Content::Negative(value) => Value::from(*value),
        Content::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Content::Text(text) => Value::String(text.clone()),
        Content::List(items) => Value::Array(items.iter().map(value).collect()),
        Content::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), value(&entry.value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// The path that a JSON Pointer (RFC 6901) means in a tree; a number is an index where a list stands.
pub(crate) fn path(node: &Node, pointer: &str) -> KeyPath {
    let mut steps = Vec::new();
    let mut at = Some(node);
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        let index = match at.map(|node| &node.content) {
            Some(Content::List(_)) => key.parse().ok(),
            _ => None,
        };
        at = at.and_then(|node| match (&node.content, index) {
            (Content::List(items), Some(index)) => items.get::<usize>(index),
            _ => node.child(&key),
        });
        steps.push(index.map_or(Step::Key(key), Step::Index));
    }
    KeyPath(steps)
}
