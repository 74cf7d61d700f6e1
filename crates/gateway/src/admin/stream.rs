//! The live page's heartbeat: one sample a second, told to everyone who watches.
//!
//! Decides what a tick holds. Sampling costs the same however many events happen: a tick names at most
//! [`EVENTS_A_TICK_MAX`] and counts the rest. Watchers are bounded; a slow one misses ticks, it never
//! holds anything up, and one whose login has ended is let go.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_core::event::Event;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use super::guard::Caller;
use super::problem::problem;
use super::{AdminState, Shared, chart};
use crate::metrics::Totals;

/// Who may watch at once.
pub(super) const WATCHERS_MAX: usize = 32;
/// Samples kept: five minutes.
pub(super) const SAMPLES_MAX: usize = chart::WIDTH;
/// Events kept for a page that opens.
pub(super) const RECENT_MAX: usize = 50;
/// Events named in one tick.
pub(super) const EVENTS_A_TICK_MAX: usize = 10;
/// Reasons named in one tick.
const REASONS_MAX: usize = 10;
const TICK: Duration = Duration::from_secs(1);
/// Ticks a slow watcher may lag behind.
const TICKS_WAITING_MAX: usize = 4;

/// What happened in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    /// Messages both ways.
    pub(super) messages: u64,
    /// Refusals.
    pub(super) refusals: u64,
    /// Audit events lost.
    pub(super) lost: u64,
}

/// An event as the page shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Line {
    pub(super) reference: String,
    pub(super) time_unix_ms: u64,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) severity: &'static str,
    pub(super) decision: &'static str,
    pub(super) ip: String,
    pub(super) route: String,
    pub(super) user: String,
    pub(super) detail: String,
}

impl Line {
    fn new(event: &Event) -> Self {
        let row = event.reason.row();
        Self {
            reference: event.id.clone(),
            time_unix_ms: event.time_unix_ms,
            kind: row.label,
            severity: row.severity.label(),
            decision: event.decision.label(),
            ip: event.origin.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            route: event.origin.route.clone().unwrap_or_default(),
            user: event.origin.user.clone().unwrap_or_default(),
            detail: event.detail.clone(),
        }
    }
}

/// What the page shows, at once and with each tick.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct Tick {
    pub(super) open: u64,
    pub(super) messages: u64,
    pub(super) refusals: u64,
    pub(super) audit_lost: u64,
    pub(super) messages_path: String,
    pub(super) messages_top: u64,
    pub(super) refusals_path: String,
    pub(super) refusals_top: u64,
    pub(super) routes: Vec<(String, u64)>,
    pub(super) reasons: Vec<(&'static str, u64)>,
    /// Newest first.
    pub(super) events: Vec<Line>,
    /// Events of this second that are not named.
    pub(super) more: u64,
}

/// The last five minutes, and who watches.
pub(super) struct History {
    kept: Mutex<Kept>,
    ticks: broadcast::Sender<Arc<str>>,
    places: Arc<Semaphore>,
}

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    recent: VecDeque<Line>,
    before: Totals,
    lost_before: u64,
}

impl History {
    pub(super) fn new(state: &AdminState) -> Self {
        let kept =
            Kept { before: state.metrics.totals(), lost_before: state.live.gauges().audit_lost, ..Kept::default() };
        Self {
            kept: Mutex::new(kept),
            ticks: broadcast::Sender::new(TICKS_WAITING_MAX),
            places: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }

    /// The last second.
    pub(super) fn last(&self) -> Sample {
        self.lock().samples.back().copied().unwrap_or_default()
    }

    /// Audit events lost in the last five minutes.
    pub(super) fn lost_lately(&self) -> u64 {
        self.lock().samples.iter().map(|sample| sample.lost).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a page shows that opens now.
    pub(super) fn present(&self, state: &AdminState) -> Tick {
        let totals = state.metrics.totals();
        let lost = state.live.gauges().audit_lost;
        let kept = self.lock();
        Tick { events: kept.recent.iter().cloned().collect(), ..kept.tick(&totals, lost) }
    }

    /// Closes a second: keeps its sample and its events, and tells the watchers.
    pub(super) fn advance(&self, state: &AdminState, events: &[Arc<Event>], more: u64) {
        let totals = state.metrics.totals();
        let lost = state.live.gauges().audit_lost;
        let mut kept = self.lock();
        let passed = |totals: &Totals| totals.messages_inbound + totals.messages_outbound;
        let sample = Sample {
            messages: passed(&totals).saturating_sub(passed(&kept.before)),
            refusals: totals.refusals.saturating_sub(kept.before.refusals),
            lost: lost.saturating_sub(kept.lost_before),
        };
        if kept.samples.len() == SAMPLES_MAX {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        let lines: Vec<Line> = events.iter().rev().map(|event| Line::new(event)).collect();
        for line in lines.iter().rev() {
            kept.recent.push_front(line.clone());
        }
        kept.recent.truncate(RECENT_MAX);
        if self.ticks.receiver_count() > 0 {
            let tick = Tick { events: lines, more, ..kept.tick(&totals, lost) };
            // Without watchers there is nobody to tell; a tick holds nothing that JSON cannot.
            let _ = serde_json::to_string(&tick).map(|text| self.ticks.send(text.into()));
        }
        kept.before = totals;
        kept.lost_before = lost;
    }
}

impl Kept {
    fn tick(&self, totals: &Totals, audit_lost: u64) -> Tick {
        let messages: Vec<u64> = self.samples.iter().map(|sample| sample.messages).collect();
        let refusals: Vec<u64> = self.samples.iter().map(|sample| sample.refusals).collect();
        let (messages_top, refusals_top) = (chart::top(&messages), chart::top(&refusals));
        Tick {
            open: totals.connections_opened.saturating_sub(totals.connections_closed),
            messages: messages.last().copied().unwrap_or(0),
            refusals: refusals.last().copied().unwrap_or(0),
            audit_lost,
            messages_path: chart::path(&messages, messages_top),
            messages_top,
            refusals_path: chart::path(&refusals, refusals_top),
            refusals_top,
            routes: totals.routes.clone(),
            reasons: totals.reasons.iter().take(REASONS_MAX).copied().collect(),
            events: Vec::new(),
            more: 0,
        }
    }
}

/// Starts the task that closes each second; it ends when nobody else holds `shared`.
pub(super) fn sample(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    let mut events = shared.state.events.subscribe();
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            clock.tick().await;
            let Some(shared) = weak.upgrade() else { break };
            let (named, more) = drain(&mut events);
            shared.history.advance(&shared.state, &named, more);
        }
    });
}

/// What waits on the channel: the first few, and how many more.
pub(super) fn drain(events: &mut broadcast::Receiver<Arc<Event>>) -> (Vec<Arc<Event>>, u64) {
    let (mut named, mut more) = (Vec::new(), 0_u64);
    loop {
        match events.try_recv() {
            Ok(event) if named.len() < EVENTS_A_TICK_MAX => named.push(event),
            Ok(_) => more = more.saturating_add(1),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => more = more.saturating_add(missed),
            Err(_) => return (named, more),
        }
    }
}

pub(super) async fn live(State(shared): State<Arc<Shared>>, caller: Option<Extension<Caller>>) -> Response {
    let Ok(place) = Arc::clone(&shared.history.places).try_acquire_owned() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "as many pages watch as may; close one");
    };
    let watcher = Watcher {
        ticks: shared.history.ticks.subscribe(),
        shared,
        caller: caller.map(|Extension(caller)| caller),
        _place: place,
    };
    Sse::new(futures_util::stream::unfold(watcher, Watcher::next)).into_response()
}

/// One who watches.
struct Watcher {
    ticks: broadcast::Receiver<Arc<str>>,
    shared: Arc<Shared>,
    caller: Option<Caller>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Self)> {
        loop {
            let tick = match self.ticks.recv().await {
                Ok(tick) => tick,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return None,
            };
            let logged_out = matches!(&self.caller, Some(Caller::Login(id, _)) if self.shared.logins.holds(id, Instant::now()).is_none());
            if logged_out {
                return None;
            }
            return Some((Ok(sse::Event::default().event("tick").data(&*tick)), self));
        }
    }
}
