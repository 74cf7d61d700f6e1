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
    if headers.get_all(header::HOST).iter().count() != 1 {
        return malformed("there is not exactly one Host");
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
        Some(key) if key.len() == 24 && STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) => Ok(()),
        _ => malformed("Sec-WebSocket-Key is not one nonce of 16 bytes"),
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
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
        check(&head).map_err(|(reason, _)| reason)
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
        let set = |name: &'static str, value: &'static str| {
            move |headers: &mut HeaderMap| {
                headers.append(name, value.parse().unwrap());
            }
        };
        let edits = [("content-length", "1"), ("transfer-encoding", "chunked"), ("host", "b.test")]
            .map(|(name, value)| judged(set(name, value)));
        assert_eq!(edits, [Err(Reason::HandshakeMalformed); 3]);
        for (name, value) in [("upgrade", "websockets"), ("connection", "close")] {
            let refused = judged(|headers| {
                headers.insert(name, value.parse().unwrap());
            });
            assert_eq!(refused, Err(Reason::HandshakeMalformed), "{name}");
        }
    }
}
