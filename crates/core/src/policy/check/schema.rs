//! `schemas`: files and written-out schemas → compiled ones, each compiled once however many routes share it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Checking, written_path};
use crate::message::schema::{Dialect, Schema, SchemaError};
use crate::policy::checked::{JsonMode, Schemas, WithoutSchema};
use crate::policy::document;
use crate::policy::human::OrOff;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::report::Fault;
use crate::policy::tree::{KeyPath, Node};

/// Most schemas of one direction.
const SCHEMAS_MAX: usize = 1024;
/// Deepest message that is held to a schema: checking it recurses.
const DEPTH_MAX: u32 = 100;

/// Schemas compiled so far by where they came from; `None` for one whose faults were told.
pub(super) type Known = HashMap<String, Option<Arc<Schema>>>;

/// Type → schema.
pub(super) type ByType = BTreeMap<String, Arc<Schema>>;

/// Where a message of a direction says its type.
pub(super) fn type_at(raw: Option<&raw::Messages>) -> String {
    let envelope = raw.and_then(|raw| raw.envelope.as_ref());
    let written = match envelope {
        Some(OrOff::On(envelope)) => envelope.type_at.clone(),
        _ => None,
    };
    written.unwrap_or_else(|| "/type".to_owned())
}

impl Checking<'_> {
    /// `said` are those of an AsyncAPI document; what the policy says itself of a type wins.
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn schemas(
        &mut self,
        at: &KeyPath,
        raw: &raw::Messages,
        said: Option<&ByType>,
    ) -> Option<Option<Schemas>> {
        let path = at.key("schemas");
        let none = BTreeMap::new();
        let written = raw.schemas.as_ref().unwrap_or(&none);
        if written.is_empty() && said.is_none() {
            return Some(None);
        }
        let without = raw.without_schema.unwrap_or(WithoutSchema::Refuse);
        if written.len() > SCHEMAS_MAX {
            self.fault(&path, format!("there are {} schemas", written.len()), format!("keep at most {SCHEMAS_MAX}"));
            return None;
        }
        let json = raw.json.as_ref();
        if json.and_then(|json| json.mode) == Some(JsonMode::Off) && self.is_operators(&at.key("json").key("mode")) {
            let help = "write `required` or `detect`, or leave it out";
            self.fault(&at.key("json").key("mode"), "schemas need JSON, which is off", help);
            return None;
        }
        if let Some(depth) = json.and_then(|json| json.depth_max).filter(|depth| *depth > DEPTH_MAX) {
            let message = format!("messages that nest {depth} deep are not held to schemas");
            self.fault(&at.key("json").key("depth_max"), message, format!("write at most {DEPTH_MAX}"));
            return None;
        }
        let compiled: Vec<Option<(String, Arc<Schema>)>> =
            written.iter().map(|(name, schema)| Some((name.clone(), self.schema(&path.key(name), schema)?))).collect();
        let mut by_type = said.cloned().unwrap_or_default();
        by_type.extend(compiled.into_iter().collect::<Option<Vec<_>>>()?);
        Some(Some(Schemas { type_at: type_at(Some(raw)), by_type, without }))
    }

    fn schema(&mut self, at: &KeyPath, raw: &raw::Schema) -> Option<Arc<Schema>> {
        match (&raw.file, &raw.inline) {
            (Some(file), None) => self.schema_file(&at.key("file"), file),
            (None, Some(schema)) => {
                let key = schema.to_string();
                if let Some(known) = self.schemas.get(&key) {
                    return known.clone();
                }
                let compiled = Schema::compile(schema, Dialect::Written).map(Arc::new);
                let compiled = compiled.map_err(|error| self.inline_fault(&at.key("inline"), &error)).ok();
                self.schemas.insert(key, compiled.clone());
                compiled
            }
            (Some(_), Some(_)) => {
                self.fault(at, "`file` and `inline` exclude each other", "keep one of the two");
                None
            }
            (None, None) => {
                self.fault(
                    at,
                    "the schema is missing",
                    "write `file: schemas/chat.json`, or the schema under `inline`",
                );
                None
            }
        }
    }

    fn schema_file(&mut self, at: &KeyPath, written: &str) -> Option<Arc<Schema>> {
        let key = self.resolve(at, written).display().to_string();
        if let Some(known) = self.schemas.get(&key) {
            return known.clone();
        }
        let compiled = self.document_file(at, written).and_then(|node| {
            let compiled = Schema::compile(&document::value(&node), Dialect::Written);
            compiled.map_err(|error| self.document_fault(at, &node, written, &error)).ok().map(Arc::new)
        });
        self.schemas.insert(key, compiled.clone());
        compiled
    }

    /// A fault inside a document that a key names: its place points into the document.
    pub(super) fn document_fault(&mut self, at: &KeyPath, node: &Node, written: &str, error: &SchemaError) {
        let place = node.place_of(&document::path(node, &error.pointer));
        let within = if error.pointer.is_empty() { String::new() } else { format!(" at `{}`", error.pointer) };
        let message = format!("in `{}`{within}: {}", clip(written), error.message);
        let path = written_path(&self.layered.tree, at);
        self.faults.push(Fault::new(path, message, error.help.clone()).at(place));
    }

    fn inline_fault(&mut self, at: &KeyPath, error: &SchemaError) {
        let below = self.tree.at(at).map(|node| document::path(node, &error.pointer)).unwrap_or_default();
        let path = KeyPath(at.0.iter().cloned().chain(below.0).collect());
        self.fault(&path, error.message.clone(), error.help.clone());
    }
}
