//! Errors as problem details (RFC 9457): what happened and what to do, never what would help to get in.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// An answer of type `about:blank`: its title is the status' own words.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    (status, kind, body.to_string()).into_response()
}
