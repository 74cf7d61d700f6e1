//! A task beside the keeper: what this node let through goes to the others, and what they have used comes here (SPEC 6.6).
//! No message waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use portcullis_core::limits::exchange::Spent;

use super::Nodes;
use crate::shared::Shared;

/// Most limits and parties of one exchange; the others come with the next.
const ENTRIES_MAX: usize = 16_384;
/// Calls at once.
const TOGETHER: usize = 128;

/// Exchanges for ever.
pub(super) async fn exchange(nodes: Arc<Nodes>, shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(nodes.spec.exchange_interval).await;
        if !nodes.connected.load(Ordering::Acquire) {
            continue;
        }
        for some in shared.ledger.spent(ENTRIES_MAX).chunks(TOGETHER) {
            let told = futures_util::future::join_all(some.iter().map(|spent| tell(&nodes, &shared, spent))).await;
            let failed = told.iter().filter(|told| !**told).count();
            nodes.exchanged.fetch_add(told.len().saturating_sub(failed) as u64, Ordering::Relaxed);
            nodes.unexchanged.fetch_add(failed as u64, Ordering::Relaxed);
            if failed > 0 {
                // They are told again; one round of waiting is enough.
                break;
            }
        }
    }
}

async fn tell(nodes: &Nodes, shared: &Shared, spent: &Spent) -> bool {
    match nodes.limits.charge(&nodes.link, spent, None).await {
        Ok(used) => {
            shared.ledger.settle(spent, used, shared.clock.now().mono_nanos());
            true
        }
        Err(error) => {
            tracing::debug!("counts of messages were not exchanged: {error}");
            false
        }
    }
}
