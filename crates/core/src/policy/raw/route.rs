//! `routes[]`, `times`, `compression`, `errors`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AsyncApi, Balance, Health, Messages, Origins, UpstreamTls};
use crate::policy::checked::OnFailure;
use crate::policy::checked::{Authenticate, CredentialPlace, ForwardedHeaders, PlainHttp, RefuseWith};
use crate::policy::human::{Bytes, OrOff, Span, Switch};

/// A path, its rules and its backend.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Connection type in metrics and events, counted separately; made from the path unless given.
    pub(crate) name: Option<String>,
    /// Path template: `/ws/{user_id}` takes one segment, `/{*rest}` all that follow.
    pub(crate) path: Option<String>,
    /// The backend: `ws://`, `wss://`, `http://` or `https://`, with a path prefix if you like.
    pub(crate) upstream: Option<String>,
    /// Several backends; excludes `upstream`.
    pub(crate) upstreams: Option<Vec<String>>,
    /// The gateway itself answers `GET` here with its figures, in a shape of yours; excludes `upstream`. See
    /// [statistics](statistics.md).
    pub(crate) statistics: Option<Statistics>,
    /// How one of several backends is chosen.
    pub(crate) balance: Option<Balance>,
    /// Backends are asked whether they are well. Default: they are not asked; one that does not answer a dial is tried last
    /// for 5 seconds.
    pub(crate) health: Option<Health>,
    /// Whose certificates are believed of backends with TLS.
    pub(crate) upstream_tls: Option<UpstreamTls>,
    /// How backends are told a client's address, scheme and host: `x_forwarded` (`X-Forwarded-For`, `-Proto`, `-Host`),
    /// `forwarded` (RFC 7239) or `both`. Copies that clients send are always taken out. Default `x_forwarded`.
    pub(crate) forwarded_headers: Option<ForwardedHeaders>,
    /// Overrides `identity.authenticate`.
    pub(crate) authenticate: Option<Authenticate>,
    /// Overrides `identity.credentials`.
    pub(crate) credentials: Option<Vec<CredentialPlace>>,
    /// Path parameter → the claim it must equal: `subject`, `tenant` or `session`. A caller without it is refused.
    pub(crate) bind: Option<BTreeMap<String, BoundClaim>>,
    /// Any one of these roles is needed, or one that inherits it. Default none.
    pub(crate) roles: Option<Vec<String>>,
    /// The permission that is needed, as `chat.join` or, with a parameter of the path, `room.join:{room}`. Default none.
    pub(crate) permission: Option<String>,
    /// Whether the token must say that its bearer passed a second factor (`identity.mfa`). Default `off`.
    pub(crate) mfa: Option<Switch>,
    /// The tenant that the route belongs to; callers of others are refused. Default none.
    pub(crate) tenant: Option<String>,
    /// An HTTP service that has the last word on every connection. Default none.
    pub(crate) authorizer: Option<Authorizer>,
    /// How a refusal is told: `status` (HTTP status in place of the upgrade) or `close` (an accepted
    /// handshake, closed at once with a code that a browser can read). Default `status`.
    pub(crate) refuse_with: Option<RefuseWith>,
    /// Plain HTTP on this path: `pass` or `block`. Default `block`.
    pub(crate) http: Option<PlainHttp>,
    /// Concurrent connections of one subject, or `off`. Default `off`.
    pub(crate) connections_per_user_max: Option<OrOff<u32>>,
    /// Routes of one group count a subject's connections together; each holds its own `connections_per_user_max` against the
    /// sum. Default none: the route counts alone.
    pub(crate) connections_per_user_group: Option<String>,
    /// Overrides `origins` key by key.
    pub(crate) origins: Option<Origins>,
    /// Subprotocols passed on; unset passes any that the client names.
    pub(crate) subprotocols: Option<Vec<String>>,
    /// Overrides `times` key by key.
    pub(crate) times: Option<Times>,
    /// Overrides `notices` key by key.
    pub(crate) notices: Option<Notices>,
    /// Overrides `compression` key by key.
    pub(crate) compression: Option<Compression>,
    /// Whether messages are inspected at all. Default `on`.
    pub(crate) checks: Option<Switch>,
    /// Overrides `messages.inbound` key by key.
    pub(crate) inbound: Option<Messages>,
    /// Overrides `messages.outbound` key by key.
    pub(crate) outbound: Option<Messages>,
    /// Overrides `messages.asyncapi` key by key.
    pub(crate) asyncapi: Option<OrOff<AsyncApi>>,
    /// Overrides `errors` key by key.
    pub(crate) errors: Option<ErrorReplies>,
    /// Most bytes waiting for a slow reader, for each direction of each connection; reading stops there. 4 KiB to 64 MiB.
    /// Default `256KiB`.
    pub(crate) queue_bytes_max: Option<Bytes>,
}

/// Figures in a shape of your own. Who may read them, `permission` or `roles` of the route say.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statistics {
    /// The answer: any JSON; a text such as `"{users}"` or `"{connections:chat}"` becomes that figure. At most 512 values.
    pub(crate) shape: Option<serde_json::Value>,
}

/// An external authorizer: asked by `POST` with JSON after every other check and before the backend is dialled.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authorizer {
    /// Where it is: `https://` or `http://`.
    pub(crate) url: Option<String>,
    /// Sent to it as `Authorization: Bearer`, inline. Prefer `token_file`.
    pub(crate) token: Option<String>,
    /// File that holds the token; the line end is cut off.
    pub(crate) token_file: Option<String>,
    /// Environment variable that holds the token.
    pub(crate) token_env: Option<String>,
    /// How long it may take, 50 milliseconds to 30 seconds. Default `2s`.
    pub(crate) timeout: Option<Span>,
    /// How long an answer that allows is remembered, unless it says a shorter `ttl`; at most 1 hour, `0s` asks every time.
    /// Default `10s`.
    pub(crate) cache_ttl: Option<Span>,
    /// Most answers remembered, on each route. About 700 bytes each. Default 10000.
    pub(crate) cache_entries_max: Option<u32>,
    /// What happens when it gives no answer: `deny` (503) or `allow` (with the credential's own rights, and an event). A
    /// refusal, or an answer that cannot be understood, always denies. Default `deny`.
    pub(crate) on_failure: Option<OnFailure>,
}

/// The claim a path parameter must equal.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BoundClaim {
    /// The subject.
    Subject,
    /// The tenant.
    Tenant,
    /// The session.
    Session,
}

/// Timeouts and heartbeats.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Times {
    /// Dial, TLS and the backend's answer together.
    pub(crate) upstream_connect: Option<Span>,
    /// The gateway pings each side this often, or `off`.
    pub(crate) ping_interval: Option<OrOff<Span>>,
    /// A side that sent nothing for this long, pongs included, is dead; or `off`.
    pub(crate) dead_after: Option<OrOff<Span>>,
    /// A connection without a message either way for this long is closed; or `off`.
    pub(crate) idle: Option<OrOff<Span>>,
    /// A connection's greatest age, or `off`.
    pub(crate) lifetime: Option<OrOff<Span>>,
    /// A reader that takes nothing for this long while bytes wait is closed.
    pub(crate) write: Option<Span>,
    /// From the gateway's Close frame to the hard end.
    pub(crate) close: Option<Span>,
}

/// Messages of the gateway's own, as JSON text (docs/authentication.md).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notices {
    /// The first message to a client is `{"type":"connected",…}`: who it is and which limits hold.
    pub(crate) connected: Option<Switch>,
    /// A client is told `{"type":"auth.expiring",…}` this long before its credential ends; or `off`.
    pub(crate) expiry_warning: Option<OrOff<Span>>,
    /// A client may bring another token: `{"type":"auth.refresh","token":…}`, which never reaches the backend.
    pub(crate) refresh: Option<Switch>,
}

/// permessage-deflate.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compression {
    /// Negotiated when the client offers it and the backend agrees.
    pub(crate) enabled: Option<Switch>,
    /// The window survives from message to message: smaller messages, 44 KiB more for each direction of a
    /// connection, and secrets sent beside chosen text can be guessed (CRIME).
    pub(crate) context_takeover: Option<Switch>,
    /// Most inflated bytes for each compressed byte, past the first MiB; 2 to 1000000. Deflate reaches
    /// 1032 at most, so a larger number looks at nothing.
    pub(crate) ratio_max: Option<u32>,
}

/// How clients are told.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorReplies {
    /// Helpful wording instead of generic.
    pub(crate) detailed: Option<Switch>,
    /// JSON text with `{message}`, `{code}`, `{reference}` and `{retry_after_ms}` where a text or number
    /// stands.
    pub(crate) template: Option<String>,
}
