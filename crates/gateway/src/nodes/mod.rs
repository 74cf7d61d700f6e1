//! This gateway among others (SPEC 14): what it holds in common with them, and the thread that keeps it so.
//!
//! Where no `shared_state` is configured there is no [`Nodes`], no thread and no question.

mod count;
mod exchange;
mod keeper;
mod marks;
mod places;
mod sessions;
mod tickets;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::SharedState;
use portcullis_core::reputation::{Others, Rates};
use portcullis_store::redis::{Limits, Link, Lists, Marks, Places, Releases};
use tokio::sync::watch;

pub(crate) use count::count;
pub(crate) use sessions::{recall, tell_session};
pub(crate) use tickets::{keep_ticket, redeem};

use crate::StartError;
use crate::metrics::SharedStateGauges;
use crate::shared::Shared;

/// See the module.
pub(crate) struct Nodes {
    spec: SharedState,
    link: Link,
    lists: Lists,
    sessions: Lists,
    /// Changes of sessions that wait to be told.
    outbox: sessions::Outbox,
    limits: Limits,
    marks: Marks,
    /// What this node saw last, and what others did, with the instant at which that was heard.
    seen: Mutex<Option<Rates>>,
    others: Mutex<Option<(Duration, Others)>>,
    places: Arc<Places>,
    /// Until the task that tells them is started.
    releases: Mutex<Option<Releases>>,
    /// What the keeper last found.
    connected: AtomicBool,
    /// How often it has connected.
    joins: AtomicU64,
    /// Counts of messages told, and not told.
    exchanged: AtomicU64,
    unexchanged: AtomicU64,
    /// Words on sources told to other nodes, and heard of them.
    marks_told: AtomicU64,
    marks_heard: AtomicU64,
}

impl Nodes {
    /// The meeting place that the policy names. It need not be there yet.
    pub(crate) fn of(policy: &Policy) -> Result<Option<Arc<Self>>, StartError> {
        Ok(policy.checked.shared_state.as_ref().map(|spec| {
            let (link, lists) = (Link::new(spec), Lists::new(&spec.prefix));
            let name = uuid::Uuid::new_v4().simple().to_string();
            let marks = Marks::new(&spec.prefix, name.clone());
            let (places, releases) = Places::new(name);
            Arc::new(Self {
                spec: spec.clone(),
                link,
                lists,
                sessions: Lists::named(&spec.prefix, "sessions"),
                outbox: sessions::Outbox::default(),
                limits: Limits::new(&spec.prefix),
                marks,
                seen: Mutex::default(),
                others: Mutex::default(),
                places,
                releases: Mutex::new(Some(releases)),
                connected: AtomicBool::new(false),
                joins: AtomicU64::new(0),
                exchanged: AtomicU64::new(0),
                unexchanged: AtomicU64::new(0),
                marks_told: AtomicU64::new(0),
                marks_heard: AtomicU64::new(0),
            })
        }))
    }

    /// Whether it is the one that a policy names.
    pub(crate) fn is(&self, policy: &Policy) -> bool {
        policy.checked.shared_state.as_ref() == Some(&self.spec)
    }

    /// Tells the others what this node saw in the last second, and gives what they did. `None` where nothing was heard of
    /// them lately.
    pub(crate) fn compare(&self, seen: Rates, now: Duration) -> Option<Others> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        let heard = *self.others.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|(at, _)| now.saturating_sub(*at) <= self.rates_hold()).map(|(_, others)| others)
    }

    /// How long rates of a node hold: seconds, and two exchanges.
    fn rates_hold(&self) -> Duration {
        (self.spec.exchange_interval * 2).saturating_add(Duration::from_secs(2))
    }

    pub(crate) fn gauges(&self) -> SharedStateGauges {
        let counts = self.link.counts();
        SharedStateGauges {
            up: self.connected.load(Ordering::Relaxed) && self.link.is_up(),
            answered: counts.answered,
            failed: counts.failed,
            exchanged: self.exchanged.load(Ordering::Relaxed),
            unexchanged: self.unexchanged.load(Ordering::Relaxed),
            told: self.marks_told.load(Ordering::Relaxed),
            heard: self.marks_heard.load(Ordering::Relaxed),
            nodes: self.others.lock().unwrap_or_else(PoisonError::into_inner).map_or(0, |(_, others)| others.nodes),
        }
    }
}

/// Starts the thread that keeps this node in step with the others.
pub(crate) fn start(
    nodes: &Arc<Nodes>,
    shared: &Arc<Shared>,
    stopping: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let keeper = keeper::Keeper::open(nodes, shared)?;
    // The keeper works on this thread, which may wait for the disk; connections are carried by another.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("nodes-io")
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let releases = nodes.releases.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(releases) = releases {
        runtime.spawn(places::release(Arc::clone(nodes), releases));
    }
    runtime.spawn(places::renew(Arc::clone(nodes)));
    runtime.spawn(exchange::exchange(Arc::clone(nodes), Arc::clone(shared)));
    runtime.spawn(marks::exchange(Arc::clone(nodes), Arc::clone(shared)));
    let body = move || runtime.block_on(keeper.run(stopping));
    std::thread::Builder::new().name(String::from("nodes")).spawn(body).map_err(StartError::Thread)
}
