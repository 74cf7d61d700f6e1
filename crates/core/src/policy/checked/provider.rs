//! Identity providers.

use std::time::Duration;

use super::{ClaimPointers, Secret};

/// An OpenID provider: its tokens are verified with its own keys and no others, and its keys verify no other tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The `iss` of its tokens, compared exactly.
    pub issuer: String,
    /// `aud` must be one of these, where any is given.
    pub audiences: Vec<String>,
    /// `azp` must be one of these, where any is given and the claim is present.
    pub authorized_parties: Vec<String>,
    /// It may stand at an address of an inner network.
    pub private_network: bool,
}

/// Token introspection (RFC 7662).
#[derive(Debug, Clone)]
pub struct Introspection {
    /// The endpoint.
    pub url: String,
    /// The gateway's name there.
    pub client_id: String,
    /// Its secret there.
    pub client_secret: Secret,
    /// `iss` must be this, where it is given.
    pub issuer: Option<String>,
    /// `aud` must be one of these, where any is given.
    pub audiences: Vec<String>,
    /// JSON Pointers into the answer.
    pub claims: ClaimPointers,
    /// The whole of a question.
    pub timeout: Duration,
    /// How long an answer is remembered; zero not at all.
    pub cache_ttl: Duration,
    /// Answers remembered at once.
    pub cache_entries_max: usize,
    /// It may stand at an address of an inner network.
    pub private_network: bool,
}
