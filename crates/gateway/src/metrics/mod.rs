//! Counters of what the gateway does, and their exposition.
//!
//! Decides nothing. Every worker thread counts in a [`Shard`] of its own with relaxed atomics: no lock
//! and no cache line is shared on the message path. A scrape sums the shards, so a sum may be a few
//! counts older in one shard than in another; each counter by itself only grows. Labels come from the
//! policy and the verdict table, never from a client, so the number of series is bounded.

mod exposition;
mod outbound;
mod sessions;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::inspection::Direction;
use portcullis_core::verdict::Reason;

use outbound::Outbound;
pub(crate) use outbound::{Outcome, Purpose};
pub(crate) use sessions::SessionOutcome;

/// Routes counted apart, over all reloads; further ones share the last place, named `other`.
pub const ROUTES_MAX: usize = 256;

/// Upper bounds of the histograms of handshakes and callbacks, seconds.
const HANDSHAKE_BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds of the histogram of connections' ages, seconds.
const AGE_BOUNDS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0];

/// All shards, and the names of the routes they count.
#[derive(Debug)]
pub struct Metrics {
    first: Shard,
    others: Box<[Shard]>,
    routes: RwLock<Vec<String>>,
    outbound: Outbound,
    sessions: sessions::Sessions,
    /// Logout tokens of identity providers that were heard.
    logouts: AtomicU64,
    tokens_renewed: AtomicU64,
    statistics_read: AtomicU64,
}

/// One worker's counters.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    routes: Box<[RouteCounters]>,
    /// Reason by decision, reasons outermost.
    refusals: Box<[AtomicU64]>,
    handshakes: Histogram,
    ages: Histogram,
    callbacks: Histogram,
    control_inbound: AtomicU64,
    control_outbound: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct RouteCounters {
    opened: AtomicU64,
    closed: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64; 12],
    /// One a bound, and one past the last.
    buckets: [AtomicU64; 13],
    sum_ns: AtomicU64,
}

/// What is measured rather than counted, asked from the gateway at each scrape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Connections held, handshakes included.
    pub open_connections: usize,
    /// Sessions in force.
    pub sessions: usize,
    /// Client addresses that admission keeps counts for.
    pub tracked_addresses: usize,
    /// Audit events lost since the start.
    pub audit_lost: u64,
    /// Audit events waiting for the disk.
    pub audit_queued: usize,
    /// Open connections of anonymous callers.
    pub anonymous_connections: usize,
    /// Attempts to write the audit that failed since the start.
    pub audit_write_failures: u64,
    /// Configurations put in force since the start, the first included.
    pub config_version: u64,
    /// Backends by address, with their open connections.
    pub upstreams: Vec<(String, usize)>,
    /// Backends by address, and whether they are well; empty where that is not asked.
    pub upstream_up: Vec<(String, bool)>,
    /// The flood level, 0 (normal) to 3 (critical).
    pub flood_level: u8,
    /// A lockdown is in force.
    pub locked_down: bool,
    /// Databases of addresses and threat lists.
    pub feeds: Vec<crate::feeds::FeedGauge>,
    /// Sources with a standing, by standing.
    pub standings: Vec<(&'static str, usize)>,
    /// Users whose usual behaviour is known.
    pub tracked_profiles: usize,
    /// Addresses, subnets and users that a score is kept of.
    pub tracked_scores: usize,
    /// Attempts by country; those of no country as `unknown`.
    pub countries: Vec<(String, u64)>,
    /// Flood levels of countries, those above normal.
    pub raised: Vec<(String, u8)>,
    /// The meeting place of several gateways; `None` for one that is alone.
    pub shared_state: Option<SharedStateGauges>,
    /// Since the start.
    pub uptime: Duration,
}

/// How it stands with Redis or Valkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SharedStateGauges {
    /// It answers.
    pub up: bool,
    /// Questions of admissions that were answered.
    pub answered: u64,
    /// Questions of admissions that were not, so that this node decided alone.
    pub failed: u64,
    /// Counts of messages, by limit and party, that were exchanged.
    pub exchanged: u64,
    /// Those that were not, and are told later.
    pub unexchanged: u64,
    /// Words on scores and waits told to other nodes.
    pub told: u64,
    /// Such words heard.
    pub heard: u64,
    /// Other nodes that rates were heard of.
    pub nodes: u64,
}

/// Sums over all shards, for the live page and the JSON of the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Totals {
    /// Connections opened since the start.
    pub connections_opened: u64,
    /// Connections closed since the start.
    pub connections_closed: u64,
    /// Messages from clients.
    pub messages_inbound: u64,
    /// Messages to clients.
    pub messages_outbound: u64,
    /// Bytes from clients.
    pub bytes_inbound: u64,
    /// Bytes to clients.
    pub bytes_outbound: u64,
    /// Everything refused, dropped, closed or observed.
    pub refusals: u64,
    /// Refusals by reason, most frequent first; zeros left out.
    pub reasons: Vec<(&'static str, u64)>,
    /// Open connections by route, in the order of registration.
    pub routes: Vec<(String, u64)>,
}

impl Metrics {
    /// Counters for so many workers (at least one) and these routes.
    #[must_use]
    pub fn new(workers: usize, route_names: Vec<String>) -> Arc<Self> {
        let metrics = Self {
            first: Shard::new(),
            others: (1..workers).map(|_| Shard::new()).collect(),
            routes: RwLock::new(Vec::new()),
            outbound: Outbound::new(),
            sessions: sessions::Sessions::default(),
            logouts: AtomicU64::new(0),
            tokens_renewed: AtomicU64::new(0),
            statistics_read: AtomicU64::new(0),
        };
        metrics.name_routes(route_names);
        Arc::new(metrics)
    }

    /// Counts a request of our own to an endpoint outside.
    pub(crate) fn outbound(&self, purpose: Purpose, outcome: Outcome) {
        self.outbound.count(purpose, outcome);
    }

    /// A token was renewed.
    pub(crate) fn token_renewed(&self) {
        self.tokens_renewed.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody read the figures of a route.
    pub(crate) fn statistics_read(&self) {
        self.statistics_read.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a logout that a provider told of.
    pub(crate) fn logout(&self) {
        self.logouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what became of sessions.
    pub(crate) fn session(&self, outcome: SessionOutcome, number: u64) {
        self.sessions.count(outcome, number);
    }

    /// A worker's own counters. Past the number of workers the first shard is shared, which is slower
    /// and as right.
    #[must_use]
    pub fn shard(&self, worker: usize) -> &Shard {
        worker.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    /// The place of a route by its name, the same over all reloads; a new name gets a new place. Past
    /// [`ROUTES_MAX`] names all further ones share the last place. Asked once a connection at most, not
    /// on the message path.
    pub fn route_index(&self, name: &str) -> usize {
        let known = |routes: &[String]| routes.iter().position(|route| route == name);
        if let Some(at) = known(&self.routes.read().unwrap_or_else(PoisonError::into_inner)) {
            return at;
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = known(&routes) {
            return at;
        }
        if routes.len() < ROUTES_MAX - 1 {
            routes.push(name.to_owned());
            return routes.len() - 1;
        }
        if routes.len() == ROUTES_MAX - 1 {
            routes.push("other".to_owned());
        }
        ROUTES_MAX - 1
    }

    /// Gives each of these routes its place, so that it is exposed before anything is counted on it.
    pub fn name_routes(&self, names: Vec<String>) {
        for name in &names {
            self.route_index(name);
        }
    }

    /// Sums over all shards.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (at, name) in self.route_names().into_iter().enumerate() {
            let [opened, closed, messages_in, messages_out, bytes_in, bytes_out] = self.route(at);
            totals.connections_opened += opened;
            totals.connections_closed += closed;
            totals.messages_inbound += messages_in;
            totals.messages_outbound += messages_out;
            totals.bytes_inbound += bytes_in;
            totals.bytes_outbound += bytes_out;
            totals.routes.push((name, opened.saturating_sub(closed)));
        }
        for (reason, count) in Reason::ALL.iter().zip(self.by_reason()) {
            if count > 0 {
                totals.reasons.push((reason.label(), count));
                totals.refusals += count;
            }
        }
        totals.reasons.sort_by_key(|(label, count)| (std::cmp::Reverse(*count), *label));
        totals
    }

    /// Refusals since the start, in the order of [`Reason::ALL`].
    pub(crate) fn by_reason(&self) -> crate::statistics::Counts {
        let count = |reason: &Reason| Decision::ALL.iter().map(|decision| self.refusals(*reason, *decision)).sum();
        Reason::ALL.iter().map(count).collect()
    }

    /// The exposition: OpenMetrics 1.0 where `openmetrics`, else the Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(self: &Arc<Self>, gauges: &Gauges, openmetrics: bool) -> String {
        exposition::render(self, gauges, openmetrics)
    }

    fn route_names(&self) -> Vec<String> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.shards().map(of).fold(0, u64::wrapping_add)
    }

    /// Opened, closed, messages in and out, bytes in and out.
    fn route(&self, at: usize) -> [u64; 6] {
        let mut sums = [0; 6];
        for route in self.shards().filter_map(|shard| shard.routes.get(at)) {
            let counters = [
                // Closed before opened: an open connection is never counted as less than none.
                &route.closed,
                &route.opened,
                &route.messages_in,
                &route.messages_out,
                &route.bytes_in,
                &route.bytes_out,
            ];
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        let [closed, opened, messages_in, messages_out, bytes_in, bytes_out] = sums;
        [opened, closed, messages_in, messages_out, bytes_in, bytes_out]
    }

    fn refusals(&self, reason: Reason, decision: Decision) -> u64 {
        let at = refusal_at(reason, decision);
        self.sum(|shard| shard.refusals.get(at).map_or(0, |count| count.load(Ordering::Relaxed)))
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            routes: (0..ROUTES_MAX).map(|_| RouteCounters::default()).collect(),
            refusals: (0..Reason::ALL.len() * Decision::ALL.len()).map(|_| AtomicU64::new(0)).collect(),
            handshakes: Histogram::new(&HANDSHAKE_BOUNDS),
            ages: Histogram::new(&AGE_BOUNDS),
            callbacks: Histogram::new(&HANDSHAKE_BOUNDS),
            control_inbound: AtomicU64::new(0),
            control_outbound: AtomicU64::new(0),
        }
    }

    /// So many messages with so many bytes together passed one way on a route. For the shard's worker only.
    pub fn messages(&self, route: usize, direction: Direction, messages: u64, bytes: u64) {
        let Some(route) = self.route(route) else { return };
        let (messages_counter, bytes_counter) = match direction {
            Direction::Inbound => (&route.messages_in, &route.bytes_in),
            Direction::Outbound => (&route.messages_out, &route.bytes_out),
        };
        add_own(messages_counter, messages);
        add_own(bytes_counter, bytes);
    }

    /// Something was refused, dropped, closed or observed.
    pub fn refused(&self, reason: Reason, decision: Decision) {
        if let Some(count) = self.refusals.get(refusal_at(reason, decision)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection passed admission.
    pub fn connection_opened(&self, route: usize) {
        if let Some(route) = self.route(route) {
            route.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection that had been opened on the same route ended.
    pub fn connection_closed(&self, route: usize, age: Duration) {
        if let Some(route) = self.route(route) {
            route.closed.fetch_add(1, Ordering::Relaxed);
        }
        self.ages.observe(age);
    }

    /// A handshake was decided, one way or the other, this long after its first byte.
    pub fn handshake(&self, took: Duration) {
        self.handshakes.observe(took);
    }

    /// A callback was asked about a message and took so long, answered or not.
    pub fn callback(&self, took: Duration) {
        self.callbacks.observe(took);
    }

    /// So many ping, pong and close frames came from a peer.
    pub fn control_frames(&self, direction: Direction, frames: u64) {
        let counter = match direction {
            Direction::Inbound => &self.control_inbound,
            Direction::Outbound => &self.control_outbound,
        };
        counter.fetch_add(frames, Ordering::Relaxed);
    }

    fn route(&self, at: usize) -> Option<&RouteCounters> {
        self.routes.get(at.min(ROUTES_MAX - 1))
    }
}

impl Histogram {
    fn new(bounds: &'static [f64; 12]) -> Self {
        Self { bounds, buckets: Default::default(), sum_ns: AtomicU64::new(0) }
    }

    fn observe(&self, value: Duration) {
        let seconds = value.as_secs_f64();
        let at = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Adds to a counter that one thread writes: others may read it meanwhile, but need not be kept off, which costs as much as
/// the clock.
fn add_own(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn refusal_at(reason: Reason, decision: Decision) -> usize {
    reason as usize * Decision::ALL.len() + decision as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_decision_has_a_place_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            for decision in Decision::ALL {
                let at = refusal_at(*reason, *decision);
                assert!(at < Reason::ALL.len() * Decision::ALL.len());
                assert!(seen.insert(at));
            }
        }
    }

    #[test]
    fn what_workers_count_apart_is_summed() {
        let metrics = Metrics::new(2, vec!["chat".into(), "feed".into()]);
        metrics.shard(0).connection_opened(0);
        metrics.shard(1).connection_opened(0);
        metrics.shard(1).connection_closed(0, Duration::from_secs(2));
        metrics.shard(0).messages(1, Direction::Inbound, 3, 300);
        metrics.shard(1).messages(1, Direction::Outbound, 1, 10);
        metrics.shard(0).refused(Reason::ThreatXss, Decision::Replied);
        metrics.shard(1).refused(Reason::ThreatXss, Decision::Replied);
        metrics.shard(1).refused(Reason::OriginRefused, Decision::Refused);
        let totals = metrics.totals();
        assert_eq!(totals.routes, [("chat".to_owned(), 1), ("feed".to_owned(), 0)]);
        assert_eq!((totals.messages_inbound, totals.bytes_inbound), (3, 300));
        assert_eq!((totals.messages_outbound, totals.bytes_outbound), (1, 10));
        assert_eq!(totals.reasons, [("threat_xss", 2), ("origin_refused", 1)]);
        assert_eq!(totals.refusals, 3);
    }

    #[test]
    fn a_route_keeps_its_place_over_reloads() {
        let metrics = Metrics::new(1, vec!["a".into(), "b".into()]);
        assert_eq!(metrics.route_index("c"), 2);
        assert_eq!(metrics.route_index("b"), 1);
        assert_eq!(metrics.route_index("c"), 2);
    }

    #[test]
    fn the_last_place_is_shared_by_all_routes_past_the_bound() {
        let names = (0..ROUTES_MAX - 1).map(|n| format!("r{n}")).collect();
        let metrics = Metrics::new(1, names);
        assert_eq!(metrics.route_index("r254"), ROUTES_MAX - 2);
        assert_eq!(metrics.route_index("one more"), ROUTES_MAX - 1);
        assert_eq!(metrics.route_index("and another"), ROUTES_MAX - 1);
        metrics.shard(0).connection_opened(ROUTES_MAX - 1);
        metrics.shard(0).connection_opened(usize::MAX);
        assert_eq!(metrics.totals().routes.last(), Some(&("other".to_owned(), 2)));
    }

    #[test]
    fn a_worker_without_a_shard_counts_in_the_first() {
        let metrics = Metrics::new(0, vec!["a".into()]);
        metrics.shard(9).connection_opened(0);
        assert_eq!(metrics.totals().connections_opened, 1);
    }

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&AGE_BOUNDS);
        for seconds in [1, 2, 86_400, 86_401] {
            histogram.observe(Duration::from_secs(seconds));
        }
        let counts: Vec<_> = histogram.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn shards_do_not_share_cache_lines() {
        assert_eq!(align_of::<Shard>(), 128);
        assert_eq!(align_of::<RouteCounters>(), 128);
    }
}
