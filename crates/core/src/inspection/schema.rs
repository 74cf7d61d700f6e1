//! Schemas: a message against the JSON Schema of its type. What a schema is, is in [`crate::message::schema`].
//!
//! The only check that builds a tree of a message, and only where a schema applies; `json` has bounded its depth, its
//! values and its bytes before. A message that is not JSON has no type: text is one without a schema, binary data
//! passes, for the route takes binary.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{FIELD_BYTES_MAX, Finding, Kind, Reading, Scene, cut};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{ValueKind, decode_into};
use crate::message::schema::{Schema, Violation};
use crate::policy::checked::{Messages, OnRefuse, WithoutSchema};
use crate::verdict::Reason;

pub(super) const NAME: &str = "schema";

/// Longest excerpt of a type in a finding's detail, bytes.
const EXCERPT_BYTES_MAX: usize = 64;

/// Type → schema, and what happens without one.
#[derive(Debug)]
pub(super) struct Check {
    number: usize,
    pointer: String,
    by_type: BTreeMap<Box<[u8]>, Arc<Schema>>,
    without: WithoutSchema,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(schemas) = &messages.schemas else { return Ok(None) };
        let by_type = schemas.by_type.iter().map(|(name, schema)| (name.as_bytes().into(), Arc::clone(schema)));
        Ok(Some(Self {
            number: pointers.add(&schemas.type_at)?,
            pointer: schemas.type_at.clone(),
            by_type: by_type.collect(),
            without: schemas.without,
            outcome: messages.on_refuse,
        }))
    }

    /// The number of the pointer to the type.
    pub(super) const fn type_pointer(&self) -> usize {
        self.number
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.work.reading != Reading::Json {
            if scene.message.kind == Kind::Binary || self.without == WithoutSchema::Pass {
                return ControlFlow::Continue(());
            }
            return scene.refuse(self.finding(Reason::EnvelopeMissing, "the message is not JSON".to_owned()));
        }
        let bytes = scene.message.bytes;
        let value = scene.work.scan.value(self.number);
        let name = match value.kind {
            ValueKind::String if value.escapes => {
                scene.work.name.clear();
                decode_into(value.raw(bytes), &mut scene.work.name);
                scene.work.name.as_slice()
            }
            ValueKind::String => value.raw(bytes),
            _ if self.without == WithoutSchema::Pass => return ControlFlow::Continue(()),
            _ => {
                let detail = "the type is missing or not a string".to_owned();
                return scene.refuse(self.finding(Reason::EnvelopeMissing, detail).at(&self.pointer));
            }
        };
        let Some(schema) = self.by_type.get(name) else {
            if self.without == WithoutSchema::Pass {
                return ControlFlow::Continue(());
            }
            let excerpt = name.get(..name.len().min(EXCERPT_BYTES_MAX)).unwrap_or_default().escape_ascii();
            let detail = format!("type `{excerpt}` has no schema");
            return scene.refuse(self.finding(Reason::TypeRefused, detail).at(&self.pointer));
        };
        // What JSON allows and a tree cannot hold, as `1e999`, fits no schema.
        let Ok(tree) = serde_json::from_slice(bytes) else {
            let detail = "a number is too large to be read".to_owned();
            return scene.refuse(self.finding(Reason::SchemaViolation, detail));
        };
        match schema.violation(&tree) {
            None => ControlFlow::Continue(()),
            Some(violation) => scene.refuse(self.broken(violation)),
        }
    }

    fn broken(&self, violation: Violation) -> Finding {
        let detail = match (violation.at.as_str(), violation.rule.as_str()) {
            ("", "") => "the message breaks its schema".to_owned(),
            ("", rule) => format!("the message breaks `{rule}`"),
            (at, rule) => format!("`{at}` breaks `{rule}`"),
        };
        let mut finding = self.finding(Reason::SchemaViolation, detail);
        if !violation.at.is_empty() {
            finding = finding.at(&violation.at);
        }
        if !violation.rule.is_empty() {
            finding.rule = Some(cut(violation.rule, FIELD_BYTES_MAX));
        }
        finding
    }

    fn finding(&self, reason: Reason, detail: String) -> Finding {
        Finding::new(reason, NAME, self.outcome, detail)
    }
}
