//! Whether backends are well: each is asked on its interval, apart from clients (SPEC 1.4). One that fails so often in
//! a row gets no new connections while another is well, until it has answered so often in a row. Each change is an
//! event. What a backend says in answer is not kept; its status alone counts.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_codec::handshake::request_key;
use portcullis_core::event::Decision;
use portcullis_core::policy::checked::{HealthCheck, HealthQuestion, Upstream};
use portcullis_core::verdict::Reason;
use tokio::io::AsyncWriteExt as _;

use super::Ask;
use super::handshake::{HEAD_BYTES_MAX, Heard, check, parsed, written};
use super::pool::Backend;
use crate::metrics::{Outcome, Purpose};
use crate::record::Draft;
use crate::relay::leg::Leg;
use crate::shared::Shared;
use crate::tls::untrusted;

/// From one look at the schedule to the next; the shortest interval that may be written.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes read at once of an answer.
const READ_BYTES: usize = 4096;

/// A backend and how it is asked.
pub(super) struct Watched {
    backend: Arc<Backend>,
    check: HealthCheck,
    /// What clients are sent by.
    well: AtomicBool,
    row: Mutex<Row>,
    turn: Mutex<Turn>,
}

/// When a backend is asked.
#[derive(Debug, Default)]
struct Turn {
    /// Monotonic; `None` for never.
    asked: Option<Duration>,
    /// A question is on its way.
    busy: bool,
}

impl Turn {
    /// Takes the turn where it has come.
    fn take(&mut self, now: Duration, interval: Duration) -> bool {
        if self.busy || self.asked.is_some_and(|at| now.saturating_sub(at) < interval) {
            return false;
        }
        *self = Self { asked: Some(now), busy: true };
        true
    }
}

/// What was heard in a row.
#[derive(Debug, Default)]
struct Row {
    known: bool,
    well: bool,
    against: u32,
}

impl Row {
    /// Takes in an answer; gives the new state where it changed. The first answer decides alone.
    fn hear(&mut self, answered: bool, check: &HealthCheck) -> Option<bool> {
        if !self.known {
            *self = Self { known: true, well: answered, against: 0 };
            // Backends count as well before they are asked.
            return (!answered).then_some(false);
        }
        if answered == self.well {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if self.well { check.unhealthy_after } else { check.healthy_after };
        if self.against < needed {
            return None;
        }
        *self = Self { known: true, well: answered, against: 0 };
        Some(answered)
    }
}

impl Watched {
    pub(super) fn new(backend: &Arc<Backend>, check: HealthCheck) -> Self {
        let well = AtomicBool::new(true);
        Self { backend: Arc::clone(backend), check, well, row: Mutex::default(), turn: Mutex::default() }
    }

    /// Whether it is this backend, asked like this.
    pub(super) fn is(&self, spec: &Upstream, check: &HealthCheck) -> bool {
        self.backend.spec == *spec && self.check == *check
    }

    /// Whether clients are sent to it.
    pub(super) fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    pub(super) fn authority(&self) -> String {
        self.backend.authority()
    }

    async fn ask(&self, shared: &Shared) {
        let outcome = tokio::time::timeout(self.check.timeout, question(shared, &self.backend, &self.check)).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(format!("no answer within {} ms", self.check.timeout.as_millis())));
        let counted = if outcome.is_ok() { Outcome::Answered } else { Outcome::Failed };
        shared.metrics.outbound(Purpose::HealthCheck, counted);
        let changed = {
            let mut row = lock(&self.row);
            row.hear(outcome.is_ok(), &self.check)
        };
        let Some(well) = changed else { return };
        self.well.store(well, Ordering::Relaxed);
        let (reason, why) = match outcome {
            Ok(()) => (Reason::UpstreamHealthy, String::from("it answers as it should")),
            Err(why) => (Reason::UpstreamUnhealthy, why),
        };
        let detail = format!("`{}`: {why}", self.authority());
        tracing::warn!("{}: {detail}", reason.label());
        let draft = Draft::new(reason, Decision::Observed, "health", detail.chars().take(400).collect());
        shared.record(draft.into_event(shared.clock.now()));
    }
}

/// Asks every backend whose time has come, for as long as the gateway runs. Each on its own, so that a silent one holds
/// up no other.
pub(crate) async fn keep_watch(shared: Arc<Shared>) {
    loop {
        let now = shared.clock.now().mono;
        for watched in shared.upstreams.load().watched() {
            if !lock(&watched.turn).take(now, watched.check.interval) {
                continue;
            }
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                watched.ask(&shared).await;
                lock(&watched.turn).busy = false;
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn question(shared: &Shared, backend: &Backend, asked: &HealthCheck) -> Result<(), String> {
    let leg = backend.connect(&shared.client_tls).await;
    let mut leg = leg.map_err(|error| untrusted(&error).unwrap_or_else(|| error.to_string()))?;
    match asked.check {
        HealthQuestion::Connect => Ok(()),
        HealthQuestion::Http => {
            let heard = exchange(&mut leg, backend, &asked.path, HeaderMap::new()).await?;
            if heard.status.is_success() { Ok(()) } else { Err(format!("it answered {}", heard.status)) }
        }
        HealthQuestion::Handshake => {
            let key = request_key(uuid::Uuid::new_v4().into_bytes());
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            let written = HeaderValue::from_bytes(&key).map_err(|error| error.to_string())?;
            headers.insert(header::SEC_WEBSOCKET_KEY, written);
            let heard = exchange(&mut leg, backend, &asked.path, headers).await?;
            if heard.status != StatusCode::SWITCHING_PROTOCOLS {
                return Err(format!("it answered {}", heard.status));
            }
            let headers = &mut HeaderMap::new();
            let nothing = Ask { path: "", headers, protocols: &[], balance_key: None, deflate: None };
            check(&heard.headers, key, &nothing).map(|_| ())
        }
    }
}

/// A request's head out, an answer's head in.
async fn exchange(leg: &mut Leg, backend: &Backend, path: &str, mut headers: HeaderMap) -> Result<Heard, String> {
    let told = |error: std::io::Error| error.to_string();
    let host = HeaderValue::from_str(&backend.authority()).map_err(|error| error.to_string())?;
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("portcullis-health"));
    if !headers.contains_key(header::CONNECTION) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let path = path.parse().map_err(|_| String::from("the path cannot be written"))?;
    leg.write_all(&written(&path, &headers)).await.map_err(told)?;
    leg.flush().await.map_err(told)?;
    let mut read = Vec::new();
    loop {
        let more = poll_fn(|cx| {
            let mut buffer = [0; READ_BYTES];
            let count = ready!(leg.poll_recv(cx, &mut buffer))?;
            read.extend_from_slice(buffer.get(..count).unwrap_or_default());
            Poll::Ready(Ok::<_, std::io::Error>(count))
        });
        if more.await.map_err(told)? == 0 {
            return Err(String::from("it closed the connection before it answered"));
        }
        if let Some(heard) = parsed(&read)? {
            return Ok(heard);
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(format!("the head of its answer is larger than {HEAD_BYTES_MAX} bytes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_row_change_a_backends_health_and_one_between_begins_again() {
        let check = HealthCheck {
            check: HealthQuestion::Connect,
            path: String::from("/"),
            interval: LOOK,
            timeout: LOOK,
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let told = |answers: &str| {
            let mut row = Row::default();
            answers.chars().map(|answer| row.hear(answer == '+', &check)).collect::<Vec<_>>()
        };
        let (up, down) = (Some(true), Some(false));
        assert_eq!(told("+"), [None], "they are well before they are asked");
        assert_eq!(told("-"), [down], "the first answer decides alone");
        assert_eq!(told("+--+---"), [None, None, None, None, None, None, down]);
        assert_eq!(told("-+-++-"), [down, None, None, None, up, None]);
    }

    #[test]
    fn a_backend_is_asked_on_its_interval_and_never_twice_at_once() {
        let at = Duration::from_secs;
        let mut turn = Turn::default();
        assert!(turn.take(at(0), at(10)), "at once");
        assert!(!turn.take(at(20), at(10)), "the answer is not there");
        turn.busy = false;
        assert!(!turn.take(at(9), at(10)));
        assert!(turn.take(at(10), at(10)));
    }
}
