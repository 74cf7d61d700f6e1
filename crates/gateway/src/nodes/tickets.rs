//! One-time tickets where nodes meet, so that any of them accepts a ticket, and one of them once.

use std::time::Duration;

use portcullis_core::identity::ticket;

use crate::shared::Shared;

/// Keeps a ticket that was just issued for all nodes. While nobody is connected it is good on this node alone; where the
/// answer is lost it may be good nowhere, and never in two places.
pub(crate) async fn keep_ticket(shared: &Shared, text: &str, ttl: Duration) {
    let Some(nodes) = &shared.nodes else { return };
    let tickets = shared.gate.tickets();
    let Some(kept) = tickets.keep(text, shared.clock.now()) else { return };
    match nodes.limits.keep_ticket(&nodes.link, &ticket::name(text), &kept, ttl, nodes.spec.timeout).await {
        Ok(()) => tickets.moved(text),
        Err(portcullis_store::redis::LinkError::Down) => {}
        Err(error) => {
            tracing::debug!("a ticket may be lost: {error}");
            tickets.moved(text);
        }
    }
}

/// Takes a ticket, so that nobody else has it; `None` where there is none, or nobody answered in time.
pub(crate) async fn redeem(shared: &Shared, name: &str) -> Option<Vec<u8>> {
    let nodes = shared.nodes.as_ref()?;
    match nodes.limits.take_ticket(&nodes.link, name, nodes.spec.timeout).await {
        Ok(kept) => kept,
        Err(error) => {
            tracing::debug!("a ticket could not be taken: {error}");
            None
        }
    }
}
