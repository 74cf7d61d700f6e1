//! What admission asks of the other nodes, put to the server and waited for a little while.

use portcullis_core::admission::{Count, Counted, Lease};
use portcullis_core::verdict::Reason;
use portcullis_store::redis::{LinkError, Place, Verdict};

use super::Nodes;
use crate::shared::Shared;

/// Counts it together with the other nodes; without an answer in time this node decides alone.
pub(crate) async fn count(shared: &Shared, count: &Count) -> Counted {
    match &shared.nodes {
        Some(nodes) => nodes.count(count).await,
        None => Counted::Alone(None),
    }
}

impl Nodes {
    async fn count(&self, count: &Count) -> Counted {
        let (limits, link, spec) = (&self.limits, &self.link, &self.spec);
        match count {
            Count::Attempt { address, rate, failed, places_max } => {
                let place = places_max.and_then(|_| self.places.hold(limits.places_of_address(*address)));
                // Without room for the place it is not counted at all, rather than without an end.
                let places_max = places_max.filter(|_| place.is_some());
                let member = place.as_ref().map(Place::member).unwrap_or_default();
                let verdict = limits.attempt(
                    link,
                    *address,
                    rate.as_ref(),
                    failed.as_ref(),
                    places_max,
                    &member,
                    spec.lease,
                    spec.timeout,
                );
                judged(verdict.await, place)
            }
            Count::Failed { address, limit, ban } => {
                match limits.failed(link, *address, limit, *ban, spec.timeout).await {
                    Ok(true) => Counted::Refused { reason: Reason::SourceBanned, retry_after: Some(*ban) },
                    Ok(false) => Counted::Granted { place: None, remaining: None },
                    Err(_) => Counted::Alone(None),
                }
            }
            Count::User { route, subject, places_max } => {
                let Some(place) = self.places.hold(limits.places_of_user(route, subject)) else {
                    return Counted::Alone(None);
                };
                let taken =
                    limits.user(link, place.key(), *places_max, &place.member(), spec.lease, spec.timeout).await;
                match taken {
                    Ok(true) => Counted::Granted { place: Some(Lease::new(place)), remaining: None },
                    Ok(false) => Counted::Refused { reason: Reason::ConnectionsPerUser, retry_after: None },
                    Err(_) => Counted::Alone(Some(Lease::new(place))),
                }
            }
        }
    }
}

fn judged(verdict: Result<Verdict, LinkError>, place: Option<Place>) -> Counted {
    let place = place.map(Lease::new);
    let (reason, retry_after) = match verdict {
        Err(_) => return Counted::Alone(place),
        Ok(Verdict::Granted(remaining)) => return Counted::Granted { place, remaining },
        Ok(Verdict::Banned(left)) => (Reason::SourceBanned, Some(left)),
        Ok(Verdict::Failures(wait)) => (Reason::AuthenticationRate, Some(wait)),
        Ok(Verdict::Rate(wait)) => (Reason::ConnectionRate, Some(wait)),
        Ok(Verdict::Places) => (Reason::ConnectionsPerIp, None),
    };
    Counted::Refused { reason, retry_after }
}
