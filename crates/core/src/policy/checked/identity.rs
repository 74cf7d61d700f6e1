//! Keys, claims, and where credentials stand.

use std::path::PathBuf;
use std::time::Duration;

use super::{CsrfTokens, Introspection, Provider, Secret, Sessions, TokenRenewal};

/// One-time tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tickets {
    /// The path they are fetched from.
    pub path: String,
    /// How long one is good for.
    pub ttl: Duration,
}

/// Keys and claims.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Keys from the policy itself.
    pub keys: Vec<StaticKey>,
    /// Key sets from files or URLs, then those of the identity providers.
    pub jwks: Vec<JwksSource>,
    /// Where opaque tokens are asked about.
    pub introspection: Option<Introspection>,
    /// `iss` must be one of these, where any is given.
    pub issuers: Vec<String>,
    /// `aud` must hold one of these, where any is given.
    pub audiences: Vec<String>,
    /// `azp` must be one of these, where any is given and the claim is present.
    pub authorized_parties: Vec<String>,
    /// Clock difference tolerated in `exp`, `nbf`, `iat`.
    pub leeway: Duration,
    /// A token without `exp` is refused.
    pub require_expiry: bool,
    /// Longest token read, bytes.
    pub token_bytes_max: usize,
    /// Where credentials may stand, in this order, unless the route says otherwise.
    pub credentials: Vec<CredentialPlace>,
    /// JSON Pointers into the claims.
    pub claims: ClaimPointers,
    /// How long a verified token is remembered; never past its `exp`. Zero turns the cache off.
    pub cache_ttl: Duration,
    /// Verified tokens remembered at once.
    pub cache_entries_max: usize,
    /// From upgrade to a first message with a credential.
    pub first_message_timeout: Duration,
    /// Development only: everyone is this subject.
    pub development_bypass: Option<String>,
    /// The verified token is sent upstream as it came.
    pub forward_token: bool,
    /// API keys are credentials.
    pub api_keys: bool,
    /// One-time tickets are issued and are credentials.
    pub tickets: Option<Tickets>,
    /// Tokens against cross-site request forgery are issued.
    pub csrf: Option<CsrfTokens>,
    /// Tokens that the gateway renews itself.
    pub renewal: Option<TokenRenewal>,
    /// Sessions are issued and are credentials.
    pub sessions: Option<Sessions>,
    /// Signs the identity headers to the upstream (HMAC-SHA-256).
    pub header_secret: Option<Secret>,
}

/// Signature algorithms (RFC 7518 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// A key written in the policy. Its algorithm is pinned.
#[derive(Debug, Clone)]
pub struct StaticKey {
    /// Matches the token's `kid`, where the token has one.
    pub id: Option<String>,
    /// The only algorithm it verifies.
    pub algorithm: Algorithm,
    /// HMAC secret, or public key as PEM.
    pub material: Secret,
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksSource {
    /// Where it is.
    pub location: JwksLocation,
    /// Algorithms its keys may verify; a key's own `alg` narrows it.
    pub algorithms: Vec<Algorithm>,
    /// How often it is read again.
    pub refresh: Duration,
    /// Largest set read, bytes.
    pub bytes_max: usize,
    /// Keys kept of it.
    pub keys_max: usize,
    /// The identity provider whose tokens alone its keys verify.
    pub provider: Option<Provider>,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksLocation {
    /// A file.
    File(PathBuf),
    /// An `https://` URL (`http://` to loopback only).
    Url(String),
    /// Told by the configuration document of this issuer (OpenID Connect Discovery 1.0, 4).
    Issuer(String),
}

/// Where a credential may stand (SPEC 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialPlace {
    /// `Authorization: Bearer …`.
    Header,
    /// A cookie, `access_token` unless named.
    Cookie,
    /// A query parameter, `token` unless named.
    Query,
    /// `Sec-WebSocket-Protocol: bearer, <token>`: the browser's only header.
    Subprotocol,
    /// `{"type":"auth","token":"…"}` as the first message.
    FirstMessage,
    /// The certificate of the TLS handshake.
    Certificate,
}

/// JSON Pointers (RFC 6901) into the claims, and the names of carriers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct ClaimPointers {
    pub subject: String,
    pub roles: String,
    pub permissions: String,
    pub tenant: String,
    pub tenants: String,
    pub session: String,
    pub second_factor: crate::identity::SecondFactor,
    pub cookie_name: String,
    pub query_name: String,
}
