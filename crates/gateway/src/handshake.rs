//! One HTTP request of a client: admission asked and answered, then a 101 with a relay behind it, a proxied
//! answer, or a refusal.
//!
//! Decides nothing: the core's admission does. Nothing reaches an upstream before it has said yes (SPEC 2.1).

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use portcullis_codec::deflate::{DeflatePolicy, Params};
use portcullis_codec::handshake::accept_key;
use portcullis_codec::{Offer, Proposal};
use portcullis_core::admission::authorizer::Reply;
use portcullis_core::admission::{
    Admission, Admitted, Answer, Arrival, Decision, Head, Pending, Question, Refusal, Step, credential, judges_path,
};
use portcullis_core::event::Decision as Recorded;
use portcullis_core::identity::Certificate;
use portcullis_core::policy::checked::RefuseWith;
use portcullis_core::verdict::Reason;

use crate::record::Draft;
use crate::relay::leg::Leg;
use crate::relay::{Caller, Parts, Relay};
use crate::upstream::{self, Ask, Opened};
use crate::worker::Worker;
use crate::{client_leg, http_pass, problem};

/// Bodies the gateway answers with: its own words, or an upstream's.
pub(crate) type Body = Either<Full<Bytes>, Incoming>;

/// What is known of a socket before its first request.
#[derive(Clone)]
pub(crate) struct Socket {
    /// The TCP peer, or what a PROXY header said of it.
    pub peer: IpAddr,
    /// It speaks TLS to us.
    pub tls: bool,
    /// Its counted place until it has a seat.
    pub(crate) pending: Rc<Cell<Option<Pending>>>,
    /// The certificate it showed, verified.
    pub certificate: Option<std::sync::Arc<Certificate>>,
}

/// Answers one request.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    socket: Socket,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let began = worker.shared.clock.now();
    let response = if worker.shared.is_draining() {
        let refusal = Plain::new(Reason::Draining, "handshake", socket.peer);
        refusal.tell(&worker)
    } else {
        decide(&worker, socket, request).await
    };
    let took = worker.shared.clock.now().mono.saturating_sub(began.mono);
    worker.shard().handshake(took);
    Ok(response)
}

async fn decide(worker: &Rc<Worker>, socket: Socket, request: Request<Incoming>) -> Response<Body> {
    let policy = worker.policy();
    let client = match portcullis_core::admission::client_address::resolve(
        socket.peer,
        request.headers(),
        &policy.checked.listen,
    ) {
        Ok(client) => client,
        Err(reason) => return Plain::new(reason, "client_address", socket.peer).tell(worker),
    };
    let connection_id = uuid::Uuid::now_v7().to_string();
    let user_agent = user_agent(request.headers());
    let visit = Visit { worker: Rc::clone(worker), client, connection_id, user_agent, pending: socket.pending };
    if let Some(response) = crate::statistics::preflight(&policy, &request, socket.tls) {
        return response;
    }
    let sessions = policy.checked.identity.sessions.clone().filter(|sessions| sessions.path == request.uri().path());
    if let Some(sessions) = sessions {
        return Box::pin(crate::session::serve(&visit, policy, &sessions, socket.tls, request)).await;
    }
    if let Some(begun) = crate::logout::begin(&visit, &policy, request.uri().path()) {
        return Box::pin(crate::logout::serve(&visit, &policy, begun, request)).await;
    }
    let tickets = policy.checked.identity.tickets.clone().filter(|tickets| tickets.path == request.uri().path());
    let csrf = policy.checked.identity.csrf.clone().filter(|csrf| csrf.path == request.uri().path());
    let mut admission = Admission::new(
        policy,
        std::sync::Arc::clone(&worker.shared.gate),
        worker.shared.keys.load_full(),
        worker.shared.cache.load_full(),
        Arrival {
            client,
            tls: socket.tls,
            connection_id: visit.connection_id.clone(),
            certificate: socket.certificate.clone(),
        },
    );
    if let Some(tickets) = tickets {
        return Box::pin(crate::ticket::serve(&visit, admission, &tickets, socket.tls, request)).await;
    }
    if let Some(csrf) = csrf {
        return Box::pin(crate::csrf::serve(&visit, admission, &csrf, socket.tls, request)).await;
    }
    let step = {
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        };
        admission.arrive(&head, worker.shared.clock.now())
    };
    visit.with_pending(Pending::lend);
    let response = match visit.settle(&mut admission, step).await {
        Settled::Done(decision) => visit.enact(*decision, request).await,
        Settled::FirstMessage(timeout) => visit.upgrade_for_credential(admission, timeout, request),
    };
    // Whoever was refused may ask again on this socket.
    visit.with_pending(Pending::take_back);
    response
}

/// Most characters of a user agent that an event keeps.
const USER_AGENT_MAX: usize = 200;

/// The `User-Agent`, as text that a log can show.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().filter(|one| !one.is_control()).take(USER_AGENT_MAX).collect())
}

/// Where admission stands after the questions that need no socket.
pub(crate) enum Settled {
    Done(Box<Decision>),
    FirstMessage(Duration),
}

/// One client at the gate.
pub(crate) struct Visit {
    pub(crate) worker: Rc<Worker>,
    pub(crate) client: IpAddr,
    pub(crate) connection_id: String,
    /// The program it says it is, for the audit.
    user_agent: Option<String>,
    /// Given back once a seat is taken, so that no connection counts twice.
    pending: Rc<Cell<Option<Pending>>>,
}

impl Visit {
    /// Does something with the socket's counted place, where it still has one.
    fn with_pending(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.pending.take();
        if let Some(pending) = &mut pending {
            change(pending);
        }
        self.pending.set(pending);
    }

    /// Answers what admission asks until it decides, or needs a message from the client. What few handshakes ask is
    /// boxed, here and in [`decide`]: all that a handshake might wait for is memory of every handshake.
    pub(crate) async fn settle(&self, admission: &mut Admission, mut step: Step) -> Settled {
        let mut silent = None;
        loop {
            match step {
                Step::Done(decision) => {
                    if let Some(why) = silent {
                        self.note_silence(&decision, why);
                    }
                    return Settled::Done(decision);
                }
                Step::Ask(Question::Authorize { route, body }) => {
                    let reply = Box::pin(crate::authorize::ask(&self.worker.shared, &route, body)).await;
                    if let Reply::Failed(why) = &reply {
                        silent = Some(why.clone());
                    }
                    step = admission.answer(Answer::Authorized(reply), self.worker.shared.clock.now());
                }
                Step::Ask(Question::Wait { delay }) => {
                    Box::pin(self.wait(delay)).await;
                    step = admission.answer(Answer::Waited, self.worker.shared.clock.now());
                }
                Step::Ask(Question::Redeem { name }) => {
                    let kept = Box::pin(crate::nodes::redeem(&self.worker.shared, &name)).await;
                    step = admission.answer(Answer::Redeemed(kept), self.worker.shared.clock.now());
                }
                Step::Ask(Question::Recall { name }) => {
                    Box::pin(crate::nodes::recall(&self.worker.shared, &name)).await;
                    step = admission.answer(Answer::Recalled, self.worker.shared.clock.now());
                }
                Step::Ask(Question::Count(count)) => {
                    let counted = Box::pin(crate::nodes::count(&self.worker.shared, &count)).await;
                    step = admission.answer(Answer::Counted(counted), self.worker.shared.clock.now());
                }
                Step::Ask(Question::FirstMessage { timeout }) => return Settled::FirstMessage(timeout),
                Step::Ask(Question::RefreshKeys { source, .. }) => {
                    let answer = Box::pin(crate::fetch::refresh(&self.worker.shared, source)).await;
                    step = admission.answer(Answer::Keys(answer), self.worker.shared.clock.now());
                }
                Step::Ask(Question::Introspect { token }) => {
                    let answer = Box::pin(crate::introspect::ask(&self.worker.shared, &token)).await;
                    step = admission.answer(Answer::Introspected(answer), self.worker.shared.clock.now());
                }
            }
        }
    }

    /// Records that somebody was let in although the route's authorizer did not answer.
    fn note_silence(&self, decision: &Decision, why: String) {
        let (Decision::Admit(admitted) | Decision::PassHttp(admitted)) = decision else { return };
        self.worker.shard().refused(Reason::AuthorizerUnavailable, Recorded::Observed);
        let draft = self.caller(admitted).draft(Reason::AuthorizerUnavailable, Recorded::Observed, "authorizer", why);
        self.worker.record(draft, self.worker.shared.clock.now());
    }

    async fn enact(&self, decision: Decision, request: Request<Incoming>) -> Response<Body> {
        match decision {
            Decision::Refuse(refusal) => self.refuse(&refusal, request),
            Decision::PassHttp(admitted) => Box::pin(self.pass_http(admitted, request)).await,
            Decision::Admit(admitted) => self.open(admitted, request).await,
        }
    }

    /// Opens the upstream, then answers 101; the relay starts when the socket is free.
    async fn open(&self, mut admitted: Admitted, mut request: Request<Incoming>) -> Response<Body> {
        let deflate = match offered_deflate(&admitted, request.headers()) {
            Ok(deflate) => deflate,
            Err(detail) => return self.failed(&admitted, Reason::HandshakeMalformed, detail),
        };
        let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
            return self.failed(&admitted, Reason::HandshakeMalformed, String::from("no `Sec-WebSocket-Key`"));
        };
        let ask = Ask {
            path: &admitted.upstream_uri_path,
            headers: &mut admitted.upstream_headers,
            protocols: &admitted.offered_protocols,
            balance_key: admitted.balance_key,
            deflate,
        };
        match upstream::open(&self.worker, &admitted.route, ask).await {
            Err(failure) => self.failed(&admitted, failure.reason, failure.detail),
            Ok(upstream::Answer::Refused(response, lease)) => self.refused_by_upstream(&admitted, response, &lease),
            Ok(upstream::Answer::Opened(mut opened)) => {
                drop(self.pending.take());
                let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
                self.note_arrival(&admitted, agent);
                let on_upgrade = hyper::upgrade::on(&mut request);
                let response = switching(&key, request.headers(), &mut admitted, &mut opened);
                self.relay_after(on_upgrade, admitted, *opened);
                response
            }
        }
    }

    /// Lets an attempt wait, and records it.
    pub(crate) async fn wait(&self, delay: Duration) {
        self.worker.shard().refused(Reason::ConnectionDelayed, Recorded::Observed);
        let draft = Draft {
            source_ip: Some(self.client),
            connection: Some(self.connection_id.clone()),
            ..Draft::new(Reason::ConnectionDelayed, Recorded::Observed, "source", format!("{} ms", delay.as_millis()))
        };
        self.worker.record(draft, self.worker.shared.clock.now());
        tokio::time::sleep(delay).await;
    }

    /// Holds a user's arrival against what is usual for it.
    fn note_arrival(&self, admitted: &Admitted, agent: Option<&str>) {
        if let Some(subject) = &admitted.principal.subject {
            self.worker.arrived(self.client, subject, agent);
        }
    }

    /// Records that somebody was let in who stands on a threat list that is only observed.
    fn note_listed(&self, caller: &Caller) {
        let Some((name, false)) = self.worker.shared.gate.provenance().listed(self.client) else { return };
        self.worker.shard().refused(Reason::ThreatListed, Recorded::Observed);
        let detail = format!("on the threat list `{name}`, which is observed");
        let draft = caller.draft(Reason::ThreatListed, Recorded::Observed, "source", detail);
        self.worker.record(draft, self.worker.shared.clock.now());
    }

    fn relay_after(&self, on_upgrade: OnUpgrade, admitted: Admitted, opened: Opened) {
        let worker = Rc::clone(&self.worker);
        let caller = self.caller(&admitted);
        self.note_listed(&caller);
        if worker.records_allowed() {
            let draft = caller.draft(Reason::ConnectionAccepted, Recorded::Allowed, "admission", String::new());
            let draft = Draft { metadata: self.agent(), ..draft };
            worker.record(draft, worker.shared.clock.now());
        }
        tokio::task::spawn_local(async move {
            let Ok(upgraded) = on_upgrade.await else { return };
            let Some((client, client_early)) = upstream::take_socket(upgraded) else { return };
            let parts = Parts {
                caller,
                seat: admitted.seat,
                lease: opened.lease,
                client,
                client_early,
                upstream: opened.leg,
                upstream_early: opened.early,
                deflate: opened.deflate,
            };
            // A task of its own: this one is as large as the largest of its awaits.
            tokio::task::spawn_local(Relay::new(worker, parts));
        });
    }

    fn caller(&self, admitted: &Admitted) -> Caller {
        Caller {
            connection_id: self.connection_id.clone(),
            client: self.client,
            ip_key: admitted.ip_key,
            principal: std::sync::Arc::clone(&admitted.principal),
            route: std::sync::Arc::clone(&admitted.route),
            path: (admitted.route.spec.notices.refresh || judges_path(&admitted.route.spec))
                .then(|| admitted.upstream_uri_path.split('?').next().unwrap_or_default().into()),
            user_agent: self.bound_user_agent(admitted),
        }
    }

    /// Kept only where a session that comes later may be bound to it.
    fn bound_user_agent(&self, admitted: &Admitted) -> Option<Box<str>> {
        let policy = self.worker.policy();
        let bound = policy.checked.identity.sessions.as_ref().is_some_and(|sessions| sessions.bind_user_agent);
        let named = admitted.upstream_headers.get(header::USER_AGENT)?.to_str().ok()?;
        (bound && admitted.route.spec.notices.refresh).then(|| named.into())
    }

    async fn pass_http(&self, admitted: Admitted, request: Request<Incoming>) -> Response<Body> {
        if let Some(shape) = &admitted.route.spec.statistics {
            return crate::statistics::answer(self, &admitted, shape, &request).await;
        }
        match http_pass::forward(&self.worker, &admitted, request).await {
            Ok(response) => response.map(Either::Right),
            Err(failure) => self.failed(&admitted, failure.reason, failure.detail),
        }
    }

    /// Says 101 first, for the credential comes as a message (SPEC 3.1); the upstream is dialled after it.
    fn upgrade_for_credential(
        &self,
        admission: Admission,
        timeout: Duration,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let headers = request.headers();
        let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        let protocol = first_protocol(headers);
        let on_upgrade = hyper::upgrade::on(&mut request);
        let visit = Self {
            worker: Rc::clone(&self.worker),
            client: self.client,
            connection_id: self.connection_id.clone(),
            user_agent: self.user_agent.clone(),
            pending: Rc::clone(&self.pending),
        };
        drop(self.pending.take());
        let answered = protocol.clone();
        tokio::task::spawn_local(Box::pin(async move {
            let Ok(upgraded) = on_upgrade.await else { return };
            let Some((leg, early)) = upstream::take_socket(upgraded) else { return };
            visit.credential_by_message(admission, timeout, leg, early, answered).await;
        }));
        let mut response = accepted(&key, request.headers());
        if let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(&protocol).ok()) {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }

    async fn credential_by_message(
        &self,
        mut admission: Admission,
        timeout: Duration,
        leg: Leg,
        early: Bytes,
        protocol: Option<String>,
    ) {
        let mut waiting = client_leg::Waiting::new(leg, early);
        let message = tokio::time::timeout(timeout, waiting.first_message()).await.unwrap_or_default();
        let step = admission.answer(Answer::FirstMessage(message), self.worker.shared.clock.now());
        let decision = match self.settle(&mut admission, step).await {
            Settled::Done(decision) => *decision,
            // It cannot be asked for twice.
            Settled::FirstMessage(_) => return,
        };
        let mut admitted = match decision {
            Decision::Admit(admitted) => admitted,
            Decision::PassHttp(_) => return,
            Decision::Refuse(refusal) => {
                self.note(&refusal);
                let words = refusal.reason.words(self.worker.policy().checked.detailed_errors());
                return waiting.close(refusal.reason.row().close_code, words).await;
            }
        };
        let ask = Ask {
            path: &admitted.upstream_uri_path,
            headers: &mut admitted.upstream_headers,
            protocols: protocol.as_slice(),
            balance_key: admitted.balance_key,
            deflate: None,
        };
        let failure = match upstream::open(&self.worker, &admitted.route, ask).await {
            Ok(upstream::Answer::Opened(opened)) if opened.protocol == protocol => {
                let (client, client_early) = waiting.into_socket();
                let caller = self.caller(&admitted);
                self.note_listed(&caller);
                self.note_arrival(&admitted, None);
                let parts = Parts {
                    caller,
                    seat: admitted.seat,
                    lease: opened.lease,
                    client,
                    client_early,
                    upstream: opened.leg,
                    upstream_early: opened.early,
                    deflate: None,
                };
                tokio::task::spawn_local(Relay::new(Rc::clone(&self.worker), parts));
                return;
            }
            Ok(upstream::Answer::Opened(_)) => upstream::Failure {
                reason: Reason::UpstreamProtocol,
                detail: String::from("it chose another subprotocol than the client was told"),
            },
            Ok(upstream::Answer::Refused(response, _)) => upstream::Failure {
                reason: Reason::UpstreamRefused,
                detail: format!("it answered {}", response.status()),
            },
            Err(failure) => failure,
        };
        self.note_failure(&admitted, failure.reason, failure.detail);
        let detailed = admitted.route.spec.errors.detailed;
        waiting.close(failure.reason.row().close_code, failure.reason.words(detailed)).await;
    }

    pub(crate) fn refuse(&self, refusal: &Refusal, mut request: Request<Incoming>) -> Response<Body> {
        let reference = self.note(refusal);
        let policy = self.worker.policy();
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
        if let (RefuseWith::Close, Some(key)) = (refusal.refuse_with, key) {
            let words = refusal.reason.words(policy.checked.detailed_errors()).to_owned();
            let code = refusal.reason.row().close_code;
            let protocol = first_protocol(request.headers());
            let on_upgrade = hyper::upgrade::on(&mut request);
            tokio::task::spawn_local(Box::pin(async move {
                let Ok(upgraded) = on_upgrade.await else { return };
                let Some((leg, early)) = upstream::take_socket(upgraded) else { return };
                client_leg::Waiting::new(leg, early).close(code, &words).await;
            }));
            let mut response = accepted(&key, request.headers());
            if let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(&protocol).ok()) {
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            return response;
        }
        self.status(refusal, &reference)
    }

    /// A refusal by status, whatever the client speaks.
    pub(crate) fn refuse_by_status(&self, refusal: &Refusal) -> Response<Body> {
        self.status(refusal, &self.note(refusal))
    }

    fn status(&self, refusal: &Refusal, reference: &str) -> Response<Body> {
        let detailed = self.worker.policy().checked.detailed_errors();
        let mut response = problem::response(refusal.reason, detailed, reference, refusal.retry_after);
        response.headers_mut().extend(refusal.headers.clone());
        response.map(Either::Left)
    }

    /// What events of this handshake say about the program at the other end.
    pub(crate) fn agent(&self) -> Vec<(&'static str, String)> {
        self.user_agent.iter().map(|agent| ("user_agent", agent.clone())).collect()
    }

    /// Records a refusal; returns its reference.
    fn note(&self, refusal: &Refusal) -> String {
        self.worker.shard().refused(refusal.reason, Recorded::Refused);
        self.worker.shared.gate.watch().refused(self.client, refusal.reason);
        self.worker.accuse(self.client, refusal.subject.as_deref(), refusal.reason, Recorded::Refused);
        let draft = Draft {
            source_ip: Some(self.client),
            connection: Some(self.connection_id.clone()),
            user: refusal.subject.clone(),
            route: refusal.route.clone(),
            metadata: self.agent(),
            ..Draft::new(refusal.reason, Recorded::Refused, refusal.check, refusal.detail.clone())
        };
        self.worker.record(draft, self.worker.shared.clock.now())
    }

    fn note_failure(&self, admitted: &Admitted, reason: Reason, detail: String) -> String {
        self.worker.shard().refused(reason, Recorded::Refused);
        let draft = self.caller(admitted).draft(reason, Recorded::Refused, "upstream", detail);
        self.worker.record(draft, self.worker.shared.clock.now())
    }

    fn failed(&self, admitted: &Admitted, reason: Reason, detail: String) -> Response<Body> {
        let reference = self.note_failure(admitted, reason, detail);
        let detailed = admitted.route.spec.errors.detailed;
        problem::response(reason, detailed, &reference, None).map(Either::Left)
    }

    /// An upstream's refusal reaches the client as it was said, except what belongs to the connection.
    fn refused_by_upstream(
        &self,
        admitted: &Admitted,
        response: Response<Incoming>,
        lease: &upstream::Lease,
    ) -> Response<Body> {
        let status = response.status();
        let detail = format!("`{}` answered {status}", lease.authority());
        self.note_failure(admitted, Reason::UpstreamRefused, detail);
        let mut response = response.map(Either::Right);
        upstream::keep_end_to_end(response.headers_mut());
        // A 1xx would promise another answer.
        if status.is_informational() {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        // No byte of this socket is read as a second request: a client may have been fooled to speak frames.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// A refusal before a route is known.
struct Plain {
    reason: Reason,
    check: &'static str,
    client: IpAddr,
}

impl Plain {
    fn new(reason: Reason, check: &'static str, client: IpAddr) -> Self {
        Self { reason, check, client }
    }

    fn tell(&self, worker: &Worker) -> Response<Body> {
        worker.shard().refused(self.reason, Recorded::Refused);
        worker.shared.gate.watch().refused(self.client, self.reason);
        worker.accuse(self.client, None, self.reason, Recorded::Refused);
        let draft = Draft {
            source_ip: Some(self.client),
            ..Draft::new(self.reason, Recorded::Refused, self.check, self.reason.row().internal.to_owned())
        };
        let reference = worker.record(draft, worker.shared.clock.now());
        let detailed = worker.policy().checked.detailed_errors();
        problem::response(self.reason, detailed, &reference, None).map(Either::Left)
    }
}

/// The first subprotocol that is no credential: what a socket that is closed at once is told, for a browser
/// fails a handshake that ignores its list.
fn first_protocol(headers: &HeaderMap) -> Option<String> {
    let offered = credential::offered_protocols(headers);
    offered.into_iter().next()
}

fn offered_deflate(admitted: &Admitted, headers: &HeaderMap) -> Result<Option<Proposal>, String> {
    let compression = &admitted.route.spec.compression;
    let policy = DeflatePolicy { enabled: compression.enabled, context_takeover: compression.context_takeover };
    let values = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::as_bytes);
    let offers = Offer::parse_all(values).map_err(|error| error.to_string())?;
    Ok(policy.propose(&offers))
}

/// 101, as RFC 6455 4.2.2 writes it; a chosen subprotocol takes the place of `bearer`.
fn accepted(key: &HeaderValue, request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_bytes(accept_key(key.as_bytes()).as_bytes()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(bearer) = credential::announced_bearer(request).and_then(|bearer| HeaderValue::from_str(bearer).ok()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, bearer);
    }
    response
}

fn switching(key: &HeaderValue, request: &HeaderMap, admitted: &mut Admitted, opened: &mut Opened) -> Response<Body> {
    let mut response = accepted(key, request);
    let headers = response.headers_mut();
    let mut last = None;
    for (name, value) in std::mem::take(&mut opened.headers) {
        // The map names a header once, before the first of its values.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| !headers.contains_key(*name) || *name == header::SET_COOKIE) {
            headers.append(name, value);
        }
    }
    headers.extend(std::mem::take(&mut admitted.response_headers));
    let mut say = |name, text: Option<String>| {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    };
    say(header::SEC_WEBSOCKET_PROTOCOL, opened.protocol.clone());
    say(header::SEC_WEBSOCKET_EXTENSIONS, opened.deflate.as_ref().map(Params::header_value));
    response
}
