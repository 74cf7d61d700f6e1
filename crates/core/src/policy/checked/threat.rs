//! Detection of attacks.

use std::collections::BTreeMap;

use super::OnRefuse;
use crate::message::html::Allowed;
use crate::message::threat::Confidence;

/// Kinds of attack (SPEC 8.5).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's")]
pub enum ThreatClass {
    Sqli,
    Nosql,
    Xss,
    Command,
    Traversal,
    Template,
    Ldap,
    Xxe,
    Lookup,
}

impl ThreatClass {
    /// Every class.
    pub const ALL: &[Self] = &[
        Self::Sqli,
        Self::Nosql,
        Self::Xss,
        Self::Command,
        Self::Traversal,
        Self::Template,
        Self::Ldap,
        Self::Xxe,
        Self::Lookup,
    ];

    /// The name in policies.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sqli => "sqli",
            Self::Nosql => "nosql",
            Self::Xss => "xss",
            Self::Command => "command",
            Self::Traversal => "traversal",
            Self::Template => "template",
            Self::Ldap => "ldap",
            Self::Xxe => "xxe",
            Self::Lookup => "lookup",
        }
    }
}

/// What happens per class. One that is not named is off.
pub type ThreatOutcomes = BTreeMap<ThreatClass, OnRefuse>;

/// Threat detection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Threats {
    /// Class → outcome, where no field says otherwise.
    pub classes: ThreatOutcomes,
    /// Patterns of fields whose strings are not scanned.
    pub skip_fields: Vec<String>,
    /// Pattern of a field → outcomes in it and below it, complete.
    pub fields: BTreeMap<String, ThreatOutcomes>,
    /// Decoding layers tried on one string.
    pub decode_layers_max: u8,
    /// Below it a finding is observed.
    pub confidence: Confidence,
    /// What is left of markup where the outcome is to sanitize.
    pub sanitized: Option<Allowed>,
}
