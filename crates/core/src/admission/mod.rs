//! May this connection be? The list of checks of a connection, cheapest first (SPEC 2), as a machine that asks
//! and is answered.
//!
//! Order: capacity → allow, deny, ban, threat lists, country → rate and concurrency of the address → origin → handshake → route →
//! the same counts of all nodes → credential → tenant, path binding, roles, permission, second factor → connections of the user → external authorizer. Nothing runs after a refusal, and whatever was
//! counted is given back when an [`Admission`] or its [`Seat`] is dropped.
//!
//! Never touches a socket: the shell feeds it a head and answers its [`Question`]s. Never tells a client which
//! part of a credential was wrong.

mod arrival;
pub mod authorizer;
pub mod balance;
mod binding;
pub mod client_address;
pub mod credential;
mod decision;
mod entitled;
mod exchange;
mod forward;
mod gate;
mod handshake;
mod identify;
mod logout;
mod mfa;
mod nodes;
mod origin;
mod permission;
mod permit;
mod proof;
pub mod proxy_protocol;
mod question;
mod rate_headers;
mod renewal;
mod role;
pub mod route;
mod tenant;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

pub use crate::limits::IpKey;
pub use decision::{Admitted, Decision, Refusal};
pub use entitled::{judges_path, may_stay};
pub use exchange::{Exchange, ExchangeStep, Exchanged, may_exchange};
pub use forward::ADMIN_COOKIE;
pub use gate::{Full, Gate, HANDSHAKES_PER_IP_MAX, Pending, Seat};
pub use handshake::has_token;
pub use logout::{LogoutStep, Notified, ProviderLogout};
pub use nodes::{Count, Counted, Lease};
pub use origin::{ORIGIN_BYTES_MAX, OriginCheck};
pub use question::{Answer, Question, Step};
pub use renewal::{Renewal, RenewalStep, Renewing};

use crate::identity::{Certificate, KeyRing, Principal, TokenCache};
use crate::policy::checked::{Authenticate, CredentialPlace, Identity};
use crate::policy::{Policy, Route};
use crate::time::Now;
use crate::verdict::Reason;
use credential::Found;
use decision::{refuse, tells_by_close};
use nodes::Awaits;
use proof::{Means, Proof};

/// A request's head.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// Path and query.
    pub uri: &'a http::Uri,
    /// Its version.
    pub version: http::Version,
    /// Its headers; names and values as RFC 9110 allows them, count and bytes already bounded.
    pub headers: &'a HeaderMap,
}

/// What is known of a client besides its head.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its address, after trusted proxies.
    pub client: IpAddr,
    /// It speaks TLS to us.
    pub tls: bool,
    /// The id of the connection.
    pub connection_id: String,
    /// The certificate it showed in the TLS handshake, verified.
    pub certificate: Option<Arc<Certificate>>,
}

/// Counts a socket as soon as it is accepted: capacity, deny-list, bans, handshakes of one address.
///
/// # Errors
/// Why it is turned away.
pub fn on_accept(gate: &Arc<Gate>, peer: IpAddr, now: Now) -> Result<Pending, Reason> {
    gate.socket(peer, now)
}

/// Whether a page of this origin may ask for the route that a path names: what a preflight wants to know.
#[must_use]
pub fn may_ask(policy: &Policy, path: &str, headers: &HeaderMap, tls: bool) -> bool {
    policy.find(path).is_some_and(|(route, _)| route.origins(policy).check(headers, tls, true).is_ok())
}

/// One client at the gate.
pub struct Admission {
    means: Means,
    arrival: Arrival,
    /// A ticket is wanted, not a connection.
    for_ticket: bool,
    visit: Option<Visit>,
}

/// What is known once the route is.
struct Visit {
    route: Arc<Route>,
    params: route::Params,
    seat: Seat,
    websocket: bool,
    proof: Option<Proof>,
    awaits: Awaits,
    response_headers: HeaderMap,
    headers: HeaderMap,
    uri: http::Uri,
}

impl Admission {
    /// A client that has not said anything.
    #[must_use]
    pub fn new(
        policy: Arc<Policy>,
        gate: Arc<Gate>,
        keys: Arc<KeyRing>,
        cache: Arc<TokenCache>,
        arrival: Arrival,
    ) -> Self {
        Self { means: Means { policy, gate, keys, cache }, arrival, for_ticket: false, visit: None }
    }

    /// The client wants a ticket for the route that the head's path names: judged as a connection would be, and
    /// answered as plain HTTP ([`Decision::PassHttp`]).
    pub fn arrive_for_ticket(&mut self, head: &Head<'_>, now: Now) -> Step {
        self.for_ticket = true;
        self.arrive(head, now)
    }

    /// Its head is here.
    pub fn arrive(&mut self, head: &Head<'_>, now: Now) -> Step {
        match self.settle(head, now) {
            Ok(visit) => {
                self.visit = Some(visit);
                self.attempt(now)
            }
            Err(refusal) => refuse(*refusal),
        }
    }

    /// Whoever has to wait waits before it is looked at further.
    fn pause(&mut self, now: Now) -> Step {
        match self.visit.as_ref().map(|visit| visit.seat.delay()) {
            Some(delay) if !delay.is_zero() => Step::Ask(Question::Wait { delay }),
            _ => self.identify(now),
        }
    }

    /// A question is answered.
    pub fn answer(&mut self, answer: Answer, now: Now) -> Step {
        let Some(visit) = &mut self.visit else {
            return refuse(Refusal::early(Reason::HandshakeMalformed, "admission", "an answer to no question"));
        };
        match std::mem::take(&mut visit.awaits) {
            Awaits::Nothing => self.informed(answer, now),
            Awaits::Authorizer(principal) => match answer {
                Answer::Authorized(reply) => self.authorized(principal, reply, now),
                _ => self.refuse_here(Reason::HandshakeMalformed, "admission", "an answer to another question"),
            },
            awaits => match answer {
                Answer::Counted(counted) => self.counted(awaits, counted, now),
                _ => self.refuse_here(Reason::HandshakeMalformed, "admission", "an answer to another question"),
            },
        }
    }

    /// Something about the credential is known.
    fn informed(&mut self, answer: Answer, now: Now) -> Step {
        let Some(visit) = &mut self.visit else {
            return refuse(Refusal::early(Reason::HandshakeMalformed, "admission", "an answer to no question"));
        };
        match answer {
            Answer::Authorized(_) | Answer::Counted(_) => {
                self.refuse_here(Reason::HandshakeMalformed, "admission", "an answer to no question")
            }
            Answer::Keys(_) | Answer::Recalled | Answer::Waited => self.identify(now),
            Answer::Redeemed(kept) => {
                if let Some(proof) = &mut visit.proof {
                    proof.redeemed(kept);
                }
                self.identify(now)
            }
            Answer::Introspected(answer) => {
                if let Some(proof) = &mut visit.proof {
                    proof.introspected(answer);
                }
                self.identify(now)
            }
            Answer::FirstMessage(message) => match message.as_deref().map(credential::from_first_message) {
                Some(Some(token)) => {
                    visit.proof = Some(Proof::new(token));
                    self.identify(now)
                }
                Some(None) => self.reject(Reason::CredentialInvalid, now, "the first message is no credential"),
                // Nothing was tried, so nothing counts against the address.
                None => self.refuse_here(Reason::AuthenticationTimeout, "credential", "no first message came in time"),
            },
        }
    }

    fn refuse_here(&mut self, reason: Reason, check: &'static str, detail: &str) -> Step {
        refuse(match self.visit.take() {
            Some(visit) => visit.refusal(reason, check, detail),
            None => Refusal::early(reason, check, detail),
        })
    }
}

impl Visit {
    fn wish<'a>(&'a self, arrival: &'a Arrival, principal: &'a Principal) -> authorizer::Wish<'a> {
        authorizer::Wish {
            route: &self.route.spec.name,
            path: self.uri.path(),
            params: &self.params,
            client: arrival.client,
            connection_id: &arrival.connection_id,
            principal,
        }
    }

    fn refusal(&self, reason: Reason, check: &'static str, detail: &str) -> Refusal {
        Refusal::at(reason, check, detail, Some(&self.route), self.websocket)
    }
}

/// Where credentials may stand; nowhere on a route that does not look at them, so that an upstream with an
/// authentication of its own gets them as they came.
fn places<'a>(route: &'a Route, policy: &'a Policy) -> &'a [CredentialPlace] {
    if route.spec.authenticate == Authenticate::Off {
        return &[];
    }
    route.spec.credentials.as_deref().unwrap_or(&policy.checked.identity.credentials)
}

/// The credential of a request. The cookie of a session is looked at last: browsers bring it along unasked, and another
/// credential was put there on purpose.
fn look(places: &[CredentialPlace], identity: &Identity, headers: &HeaderMap, query: Option<&str>) -> Found {
    let sessions = identity.sessions.as_ref().filter(|_| places.contains(&CredentialPlace::Cookie));
    match (credential::find(places, &identity.claims, headers, query), sessions) {
        (Found::Nothing, Some(sessions)) => credential::session_cookie(headers, &sessions.cookie.name),
        (found, _) => found,
    }
}

fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::USER_AGENT)?.to_str().ok()
}
