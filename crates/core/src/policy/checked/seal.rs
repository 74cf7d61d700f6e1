//! Sealed fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::access::{Need, Roles};
use crate::message::seal::Keys;

/// Fields that are sealed.
#[derive(Debug, Clone)]
pub struct Seal {
    /// Pattern → the name it is bound to.
    pub fields: BTreeMap<String, String>,
    /// The first seals.
    pub keys: Keys,
}

/// Fields that are opened.
#[derive(Debug, Clone)]
pub struct Unseal {
    /// Pattern → the name it was sealed under.
    pub fields: BTreeMap<String, String>,
    /// Who may read them.
    pub permission: Need,
    /// Who has it.
    pub roles: Arc<Roles>,
    /// All of them open.
    pub keys: Keys,
}
