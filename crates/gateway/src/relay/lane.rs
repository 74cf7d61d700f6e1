//! The messages of one direction: each decided, what passes written, what was found told.

use std::ops::Range;
use std::task::Context;

use portcullis_codec::{Control, Item, Message, MessageKind, Opcode, ProtocolError, Wire, encode_message};
use portcullis_core::inspection::{self, Action, Direction, Finding, Verdict};
use portcullis_core::notice::{self, Plea};
use portcullis_core::policy::checked::OnRefuse;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use super::asking::Stopped;
use super::budget::EventBudget;
use super::side::Side;
use super::{Caller, Relay};
use crate::callback::Answers;
use crate::worker::{Scratch, Worker};

/// What a direction is made of, borrowed apart from the rest of the relay.
pub(super) struct Lane<'a> {
    pub(super) worker: &'a Worker,
    pub(super) caller: &'a Caller,
    pub(super) from: &'a mut Side,
    pub(super) to: &'a mut Side,
    pub(super) events: &'a mut EventBudget,
    pub(super) direction: Direction,
    pub(super) now: Now,
    pub(super) messages: u64,
    /// Of these, those that did not go on.
    pub(super) dropped: u64,
    /// `from` said Close; `to` was sent it.
    pub(super) closed: bool,
    /// Another credential may be brought.
    may_renew: bool,
    /// One was brought.
    pub(super) renewal: Option<Plea>,
    /// A message that is to wait for callbacks, where the lane stopped.
    pub(super) stopped: Option<Stopped>,
    /// Bytes of the input that are done with.
    pub(super) used: usize,
    /// What passed at the end of the input, and is left to be written.
    pub(super) passed: Range<usize>,
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
    /// The lane of a direction.
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
            dropped: 0,
            closed: false,
            may_renew: self.credential.may_renew(now.mono),
            renewal: None,
            stopped: None,
            used: 0,
            passed: 0..0,
        }
    }
}

impl Lane<'_> {
    /// Has every whole message of `input` decided.
    pub(super) fn run(
        &mut self,
        input: &[u8],
        scratch: &mut Scratch,
        deflate: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), Stop> {
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
                                self.dropped += u64::from(verdict.rewritten.is_none());
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
        self.from.decoder.release();
        if outcome.is_ok() && self.renewal.is_none() {
            self.passed = run;
            return outcome;
        }
        // What ends the connection comes behind it.
        let written = write_to(self.to, input.get(run), cx);
        outcome.and(written)
    }

    /// What its callbacks' answers make of a message.
    pub(super) fn answered(&mut self, answers: Answers) -> Verdict {
        let plan = plan(self.caller, self.direction);
        let context = context(self.worker, self.caller, self.now);
        let Answers { findings, mut ask } = answers;
        inspection::callback::answered(plan, &mut self.from.memory, &context, &mut ask, findings)
    }

    /// A message for `to` that was rewritten.
    pub(super) fn reencoded(&self, kind: MessageKind, payload: &[u8]) -> Vec<u8> {
        reencoded(kind, payload, self.to.mask(self.worker.mask_key()))
    }

    #[cold]
    fn take_renewal(&mut self, plea: Plea) -> Result<(), Stop> {
        if self.may_renew {
            self.may_renew = false;
            self.renewal = Some(plea);
            return Ok(());
        }
        let reason = Reason::RefreshTooOften;
        let finding = Finding::new(reason, "renewal", OnRefuse::Reply, reason.row().internal.to_owned());
        self.tell(&Verdict { action: Action::Reply, findings: vec![finding], rewritten: None, ask: None })
    }

    pub(super) fn write(&mut self, bytes: Option<&[u8]>, cx: &mut Context<'_>) -> Result<(), Stop> {
        write_to(self.to, bytes, cx)
    }

    #[cold]
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
#[cold]
fn reencoded(kind: MessageKind, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    encode_message(&mut frame, kind, payload, mask);
    frame
}
