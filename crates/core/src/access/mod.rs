//! What may a caller do (SPEC 4)? Roles that inherit, permissions with wildcards, denials that win.
//!
//! Input: the operator's roles, compiled once into [`Roles`], and what a credential says of its bearer. Output: a
//! [`Standing`], which answers for one permission at a time with a [`Ruling`]. It knows no route, no message and no
//! connection: `admission` and `inspection` ask it, and `portcullis access` prints what it would answer.
//!
//! Nothing is granted unless a rule grants it, and a denial wins over every grant, wherever it was inherited from.
//! Tests: beside each file; the property tests in `tests` hold it against a slow, obvious model.

mod matrix;
mod message;
mod need;
mod pattern;
mod reach;
mod role;
mod types;

#[cfg(test)]
mod tests;

pub use matrix::{Cell, Decision, matrix};
pub use message::{MessageAccess, Permissions};
pub use need::{Need, NeedError, Resource};
pub use pattern::{Pattern, PatternError};
pub use reach::Reach;
pub use role::{RoleError, RoleSpec, Roles, Ruling, Standing};
pub use types::{TYPE_BYTES_MAX, Types, is_type_pattern};

/// Longest permission, bytes.
pub const PERMISSION_BYTES_MAX: usize = 256;

/// Longest resource of a permission, bytes: the `42` of `conversation.read:42`.
pub const RESOURCE_BYTES_MAX: usize = 128;

/// The role of a caller without a credential.
pub const GUEST: &str = "guest";

/// Whether bytes may name a resource. Left out is whatever separates or stands for something in a permission, so
/// that what a client sends can be nothing but a name.
#[must_use]
pub fn names_resource(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-@+=~".contains(byte);
    (1..=RESOURCE_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(allowed)
}

/// Whether a text is steps between dots: `chat.send`.
fn is_path(text: &str) -> bool {
    let is_step = |step: &str| {
        !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    text.split('.').all(is_step)
}
