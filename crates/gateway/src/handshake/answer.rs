//! What a handshake is answered with: the head of a 101.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use portcullis_codec::deflate::{DeflatePolicy, Params};
use portcullis_codec::handshake::accept_key;
use portcullis_codec::{Offer, Proposal};
use portcullis_core::admission::{Admitted, credential};

use super::Body;
use crate::upstream::Opened;

/// The first subprotocol that is no credential: what a socket that is closed at once is told, for a browser
/// fails a handshake that ignores its list.
pub(super) fn first_protocol(headers: &HeaderMap) -> Option<String> {
    let offered = credential::offered_protocols(headers);
    offered.into_iter().next()
}

pub(super) fn offered_deflate(admitted: &Admitted, headers: &HeaderMap) -> Result<Option<Proposal>, String> {
    let compression = &admitted.route.spec.compression;
    let policy = DeflatePolicy { enabled: compression.enabled, context_takeover: compression.context_takeover };
    let values = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::as_bytes);
    let offers = Offer::parse_all(values).map_err(|error| error.to_string())?;
    Ok(policy.propose(&offers))
}

/// 101, as RFC 6455 4.2.2 writes it; a chosen subprotocol takes the place of `bearer`.
pub(super) fn accepted(key: &HeaderValue, request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_bytes(accept_key(key.as_bytes()).as_bytes()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(bearer) = credential::announced_bearer(request).and_then(|bearer| HeaderValue::from_str(bearer).ok()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, bearer);
    }
    response
}

pub(super) fn switching(
    key: &HeaderValue,
    request: &HeaderMap,
    admitted: &mut Admitted,
    opened: &mut Opened,
) -> Response<Body> {
    let mut response = accepted(key, request);
    let headers = response.headers_mut();
    let mut last = None;
    for (name, value) in std::mem::take(&mut opened.headers) {
        // The map names a header once, before the first of its values.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| !headers.contains_key(*name) || *name == header::SET_COOKIE) {
            headers.append(name, value);
        }
    }
    headers.extend(std::mem::take(&mut admitted.response_headers));
    let mut say = |name, text: Option<String>| {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    };
    say(header::SEC_WEBSOCKET_PROTOCOL, opened.protocol.clone());
    say(header::SEC_WEBSOCKET_EXTENSIONS, opened.deflate.as_ref().map(Params::header_value));
    response
}
