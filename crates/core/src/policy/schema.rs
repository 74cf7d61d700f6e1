//! The configuration's JSON Schema for editors, and the keys in it one by one. Decides nothing; the words are
//! the doc comments of [`super::raw`], the defaults those of the presets.

use serde_json::Value;

use super::raw::Document;
use super::tree::{Content, Node};

/// The JSON Schema (2020-12) of the configuration, for editors.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// `listen.address`, `routes[].path`, `environment_overrides.*`.
    pub(crate) path: String,
    /// What may stand there, in words.
    pub(crate) form: String,
    /// What it means.
    pub(crate) meaning: String,
    /// Keys stand below it.
    pub(crate) is_section: bool,
}

/// Every key, in the order of the structs. A structure that stands in several places is listed at its first; the
/// others say where that is.
pub(crate) fn keys(schema: &Value) -> Vec<Key> {
    let mut walk = Walk { schema, keys: Vec::new(), seen: Vec::new() };
    walk.properties(schema, "");
    walk.keys
}

/// Structures that are listed again, because their defaults differ there.
const LISTED_TWICE: &[&str] = &["messages.outbound"];

/// The sections in the order in which an operator comes upon them; keys below follow the alphabet.
const SECTIONS: &[&str] = &[
    "environment",
    "upstream",
    "listen",
    "admin",
    "state",
    "shared_state",
    "sources",
    "reputation",
    "anomalies",
    "geo",
    "threat_lists",
    "origins",
    "identity",
    "access",
    "times",
    "notices",
    "compression",
    "messages",
    "calendars",
    "lockdown",
    "floods",
    "errors",
    "audit",
    "routes",
    "environment_overrides",
];

struct Walk<'a> {
    schema: &'a Value,
    keys: Vec<Key>,
    /// Definitions already listed, and where.
    seen: Vec<(String, String)>,
}

impl<'a> Walk<'a> {
    fn properties(&mut self, of: &'a Value, above: &str) {
        let Some(properties) = of.get("properties").and_then(Value::as_object) else { return };
        let mut listed: Vec<(&String, &Value)> = properties.iter().collect();
        let rank = |name: &str| SECTIONS.iter().position(|section| *section == name).unwrap_or(SECTIONS.len());
        listed.sort_by_key(|(name, _)| (if above.is_empty() { rank(name) } else { 0 }, (*name).clone()));
        for (name, property) in listed {
            let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            self.property(path, property);
        }
    }

    fn property(&mut self, path: String, property: &'a Value) {
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let (marks, inner) = self.structure(property);
        let form = self.form(property);
        let Some((name, definition)) = inner else {
            self.keys.push(Key { path, form, meaning, is_section: false });
            return;
        };
        let below = format!("{path}{marks}");
        let known = self.seen.iter().find(|(seen, _)| *seen == name).map(|(_, at)| at.clone());
        match known {
            Some(at) if !LISTED_TWICE.contains(&path.as_str()) => {
                let meaning = format!("{meaning} Keys as `{at}`.");
                self.keys.push(Key { path: below, form, meaning, is_section: true });
            }
            _ => {
                self.keys.push(Key { path: below.clone(), form, meaning, is_section: true });
                if name == "Overlay" {
                    return;
                }
                self.seen.push((name, below.clone()));
                self.properties(definition, &below);
            }
        }
    }

    /// The structure that a property holds, if any, and how it is reached: directly, in a list, in a map.
    fn structure(&self, property: &'a Value) -> (&'static str, Option<(String, &'a Value)>) {
        if let Some(items) = property.get("items") {
            return ("[]", self.structure(items).1);
        }
        if let Some(values) = property.get("additionalProperties").filter(|values| values.is_object()) {
            return (".*", self.structure(values).1);
        }
        if let Some((name, definition)) = self.definition(property) {
            let is_structure = definition.get("properties").is_some();
            return ("", is_structure.then_some((name, definition)));
        }
        let choices = property.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let found = choices.iter().find_map(|choice| self.structure(choice).1);
        ("", found)
    }

    fn definition(&self, property: &Value) -> Option<(String, &'a Value)> {
        let name = property.get("$ref")?.as_str()?.rsplit('/').next()?;
        Some((name.to_owned(), self.schema.get("$defs")?.get(name)?))
    }

    /// What may stand there, in words.
    fn form(&self, property: &Value) -> String {
        if let Some((_, definition)) = self.definition(property) {
            return if definition.get("properties").is_some() { "section".to_owned() } else { self.form(definition) };
        }
        if let Some(title) = property.get("title").and_then(Value::as_str) {
            return title.to_owned();
        }
        // Structures have names; what is written out here is a map keyed by the words of an enumeration.
        if let Some(properties) = property.get("properties").and_then(Value::as_object) {
            return properties.values().next().map_or("map".to_owned(), |value| format!("map to {}", self.form(value)));
        }
        if let Some(items) = property.get("items") {
            return format!("list of {}", plural(&self.form(items)));
        }
        if let Some(values) = property.get("additionalProperties").filter(|values| values.is_object()) {
            return format!("map to {}", self.form(values));
        }
        let words = words_of(property);
        if !words.is_empty() {
            return words.join(", ");
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(choices) = property.get(choice).and_then(Value::as_array) {
                let forms: Vec<String> = choices
                    .iter()
                    .filter(|held| held.get("type") != Some(&Value::from("null")))
                    .map(|c| self.form(c))
                    .collect();
                return forms.join(" or ");
            }
        }
        let kind = match property.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            Some(Value::String(kind)) => Some(kind.as_str()),
            _ => None,
        };
        match kind {
            Some("integer") => "number".to_owned(),
            Some("string") => "text".to_owned(),
            Some(other) => other.to_owned(),
            None => "anything".to_owned(),
        }
    }
}

/// The words of an enumeration.
fn words_of(property: &Value) -> Vec<String> {
    let quoted = |word: &Value| word.as_str().map(|word| format!("`{word}`"));
    if let Some(words) = property.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(quoted).collect();
    }
    let choices = property.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut words = Vec::new();
    for choice in choices {
        match (choice.get("const"), choice.get("enum")) {
            (Some(word), _) => words.extend(quoted(word)),
            (None, Some(_)) => words.extend(words_of(choice)),
            _ => return Vec::new(),
        }
    }
    words
}

fn plural(form: &str) -> String {
    match form {
        "text" => "texts".to_owned(),
        form if form.starts_with('`') => format!("words: {form}"),
        form => format!("{form}s"),
    }
}

/// A value on one line, as YAML.
pub(crate) fn flow(node: &Node) -> String {
    match &node.content {
        Content::Null => "null".to_owned(),
        Content::Bool(value) => value.to_string(),
        Content::Unsigned(value) => value.to_string(),
        Content::Negative(value) => value.to_string(),
        Content::Float(value) => value.to_string(),
        Content::Text(text) if text.is_empty() || text.contains(['"', '{', '[', ',']) => format!("'{text}'"),
        Content::Text(text) => text.clone(),
        Content::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Content::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Content::Map(entries) => {
            let entries: Vec<String> = entries.iter().map(|e| format!("{}: {}", e.key, flow(&e.value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
