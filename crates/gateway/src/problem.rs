//! A refusal as an HTTP answer: problem details (RFC 9457), with the reference that leads to the event.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use portcullis_core::verdict::Reason;

/// What a client is told to wait where nobody knows when a place will be free.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

/// The answer for a reason of the table.
pub(crate) fn response(
    reason: Reason,
    detailed: bool,
    reference: &str,
    retry_after: Option<Duration>,
) -> Response<Full<Bytes>> {
    let row = reason.row();
    let status = StatusCode::from_u16(row.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": row.public,
        "status": status.as_u16(),
        "reference": reference,
    });
    if detailed && let Some(object) = body.as_object_mut() {
        object.insert(String::from("code"), row.label.into());
        object.insert(String::from("detail"), row.internal.into());
        object.insert(String::from("advice"), row.advice.into());
    }
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade, close"));
            headers.insert(HeaderName::from_static("sec-websocket-version"), HeaderValue::from_static("13"));
        }
        _ => {}
    }
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if let Some(wait) = retry_after.or(waits.then_some(RETRY_AFTER_UNKNOWN)) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(reason: Reason, known: Option<Duration>) -> Option<String> {
        let response = response(reason, false, "a-reference", known);
        response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        for (reason, known, told) in [
            (Reason::ConnectionsPerIp, None, Some("5")),
            (Reason::Draining, None, Some("5")),
            (Reason::ConnectionRate, Some(Duration::from_millis(1)), Some("1")),
            (Reason::ConnectionRate, Some(Duration::from_millis(61_001)), Some("62")),
            (Reason::CredentialMissing, None, None),
        ] {
            assert_eq!(retry_after(reason, known).as_deref(), told, "{}", reason.label());
        }
    }
}
