//! Key sets from files and URLs (SPEC 3.2): fetched, bounded, put into the key ring.
//!
//! One fetch of a source at a time; a token with an unknown key id asks for one at most every
//! [`UNKNOWN_KEY_PAUSE`], so inventing ids fetches nothing more. A source that fails leaves the keys it gave
//! before in force. URLs are https, or http to loopback; redirects are not followed, and a host name that
//! resolves to a private address is not asked (SSRF).

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use portcullis_core::identity::{KeyRing, KeySet};
use portcullis_core::policy::checked::{JwksLocation, JwksSource};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::relay::leg::Leg;
use crate::shared::Shared;

/// The whole of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between fetches that unknown key ids ask for.
pub(crate) const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file.
    #[error("cannot read the key set `{path}`: {source}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The URL is no URL, or not one that may be asked.
    #[error("the key set URL `{url}` {what}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The provider did not answer as it should.
    #[error("fetching the key set `{url}` failed: {what}")]
    Answer {
        /// The URL.
        url: String,
        /// What happened.
        what: String,
    },
    /// What came is no key set.
    #[error("the key set `{location}` is refused: {what}")]
    Content {
        /// File or URL.
        location: String,
        /// Why.
        what: String,
    },
}

/// Fetches a source because a token asked for a key it lacks. `Err` when nothing new came.
pub(crate) async fn refresh(shared: &Arc<Shared>, source: usize) -> Result<(), ()> {
    let keys = shared.keys.load_full();
    let policy = shared.policy.load_full();
    let spec = policy.checked.identity.jwks.get(source).ok_or(())?;
    let slot = shared.fetches.slot(source);
    let wanted = shared.clock.now().mono;
    let mut last = slot.lock().await;
    // Whoever waited for the lock has what the fetch before brought.
    if last.is_some_and(|at| at >= wanted) {
        return Ok(());
    }
    let now = shared.clock.now().mono;
    if last.is_some_and(|at| now.saturating_sub(at) < UNKNOWN_KEY_PAUSE) {
        return Err(());
    }
    *last = Some(now);
    load(shared, &keys, source, spec).await.map_err(|error| tracing::warn!("{error}"))
}

/// Reads one source into the ring.
pub(crate) async fn load(shared: &Shared, keys: &KeyRing, source: usize, spec: &JwksSource) -> Result<(), FetchError> {
    let (location, bytes) = match &spec.location {
        JwksLocation::File(path) => (path.display().to_string(), read_file(path, spec.bytes_max).await?),
        JwksLocation::Url(url) => {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, get(shared, url, spec.bytes_max)).await;
            let late = || FetchError::Answer {
                url: url.clone(),
                what: format!("no answer within {} s", FETCH_TIMEOUT.as_secs()),
            };
            (url.clone(), fetched.map_err(|_| late())??)
        }
    };
    let set = KeySet::parse(&bytes, spec).map_err(|error| FetchError::Content { location, what: error.to_string() })?;
    keys.replace(source, Arc::new(set));
    Ok(())
}

async fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::File { path: path.display().to_string(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > bytes_max as u64 {
        let what = format!("it has {size} bytes, more than the {bytes_max} allowed");
        return Err(FetchError::Content { location: path.display().to_string(), what });
    }
    std::fs::read(path).map_err(failed)
}

async fn get(shared: &Shared, url: &str, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let refused = |what| FetchError::Url { url: url.to_owned(), what };
    let failed = |what: String| FetchError::Answer { url: url.to_owned(), what };
    let uri: Uri = url.parse().map_err(|_| refused("is not a URL"))?;
    let host = uri.host().ok_or_else(|| refused("names no host"))?.trim_matches(['[', ']']);
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(refused("must begin with `https://`")),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let address = resolve(host, port).await.map_err(|error| failed(error.to_string()))?;
    let literal = host.parse::<IpAddr>().is_ok() || host == "localhost";
    if is_private(address.ip()) && !literal {
        return Err(refused("resolves to a private address; write the address itself if that is meant"));
    }
    if !tls && !address.ip().is_loopback() {
        return Err(refused("must begin with `https://`; plain http is for loopback only"));
    }
    let stream = TcpStream::connect(address).await.map_err(|error| failed(error.to_string()))?;
    let leg = if tls {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| refused("names no valid host"))?;
        let connector = TlsConnector::from(Arc::clone(&shared.client_tls));
        Leg::TlsClient(Box::new(connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?))
    } else {
        Leg::Tcp(stream)
    };
    ask(leg, &uri, bytes_max).await.map_err(failed)
}

async fn ask(leg: Leg, uri: &Uri, bytes_max: usize) -> Result<Vec<u8>, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(leg)).await.map_err(|error| error.to_string())?;
    // Driven beside the request, in the same task: this runs on threads with and without a local set.
    let request = Request::builder()
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().map(http::uri::Authority::as_str).unwrap_or_default())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, "portcullis")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
    };
    let mut exchange = std::pin::pin!(exchange);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        done = &mut exchange => done,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

async fn resolve(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host((host, port)).await?;
    found.next().ok_or_else(|| std::io::Error::other("the host has no address"))
}

/// Loopback, link-local, private and unspecified ranges (RFC 1918, 3927, 4193, 4291, 6598).
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// When each source was last fetched for a token; the lock is what makes a fetch the only one.
#[derive(Default)]
pub(crate) struct Fetches {
    slots: std::sync::Mutex<std::collections::HashMap<usize, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Duration>>>;

impl Fetches {
    fn slot(&self, source: usize) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(slots.entry(source).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_inner_networks_are_private() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "2606:4700::1111", "100.128.0.1"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }
}
