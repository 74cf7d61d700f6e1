//! Identity providers, introspection and authorizers: whom the gateway asks.

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
    /// Where it tells that somebody signed out.
    pub backchannel_logout: Option<BackchannelLogout>,
}

/// Back-channel logout (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackchannelLogout {
    /// The path that the provider posts to.
    pub path: String,
    /// What the provider calls the gateway, or the application it stands for: the `aud` of logout tokens.
    pub client_id: String,
    /// What ends.
    pub ends: LogoutEnds,
    /// How long what ended is remembered.
    pub lasts: Duration,
}

/// What a logout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogoutEnds {
    /// The session it names (`sid`); where it names none, as `subject`.
    Session,
    /// Whatever its subject holds, on all devices.
    Subject,
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

/// An external authorizer.
#[derive(Debug, Clone)]
pub struct Authorizer {
    /// Where it is.
    pub url: String,
    /// What it knows the gateway by.
    pub token: Option<Secret>,
    /// The whole of a question.
    pub timeout: Duration,
    /// How long an answer that allows is remembered at most; zero not at all.
    pub cache_ttl: Duration,
    /// Answers remembered at once.
    pub cache_entries_max: usize,
    /// What happens when it gives no answer.
    pub on_failure: OnFailure,
}

/// What happens when an authorizer gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Nobody gets in.
    Deny,
    /// Whoever passed every other check gets in.
    Allow,
}
