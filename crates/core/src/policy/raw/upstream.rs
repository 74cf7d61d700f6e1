//! `routes[].balance`, `routes[].health`, `routes[].upstream_tls`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::checked::HealthQuestion;
use crate::policy::human::Span;

/// How one of several backends is chosen. One that is not well, or did not answer in the last 5 seconds, is tried last.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Balance {
    /// `least_connections` (the one with the fewest open connections) or `consistent_hash` (a caller keeps its backend, on
    /// every node and after a restart; when a backend goes, only its own callers move). Default `least_connections`.
    pub(crate) by: Option<BalanceBy>,
    /// With `consistent_hash`: `ip`, `user`, `tenant`, `session`, or a parameter of the path as `{room}`. A caller without
    /// it is told by its address. Default `ip`.
    pub(crate) on: Option<String>,
}

/// How one of several backends is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BalanceBy {
    /// The one with the fewest open connections.
    LeastConnections,
    /// The one that a caller belongs to.
    ConsistentHash,
}

/// Backends are asked whether they are well. One that is not gets no new connections while another is well; when none is,
/// all are tried. Open connections stay.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// `connect` (TCP, with TLS where the backend has it), `http` (a `GET` that is answered 200 to 299) or `handshake` (a
    /// WebSocket handshake that is answered 101). Default `connect`.
    pub(crate) check: Option<HealthQuestion>,
    /// The path that `http` and `handshake` ask for, as it stands: the path of `upstream` is not put before it. Default `/`.
    pub(crate) path: Option<String>,
    /// From one question to the next, 100 milliseconds to 1 hour. Default `10s`.
    pub(crate) interval: Option<Span>,
    /// The whole of a question, 10 milliseconds to 1 minute; no longer than `interval`. Default `2s`, or `interval` where
    /// that is shorter.
    pub(crate) timeout: Option<Span>,
    /// So many failures in a row make a backend unwell, 1 to 100. The first question after the start decides alone. Default
    /// 3.
    pub(crate) unhealthy_after: Option<u32>,
    /// So many successes in a row make it well again, 1 to 100. Default 2.
    pub(crate) healthy_after: Option<u32>,
}

/// Whose certificates are believed of `wss://` and `https://` backends.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamTls {
    /// PEM file with the authorities that a backend's certificate is verified with. Without it those of the system.
    pub(crate) ca_file: Option<String>,
    /// Public keys of which the backend's own certificate has to have one, besides being verified: `sha256/` and the base64 of
    /// the SHA-256 of its SubjectPublicKeyInfo. At most 16. Pin the next key too, or a new certificate shuts the route.
    /// Default none.
    pub(crate) pins: Option<Vec<String>>,
}
