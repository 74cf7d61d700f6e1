//! The client-facing listener.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::ClientCertificates;

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
