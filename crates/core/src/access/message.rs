//! What one direction of a route asks of those who speak there, as the policy says it.

use std::sync::Arc;

use super::{Need, Resource, Roles};
use crate::policy::checked::Messages;

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

impl Messages {
    /// How many fields the rules name, the same one named twice counted twice.
    pub(crate) fn fields_named(&self) -> usize {
        let needs = self.access.permissions.iter().flat_map(|permissions| &permissions.rules).map(|(_, need)| need);
        let is_field = |need: &&Need| matches!(need, Need::Permission { resource: Some(Resource::Pointer(_)), .. });
        let resources = needs.filter(is_field).count() + 1;
        let envelope = self.envelope.as_ref().map_or(0, |envelope| envelope.required.len());
        let skipped = self.threats.as_ref().map_or(0, |threats| threats.skip_fields.len());
        let html = self.html.as_ref().map_or(0, |html| html.fields.len());
        resources + envelope + skipped + html + self.mask.len() + self.access.tenant_at.len()
    }
}
