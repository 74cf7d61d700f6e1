//! `GET` on a route under `statistics`: the gateway's figures in the operator's shape (SPEC 11.2).
//!
//! Decides nothing: admission judged the reader as it judges every caller of a route. Connections are counted when
//! somebody asks, once a second at most, whoever asks how often; nothing of it costs a connection that nobody counts.
//!
//! Tests: here and in `census.rs`; with real clients `tests/acceptance/cases/statistics.py`.

mod census;
mod hour;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use portcullis_core::admission::{Admitted, Gate, may_ask};
use portcullis_core::event::Decision;
use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::{Figure, Group, Of, Shape};
use portcullis_core::reputation::Level;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

pub(crate) use census::Open;
use census::{Census, Count};
pub(crate) use hour::Counts;
use hour::Hour;

use crate::cross_origin;
use crate::handshake::{Body, Visit};
use crate::metrics::Metrics;
use crate::record::Draft;
use crate::shared::Shared;
use crate::worker::Command;

/// Connections are counted again after this long.
const FRESH: Duration = Duration::from_secs(1);
/// A worker that tells nothing for so long is left out.
const WORKER_TIMEOUT: Duration = Duration::from_millis(500);
/// What may be asked.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The workers to ask, and what they told last.
#[derive(Default)]
pub(crate) struct Statistics {
    workers: std::sync::OnceLock<Vec<UnboundedSender<Command>>>,
    /// Held while the workers are asked, so that nobody asks beside.
    last: tokio::sync::Mutex<Option<(Duration, Arc<Census>)>>,
    /// Held for as long as sixty-one lines are read.
    hour: Mutex<Hour>,
}

impl Statistics {
    /// Who there is to ask; told once, when the workers are there.
    pub(crate) fn workers(&self, workers: Vec<UnboundedSender<Command>>) {
        let _ = self.workers.set(workers);
    }

    /// Looks at the counters, once a minute, so that the last hour can be told.
    pub(crate) fn look(&self, metrics: &Metrics, now: Now) {
        self.hour.lock().unwrap_or_else(PoisonError::into_inner).look(now.mono, || metrics.by_reason());
    }

    async fn census(&self, gate: &Arc<Gate>, at: Now) -> Arc<Census> {
        let now = at.mono;
        let mut last = self.last.lock().await;
        if let Some((at, census)) = last.as_ref().filter(|(at, _)| now.saturating_sub(*at) < FRESH) {
            tracing::trace!("connections were counted {} ms ago", now.saturating_sub(*at).as_millis());
            return Arc::clone(census);
        }
        let asked: Vec<_> = self
            .workers
            .get()
            .into_iter()
            .flatten()
            .filter_map(|worker| {
                let (reply, answer) = oneshot::channel();
                worker.send(Command::Count(reply)).is_ok().then_some(answer)
            })
            .collect();
        let mut open = Vec::new();
        for answer in asked {
            if let Ok(Ok(more)) = tokio::time::timeout(WORKER_TIMEOUT, answer).await {
                open.extend(more);
            }
        }
        // Many connections take a while; the messages of this thread do not wait for it.
        let counted = {
            let gate = Arc::clone(gate);
            tokio::task::spawn_blocking(move || Census::of(&open).beside(&gate, at)).await
        };
        let census = Arc::new(counted.unwrap_or_default());
        *last = Some((now, Arc::clone(&census)));
        census
    }
}

/// The answer to a page's preflight, where the path has figures.
pub(crate) fn preflight(policy: &Policy, request: &Request<Incoming>, tls: bool) -> Option<Response<Body>> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let path = request.uri().path();
    policy.find(path).filter(|(route, _)| route.spec.statistics.is_some())?;
    let allowed = may_ask(policy, path, request.headers(), tls);
    Some(cross_origin::preflight(request.headers(), allowed, METHODS))
}

/// The figures, for somebody who may read them.
pub(crate) async fn answer(
    visit: &Visit,
    admitted: &Admitted,
    shape: &Shape,
    request: &Request<Incoming>,
) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return cross_origin::method_not_allowed(METHODS);
    }
    let worker = &visit.worker;
    let shared = &worker.shared;
    let now = shared.clock.now();
    let census = shared.statistics.census(&shared.gate, now).await;
    let policy = worker.policy();
    let figures = Figures { shared, policy: &policy, census: &census, now };
    let body = shape.fill(&|figure| figures.value(figure)).to_string();
    shared.metrics.statistics_read();
    if worker.records_allowed() {
        let draft = Draft {
            source_ip: Some(visit.client),
            user: admitted.principal.subject.as_deref().map(str::to_owned),
            tenant: admitted.principal.tenant.as_deref().map(str::to_owned),
            route: Some(admitted.route.spec.name.clone()),
            metadata: visit.agent(),
            ..Draft::new(Reason::StatisticsRead, Decision::Allowed, "statistics", String::new())
        };
        worker.record(draft, now);
    }
    respond(body, admitted, request.headers())
}

fn respond(body: String, admitted: &Admitted, asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(admitted.response_headers.clone());
    // Admission has judged the origin; a page that it let in may read.
    cross_origin::allow(asked, headers);
    response
}

/// What is known when the answer is written.
struct Figures<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    census: &'a Census,
    now: Now,
}

impl Figures<'_> {
    fn value(&self, figure: &Figure) -> Value {
        match figure {
            Figure::Connections(of) => self.count(of).connections.into(),
            Figure::AuthenticatedConnections(of) => self.count(of).authenticated.into(),
            Figure::AnonymousConnections(of) => self.count(of).anonymous().into(),
            Figure::Users(of) => self.count(of).users.into(),
            Figure::ConnectionsBy(Group::Route) => self.by_route(),
            Figure::ConnectionsBy(Group::Tenant) => named(self.census.by_tenant()),
            Figure::ConnectionsBy(Group::Role) => named(self.census.by_role()),
            Figure::ConnectionsPerUserMax(route) => {
                self.policy.route_named(route).and_then(|route| route.spec.connections_per_user_max).into()
            }
            Figure::Refusals(None) => self.shared.metrics.totals().refusals.into(),
            Figure::Refusals(Some(reasons)) => self.refusals(|reason| reasons.contains(&reason)).into(),
            Figure::RefusalsIn(category) => self.refusals(|reason| reason.row().category == *category).into(),
            Figure::RefusalsLastHour(None) => self.last_hour(|_| true).into(),
            Figure::RefusalsLastHour(Some(reasons)) => self.last_hour(|reason| reasons.contains(&reason)).into(),
            Figure::RefusalsInLastHour(category) => self.last_hour(|reason| reason.row().category == *category).into(),
            Figure::Messages => {
                let totals = self.shared.metrics.totals();
                (totals.messages_inbound + totals.messages_outbound).into()
            }
            Figure::Blocked => self.census.blocked.into(),
            Figure::Suspicious => self.census.suspicious.into(),
            Figure::RefusalsByReason => named(self.shared.metrics.totals().reasons),
            Figure::FloodLevel => {
                let level = usize::from(self.shared.flood_level.load(Ordering::Relaxed));
                Level::ALL.get(level).copied().unwrap_or_default().label().into()
            }
            Figure::Lockdown => self.shared.gate.locked_for(self.now).is_some().into(),
            Figure::UnixSeconds => self.now.wall.as_secs_f64().into(),
            Figure::UptimeSeconds => self.now.mono.as_secs().into(),
        }
    }

    fn refusals(&self, of: impl Fn(Reason) -> bool) -> u64 {
        let counted = self.shared.metrics.by_reason();
        Reason::ALL.iter().zip(counted).filter(|(reason, _)| of(**reason)).map(|(_, count)| count).sum()
    }

    fn last_hour(&self, of: impl Fn(Reason) -> bool) -> u64 {
        let counted = self.shared.metrics.by_reason();
        let hour = self.shared.statistics.hour.lock().unwrap_or_else(PoisonError::into_inner);
        hour.refusals(self.now.mono, &counted, of)
    }

    fn count(&self, of: &Of) -> Count {
        match of {
            Some(route) => self.census.of_route(route),
            None => self.census.all(),
        }
    }

    /// Every route that takes connections, also where there is none.
    fn by_route(&self) -> Value {
        let routes = self.policy.routes().iter().filter(|route| route.spec.statistics.is_none());
        named(routes.map(|route| (route.spec.name.as_str(), self.census.of_route(&route.spec.name).connections)))
    }
}

fn named<K: Into<String>, N: Into<Value>>(counts: impl IntoIterator<Item = (K, N)>) -> Value {
    Value::Object(counts.into_iter().map(|(name, count)| (name.into(), count.into())).collect())
}
