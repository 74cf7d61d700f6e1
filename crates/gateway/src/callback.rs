//! Callbacks asked about messages (SPEC 8.11).
//!
//! Asks and decides nothing: the core says whom to ask, what, and what an answer means. Questions to one URL at once are
//! bounded, and who waits for a place waits within the timeout; so are the bytes that wait over all connections
//! ([`WAITING_BYTES_MAX`]): what comes beyond is treated as not answered. A thread keeps connections for its next
//! questions. Polled by the relay of the message's
//! connection, so a connection that ends takes its questions with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use portcullis_core::identity::Principal;
use portcullis_core::inspection::callback::{ANSWER_BYTES_MAX, Ask, Asker, Heard, REWRITING_ANSWER_BYTES_MAX};
use portcullis_core::inspection::{Context, Direction, Finding, Plan};
use portcullis_core::limits::IpKey;
use portcullis_core::policy::checked::{Callback, OnRefuse};
use portcullis_core::policy::{Policy, Route};
use tokio::sync::Semaphore;

use crate::endpoint::{Call, CallError, Reach, Sender};
use crate::introspect::late;
use crate::metrics::{Outcome, Purpose};
use crate::shared::Shared;
use crate::worker::Worker;

/// Connections to one URL that a thread keeps while nobody uses them.
const IDLE_MAX: usize = 16;
/// The longest that a connection is used: a name may lead elsewhere by then.
const KEPT_FOR: Duration = Duration::from_secs(30);
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

/// Who said a message, for as long as it waits.
pub(crate) struct Speaker {
    pub route: Arc<Route>,
    pub principal: Arc<Principal>,
    pub client: IpAddr,
    pub ip_key: IpKey,
    pub connection_id: String,
    pub direction: Direction,
}

impl Speaker {
    pub(crate) fn question(&self, ask: &Ask) -> Bytes {
        Bytes::from(ask.question(&Asker {
            route: &self.route.spec.name,
            direction: self.direction,
            client: self.client,
            connection_id: &self.connection_id,
            principal: &self.principal,
        }))
    }

    fn plan(&self) -> &Plan {
        match self.direction {
            Direction::Inbound => &self.route.inbound,
            Direction::Outbound => &self.route.outbound,
        }
    }
}

/// What callbacks made of a message.
pub(crate) struct Answers {
    /// The last one decides.
    pub findings: Vec<Finding>,
    /// The message, as they left it.
    pub ask: Box<Ask>,
}

/// Asks one callback after the other. `room` is what keeps the message's bytes.
pub(crate) async fn hear(
    worker: Rc<Worker>,
    speaker: Speaker,
    mut ask: Box<Ask>,
    mut question: Bytes,
    room: Option<Reserved>,
) -> Answers {
    let mut findings = Vec::new();
    // Of what the last one wrote, and of the question about it.
    let mut written = None;
    for callback in ask.callbacks.clone() {
        let mut heard = match &room {
            Some(_) => one(&worker, &callback, question.clone()).await,
            None => no_room(),
        };
        let mut kept = None;
        if let (true, Heard::Body(body)) = (callback.may_rewrite, &heard) {
            kept = Reserved::room(&worker.shared, body.len().saturating_mul(3));
            if kept.is_none() {
                heard = no_room();
            }
        }
        let shared = &worker.shared;
        let cx = Context {
            now: shared.clock.now(),
            principal: &speaker.principal,
            ip: &speaker.ip_key,
            ledger: &shared.ledger,
        };
        let concluded = ask.conclude(speaker.plan(), &cx, &mut worker.scratch.borrow_mut().work, &callback, heard);
        let Some(finding) = concluded else { continue };
        if finding.outcome == OnRefuse::Replace {
            question = speaker.question(&ask);
            written = kept;
        }
        let ends = !finding.outcome.passes();
        findings.push(finding);
        if ends {
            break;
        }
    }
    drop((room, written));
    Answers { findings, ask }
}

fn no_room() -> Heard {
    Heard::Failed(format!("more than {WAITING_BYTES_MAX} bytes wait for callbacks"))
}

async fn one(worker: &Worker, callback: &Callback, question: Bytes) -> Heard {
    let shared = &worker.shared;
    let begun = shared.clock.mono();
    let asked = tokio::time::timeout(callback.timeout, send(worker, callback, question)).await;
    let heard = asked.unwrap_or_else(|_| Heard::Failed(late(callback.timeout)));
    worker.shard().callback(shared.clock.mono().saturating_sub(begun));
    let outcome = if matches!(heard, Heard::Failed(_)) { Outcome::Failed } else { Outcome::Answered };
    shared.metrics.outbound(Purpose::Callback, outcome);
    match heard {
        Heard::Failed(why) => Heard::Failed(format!("`{}`: {why}", callback.url)),
        heard => heard,
    }
}

async fn send(worker: &Worker, callback: &Callback, question: Bytes) -> Heard {
    let places = worker.shared.callbacks.place(callback);
    // It is never closed.
    let Ok(_place) = places.acquire().await else { return Heard::Failed("stopped".to_owned()) };
    let shared = &worker.shared;
    let most = if callback.may_rewrite { REWRITING_ANSWER_BYTES_MAX } else { ANSWER_BYTES_MAX };
    let mut call = Call::post(&callback.url, Reach::Plain, "application/json", question, most);
    if let Some(token) = &callback.token
        && !call.bear(token)
    {
        return Heard::Failed("the token cannot stand in a header".to_owned());
    }
    let now = || shared.clock.mono();
    if let Some(mut idle) = worker.idle.take(&callback.url, now()) {
        match call.ask(&mut idle.sender).await {
            // It was closed while nobody used it: the question goes over a new one.
            Err(CallError::Gone(_)) => {}
            answer => return heard(worker, callback, idle, answer),
        }
    }
    match call.open(&shared.client_tls).await {
        Err(error) => Heard::Failed(error.to_string()),
        Ok(sender) => {
            let mut idle = Idle { sender, opened: now() };
            let answer = call.ask(&mut idle.sender).await;
            heard(worker, callback, idle, answer)
        }
    }
}

fn heard(worker: &Worker, callback: &Callback, idle: Idle, answer: Result<Vec<u8>, CallError>) -> Heard {
    match answer {
        Ok(body) => {
            worker.idle.keep(&callback.url, idle);
            Heard::Body(body)
        }
        Err(CallError::Status(status)) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Heard::Forbidden(status.as_u16())
        }
        Err(error) => Heard::Failed(error.to_string()),
    }
}

/// A connection that nobody uses.
pub(crate) struct Idle {
    sender: Sender,
    opened: Duration,
}

/// Connections that a thread keeps, by URL.
#[derive(Default)]
pub(crate) struct Kept {
    idle: RefCell<HashMap<String, Vec<Idle>>>,
}

impl Kept {
    /// One that is still good.
    fn take(&self, url: &str, now: Duration) -> Option<Idle> {
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(url)?;
        idle.retain(|one| !one.sender.is_closed() && now.saturating_sub(one.opened) < KEPT_FOR);
        idle.pop()
    }

    fn keep(&self, url: &str, one: Idle) {
        let mut all = self.idle.borrow_mut();
        let idle = all.entry(url.to_owned()).or_default();
        if idle.len() < IDLE_MAX && !one.sender.is_closed() {
            idle.push(one);
        }
    }

    /// Forgets all: other URLs may be in force.
    pub(crate) fn forget(&self) {
        self.idle.borrow_mut().clear();
    }
}
