//! Another credential on an open connection (SPEC 3.8): checked as the first one was, and its subject and tenant must be
//! the same.
//!
//! A machine that asks and is answered, as admission is. Nothing is counted anew: the connection keeps its place.

use std::net::IpAddr;
use std::sync::Arc;

use super::proof::{Means, Place, Proof, Proved};
use super::{Gate, Question, entitled};
use crate::identity::{KeyRing, Principal, TokenCache};
use crate::policy::Policy;
use crate::time::Now;
use crate::verdict::Reason;

/// See the module.
pub struct Renewal {
    means: Means,
    proof: Proof,
    client: IpAddr,
    route: Box<str>,
    path: Box<str>,
    before: Arc<Principal>,
}

/// Which connection asks.
#[derive(Debug, Clone)]
pub struct Renewing {
    /// The client's address.
    pub client: IpAddr,
    /// The name of its route.
    pub route: Box<str>,
    /// The path it came to.
    pub path: Box<str>,
    /// Who it has been.
    pub before: Arc<Principal>,
}

/// What comes next.
#[derive(Debug)]
pub enum RenewalStep {
    /// Something from outside is needed; answer by [`Renewal::step`].
    Ask(Question),
    /// Who it is from now on, or why it may not stay and which check said so.
    Done(Result<Arc<Principal>, (Reason, &'static str)>),
}

impl Renewal {
    /// A token that came over an open connection.
    #[must_use]
    pub fn new(
        policy: Arc<Policy>,
        gate: Arc<Gate>,
        keys: Arc<KeyRing>,
        cache: Arc<TokenCache>,
        renewing: Renewing,
        token: String,
    ) -> Self {
        let Renewing { client, route, path, before } = renewing;
        let means = Means { policy, gate, keys, cache };
        Self { means, proof: Proof::new(token), client, route, path, before }
    }

    /// What the provider said of the token, or why it said nothing.
    pub fn introspected(&mut self, answer: Result<Vec<u8>, String>) {
        self.proof.introspected(answer);
    }

    /// As far as it goes without something from outside.
    pub fn step(&mut self, now: Now) -> RenewalStep {
        RenewalStep::Done(match self.proof.step(&self.means, &Place { route: &self.route, client: self.client }, now) {
            Proved::RefreshKeys { source, kid } => return RenewalStep::Ask(Question::RefreshKeys { source, kid }),
            Proved::Introspect(token) => return RenewalStep::Ask(Question::Introspect { token }),
            Proved::Unavailable(reason, _) => Err((reason, "token")),
            Proved::Failed(reason) => {
                self.means.gate.failed(self.client, now);
                Err((reason, "token"))
            }
            Proved::Principal(principal) => self.welcome(principal, now),
        })
    }

    fn welcome(&self, principal: Arc<Principal>, now: Now) -> Result<Arc<Principal>, (Reason, &'static str)> {
        if principal.subject != self.before.subject || principal.tenant != self.before.tenant {
            self.means.gate.failed(self.client, now);
            return Err((Reason::RefreshSubject, "renewal"));
        }
        let found = self.means.policy.find(&self.path).filter(|(route, _)| *route.spec.name == *self.route);
        let (route, params) = found.ok_or((Reason::RouteUnknown, "route"))?;
        entitled::check(&self.means, self.client, &route.spec, &params, &principal, now)?;
        Ok(principal)
    }
}
