//! What admission decided: an admitted client with what its upstream is told, or a refusal with how it is told.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::gate::Seat;
use super::question::Step;
use crate::identity::Principal;
use crate::limits::IpKey;
use crate::policy::Route;
use crate::policy::checked::RefuseWith;
use crate::verdict::Reason;

/// What was decided.
#[derive(Debug)]
pub enum Decision {
    /// The WebSocket may be.
    Admit(Admitted),
    /// The plain request may pass to the upstream.
    PassHttp(Admitted),
    /// No.
    Refuse(Refusal),
}

/// An admitted client, and what its upstream is told.
#[derive(Debug)]
pub struct Admitted {
    /// Its route.
    pub route: Arc<Route>,
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Its counted place.
    pub seat: Seat,
    /// The key its limits are counted under.
    pub ip_key: IpKey,
    /// What it is balanced by, where the route hashes.
    pub balance_key: Option<u64>,
    /// Path and query for the upstream, without the token.
    pub upstream_uri_path: String,
    /// Headers for the upstream, rebuilt.
    pub upstream_headers: HeaderMap,
    /// Subprotocols to offer, without a credential.
    pub offered_protocols: Vec<String>,
    /// Headers for the client.
    pub response_headers: HeaderMap,
}

/// A refused client.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The check that said so.
    pub check: &'static str,
    /// How it is told.
    pub refuse_with: RefuseWith,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// For operators.
    pub detail: String,
    /// The route, once known.
    pub route: Option<String>,
    /// The subject, once known.
    pub subject: Option<String>,
}

impl Refusal {
    pub(super) fn early(reason: Reason, check: &'static str, detail: &str) -> Self {
        Self::at(reason, check, detail, None, false)
    }

    /// `closes`: the client has sent a true handshake, so a route may refuse by a close code.
    pub(super) fn at(reason: Reason, check: &'static str, detail: &str, route: Option<&Route>, closes: bool) -> Self {
        Self {
            reason,
            check,
            refuse_with: route.filter(|_| closes).map_or(RefuseWith::Status, |route| route.spec.refuse_with),
            retry_after: None,
            headers: HeaderMap::new(),
            detail: detail.to_owned(),
            route: route.map(|route| route.spec.name.clone()),
            subject: None,
        }
    }
}

pub(super) fn refuse(refusal: Refusal) -> Step {
    Step::Done(Box::new(Decision::Refuse(refusal)))
}

/// Whether a refusal before the route may be told by a close code. Denied and banned sources are not worth an
/// accepted handshake.
pub(super) fn tells_by_close(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::SourceDenied
            | Reason::SourceBanned
            | Reason::ThreatListed
            | Reason::CountryRefused
            | Reason::NetworkRefused
            | Reason::AuthenticationRate
    )
}
