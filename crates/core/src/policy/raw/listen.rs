//! `listen`, `admin`, `state`, `sources`, `origins`, `audit`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::checked::CertificateName;
use crate::policy::human::{Bytes, Network, OrOff, RateText, Span, Switch};

/// The listener that clients reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// Address and port, as `127.0.0.1:8350`, `0.0.0.0:443` or `[::]:443`; port 0 picks a free one.
    pub(crate) address: Option<String>,
    /// Worker threads; unset is one a core. 1 to 1024.
    pub(crate) workers: Option<u32>,
    /// Certificate and key; unset is plain `ws://`.
    pub(crate) tls: Option<Tls>,
    /// Your word that TLS ends at a proxy before the gateway. Production needs this or `tls`.
    pub(crate) tls_terminated_by_proxy: Option<Switch>,
    /// Networks of proxies whose word on the client's address is believed.
    pub(crate) trusted_proxies: Option<Vec<Network>>,
    /// How a trusted proxy tells the client's address: `peer` (it does not: the TCP peer is the client),
    /// `x_forwarded_for`, `forwarded` (RFC 7239), `proxy_protocol` (v1 and v2).
    pub(crate) client_address: Option<ClientAddress>,
    /// IPv6 clients are counted together by network of this length, 1 to 128.
    pub(crate) ipv6_prefix: Option<u8>,
    /// Most bytes of request line and headers together, 1 KiB to 1 MiB. Memory: this much for each open handshake.
    pub(crate) header_bytes_max: Option<Bytes>,
    /// Most request headers, 8 to 1000.
    pub(crate) headers_max: Option<u32>,
    /// From accept to a complete request head.
    pub(crate) handshake_timeout: Option<Span>,
    /// From the order to stop to the hard stop.
    pub(crate) drain_timeout: Option<Span>,
    /// Most connections held in all, handshakes included.
    pub(crate) connections_max: Option<u32>,
}

/// Certificate and key.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM file with the certificate chain, leaf first.
    pub(crate) certificate: Option<String>,
    /// PEM file with the private key.
    pub(crate) key: Option<String>,
    /// Certificates of clients (mTLS). Unset: none are asked for.
    pub(crate) client_certificates: Option<ClientCertificates>,
}

/// Certificates that clients show in the TLS handshake. Routes take one for a credential where `certificate` is among
/// their `credentials`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificates {
    /// Authorities that may have issued them, as PEM. The system's are not asked.
    pub(crate) ca: Option<String>,
    /// Lists of what the authorities revoked, as PEM. Default none.
    pub(crate) crl: Option<String>,
    /// `required`: whoever shows none gets no TLS at all; `optional`: routes decide. Default `optional`.
    pub(crate) mode: Option<CertificateMode>,
    /// Which name is the subject: `common_name`, `dns`, `email` or `uri` of the alternative names. There must be exactly
    /// one. Default `common_name`.
    pub(crate) subject: Option<CertificateName>,
    /// Roles of whoever shows one. Default none.
    pub(crate) roles: Option<Vec<String>>,
    /// Permissions of whoever shows one. Default none.
    pub(crate) permissions: Option<Vec<String>>,
    /// The tenant of whoever shows one. Default none.
    pub(crate) tenant: Option<String>,
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CertificateMode {
    /// They must.
    Required,
    /// They may.
    Optional,
}

/// How a trusted proxy tells the client's address.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAddress {
    /// The TCP peer is the client.
    Peer,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
    /// PROXY protocol.
    ProxyProtocol,
}

/// The listener that operators reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// Address and port; port 0 picks a free one.
    pub(crate) address: Option<String>,
    /// Bearer token, inline. Prefer `token_file` or `token_env`.
    pub(crate) token: Option<String>,
    /// File that holds the bearer token; the line end is cut off.
    pub(crate) token_file: Option<String>,
    /// Environment variable that holds the bearer token.
    pub(crate) token_env: Option<String>,
    /// Further tokens, each for a part of what the listener does; at most 64. Default none.
    pub(crate) tokens: Option<Vec<AdminToken>>,
}

/// A token of the admin listener with permissions of its own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminToken {
    /// Names it in the audit.
    pub(crate) name: Option<String>,
    /// The token, inline. Prefer `token_file` or `token_env`.
    pub(crate) token: Option<String>,
    /// File that holds the token; the line end is cut off.
    pub(crate) token_file: Option<String>,
    /// Environment variable that holds the token.
    pub(crate) token_env: Option<String>,
    /// What its bearer may: `page.read`, `metrics.read`, `health.read`, `audit.read`, `config.read`, `config.reload`,
    /// `blocks.read`, `blocks.write`, `keys.read`, `keys.write`, `sessions.read`, `sessions.write`, `lockdown.read`,
    /// `lockdown.write`, `connections.read`, `connections.close`; `keys.*` for all that begin so.
    pub(crate) permissions: Option<Vec<String>>,
}

/// Where what lasts is kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Folder for the audit store; made if it is missing.
    pub(crate) dir: Option<String>,
}

/// How many connections, from where.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sources {
    /// Networks that are never banned nor rate-limited at admission.
    pub(crate) allow: Option<Vec<Network>>,
    /// Networks that are refused at once.
    pub(crate) deny: Option<Vec<Network>>,
    /// Connection attempts of one client address, or `off`.
    pub(crate) connection_rate: Option<OrOff<RateText>>,
    /// Attempts of one client address past a rate wait before they are looked at, longer each time, or `off`.
    pub(crate) attempt_delay: Option<OrOff<super::AttemptDelay>>,
    /// Concurrent connections of one client address, or `off`.
    pub(crate) connections_per_ip_max: Option<OrOff<u32>>,
    /// Failed authentications of one client address, or `off`; past it the address is refused for
    /// `ban_duration`.
    pub(crate) failed_auth_rate: Option<OrOff<RateText>>,
    /// Failed authentications with credentials that name one subject, from whatever addresses, or `off`; past it what names
    /// the subject waits (429), unless it was verified a moment ago. Whoever knows a user's name can make it wait so. Default
    /// `off`.
    pub(crate) failed_auth_rate_per_subject: Option<OrOff<RateText>>,
    /// Open connections of anonymous callers in all, or `off`. Default `off`.
    pub(crate) anonymous_connections_max: Option<OrOff<u32>>,
    /// How long an address that failed too often is refused.
    pub(crate) ban_duration: Option<Span>,
    /// Most addresses tracked at once; those without penalties leave first. About 200 bytes each.
    pub(crate) tracked_max: Option<u32>,
}

/// Which web pages may open a connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origins {
    /// Origins that may: exact (`https://app.example.com`), one or more labels below a domain
    /// (`https://*.example.com`), a regular expression that must match the whole origin
    /// (`regex:https://pr-[0-9]+\.example\.com`), or `*` for any.
    pub(crate) allow: Option<Vec<String>>,
    /// `localhost`, `127.0.0.1` and `[::1]` on any port may as well; in development only.
    pub(crate) localhost: Option<Switch>,
    /// An origin whose host equals the request's `Host` may.
    pub(crate) same_host: Option<Switch>,
    /// What happens to a request without an Origin header, which no browser sends: `allow` or `refuse`.
    pub(crate) missing: Option<MissingOrigin>,
}

/// What happens to a request without an Origin header.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingOrigin {
    /// It goes on to the next check.
    Allow,
    /// It is refused.
    Refuse,
}

/// What is recorded.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audit {
    /// Whether events are stored at all.
    pub(crate) enabled: Option<Switch>,
    /// Events older than this are swept.
    pub(crate) retention: Option<Span>,
    /// Most events waiting for the writer; past it events of low severity are counted and lost. About 1 KiB each.
    pub(crate) queue_max: Option<u32>,
    /// Accepted connections and allowed actions are recorded too, not refusals alone.
    pub(crate) record_allowed: Option<Switch>,
}
