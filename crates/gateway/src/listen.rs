//! The client-facing listener: bind, accept, PROXY header, TLS, HTTP/1.1.
//!
//! Each worker has a socket of its own on the same address (`SO_REUSEPORT`), so no accept is handed over. Time,
//! header bytes and header count of a handshake are bounded before anything is decided.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_core::admission::{self, proxy_protocol};
use portcullis_core::event::Decision;
use portcullis_core::identity::Certificate;
use portcullis_core::policy::checked::{ClientAddressFrom, Listen};
use portcullis_core::verdict::Reason;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::handshake::{self, Handover, Socket};
use crate::record::Draft;
use crate::relay::leg::Leg;
use crate::worker::Worker;

/// Connections the kernel holds for us.
const BACKLOG: i32 = 4096;
/// Wait after an accept failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// hyper reads a head into no less than this.
const HEAD_BYTES_MIN: usize = 8 << 10;
/// Longest PROXY header (version 2 with its TLVs, bounded).
const PROXY_BYTES_MAX: usize = 536;

/// Binds `count` sockets to one address. The first tries without sharing, so that a second gateway started by
/// mistake is told the address is taken and does not silently get half of the clients.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<StdListener>> {
    drop(socket(address, false)?);
    let first = socket(address, true)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(socket(bound, true)?);
    }
    Ok(sockets)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until `stop` is done.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    listener: StdListener,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => {
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(Box::pin(welcome(worker, stream, peer)));
            }
            Err(error) => {
                tracing::warn!("accept failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One socket, from accept to the end of its HTTP life.
async fn welcome(worker: Rc<Worker>, mut stream: TcpStream, peer: SocketAddr) {
    let policy = worker.policy();
    let listen = &policy.checked.listen;
    let now = worker.now();
    // On Linux it is inherited from the listener. Only latency suffers without it.
    #[cfg(not(target_os = "linux"))]
    let _ = stream.set_nodelay(true);
    let mut peer = peer.ip().to_canonical();
    if listen.client_address == ClientAddressFrom::ProxyProtocol {
        let read = proxied(&mut stream, peer, listen);
        peer = match tokio::time::timeout(listen.handshake_timeout, read).await {
            Ok(Ok(peer)) => peer,
            Ok(Err(())) | Err(_) => return note(&worker, peer, Reason::ProxyHeaderInvalid, String::new()),
        };
    }
    let pending = match admission::on_accept(&worker.shared.gate, peer, now) {
        Ok(pending) => pending,
        Err(reason) => return turn_away(&worker, stream, peer, reason).await,
    };
    let tls = worker.shared.tls.load_full();
    let mut socket = Socket { peer, tls: tls.is_some(), handover: Handover::new(pending), certificate: None };
    let leg = match tls {
        None => Leg::Tcp(stream),
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(listen.handshake_timeout, handshake).await {
                Ok(Ok(stream)) => {
                    socket.certificate = certificate(&stream);
                    Leg::TlsServer(Box::new(stream))
                }
                Ok(Err(error)) => return note(&worker, peer, Reason::HandshakeMalformed, format!("TLS: {error}")),
                Err(_) => return note(&worker, peer, Reason::HandshakeTimeout, String::from("TLS")),
            }
        }
    };
    speak_http(&worker, leg, socket, listen).await;
}

/// The client's certificate, which TLS has verified. One that cannot be read proves nobody.
fn certificate(stream: &tokio_rustls::server::TlsStream<TcpStream>) -> Option<std::sync::Arc<Certificate>> {
    let shown = stream.get_ref().1.peer_certificates()?.first()?;
    Certificate::read(shown).map(std::sync::Arc::new)
}

async fn speak_http(worker: &Rc<Worker>, leg: Leg, socket: Socket, listen: &Listen) {
    let peer = socket.peer;
    let handover = Rc::clone(&socket.handover);
    let service = service_fn(|request| handshake::serve(Rc::clone(worker), socket.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(listen.handshake_timeout)
        .max_headers(listen.headers_max)
        .max_buf_size(listen.header_bytes_max.max(HEAD_BYTES_MIN))
        .serve_connection(TokioIo::new(leg), service);
    let ended = connection.without_shutdown().await;
    // Taken in any case: where the 101 could not be written, what was to come is let go.
    let then = handover.take_then();
    let error = match ended {
        Ok(parts) => {
            let mut leg = parts.io.into_inner();
            return match then {
                Some(then) => then(leg, parts.read_buf),
                // Only a peer that takes nothing lets it wait.
                None => drop(tokio::time::timeout(listen.handshake_timeout, leg.shutdown()).await),
            };
        }
        Err(error) => error,
    };
    if error.is_timeout() {
        note(worker, peer, Reason::HandshakeTimeout, String::new());
    } else if error.is_parse_too_large() {
        note(worker, peer, Reason::HandshakeTooLarge, String::new());
    } else if error.is_parse() {
        note(worker, peer, Reason::HandshakeMalformed, error.to_string());
    }
}

/// The client a trusted proxy names in its PROXY header, which is taken off the socket.
async fn proxied(stream: &mut TcpStream, peer: IpAddr, listen: &Listen) -> Result<IpAddr, ()> {
    if !listen.trusted_proxies.iter().any(|network| network.contains(&peer)) {
        return Err(());
    }
    let mut seen = 0;
    let mut buffer = [0; PROXY_BYTES_MAX];
    loop {
        // Peeked, so that not a byte of the handshake behind it is lost.
        let count = stream.peek(&mut buffer).await.map_err(drop)?;
        let bytes = buffer.get(..count).ok_or(())?;
        match proxy_protocol::parse(bytes).map_err(drop)? {
            Some((source, consumed)) => {
                stream.read_exact(buffer.get_mut(..consumed).ok_or(())?).await.map_err(drop)?;
                return Ok(source.client().unwrap_or(peer).to_canonical());
            }
            None if count == 0 || count == PROXY_BYTES_MAX => return Err(()),
            // Peeking is ready at once while bytes are there: more of them are waited for a moment.
            None if count == seen => tokio::time::sleep(Duration::from_millis(5)).await,
            None => seen = count,
        }
    }
}

fn note(worker: &Worker, peer: IpAddr, reason: Reason, detail: String) {
    worker.shard().refused(reason, Decision::Refused);
    worker.accuse(peer, None, reason, Decision::Refused);
    let detail = if detail.is_empty() { reason.row().internal.to_owned() } else { detail };
    let draft = Draft { source_ip: Some(peer), ..Draft::new(reason, Decision::Refused, "listen", detail) };
    worker.record(draft, worker.now());
}

/// Refuses a socket before it has said anything: it hears a status, for it may be a browser.
async fn turn_away(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr, reason: Reason) {
    note(worker, peer, reason, String::new());
    if worker.shared.tls.load().is_some() {
        return;
    }
    let row = reason.row();
    let status = http::StatusCode::from_u16(row.http_status).unwrap_or(http::StatusCode::FORBIDDEN);
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let mut stream = stream;
    let said = async {
        stream.write_all(head.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        // So that the answer is not lost to a reset; bounded by the time below.
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
}

/// TLS and policy of the listener are set up once a policy; see [`crate::Gateway`].
pub(crate) fn tls_of(listen: &Listen) -> Result<Option<Arc<tokio_rustls::rustls::ServerConfig>>, crate::tls::TlsError> {
    listen.tls.as_ref().map(crate::tls::server).transpose()
}
