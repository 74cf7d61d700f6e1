//! Who is it? The credential, where the route looks for one, and what a failure of it counts.

use std::sync::Arc;

use super::credential::Found;
use super::nodes::Awaits;
use super::proof::{Place, Proof, Proved};
use super::{Admission, Arrival, Decision, Question, Refusal, Step, look, places, refuse, user_agent};
use crate::identity::{Method, Principal};
use crate::policy::Policy;
use crate::policy::checked::{Authenticate, CredentialPlace};
use crate::time::Now;
use crate::verdict::Reason;

impl Admission {
    /// Who is it?
    pub(super) fn identify(&mut self, now: Now) -> Step {
        let identity = &self.means.policy.checked.identity;
        let Some(visit) = &mut self.visit else {
            return refuse(Refusal::early(Reason::HandshakeMalformed, "admission", "no head was seen"));
        };
        if visit.route.spec.authenticate == Authenticate::Off {
            return self.permit(Arc::new(Principal::anonymous()), now);
        }
        if let Some(subject) = &identity.development_bypass {
            let principal = Principal {
                subject: Some(subject.as_str().into()),
                method: Method::DevelopmentBypass,
                ..Principal::anonymous()
            };
            return self.permit(Arc::new(principal), now);
        }
        if visit.proof.is_none() {
            let places = places(&visit.route, &self.means.policy);
            let found = look(places, identity, &visit.headers, visit.uri.query());
            // First of the list, a certificate goes before tokens; else it speaks where there is none.
            let first = places.first() == Some(&CredentialPlace::Certificate);
            if places.contains(&CredentialPlace::Certificate) && (first || found == Found::Nothing) {
                match certified(&self.means.policy, &self.arrival, now) {
                    Some(Ok(principal)) => return self.permit(Arc::new(principal), now),
                    Some(Err(reason)) => return self.reject(reason, now, reason.row().internal),
                    None => {}
                }
            }
            match found {
                Found::Token(token) => visit.proof = Some(Proof::new(token)),
                Found::Unclear => {
                    return self.reject(
                        Reason::CredentialInvalid,
                        now,
                        "more than one credential, or none that can be read",
                    );
                }
                Found::Nothing if visit.route.spec.authenticate == Authenticate::Optional => {
                    return self.permit(Arc::new(Principal::anonymous()), now);
                }
                Found::Nothing if visit.websocket && places.contains(&CredentialPlace::FirstMessage) => {
                    return Step::Ask(Question::FirstMessage { timeout: identity.first_message_timeout });
                }
                // Nothing was tried, so nothing counts against the address.
                Found::Nothing => {
                    return self.refuse_here(
                        Reason::CredentialMissing,
                        "credential",
                        Reason::CredentialMissing.row().internal,
                    );
                }
            }
        }
        self.verify(now)
    }

    fn verify(&mut self, now: Now) -> Step {
        let asked =
            self.visit.as_mut().and_then(|visit| Some((visit.proof.as_mut()?, &visit.route.spec.name, &visit.headers)));
        let Some((proof, route, headers)) = asked else {
            return self.refuse_here(Reason::CredentialMissing, "credential", Reason::CredentialMissing.row().internal);
        };
        let place = Place { route, client: self.arrival.client, user_agent: user_agent(headers) };
        match proof.step(&self.means, &place, now) {
            Proved::Principal(principal) => self.permit(principal, now),
            Proved::RefreshKeys { source, kid } => Step::Ask(Question::RefreshKeys { source, kid }),
            Proved::Introspect(token) => Step::Ask(Question::Introspect { token }),
            Proved::Redeem(name) => Step::Ask(Question::Redeem { name }),
            Proved::Recall(name) => Step::Ask(Question::Recall { name }),
            Proved::Throttled(left, detail) => match self.refuse_here(Reason::SubjectRate, "token", &detail) {
                Step::Done(decision) => match *decision {
                    Decision::Refuse(refusal) => refuse(Refusal { retry_after: Some(left), ..refusal }),
                    decision => Step::Done(Box::new(decision)),
                },
                step @ Step::Ask(_) => step,
            },
            Proved::Unavailable(reason, detail) => self.refuse_here(reason, "token", &detail),
            Proved::Failed(reason) => self.reject(reason, now, reason.row().internal),
        }
    }

    /// A failed authentication: it counts against the address.
    pub(super) fn reject(&mut self, reason: Reason, now: Now, detail: &'static str) -> Step {
        let banned = self.means.gate.failed(self.arrival.client, now);
        if let (Some(visit), Some(count)) = (&mut self.visit, self.means.gate.count_failed(self.arrival.client)) {
            visit.awaits = Awaits::Failure { reason, detail, banned };
            return Step::Ask(Question::Count(count));
        }
        self.rejected(reason, detail, banned)
    }

    pub(super) fn rejected(&mut self, reason: Reason, detail: &'static str, banned: bool) -> Step {
        let step = self.refuse_here(reason, "token", detail);
        match step {
            Step::Done(decision) => match *decision {
                Decision::Refuse(mut refusal) if banned => {
                    refusal.detail = format!("{detail}; the address is banned for a while");
                    refuse(refusal)
                }
                decision => Step::Done(Box::new(decision)),
            },
            step @ Step::Ask(_) => step,
        }
    }
}

/// Whom the certificate of the TLS handshake proves; `None` without one.
fn certified(policy: &Policy, arrival: &Arrival, now: Now) -> Option<Result<Principal, Reason>> {
    let rules = policy.checked.listen.tls.as_ref()?.client_certificates.as_ref()?;
    Some(arrival.certificate.as_ref()?.principal(rules, now))
}
