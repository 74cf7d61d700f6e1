//! One HTTP request of ours to an endpoint outside: key sets, identity providers, introspection, authorizers,
//! callbacks.
//!
//! A connection a request, unless the caller keeps it; bounded in bytes and by the caller in time. Redirects are not followed: whoever answers one
//! would choose where we connect. A name that resolves to an address of an inner network is asked only where
//! [`Reach`] allows it (SSRF); the address that was judged is the one that is dialled.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use portcullis_core::policy::checked::Secret;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::relay::leg::Leg;

/// Whither a URL may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public addresses only: the URL was told by somebody outside.
    Public,
    /// The operator wrote the URL: an inner address is meant where it stands in it, or `localhost` does, not where a
    /// name leads there.
    Written,
    /// Inner addresses too.
    Inner,
    /// Inner addresses too, and plain HTTP to any of them.
    Plain,
}

/// An open connection.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// A request.
pub(crate) struct Call<'a> {
    pub url: &'a str,
    pub reach: Reach,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub bytes_max: usize,
}

/// An answer of 200.
pub(crate) struct Answered {
    pub body: Vec<u8>,
    /// It came from an address of an inner network.
    pub inner: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The URL is none, or may not be asked.
    #[error("{0}")]
    Url(&'static str),
    /// It answered another status than 200.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// It did not answer as it should.
    #[error("{0}")]
    Answer(String),
    /// The connection ended before an answer began: one that was kept may have been closed meanwhile.
    #[error("{0}")]
    Gone(String),
}

impl<'a> Call<'a> {
    /// A GET for JSON.
    pub(crate) fn get(url: &'a str, reach: Reach, bytes_max: usize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
        Self { url, reach, method: Method::GET, headers, body: Bytes::new(), bytes_max }
    }

    /// A POST of some type, for JSON.
    pub(crate) fn post(url: &'a str, reach: Reach, kind: &'static str, body: Bytes, bytes_max: usize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Self { url, reach, method: Method::POST, headers, body, bytes_max }
    }

    /// Shows a token. False where it cannot stand in a header.
    pub(crate) fn bear(&mut self, token: &Secret) -> bool {
        let Ok(mut bearer) = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat()) else { return false };
        bearer.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, bearer);
        true
    }

    /// Asks over a connection of its own.
    pub(crate) async fn send(self, tls: &Arc<ClientConfig>) -> Result<Answered, CallError> {
        let (leg, inner) = self.connect(tls).await?;
        let (mut sender, connection) = handshake(leg).await?;
        // Driven beside the request, in the same task: this runs on threads with and without a local set.
        let mut exchange = std::pin::pin!(self.ask(&mut sender));
        let mut connection = std::pin::pin!(connection);
        let body = tokio::select! {
            done = &mut exchange => done,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(failed(error)),
            },
        }?;
        Ok(Answered { body, inner })
    }

    /// Opens a connection for this question and further ones, driven by a task of this thread.
    pub(crate) async fn open(&self, tls: &Arc<ClientConfig>) -> Result<Sender, CallError> {
        let (leg, _) = self.connect(tls).await?;
        let (sender, connection) = handshake(leg).await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to an endpoint ended: {error}");
            }
        });
        Ok(sender)
    }

    async fn connect(&self, tls: &Arc<ClientConfig>) -> Result<(Leg, bool), CallError> {
        let uri = self.uri()?;
        let host = uri.host().ok_or(CallError::Url("names no host"))?.trim_matches(['[', ']']).to_owned();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(CallError::Url("must begin with `https://`")),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let address = resolve(&host, port).await.map_err(failed)?;
        self.reach.check(&host, address.ip(), secure)?;
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let leg = if secure {
            let name = ServerName::try_from(host).map_err(|_| CallError::Url("names no valid host"))?;
            let connector = TlsConnector::from(Arc::clone(tls));
            Leg::TlsClient(Box::new(connector.connect(name, stream).await.map_err(failed)?))
        } else {
            Leg::Tcp(stream)
        };
        Ok((leg, is_private(address.ip())))
    }

    fn uri(&self) -> Result<Uri, CallError> {
        self.url.parse().map_err(|_| CallError::Url("is not a URL"))
    }

    /// Asks over a connection that is open.
    pub(crate) async fn ask(&self, sender: &mut Sender) -> Result<Vec<u8>, CallError> {
        let uri = self.uri()?;
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, authority)
            .header(header::USER_AGENT, "portcullis")
            .body(Full::new(self.body.clone()))
            .map_err(failed)?;
        request.headers_mut().extend(self.headers.clone());
        sender.ready().await.map_err(|error| CallError::Gone(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| {
            let gone = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
            let broken = std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
            if gone || broken { CallError::Gone(error.to_string()) } else { failed(error) }
        })?;
        let status = response.status();
        if status.is_redirection() {
            return Err(failed(format_args!("it answered {status}, and redirects are not followed")));
        }
        if status != StatusCode::OK {
            return Err(CallError::Status(status));
        }
        let body = Limited::new(response.into_body(), self.bytes_max).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|error| match error.is::<LengthLimitError>() {
            true => failed(format_args!("it sent more than the {} bytes allowed", self.bytes_max)),
            false => failed(error),
        })
    }
}

async fn handshake(leg: Leg) -> Result<(Sender, Connection<TokioIo<Leg>, Full<Bytes>>), CallError> {
    hyper::client::conn::http1::handshake(TokioIo::new(leg)).await.map_err(failed)
}

impl Reach {
    fn check(self, host: &str, ip: IpAddr, secure: bool) -> Result<(), CallError> {
        let written = self == Self::Written && (host.parse::<IpAddr>().is_ok() || host == "localhost");
        if is_private(ip) && !written && !matches!(self, Self::Inner | Self::Plain) {
            return Err(CallError::Url(match self {
                Self::Public => "leads to a private address, and the provider itself is at a public one",
                _ => "resolves to a private address; write the address itself, or turn `private_network` on",
            }));
        }
        if !secure && !ip.is_loopback() && self != Self::Plain {
            return Err(CallError::Url("must begin with `https://`; plain http is for loopback only"));
        }
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> CallError {
    CallError::Answer(error.to_string())
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

    #[test]
    fn a_url_leads_where_its_author_may_send_us() {
        let may = |reach: Reach, host: &str, ip: &str, secure| reach.check(host, ip.parse().unwrap(), secure).is_ok();
        let metadata = ("169.254.169.254", "169.254.169.254");
        // Whoever tells a URL from outside cannot turn us on our own network, by address or by name.
        assert!(!may(Reach::Public, metadata.0, metadata.1, true));
        assert!(!may(Reach::Public, "127.0.0.1", "127.0.0.1", false));
        assert!(!may(Reach::Public, "inner.example", "10.0.0.7", true));
        assert!(may(Reach::Public, "keys.example", "1.1.1.1", true));
        assert!(!may(Reach::Public, "keys.example", "1.1.1.1", false), "plain http");
        assert!(may(Reach::Written, "10.0.0.7", "10.0.0.7", true));
        assert!(may(Reach::Written, "localhost", "127.0.0.1", false));
        assert!(!may(Reach::Written, "rebound.example", "10.0.0.7", true));
        assert!(may(Reach::Inner, "idp.internal", "10.0.0.7", true));
        assert!(!may(Reach::Inner, "idp.internal", "10.0.0.7", false));
        assert!(may(Reach::Plain, "authz.internal", "10.0.0.7", false));
    }
}
