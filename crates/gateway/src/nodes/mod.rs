//! This gateway among others (SPEC 14): what it holds in common with them, and the thread that keeps it so.
//!
//! Where no `shared_state` is configured there is no [`Nodes`], no thread and no question.

mod keeper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::SharedState;
use portcullis_store::redis::{Link, Lists};
use tokio::sync::watch;

use crate::StartError;
use crate::metrics::SharedStateGauges;
use crate::shared::Shared;

/// See the module.
pub(crate) struct Nodes {
    spec: SharedState,
    link: Link,
    lists: Lists,
    /// What the keeper last found.
    connected: AtomicBool,
}

impl Nodes {
    /// The meeting place that the policy names. It need not be there yet.
    pub(crate) fn of(policy: &Policy) -> Result<Option<Arc<Self>>, StartError> {
        Ok(policy.checked.shared_state.as_ref().map(|spec| {
            let (link, lists) = (Link::new(spec), Lists::new(&spec.prefix));
            Arc::new(Self { spec: spec.clone(), link, lists, connected: AtomicBool::new(false) })
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
    let body = move || runtime.block_on(keeper.run(stopping));
    std::thread::Builder::new().name(String::from("nodes")).spawn(body).map_err(StartError::Thread)
}
