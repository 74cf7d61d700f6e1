//! The backends: which one, the dial, and the WebSocket handshake as its client.
//!
//! A backend is chosen by the route alone, never by what the client sent (CVE-2026-44578). Only the dial is tried
//! again. Nothing but our handshake is sent before a backend's 101, which is checked as RFC 6455 4.1 asks of a
//! client; any other answer is handed back to be passed on, and that socket is never used for frames.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portcullis_codec::Proposal;
use portcullis_codec::deflate::Params;
use portcullis_codec::handshake::{accept_key, request_key};
use portcullis_core::policy::{Policy, Route, checked};
use portcullis_core::verdict::Reason;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::relay::leg::Leg;
use crate::worker::Worker;

/// A backend that failed to answer is tried last for this long.
const SHUNNED_FOR: Duration = Duration::from_secs(5);
/// Response headers read from a backend.
const HEADERS_MAX: usize = 100;
/// Response head read from a backend, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// One backend with its load.
pub(crate) struct Backend {
    spec: checked::Upstream,
    open: AtomicUsize,
    /// Monotonic milliseconds.
    shunned_until_ms: AtomicU64,
}

/// The backends of every route, by the route's index.
#[derive(Default)]
pub(crate) struct Upstreams {
    routes: Vec<Vec<Arc<Backend>>>,
}

impl Upstreams {
    /// Backends of a policy. Those that an earlier policy had keep their counts.
    pub(crate) fn new(policy: &Policy, earlier: &Self) -> Self {
        let known = |spec: &checked::Upstream| {
            earlier.routes.iter().flatten().find(|backend| backend.spec == *spec).map(Arc::clone)
        };
        let fresh = |spec: &checked::Upstream| {
            Arc::new(Backend { spec: spec.clone(), open: AtomicUsize::new(0), shunned_until_ms: AtomicU64::new(0) })
        };
        let backends = |route: &Arc<Route>| {
            route.spec.upstreams.iter().map(|spec| known(spec).unwrap_or_else(|| fresh(spec))).collect()
        };
        Self { routes: policy.routes().iter().map(backends).collect() }
    }

    /// The route's backends, healthy ones first, among them the least loaded.
    fn candidates(&self, route: &Route, now_ms: u64) -> Vec<Arc<Backend>> {
        let mut list = self.routes.get(route.index).cloned().unwrap_or_default();
        list.sort_by_key(|backend| {
            let shunned = backend.shunned_until_ms.load(Ordering::Relaxed) > now_ms;
            (shunned, backend.open.load(Ordering::Relaxed))
        });
        list
    }

    /// Connections to backends, by address.
    pub(crate) fn loads(&self) -> Vec<(String, usize)> {
        let mut loads: Vec<_> = self
            .routes
            .iter()
            .flatten()
            .map(|backend| (backend.authority(), backend.open.load(Ordering::Relaxed)))
            .collect();
        loads.sort();
        loads.dedup();
        loads
    }
}

impl Backend {
    fn authority(&self) -> String {
        let host = &self.spec.host;
        if host.contains(':') { format!("[{host}]:{}", self.spec.port) } else { format!("{host}:{}", self.spec.port) }
    }
}

/// A counted place at a backend.
pub(crate) struct Lease(Arc<Backend>);

impl Lease {
    fn new(backend: &Arc<Backend>) -> Self {
        backend.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(backend))
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        self.0.authority()
    }

    /// Put before the path of a request.
    pub(crate) fn path_prefix(&self) -> &str {
        &self.0.spec.path_prefix
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

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

/// A socket to one of the route's backends.
pub(crate) async fn dial(worker: &Worker, route: &Route) -> Result<(Leg, Lease), Failure> {
    let now_ms = || u64::try_from(worker.shared.clock.now().mono.as_millis()).unwrap_or(u64::MAX);
    let mut last = String::from("the route has no upstream");
    for backend in worker.shared.upstreams.load().candidates(route, now_ms()) {
        let lease = Lease::new(&backend);
        match connect(worker, &backend).await {
            Ok(leg) => {
                backend.shunned_until_ms.store(0, Ordering::Relaxed);
                return Ok((leg, lease));
            }
            Err(error) => {
                let until = now_ms() + u64::try_from(SHUNNED_FOR.as_millis()).unwrap_or(0);
                backend.shunned_until_ms.store(until, Ordering::Relaxed);
                last = format!("`{}`: {error}", backend.authority());
            }
        }
    }
    Err(Failure::new(Reason::UpstreamUnreachable, last))
}

async fn connect(worker: &Worker, backend: &Backend) -> std::io::Result<Leg> {
    let spec = &backend.spec;
    let stream = match spec.host.parse() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, spec.port)).await?,
        Err(_) => TcpStream::connect((spec.host.as_str(), spec.port)).await?,
    };
    stream.set_nodelay(true)?;
    if !spec.tls {
        return Ok(Leg::Tcp(stream));
    }
    let name = ServerName::try_from(spec.host.clone()).map_err(std::io::Error::other)?;
    let connector = TlsConnector::from(Arc::clone(&worker.shared.client_tls));
    Ok(Leg::TlsClient(Box::new(connector.connect(name, stream).await?)))
}

/// What to ask of a backend.
pub(crate) struct Ask {
    /// Path and query, the token already taken out.
    pub path: String,
    /// Rebuilt headers.
    pub headers: HeaderMap,
    /// Subprotocols the client offers.
    pub protocols: Vec<String>,
    /// The compression to offer.
    pub deflate: Option<Proposal>,
}

/// A backend that said 101.
pub(crate) struct Opened {
    /// Its socket.
    pub leg: Leg,
    /// Bytes read past its head.
    pub early: Bytes,
    /// Its counted place.
    pub lease: Lease,
    /// What it chose.
    pub protocol: Option<String>,
    /// What it agreed to.
    pub deflate: Option<Params>,
    /// End-to-end headers of its answer.
    pub headers: HeaderMap,
}

/// How a backend answered.
pub(crate) enum Answer {
    /// 101.
    Opened(Box<Opened>),
    /// Anything else, to be passed on.
    Refused(Response<Incoming>, Lease),
}

/// Dials and shakes hands, within the route's time.
pub(crate) async fn open(worker: &Rc<Worker>, route: &Route, ask: Ask) -> Result<Answer, Failure> {
    let within = route.spec.times.upstream_connect;
    match tokio::time::timeout(within, open_unbounded(worker, route, ask)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new(Reason::UpstreamTimeout, format!("no answer within {} ms", within.as_millis()))),
    }
}

async fn open_unbounded(worker: &Rc<Worker>, route: &Route, ask: Ask) -> Result<Answer, Failure> {
    let (leg, lease) = dial(worker, route).await?;
    let broken =
        |error: hyper::Error| Failure::new(Reason::UpstreamProtocol, format!("`{}`: {error}", lease.authority()));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(leg))
        .await
        .map_err(broken)?;
    tokio::task::spawn_local(async move {
        // Errors come out of `send_request` too, where they are told.
        let _ = connection.with_upgrades().await;
    });
    let key = fresh_key(worker);
    let request = request(&ask, &lease, key)?;
    let mut response = sender.send_request(request).await.map_err(broken)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Answer::Refused(response, lease));
    }
    let agreed = check(response.headers(), key, &ask)
        .map_err(|what| Failure::new(Reason::UpstreamProtocol, format!("`{}`: {what}", lease.authority())))?;
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(broken)?;
    let (leg, early) = take_socket(upgraded)
        .ok_or_else(|| Failure::new(Reason::UpstreamProtocol, "the upgraded socket is of another kind"))?;
    let (protocol, deflate) = agreed;
    let mut headers = std::mem::take(response.headers_mut());
    keep_end_to_end(&mut headers);
    Ok(Answer::Opened(Box::new(Opened { leg, early, lease, protocol, deflate, headers })))
}

/// The socket under an upgraded connection, with what was read past the head.
pub(crate) fn take_socket(upgraded: hyper::upgrade::Upgraded) -> Option<(Leg, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Leg>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

/// 16 bytes that differ from handshake to handshake (RFC 6455 4.1); they prove an answer, and hide nothing.
fn fresh_key(worker: &Worker) -> [u8; 24] {
    let mut nonce = [0; 16];
    for part in nonce.chunks_exact_mut(4) {
        part.copy_from_slice(&worker.mask_key());
    }
    request_key(nonce)
}

fn request(ask: &Ask, lease: &Lease, key: [u8; 24]) -> Result<Request<Empty<Bytes>>, Failure> {
    let refused = |what: &str| Failure::new(Reason::UpstreamProtocol, format!("the request cannot be written: {what}"));
    let mut request = Request::new(Empty::new());
    let path = format!("{}{}", lease.path_prefix(), ask.path);
    *request.uri_mut() = path.parse().map_err(|_| refused("its path"))?;
    let headers = request.headers_mut();
    *headers = ask.headers.clone();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| refused("a header"));
    headers.insert(header::HOST, value(&lease.authority())?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_bytes(&key).map_err(|_| refused("its key"))?);
    if !ask.protocols.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(&ask.protocols.join(", "))?);
    }
    if let Some(deflate) = &ask.deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, value(&deflate.header_value())?);
    }
    Ok(request)
}

type Agreed = (Option<String>, Option<Params>);

/// RFC 6455 4.1: what a client must see in a 101.
fn check(headers: &HeaderMap, key: [u8; 24], ask: &Ask) -> Result<Agreed, String> {
    let token = |name: &HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !token(&header::UPGRADE, "websocket") || !token(&header::CONNECTION, "upgrade") {
        return Err(String::from("its 101 does not say `Upgrade: websocket` and `Connection: Upgrade`"));
    }
    let accepted = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepted.is_none_or(|value| value.trim_ascii() != accept_key(&key).as_bytes()) {
        return Err(String::from("its `Sec-WebSocket-Accept` does not answer our key"));
    }
    let protocol = match headers.get(header::SEC_WEBSOCKET_PROTOCOL) {
        None => None,
        Some(value) => {
            let chosen = value.to_str().unwrap_or_default().trim();
            let offered = ask.protocols.iter().any(|offer| offer == chosen);
            Some(offered.then(|| chosen.to_owned()).ok_or("it chose a subprotocol that was not offered")?)
        }
    };
    let extensions = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let deflate = match &ask.deflate {
        Some(proposal) => {
            proposal.accept(extensions.iter().map(HeaderValue::as_bytes)).map_err(|error| error.to_string())?
        }
        None if extensions.iter().next().is_some() => {
            return Err(String::from("it agreed to an extension that was not offered"));
        }
        None => None,
    };
    Ok((protocol, deflate))
}

/// Takes out what belongs to the connection and not to the message (RFC 9110 7.6.1), and what the gateway says
/// itself.
pub(crate) fn keep_end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
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
    ] {
        headers.remove(name);
    }
}
