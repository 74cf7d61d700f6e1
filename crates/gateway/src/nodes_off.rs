//! This program was built without the feature `redis`: a gateway is always alone.

use std::sync::Arc;
use std::thread::JoinHandle;

use portcullis_core::admission::{Count, Counted};
use portcullis_core::policy::Policy;
use portcullis_core::reputation::{Others, Rates};
use portcullis_store::Entry;
use tokio::sync::watch;

use crate::StartError;
use crate::metrics::SharedStateGauges;
use crate::shared::Shared;

/// There are none.
pub(crate) enum Nodes {}

impl Nodes {
    pub(crate) fn of(policy: &Policy) -> Result<Option<Arc<Self>>, StartError> {
        if policy.checked.shared_state.is_some() { Err(StartError::WithoutRedis) } else { Ok(None) }
    }

    pub(crate) fn is(&self, _: &Policy) -> bool {
        match *self {}
    }

    pub(crate) fn compare(&self, _: Rates, _: std::time::Duration) -> Option<Others> {
        match *self {}
    }

    pub(crate) fn say_sessions(&self, _: impl Iterator<Item = (String, Entry)>) {
        match *self {}
    }

    pub(crate) fn gauges(&self) -> SharedStateGauges {
        match *self {}
    }
}

/// This node counts alone.
pub(crate) async fn count(_: &Shared, _: &Count) -> Counted {
    Counted::Alone(None)
}

/// This node keeps its tickets itself.
pub(crate) async fn keep_ticket(_: &Shared, _: &str, _: std::time::Duration) {}

/// There are no others' tickets.
pub(crate) async fn redeem(_: &Shared, _: &str) -> Option<Vec<u8>> {
    None
}

/// Nobody else is told of sessions.
pub(crate) async fn tell_session(_: &Shared, _: impl FnOnce() -> (String, Entry)) {}

/// There are no others' sessions.
pub(crate) async fn recall(_: &Shared, _: &str) {}

pub(crate) fn start(
    nodes: &Arc<Nodes>,
    _: &Arc<Shared>,
    _: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    match **nodes {}
}
