//! The WebSocket handshake as a backend's client (RFC 6455 4.1): one write, one read, no more than a socket needs.
//!
//! Nothing but our request is sent before a 101, which is checked; any other answer is handed back to be passed on, and
//! that socket is never used for frames.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portcullis_codec::Proposal;
use portcullis_codec::deflate::Params;
use portcullis_codec::handshake::{accept_key, request_key};
use portcullis_core::admission::has_token;
use portcullis_core::policy::Route;
use portcullis_core::verdict::Reason;
use tokio::io::AsyncWriteExt as _;

use super::replay::Replay;
use super::{Failure, Lease, dial, keep_end_to_end};
use crate::relay::leg::Leg;
use crate::worker::Worker;

/// Response headers read from a backend.
const HEADERS_MAX: usize = 100;
/// Response head read from a backend, bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// What to ask of a backend.
pub(crate) struct Ask<'a> {
    /// Path and query, the token already taken out.
    pub path: &'a str,
    /// Rebuilt headers; those of the handshake come to them.
    pub headers: &'a mut HeaderMap,
    /// Subprotocols the client offers.
    pub protocols: &'a [String],
    /// What the caller is balanced by, where the route hashes.
    pub balance_key: Option<u64>,
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
pub(crate) async fn open(worker: &Rc<Worker>, route: &Route, ask: Ask<'_>) -> Result<Answer, Failure> {
    let within = route.spec.times.upstream_connect;
    match tokio::time::timeout(within, open_unbounded(worker, route, ask)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new(Reason::UpstreamTimeout, format!("no answer within {} ms", within.as_millis()))),
    }
}

async fn open_unbounded(worker: &Rc<Worker>, route: &Route, ask: Ask<'_>) -> Result<Answer, Failure> {
    let (mut leg, lease) = dial(worker, route, ask.balance_key).await?;
    let broken = |what: String| Failure::new(Reason::UpstreamProtocol, format!("`{}`: {what}", lease.authority()));
    let key = fresh_key(worker);
    let path = path(&ask, &lease)?;
    complete(ask.headers, ask.protocols, ask.deflate.as_ref(), &lease, key)?;
    let request = written(&path, ask.headers);
    leg.write_all(&request).await.map_err(|error| broken(error.to_string()))?;
    leg.flush().await.map_err(|error| broken(error.to_string()))?;
    let (read, heard) = answer(worker, &mut leg).await.map_err(broken)?;
    if heard.status != StatusCode::SWITCHING_PROTOCOLS {
        let response = refused(Replay::new(leg, read), path, ask.headers.clone()).await;
        return Ok(Answer::Refused(response.map_err(|error| broken(error.to_string()))?, lease));
    }
    let (protocol, deflate) = check(&heard.headers, key, &ask).map_err(broken)?;
    let early = Bytes::copy_from_slice(read.get(heard.head_bytes..).unwrap_or_default());
    let mut headers = heard.headers;
    keep_end_to_end(&mut headers);
    Ok(Answer::Opened(Box::new(Opened { leg, early, lease, protocol, deflate, headers })))
}

/// What a backend said first.
pub(super) struct Heard {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Its head, and any interim answers before it.
    head_bytes: usize,
}

/// Reads until a backend's head is whole; gives all that was read.
async fn answer(worker: &Worker, leg: &mut Leg) -> Result<(Vec<u8>, Heard), String> {
    let mut read = Vec::new();
    loop {
        let more = poll_fn(|cx| {
            let mut reads = worker.reads.borrow_mut();
            let count = ready!(leg.poll_recv(cx, reads.room()))?;
            read.extend_from_slice(reads.room().get(..count).unwrap_or_default());
            Poll::Ready(Ok::<_, std::io::Error>(count))
        });
        if more.await.map_err(|error| error.to_string())? == 0 {
            return Err(String::from("it closed the connection before it answered"));
        }
        if let Some(heard) = parsed(&read)? {
            return Ok((read, heard));
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(format!("the head of its answer is larger than {HEAD_BYTES_MAX} bytes"));
        }
    }
}

/// The head at the start of `bytes`, once it is whole. Interim answers (RFC 9110 15.2) are passed over.
pub(super) fn parsed(bytes: &[u8]) -> Result<Option<Heard>, String> {
    let mut at = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let rest = bytes.get(at..).unwrap_or_default();
        let head = response.parse(rest).map_err(|error| format!("its answer is not HTTP: {error}"))?;
        let httparse::Status::Complete(length) = head else { return Ok(None) };
        at += length;
        let status =
            response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("its answer has no status")?;
        if status == StatusCode::SWITCHING_PROTOCOLS && response.version != Some(1) {
            return Err(String::from("its 101 is not HTTP/1.1"));
        }
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let mut headers = HeaderMap::with_capacity(response.headers.len());
        for header in response.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| error.to_string())?;
            headers.append(name, HeaderValue::from_bytes(header.value).map_err(|error| error.to_string())?);
        }
        return Ok(Some(Heard { status, headers, head_bytes: at }));
    }
}

/// An answer that is passed on: its body is framed as HTTP says, which hyper reads.
async fn refused(replay: Replay, path: PathAndQuery, headers: HeaderMap) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(replay))
        .await?;
    tokio::task::spawn_local(async move {
        // Errors come out of `send_request` too, where they are told.
        let _ = connection.await;
    });
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path.into();
    *request.headers_mut() = headers;
    sender.send_request(request).await
}

/// 16 bytes that differ from handshake to handshake (RFC 6455 4.1); they prove an answer, and hide nothing.
fn fresh_key(worker: &Worker) -> [u8; 24] {
    let mut nonce = [0; 16];
    for part in nonce.chunks_exact_mut(4) {
        part.copy_from_slice(&worker.mask_key());
    }
    request_key(nonce)
}

fn unwritable(what: &str) -> Failure {
    Failure::new(Reason::UpstreamProtocol, format!("the request cannot be written: {what}"))
}

fn path(ask: &Ask<'_>, lease: &Lease) -> Result<PathAndQuery, Failure> {
    let path = match lease.path_prefix() {
        "" => ask.path.try_into(),
        prefix => format!("{prefix}{}", ask.path).try_into(),
    };
    path.map_err(|_| unwritable("its path"))
}

/// Adds the handshake's own headers.
fn complete(
    headers: &mut HeaderMap,
    protocols: &[String],
    deflate: Option<&Proposal>,
    lease: &Lease,
    key: [u8; 24],
) -> Result<(), Failure> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| unwritable("a header"));
    headers.insert(header::HOST, lease.host().ok_or_else(|| unwritable("its host"))?.clone());
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_bytes(&key).map_err(|_| unwritable("its key"))?);
    if !protocols.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(&protocols.join(", "))?);
    }
    if let Some(deflate) = deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, value(&deflate.header_value())?);
    }
    Ok(())
}

/// The request as it goes out. Names and values are of types that hold no line end.
pub(super) fn written(path: &PathAndQuery, headers: &HeaderMap) -> Vec<u8> {
    let fields = || headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let bytes: usize = fields().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut out = Vec::with_capacity(bytes + path.as_str().len() + 24);
    for part in [b"GET ", path.as_str().as_bytes(), b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
    for (name, value) in fields() {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

pub(super) type Agreed = (Option<String>, Option<Params>);

/// RFC 6455 4.1: what a client must see in a 101.
pub(super) fn check(headers: &HeaderMap, key: [u8; 24], ask: &Ask<'_>) -> Result<Agreed, String> {
    if !has_token(headers, &header::UPGRADE, "websocket") || !has_token(headers, &header::CONNECTION, "upgrade") {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-A: 1\r\nX-A: 2\r\n\r\n";

    #[test]
    fn a_head_is_read_whole_and_what_follows_it_is_left() {
        let text = format!("{SWITCHING}\x01\x02");
        for end in 0..SWITCHING.len() {
            assert!(parsed(text.as_bytes().get(..end).unwrap_or_default()).unwrap().is_none(), "{end}");
        }
        let heard = parsed(text.as_bytes()).unwrap().unwrap();
        assert_eq!((heard.status.as_u16(), heard.head_bytes), (101, SWITCHING.len()));
        assert_eq!(heard.headers.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let text = format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{SWITCHING}");
        let heard = parsed(text.as_bytes()).unwrap().unwrap();
        assert_eq!((heard.status.as_u16(), heard.head_bytes), (101, text.len()));
    }

    #[test]
    fn what_is_not_http_is_told() {
        for text in
            ["SSH-2.0-x\r\n", "HTTP/1.0 101 x\r\n\r\n", "HTTP/1.1 42 x\r\n\r\n", "HTTP/1.1 101 x\r\na b: c\r\n\r\n"]
        {
            assert!(parsed(text.as_bytes()).is_err(), "{text}");
        }
        let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(parsed(many.as_bytes()).is_err());
    }

    #[test]
    fn a_request_is_written_as_rfc_9112_has_it() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a:1"));
        let path = PathAndQuery::from_static("/ws?x=1");
        assert_eq!(written(&path, &headers), b"GET /ws?x=1 HTTP/1.1\r\nhost: a:1\r\n\r\n");
    }
}
