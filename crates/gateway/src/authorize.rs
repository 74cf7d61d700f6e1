//! The external authorizer of a route, asked (SPEC 4.4).
//!
//! Asks and decides nothing: the core reads the answer. At most [`QUESTIONS_MAX`] at once; who waits for a place waits
//! within the timeout.

use bytes::Bytes;
use http::StatusCode;
use portcullis_core::admission::authorizer::{ANSWER_BYTES_MAX, Reply};
use portcullis_core::policy::checked::Authorizer;
use tokio::sync::Semaphore;

use crate::endpoint::{Call, CallError, Reach};
use crate::introspect::late;
use crate::metrics::{Outcome, Purpose};
use crate::shared::Shared;

/// Questions at once, over all threads and routes; further ones wait.
const QUESTIONS_MAX: usize = 128;

/// The places for questions.
pub(crate) fn places() -> Semaphore {
    Semaphore::new(QUESTIONS_MAX)
}

/// What the authorizer of a route says.
pub(crate) async fn ask(shared: &Shared, route: &str, body: Vec<u8>) -> Reply {
    let policy = shared.policy.load_full();
    let route = policy.route_named(route);
    let Some(spec) = route.as_ref().and_then(|route| route.spec.authorizer.as_ref()) else {
        return Reply::Failed("the configuration changed meanwhile".to_owned());
    };
    let asked = tokio::time::timeout(spec.timeout, send(shared, spec, body)).await;
    let reply = asked.unwrap_or_else(|_| Reply::Failed(late(spec.timeout)));
    let outcome = if matches!(reply, Reply::Failed(_)) { Outcome::Failed } else { Outcome::Answered };
    shared.metrics.outbound(Purpose::Authorizer, outcome);
    match reply {
        Reply::Failed(why) => Reply::Failed(format!("`{}`: {why}", spec.url)),
        reply => reply,
    }
}

async fn send(shared: &Shared, spec: &Authorizer, body: Vec<u8>) -> Reply {
    // It is never closed.
    let Ok(_place) = shared.authorizations.acquire().await else { return Reply::Failed("stopped".to_owned()) };
    let mut call = Call::post(&spec.url, Reach::Plain, "application/json", Bytes::from(body), ANSWER_BYTES_MAX);
    if let Some(token) = &spec.token
        && !call.bear(token)
    {
        return Reply::Failed("the token cannot stand in a header".to_owned());
    }
    match call.send(&shared.client_tls).await {
        Ok(answered) => Reply::Body(answered.body),
        Err(CallError::Status(status)) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Reply::Forbidden(status.as_u16())
        }
        Err(error) => Reply::Failed(error.to_string()),
    }
}
