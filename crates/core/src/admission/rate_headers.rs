//! `RateLimit` and `RateLimit-Policy` of an answer to a handshake (SPEC 2.5).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::Limit;

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds `RateLimit-Policy` and, where something is left to tell, `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
pub(super) fn say_limit(headers: &mut HeaderMap, policy: &str, left: &str) {
    for (name, text) in [(&POLICY, policy), (&LEFT, left)] {
        if let Some(value) = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty()) {
            headers.append(name, value);
        }
    }
}

/// The policy of connection attempts, as those headers say it.
pub(super) fn attempts(limit: &Limit) -> String {
    format!("\"attempts\";q={};w={}", limit.capacity(), seconds(limit.period()))
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
