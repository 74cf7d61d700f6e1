//! Routes, their times, compression, and how their clients are told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Authorizer, Balance, CredentialPlace, ForwardedHeaders, HealthCheck, Messages, Notices, Origins, Shape, Upstream,
};

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

/// How clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReplies {
    /// Helpful wording (development) or generic.
    pub detailed: bool,
    /// JSON text with `{message}`, `{code}`, `{reference}`, `{retry_after_ms}` inside string or number
    /// positions; values are JSON-escaped.
    pub template: String,
}
