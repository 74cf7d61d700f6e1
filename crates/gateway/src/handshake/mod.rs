//! One HTTP request of a client: admission asked and answered, then a 101 with a relay behind it, a proxied
//! answer, or a refusal.
//!
//! Decides nothing: the core's admission does. Nothing reaches an upstream before it has said yes (SPEC 2.1).

mod answer;
mod first_message;
mod refusal;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use portcullis_core::admission::authorizer::Reply;
use portcullis_core::admission::{
    Admission, Admitted, Answer, Arrival, Decision, Head, Pending, Question, Step, judges_path,
};
use portcullis_core::event::{Decision as Recorded, Fact};
use portcullis_core::identity::Certificate;
use portcullis_core::verdict::Reason;

use crate::http_pass;
use crate::record::{Draft, fresh_id};
use crate::relay::leg::Leg;
use crate::relay::{Caller, Parts, Relay};
use crate::upstream::{self, Ask, Opened};
use crate::worker::Worker;
use answer::{offered_deflate, switching};
use refusal::Plain;

/// Bodies the gateway answers with: its own words, or an upstream's.
pub(crate) type Body = Either<Full<Bytes>, Incoming>;

/// What is known of a socket before its first request.
#[derive(Clone)]
pub(crate) struct Socket {
    /// The TCP peer, or what a PROXY header said of it.
    pub peer: IpAddr,
    /// It speaks TLS to us.
    pub tls: bool,
    /// What its requests hand on.
    pub(crate) handover: Rc<Handover>,
    /// The certificate it showed, verified.
    pub certificate: Option<std::sync::Arc<Certificate>>,
}

/// What becomes of a socket once its 101 is written: its leg, and bytes read past the head.
type Then = Box<dyn FnOnce(Leg, Bytes)>;

/// What the requests of one socket hand on to each other, and to what comes after them.
#[derive(Default)]
pub(crate) struct Handover {
    /// The socket's counted place until it has a seat.
    pending: Cell<Option<Pending>>,
    then: Cell<Option<Then>>,
}

impl Handover {
    /// Of a socket that was just accepted.
    pub(crate) fn new(pending: Pending) -> Rc<Self> {
        Rc::new(Self { pending: Cell::new(Some(pending)), then: Cell::new(None) })
    }

    /// What it was upgraded for, if it was.
    pub(crate) fn take_then(&self) -> Option<Then> {
        self.then.take()
    }

    fn set_then(&self, then: impl FnOnce(Leg, Bytes) + 'static) {
        self.then.set(Some(Box::new(then)));
    }

    /// Does something with the counted place, where it is still there.
    fn with_pending(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.pending.take();
        if let Some(pending) = &mut pending {
            change(pending);
        }
        self.pending.set(pending);
    }

    /// Gives it back: a seat is taken, and no connection counts twice.
    fn seated(&self) {
        drop(self.pending.take());
    }
}

/// Answers one request.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    socket: Socket,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let began = worker.shared.clock.mono();
    let response = if worker.shared.is_draining() {
        let refusal = Plain::new(Reason::Draining, "handshake", socket.peer);
        refusal.tell(&worker)
    } else {
        decide(&worker, socket, request).await
    };
    let took = worker.shared.clock.mono().saturating_sub(began);
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
    let connection_id = fresh_id(worker.now().unix_millis());
    let user_agent = user_agent(request.headers());
    let visit = Visit { worker: Rc::clone(worker), client, connection_id, user_agent, handover: socket.handover };
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
        admission.arrive(&head, worker.now())
    };
    visit.handover.with_pending(Pending::lend);
    let response = match visit.settle(&mut admission, step).await {
        Settled::Done(decision) => visit.enact(*decision, request).await,
        Settled::FirstMessage(timeout) => visit.upgrade_for_credential(admission, timeout, &request),
    };
    // Whoever was refused may ask again on this socket.
    visit.handover.with_pending(Pending::take_back);
    response
}

/// Most characters of a user agent that an event keeps.
const USER_AGENT_MAX: usize = 200;

/// The `User-Agent`, as text that a log can show.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    // ASCII without control characters but the tab, which a value of a header may hold.
    Some(text.get(..USER_AGENT_MAX).unwrap_or(text).replace('\t', " "))
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
    handover: Rc<Handover>,
}

impl Visit {
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
                    step = admission.answer(Answer::Authorized(reply), self.worker.now());
                }
                Step::Ask(Question::Wait { delay }) => {
                    Box::pin(self.wait(delay)).await;
                    step = admission.answer(Answer::Waited, self.worker.now());
                }
                Step::Ask(Question::Redeem { name }) => {
                    let kept = Box::pin(crate::nodes::redeem(&self.worker.shared, &name)).await;
                    step = admission.answer(Answer::Redeemed(kept), self.worker.now());
                }
                Step::Ask(Question::Recall { name }) => {
                    Box::pin(crate::nodes::recall(&self.worker.shared, &name)).await;
                    step = admission.answer(Answer::Recalled, self.worker.now());
                }
                Step::Ask(Question::Count(count)) => {
                    let counted = Box::pin(crate::nodes::count(&self.worker.shared, &count)).await;
                    step = admission.answer(Answer::Counted(counted), self.worker.now());
                }
                Step::Ask(Question::FirstMessage { timeout }) => return Settled::FirstMessage(timeout),
                Step::Ask(Question::RefreshKeys { source, .. }) => {
                    let answer = Box::pin(crate::fetch::refresh(&self.worker.shared, source)).await;
                    step = admission.answer(Answer::Keys(answer), self.worker.now());
                }
                Step::Ask(Question::Introspect { token }) => {
                    let answer = Box::pin(crate::introspect::ask(&self.worker.shared, &token)).await;
                    step = admission.answer(Answer::Introspected(answer), self.worker.now());
                }
            }
        }
    }

    /// Records that somebody was let in although the route's authorizer did not answer.
    fn note_silence(&self, decision: &Decision, why: String) {
        let (Decision::Admit(admitted) | Decision::PassHttp(admitted)) = decision else { return };
        self.worker.shard().refused(Reason::AuthorizerUnavailable, Recorded::Observed);
        let draft = self.caller(admitted).draft(Reason::AuthorizerUnavailable, Recorded::Observed, "authorizer", why);
        self.worker.record(draft, self.worker.now());
    }

    async fn enact(&self, decision: Decision, request: Request<Incoming>) -> Response<Body> {
        match decision {
            Decision::Refuse(refusal) => self.refuse(&refusal, &request),
            Decision::PassHttp(admitted) => Box::pin(self.pass_http(admitted, request)).await,
            Decision::Admit(admitted) => self.open(admitted, request).await,
        }
    }

    /// Opens the upstream, then answers 101; the relay starts when the socket is free.
    async fn open(&self, mut admitted: Admitted, request: Request<Incoming>) -> Response<Body> {
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
                self.handover.seated();
                let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
                self.note_arrival(&admitted, agent);
                let response = switching(&key, request.headers(), &mut admitted, &mut opened);
                self.relay_after(admitted, *opened);
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
        self.worker.record(draft, self.worker.now());
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
        self.worker.record(draft, self.worker.now());
    }

    fn relay_after(&self, admitted: Admitted, opened: Opened) {
        let worker = Rc::clone(&self.worker);
        let caller = self.caller(&admitted);
        self.note_listed(&caller);
        if worker.records_allowed() {
            let draft = caller.draft(Reason::ConnectionAccepted, Recorded::Allowed, "admission", String::new());
            let draft = Draft { metadata: self.agent(), ..draft };
            worker.record(draft, worker.now());
        }
        let Opened { leg: upstream, early: upstream_early, lease, deflate, .. } = opened;
        let seat = admitted.seat;
        self.handover.set_then(move |client, client_early| {
            let parts = Parts { caller, seat, lease, client, client_early, upstream, upstream_early, deflate };
            tokio::task::spawn_local(Relay::task(worker, parts));
        });
    }

    fn caller(&self, admitted: &Admitted) -> Caller {
        Caller {
            origin: Caller::origin(&self.connection_id, self.client, &admitted.principal, &admitted.route),
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

    /// What events of this handshake say about the program at the other end.
    pub(crate) fn agent(&self) -> Vec<(&'static str, Fact)> {
        self.user_agent.iter().map(|agent| ("user_agent", agent.clone().into())).collect()
    }
}
