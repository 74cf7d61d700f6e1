//! Another credential on an open connection (SPEC 3.8): checked as the first one was, and its subject and tenant must be
//! the same.
//!
//! A machine that asks and is answered, as admission is. Nothing is counted anew: the connection keeps its place.

use std::net::IpAddr;
use std::sync::Arc;

use super::authorizer::{Reply, Wish};
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
    user_agent: Option<Box<str>>,
    route: Box<str>,
    path: Box<str>,
    connection_id: Box<str>,
    before: Arc<Principal>,
    /// Who it is by its credential, while the authorizer is asked.
    proved: Option<Arc<Principal>>,
    authorized: Option<Reply>,
}

/// Which connection asks.
#[derive(Debug, Clone)]
pub struct Renewing {
    /// The client's address.
    pub client: IpAddr,
    /// Its `User-Agent`, where sessions are bound to it.
    pub user_agent: Option<Box<str>>,
    /// The name of its route.
    pub route: Box<str>,
    /// The path it came to.
    pub path: Box<str>,
    /// The id of the connection.
    pub connection_id: Box<str>,
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
    /// Nobody could say whether the credential is good: the connection stays under the one it has.
    Unanswered(Reason, &'static str),
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
        let Renewing { client, user_agent, route, path, connection_id, before } = renewing;
        let means = Means { policy, gate, keys, cache };
        let proof = Proof::new(token);
        Self { means, proof, client, user_agent, route, path, connection_id, before, proved: None, authorized: None }
    }

    /// What the provider said of the token, or why it said nothing.
    pub fn introspected(&mut self, answer: Result<Vec<u8>, String>) {
        self.proof.introspected(answer);
    }

    /// The ticket as it was kept where nodes meet.
    pub fn redeemed(&mut self, kept: Option<Vec<u8>>) {
        self.proof.redeemed(kept);
    }

    /// What the authorizer answered.
    pub fn authorized(&mut self, reply: Reply) {
        self.authorized = Some(reply);
    }

    /// As far as it goes without something from outside.
    pub fn step(&mut self, now: Now) -> RenewalStep {
        if let Some(principal) = self.proved.clone() {
            return self.welcome(principal, now);
        }
        let place = Place { route: &self.route, client: self.client, user_agent: self.user_agent.as_deref() };
        RenewalStep::Done(match self.proof.step(&self.means, &place, now) {
            Proved::RefreshKeys { source, kid } => return RenewalStep::Ask(Question::RefreshKeys { source, kid }),
            Proved::Introspect(token) => return RenewalStep::Ask(Question::Introspect { token }),
            Proved::Redeem(name) => return RenewalStep::Ask(Question::Redeem { name }),
            Proved::Recall(name) => return RenewalStep::Ask(Question::Recall { name }),
            // Others' guesses end nobody's connection.
            Proved::Throttled(..) => return RenewalStep::Unanswered(Reason::SubjectRate, "token"),
            Proved::Unavailable(reason, _) => return RenewalStep::Unanswered(reason, "token"),
            Proved::Failed(reason) => {
                self.means.gate.failed(self.client, now);
                Err((reason, "token"))
            }
            Proved::Principal(principal) => return self.welcome(principal, now),
        })
    }

    fn welcome(&mut self, principal: Arc<Principal>, now: Now) -> RenewalStep {
        match self.entitle(principal, now) {
            Ok(Entitled::Yes(principal)) => RenewalStep::Done(Ok(principal)),
            Ok(Entitled::Ask(question)) => RenewalStep::Ask(question),
            Err((reason @ Reason::AuthorizerUnavailable, check)) => RenewalStep::Unanswered(reason, check),
            Err(refused) => RenewalStep::Done(Err(refused)),
        }
    }

    fn entitle(&mut self, principal: Arc<Principal>, now: Now) -> Result<Entitled, (Reason, &'static str)> {
        let found = self.means.policy.find(&self.path).filter(|(route, _)| *route.spec.name == *self.route);
        let authorizes = found.as_ref().is_some_and(|(route, _)| route.spec.authorizer.is_some());
        self.same(&principal, authorizes, now)?;
        let (route, params) = found.ok_or((Reason::RouteUnknown, "route"))?;
        let spec = &route.spec;
        entitled::check(&self.means, self.client, spec, &params, &principal, now)?;
        let Some(authorizer) = &spec.authorizer else { return Ok(Entitled::Yes(principal)) };
        let caches = self.means.gate.authorized();
        let cache = caches.get(&spec.name).ok_or((Reason::AuthorizerUnavailable, "authorizer"))?;
        let wish = Wish {
            route: &spec.name,
            path: &self.path,
            params: &params,
            client: self.client,
            connection_id: &self.connection_id,
            principal: &principal,
        };
        let granted = match (wish.remembered(cache, now), self.authorized.take()) {
            (Some(granted), _) => granted,
            (None, Some(reply)) => {
                wish.conclude(reply, authorizer, cache, now).map_err(|(reason, _)| (reason, "authorizer"))?
            }
            (None, None) => {
                let question = Question::Authorize { route: self.route.clone(), body: wish.body() };
                self.proved = Some(Arc::clone(&principal));
                return Ok(Entitled::Ask(question));
            }
        };
        self.same(&granted, false, now)?;
        entitled::check(&self.means, self.client, spec, &params, &granted, now)?;
        Ok(Entitled::Yes(granted))
    }

    /// Whether it is the same subject and tenant as before. `tenant_later`: the authorizer may yet name the tenant.
    fn same(&self, principal: &Principal, tenant_later: bool, now: Now) -> Result<(), (Reason, &'static str)> {
        let tenant = principal.tenant == self.before.tenant || (tenant_later && principal.tenant.is_none());
        if principal.subject == self.before.subject && tenant {
            return Ok(());
        }
        self.means.gate.failed(self.client, now);
        Err((Reason::RefreshSubject, "renewal"))
    }
}

/// What the checks after the credential came to.
enum Entitled {
    Yes(Arc<Principal>),
    Ask(Question),
}
