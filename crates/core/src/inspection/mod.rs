//! The message's checks, in order, cheapest first: decides at once what happens to one message.
//!
//! Input: a [`Plan`] (compiled policy of one direction of one route), the connection's [`Memory`], the
//! thread's [`Workspace`], a [`Context`] and a decoded [`Message`]. Output: a [`Verdict`]. It never blocks,
//! never asks the network, and allocates nothing for one that passes without findings. A message that is to go on with
//! another text is given as a new one; the one that came is never changed. A check is one file here with one type compiled from policy; the list is in [`Plan::compile`]
//! and `Check`.
//!
//! A finding whose outcome is `observe` is noted and the next check runs; any other ends the list.
//! Tests: beside each check, `tests/attacks.rs`, `tests/inspection.rs`.

mod binary;
pub mod callback;
mod conduct;
mod csrf;
mod custom;
mod envelope;
mod field;
mod guest;
mod html;
mod json;
mod kind;
mod leak;
mod mask;
mod mfa;
mod permission;
mod plan;
mod rate;
mod replay;
mod reply;
mod schema;
mod seal;
mod subscription;
mod tenant;
mod threat;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Principal;
use crate::limits::{IpKey, Ledger, LimitState};
use crate::message::binary as binary_view;
use crate::message::threat::{Buffers, Confidence, Encodings};
use crate::message::{
    json::Scan, leak::survey_for_leaks, replay::Window, seen::Ids, survey::Survey, threat::survey_for_threats,
};
use crate::policy::checked::OnRefuse;
use crate::time::Now;
use crate::verdict::Reason;

pub use custom::{Custom, Objection, Said};
pub use plan::{Plan, PlanError};
pub use rate::PAUSE_MAX;
pub use reply::error_reply;
pub use subscription::TOPIC_BYTES_MAX;

/// Longest JSON Pointer in a finding, bytes.
pub const FIELD_BYTES_MAX: usize = 128;

/// Longest message type in a finding, bytes.
pub const MESSAGE_TYPE_BYTES_MAX: usize = 64;

/// Bytes a workspace may keep between messages; what one message needed beyond is given back after it.
pub const WORKSPACE_BYTES_MAX: usize = 1 << 20;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to server.
    Inbound,
    /// Server to client.
    Outbound,
}

impl Direction {
    /// The name in events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// What carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A text message; its bytes are UTF-8, which the codec has checked.
    Text,
    /// A binary message.
    Binary,
    /// An event of a protocol above WebSocket, as JSON text.
    Event,
}

/// One message: the decoded payload, not tied to a frame.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What carries it.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What the checks may know beside the message.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The present.
    pub now: Now,
    /// Who sends or receives.
    pub principal: &'a Principal,
    /// What the client's address is counted by.
    pub ip: &'a IpKey,
    /// Limits counted across connections.
    pub ledger: &'a Ledger,
}

/// What happens to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It goes on, as the bytes that came.
    Pass,
    /// It goes on with another text: [`Verdict::rewritten`].
    Rewrite,
    /// It is dropped in silence.
    Drop,
    /// It is dropped and its sender told: [`error_reply`].
    Reply,
    /// It is dropped and the connection closed with the reason's code.
    Close,
}

impl From<OnRefuse> for Action {
    fn from(outcome: OnRefuse) -> Self {
        match outcome {
            OnRefuse::Observe => Self::Pass,
            OnRefuse::Mask | OnRefuse::Sanitize | OnRefuse::Replace => Self::Rewrite,
            OnRefuse::Drop => Self::Drop,
            OnRefuse::Reply => Self::Reply,
            OnRefuse::Close => Self::Close,
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub reason: Reason,
    /// The check: its file's name.
    pub check: &'static str,
    /// What the policy says happens.
    pub outcome: OnRefuse,
    /// JSON Pointer of the field, at most [`FIELD_BYTES_MAX`] bytes.
    pub field: Option<String>,
    /// The rule of a schema that was broken, as a JSON Pointer into it, or the name of a threat's or leak's rule; at most
    /// [`FIELD_BYTES_MAX`] bytes.
    pub rule: Option<String>,
    /// Of a threat or leak: where it stands and how it showed.
    pub evidence: Option<Evidence>,
    /// For operators; at most [`crate::event::DETAIL_BYTES_MAX`] bytes, never a whole payload.
    pub detail: String,
    /// The message's type where the envelope has one, at most [`MESSAGE_TYPE_BYTES_MAX`] bytes.
    pub message_type: Option<String>,
    /// When the same message would pass, for limits.
    pub retry_after: Option<Duration>,
}

/// Where a threat or leak stands, and how it showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Of the string: its first byte in the message, and the one after its last. Of a leak in no string, from where it
    /// begins to the message's end.
    pub bytes: (usize, usize),
    /// The encodings undone before it showed.
    pub decoded: Encodings,
    /// How sure it is.
    pub confidence: Confidence,
    /// Where the class is explained, in the manual.
    pub page: &'static str,
}

impl Finding {
    fn new(reason: Reason, check: &'static str, outcome: OnRefuse, detail: String) -> Self {
        let detail = cut(detail, crate::event::DETAIL_BYTES_MAX);
        Self {
            reason,
            check,
            outcome,
            field: None,
            rule: None,
            evidence: None,
            detail,
            message_type: None,
            retry_after: None,
        }
    }

    fn at(mut self, field: &str) -> Self {
        self.field = Some(cut(field.to_owned(), FIELD_BYTES_MAX));
        self
    }
}

/// Shortens to at most `bytes_max` bytes, at a character's edge.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// What was decided, and why. A pass without findings holds no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the message.
    pub action: Action,
    /// In the order they were found; the last one decided, unless the message goes on.
    pub findings: Vec<Finding>,
    /// What goes on in the message's place, where the action is to rewrite it and only there.
    pub rewritten: Option<Vec<u8>>,
    /// Who is to be asked before it goes on, where it goes on.
    pub ask: Option<Box<callback::Ask>>,
}

/// What one direction of one connection remembers between messages, for one caller: another one begins anew. 32
/// bytes until something is to be remembered.
#[derive(Debug, Default)]
pub struct Memory {
    control: LimitState,
    /// A bit for each type of message that went on.
    types: u64,
    kept: Option<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    rates: rate::Remembered,
    permission: permission::Remembered,
    typed_rates: rate::Remembered,
    conduct: conduct::Remembered,
    ids: Option<Window>,
    /// Its user's.
    seen: Option<Arc<Ids>>,
    /// Tokens its user used.
    tokens: Option<Arc<Ids>>,
    /// Sealed fields are opened for it.
    may_open: Option<bool>,
    /// What its connection subscribed to, where that is tracked.
    topics: Option<subscription::Topics>,
    paused_until: Duration,
    binary: LimitState,
}

impl Memory {
    /// Nothing remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of the two directions of a connection: with plans that look at topics, they share them.
    #[must_use]
    pub fn pair(inbound: &Plan, outbound: &Plan) -> (Self, Self) {
        let (mut one, mut other) = (Self::new(), Self::new());
        if inbound.tracks_topics() || outbound.tracks_topics() {
            let topics = subscription::Topics::default();
            one.kept().topics = Some(topics.clone());
            other.kept().topics = Some(topics);
        }
        (one, other)
    }

    /// As [`Self::pair`], for other plans of the same connection: what it subscribed to stays, everything else begins anew.
    #[must_use]
    pub fn pair_after(&self, inbound: &Plan, outbound: &Plan) -> (Self, Self) {
        let (mut one, mut other) = Self::pair(inbound, outbound);
        let before = self.kept.as_ref().and_then(|kept| kept.topics.clone());
        for memory in [&mut one, &mut other] {
            if let (Some(kept), Some(topics)) = (&mut memory.kept, &before) {
                kept.topics = Some(topics.clone());
            }
        }
        (one, other)
    }

    /// Forgets what was resolved for a principal that is another one now; limits and ids stay.
    pub fn principal_changed(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.permission = permission::Remembered::default();
            kept.seen = None;
            kept.tokens = None;
            kept.may_open = None;
        }
    }

    /// A bit for each type of message that went on since the last call, where the plan notes them.
    pub fn take_types(&mut self) -> u64 {
        std::mem::take(&mut self.types)
    }

    /// Until when the sender is not read; zero for at once.
    #[must_use]
    pub fn paused_until(&self) -> Duration {
        self.kept.as_ref().map_or(Duration::ZERO, |kept| kept.paused_until)
    }

    /// Lets the sender wait until a time; false where it waited already.
    pub fn pause(&mut self, until: Duration, now: Duration) -> bool {
        let kept = self.kept();
        let first = kept.paused_until <= now;
        kept.paused_until = kept.paused_until.max(until);
        first
    }

    /// Counts one ping or pong from the peer.
    pub fn control_frame(&mut self, plan: &Plan, now: Now) -> Option<Finding> {
        let limit = plan.control.as_ref()?;
        let allowance = limit.check(&mut self.control, now.mono_nanos(), 1);
        if allowance.allowed {
            return None;
        }
        let detail = format!("{} control frames", plan.direction.label());
        let mut finding = Finding::new(Reason::ControlFlood, "control_rate", OnRefuse::Close, detail);
        finding.retry_after = Some(allowance.retry_after);
        Some(finding)
    }

    fn kept(&mut self) -> &mut Kept {
        self.kept.get_or_insert_default()
    }
}

/// Fills bytes with what nobody can guess; false when it cannot.
pub type Random = fn(&mut [u8]) -> bool;

/// Buffers of one worker thread, reused from message to message.
#[derive(Debug)]
pub struct Workspace {
    scan: Scan,
    tracer: Scan,
    buffers: Buffers,
    binary: binary_view::Buffers,
    survey: Survey,
    /// What the survey was asked, where it has looked at the present text.
    surveyed: Option<Look>,
    name: Vec<u8>,
    seed: u64,
    /// Where the nonces of sealed fields come from.
    random: Random,
    /// How the present message reads.
    reading: Reading,
}

/// Which words a survey looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// None.
    Plain,
    /// Those of attacks.
    Threats,
    /// Those of leaks.
    Leaks,
}

/// How a message reads to the checks after `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Well-formed JSON: the scan holds its strings.
    Json,
    /// Text that is not JSON.
    Text,
    /// Neither: its bytes say nothing to a check.
    Opaque,
}

impl Workspace {
    /// `seed` is random, drawn once per process and the same for all its workspaces: ids remembered on one
    /// thread are then known on another, and nobody outside can compute which keys collide.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            scan: Scan::seeded(seed),
            tracer: Scan::seeded(seed),
            buffers: Buffers::default(),
            binary: binary_view::Buffers::default(),
            survey: Survey::default(),
            surveyed: None,
            name: Vec::new(),
            seed,
            random: |_| false,
            reading: Reading::Opaque,
        }
    }

    /// Draws the nonces of sealed fields from `random`; without it nothing can be sealed.
    #[must_use]
    pub fn drawing(self, random: Random) -> Self {
        Self { random, ..self }
    }

    /// Bytes held between messages; never more than [`WORKSPACE_BYTES_MAX`] after [`inspect`] returns.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.scan.capacity_bytes()
            + self.tracer.capacity_bytes()
            + self.buffers.capacity_bytes()
            + self.binary.capacity_bytes()
            + self.survey.capacity_bytes()
            + self.name.capacity()
    }

    /// Looks at the present text, unless the survey has.
    fn look(&mut self, bytes: &[u8], look: Look) {
        if self.surveyed == Some(look) || look == Look::Plain && self.surveyed.is_some() {
            return;
        }
        self.surveyed = Some(look);
        match look {
            Look::Plain => self.survey.of(bytes, None),
            Look::Threats => survey_for_threats(&mut self.survey, bytes),
            Look::Leaks => survey_for_leaks(&mut self.survey, bytes),
        }
    }

    /// Gives back what a large message left behind.
    fn settle(&mut self) {
        if self.capacity_bytes() > WORKSPACE_BYTES_MAX {
            self.scan.shrink_to(1 << 10);
            self.tracer.shrink_to(1 << 8);
            self.buffers.shrink_to(1 << 14);
            self.binary.shrink_to(1 << 14);
            self.survey.shrink_to(1 << 14);
            self.name = Vec::new();
        }
    }
}

/// Everything a check sees.
struct Scene<'s> {
    cx: &'s Context<'s>,
    message: &'s Message<'s>,
    memory: &'s mut Memory,
    work: &'s mut Workspace,
    findings: Vec<Finding>,
    /// The text that the checks after this one see.
    rewritten: Option<Vec<u8>>,
    /// A binary message as the checks after this one read it.
    view: Option<binary::View>,
    /// Callbacks that the message concerns.
    ask: Option<Box<callback::Ask>>,
}

impl Scene<'_> {
    /// Notes a finding; the list ends there unless the message goes on.
    fn refuse(&mut self, finding: Finding) -> ControlFlow<()> {
        let goes_on = finding.outcome.passes();
        self.findings.push(finding);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Runs the plan's checks on one message.
#[must_use]
pub fn inspect(
    plan: &Plan,
    memory: &mut Memory,
    cx: &Context<'_>,
    work: &mut Workspace,
    message: &Message<'_>,
) -> Verdict {
    work.reading = Reading::Opaque;
    let mut findings = Vec::new();
    let mut rewritten: Option<Vec<u8>> = None;
    let mut view: Option<binary::View> = None;
    let mut ask;
    let mut checks = plan.list.iter();
    // A check that rewrites ends a round: the checks after it see the new text.
    loop {
        let message = seen(message, view.as_ref(), rewritten.as_deref());
        work.surveyed = None;
        let mut scene = Scene {
            cx,
            message: &message,
            memory: &mut *memory,
            work: &mut *work,
            findings,
            rewritten: None,
            view: None,
            ask: None,
        };
        let broke =
            checks.find(|check| check.run(&mut scene).is_break() || scene.rewritten.is_some() || scene.view.is_some());
        let (new, read) = (scene.rewritten.take(), scene.view.take());
        ask = scene.ask.take();
        findings = scene.findings;
        if read.is_some() {
            view = read;
            continue;
        }
        let Some(text) = new.filter(|_| broke.is_some()) else {
            break;
        };
        if !plan.read_again(work, &text) {
            let detail = "the rewritten text is not what it was".to_owned();
            findings.push(Finding::new(Reason::JsonMalformed, "rewrite", OnRefuse::Drop, detail));
            work.reading = Reading::Opaque;
            break;
        }
        rewritten = Some(text);
    }
    let goes_on = findings.iter().all(|finding| Action::from(finding.outcome) <= Action::Rewrite);
    let mut written = None;
    if let (Some(view), Some(text), true) = (&view, &rewritten, goes_on) {
        match binary_view::rewrite(view.format, message.bytes, text, &view.bounds) {
            Ok(bytes) => written = Some(bytes),
            Err(fault) => findings.push(binary::unwritable(view.format, &fault)),
        }
    }
    if let Some(ladder) = plan.ladder.as_ref().filter(|_| !findings.is_empty()) {
        conduct::offence(ladder, memory, cx, &mut findings);
    }
    if findings.is_empty() {
        memory.types |= plan.type_bit(work, seen(message, view.as_ref(), rewritten.as_deref()).bytes);
    }
    let message_type = if findings.is_empty() && ask.is_none() {
        None
    } else {
        plan.message_type(work, seen(message, view.as_ref(), rewritten.as_deref()).bytes)
    };
    for finding in &mut findings {
        finding.message_type.clone_from(&message_type);
    }
    if let Some(view) = view {
        work.binary = view.buffers;
        rewritten = written;
    }
    work.settle();
    let worst = findings.iter().map(|finding| Action::from(finding.outcome)).max().unwrap_or(Action::Pass);
    let action = match (worst, &rewritten) {
        (Action::Pass | Action::Rewrite, Some(_)) => Action::Rewrite,
        // What should have been rewritten and was not goes nowhere.
        (Action::Rewrite, None) => Action::Drop,
        (worst, _) => worst,
    };
    ask = ask.filter(|_| matches!(action, Action::Pass | Action::Rewrite));
    if let Some(ask) = &mut ask {
        ask.message_type = message_type;
    }
    Verdict { action, findings, rewritten: rewritten.filter(|_| action == Action::Rewrite), ask }
}

/// The message as the next check sees it: as it came, read as JSON, or with another text.
fn seen<'m>(message: &Message<'m>, view: Option<&'m binary::View>, rewritten: Option<&'m [u8]>) -> Message<'m> {
    match (rewritten, view) {
        (Some(bytes), None) => Message { kind: message.kind, bytes },
        (Some(bytes), Some(_)) => Message { kind: Kind::Event, bytes },
        (None, Some(view)) => Message { kind: Kind::Event, bytes: view.buffers.text() },
        (None, None) => *message,
    }
}
