//! Everything before the credential: lockdown, the address, its origin, the handshake, the route.

use std::sync::Arc;

use http::HeaderMap;

use super::credential::Found;
use super::nodes::Awaits;
use super::rate_headers::{attempts, say_limit};
use super::{Admission, Head, Refusal, Visit, handshake, look, places, tells_by_close};
use crate::limits::Limit;
use crate::policy::Route;
use crate::policy::checked::{Authenticate, CredentialPlace, PlainHttp};
use crate::time::Now;
use crate::verdict::Reason;

impl Admission {
    /// Everything before the credential.
    pub(super) fn settle(&self, head: &Head<'_>, now: Now) -> Result<Visit, Box<Refusal>> {
        let websocket = !self.for_ticket && handshake::is_upgrade(head.headers);
        let found = self.means.policy.find(head.uri.path());
        let known = found.as_ref().map(|(route, _)| Arc::clone(route));
        // The route is looked up early for its own origins and its way to refuse; that there is none is said in
        // its turn. Only a true handshake can be accepted to be closed.
        let early = |reason: Reason, check, detail: &str| {
            let sound = || handshake::check_target(head).and_then(|()| handshake::check(head)).is_ok();
            let closes = websocket && tells_by_close(reason) && sound();
            Box::new(Refusal::at(reason, check, detail, known.as_deref(), closes))
        };
        let anonymous = || known.as_deref().is_some_and(|route| self.is_anonymous(route, head));
        if let Some(left) = self.means.gate.locked_for(now).filter(|_| anonymous()) {
            let refusal = early(Reason::Lockdown, "lockdown", Reason::Lockdown.row().internal);
            return Err(Box::new(Refusal { retry_after: Some(left), ..*refusal }));
        }
        let seat = self.means.gate.seat(self.arrival.client, now).map_err(|(reason, retry_after)| {
            let mut refusal = early(reason, "source", reason.row().internal);
            refusal.retry_after = retry_after;
            if let (Reason::ConnectionRate, Some(rate)) = (reason, self.means.policy.checked.sources.connection_rate) {
                say_limit(&mut refusal.headers, &attempts(&Limit::compile(rate)), "\"attempts\";r=0");
            }
            refusal
        })?;
        let origins = known.as_ref().map_or(self.means.policy.origins(), |route| route.origins(&self.means.policy));
        let needs_origin = websocket || !matches!(*head.method, http::Method::GET | http::Method::HEAD);
        origins
            .check(head.headers, self.arrival.tls, needs_origin)
            .map_err(|reason| early(reason, "origin", reason.row().internal))?;
        handshake::check_target(head).map_err(|(reason, what)| early(reason, "handshake", what))?;
        if websocket {
            handshake::check(head).map_err(|(reason, what)| early(reason, "handshake", what))?;
        }
        let (route, params) = found.ok_or_else(|| early(Reason::RouteUnknown, "route", "no route matches the path"))?;
        if route.spec.statistics.is_some() && (websocket || self.for_ticket) {
            return Err(early(Reason::RouteUnknown, "route", "the path has figures to read and takes no connections"));
        }
        if !websocket && !self.for_ticket && route.spec.http == PlainHttp::Block {
            return Err(early(Reason::HttpBlocked, "route", Reason::HttpBlocked.row().internal));
        }
        Ok(Visit {
            proof: None,
            awaits: Awaits::Nothing,
            response_headers: HeaderMap::new(),
            headers: head.headers.clone(),
            uri: head.uri.clone(),
            route,
            params,
            seat,
            websocket,
        })
    }

    /// Whether a route can only take the request for anonymous: it does not look, or there is nothing to see.
    fn is_anonymous(&self, route: &Route, head: &Head<'_>) -> bool {
        let identity = &self.means.policy.checked.identity;
        let nothing = || {
            let places = places(route, &self.means.policy);
            let found = look(places, identity, head.headers, head.uri.query());
            let certificate = places.contains(&CredentialPlace::Certificate) && self.arrival.certificate.is_some();
            found == Found::Nothing && !places.contains(&CredentialPlace::FirstMessage) && !certificate
        };
        match route.spec.authenticate {
            Authenticate::Off => true,
            _ if identity.development_bypass.is_some() => false,
            Authenticate::Optional | Authenticate::Required => nothing(),
        }
    }
}
