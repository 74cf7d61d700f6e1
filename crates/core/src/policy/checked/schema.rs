//! Schemas by message type.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::schema::Schema;

/// What a message of a type must look like.
#[derive(Debug, Clone)]
pub struct Schemas {
    /// Where the type stands.
    pub type_at: String,
    /// Type → schema. Routes that share one share its compiled form.
    pub by_type: BTreeMap<String, Arc<Schema>>,
    /// What happens to a message whose type is not among them.
    pub without: WithoutSchema,
}

/// What happens to a message whose type has no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutSchema {
    /// It is refused as the direction says.
    Refuse,
    /// The next check sees it.
    Pass,
}
