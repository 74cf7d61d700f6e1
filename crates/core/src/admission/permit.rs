//! May the principal be here? Rights, the places of its user, the authorizer; then what the upstream is told.

use std::sync::Arc;

use http::HeaderMap;

use super::nodes::Awaits;
use super::rate_headers::{attempts, say_limit};
use super::{
    Admission, Admitted, Decision, Question, Refusal, Step, Visit, authorizer, balance, credential, entitled, forward,
    places, refuse,
};
use crate::identity::Principal;
use crate::time::Now;
use crate::verdict::Reason;

impl Admission {
    /// May the principal be here?
    pub(super) fn permit(&mut self, principal: Arc<Principal>, now: Now) -> Step {
        // Taken, so that nothing can be asked or answered after a decision.
        let Some(visit) = self.visit.take() else {
            return refuse(Refusal::early(Reason::HandshakeMalformed, "admission", "no head was seen"));
        };
        let spec = &visit.route.spec;
        let entitled = entitled::check(&self.means, self.arrival.client, spec, &visit.params, &principal, now);
        if let Err((reason, check)) = entitled {
            let subject = principal.subject.as_deref().map(str::to_owned);
            let detail = match &spec.permission {
                Some(need) if check == "permission" => format!("the route asks for `{need}`"),
                _ => reason.row().internal.to_owned(),
            };
            return refuse(Refusal { subject, ..visit.refusal(reason, check, &detail) });
        }
        self.welcome(visit, principal, now)
    }

    /// Counts the user and writes what the upstream is told.
    fn welcome(&mut self, mut visit: Visit, principal: Arc<Principal>, now: Now) -> Step {
        let spec = &visit.route.spec;
        let mut response_headers = HeaderMap::new();
        if let Some((limit, allowance)) = visit.seat.rate() {
            say_limit(&mut response_headers, &attempts(&limit), &format!("\"attempts\";r={}", allowance.remaining));
        }
        if visit.websocket
            && principal.is_anonymous()
            && let Err((reason, _)) = visit.seat.take_anonymous()
        {
            return refuse(visit.refusal(reason, "anonymous", reason.row().internal));
        }
        if let (Some(max), Some(subject), true) = (spec.connections_per_user_max, &principal.subject, visit.websocket) {
            if let Err((reason, retry_after)) = visit.seat.take_user(spec.counted_as(), subject, max) {
                let at = visit.refusal(reason, "user", reason.row().internal);
                return refuse(Refusal { retry_after, subject: Some(subject.to_string()), ..at });
            }
            say_limit(&mut response_headers, &format!("\"connections\";q={max}"), "");
            if let Some(count) = self.means.gate.count_user(spec.counted_as(), subject, max) {
                visit.response_headers = response_headers;
                visit.awaits = Awaits::User(principal);
                self.visit = Some(visit);
                return Step::Ask(Question::Count(count));
            }
        }
        visit.response_headers = response_headers;
        self.seated(visit, principal, now)
    }

    /// Every place is taken; the authorizer has the last word.
    pub(super) fn seated(&mut self, mut visit: Visit, principal: Arc<Principal>, now: Now) -> Step {
        let spec = &visit.route.spec;
        // A ticket is for a connection, and that connection is asked about when it comes.
        if spec.authorizer.is_none() || self.for_ticket {
            return self.admit(visit, principal, now);
        }
        let wish = visit.wish(&self.arrival, &principal);
        let caches = self.means.gate.authorized();
        let known = caches.get(&visit.route.spec.name).and_then(|cache| wish.remembered(cache, now));
        if let Some(principal) = known {
            return self.admit_authorized(visit, principal, now);
        }
        let question = Question::Authorize { route: visit.route.spec.name.as_str().into(), body: wish.body() };
        visit.awaits = Awaits::Authorizer(principal);
        self.visit = Some(visit);
        Step::Ask(question)
    }

    /// The authorizer has spoken.
    pub(super) fn authorized(&mut self, principal: Arc<Principal>, reply: authorizer::Reply, now: Now) -> Step {
        let Some(visit) = self.visit.take() else {
            return refuse(Refusal::early(Reason::HandshakeMalformed, "admission", "no head was seen"));
        };
        let caches = self.means.gate.authorized();
        let concluded = match (&visit.route.spec.authorizer, caches.get(&visit.route.spec.name)) {
            (Some(spec), Some(cache)) => visit.wish(&self.arrival, &principal).conclude(reply, spec, cache, now),
            // A reload took it away meanwhile; the client may come again.
            _ => Err((Reason::AuthorizerUnavailable, "the configuration changed meanwhile".to_owned())),
        };
        match concluded {
            Ok(principal) => self.admit_authorized(visit, principal, now),
            Err((reason, detail)) => {
                let subject = principal.subject.as_deref().map(str::to_owned);
                refuse(Refusal { subject, ..visit.refusal(reason, "authorizer", &detail) })
            }
        }
    }

    /// What the authorizer added is judged too: a role may deny, demand a second factor, or be banned.
    fn admit_authorized(&self, visit: Visit, principal: Arc<Principal>, now: Now) -> Step {
        let spec = &visit.route.spec;
        match entitled::check(&self.means, self.arrival.client, spec, &visit.params, &principal, now) {
            Ok(()) => self.admit(visit, principal, now),
            Err((reason, check)) => {
                let subject = principal.subject.as_deref().map(str::to_owned);
                refuse(Refusal { subject, ..visit.refusal(reason, check, reason.row().internal) })
            }
        }
    }

    /// Writes what the upstream is told.
    fn admit(&self, visit: Visit, principal: Arc<Principal>, now: Now) -> Step {
        let identity = &self.means.policy.checked.identity;
        let spec = &visit.route.spec;
        let places = places(&visit.route, &self.means.policy);
        let mut offered_protocols = credential::offered_protocols(&visit.headers);
        if let Some(allowed) = &spec.subprotocols {
            offered_protocols.retain(|protocol| allowed.contains(protocol));
        }
        let websocket = visit.websocket;
        let admitted = Admitted {
            upstream_uri_path: forward::path(&visit.uri, identity, places),
            upstream_headers: {
                let told = forward::Told { identity, places, by: spec.forwarded_headers };
                forward::headers(&visit.headers, &self.arrival, &principal, &told, now)
            },
            ip_key: visit.seat.ip_key(),
            balance_key: balance::key(&spec.balance, &principal, &visit.params, visit.seat.ip_key()),
            offered_protocols,
            response_headers: visit.response_headers,
            principal,
            seat: visit.seat,
            route: visit.route,
        };
        Step::Done(Box::new(if websocket { Decision::Admit(admitted) } else { Decision::PassHttp(admitted) }))
    }
}
