//! The backends: which one, the dial, and the WebSocket handshake as its client.
//!
//! A backend is chosen by the route alone, never by what the client sent (CVE-2026-44578). Only the dial is tried
//! again. Nothing but our handshake is sent before a backend's 101, which is checked as RFC 6455 4.1 asks of a
//! client; any other answer is handed back to be passed on, and that socket is never used for frames.

mod handshake;
pub(crate) mod health;
mod pool;
mod replay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use portcullis_core::policy::{Route, checked};
use portcullis_core::verdict::Reason;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::relay::leg::Leg;
use crate::tls;
use crate::worker::Worker;
pub(crate) use handshake::{Answer, Ask, Opened, open};
pub(crate) use pool::{Lease, Upstreams};

/// A backend that failed to answer is tried last for this long.
const SHUNNED_FOR: Duration = Duration::from_secs(5);

/// Why there is no upstream.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The row of the table.
    pub reason: Reason,
    /// For operators.
    pub detail: String,
}

impl Failure {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// A socket to one of the route's backends: of those that are well the caller's own, where it has one.
pub(crate) async fn dial(worker: &Worker, route: &Route, key: Option<u64>) -> Result<(Leg, Lease), Failure> {
    let now_ms = || u64::try_from(worker.shared.clock.mono().as_millis()).unwrap_or(u64::MAX);
    let mut last = Failure::new(Reason::UpstreamUnreachable, "the route has no upstream");
    for backend in worker.shared.upstreams.load().candidates(route, key, now_ms()) {
        let lease = Lease::new(&backend);
        match backend.connect(&worker.shared.client_tls).await {
            Ok(leg) => {
                backend.shunned_until_ms.store(0, Ordering::Relaxed);
                return Ok((leg, lease));
            }
            Err(error) => {
                let until = now_ms() + u64::try_from(SHUNNED_FOR.as_millis()).unwrap_or(0);
                backend.shunned_until_ms.store(until, Ordering::Relaxed);
                let (reason, why) = match tls::untrusted(&error) {
                    Some(why) => (Reason::UpstreamUntrusted, why),
                    None => (Reason::UpstreamUnreachable, error.to_string()),
                };
                last = Failure::new(reason, format!("`{}`: {why}", backend.authority()));
            }
        }
    }
    Err(last)
}

async fn connect(
    tls: &Arc<ClientConfig>,
    spec: &checked::Upstream,
    address: Option<SocketAddr>,
) -> std::io::Result<Leg> {
    let stream = match address {
        Some(address) => TcpStream::connect(address).await?,
        None => TcpStream::connect((spec.host.as_str(), spec.port)).await?,
    };
    stream.set_nodelay(true)?;
    if !spec.tls {
        return Ok(Leg::Tcp(stream));
    }
    let name = ServerName::try_from(spec.host.clone()).map_err(std::io::Error::other)?;
    let connector = TlsConnector::from(Arc::clone(tls));
    Ok(Leg::TlsClient(Box::new(connector.connect(name, stream).await?)))
}

/// Takes out what belongs to the connection and not to the message (RFC 9110 7.6.1), and what the gateway says
/// itself.
pub(crate) fn keep_end_to_end(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = named
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.eq_ignore_ascii_case("upgrade"))
        .filter_map(|name| name.parse().ok())
        .collect();
    // Few headers come, so each is looked for among these, and not the other way round.
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| OF_THE_HOP.contains(name) || named.contains(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// What belongs to a connection, and what the gateway says itself.
static OF_THE_HOP: [HeaderName; 14] = [
    header::CONNECTION,
    header::UPGRADE,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
