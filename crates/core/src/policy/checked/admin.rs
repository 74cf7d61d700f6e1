//! Tokens of the admin listener that may do a part of what it does.

use super::Secret;
use crate::access::Pattern;

/// What the endpoints of the admin listener ask for. A test of the listener holds each endpoint against this list.
pub const ADMIN_PERMISSIONS: &[&str] = &[
    "page.read",
    "metrics.read",
    "health.read",
    "audit.read",
    "config.read",
    "config.reload",
    "blocks.read",
    "blocks.write",
    "keys.read",
    "keys.write",
    "sessions.read",
    "sessions.write",
    "lockdown.read",
    "lockdown.write",
    "connections.read",
    "connections.close",
];

/// A token with permissions of its own.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// Names it in the audit.
    pub name: String,
    /// What its bearer shows.
    pub token: Secret,
    /// What its bearer may.
    pub permissions: Vec<Pattern>,
}

impl AdminToken {
    /// Whether its bearer may.
    #[must_use]
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.iter().any(|pattern| pattern.covers(permission, None))
    }
}
