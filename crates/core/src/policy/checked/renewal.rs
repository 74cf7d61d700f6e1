//! Tokens that the gateway renews itself.

use std::time::Duration;

use super::{Algorithm, Secret};

/// Which tokens are renewed, and how long that goes on.
#[derive(Debug, Clone)]
pub struct TokenRenewal {
    /// The id of the key that signed them and signs the fresh ones.
    pub key_id: String,
    /// HS256, HS384 or HS512.
    pub algorithm: Algorithm,
    /// Its secret.
    pub secret: Secret,
    /// How long a fresh token lasts.
    pub ttl: Duration,
    /// How long after the first token (`orig_iat`, else `iat`) the last one ends.
    pub life_max: Duration,
}
