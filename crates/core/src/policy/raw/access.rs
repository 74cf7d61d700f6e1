//! `access`: roles and permissions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::human::Switch;

/// Who may what. The map may be written from either side, or from both; nothing is granted that neither grants.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    /// Role, as tokens name it → what it may. At most 256.
    pub(crate) roles: Option<BTreeMap<String, Role>>,
    /// Permission → the roles that have it: `chat.send: [user]`. Adds to what `roles` allows.
    pub(crate) permissions: Option<BTreeMap<String, Vec<String>>>,
}

/// What a role may. A permission has steps between dots, and a resource after a colon where it is about one:
/// `chat.send`, `conversation.read:42`. A wildcard stands for all (`*`), all below (`chat.*`), or every resource
/// (`conversation.read:*`).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    /// Roles whose permissions and denials it has too.
    pub(crate) inherits: Option<Vec<String>>,
    /// Permissions it has.
    pub(crate) allow: Option<Vec<String>>,
    /// Whether its bearers must have passed a second factor, and those of roles that inherit it. Default `off`.
    pub(crate) mfa: Option<Switch>,
    /// Permissions that no bearer of it has, whatever else grants them; without a resource, on every resource.
    pub(crate) deny: Option<Vec<String>>,
}
