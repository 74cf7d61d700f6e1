//! The policy after validation: plain values, every bound set, nothing optional that a default decides.
//!
//! `raw` produces this; the rooms compile their checks from it. No strings here stand for numbers,
//! times, networks or enums.

pub use crate::notice::Notices;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::message::leak::LeakClass;

mod admin;
mod binary;
mod callback;
mod certificate;
mod csrf;
mod geo;
mod html;
mod nodes;
mod provider;
mod renewal;
mod reputation;
mod schema;
mod seal;
mod session;
mod statistics;
mod subscription;
mod threat;
mod upstream;
mod user_group;

pub use super::limit::{Calendar, Defences, Factor, Floods, LimitKey, Measure, MessageLimit, Offenders, TypePattern};
pub use admin::{ADMIN_PERMISSIONS, AdminToken};
pub use binary::Binaries;
pub use callback::Callback;
pub use certificate::{CertificateName, ClientCertificates};
pub use csrf::{Csrf, CsrfTokens};
pub use geo::{Geo, ListLocation, ThreatListSpec};
pub use html::Html;
pub use nodes::{Sentinel, SharedState};
pub use provider::{Authorizer, BackchannelLogout, Introspection, LogoutEnds, OnFailure, Provider};
pub use renewal::TokenRenewal;
pub use reputation::{Anomalies, AnomalyAction, AttemptDelay, Reputation};
pub use schema::{Schemas, WithoutSchema};
pub use seal::{Seal, Unseal};
pub use session::{SameSite, SessionBinding, SessionCookie, Sessions, WhenFull};
pub use statistics::{Figure, Group, Of, SHAPE_VALUES_MAX, Shape};
pub use subscription::{Subscriptions, TopicAt};
pub use threat::{ThreatClass, ThreatOutcomes, Threats};
pub use upstream::{
    Balance, ForwardedHeaders, HashOn, HealthCheck, HealthQuestion, Upstream, UpstreamTrust, written_pin,
};

/// The preset a policy starts from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Loopback, helpful errors, anonymous callers welcome.
    Development,
    /// Between the two.
    Staging,
    /// Credentials, generic errors, threats blocked.
    Production,
    /// Production, with the figures of a deployment that holds money.
    HighSecurity,
}

/// A validated policy.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The preset it started from.
    pub environment: Environment,
    /// The client-facing listener.
    pub listen: Listen,
    /// The operator-facing listener.
    pub admin: Admin,
    /// Where what lasts is kept.
    pub state_dir: PathBuf,
    /// Where this gateway meets others; `None` where it is alone.
    pub shared_state: Option<SharedState>,
    /// How many, from where.
    pub sources: Sources,
    /// Which countries and networks may come.
    pub geo: Geo,
    /// What speaks against a source.
    pub reputation: Reputation,
    /// What is unusual for a user.
    pub anomalies: Anomalies,
    /// Lists of addresses that somebody warns of.
    pub threat_lists: Vec<ThreatListSpec>,
    /// Which web origins may open a WebSocket.
    pub origins: Origins,
    /// Keys and claims.
    pub identity: Identity,
    /// Roles and what they may.
    pub access: std::sync::Arc<crate::access::Roles>,
    /// What is recorded and for how long.
    pub audit: Audit,
    /// What changes limits for a time.
    pub defences: Defences,
    /// Path templates, most specific first is decided at compilation.
    pub routes: Vec<Route>,
}

/// The client-facing listener.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Bound address; port 0 picks one.
    pub address: SocketAddr,
    /// Worker threads; `None` is one a core.
    pub workers: Option<usize>,
    /// Certificate chain and key, PEM files.
    pub tls: Option<TlsFiles>,
    /// The operator's word that TLS ends before us.
    pub tls_terminated_by_proxy: bool,
    /// Peers whose word on the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How a trusted proxy tells the client's address.
    pub client_address: ClientAddressFrom,
    /// IPv6 clients are counted per network of this length, 1..=128.
    pub ipv6_prefix: u8,
    /// Bytes of request line and headers together.
    pub header_bytes_max: usize,
    /// Number of request headers.
    pub headers_max: usize,
    /// From accept to a complete request head.
    pub handshake_timeout: Duration,
    /// From the order to stop to the hard stop.
    pub drain_timeout: Duration,
    /// Connections held in all, handshakes included.
    pub connections_max: usize,
}

/// Certificate files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// Certificates of clients; none are asked for without.
    pub client_certificates: Option<ClientCertificates>,
}

/// How a trusted proxy tells the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddressFrom {
    /// The TCP peer is the client.
    Peer,
    /// `X-Forwarded-For`, read from the right past trusted proxies.
    XForwardedFor,
    /// `Forwarded` (RFC 7239), read the same way.
    Forwarded,
    /// PROXY protocol v1 or v2, required from trusted proxies, refused from others.
    ProxyProtocol,
}

/// The operator-facing listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Bound address; port 0 picks one.
    pub address: SocketAddr,
    /// Bearer token; `None` is allowed on loopback in development only.
    pub token: Option<Secret>,
    /// Further ones, each for a part of what the listener does.
    pub tokens: Vec<AdminToken>,
}

/// A secret value: printed as `[redacted]`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of secret bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the code that verifies.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where connections may come from, and how many.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Never banned nor rate-limited at admission.
    pub allow: Vec<IpNet>,
    /// Refused at once.
    pub deny: Vec<IpNet>,
    /// Connection attempts per client address.
    pub connection_rate: Option<Rate>,
    /// Attempts that wait, longer each time.
    pub attempt_delay: Option<AttemptDelay>,
    /// Concurrent connections per client address.
    pub connections_per_ip_max: Option<u32>,
    /// Failed authentications per client address; past it the address is refused for `ban_duration`.
    pub failed_auth_rate: Option<Rate>,
    /// Failed authentications per subject that a credential names; past it what names the subject waits.
    pub failed_auth_rate_per_subject: Option<Rate>,
    /// Open connections of anonymous callers.
    pub anonymous_connections_max: Option<u32>,
    /// How long an address that failed too often is refused.
    pub ban_duration: Duration,
    /// Addresses tracked at once; the oldest without penalties leave first.
    pub tracked_max: usize,
}

/// So many per so long, with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events allowed in one period; at least 1.
    pub count: u32,
    /// The period; more than zero.
    pub per: Duration,
    /// How many may come at once; equals `count` unless said.
    pub burst: u32,
    /// How it is counted.
    pub algorithm: RateAlgorithm,
}

/// How a rate is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateAlgorithm {
    /// Refilled evenly (generic cell rate algorithm); constant memory.
    TokenBucket,
    /// Two-bucket sliding window, weighted by overlap; constant memory.
    SlidingWindow,
}

/// Origin allow-list (CSWSH).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// Who may.
    pub allow: Vec<OriginRule>,
    /// `http://localhost:*`, `http://127.0.0.1:*`, `http://[::1]:*` as well; development only.
    pub localhost: bool,
    /// The gateway's own host as origin (`Origin` host equals `Host`).
    pub same_host: bool,
    /// A request without an Origin header (not a browser) may connect.
    pub missing_allowed: bool,
}

/// One line of an origin allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// Any origin; warned about.
    Any,
    /// Scheme, host and port, exactly.
    Exact(String),
    /// `https://*.example.com`: one or more labels below the suffix, never the bare domain.
    Subdomains {
        /// `https`.
        scheme: String,
        /// `example.com`.
        suffix: String,
        /// Only this port; `None` is the scheme's default.
        port: Option<u16>,
    },
    /// A regular expression that must match the whole origin.
    Regex(String),
}

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

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Whether events are stored at all.
    pub enabled: bool,
    /// Events older than this are swept.
    pub retention: Duration,
    /// Events waiting for the writer; past it low-severity ones are counted and lost.
    pub queue_max: usize,
    /// Accepted connections and allowed actions are recorded too, not refusals alone.
    pub record_allowed: bool,
}

/// A path template with its policy and its upstream.
#[derive(Debug, Clone)]
pub struct Route {
    /// Connection type, counted separately.
    pub name: String,
    /// `/ws/{user_id}`; `/{*rest}` matches the rest of a path.
    pub path: String,
    /// Where it leads; nowhere where the gateway answers with its `statistics`.
    pub upstreams: Vec<Upstream>,
    /// It answers with figures, in this shape.
    pub statistics: Option<Shape>,
    /// How one of them is chosen.
    pub balance: Balance,
    /// How it is known that one is well; `None` asks nothing.
    pub health: Option<HealthCheck>,
    /// How its clients' addresses are told to them.
    pub forwarded_headers: ForwardedHeaders,
    /// Whether a credential is needed.
    pub authenticate: Authenticate,
    /// Overrides [`Identity::credentials`].
    pub credentials: Option<Vec<CredentialPlace>>,
    /// Path parameter → the claim it must equal.
    pub bind: BTreeMap<String, BoundClaim>,
    /// Any one of these roles is needed, held or inherited; empty asks for none.
    pub roles: Vec<String>,
    /// The permission that is needed.
    pub permission: Option<crate::access::Need>,
    /// A second factor is demanded.
    pub mfa: bool,
    /// The tenant that the route belongs to.
    pub tenant: Option<String>,
    /// Who has the last word.
    pub authorizer: Option<Authorizer>,
    /// How a refusal is told.
    pub refuse_with: RefuseWith,
    /// Plain HTTP on this path.
    pub http: PlainHttp,
    /// Concurrent connections of one subject.
    pub connections_per_user_max: Option<u32>,
    /// The routes that count those together; never the name of a route.
    pub connections_per_user_group: Option<String>,
    /// Overrides the policy's origins.
    pub origins: Option<Origins>,
    /// Subprotocols passed on; `None` passes any the client names.
    pub subprotocols: Option<Vec<String>>,
    /// Timeouts and heartbeats.
    pub times: Times,
    /// What the gateway itself says on a connection, and hears.
    pub notices: Notices,
    /// permessage-deflate.
    pub compression: Compression,
    /// Whether messages are inspected at all.
    pub checks: bool,
    /// Client to server.
    pub inbound: Messages,
    /// Server to client.
    pub outbound: Messages,
    /// How clients are told.
    pub errors: ErrorReplies,
    /// Bytes waiting for a slow reader, per direction; reading stops there.
    pub queue_bytes_max: usize,
}

/// Whether a credential is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authenticate {
    /// No valid credential, no connection.
    Required,
    /// A credential is verified when present and refused when bad; without one the caller is anonymous.
    Optional,
    /// Credentials are not looked at; everyone is anonymous.
    Off,
}

/// The claim a path parameter must equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundClaim {
    /// The subject.
    Subject,
    /// The tenant.
    Tenant,
    /// The session id.
    Session,
}

/// How a refusal is told (SPEC 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefuseWith {
    /// An HTTP status in place of the 101.
    Status,
    /// An accepted handshake closed at once with a code that a browser can read.
    Close,
}

/// What happens to plain HTTP on a route's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlainHttp {
    /// Proxied to the upstream, identity headers added, after admission's source and origin checks.
    Pass,
    /// Refused.
    Block,
}

/// Timeouts and heartbeats. Zero durations do not occur; `None` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Dial, TLS and the upstream's 101 together.
    pub upstream_connect: Duration,
    /// The gateway pings each leg this often.
    pub ping_interval: Option<Duration>,
    /// A leg that sent nothing for this long is dead.
    pub dead_after: Option<Duration>,
    /// No message either way for this long.
    pub idle: Option<Duration>,
    /// A connection's absolute age.
    pub lifetime: Option<Duration>,
    /// A reader that takes nothing for this long while bytes wait is closed.
    pub write: Duration,
    /// From our Close frame to the hard end.
    pub close: Duration,
}

/// permessage-deflate (RFC 7692).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// Negotiated when the client offers it and the upstream agrees.
    pub enabled: bool,
    /// The window survives from message to message: better ratio, 44 KiB a direction.
    pub context_takeover: bool,
    /// Inflated bytes per compressed byte, past the first MiB.
    pub ratio_max: u32,
}

/// What may be said in one direction.
#[derive(Debug, Clone)]
pub struct Messages {
    /// Payload of one message after inflating.
    pub bytes_max: u64,
    /// Frames of one message.
    pub fragments_max: u32,
    /// Messages that may wait for a slow reader; `None` counts bytes alone.
    pub queue_max: Option<u32>,
    /// Text messages may pass.
    pub text: bool,
    /// Binary messages may pass.
    pub binary: bool,
    /// What binary messages may be; `None` does not look.
    pub binaries: Option<Binaries>,
    /// Pings and pongs from the peer.
    pub control_rate: Option<Rate>,
    /// Message limits; all apply, the strictest wins.
    pub limits: Vec<MessageLimit>,
    /// The ladder of waits for repeat offenders; `None` is off.
    pub offenders: Option<Offenders>,
    /// JSON.
    pub json: Json,
    /// Fields that a message carries about itself; `None` does not look.
    pub envelope: Option<Envelope>,
    /// What a message of a type must look like; `None` does not look.
    pub schemas: Option<Schemas>,
    /// Who may say what.
    pub access: crate::access::MessageAccess,
    /// Types that demand a token against cross-site request forgery.
    pub csrf: Option<Csrf>,
    /// Of what clients say: what subscribes them to a topic.
    pub subscriptions: Option<Subscriptions>,
    /// Of what clients hear: types that reach only who subscribed to their topic.
    pub subscribed: Vec<TopicAt>,
    /// Threat detection; `None` is off.
    pub threats: Option<Threats>,
    /// Detection of what must not leave; `None` is off.
    pub leaks: Option<Leaks>,
    /// Fields that hold HTML; `None` does not look.
    pub html: Option<Html>,
    /// Pointers of fields whose values are made unreadable.
    pub mask: Vec<String>,
    /// Fields that are sealed.
    pub seal: Option<Seal>,
    /// Fields that are opened.
    pub unseal: Option<Unseal>,
    /// Endpoints that are asked about messages.
    pub callbacks: Vec<std::sync::Arc<Callback>>,
    /// What happens to a refused message unless the check says otherwise.
    pub on_refuse: OnRefuse,
}

/// Strict JSON (RFC 8259).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json {
    /// Which text messages must be JSON.
    pub mode: JsonMode,
    /// Nesting.
    pub depth_max: u32,
    /// Object keys in one message.
    pub keys_max: u32,
    /// Values in one message.
    pub values_max: u32,
    /// Bytes of one string, decoded.
    pub string_bytes_max: u32,
}

/// Which text messages must be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JsonMode {
    /// Every text message.
    Required,
    /// One whose first non-space byte is `{` or `[` must be well-formed; other text is plain text.
    Detect,
    /// Text is text.
    Off,
}

/// The envelope (SPEC 8.3). Pointers are RFC 6901.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where the type stands.
    pub type_at: String,
    /// Where the id stands.
    pub id_at: String,
    /// Where the timestamp stands.
    pub timestamp_at: String,
    /// Pointers that must be present.
    pub required: Vec<String>,
    /// Types that may pass; `None` allows any.
    pub types: Option<Vec<String>>,
    /// Distance from the wall clock tolerated; `None` does not look.
    pub timestamp_tolerance: Option<Duration>,
    /// What a timestamp counts.
    pub timestamp_unit: TimestampUnit,
    /// Ids remembered; 0 does not look.
    pub replay_ids_max: u32,
    /// Whose are remembered together.
    pub replay_per: ReplayPer,
}

/// Whose message ids are remembered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPer {
    /// Of each connection.
    #[default]
    Connection,
    /// Of a user's connections.
    User,
}

/// What a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// Seconds, a fraction allowed.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// Detection of what must not leave: what happens per class. A class that is not named is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaks {
    /// Class → outcome.
    pub classes: BTreeMap<LeakClass, OnRefuse>,
    /// Different e-mail addresses in one message that are not yet bulk.
    pub records_max: usize,
}

/// What happens to a message that a check refuses (SPEC 8.10).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnRefuse {
    /// Passed on; an event says what would have been done.
    Observe,
    /// Passed on with what was found made unreadable. Of leaks only; written there as `mask`.
    #[serde(skip)]
    #[schemars(skip)]
    Mask,
    /// Passed on without what its HTML may not hold. Of fields under `html`, and of `xss`; written there as `sanitize`.
    #[serde(skip)]
    #[schemars(skip)]
    Sanitize,
    /// Passed on as a callback wrote it anew. Of callbacks that `may_rewrite` only.
    #[serde(skip)]
    #[schemars(skip)]
    Replace,
    /// Dropped in silence; an event says so.
    Drop,
    /// Dropped, and the sender is told.
    Reply,
    /// Dropped, and the connection is closed with the reason's code.
    Close,
}

impl OnRefuse {
    /// Whether the message goes on, as it came or otherwise.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Observe | Self::Mask | Self::Sanitize | Self::Replace)
    }
}

/// How clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReplies {
    /// Helpful wording (development) or generic.
    pub detailed: bool,
    /// JSON text with `{message}`, `{code}`, `{reference}`, `{retry_after_ms}` inside string or number
    /// positions; values are JSON-escaped.
    pub template: String,
}
