//! Backends of a route: where they are, how one is chosen, and how it is known that one is well.

use std::time::Duration;

/// A backend address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `wss://`.
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path put before the request's own; empty for none.
    pub path_prefix: String,
    /// Whose certificates are believed; `None` is the system's authorities.
    pub trust: Option<std::sync::Arc<UpstreamTrust>>,
}

/// Whose certificates are believed of a backend with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTrust {
    /// PEM of the authorities; `None` is those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// SHA-256 of the public keys (SubjectPublicKeyInfo) of which the certificate has to have one; empty asks for none.
    pub pins: Vec<[u8; 32]>,
}

impl UpstreamTrust {
    /// Whether a certificate with this public key is believed.
    #[must_use]
    pub fn pinned(&self, spki: &[u8]) -> bool {
        self.pins.is_empty() || self.pins.iter().any(|pin| *pin == pin_of(spki))
    }
}

/// The pin of a public key.
fn pin_of(spki: &[u8]) -> [u8; 32] {
    let mut pin = [0; 32];
    pin.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, spki).as_ref());
    pin
}

/// The pin of a public key as it is written: `sha256/` and base64.
#[must_use]
pub fn written_pin(spki: &[u8]) -> String {
    use base64::Engine as _;
    format!("sha256/{}", base64::engine::general_purpose::STANDARD.encode(pin_of(spki)))
}

/// How a backend is chosen among the well ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest open connections.
    LeastConnections,
    /// The one that a caller belongs to.
    ConsistentHash(HashOn),
}

/// What a caller is told from others by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// Its address; IPv6 by network.
    Ip,
    /// Its subject.
    User,
    /// Its tenant.
    Tenant,
    /// Its session.
    Session,
    /// A parameter of the path.
    Parameter(Box<str>),
}

/// Backends are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// How they are asked.
    pub check: HealthQuestion,
    /// The path that is asked for.
    pub path: String,
    /// From one question to the next.
    pub interval: Duration,
    /// The whole of a question.
    pub timeout: Duration,
    /// So many failures in a row make one unwell; at least 1.
    pub unhealthy_after: u32,
    /// So many successes in a row make it well again; at least 1.
    pub healthy_after: u32,
}

/// How a backend is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthQuestion {
    /// A connection, with TLS where the backend has it.
    Connect,
    /// `GET`; well is a status from 200 to 299.
    Http,
    /// A WebSocket handshake; well is 101.
    Handshake,
}

/// How a backend is told a client's address, scheme and host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedHeaders {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both.
    Both,
}
