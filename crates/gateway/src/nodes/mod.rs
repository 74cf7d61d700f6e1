//! This gateway among others (SPEC 14): what it holds in common with them, and the thread that keeps it so.
//!
//! Where no `shared_state` is configured there is no [`Nodes`], no thread and no question.

mod count;
mod exchange;
mod keeper;
mod places;
mod tickets;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::SharedState;
use portcullis_store::redis::{Limits, Link, Lists, Places, Releases};
use tokio::sync::watch;

pub(crate) use count::count;
pub(crate) use tickets::{keep_ticket, redeem};

use crate::StartError;
use crate::metrics::SharedStateGauges;
use crate::shared::Shared;

/// See the module.
pub(crate) struct Nodes {
    spec: SharedState,
    link: Link,
    lists: Lists,
    limits: Limits,
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
}

impl Nodes {
    /// The meeting place that the policy names. It need not be there yet.
    pub(crate) fn of(policy: &Policy) -> Result<Option<Arc<Self>>, StartError> {
        Ok(policy.checked.shared_state.as_ref().map(|spec| {
            let (link, lists) = (Link::new(spec), Lists::new(&spec.prefix));
            let (places, releases) = Places::new(uuid::Uuid::new_v4().simple().to_string());
            Arc::new(Self {
                spec: spec.clone(),
                link,
                lists,
                limits: Limits::new(&spec.prefix),
                places,
                releases: Mutex::new(Some(releases)),
                connected: AtomicBool::new(false),
                joins: AtomicU64::new(0),
                exchanged: AtomicU64::new(0),
                unexchanged: AtomicU64::new(0),
            })
        }))
    }

    /// Whether it is the one that a policy names.
    pub(crate) fn is(&self, policy: &Policy) -> bool {
        policy.checked.shared_state.as_ref() == Some(&self.spec)
    }

    pub(crate) fn gauges(&self) -> SharedStateGauges {
        let counts = self.link.counts();
        SharedStateGauges {
            up: self.connected.load(Ordering::Relaxed) && self.link.is_up(),
            answered: counts.answered,
            failed: counts.failed,
            exchanged: self.exchanged.load(Ordering::Relaxed),
            unexchanged: self.unexchanged.load(Ordering::Relaxed),
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
    let body = move || runtime.block_on(keeper.run(stopping));
    std::thread::Builder::new().name(String::from("nodes")).spawn(body).map_err(StartError::Thread)
}
