//! The life of an admitted connection: two legs, every message decided, bytes passed on.
//!
//! Decides nothing about messages itself: the core's inspection does. What it keeps: order, back-pressure
//! (a side is not read while the other cannot take), bounded memory, heartbeats and timeouts (SPEC 1.7), and
//! the closing handshake of RFC 6455 7.1 on both legs. One task a connection; no buffer while idle, reads go
//! to a buffer of the worker thread, and are judged together with those of its neighbours ([`cohort`]). Messages that pass are written as the bytes that came.

mod asking;
mod budget;
mod closing;
pub(crate) mod cohort;
pub(crate) mod credential;
mod lane;
pub(crate) mod leg;
mod pump;
mod side;
mod tell;
mod timing;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use portcullis_codec::{Decoder, Inflate, Limits, Params, Sender};
use portcullis_core::admission::{IpKey, Seat, may_stay};
use portcullis_core::event::{Decision, Origin};
use portcullis_core::identity::Principal;
use portcullis_core::identity::session::Held;
use portcullis_core::inspection::{Direction, Memory};
use portcullis_core::policy::checked::Messages;
use portcullis_core::policy::{Policy, Route};
use portcullis_core::verdict::Reason;

use crate::registry::{Handle, Order};
use crate::upstream::Lease;
use crate::worker::Worker;
use leg::Leg;
use side::Side;

/// Who speaks on a connection and under which rules: what events are written from.
pub(crate) struct Caller {
    /// The connection's id.
    pub connection_id: String,
    /// The client's address, after trusted proxies.
    pub client: std::net::IpAddr,
    /// The key its limits are counted under.
    pub ip_key: IpKey,
    /// Who is calling.
    pub principal: Arc<Principal>,
    /// The rules.
    pub route: Arc<Route>,
    /// What its events share. Made anew with the principal and the route ([`Caller::become_of`]).
    pub origin: Arc<Origin>,
    /// The path it came to, kept where another credential or policy may have to be judged for it.
    pub path: Option<Box<str>>,
    /// The client's `User-Agent`, kept where a session may have to be judged by it.
    pub user_agent: Option<Box<str>>,
}

/// Everything a relay starts from.
pub(crate) struct Parts {
    /// Who.
    pub caller: Caller,
    /// The counted place.
    pub seat: Seat,
    /// The upstream's counted place.
    pub lease: Lease,
    /// The client's socket, after our 101.
    pub client: Leg,
    /// Bytes read past the client's handshake.
    pub client_early: Bytes,
    /// The upstream's socket, after its 101.
    pub upstream: Leg,
    /// Bytes read past the upstream's handshake.
    pub upstream_early: Bytes,
    /// permessage-deflate, where both agreed.
    pub deflate: Option<Params>,
}

/// Inflated bytes of a message from which on its ratio counts.
const INFLATE_GRACE_BYTES: u64 = 1 << 20;

/// How far the end has come.
enum Phase {
    /// Messages pass.
    Open,
    /// A Close went one way; the other side may still speak until its own.
    Handshaking { until: Duration },
    /// The gateway ended it: what still comes is thrown away.
    Failed { until: Duration },
}

/// A connection being relayed.
pub(crate) struct Relay {
    worker: Rc<Worker>,
    caller: Caller,
    live: Rc<Handle>,
    _seat: Seat,
    _lease: Lease,
    client: Side,
    upstream: Side,
    early: Option<Box<(Bytes, Bytes)>>,
    deflate: Option<Params>,
    phase: Phase,
    end: Option<Reason>,
    started: Duration,
    message_at: Duration,
    habit: Habit,
    timer: Pin<Box<tokio::time::Sleep>>,
    timer_at: Duration,
    /// The timer knows whom to wake at `timer_at`.
    timer_armed: bool,
    generation: u64,
    /// The route's place in the metrics.
    counter: usize,
    events: budget::EventBudget,
    credential: credential::Standing,
    /// The session it came with.
    session: Option<Arc<Held>>,
}

impl Relay {
    /// The life of a connection, to be spawned on its worker's thread.
    pub(crate) fn task(worker: Rc<Worker>, parts: Parts) -> impl Future<Output = ()> {
        Task(Rc::new(RefCell::new(Self::new(worker, parts))))
    }

    fn new(worker: Rc<Worker>, parts: Parts) -> Self {
        let now = worker.now();
        let spec = &parts.caller.route.spec;
        let inflate = |sender| parts.deflate.map(|params| Inflate::new(&params, sender));
        let inbound = limits(&spec.inbound, spec.compression.ratio_max);
        let outbound = limits(&spec.outbound, spec.compression.ratio_max);
        let (client_memory, upstream_memory) = Memory::pair(&parts.caller.route.inbound, &parts.caller.route.outbound);
        let client = Side::new(
            parts.client,
            Sender::Client,
            Decoder::new(Sender::Client, inbound, inflate(Sender::Client)),
            client_memory,
            now.mono,
        );
        let upstream = Side::new(
            parts.upstream,
            Sender::Server,
            Decoder::new(Sender::Server, outbound, inflate(Sender::Server)),
            upstream_memory,
            now.mono,
        );
        let early = !(parts.client_early.is_empty() && parts.upstream_early.is_empty());
        let live = worker.register(&parts.caller, now);
        let counter = worker.shared.metrics.route_index(&spec.name);
        worker.shard().connection_opened(counter);
        let habit = Habit::new(worker.shared.gate.anomalies().is_on(), now.mono);
        let timer = tokio::time::sleep_until(worker.shared.clock.instant(now.mono));
        let mut relay = Self {
            generation: worker.generation(),
            counter,
            worker,
            live,
            _seat: parts.seat,
            _lease: parts.lease,
            client,
            upstream,
            early: early.then(|| Box::new((parts.client_early, parts.upstream_early))),
            deflate: parts.deflate,
            phase: Phase::Open,
            end: None,
            started: now.mono,
            message_at: now.mono,
            habit,
            timer: Box::pin(timer),
            timer_at: Duration::ZERO,
            timer_armed: false,
            events: budget::EventBudget::default(),
            credential: credential::Standing::default(),
            session: None,
            caller: parts.caller,
        };
        relay.session = relay.worker.shared.gate.sessions().of(&relay.caller.principal);
        relay.greet();
        relay.set_timer(now.mono);
        // Whoever was banned between admission and now is on no worker's list when that is enforced.
        let gate = &relay.worker.shared.gate;
        if let Some(reason) = gate.blocked(relay.caller.client, &relay.caller.principal, now) {
            relay.live.give(Order::Refuse(reason));
        }
        relay
    }

    /// Ends the connection of a caller who is not welcome any more.
    #[cold]
    fn turn_out(&mut self, reason: Reason, check: &'static str, now: Duration) {
        if matches!(self.phase, Phase::Failed { .. }) {
            return;
        }
        let wall = self.worker.shared.clock.now();
        self.worker.shard().refused(reason, Decision::Closed);
        let detail = reason.row().internal.to_owned();
        self.worker.record(self.caller.draft(reason, Decision::Closed, check, detail), wall);
        self.fail(reason, now);
    }

    /// Takes over what a new policy says of this route; a route that is gone keeps its old rules. A caller who may not
    /// be here any more is turned out.
    #[cold]
    fn adopt(&mut self, policy: &Policy, now: Duration) {
        let Some(route) = policy.route_named(&self.caller.route.spec.name) else { return };
        let ratio = route.spec.compression.ratio_max;
        self.client.decoder.set_limits(limits(&route.spec.inbound, ratio));
        self.upstream.decoder.set_limits(limits(&route.spec.outbound, ratio));
        (self.client.memory, self.upstream.memory) = self.client.memory.pair_after(&route.inbound, &route.outbound);
        self.caller.become_of(Arc::clone(&self.caller.principal), route);
        let Caller { route, path, principal, .. } = &self.caller;
        if let Err((reason, check)) = may_stay(policy, route, path.as_deref(), principal) {
            self.turn_out(reason, check, now);
        }
    }

    fn obey(&mut self, now: Duration) {
        if self.generation != self.worker.generation() {
            self.generation = self.worker.generation();
            let policy = self.worker.policy();
            self.adopt(&policy, now);
            self.set_timer(now);
        }
        if let Some(outcome) = self.live.take_renewed() {
            self.renewed(outcome, self.worker.shared.clock.now());
        }
        if let Some(order) = self.live.take_order() {
            let (reason, words) = match order {
                Order::Refuse(reason) => return self.turn_out(reason, "blocklist", now),
                Order::Disconnect => (Reason::AdminAction, String::from("disconnected by an operator")),
                Order::Drain { reconnect_after } => {
                    (Reason::Draining, format!("restarting; reconnect after {} ms", reconnect_after.as_millis()))
                }
            };
            let code = if matches!(order, Order::Disconnect) { 1008 } else { reason.row().close_code };
            self.fail_with(reason, code, &words, now);
        }
    }

    /// Holds what a user has sent against what is usual for it.
    #[cold]
    fn note_habit(&mut self, messages: u32, bytes: u64, now: portcullis_core::time::Now) {
        let types = self.client.memory.take_types();
        if let Some(subject) = &self.caller.principal.subject {
            self.worker.sent(self.caller.client, subject, (messages, bytes, types), now);
        }
    }

    /// Moves bytes both ways until nothing moves. True when the connection is over.
    fn turn(&mut self, cx: &mut Context<'_>, now: portcullis_core::time::Now) -> bool {
        if let Some(early) = self.early.take() {
            self.take_in(Direction::Inbound, &early.0, cx, now);
            self.take_in(Direction::Outbound, &early.1, cx, now);
        }
        loop {
            let moved = self.pump(Direction::Inbound, cx, now);
            let moved = self.pump(Direction::Outbound, cx, now) || moved;
            // After reading: what was just read may have to wait, and is asked about at once.
            let moved = self.answer(Direction::Inbound, cx, now) || moved;
            let moved = self.answer(Direction::Outbound, cx, now) || moved;
            if !moved {
                break;
            }
        }
        self.flush(cx, now.mono);
        if self.close_finished(cx) {
            return true;
        }
        // Set only where there is something to wait for: most closing handshakes end as soon as they are written.
        if let Phase::Handshaking { until } = self.phase {
            self.wake_by(until);
        }
        false
    }
}

/// A relay, shared with the cohort that it is judged in.
struct Task(Rc<RefCell<Relay>>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut relay = self.0.borrow_mut();
        let now = relay.worker.cohort.now(&relay.worker);
        relay.live.watch(cx.waker());
        // Read before whatever woke it now.
        relay.settle(cx, now);
        relay.obey(now.mono);
        let over = relay.turn(cx, now) || relay.timely(cx, now) && relay.turn(cx, now);
        if over {
            return Poll::Ready(());
        }
        if relay.is_read() {
            relay.worker.cohort.join(&self.0);
        }
        Poll::Pending
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let now = self.worker.now();
        if let Some((messages, bytes)) = self.habit.end() {
            self.note_habit(messages, bytes, now);
        }
        let age = now.mono.saturating_sub(self.started);
        self.worker.shard().connection_closed(self.counter, age);
        self.worker.unregister(&self.live);
        if self.worker.records_allowed() {
            // Without words, so that the ordinary end of a connection costs no place in the index of words.
            let mut draft = self.caller.draft(Reason::ConnectionClosed, Decision::Allowed, "relay", String::new());
            let ended_by = self.end.map_or("peers", Reason::label);
            draft.metadata = vec![
                ("ended_by", ended_by.into()),
                ("messages_in", self.live.inbound.get().into()),
                ("messages_out", self.live.outbound.get().into()),
                ("age_ms", u64::try_from(age.as_millis()).unwrap_or(u64::MAX).into()),
            ];
            self.worker.record(draft, now);
        }
    }
}

/// What a client has sent since it was looked at last.
struct Habit {
    on: bool,
    since: Duration,
    messages: u32,
    bytes: u64,
}

impl Habit {
    /// From one look to the next.
    const SPAN: Duration = Duration::from_secs(10);

    fn new(on: bool, now: Duration) -> Self {
        Self { on, since: now, messages: 0, bytes: 0 }
    }

    /// Counts messages; what was sent in the span before, when they are the first of another.
    fn add(&mut self, messages: u64, bytes: usize, now: Duration) -> Option<(u32, u64)> {
        if !self.on {
            return None;
        }
        let over = now.saturating_sub(self.since) >= Self::SPAN;
        let before = if over { self.end() } else { None };
        if over {
            self.since = now;
        }
        self.messages = self.messages.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
        self.bytes = self.bytes.saturating_add(bytes as u64);
        before
    }

    fn end(&mut self) -> Option<(u32, u64)> {
        let sent = (std::mem::take(&mut self.messages), std::mem::take(&mut self.bytes));
        Some(sent).filter(|(messages, _)| *messages > 0)
    }
}

/// What the decoder allows, from what the route says.
fn limits(messages: &Messages, inflate_ratio_max: u32) -> Limits {
    Limits {
        message_bytes_max: messages.bytes_max,
        frame_bytes_max: messages.bytes_max,
        fragments_max: messages.fragments_max,
        inflate_ratio_max,
        // Below it the size alone judges: an honest message of one repeated letter deflates a thousandfold.
        inflate_ratio_grace_bytes: INFLATE_GRACE_BYTES,
    }
}
