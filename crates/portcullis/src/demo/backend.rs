//! The demo's backend: a page over HTTP and a chat over WebSocket, on a loopback port of its own.
//!
//! Decides which path gives which file and which handshake becomes a chat. It is what a gateway guards:
//! it believes the identity headers and checks nothing else. Never listens anywhere but on loopback.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_codec::handshake;
use portcullis_core::verdict::Reason;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::chat::{self, Room};

/// Connections held at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/demo.css");
const SCRIPT: &str = include_str!("page/demo.js");
const ATTACKS: &str = include_str!("page/attacks.js");
const ICON: &str = include_str!("page/gate.svg");

/// Own files only, no markup from messages, no framing.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page needs to know: `{"token","subject","admin","explain"}`.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Session {
    /// The demo token; the page sends it as a subprotocol.
    pub(crate) token: String,
    /// Whom it names.
    pub(crate) subject: String,
    /// The live page.
    pub(crate) admin: String,
    /// The command that explains a reference, without the reference.
    pub(crate) explain: String,
}

/// A backend that listens and is not yet served; it knows its address before it knows the session.
pub(crate) struct Backend {
    listener: TcpListener,
    address: SocketAddr,
}

impl Backend {
    /// Takes a free loopback port.
    ///
    /// # Errors
    /// No port is free, or loopback is not there.
    pub(crate) async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the task is dropped.
    pub(crate) async fn serve(self, session: Session) {
        let shared = Arc::new((Files::new(&session), Room::new()));
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely: others must end before one can begin.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let slot = Arc::new(slot);
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(request, &shared, &slot);
                    async move { Ok::<_, Infallible>(answer) }
                });
                // A client that leaves in the middle is no news.
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    }
}

/// What is served, ready to send.
struct Files {
    session: String,
    verdicts: String,
}

impl Files {
    fn new(session: &Session) -> Self {
        let rows: Vec<_> = Reason::ALL.iter().map(|reason| reason.row()).collect();
        Self {
            session: serde_json::to_string(session).unwrap_or_default(),
            verdicts: serde_json::to_string(&rows).unwrap_or_default(),
        }
    }

    /// Content type and content of a path.
    fn find(&self, path: &str) -> Option<(&'static str, Bytes)> {
        let fixed = |kind, text: &'static str| Some((kind, Bytes::from_static(text.as_bytes())));
        let made = |text: &str| Some(("application/json", Bytes::copy_from_slice(text.as_bytes())));
        match path {
            "/" => fixed("text/html; charset=utf-8", INDEX),
            "/demo.css" => fixed("text/css; charset=utf-8", STYLE),
            "/demo.js" => fixed("text/javascript; charset=utf-8", SCRIPT),
            "/attacks.js" => fixed("text/javascript; charset=utf-8", ATTACKS),
            "/gate.svg" => fixed("image/svg+xml", ICON),
            "/session.json" => made(&self.session),
            "/verdicts.json" => made(&self.verdicts),
            _ => None,
        }
    }
}

type Slot = Arc<tokio::sync::OwnedSemaphorePermit>;

fn answer(mut request: Request<Incoming>, shared: &Arc<(Files, Room)>, slot: &Slot) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if path == "/ws" || path.starts_with("/ws/") {
        return upgrade(&mut request, shared, slot);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here");
    }
    match shared.0.find(path) {
        Some((kind, body)) => page(StatusCode::OK, kind, body),
        None => plain(StatusCode::NOT_FOUND, "there is no such page"),
    }
}

fn upgrade(request: &mut Request<Incoming>, shared: &Arc<(Files, Room)>, slot: &Slot) -> Response<Full<Bytes>> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let key = text("sec-websocket-key");
    let wanted = text("upgrade").eq_ignore_ascii_case("websocket") && text("sec-websocket-version") == "13";
    if !wanted || !handshake::is_valid_key(key) {
        return plain(StatusCode::UPGRADE_REQUIRED, "this path speaks WebSocket version 13");
    }
    let accept = handshake::accept_key(key.as_bytes());
    let you = match text("x-portcullis-subject") {
        "" => "anonymous".to_owned(),
        subject => subject.to_owned(),
    };
    let upgraded = hyper::upgrade::on(request);
    let (shared, slot) = (Arc::clone(shared), Arc::clone(slot));
    tokio::spawn(async move {
        if let Ok(stream) = upgraded.await {
            // Whoever hung up knows it already.
            let _ = chat::converse(TokioIo::new(stream), &you, &shared.1).await;
        }
        drop(slot);
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(value) = HeaderValue::from_bytes(accept.as_bytes()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    response
}

fn plain(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    page(status, "text/plain; charset=utf-8", Bytes::from_static(words.as_bytes()))
}

fn page(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn backend() -> SocketAddr {
        let backend = Backend::bind().await.unwrap();
        let address = backend.address();
        let session = Session {
            token: "a.b.c".into(),
            subject: "visitor".into(),
            admin: "http://127.0.0.1:1/".into(),
            explain: "portcullis explain".into(),
        };
        tokio::spawn(backend.serve(session));
        address
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn every_file_the_page_names_is_served_with_a_strict_policy() {
        let address = backend().await;
        for path in ["/", "/demo.css", "/demo.js", "/attacks.js", "/gate.svg", "/session.json", "/verdicts.json"] {
            let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            assert!(answer.contains("default-src 'none'"), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused() {
        let address = backend().await;
        let cases = [("GET /../etc/passwd", "404"), ("GET /x", "404"), ("POST /", "405"), ("GET /ws", "426")];
        for (request, status) in cases {
            let answer = ask(address, &format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_handshake_becomes_a_chat_under_the_name_the_gate_gave() {
        let mut stream = TcpStream::connect(backend().await).await.unwrap();
        let request = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-portcullis-subject: ada\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("\"you\":\"ada\"") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        assert!(seen.starts_with("HTTP/1.1 101"), "{seen}");
        assert!(seen.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{seen}");
    }

    #[test]
    fn the_page_holds_no_inline_script_or_style() {
        for inline in ["<style", " style=", " onclick=", " onload=", " onerror=", " onsubmit=", "javascript:"] {
            assert!(!INDEX.contains(inline), "{inline}");
        }
        assert_eq!(INDEX.matches("<script").count(), INDEX.matches("<script type=\"module\" src=").count());
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
    }
}
