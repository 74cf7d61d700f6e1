//! One direction: read, decode, have each message decided, write what passes.

use std::task::{Context, Poll};
use std::time::Duration;

use portcullis_codec::{Control, Item, Message, MessageKind, Opcode, ProtocolError, Wire, encode_message};
use portcullis_core::event::Decision;
use portcullis_core::inspection::{self, Action, Direction, Finding, PAUSE_MAX, Verdict};
use portcullis_core::notice::{self, Plea};
use portcullis_core::policy::checked::OnRefuse;
use portcullis_core::reputation::Fact;
use portcullis_core::time::Now;
use portcullis_core::verdict::{Reason, Severity};

use super::asking::Stopped;
use super::side::Side;
use super::{Caller, Phase, Relay};
use crate::callback::Answers;
use crate::worker::{Scratch, Worker};

/// Reads of one direction before the other has its turn.
const READS_MAX: usize = 4;
/// Events a connection may write in one second; the rest are counted in metrics and named in the next. High and
/// critical ones have as many of their own, so that no flood of small faults hides an attack.
const EVENTS_PER_SECOND: u32 = 20;

/// Keeps one noisy connection from filling the audit.
#[derive(Debug, Default)]
pub(super) struct EventBudget {
    ordinary: Budget,
    severe: Budget,
    last_reference: String,
}

#[derive(Debug, Default)]
struct Budget {
    window: Duration,
    spent: u32,
    suppressed: u64,
}

impl EventBudget {
    /// How many events of this weight were withheld before this one; `None` withholds this one too.
    fn spend(&mut self, severity: Severity, now: Duration) -> Option<u64> {
        match severity {
            Severity::Low | Severity::Medium => self.ordinary.spend(now),
            Severity::High | Severity::Critical => self.severe.spend(now),
        }
    }
}

impl Budget {
    fn spend(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.spent = 0;
        }
        if self.spent >= EVENTS_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.spent += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// What a direction is made of, borrowed apart from the rest of the relay.
pub(super) struct Lane<'a> {
    worker: &'a Worker,
    caller: &'a Caller,
    pub(super) from: &'a mut Side,
    to: &'a mut Side,
    events: &'a mut EventBudget,
    direction: Direction,
    now: Now,
    messages: u64,
    /// `from` said Close; `to` was sent it.
    closed: bool,
    /// Another credential may be brought.
    may_renew: bool,
    /// One was brought.
    renewal: Option<Plea>,
    /// A message that is to wait for callbacks, where the lane stopped.
    stopped: Option<Stopped>,
    /// Bytes of the input that are done with.
    used: usize,
}

/// Why a lane stopped for good.
pub(super) enum Stop {
    /// The bytes of `from` break the protocol.
    Protocol(ProtocolError),
    /// A check closes the connection.
    Refused(Reason),
    /// `to` cannot be written.
    Broken,
}

impl Relay {
    /// Moves one direction. True when it should be called again at once.
    pub(super) fn pump(&mut self, direction: Direction, cx: &mut Context<'_>, now: Now) -> bool {
        let worker = std::rc::Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        let Scratch { read, .. } = &mut *scratch;
        let mut buffer = std::mem::take(read);
        let mut again = false;
        for round in 0..READS_MAX {
            if !self.may_read(direction, cx, now.mono) {
                break;
            }
            let from = match direction {
                Direction::Inbound => &mut self.client,
                Direction::Outbound => &mut self.upstream,
            };
            match from.poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    from.ended = true;
                    self.side_ended(direction, now.mono);
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    from.heard_at = now.mono;
                    let input = buffer.get(..count).unwrap_or_default();
                    self.decide(direction, input, &mut scratch, cx, now);
                    again = round + 1 == READS_MAX;
                }
            }
        }
        scratch.read = buffer;
        drop(scratch);
        let side = if direction == Direction::Inbound { &self.client } else { &self.upstream };
        let paused_until = side.memory.paused_until();
        if paused_until > now.mono {
            self.wake_by(paused_until);
        }
        again
    }

    /// Takes bytes that were read with the handshake.
    pub(super) fn take_in(&mut self, direction: Direction, input: &[u8], cx: &mut Context<'_>, now: Now) {
        let worker = std::rc::Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        self.decide(direction, input, &mut scratch, cx, now);
    }

    /// Whether this side may be read: it speaks, and the other takes what it says.
    fn may_read(&mut self, direction: Direction, cx: &mut Context<'_>, now: Duration) -> bool {
        let queue_max = self.caller.route.spec.queue_bytes_max;
        let (from, to) = match direction {
            Direction::Inbound => (&mut self.client, &mut self.upstream),
            Direction::Outbound => (&mut self.upstream, &mut self.client),
        };
        // Whoever owes a limit is not read: what it sends waits with it.
        if from.ended || from.held.is_some() || from.memory.paused_until() > now {
            return false;
        }
        if to.poll_flush(cx, now).is_err() {
            to.ended = true;
            self.side_ended(opposite(direction), now);
            return false;
        }
        // Replies wait on `from` itself: a client that does not read its refusals is not read either.
        to.backlog() < queue_max && from.backlog() < queue_max
    }

    /// A side.
    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Inbound => &mut self.client,
            Direction::Outbound => &mut self.upstream,
        }
    }

    pub(super) fn lane(&mut self, direction: Direction, now: Now) -> Lane<'_> {
        let (from, to) = match direction {
            Direction::Inbound => (&mut self.client, &mut self.upstream),
            Direction::Outbound => (&mut self.upstream, &mut self.client),
        };
        Lane {
            worker: &self.worker,
            caller: &self.caller,
            from,
            to,
            events: &mut self.events,
            direction,
            now,
            messages: 0,
            closed: false,
            may_renew: self.credential.may_renew(now.mono),
            renewal: None,
            stopped: None,
            used: 0,
        }
    }

    pub(super) fn decide(
        &mut self,
        direction: Direction,
        input: &[u8],
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
        now: Now,
    ) {
        if matches!(self.phase, Phase::Failed { .. }) {
            return;
        }
        if self.side(direction).close_received {
            return;
        }
        let deflate = self.deflate.is_some();
        let mut lane = self.lane(direction, now);
        let outcome = lane.run(input, scratch, deflate, cx);
        let Lane { messages, closed, renewal, stopped, used, .. } = lane;
        if messages > 0 {
            self.message_at = now.mono;
            if let (Direction::Inbound, Some(session)) = (direction, &self.session) {
                session.touch(now.unix_seconds());
            }
            if direction == Direction::Inbound
                && let Some((sent, bytes)) = self.habit.add(messages, used, now.mono)
            {
                self.note_habit(sent, bytes, now);
            }
            self.live.count(direction, messages);
            self.worker.shard().messages(self.counter, direction, messages, used as u64);
        }
        if closed {
            self.handshake_close(now.mono);
        }
        if let (Some(plea), Ok(())) = (renewal, &outcome) {
            self.renew(plea, now);
        }
        let goes_on = outcome.is_ok();
        self.after(direction, outcome, now);
        if let Some(stopped) = stopped.filter(|_| goes_on) {
            self.hold(direction, stopped, input.get(used..).unwrap_or_default());
        }
    }

    /// Ends what a lane stopped for good.
    pub(super) fn after(&mut self, direction: Direction, outcome: Result<(), Stop>, now: Now) {
        match outcome {
            Ok(()) => {}
            Err(Stop::Protocol(error)) => self.protocol_error(direction, &error, now),
            Err(Stop::Refused(reason)) => self.fail(reason, now.mono),
            Err(Stop::Broken) => {
                match direction {
                    Direction::Inbound => self.upstream.ended = true,
                    Direction::Outbound => self.client.ended = true,
                }
                self.side_ended(opposite(direction), now.mono);
            }
        }
    }

    fn protocol_error(&mut self, direction: Direction, error: &ProtocolError, now: Now) {
        let reason = reason_of(direction, error);
        self.worker.shard().refused(reason, Decision::Closed);
        if direction == Direction::Inbound {
            let subject = self.caller.principal.subject.as_deref();
            self.worker.accuse(self.caller.client, subject, reason, Decision::Closed);
        }
        if self.events.spend(reason.row().severity, now.mono).is_some() {
            let mut draft = self.caller.draft(reason, Decision::Closed, "codec", error.to_string());
            draft.metadata.push(("rule", error.label().to_owned()));
            self.worker.record(draft, now);
        }
        let code = reason.row().close_code;
        if direction == Direction::Outbound {
            let mask = self.worker.mask_key();
            self.upstream.queue_close(error.close_code(), "", mask);
        }
        let detailed = self.caller.route.spec.errors.detailed;
        let words = if detailed && direction == Direction::Inbound {
            error.to_string()
        } else {
            reason.words(detailed).to_owned()
        };
        self.fail_with(reason, code, &words, now.mono);
    }
}

impl Lane<'_> {
    fn run(&mut self, input: &[u8], scratch: &mut Scratch, deflate: bool, cx: &mut Context<'_>) -> Result<(), Stop> {
        // Neighbouring messages that pass leave in one write.
        let mut run = 0..0;
        let mut at = 0;
        self.used = input.len();
        let outcome = loop {
            let rest = input.get(at..).unwrap_or_default();
            // The decoder is taken apart from its side, for a held message borrows it while the side writes.
            let step = match self.from.decoder.decode(rest, &mut scratch.codec) {
                Ok(step) => step,
                Err(error) => break Err(Stop::Protocol(error)),
            };
            let consumed = step.consumed;
            match step.item {
                None => break Ok(()),
                Some(Item::Control(control)) => {
                    let control = OwnedControl::from(&control);
                    self.write(input.get(run.clone()), cx)?;
                    run = 0..0;
                    if let Err(stop) = self.control(&control) {
                        break Err(stop);
                    }
                    if self.closed {
                        break Ok(());
                    }
                }
                Some(Item::Message(message)) => {
                    self.messages += 1;
                    if let Some(plea) = renewal_in(self.worker, self.caller, self.direction, &message) {
                        // It is the gateway's: the other side's compressor never heard of it.
                        self.from.reencode |= deflate && message.compressed;
                        if let Err(stop) = self.take_renewal(plea) {
                            break Err(stop);
                        }
                        at += consumed;
                        continue;
                    }
                    let lossy = self.from.reencode && message.compressed;
                    let mut verdict = judge(
                        self.worker,
                        self.caller,
                        &mut self.from.memory,
                        self.direction,
                        self.now,
                        &mut scratch.work,
                        &message,
                    );
                    if let Some(ask) = verdict.ask.take() {
                        write_to(self.to, input.get(std::mem::replace(&mut run, 0..0)), cx)?;
                        let frame = match &verdict.rewritten {
                            None if !lossy => message.wire.bytes(rest).to_vec(),
                            text => {
                                let text = text.as_deref().unwrap_or(message.payload);
                                reencoded(message.kind, text, self.to.mask(self.worker.mask_key()))
                            }
                        };
                        let compressed = message.compressed;
                        // Its receiver lacks what later messages may refer to.
                        self.from.reencode |= deflate && compressed && verdict.rewritten.is_some();
                        self.stopped = Some(Stopped { ask, frame, compressed });
                        at += consumed;
                        break self.tell(&verdict);
                    }
                    let plain_pass = verdict.action == Action::Pass && verdict.findings.is_empty() && !lossy;
                    match &message.wire {
                        Wire::Input(range) if plain_pass => {
                            let range = range.start + at..range.end + at;
                            if run.end == range.start && !run.is_empty() {
                                run.end = range.end;
                            } else {
                                let done = std::mem::replace(&mut run, range);
                                write_to(self.to, input.get(done), cx)?;
                            }
                        }
                        Wire::Held(bytes) if plain_pass => {
                            write_to(self.to, input.get(std::mem::replace(&mut run, 0..0)), cx)?;
                            write_to(self.to, Some(bytes), cx)?;
                        }
                        _ => {
                            write_to(self.to, input.get(std::mem::replace(&mut run, 0..0)), cx)?;
                            let passes = matches!(verdict.action, Action::Pass);
                            if passes && !lossy {
                                write_to(self.to, Some(message.wire.bytes(rest)), cx)?;
                            } else if passes {
                                let mask = self.to.mask(self.worker.mask_key());
                                let frame = reencoded(message.kind, message.payload, mask);
                                write_to(self.to, Some(&frame), cx)?;
                            } else {
                                if let Some(text) = &verdict.rewritten {
                                    let mask = self.to.mask(self.worker.mask_key());
                                    write_to(self.to, Some(&reencoded(message.kind, text, mask)), cx)?;
                                }
                                // Its receiver lacks what later messages may refer to.
                                self.from.reencode |= deflate && message.compressed;
                            }
                            if let Err(stop) = self.tell(&verdict) {
                                break Err(stop);
                            }
                        }
                    }
                }
            }
            at += consumed;
        };
        if self.stopped.is_some() {
            self.used = at;
        }
        let written = write_to(self.to, input.get(run), cx);
        self.from.decoder.release();
        outcome.and(written)
    }

    /// What its callbacks' answers make of a message.
    pub(super) fn answered(&mut self, answers: Answers) -> Verdict {
        let plan = plan(self.caller, self.direction);
        let context = context(self.worker, self.caller, self.now);
        let Answers { findings, replacement } = answers;
        inspection::callback::answered(plan, &mut self.from.memory, &context, findings, replacement)
    }

    /// A message for `to` that was rewritten.
    pub(super) fn reencoded(&self, kind: MessageKind, payload: &[u8]) -> Vec<u8> {
        reencoded(kind, payload, self.to.mask(self.worker.mask_key()))
    }

    fn take_renewal(&mut self, plea: Plea) -> Result<(), Stop> {
        if self.may_renew {
            self.may_renew = false;
            self.renewal = Some(plea);
            return Ok(());
        }
        let finding = Finding {
            reason: Reason::RefreshTooOften,
            check: "renewal",
            outcome: OnRefuse::Reply,
            field: None,
            rule: None,
            evidence: None,
            detail: Reason::RefreshTooOften.row().internal.to_owned(),
            message_type: None,
            retry_after: None,
        };
        self.tell(&Verdict { action: Action::Reply, findings: vec![finding], rewritten: None, ask: None })
    }

    pub(super) fn write(&mut self, bytes: Option<&[u8]>, cx: &mut Context<'_>) -> Result<(), Stop> {
        write_to(self.to, bytes, cx)
    }

    /// Records what was found, answers the sender, ends the connection where the verdict says so.
    pub(super) fn tell(&mut self, verdict: &Verdict) -> Result<(), Stop> {
        let mut stop = None;
        for finding in &verdict.findings {
            let decision = decision(finding.outcome);
            self.worker.shard().refused(finding.reason, decision);
            // What a backend says does not speak against its client.
            if self.direction == Direction::Inbound {
                let subject = self.caller.principal.subject.as_deref();
                self.worker.accuse(self.caller.client, subject, finding.reason, decision);
                if Fact::of(finding.reason).is_some() {
                    let slowed = self.worker.slowed_for(self.caller.client, subject).min(PAUSE_MAX);
                    if !slowed.is_zero() {
                        self.from.memory.pause(self.now.mono + slowed, self.now.mono);
                    }
                }
            }
            let severity = finding.reason.row().severity;
            if let Some(suppressed) = self.events.spend(severity, self.now.mono) {
                self.events.last_reference = self.record(finding, decision, suppressed);
            }
            match finding.outcome {
                OnRefuse::Reply => {
                    let reply =
                        inspection::error_reply(&self.caller.route.spec.errors, finding, &self.events.last_reference);
                    let mask = self.from.mask(self.worker.mask_key());
                    let mut frame = Vec::with_capacity(reply.len() + 14);
                    encode_message(&mut frame, MessageKind::Text, reply.as_bytes(), mask);
                    self.from.queue(&frame);
                }
                OnRefuse::Close => stop = Some(Stop::Refused(finding.reason)),
                OnRefuse::Observe | OnRefuse::Mask | OnRefuse::Sanitize | OnRefuse::Replace | OnRefuse::Drop => {}
            }
        }
        stop.map_or(Ok(()), Err)
    }

    fn record(&self, finding: &Finding, decision: Decision, suppressed: u64) -> String {
        let mut draft = self.caller.draft(finding.reason, decision, finding.check, finding.detail.clone());
        draft.message_type.clone_from(&finding.message_type);
        if let Some(field) = &finding.field {
            draft.metadata.push(("field", field.clone()));
        }
        if let Some(rule) = &finding.rule {
            draft.metadata.push(("rule", rule.clone()));
        }
        if let Some(evidence) = &finding.evidence {
            draft.metadata.push(("bytes", format!("{}-{}", evidence.bytes.0, evidence.bytes.1)));
            draft.metadata.push(("confidence", evidence.confidence.label().to_owned()));
            if !evidence.decoded.is_empty() {
                draft.metadata.push(("decoded", evidence.decoded.to_string()));
            }
            draft.metadata.push(("page", evidence.page.to_owned()));
        }
        if self.direction == Direction::Outbound {
            draft.metadata.push(("direction", String::from("outbound")));
        }
        if suppressed > 0 {
            draft.metadata.push(("withheld", suppressed.to_string()));
        }
        self.worker.record(draft, self.now)
    }

    fn control(&mut self, control: &OwnedControl) -> Result<(), Stop> {
        let plan = plan(self.caller, self.direction);
        if control.opcode == Opcode::Close {
            self.from.close_received = true;
            self.closed = true;
            let mask = self.worker.mask_key();
            self.to.queue_close_payload(control.payload(), mask);
            return Ok(());
        }
        self.worker.shard().control_frames(self.direction, 1);
        if control.opcode == Opcode::Pong && Side::is_heartbeat(control.payload()) {
            return Ok(());
        }
        if let Some(finding) = self.from.memory.control_frame(plan, self.now) {
            let verdict = Verdict { action: Action::Close, findings: vec![finding], rewritten: None, ask: None };
            return self.tell(&verdict);
        }
        let mask = self.worker.mask_key();
        self.to.queue_control(control.opcode, control.payload(), mask);
        Ok(())
    }
}

/// A control frame, copied out of the decoder's buffers: at most 125 bytes.
struct OwnedControl {
    opcode: Opcode,
    payload: [u8; 125],
    len: usize,
}

impl OwnedControl {
    fn from(control: &Control<'_>) -> Self {
        let mut payload = [0; 125];
        let mut len = 0;
        for (to, from) in payload.iter_mut().zip(control.payload) {
            *to = *from;
            len += 1;
        }
        Self { opcode: control.opcode, payload, len }
    }

    fn payload(&self) -> &[u8] {
        self.payload.get(..self.len).unwrap_or_default()
    }
}

/// What a client wants for its credential. Where nobody renews tokens, `auth.renew` is a message like any other.
fn renewal_in(worker: &Worker, caller: &Caller, direction: Direction, message: &Message<'_>) -> Option<Plea> {
    let asked = direction == Direction::Inbound && caller.route.spec.notices.refresh;
    let plea = (asked && message.kind == MessageKind::Text).then(|| notice::plea(message.payload)).flatten()?;
    let renews = || worker.policy().checked.identity.renewal.is_some();
    (matches!(plea, Plea::Refresh(_)) || renews()).then_some(plea)
}

fn judge(
    worker: &Worker,
    caller: &Caller,
    memory: &mut inspection::Memory,
    direction: Direction,
    now: Now,
    work: &mut inspection::Workspace,
    message: &Message<'_>,
) -> Verdict {
    let plan = plan(caller, direction);
    if plan.is_empty() {
        return Verdict { action: Action::Pass, findings: Vec::new(), rewritten: None, ask: None };
    }
    let kind = match message.kind {
        MessageKind::Text => inspection::Kind::Text,
        MessageKind::Binary => inspection::Kind::Binary,
    };
    inspection::inspect(
        plan,
        memory,
        &context(worker, caller, now),
        work,
        &inspection::Message { kind, bytes: message.payload },
    )
}

fn context<'a>(worker: &'a Worker, caller: &'a Caller, now: Now) -> inspection::Context<'a> {
    inspection::Context { now, principal: &caller.principal, ip: &caller.ip_key, ledger: &worker.shared.ledger }
}

fn plan(caller: &Caller, direction: Direction) -> &inspection::Plan {
    match direction {
        Direction::Inbound => &caller.route.inbound,
        Direction::Outbound => &caller.route.outbound,
    }
}

fn write_to(to: &mut Side, bytes: Option<&[u8]>, cx: &mut Context<'_>) -> Result<(), Stop> {
    match bytes {
        Some(bytes) if !bytes.is_empty() => to.send(cx, bytes).map_err(|_| Stop::Broken),
        _ => Ok(()),
    }
}

/// A message that was rewritten, or compressed against a context its receiver lacks, as an uncompressed frame: allowed at
/// any time (RFC 7692 6), and it costs the connection no compressor.
fn reencoded(kind: MessageKind, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    encode_message(&mut frame, kind, payload, mask);
    frame
}

/// What a broken rule of the protocol is called.
fn reason_of(direction: Direction, error: &ProtocolError) -> Reason {
    match (direction, error.close_code()) {
        (Direction::Outbound, _) => Reason::UpstreamProtocol,
        (_, 1007) => Reason::InvalidUtf8,
        (_, 1009) => match error {
            ProtocolError::TooManyFragments { .. } => Reason::TooManyFragments,
            ProtocolError::InflateRatio { .. } => Reason::CompressionBomb,
            _ => Reason::MessageTooLarge,
        },
        _ => Reason::ProtocolError,
    }
}

fn decision(outcome: OnRefuse) -> Decision {
    match outcome {
        OnRefuse::Observe => Decision::Observed,
        OnRefuse::Mask => Decision::Masked,
        OnRefuse::Sanitize => Decision::Sanitized,
        OnRefuse::Replace => Decision::Replaced,
        OnRefuse::Drop => Decision::Dropped,
        OnRefuse::Reply => Decision::Replied,
        OnRefuse::Close => Decision::Closed,
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_flood_of_small_faults_does_not_hide_an_attack() {
        let mut events = EventBudget::default();
        for _ in 0..1000 {
            events.spend(Severity::Medium, SECOND);
        }
        assert_eq!(events.spend(Severity::Medium, SECOND), None);
        assert_eq!(events.spend(Severity::High, SECOND), Some(0));
        assert_eq!(events.spend(Severity::Critical, SECOND), Some(0));
    }

    #[test]
    fn a_compressed_message_that_is_only_too_large_is_no_bomb() {
        let of = |error| reason_of(Direction::Inbound, &error);
        assert_eq!(of(ProtocolError::InflatedTooLarge { max: 9 }), Reason::MessageTooLarge);
        assert_eq!(of(ProtocolError::InflateRatio { max: 9 }), Reason::CompressionBomb);
    }

    #[test]
    fn what_was_withheld_is_named_in_the_next_second() {
        let mut events = EventBudget::default();
        let kept = (0..EVENTS_PER_SECOND + 5).filter(|_| events.spend(Severity::Low, SECOND).is_some()).count();
        assert_eq!(kept, EVENTS_PER_SECOND as usize);
        assert_eq!(events.spend(Severity::Low, SECOND * 2), Some(5));
        assert_eq!(events.spend(Severity::Low, SECOND * 2), Some(0));
    }
}
