//! Two tasks beside the keeper: one renews the places of this node's connections, one gives back those that ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_store::redis::{Places, Releases};

use super::Nodes;

/// Renewals within a lease: two may fail.
const RENEWALS: u32 = 3;
/// From one look for a connection to the next, while there is none.
const LOOK: Duration = Duration::from_millis(100);
/// Places given back at once.
const TOGETHER: usize = 64;

/// Renews for ever. The first time after every connection, and after every failure, places are told that the server
/// does not know.
pub(super) async fn renew(nodes: Arc<Nodes>) {
    let mut joined = 0;
    loop {
        let joins = nodes.joins.load(Ordering::Acquire);
        if joins == 0 || !nodes.connected.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let all = joined != joins;
        joined = match nodes.places.renew(&nodes.link, nodes.spec.lease, all).await {
            Ok(()) => joins,
            Err(error) => {
                tracing::debug!("places were not renewed: {error}");
                0
            }
        };
        let due = tokio::time::Instant::now() + nodes.spec.lease / RENEWALS;
        // A new connection is told at once.
        while tokio::time::Instant::now() < due && nodes.joins.load(Ordering::Acquire) == joins {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Gives back for ever. What cannot be told ends with its lease.
pub(super) async fn release(nodes: Arc<Nodes>, mut told: Releases) {
    let mut ended = Vec::with_capacity(TOGETHER);
    while told.recv_many(&mut ended, TOGETHER).await > 0 {
        let calls = ended.drain(..).map(async |(key, member)| {
            if nodes.link.is_up()
                && let Err(error) = Places::release(&nodes.link, &key, &member).await
            {
                tracing::debug!("a place was not given back: {error}");
            }
        });
        futures_util::future::join_all(calls).await;
    }
}
