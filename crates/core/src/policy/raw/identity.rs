//! `identity`: keys, claims, and where credentials stand.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::checked::{Algorithm, Authenticate, CredentialPlace, LogoutEnds};
use crate::policy::human::{Bytes, Span, Switch};

/// Who is calling.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Whether routes need a credential unless they say otherwise: `required`; `optional` (verified when
    /// present, anonymous without one); `off` (never looked at).
    pub(crate) authenticate: Option<Authenticate>,
    /// Keys that verify tokens, each pinned to one algorithm.
    pub(crate) keys: Option<Vec<Key>>,
    /// JSON Web Key Sets (RFC 7517).
    pub(crate) jwks: Option<Vec<Jwks>>,
    /// OpenID providers, found by their issuer (OpenID Connect Discovery). A provider's tokens are verified with its own
    /// keys only, and its keys verify no other tokens.
    pub(crate) providers: Option<Vec<Provider>>,
    /// Tokens that are no JWT are asked about at the provider (RFC 7662). Unset: they are refused.
    pub(crate) introspection: Option<Introspection>,
    /// The token's `iss` must be one of these, where any is given.
    pub(crate) issuers: Option<Vec<String>>,
    /// The token's `aud` must hold one of these, where any is given.
    pub(crate) audiences: Option<Vec<String>>,
    /// The token's `azp` must be one of these, where any is given and the claim is present.
    pub(crate) authorized_parties: Option<Vec<String>>,
    /// Clock difference tolerated in `exp`, `nbf` and `iat`; at most 10 minutes.
    pub(crate) leeway: Option<Span>,
    /// A token without `exp` is refused.
    pub(crate) require_expiry: Option<Switch>,
    /// Longest token read, 256 bytes to 64 KiB.
    pub(crate) token_bytes_max: Option<Bytes>,
    /// Where credentials may stand, in this order: `header` (`Authorization: Bearer`), `cookie`, `query`,
    /// `subprotocol` (`Sec-WebSocket-Protocol: bearer, <token>`), `first_message`.
    pub(crate) credentials: Option<Vec<CredentialPlace>>,
    /// The cookie that carries a token.
    pub(crate) cookie_name: Option<String>,
    /// The query parameter that carries a token.
    pub(crate) query_name: Option<String>,
    /// Where claims stand in the token, as JSON Pointers (RFC 6901).
    pub(crate) claims: Option<Claims>,
    /// How a token says that its bearer passed a second factor; any one is enough. Routes, roles and types of messages
    /// may demand it.
    pub(crate) mfa: Option<Mfa>,
    /// How long a verified token is remembered, never past its `exp`; `0s` turns the cache off.
    pub(crate) cache_ttl: Option<Span>,
    /// Most verified tokens remembered. About 500 bytes each.
    pub(crate) cache_entries_max: Option<u32>,
    /// From the upgrade to a first message with a credential.
    pub(crate) first_message_timeout: Option<Span>,
    /// Everyone is this subject. Development on loopback only.
    pub(crate) development_bypass: Option<String>,
    /// API keys of the state folder (`portcullis key create`) are credentials, wherever a token may stand; also in
    /// an `X-Api-Key` header where `header` is among the places.
    pub(crate) api_keys: Option<Switch>,
    /// One-time tickets, for browsers: fetched with a credential, good for seconds and for one connection. Unset: none.
    pub(crate) tickets: Option<Tickets>,
    /// Tokens against cross-site request forgery: fetched by your own pages, demanded by `csrf` of a direction. Unset: none.
    pub(crate) csrf: Option<CsrfTokens>,
    /// Tokens that the gateway renews itself, over the open connection. Unset: none.
    pub(crate) renewal: Option<super::Renewal>,
    /// Sessions: issued by the gateway in exchange for a credential, kept in the state folder.
    pub(crate) sessions: Option<super::Sessions>,
    /// The verified token is sent upstream as it came.
    pub(crate) forward_token: Option<Switch>,
    /// Signs the identity headers to the upstream (HMAC-SHA-256), inline. Prefer `header_secret_file`.
    pub(crate) header_secret: Option<String>,
    /// File that holds the header secret; the line end is cut off.
    pub(crate) header_secret_file: Option<String>,
    /// Environment variable that holds the header secret.
    pub(crate) header_secret_env: Option<String>,
}

/// One-time tickets: `POST <path>?for=<path of the connection>` with a credential answers one, bound to subject, route and
/// address.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tickets {
    /// The path they are fetched from; it wins over a route with the same path. Default `/portcullis/ticket`.
    pub(crate) path: Option<String>,
    /// How long one is good for, 1 second to 5 minutes. Default `10s`.
    pub(crate) ttl: Option<Span>,
}

/// Tokens against cross-site request forgery: `POST <path>?for=<path of the connection>&type=<type of message>` with a
/// credential answers one, bound to route, session (or subject) and type.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsrfTokens {
    /// The path they are fetched from; it wins over a route with the same path. Default `/auth/csrf`.
    pub(crate) path: Option<String>,
    /// How long one is good for, 10 seconds to a day. Default `1h`.
    pub(crate) ttl: Option<Span>,
    /// Each is good for one message; the last 1024 uses of a user are remembered, by each node. Default `off`.
    pub(crate) single_use: Option<Switch>,
    /// Secret that makes them, inline, at least 32 bytes. Prefer `secret_file`.
    pub(crate) secret: Option<String>,
    /// File that holds the secret; the line end is cut off.
    pub(crate) secret_file: Option<String>,
    /// Environment variable that holds the secret.
    pub(crate) secret_env: Option<String>,
}

/// A key that verifies tokens. Exactly one of the five places says what it is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// Matches the token's `kid`; without it the key verifies any token.
    pub(crate) id: Option<String>,
    /// The only algorithm it verifies: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256,
    /// ES384 or EdDSA. There is no default.
    pub(crate) algorithm: Option<Algorithm>,
    /// HMAC secret, inline. Prefer `secret_file` or `secret_env`.
    pub(crate) secret: Option<String>,
    /// File that holds the HMAC secret; the line end is cut off.
    pub(crate) secret_file: Option<String>,
    /// Environment variable that holds the HMAC secret.
    pub(crate) secret_env: Option<String>,
    /// Public key as PEM, inline.
    pub(crate) public_key: Option<String>,
    /// File that holds the public key as PEM.
    pub(crate) public_key_file: Option<String>,
}

/// A JSON Web Key Set; `url` or `file`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwks {
    /// Where to fetch it: `https://`, or `http://` to loopback.
    pub(crate) url: Option<String>,
    /// File that holds it.
    pub(crate) file: Option<String>,
    /// Algorithms its keys may verify; asymmetric ones only. Default `[RS256]`.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// How often it is read again; at least 10 seconds. Default `5m`.
    pub(crate) refresh: Option<Span>,
    /// Largest set read, 1 KiB to 1 MiB. Default `64KiB`.
    pub(crate) bytes_max: Option<Bytes>,
    /// Most keys kept, 1 to 1000. Default 32.
    pub(crate) keys_max: Option<u32>,
}

/// An OpenID provider.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// Its issuer, exactly as its tokens name it in `iss`: `https://`, or `http://` to loopback. The document at
    /// `<issuer>/.well-known/openid-configuration` says where its keys are.
    pub(crate) issuer: Option<String>,
    /// The token's `aud` must hold one of these. Default `identity.audiences`.
    pub(crate) audiences: Option<Vec<String>>,
    /// The token's `azp` must be one of these, where the claim is present. Default `identity.authorized_parties`.
    pub(crate) authorized_parties: Option<Vec<String>>,
    /// Algorithms its keys may verify; asymmetric ones only. Default `[RS256]`.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// How often its document and its keys are read again; at least 10 seconds. Default `5m`.
    pub(crate) refresh: Option<Span>,
    /// Largest document and key set read, 1 KiB to 1 MiB. Default `64KiB`.
    pub(crate) bytes_max: Option<Bytes>,
    /// Most keys kept, 1 to 1000. Default 32.
    pub(crate) keys_max: Option<u32>,
    /// Its name may lead to an address of an inner network (RFC 1918 and the like), and so may the URL of its keys.
    /// Default `off`.
    pub(crate) private_network: Option<Switch>,
    /// The provider tells the gateway when somebody signs out. Unset: it is not listened to.
    pub(crate) backchannel_logout: Option<BackchannelLogout>,
}

/// Back-channel logout (OpenID Connect Back-Channel Logout 1.0): the provider posts a signed logout token, and open
/// connections of whom it names close.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackchannelLogout {
    /// The path that the provider posts to (its `backchannel_logout_uri`); it wins over a route with the same path.
    pub(crate) path: Option<String>,
    /// The `aud` of its logout tokens: the client that signs in at the provider.
    pub(crate) client_id: Option<String>,
    /// What ends: `session`, the one that the token names, or where it names none all of its subject; `subject`, all of
    /// its subject always. Default `session`.
    pub(crate) ends: Option<LogoutEnds>,
    /// How long what ended is remembered: as long as tokens of the provider live, 1 minute to 30 days. Default `24h`.
    pub(crate) lasts: Option<Span>,
}

/// Token introspection (RFC 7662): opaque tokens, and JWTs where no key is configured that could verify one.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Introspection {
    /// The endpoint: `https://`, or `http://` to loopback.
    pub(crate) url: Option<String>,
    /// How the gateway calls itself there.
    pub(crate) client_id: Option<String>,
    /// Its secret there, inline. Prefer `client_secret_file`.
    pub(crate) client_secret: Option<String>,
    /// File that holds the client secret; the line end is cut off.
    pub(crate) client_secret_file: Option<String>,
    /// Environment variable that holds the client secret.
    pub(crate) client_secret_env: Option<String>,
    /// The answer's `iss` must be this, where it is given.
    pub(crate) issuer: Option<String>,
    /// The answer's `aud` must hold one of these. Default `identity.audiences`.
    pub(crate) audiences: Option<Vec<String>>,
    /// Where claims stand in the answer, as JSON Pointers. What is left out stands where `identity.claims` says.
    pub(crate) claims: Option<Claims>,
    /// How long the endpoint may take, 50 milliseconds to 30 seconds; then the client gets 503. Default `2s`.
    pub(crate) timeout: Option<Span>,
    /// How long an active token is remembered, never past its `exp`; at most 1 hour, `0s` asks every time. A token that is
    /// revoked meanwhile is accepted for so long. Default `30s`.
    pub(crate) cache_ttl: Option<Span>,
    /// Most tokens remembered. About 500 bytes each. Default 10000.
    pub(crate) cache_entries_max: Option<u32>,
    /// Its name may lead to an address of an inner network. Default `off`.
    pub(crate) private_network: Option<Switch>,
}

/// Where claims stand in the token, as JSON Pointers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    /// The subject.
    pub(crate) subject: Option<String>,
    /// Roles: a list of text, or text separated by spaces.
    pub(crate) roles: Option<String>,
    /// Permissions: a list of text, or text separated by spaces.
    pub(crate) permissions: Option<String>,
    /// The tenant.
    pub(crate) tenant: Option<String>,
    /// Further tenants the bearer belongs to: a list of text, or text separated by spaces. Default none.
    pub(crate) tenants: Option<String>,
    /// The session.
    pub(crate) session: Option<String>,
}

/// How a token says that its bearer passed a second factor.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mfa {
    /// The token's `amr` holds one of these (RFC 8176).
    pub(crate) amr: Option<Vec<String>>,
    /// The token's `acr` is one of these.
    pub(crate) acr: Option<Vec<String>>,
    /// JSON Pointer to a claim that is `true`. Default none.
    pub(crate) claim: Option<String>,
}
