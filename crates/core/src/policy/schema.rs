//! The configuration's JSON Schema, and the manual made from it. Decides nothing.

use super::raw::Document;

/// The JSON Schema (2020-12) of the configuration, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

/// `docs/configuration.md`.
#[must_use]
pub fn reference_markdown() -> String {
    String::new()
}
