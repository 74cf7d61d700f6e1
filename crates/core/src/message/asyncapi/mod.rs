//! AsyncAPI (3.x and 2.x): which types of message go which way, and the schema of each.
//!
//! Input: a document as JSON, what it describes, the channels that count and where a message says its type. Output: a
//! [`Contract`], or every mistake with its JSON Pointer. References stay inside the document. A message's types are the
//! `const` or `enum` that its payload demands where the type stands; without one its `name`, else its key.
//!
//! Directions: an operation says what the *described application* does, so what a backend receives is inbound. In 2.x
//! `publish` is what clients may publish: inbound for a backend. Tests: `tests.rs`.

mod document;
mod operations;
mod types;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::inspection::Direction;
use crate::message::schema::{Dialect, Schema, SchemaError};
use document::Document;

/// Most messages of a document.
pub const MESSAGES_MAX: usize = 1024;

/// Which side of the wire a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Describes {
    /// What the backend sends and receives.
    Backend,
    /// What a client sends and receives.
    Client,
}

/// What is asked of a document.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Which side it describes.
    pub describes: Describes,
    /// The channels that count, by name; all without.
    pub channels: Option<&'a [String]>,
    /// Where an inbound message says its type (RFC 6901).
    pub inbound_type_at: &'a str,
    /// Where an outbound message says its type.
    pub outbound_type_at: &'a str,
}

/// The schema of every type that may pass, by direction. Every other type may not.
#[derive(Debug, Clone, Default)]
pub struct Contract {
    /// Client to server.
    pub inbound: BTreeMap<String, Arc<Schema>>,
    /// Server to client.
    pub outbound: BTreeMap<String, Arc<Schema>>,
}

/// A message of the document, as an operation names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    inbound: bool,
    /// The message object.
    pointer: String,
    /// Its name where nothing else says its type.
    key: String,
}

/// Reads a document.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn read(document: &Value, asked: &Asked<'_>) -> Result<Contract, Vec<SchemaError>> {
    let document = Document::new(document);
    let mut mistakes = Vec::new();
    let mut said = operations::list(&document, asked, &mut mistakes);
    said.sort();
    said.dedup();
    if said.len() > MESSAGES_MAX {
        let message = format!("the document has {} messages", said.len());
        mistakes.push(mistake("", message, &format!("keep at most {MESSAGES_MAX}, or name fewer `channels`")));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut contract = Contract::default();
    for (direction, by_type, type_at) in [
        (Direction::Inbound, &mut contract.inbound, asked.inbound_type_at),
        (Direction::Outbound, &mut contract.outbound, asked.outbound_type_at),
    ] {
        let own = said.iter().filter(|said| said.inbound == (direction == Direction::Inbound));
        let mut payloads: BTreeMap<String, Vec<Payload>> = BTreeMap::new();
        for said in own {
            match payload(&document, said) {
                Ok((payload, name)) => {
                    for name in types::of(&document, payload.pointer.as_deref(), type_at).unwrap_or_else(|| vec![name])
                    {
                        payloads.entry(name).or_default().push(payload.clone());
                    }
                }
                Err(error) => mistakes.push(error),
            }
        }
        for (name, payloads) in payloads {
            match compile(&document, &payloads) {
                Ok(schema) => drop(by_type.insert(name, Arc::new(schema))),
                Err(error) => mistakes.push(error),
            }
        }
    }
    mistakes.dedup();
    if mistakes.is_empty() { Ok(contract) } else { Err(mistakes) }
}

/// What a message carries.
#[derive(Debug, Clone)]
struct Payload {
    /// Its schema; a message without one may carry anything.
    pointer: Option<String>,
    dialect: Dialect,
}

/// A message's payload, and its type where the payload does not say.
fn payload(document: &Document<'_>, said: &Said) -> Result<(Payload, String), SchemaError> {
    let (at, message) = document.follow(&said.pointer)?;
    let own = message.get("contentType").map(|kind| (format!("{at}/contentType"), kind));
    let default = document.get("defaultContentType").map(|kind| ("/defaultContentType".to_owned(), kind));
    if let Some((place, kind)) = own.or(default) {
        let kind = kind.as_str().unwrap_or_default();
        if !kind.contains("json") {
            let help = "only JSON has types and schemas; leave its channel out of `channels`";
            return Err(mistake(&place, format!("the content type `{kind}` is not JSON"), help));
        }
    }
    let name = ["name", "messageId"].iter().find_map(|key| message.get(*key)?.as_str()).unwrap_or(&said.key).to_owned();
    if message.get("payload").is_none() {
        return Ok((Payload { pointer: None, dialect: Dialect::Draft7 }, name));
    }
    let mut format = message.get("schemaFormat").map(|format| (format!("{at}/schemaFormat"), format));
    let mut pointer = format!("{at}/payload");
    // In 3.x a payload may say its format itself; what is referred to may be one that does.
    if let Ok((inner, multi)) = document.follow(&pointer)
        && let (Some(named), Some(_)) = (multi.get("schemaFormat"), multi.get("schema"))
    {
        format = Some((format!("{inner}/schemaFormat"), named));
        pointer = format!("{inner}/schema");
    }
    let dialect = match format {
        None => Dialect::Draft7,
        Some((place, format)) => dialect(format.as_str().unwrap_or_default()).ok_or_else(|| {
            let message = format!("the schema format `{}` is not known", format.as_str().unwrap_or_default());
            mistake(&place, message, "write payloads in JSON Schema, or leave `schemaFormat` out")
        })?,
    };
    Ok((Payload { pointer: Some(pointer), dialect }, name))
}

/// The dialect of a media type of schemas.
fn dialect(format: &str) -> Option<Dialect> {
    if format.starts_with("application/vnd.aai.asyncapi") {
        return Some(Dialect::Draft7);
    }
    if !format.starts_with("application/schema+json") && !format.starts_with("application/schema+yaml") {
        return None;
    }
    Some(if format.contains("2020-12") { Dialect::Written } else { Dialect::Draft7 })
}

/// One schema of a type: what it carries, or any of what it may carry.
fn compile(document: &Document<'_>, payloads: &[Payload]) -> Result<Schema, SchemaError> {
    let dialect = payloads.first().map_or(Dialect::Draft7, |payload| payload.dialect);
    let mut root = serde_json::Map::new();
    let mut branches = Vec::new();
    let mut schemas = Vec::new();
    for payload in payloads {
        match &payload.pointer {
            Some(pointer) => {
                branches.push(serde_json::json!({ "$ref": document::reference(pointer) }));
                document.copy_reachable(pointer, &mut root, &mut schemas)?;
            }
            None => branches.push(Value::Bool(true)),
        }
    }
    for pointer in &schemas {
        if let Some(schema) = document.at(pointer) {
            Schema::check_form(schema, dialect).map_err(|error| error.below(pointer))?;
        }
    }
    let one_of_several = if branches.len() > 1 { "anyOf" } else { "allOf" };
    root.insert(one_of_several.to_owned(), Value::Array(branches));
    Schema::compile(&Value::Object(root), dialect)
}

fn mistake(pointer: &str, message: String, help: &str) -> SchemaError {
    SchemaError { pointer: pointer.to_owned(), message, help: help.to_owned() }
}
