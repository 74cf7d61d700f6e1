//! Is this a real WebSocket handshake (RFC 6455 4.2.1)? Nothing else is upgraded, so nothing can be smuggled
//! behind a request that only looks like one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, Method, Version, header};

use super::Head;
use crate::verdict::Reason;

/// Whether the client asks for a WebSocket at all.
#[must_use]
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) && has_token(headers, &header::UPGRADE, "websocket")
        || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Judges what every request must have, a handshake or not: one Host (RFC 9112 3.2), and no other host in its
/// target, for the upstream is chosen by the route alone.
///
/// # Errors
/// [`Reason::HandshakeMalformed`].
pub(super) fn check_target(head: &Head<'_>) -> Result<(), (Reason, &'static str)> {
    let Some(host) = only(head.headers, &header::HOST).filter(|host| is_authority(host)) else {
        return Err((Reason::HandshakeMalformed, "there is not exactly one Host that names a host"));
    };
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    match target {
        Some(target) if !target.eq_ignore_ascii_case(host) => {
            Err((Reason::HandshakeMalformed, "the request's target names another host than Host"))
        }
        _ => Ok(()),
    }
}

/// Letters, digits and what stands in names, addresses and ports.
fn is_authority(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b))
}

/// Judges a handshake.
///
/// # Errors
/// [`Reason::HandshakeVersion`] for another version than 13, else [`Reason::HandshakeMalformed`].
pub(super) fn check(head: &Head<'_>) -> Result<(), (Reason, &'static str)> {
    let headers = head.headers;
    let malformed = |what| Err((Reason::HandshakeMalformed, what));
    if head.method != Method::GET {
        return malformed("the method is not GET");
    }
    if head.version != Version::HTTP_11 {
        return malformed("the request is not HTTP/1.1");
    }
    if headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
        return malformed("a handshake has no body");
    }
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return malformed("Upgrade does not name websocket");
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return malformed("Connection does not name upgrade");
    }
    match only(headers, &header::SEC_WEBSOCKET_VERSION) {
        Some(b"13") => {}
        _ => return Err((Reason::HandshakeVersion, "Sec-WebSocket-Version is not 13")),
    }
    match only(headers, &header::SEC_WEBSOCKET_KEY) {
        Some(key) if is_nonce(key) => Ok(()),
        _ => malformed("Sec-WebSocket-Key is not one nonce of 16 bytes"),
    }
}

/// 16 bytes in base64.
fn is_nonce(key: &[u8]) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

/// Whether the list of a header names a token, in any case (RFC 9110 5.6.1).
#[must_use]
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let named = |part: &[u8]| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes());
    let has = |value: &[u8]| named(value) || value.split(|byte| *byte == b',').any(named);
    headers.get_all(name).iter().any(|value| has(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;

    fn judged(edit: impl Fn(&mut HeaderMap)) -> Result<(), Reason> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "gate.test"),
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        edit(&mut headers);
        let uri = Uri::from_static("/ws");
        let head = Head { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &headers };
        check_target(&head).and_then(|()| check(&head)).map_err(|(reason, _)| reason)
    }

    #[test]
    fn a_browsers_handshake_passes() {
        assert_eq!(judged(|_| {}), Ok(()));
    }

    #[test]
    fn only_version_thirteen_is_spoken() {
        for version in ["8", "0", "14", "13, 8", "", "013"] {
            let refused = judged(|headers| {
                headers.insert("sec-websocket-version", version.parse().unwrap());
            });
            assert_eq!(refused, Err(Reason::HandshakeVersion), "{version}");
        }
        assert_eq!(
            judged(|headers| {
                headers.append("sec-websocket-version", "13".parse().unwrap());
            }),
            Err(Reason::HandshakeVersion)
        );
    }

    #[test]
    fn a_key_is_one_nonce_of_sixteen_bytes() {
        for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "!!!!IHNhbXBsZSBub25jZQ=="] {
            let refused = judged(|headers| {
                headers.insert("sec-websocket-key", key.parse().unwrap());
            });
            assert_eq!(refused, Err(Reason::HandshakeMalformed), "{key}");
        }
    }

    #[test]
    fn a_body_a_second_host_or_a_missing_token_is_no_handshake() {
        let edits: [(&'static str, &str); 9] = [
            ("content-length", "1"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("host", "a b"),
            ("host", "a/b"),
            ("host", "root@gate.test"),
            ("host", ""),
            ("upgrade", "websockets"),
            ("connection", "close"),
        ];
        for (name, value) in edits {
            let refused = judged(|headers| {
                headers.insert(name, value.parse().unwrap());
            });
            assert_eq!(refused, Err(Reason::HandshakeMalformed), "{name}: {value}");
        }
        for name in ["host", "sec-websocket-key"] {
            let refused = judged(|headers| {
                let value = headers.get(name).unwrap().clone();
                headers.append(name, value);
            });
            assert_eq!(refused, Err(Reason::HandshakeMalformed), "two {name}");
            let refused = judged(|headers| {
                headers.remove(name);
            });
            assert_eq!(refused, Err(Reason::HandshakeMalformed), "no {name}");
        }
    }

    #[test]
    fn a_target_that_names_another_host_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "gate.test".parse().unwrap());
        for (uri, ok) in [("/ws", true), ("http://gate.test/ws", true), ("http://169.254.169.254/ws", false)] {
            let uri: Uri = uri.parse().unwrap();
            let head = Head { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &headers };
            assert_eq!(check_target(&head).is_ok(), ok, "{uri}");
        }
    }
}
