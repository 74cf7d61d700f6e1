//! The one table: reason → close code, HTTP status, public words, internal words, metric label.
//!
//! A check returns a [`Reason`], never a string. Everything said about it, to a client, to the audit, in a
//! metric or by `explain`, is derived here and nowhere else. Close codes are those of RFC 6455 7.4.1 and
//! the private range 4000–4999 (SPEC 2.2: 4001 unauthenticated, 4003 forbidden, 4008 too many).

use serde::Serialize;

/// What kind of fact it is (SPEC 10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Who is calling.
    Authentication,
    /// What they may do.
    Authorization,
    /// What passed.
    DataAccess,
    /// What an operator did.
    Administration,
    /// Everything hostile or malformed.
    Security,
}

impl Category {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Authentication, Self::Authorization, Self::DataAccess, Self::Administration, Self::Security];

    /// The name in events and searches.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::DataAccess => "data_access",
            Self::Administration => "administration",
            Self::Security => "security",
        }
    }
}

/// How bad it is (SPEC 10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Ordinary.
    Low,
    /// Worth counting.
    Medium,
    /// Worth looking at.
    High,
    /// Worth waking someone.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: &[Self] = &[Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in events and searches.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Stable name: metric label, event field, what `explain` looks up.
    pub label: &'static str,
    /// The code a close carries.
    pub close_code: u16,
    /// The status where there is no WebSocket yet.
    pub http_status: u16,
    /// What kind of fact.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// What a client is told in production; tells nothing that helps to get past.
    pub public: &'static str,
    /// What a client is told where errors are detailed, and what the audit says.
    pub internal: &'static str,
    /// What its reader can do about it.
    pub advice: &'static str,
}

macro_rules! table {
    ($( $(#[doc = $doc:literal])* $name:ident = $label:literal, $close:literal, $http:literal, $category:ident, $severity:ident,
        $public:literal, $internal:literal, $advice:literal; )*) => {
        /// Why something was refused, closed or noted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $( $(#[doc = $doc])* #[doc = $internal] $name, )* }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// Its row.
            #[must_use]
            pub const fn row(self) -> Row {
                match self { $( Self::$name => Row {
                    label: $label, close_code: $close, http_status: $http,
                    category: Category::$category, severity: Severity::$severity,
                    public: $public, internal: $internal, advice: $advice,
                }, )* }
            }
        }
    };
}

table! {
    // capacity and sources
    ServerFull = "server_full", 1013, 503, Security, High, "Service unavailable", "the gateway holds as many connections as `listen.connections_max` allows", "raise the limit, or add a node";
    Draining = "draining", 1012, 503, Administration, Low, "Service restarting", "the gateway is shutting down", "connect again after a moment";
    SourceDenied = "source_denied", 4003, 403, Security, Medium, "Access denied", "the address is on `sources.deny`", "take the network off the list";
    ThreatListed = "threat_listed", 4003, 403, Security, High, "Access denied", "the address is on a threat list", "look at `threat_list` in the event; put the address on `sources.allow` if it is honest";
    CountryRefused = "country_refused", 4003, 403, Security, Medium, "Access denied", "`geo` does not let the address's country in", "look at `country` in the event; change `geo`, or put the address on `sources.allow`";
    NetworkRefused = "network_refused", 4003, 403, Security, Medium, "Access denied", "`geo` does not let the address's network (autonomous system) in", "look at `network` in the event; change `geo`, or put the address on `sources.allow`";
    SourceBanned = "source_banned", 4003, 403, Security, Medium, "Access denied", "the address is banned: after repeated failures, or by an operator", "wait until the ban ends, or lift it with `portcullis unban`";
    ConnectionRate = "connection_rate", 4008, 429, Security, Medium, "Too many connections", "too many connection attempts from this address", "slow down; `sources.connection_rate` sets the rate";
    ConnectionsPerIp = "connections_per_ip", 4008, 429, Security, Medium, "Too many connections", "too many open connections from this address", "close some; `sources.connections_per_ip_max` sets the number";
    Lockdown = "lockdown", 1013, 503, Security, Medium, "Locked down: sign in, or come back later", "a lockdown is in force: anonymous callers are not served", "sign in, or wait; `portcullis lockdown` shows and ends it";
    // origin
    OriginRefused = "origin_refused", 4003, 403, Security, High, "Access denied", "the Origin is not on the allow-list", "add it to `origins.allow` if it is yours";
    OriginMissing = "origin_missing", 4003, 403, Security, Medium, "Access denied", "the request carries no Origin", "set `origins.missing: allow` for clients that are not browsers";
    // handshake
    HandshakeMalformed = "handshake_malformed", 1002, 400, Security, Medium, "Bad request", "the handshake is malformed (RFC 6455 4.1)", "use a WebSocket client";
    HandshakeVersion = "handshake_version", 1002, 426, Security, Low, "Upgrade required", "only WebSocket version 13 is spoken (RFC 6455 4.4)", "use a current WebSocket client";
    HandshakeTooLarge = "handshake_too_large", 1009, 431, Security, Medium, "Request header fields too large", "the request head is larger than `listen.header_bytes_max` or `listen.headers_max` allows", "send fewer or shorter headers";
    HandshakeTimeout = "handshake_timeout", 1008, 408, Security, Medium, "Request timeout", "the request head did not arrive within `listen.handshake_timeout`", "send it faster";
    ProxyHeaderInvalid = "proxy_header_invalid", 1002, 400, Security, High, "Bad request", "the PROXY protocol header is missing, malformed or from an untrusted peer", "check `listen.trusted_proxies` and the proxy's settings";
    // route
    RouteUnknown = "route_unknown", 4004, 404, Security, Low, "Not found", "no route matches the path", "add the path to `routes`";
    HttpBlocked = "http_blocked", 1002, 426, Security, Low, "Upgrade required", "the route takes WebSocket handshakes only", "set `http: pass` on the route to proxy plain HTTP";
    // identity
    CredentialMissing = "credential_missing", 4001, 401, Authentication, Low, "Authentication required", "no credential was found where the route looks for one", "send a token; `credentials` lists the places";
    CredentialInvalid = "credential_invalid", 4001, 401, Authentication, Medium, "Authentication failed", "the credential is malformed", "send a token as your identity provider issued it";
    TokenSignature = "token_signature", 4001, 401, Authentication, High, "Authentication failed", "the token's signature does not verify", "check that issuer and gateway use the same key";
    TokenAlgorithm = "token_algorithm", 4001, 401, Authentication, High, "Authentication failed", "the token names an algorithm its key is not pinned to", "pin the issuer's algorithm in `identity.keys`";
    TokenKeyUnknown = "token_key_unknown", 4001, 401, Authentication, Medium, "Authentication failed", "no key is known for this token", "check `kid` and the key sets in `identity.jwks`";
    CredentialRevoked = "credential_revoked", 4001, 401, Authentication, High, "Authentication failed", "the credential was revoked: its token, session, user or tenant", "sign in again; `portcullis bans` lists what is revoked";
    RefreshSubject = "refresh_subject", 4001, 401, Authentication, High, "Authentication failed", "the token that was to renew a connection is another subject's or tenant's", "renew with a token of the same user; connect again as another";
    RefreshTooOften = "refresh_too_often", 4008, 429, Security, Low, "Rate limit exceeded", "credentials were renewed too often on one connection", "renew when the warning comes, and wait for its answer";
    CredentialRefreshed = "credential_refreshed", 1000, 200, Authentication, Low, "Done", "a connection's credential was renewed", "nothing to do";
    CredentialRenewed = "credential_renewed", 1000, 200, Authentication, Low, "Done", "a connection's token was renewed by the gateway", "nothing to do";
    RenewalRefused = "renewal_refused", 4001, 401, Authentication, Low, "Sign in again", "the gateway does not renew this token", "sign in again; `identity.renewal` says which tokens are renewed, and for how long";
    TicketInvalid = "ticket_invalid", 4001, 401, Authentication, Medium, "Authentication failed", "the ticket is unknown, was used, or is at its end", "fetch a ticket right before connecting; each opens one connection";
    TicketForeign = "ticket_foreign", 4001, 401, Authentication, High, "Authentication failed", "the ticket was issued for another route or address", "use a ticket where it was fetched for";
    TicketsFull = "tickets_full", 4008, 429, Security, Medium, "Too many requests", "too many tickets wait to be used, of this subject or in all", "use the tickets that were issued";
    TicketIssued = "ticket_issued", 1000, 200, Authentication, Low, "Done", "a one-time ticket was issued", "nothing to do";
    CertificateName = "certificate_name", 4001, 401, Authentication, Medium, "Authentication failed", "the client certificate has not exactly one name of the kind that is the subject", "issue certificates with one; `listen.tls.client_certificates.subject` says which";
    SessionInvalid = "session_invalid", 4001, 401, Authentication, Medium, "Authentication failed", "the session is unknown: it ended, was revoked, or was not issued here", "sign in again";
    SessionIdle = "session_idle", 4001, 401, Authentication, Low, "Authentication failed", "the session was not used for as long as `identity.sessions.idle_timeout`", "sign in again";
    SessionExpired = "session_expired", 4001, 401, Authentication, Low, "Authentication failed", "the session reached `identity.sessions.lifetime`", "sign in again";
    SessionForeign = "session_foreign", 4001, 401, Authentication, High, "Authentication failed", "the session was shown from another address or user agent than it is bound to", "find out whether it was stolen; `identity.sessions.bind_to` says what it is bound to";
    SessionAltered = "session_altered", 4001, 401, Authentication, Critical, "Authentication failed", "the session's record does not fit its seal: somebody changed it in the store", "find out who can write to the state folder; revoke the session";
    SessionsFull = "sessions_full", 4008, 429, Security, Medium, "Too many sessions", "the user has as many sessions as `identity.sessions.max_per_user` allows, or there are too many in all", "end one; `portcullis session list` shows them";
    SessionRate = "session_rate", 4008, 429, Security, Medium, "Too many sessions", "the user asks for sessions more often than `identity.sessions.rate_per_user` allows", "wait as long as `Retry-After` says; find out why sessions are not kept";
    SessionsUnavailable = "sessions_unavailable", 1013, 503, Authentication, High, "Service unavailable", "the session could not be written to the state folder", "check the disk and the log";
    SessionIssued = "session_issued", 1000, 200, Authentication, Low, "Done", "a session was issued in exchange for a credential", "nothing to do";
    SessionEnded = "session_ended", 1000, 200, Authentication, Low, "Done", "a session ended", "nothing to do; the detail says how";
    LogoutInvalid = "logout_invalid", 1002, 400, Authentication, High, "Bad request", "what was posted is no logout token of the provider, or one that was seen before", "check the provider's client and `identity.providers[].backchannel_logout`";
    LogoutReceived = "logout_received", 1000, 200, Authentication, Low, "Done", "an identity provider said that somebody signed out", "nothing to do";
    TokenExpired = "token_expired", 4001, 401, Authentication, Low, "Authentication failed", "the token has expired", "fetch a new token";
    TokenNotYetValid = "token_not_yet_valid", 4001, 401, Authentication, Medium, "Authentication failed", "the token is not valid yet", "check the clocks";
    TokenIssuer = "token_issuer", 4001, 401, Authentication, Medium, "Authentication failed", "the token's issuer is not accepted", "add it to `identity.issuers`";
    TokenAudience = "token_audience", 4001, 401, Authentication, Medium, "Authentication failed", "the token is meant for another audience or party", "add it to `identity.audiences` or `identity.authorized_parties`";
    TokenClaims = "token_claims", 4001, 401, Authentication, Medium, "Authentication failed", "a claim is missing or has the wrong type", "check `identity.claims`";
    KeysUnavailable = "keys_unavailable", 1013, 503, Authentication, High, "Service unavailable", "no key set could be fetched to verify the token", "check that the gateway reaches the JWKS URL or the identity provider: `portcullis doctor`";
    TokenInactive = "token_inactive", 4001, 401, Authentication, Medium, "Authentication failed", "the identity provider says that the token is not active", "fetch a new token";
    IntrospectionUnavailable = "introspection_unavailable", 1013, 503, Authentication, High, "Service unavailable", "the introspection endpoint gave no answer that could be used", "check `identity.introspection`: URL, client and secret, and that the gateway reaches it";
    KeySourceFailed = "key_source_failed", 1000, 503, Administration, High, "Service unavailable", "a key set or identity provider could not be read; the keys it gave before stay in force", "see the detail; `portcullis doctor` asks it again";
    KeySourceAnswers = "key_source_answers", 1000, 200, Administration, Low, "Done", "a key set or identity provider answers again", "nothing to do";
    AuthenticationTimeout = "authentication_timeout", 4001, 401, Authentication, Low, "Authentication required", "no credential came as first message in time", "send it right after the handshake";
    AuthenticationRate = "authentication_rate", 4008, 429, Authentication, High, "Too many attempts", "too many failed authentications from this address", "wait; `sources.failed_auth_rate` sets the rate";
    // access
    PathBinding = "path_binding", 4003, 403, Authorization, High, "Access denied", "a path parameter does not equal the claim it is bound to", "connect to your own path";
    TenantCrossing = "tenant_crossing", 4003, 403, Authorization, Critical, "Access denied", "a route or message belongs to another tenant than the principal", "find out who tried: `portcullis audit search --type tenant_crossing`; a tenant's data stays with it";
    PrincipalBanned = "principal_banned", 4003, 403, Authorization, High, "Access denied", "the user, session, token or tenant is banned by an operator", "wait until the ban ends, or lift it with `portcullis unban`";
    RoleMissing = "role_missing", 4003, 403, Authorization, Medium, "Access denied", "the principal has none of the roles the route asks for", "grant the role, or change `routes[].roles`";
    MfaRequired = "mfa_required", 4003, 403, Authentication, Medium, "Additional authentication required", "the route, a role or the message type demands a second factor, and the credential shows none", "sign in with a second factor; `identity.mfa` says how a token shows it";
    SubscriptionsFull = "subscriptions_full", 4008, 429, Security, Low, "Too many subscriptions", "the connection has as many topics as `subscriptions.max` allows", "unsubscribe from some, or raise `subscriptions.max`";
    SubscriptionUnclear = "subscription_unclear", 4003, 403, Authorization, Medium, "Access denied", "a message about a topic does not name one", "name it where the type's pointer in `subscriptions` or `subscribed` says";
    NotSubscribed = "not_subscribed", 4003, 403, Authorization, Low, "Access denied", "a message of a topic that the client did not subscribe to", "subscribe first; the backend should send it to subscribers only";
    CsrfMissing = "csrf_missing", 4003, 403, Authorization, High, "Access denied", "a message of a type under `csrf` carries no token", "fetch one from `identity.csrf.path` and send it along";
    CsrfInvalid = "csrf_invalid", 4003, 403, Authorization, High, "Access denied", "the token of a message is forged, over, used, or was issued for something else", "fetch a new one for this type of message";
    StatisticsRead = "statistics_read", 1000, 200, DataAccess, Low, "Done", "somebody read the figures of a route under `statistics`", "nothing to do";
    CsrfIssued = "csrf_issued", 1000, 201, Authentication, Low, "Created", "a token against cross-site request forgery was issued", "nothing to do";
    GuestRefused = "guest_refused", 4001, 401, Authorization, Medium, "Authentication required", "an anonymous caller may not send or receive this type of message", "sign in, or add the type to `guest_types`";
    PermissionDenied = "permission_denied", 4003, 403, Authorization, Medium, "Access denied", "the principal lacks the permission that the route or the message type asks for", "grant it in `access.roles`; `portcullis access` shows who has what";
    AuthorizerDenied = "authorizer_denied", 4003, 403, Authorization, Medium, "Access denied", "the route's external authorizer refused the principal", "see the detail; grant the right there";
    AuthorizerUnavailable = "authorizer_unavailable", 1013, 503, Authorization, High, "Service unavailable", "the route's external authorizer gave no answer that could be used", "check `routes[].authorizer`, and that the gateway reaches it";
    SubjectRate = "subject_rate", 4008, 429, Authentication, High, "Too many attempts", "too many failed authentications with credentials that name this subject", "wait; `sources.failed_auth_rate_per_subject` sets the rate; the events before say from which addresses";
    AnonymousFull = "anonymous_full", 4008, 429, Security, Medium, "Too many connections", "there are as many anonymous connections as `sources.anonymous_connections_max` allows", "sign in, or wait until some leave";
    KeySourcePartial = "key_source_partial", 1000, 200, Administration, Medium, "Done", "keys of a key set were left out: unusable, of another purpose, or of an id that another key has", "see the detail; `portcullis doctor` lists the keys that are used";
    ConnectionsPerUser = "connections_per_user", 4008, 429, Security, Medium, "Too many connections", "the user has as many connections as the route or its group allows", "close one; `connections_per_user_max` sets the number";
    // upstream
    UpstreamUnreachable = "upstream_unreachable", 1014, 502, DataAccess, High, "Bad gateway", "the backend could not be reached", "check that the backend runs at the route's `upstream`";
    UpstreamUntrusted = "upstream_untrusted", 1014, 502, Security, Critical, "Bad gateway", "the backend's certificate is not believed: not verified, or its key is not pinned", "see the detail; `upstream_tls` of the route says whose certificates are believed";
    UpstreamTimeout = "upstream_timeout", 1014, 504, DataAccess, High, "Gateway timeout", "the backend did not answer in time", "check the backend; `times.upstream_connect` sets the time";
    UpstreamRefused = "upstream_refused", 1014, 502, DataAccess, Medium, "Bad gateway", "the backend refused the handshake", "see the status the backend gave";
    UpstreamProtocol = "upstream_protocol", 1014, 502, DataAccess, High, "Bad gateway", "the backend broke the WebSocket protocol", "check the backend's WebSocket library";
    UpstreamGone = "upstream_gone", 1014, 502, DataAccess, Medium, "Bad gateway", "the backend ended the connection without a close", "check the backend's logs";
    // the connection's life
    ProtocolError = "protocol_error", 1002, 400, Security, Medium, "Protocol error", "a frame breaks RFC 6455", "use a conforming WebSocket client";
    InvalidUtf8 = "invalid_utf8", 1007, 400, Security, Medium, "Invalid data", "a text message is not UTF-8 (RFC 6455 8.1)", "send binary data as binary messages";
    MessageTooLarge = "message_too_large", 1009, 413, Security, Medium, "Message too large", "a message is larger than the route allows", "send less; `bytes_max` sets the size";
    TooManyFragments = "too_many_fragments", 1008, 413, Security, High, "Policy violation", "a message came in more fragments than the route allows", "send larger fragments; `fragments_max` sets the number";
    CompressionBomb = "compression_bomb", 1009, 413, Security, High, "Message too large", "a compressed message inflates to more than `compression.ratio_max` times its size", "raise `compression.ratio_max` if such messages are yours";
    ControlFlood = "control_flood", 1008, 429, Security, High, "Policy violation", "too many ping or pong frames", "slow down; `control_rate` sets the rate";
    SlowReader = "slow_reader", 1008, 408, Security, Medium, "Policy violation", "the peer takes no data while more waits for it", "read faster; `times.write` sets the time, `queue_max` of the direction the number of messages";
    HeartbeatLost = "heartbeat_lost", 1001, 408, DataAccess, Low, "Connection lost", "nothing was heard from the peer, pings included", "answer pings; `times.dead_after` sets the time";
    IdleTimeout = "idle_timeout", 1001, 408, DataAccess, Low, "Idle timeout", "no message went either way", "connect again when there is something to say; `times.idle` sets the time";
    LifetimeReached = "lifetime_reached", 1001, 408, DataAccess, Low, "Connection lifetime reached", "the connection reached its maximum age", "connect again; `times.lifetime` sets the age";
    // messages
    MessageRate = "message_rate", 1008, 429, Security, Medium, "Rate limit exceeded", "more messages than a limit allows", "slow down; wait `retry_after_ms`";
    MessageDelayed = "message_delayed", 1008, 429, Security, Low, "Done", "more messages than a limit allows; they passed, and their sender is not read for a while", "slow down; `on_excess` of the limit says that it delays";
    OffenderWaits = "offender_waits", 1008, 429, Security, Low, "Rate limit exceeded", "the sender was refused again and again and has to wait", "wait `retry_after_ms`; `offenders` sets the times";
    OffenderSlowed = "offender_slowed", 1008, 429, Security, High, "Rate limit exceeded", "a sender that was refused again and again earned a wait", "look at its refused messages; `offenders` sets the steps";
    KindRefused = "kind_refused", 1003, 415, Security, Medium, "Message refused", "the route does not take this kind of message (text or binary)", "allow it with `text` or `binary` on the route";
    BinaryKind = "binary_kind", 1003, 415, Security, Medium, "Message refused", "a binary message is of a kind that the route does not take", "see the kind in the detail; `binaries.kinds` names those that may pass";
    BinaryMalformed = "binary_malformed", 1007, 400, Security, Medium, "Message refused", "a binary message is not what `binaries.read_as` says, or holds what JSON cannot say", "see the detail; send well-formed MessagePack or CBOR of plain values";
    BinaryRewritten = "binary_rewritten", 1008, 403, DataAccess, Medium, "Message refused", "a binary message was to be changed in a way that its format cannot say", "see the detail; take the field out of `mask`, `html` or `seal`, or send such messages as text";
    CallbackRefused = "callback_refused", 1008, 403, Authorization, Medium, "Message refused", "a callback of the route refused a message", "see the callback's name and reason in the event";
    CallbackReplaced = "callback_replaced", 1008, 403, DataAccess, Low, "Message changed", "a callback of the route put another message in its place", "see the callback's name and reason in the event; `may_rewrite` allows it";
    CallbackUnavailable = "callback_unavailable", 1013, 503, Authorization, High, "Service unavailable", "a callback of the route gave no answer that could be used", "check `callbacks` of the direction, and that the gateway reaches it";
    CustomRefused = "custom_refused", 1008, 403, Security, Medium, "Message refused", "a check that was added to the program refused a message", "see the check and the detail";
    SealFailed = "seal_failed", 1011, 500, DataAccess, Critical, "Message refused", "a field could not be sealed, and does not go on open", "see that the system gives random numbers";
    SealBroken = "seal_broken", 1008, 403, Security, Critical, "Message refused", "a sealed field does not open: changed, moved, of another tenant, or of a key that is gone", "see the detail; keep old keys in `sealing.keys` until nothing is sealed with them";
    FieldTooLarge = "field_too_large", 1009, 413, Security, Medium, "Message refused", "a string in the message is longer than the route allows", "send less; `json.string_bytes_max` sets the size";
    JsonMalformed = "json_malformed", 1007, 400, Security, Medium, "Message refused", "the message is not JSON (RFC 8259)", "send well-formed JSON";
    JsonDuplicateKey = "json_duplicate_key", 1007, 400, Security, High, "Message refused", "an object has the same key twice", "send each key once";
    JsonTooDeep = "json_too_deep", 1008, 400, Security, High, "Message refused", "the message nests deeper than the route allows", "`json.depth_max` sets the depth";
    JsonTooMany = "json_too_many", 1008, 400, Security, High, "Message refused", "the message has more keys or values than the route allows", "`json.keys_max` and `json.values_max` set the numbers";
    EnvelopeMissing = "envelope_missing", 1008, 400, Security, Low, "Message refused", "a required field is missing or has the wrong type", "send every field `envelope.required` names";
    TypeRefused = "type_refused", 1008, 403, Authorization, Medium, "Message refused", "the message type is not on the list", "add it to `envelope.types`, or to `schemas`";
    SchemaViolation = "schema_violation", 1008, 400, Security, Medium, "Message refused", "the message breaks the schema of its type", "see the field and the rule; correct the message, or its schema in `schemas`";
    TimestampSkew = "timestamp_skew", 1008, 400, Security, Medium, "Message refused", "the timestamp is too far from the present", "check the clock; `envelope.timestamp_tolerance` sets the distance";
    HtmlSanitized = "html_sanitized", 1008, 403, Security, Medium, "Message changed", "a field held HTML that the policy does not allow, and went on without it", "see the finding; allow what is honest under `html`";
    Replayed = "replayed", 1008, 409, Security, High, "Message refused", "a message with this id was seen before", "use a new id for each message";
    ThreatSqli = "threat_sqli", 1008, 403, Security, High, "Message refused", "a string closes its context and goes on as SQL", "see the finding; observe the class or skip the field if it is honest";
    ThreatNosql = "threat_nosql", 1008, 403, Security, High, "Message refused", "a query operator stands where data belongs", "see the finding; observe the class or skip the field if it is honest";
    ThreatXss = "threat_xss", 1008, 403, Security, High, "Message refused", "a browser would execute a part of a string", "see the finding; observe the class or skip the field if it is honest";
    ThreatCommand = "threat_command", 1008, 403, Security, Critical, "Message refused", "a shell would run a part of a string", "see the finding; observe the class or skip the field if it is honest";
    ThreatTraversal = "threat_traversal", 1008, 403, Security, High, "Message refused", "a string climbs out of a folder", "see the finding; observe the class or skip the field if it is honest";
    ThreatTemplate = "threat_template", 1008, 403, Security, High, "Message refused", "a template engine would evaluate a part of a string", "see the finding; observe the class or skip the field if it is honest";
    ThreatLdap = "threat_ldap", 1008, 403, Security, High, "Message refused", "a string closes an LDAP filter and opens another", "see the finding; observe the class or skip the field if it is honest";
    ThreatXxe = "threat_xxe", 1008, 403, Security, High, "Message refused", "a document declares an external entity", "see the finding; observe the class or skip the field if it is honest";
    ThreatLookup = "threat_lookup", 1008, 403, Security, Critical, "Message refused", "a logger would resolve a lookup in a string", "see the finding; observe the class or skip the field if it is honest";
    // what must not leave
    LeakCredential = "leak_credential", 1008, 403, DataAccess, Critical, "Message refused", "a message holds a credential or key", "see the finding; stop the backend from sending it, or observe the class";
    LeakCard = "leak_card", 1008, 403, DataAccess, High, "Message refused", "a message holds a payment card number", "see the finding; stop the backend from sending it, or observe the class";
    LeakPersonal = "leak_personal", 1008, 403, DataAccess, High, "Message refused", "a message holds a national number or bank account", "see the finding; stop the backend from sending it, or observe the class";
    LeakError = "leak_error", 1008, 403, DataAccess, Medium, "Message refused", "a message holds an error of a database or program", "answer with an error of your own; details belong in the log";
    LeakBulk = "leak_bulk", 1008, 403, DataAccess, High, "Message refused", "a message holds records of many persons", "raise `leaks.records_max` if it is honest";
    // what is noted, not refused
    ConnectionAccepted = "connection_accepted", 1000, 101, DataAccess, Low, "Connected", "a connection passed admission", "nothing to do";
    ConnectionClosed = "connection_closed", 1000, 200, DataAccess, Low, "Closed", "a connection ended", "nothing to do";
    FeedFailed = "feed_failed", 1000, 503, Administration, High, "Done", "a database of addresses or a threat list could not be read; the one before stays in force", "see the detail; put a sound file in its place";
    FeedLoaded = "feed_loaded", 1000, 200, Administration, Low, "Done", "a database of addresses or a threat list is in force", "nothing to do";
    UpstreamUnhealthy = "upstream_unhealthy", 1000, 503, DataAccess, High, "Done", "a backend is not well, and gets no new connections while another is", "see the detail; `health` of the route says how it is asked";
    UpstreamHealthy = "upstream_healthy", 1000, 200, DataAccess, Low, "Done", "a backend is well again", "nothing to do";
    ConnectionDelayed = "connection_delayed", 1000, 200, Security, Low, "Done", "a connection attempt was let wait before it was looked at", "`sources.attempt_delay` and `reputation.delay` set the times";
    ReputationStanding = "reputation_standing", 1000, 200, Security, Medium, "Done", "what speaks against a source has crossed a threshold", "look at its facts; `reputation` sets points and thresholds";
    Anomaly = "anomaly", 1000, 200, Security, High, "Done", "a user does what is unusual for it", "look at the signs; `anomalies` says what happens then";
    ReputationBan = "reputation_ban", 1000, 200, Security, High, "Done", "a source was banned for what speaks against it", "look at its facts; `portcullis bans` lists it and `portcullis unban` lifts it";
    FloodLevel = "flood_level", 1000, 200, Security, High, "Done", "the flood level changed, and limits with it", "look at the evidence; `floods` sets levels and factors";
    LockdownChanged = "lockdown_changed", 1000, 200, Administration, High, "Done", "a lockdown began, changed or ended", "look at `portcullis lockdown`";
    SharedStateLost = "shared_state_lost", 1000, 200, Administration, High, "Done", "Redis or Valkey does not answer; the node decides alone", "look at the server; `portcullis doctor` asks it";
    SharedStateJoined = "shared_state_joined", 1000, 200, Administration, Low, "Done", "Redis or Valkey answers; the nodes have settled what they hold in common", "nothing to do";
    AdminDenied = "admin_denied", 1008, 401, Administration, High, "Authentication required", "an admin request carried no valid token", "send `Authorization: Bearer` with the admin token";
    AdminAction = "admin_action", 1000, 200, Administration, Medium, "Done", "an operator acted through the admin listener", "nothing to do";
    ConfigReloaded = "config_reloaded", 1000, 200, Administration, Medium, "Done", "a new configuration took effect", "nothing to do";
    ConfigRefused = "config_refused", 1000, 400, Administration, High, "Refused", "a new configuration was refused; the old one stays", "run `portcullis check` on the file";
    Started = "started", 1000, 200, Administration, Low, "Started", "the gateway started", "nothing to do";
    Stopped = "stopped", 1001, 200, Administration, Low, "Stopped", "the gateway stopped", "nothing to do";
}

impl Reason {
    /// The stable name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// The reason with that stable name.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.label() == label)
    }

    /// What a client is told.
    #[must_use]
    pub const fn words(self, detailed: bool) -> &'static str {
        let row = self.row();
        if detailed { row.internal } else { row.public }
    }

    /// The table as Markdown, for the manual.
    #[must_use]
    pub fn table_as_markdown() -> String {
        use std::fmt::Write as _;
        let mut out = String::from(
            "| reason | close | HTTP | category | severity | a client reads | it means | what to do |\n|---|---|---|---|---|---|---|---|\n",
        );
        for reason in Self::ALL {
            let r = reason.row();
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
                r.label,
                r.close_code,
                r.http_status,
                r.category.label(),
                r.severity.label(),
                r.public,
                r.internal,
                r.advice
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_label_is_unique_and_finds_its_reason() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.label()), "{}", reason.label());
            assert_eq!(Reason::from_label(reason.label()), Some(*reason));
        }
    }

    #[test]
    fn every_close_code_may_stand_in_a_close_frame() {
        for reason in Reason::ALL {
            let code = reason.row().close_code;
            assert!(matches!(code, 1000..=1003 | 1007..=1014 | 4000..=4999), "{} {code}", reason.label());
        }
    }

    #[test]
    fn public_words_of_failed_authentication_are_all_the_same() {
        for reason in Reason::ALL {
            if reason.label().starts_with("token_") {
                assert_eq!(reason.row().public, Reason::CredentialInvalid.row().public);
            }
        }
    }
}
