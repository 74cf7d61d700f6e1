//! Callbacks asked about messages (SPEC 8.11).
//!
//! Asks and decides nothing: the core says whom to ask, what, and what an answer means. Questions to one URL at once are
//! bounded, and who waits for a place waits within the timeout; so are the bytes that wait over all connections
//! ([`WAITING_BYTES_MAX`]): what comes beyond is treated as not answered. Polled by the relay of the message's
//! connection, so a connection that ends takes its questions with it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use portcullis_core::inspection::Finding;
use portcullis_core::inspection::callback::{ANSWER_BYTES_MAX, Ask, Heard};
use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::{Callback, OnRefuse};
use tokio::sync::Semaphore;

use crate::endpoint::{Call, CallError, Reach};
use crate::introspect::late;
use crate::metrics::{Outcome, Purpose};
use crate::shared::Shared;
use crate::worker::Worker;

/// Bytes of messages and questions that wait at once, over all connections.
pub(crate) const WAITING_BYTES_MAX: usize = 256 << 20;

/// What waits, over all threads.
#[derive(Default)]
pub(crate) struct Callbacks {
    places: Mutex<HashMap<(String, usize), Arc<Semaphore>>>,
    bytes: AtomicUsize,
}

/// Bytes that wait; given back when it is dropped.
pub(crate) struct Reserved {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Callbacks {
    /// Forgets URLs that a new policy lacks.
    pub(crate) fn keep(&self, policy: &Policy) {
        let specs = || policy.routes().iter().flat_map(|route| [&route.spec.inbound, &route.spec.outbound]);
        let named = |(url, places): &(String, usize)| {
            specs()
                .flat_map(|messages| &messages.callbacks)
                .any(|callback| callback.url == *url && callback.concurrency_max == *places)
        };
        self.lock().retain(|key, _| named(key));
    }

    fn place(&self, callback: &Callback) -> Arc<Semaphore> {
        let key = (callback.url.clone(), callback.concurrency_max);
        let mut places = self.lock();
        Arc::clone(places.entry(key).or_insert_with(|| Arc::new(Semaphore::new(callback.concurrency_max))))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, usize), Arc<Semaphore>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Room for so many bytes, if there is any.
    pub(crate) fn room(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let waiting = &shared.callbacks.bytes;
        let fits = |held: usize| held.checked_add(bytes).filter(|all| *all <= WAITING_BYTES_MAX);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self { shared: Arc::clone(shared), bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.callbacks.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the callbacks have against a message: the last finding decides. `room` is what keeps its bytes.
pub(crate) async fn hear(worker: Rc<Worker>, ask: Box<Ask>, question: Bytes, room: Option<Reserved>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for callback in &ask.callbacks {
        let heard = match &room {
            Some(_) => one(&worker, callback, question.clone()).await,
            None => Heard::Failed(format!("more than {WAITING_BYTES_MAX} bytes wait for callbacks")),
        };
        let Some(finding) = ask.conclude(callback, heard) else { continue };
        let ends = finding.outcome != OnRefuse::Observe;
        findings.push(finding);
        if ends {
            break;
        }
    }
    findings
}

async fn one(worker: &Worker, callback: &Callback, question: Bytes) -> Heard {
    let shared = &worker.shared;
    let begun = shared.clock.mono();
    let asked = tokio::time::timeout(callback.timeout, send(shared, callback, question)).await;
    let heard = asked.unwrap_or_else(|_| Heard::Failed(late(callback.timeout)));
    worker.shard().callback(shared.clock.mono().saturating_sub(begun));
    let outcome = if matches!(heard, Heard::Failed(_)) { Outcome::Failed } else { Outcome::Answered };
    shared.metrics.outbound(Purpose::Callback, outcome);
    match heard {
        Heard::Failed(why) => Heard::Failed(format!("`{}`: {why}", callback.url)),
        heard => heard,
    }
}

async fn send(shared: &Shared, callback: &Callback, question: Bytes) -> Heard {
    let places = shared.callbacks.place(callback);
    // It is never closed.
    let Ok(_place) = places.acquire().await else { return Heard::Failed("stopped".to_owned()) };
    let mut call = Call::post(&callback.url, Reach::Plain, "application/json", question, ANSWER_BYTES_MAX);
    if let Some(token) = &callback.token
        && !call.bear(token)
    {
        return Heard::Failed("the token cannot stand in a header".to_owned());
    }
    match call.send(&shared.client_tls).await {
        Ok(answered) => Heard::Body(answered.body),
        Err(CallError::Status(status)) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Heard::Forbidden(status.as_u16())
        }
        Err(error) => Heard::Failed(error.to_string()),
    }
}
