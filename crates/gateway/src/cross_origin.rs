//! What pages of other origins are told by our own endpoints (Fetch, CORS protocol). Who is allowed, the core says.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};

use crate::handshake::Body;

/// What a page may send along.
const ALLOWED_HEADERS: &str = "authorization, content-type, x-api-key";

/// Answers a preflight.
pub(crate) fn preflight(headers: &HeaderMap, allowed: bool, methods: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = if allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    if allowed {
        let out = response.headers_mut();
        allow(headers, out);
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Names the origin that was allowed; never `*`, for cookies come along.
pub(crate) fn allow(headers: &HeaderMap, out: &mut HeaderMap) {
    if let Some(origin) = headers.get(header::ORIGIN) {
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        out.insert(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// The answer to a method that an endpoint does not know.
pub(crate) fn method_not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
