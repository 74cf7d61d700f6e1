//! What all worker threads share: the policy in force, counters of admission, keys, the audit, metrics.
//!
//! Nothing here is locked on the message path: the policy is swapped, counters are sharded, events go to a
//! bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use portcullis_core::admission::Gate;
use portcullis_core::event::Event;
use portcullis_core::identity::{KeyRing, TokenCache};
use portcullis_core::limits::Ledger;
use portcullis_core::policy::Policy;
use portcullis_core::time::Now;
use portcullis_store::{AuditLog, Recorded};
use tokio::sync::broadcast;

use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::upstream::Upstreams;

/// The only clock: what the core takes as [`Now`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts counting.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Time since the start.
    pub(crate) fn mono(&self) -> Duration {
        self.start.elapsed()
    }

    /// A time since the start, for a timer.
    pub(crate) fn instant(&self, at: Duration) -> tokio::time::Instant {
        (self.start + at).into()
    }

    /// The present.
    pub(crate) fn now(&self) -> Now {
        Now { mono: self.start.elapsed(), wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO) }
    }
}

/// See the module.
pub(crate) struct Shared {
    /// The clock.
    pub clock: Clock,
    /// The policy in force.
    pub policy: ArcSwap<Policy>,
    /// Counts policies: the first is 1.
    pub generation: AtomicU64,
    /// Admission's counters.
    pub gate: Arc<Gate>,
    /// Message limits kept per user and address.
    pub ledger: Arc<Ledger>,
    /// Keys that verify tokens; replaced with the policy.
    pub keys: ArcSwap<KeyRing>,
    /// Tokens verified lately; replaced with the policy.
    pub cache: ArcSwap<TokenCache>,
    /// Backends with their load.
    pub upstreams: ArcSwap<Upstreams>,
    /// TLS of the listener.
    pub tls: ArcSwapOption<tokio_rustls::rustls::ServerConfig>,
    /// TLS towards upstreams and key sets.
    pub client_tls: Arc<tokio_rustls::rustls::ClientConfig>,
    /// The audit store, unless it is off.
    pub audit: Option<AuditLog>,
    /// Events as they happen, for the live page.
    pub events: broadcast::Sender<Arc<Event>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Places for questions about opaque tokens.
    pub introspections: tokio::sync::Semaphore,
    /// Places for questions to authorizers.
    pub authorizations: tokio::sync::Semaphore,
    /// Messages that wait for callbacks.
    pub callbacks: crate::callback::Callbacks,
    /// Where sessions are issued and ended.
    pub sessions: crate::sessions::Desk,
    /// Who holds connections, for whoever may ask.
    pub statistics: crate::statistics::Statistics,
    /// Fetches of key sets.
    pub fetches: crate::fetch::Fetches,
    /// Databases of addresses and threat lists.
    pub feeds: crate::feeds::Feeds,
    /// Seeds what admission and limits hash: the same after a restart, unknown outside.
    pub kept_seed: [u64; 2],
    /// Seeds what inspection hashes: the same on all threads, unknown outside.
    pub hash_seed: u64,
    /// The other gateways, where there may be any.
    pub nodes: Option<Arc<Nodes>>,
    /// The flood level: 0 normal to 3 critical.
    pub flood_level: AtomicU8,
    /// No new connections.
    pub draining: AtomicBool,
}

impl Shared {
    /// Records an event: to the store's queue, to whoever watches. Never waits.
    pub(crate) fn record(&self, mut event: Event) {
        if let Some(ip) = event.origin.source_ip {
            self.locate(ip, &mut event);
        }
        let watched = self.events.receiver_count() > 0;
        let copy = watched.then(|| Arc::new(event.clone()));
        if let Some(audit) = &self.audit
            && matches!(audit.record(event), Recorded::Lost)
        {
            // Counted by the store itself and shown as `portcullis_audit_events_lost_total`.
            tracing::debug!("an audit event was lost: the queue is full");
        }
        if let Some(copy) = copy {
            // Without receivers there is nobody to tell.
            let _ = self.events.send(copy);
        }
    }

    /// Says where the source is, and on which threat list it stands.
    fn locate(&self, ip: std::net::IpAddr, event: &mut Event) {
        let provenance = self.gate.provenance();
        let location = provenance.locate(ip);
        let facts = [
            ("country", location.country.map(|country| country.to_string())),
            ("network", location.network.map(|number| format!("AS{number}"))),
            ("threat_list", provenance.listed(ip).map(|(name, _)| name.to_string())),
        ];
        event.metadata.extend(facts.into_iter().filter_map(|(name, fact)| Some((name, fact?.into()))));
    }

    /// Whether the gateway stops.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
