//! What one direction of a route asks of those who speak there, as the policy says it.

use std::sync::Arc;

use super::{Need, Roles};

/// Rules about who may say what in one direction. Empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageAccess {
    /// Which permission each type of message asks for; `None` asks for none.
    pub permissions: Option<Permissions>,
    /// Patterns of types that are open to callers without a credential; `None` opens any.
    pub guest_types: Option<Vec<String>>,
    /// Patterns of types that demand a second factor.
    pub mfa_types: Vec<String>,
    /// JSON Pointers to where a message may name a tenant, which must be the caller's own.
    pub tenant_at: Vec<String>,
}

impl MessageAccess {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which permission each type of message asks for. A type that no rule names passes for nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Pattern of types → what is asked for.
    pub rules: Vec<(String, Need)>,
    /// What a message without a type asks for; `None` passes for nobody.
    pub untyped: Option<Need>,
    /// Who has what.
    pub roles: Arc<Roles>,
}
