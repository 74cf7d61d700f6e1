//! Opaque tokens asked about at their provider (RFC 7662; SPEC 3.3).
//!
//! Asks and decides nothing: the core reads the answer. At most [`QUESTIONS_MAX`] at once; who waits for a place waits
//! within the timeout. The token and the client's secret stand in the request and nowhere else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use portcullis_core::identity::introspection::{ANSWER_BYTES_MAX, Opaque};
use portcullis_core::policy::checked::Introspection;
use tokio::sync::Semaphore;

use crate::endpoint::{Call, Reach};
use crate::metrics::{Outcome, Purpose};
use crate::shared::Shared;

/// Questions at once, over all threads; further ones wait.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// What a form field leaves as it is; the rest is escaped (RFC 6749 B).
const FIELD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The places for questions.
pub(crate) fn places() -> Semaphore {
    Semaphore::new(QUESTIONS_MAX)
}

/// The body of a 200, or in words why there is none.
pub(crate) async fn ask(shared: &Shared, token: &Opaque) -> Result<Vec<u8>, String> {
    let policy = shared.policy.load_full();
    let Some(spec) = &policy.checked.identity.introspection else {
        return Err("introspection was turned off meanwhile".to_owned());
    };
    let asked = tokio::time::timeout(spec.timeout, send(shared, spec, token)).await;
    let answer = asked.unwrap_or_else(|_| Err(late(spec.timeout)));
    shared.metrics.outbound(Purpose::Introspection, if answer.is_ok() { Outcome::Answered } else { Outcome::Failed });
    answer.map_err(|why| format!("`{}`: {why}", spec.url))
}

/// In words.
pub(crate) fn late(timeout: Duration) -> String {
    format!("no answer within {} ms", timeout.as_millis())
}

async fn send(shared: &Shared, spec: &Introspection, token: &Opaque) -> Result<Vec<u8>, String> {
    // It is never closed.
    let _place = shared.introspections.acquire().await.map_err(|error| error.to_string())?;
    let body = format!("token={}&token_type_hint=access_token", field(token.0.as_bytes()));
    let reach = if spec.private_network { Reach::Inner } else { Reach::Written };
    let kind = "application/x-www-form-urlencoded";
    let mut call = Call::post(&spec.url, reach, kind, Bytes::from(body), ANSWER_BYTES_MAX);
    // RFC 6749 2.3.1: both are form fields before they are a user and a password.
    let basic = format!("{}:{}", field(spec.client_id.as_bytes()), field(spec.client_secret.expose()));
    let basic = format!("Basic {}", STANDARD.encode(basic));
    let mut basic = HeaderValue::from_str(&basic).map_err(|error| error.to_string())?;
    basic.set_sensitive(true);
    call.headers.insert(header::AUTHORIZATION, basic);
    let answered = call.send(&shared.client_tls).await.map_err(|error| error.to_string())?;
    Ok(answered.body)
}

fn field(bytes: &[u8]) -> String {
    percent_encode(bytes, FIELD).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_break_out_of_its_field() {
        assert_eq!(field(b"a&active=true#%+/~"), "a%26active%3Dtrue%23%25%2B%2F%7E");
    }
}
