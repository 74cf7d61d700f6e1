//! HTML in named fields.

use crate::message::html::Allowed;

/// Fields that hold HTML, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Html {
    /// Their pointers.
    pub fields: Vec<String>,
    /// What they may hold.
    pub allowed: Allowed,
}
