//! May this connection be? The list of checks of a connection, cheapest first (SPEC 2), as a machine that asks
//! and is answered.
//!
//! Order: capacity → allow, deny, ban, threat lists, country → rate and concurrency of the address → origin → handshake → route →
//! the same counts of all nodes → credential → tenant, path binding, roles, permission, second factor → connections of the user → external authorizer. Nothing runs after a refusal, and whatever was
//! counted is given back when an [`Admission`] or its [`Seat`] is dropped.
//!
//! Never touches a socket: the shell feeds it a head and answers its [`Question`]s. Never tells a client which
//! part of a credential was wrong.

pub mod authorizer;
mod binding;
pub mod client_address;
pub mod credential;
mod entitled;
mod exchange;
mod forward;
mod gate;
mod handshake;
mod logout;
mod mfa;
mod nodes;
mod origin;
mod permission;
mod proof;
pub mod proxy_protocol;
mod renewal;
mod role;
pub mod route;
mod tenant;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

pub use crate::limits::IpKey;
pub use entitled::{judges_path, may_stay};
pub use exchange::{Exchange, ExchangeStep, Exchanged, may_exchange};
pub use forward::ADMIN_COOKIE;
pub use gate::{Full, Gate, HANDSHAKES_PER_IP_MAX, Pending, Seat};
pub use logout::{LogoutStep, Notified, ProviderLogout};
pub use nodes::{Count, Counted, Lease};
pub use origin::{ORIGIN_BYTES_MAX, OriginCheck};
pub use renewal::{Renewal, RenewalStep, Renewing};

use crate::identity::introspection::Opaque;
use crate::identity::{Certificate, KeyRing, Method, Principal, TokenCache};
use crate::limits::Limit;
use crate::policy::checked::{Authenticate, CredentialPlace, Identity, PlainHttp, RefuseWith};
use crate::policy::{Policy, Route};
use crate::time::Now;
use crate::verdict::Reason;
use credential::Found;
use nodes::Awaits;
use proof::{Means, Place, Proof, Proved};

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

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// Something from outside is needed.
    Ask(Question),
    /// Decided.
    Done(Box<Decision>),
}

/// What admission cannot know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A token names a key that no set holds: read this source (its place in `identity.jwks`) again, put the set
    /// into the ring, and answer [`Answer::Keys`].
    RefreshKeys {
        /// Place in `identity.jwks`.
        source: usize,
        /// The key's id, as the unverified token says.
        kid: Option<String>,
    },
    /// Ask the introspection endpoint about a token, and answer [`Answer::Introspected`].
    Introspect {
        /// The token.
        token: Opaque,
    },
    /// Ask the authorizer of a route, and answer [`Answer::Authorized`].
    Authorize {
        /// The name of the route.
        route: Box<str>,
        /// What it is told: JSON.
        body: Vec<u8>,
    },
    /// Let the client wait, and answer [`Answer::Waited`].
    Wait {
        /// How long.
        delay: Duration,
    },
    /// Take a ticket from where nodes meet, so that nobody else has it, and answer [`Answer::Redeemed`].
    Redeem {
        /// What it is kept under.
        name: String,
    },
    /// Look where nodes meet for a session, put it in force, and answer [`Answer::Recalled`].
    Recall {
        /// What it is known by there.
        name: String,
    },
    /// Count it together with the other nodes, and answer [`Answer::Counted`].
    Count(Count),
    /// Accept the handshake and answer with the client's first message.
    FirstMessage {
        /// How long to wait for it.
        timeout: Duration,
    },
}

/// What the shell answers.
#[derive(Debug)]
pub enum Answer {
    /// Whether new keys came.
    Keys(Result<(), ()>),
    /// What the introspection endpoint answered with 200, at most
    /// [`ANSWER_BYTES_MAX`](crate::identity::introspection::ANSWER_BYTES_MAX) bytes, or in words why it did not.
    Introspected(Result<Vec<u8>, String>),
    /// What the authorizer answered.
    Authorized(authorizer::Reply),
    /// It has waited.
    Waited,
    /// A ticket as it was kept; `None` where there is none, or nobody answered in time.
    Redeemed(Option<Vec<u8>>),
    /// The session was looked for; whether it was found, the next step tells.
    Recalled,
    /// What the other nodes' counts say.
    Counted(Counted),
    /// The first message; `None` where none came in time.
    FirstMessage(Option<Vec<u8>>),
}

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

    /// Everything before the credential.
    fn settle(&self, head: &Head<'_>, now: Now) -> Result<Visit, Box<Refusal>> {
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

    /// Who is it?
    fn identify(&mut self, now: Now) -> Step {
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
            Proved::Unavailable(reason, detail) => self.refuse_here(reason, "token", &detail),
            Proved::Failed(reason) => self.reject(reason, now, reason.row().internal),
        }
    }

    /// A failed authentication: it counts against the address.
    fn reject(&mut self, reason: Reason, now: Now, detail: &'static str) -> Step {
        let banned = self.means.gate.failed(self.arrival.client, now);
        if let (Some(visit), Some(count)) = (&mut self.visit, self.means.gate.count_failed(self.arrival.client)) {
            visit.awaits = Awaits::Failure { reason, detail, banned };
            return Step::Ask(Question::Count(count));
        }
        self.rejected(reason, detail, banned)
    }

    fn rejected(&mut self, reason: Reason, detail: &'static str, banned: bool) -> Step {
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

    /// May the principal be here?
    fn permit(&mut self, principal: Arc<Principal>, now: Now) -> Step {
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
    fn seated(&mut self, mut visit: Visit, principal: Arc<Principal>, now: Now) -> Step {
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
    fn authorized(&mut self, principal: Arc<Principal>, reply: authorizer::Reply, now: Now) -> Step {
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
            upstream_headers: forward::headers(&visit.headers, &self.arrival, &principal, identity, places, now),
            ip_key: visit.seat.ip_key(),
            offered_protocols,
            response_headers: visit.response_headers,
            principal,
            seat: visit.seat,
            route: visit.route,
        };
        Step::Done(Box::new(if websocket { Decision::Admit(admitted) } else { Decision::PassHttp(admitted) }))
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

/// Whom the certificate of the TLS handshake proves; `None` without one.
fn certified(policy: &Policy, arrival: &Arrival, now: Now) -> Option<Result<Principal, Reason>> {
    let rules = policy.checked.listen.tls.as_ref()?.client_certificates.as_ref()?;
    Some(arrival.certificate.as_ref()?.principal(rules, now))
}

/// Whether a refusal before the route may be told by a close code. Denied and banned sources are not worth an
/// accepted handshake.
fn tells_by_close(reason: Reason) -> bool {
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

/// Adds `RateLimit-Policy` and, where something is left to tell, `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
fn say_limit(headers: &mut HeaderMap, policy: &str, left: &str) {
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Some(value) = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty()) {
            headers.append(name, value);
        }
    }
}

/// The policy of connection attempts, as those headers say it.
fn attempts(limit: &Limit) -> String {
    format!("\"attempts\";q={};w={}", limit.capacity(), seconds(limit.period()))
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

impl Refusal {
    fn early(reason: Reason, check: &'static str, detail: &str) -> Self {
        Self::at(reason, check, detail, None, false)
    }

    /// `closes`: the client has sent a true handshake, so a route may refuse by a close code.
    fn at(reason: Reason, check: &'static str, detail: &str, route: Option<&Route>, closes: bool) -> Self {
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

fn refuse(refusal: Refusal) -> Step {
    Step::Done(Box::new(Decision::Refuse(refusal)))
}
