//! A credential for a session (SPEC 5.1): who asks at the path of sessions, and may they?
//!
//! A machine that asks and is answered, as admission is, but for no route: address, origin, credential, blocklist. Order
//! as there; it counts as one attempt of the address, and a failed authentication counts as one. Never issues anything:
//! that is [`crate::identity::session`]'s.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::HeaderMap;

use super::credential::{self, Found};
use super::proof::{Means, Place, Proof, Proved};
use super::{Arrival, Gate, Head, IpKey, Question, Refusal, Seat, handshake, user_agent};
use crate::identity::session::Order;
use crate::identity::{KeyRing, Method, Principal, TokenCache};
use crate::policy::Policy;
use crate::policy::checked::{CredentialPlace, Sessions};
use crate::time::Now;
use crate::verdict::Reason;

/// See the module.
pub struct Exchange {
    means: Means,
    arrival: Arrival,
    asked: Option<Asked>,
}

struct Asked {
    proof: Proof,
    seat: Seat,
    user_agent: Option<String>,
    by_cookie: bool,
    along: Option<String>,
}

/// What comes next.
#[derive(Debug)]
pub enum ExchangeStep {
    /// Something from outside is needed: keys, what a provider says of a token, or time.
    Ask(Question),
    /// Who asks, or why nothing is given.
    Done(Result<Box<Exchanged>, Box<Refusal>>),
}

/// Somebody who may have a session.
#[derive(Debug)]
pub struct Exchanged {
    /// Who.
    pub principal: Arc<Principal>,
    /// The credential came in a cookie: what is given for it may not be shown to scripts.
    pub by_cookie: bool,
    /// What a session is planned from.
    pub order: Order,
    /// Its counted place.
    pub seat: Seat,
}

/// Whether a page of this origin may ask for sessions: what a preflight wants to know.
#[must_use]
pub fn may_exchange(policy: &Policy, headers: &HeaderMap, tls: bool) -> bool {
    policy.origins().check(headers, tls, true).is_ok()
}

impl Exchange {
    /// A client that has not said anything.
    #[must_use]
    pub fn new(
        policy: Arc<Policy>,
        gate: Arc<Gate>,
        keys: Arc<KeyRing>,
        cache: Arc<TokenCache>,
        arrival: Arrival,
    ) -> Self {
        Self { means: Means { policy, gate, keys, cache }, arrival, asked: None }
    }

    /// Its head is here.
    pub fn arrive(&mut self, head: &Head<'_>, now: Now) -> ExchangeStep {
        match self.settle(head, now) {
            Ok(asked) => {
                let delay = asked.seat.delay();
                self.asked = Some(asked);
                if delay.is_zero() { self.step(now) } else { ExchangeStep::Ask(Question::Wait { delay }) }
            }
            Err(refusal) => ExchangeStep::Done(Err(refusal)),
        }
    }

    /// What the provider said of the token, or why it said nothing.
    pub fn introspected(&mut self, answer: Result<Vec<u8>, String>) {
        if let Some(asked) = &mut self.asked {
            asked.proof.introspected(answer);
        }
    }

    /// The ticket as it was kept where nodes meet.
    pub fn redeemed(&mut self, kept: Option<Vec<u8>>) {
        if let Some(asked) = &mut self.asked {
            asked.proof.redeemed(kept);
        }
    }

    fn settle(&self, head: &Head<'_>, now: Now) -> Result<Asked, Box<Refusal>> {
        let Means { policy, gate, .. } = &self.means;
        let seat = gate.seat(self.arrival.client, now).map_err(|(reason, retry_after)| {
            Box::new(Refusal { retry_after, ..Refusal::early(reason, "source", reason.row().internal) })
        })?;
        let said = |reason: Reason| refusal(reason, "origin", reason.row().internal);
        policy.origins().check(head.headers, self.arrival.tls, true).map_err(said)?;
        handshake::check_target(head).map_err(|(reason, what)| refusal(reason, "handshake", what))?;
        let missing = || refusal(Reason::CredentialMissing, "credential", Reason::CredentialMissing.row().internal);
        let rules = policy.checked.identity.sessions.as_ref().ok_or_else(missing)?;
        let (found, by_cookie) = self.find(head, rules);
        let token = match found {
            Found::Token(token) => token,
            Found::Nothing => return Err(missing()),
            Found::Unclear => {
                gate.failed(self.arrival.client, now);
                let words = "more than one credential, or none that can be read";
                return Err(refusal(Reason::CredentialInvalid, "credential", words));
            }
        };
        let along = match credential::session_cookie(head.headers, &rules.cookie.name) {
            Found::Token(along) if along != token => Some(along),
            _ => None,
        };
        let user_agent = user_agent(head.headers).map(str::to_owned);
        Ok(Asked { proof: Proof::new(token), seat, user_agent, by_cookie, along })
    }

    /// The credential, and whether it came in a cookie. Whatever a script put there itself goes first.
    fn find(&self, head: &Head<'_>, rules: &Sessions) -> (Found, bool) {
        let identity = &self.means.policy.checked.identity;
        let (cookies, others): (Vec<_>, Vec<_>) =
            identity.credentials.iter().copied().partition(|place| *place == CredentialPlace::Cookie);
        let find =
            |places: &[CredentialPlace]| credential::find(places, &identity.claims, head.headers, head.uri.query());
        match find(&others) {
            Found::Nothing => match find(&cookies) {
                Found::Nothing => (credential::session_cookie(head.headers, &rules.cookie.name), true),
                found => (found, true),
            },
            found => (found, false),
        }
    }

    /// As far as it goes without something from outside.
    pub fn step(&mut self, now: Now) -> ExchangeStep {
        let Some(asked) = &mut self.asked else {
            return ExchangeStep::Done(Err(refusal(Reason::HandshakeMalformed, "credential", "no head was seen")));
        };
        let place = Place { route: "", client: self.arrival.client, user_agent: asked.user_agent.as_deref() };
        match asked.proof.step(&self.means, &place, now) {
            Proved::RefreshKeys { source, kid } => ExchangeStep::Ask(Question::RefreshKeys { source, kid }),
            Proved::Introspect(token) => ExchangeStep::Ask(Question::Introspect { token }),
            Proved::Redeem(name) => ExchangeStep::Ask(Question::Redeem { name }),
            Proved::Recall(name) => ExchangeStep::Ask(Question::Recall { name }),
            Proved::Throttled(left, detail) => {
                let refusal = refusal(Reason::SubjectRate, "token", &detail);
                ExchangeStep::Done(Err(Box::new(Refusal { retry_after: Some(left), ..*refusal })))
            }
            Proved::Unavailable(reason, detail) => ExchangeStep::Done(Err(refusal(reason, "token", &detail))),
            Proved::Failed(reason) => {
                self.means.gate.failed(self.arrival.client, now);
                ExchangeStep::Done(Err(refusal(reason, "token", reason.row().internal)))
            }
            Proved::Principal(principal) => ExchangeStep::Done(self.welcome(principal, now)),
        }
    }

    fn welcome(&mut self, principal: Arc<Principal>, now: Now) -> Result<Box<Exchanged>, Box<Refusal>> {
        let gone = || refusal(Reason::HandshakeMalformed, "credential", "no head was seen");
        let Asked { seat, user_agent, by_cookie, along, .. } = self.asked.take().ok_or_else(gone)?;
        if let Some(reason) = self.means.gate.blocked(self.arrival.client, &principal, now) {
            let subject = principal.subject.as_deref().map(str::to_owned);
            return Err(Box::new(Refusal { subject, ..*refusal(reason, "blocklist", reason.row().internal) }));
        }
        let ip: IpKey = seat.ip_key();
        let order = Order { principal: Arc::clone(&principal), ip, user_agent, along };
        Ok(Box::new(Exchanged { principal, by_cookie, order, seat }))
    }
}

impl Exchanged {
    /// The id of the session that was shown as the credential.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.principal.session.as_deref().filter(|_| self.principal.method == Method::Session)
    }
}

fn refusal(reason: Reason, check: &'static str, detail: &str) -> Box<Refusal> {
    Box::new(Refusal::early(reason, check, detail))
}
