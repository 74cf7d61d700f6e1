//! The message's checks, in order, cheapest first: decides at once what happens to one message.
//!
//! Input: a [`Plan`] (compiled policy of one direction of one route), the connection's [`Memory`], the
//! thread's [`Workspace`], a [`Context`] and a decoded [`Message`]. Output: a [`Verdict`]. It never blocks,
//! never asks the network, and allocates nothing for one that passes without findings. A message that is to go on with
//! another text is given as a new one; the one that came is never changed. A check is one file here with one type compiled
//! from policy; the list is in [`Plan::compile`] and `Check`.
//!
//! A finding whose outcome is `observe` is noted and the next check runs; any other ends the list.
//! Tests: beside each check, `tests/attacks.rs`, `tests/inspection/`.

mod again;
mod binary;
pub mod callback;
mod conduct;
mod csrf;
mod custom;
mod envelope;
mod field;
mod finding;
mod guest;
mod html;
mod json;
mod kind;
mod leak;
mod mask;
mod memory;
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
mod workspace;

use std::ops::ControlFlow;

use crate::identity::Principal;
use crate::limits::{IpKey, Ledger};
use crate::message::binary as binary_view;
use crate::policy::checked::OnRefuse;
use crate::time::Now;
use crate::verdict::Reason;

use finding::cut;
use plan::Check;
use workspace::{Look, Reading};

pub use custom::{Custom, Objection, Said};
pub use finding::{Action, Evidence, FIELD_BYTES_MAX, Finding, MESSAGE_TYPE_BYTES_MAX, Verdict};
pub use memory::Memory;
pub use plan::{Plan, PlanError};
pub use rate::PAUSE_MAX;
pub use reply::error_reply;
pub use subscription::TOPIC_BYTES_MAX;
pub use workspace::{Random, WORKSPACE_BYTES_MAX, Workspace};

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

/// Everything a check sees.
struct Scene<'s> {
    cx: &'s Context<'s>,
    message: &'s Message<'s>,
    memory: &'s mut Memory,
    work: &'s mut Workspace,
    findings: &'s mut Vec<Finding>,
    /// The text that the checks after this one see.
    rewritten: Option<Vec<u8>>,
    /// A binary message as the checks after this one read it.
    view: Option<binary::View>,
    /// Callbacks that the message concerns.
    ask: Option<Box<callback::Ask>>,
    /// What it does to the connection's topics, once it goes on for good.
    change: Option<subscription::Change>,
}

impl Scene<'_> {
    /// Notes a finding; the list ends there unless the message goes on.
    #[cold]
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
    let course = course(plan, &mut plan.list.iter(), memory, cx, work, message);
    if !course.is_empty() {
        return concluded(plan, memory, cx, work, message, course);
    }
    memory.types |= plan.type_bit(work, message.bytes);
    work.settle();
    Verdict { action: Action::Pass, findings: course.findings, rewritten: None, ask: None }
}

/// What follows from what the checks made of a message. Apart from the path of most, of which they make nothing.
#[cold]
fn concluded(
    plan: &Plan,
    memory: &mut Memory,
    cx: &Context<'_>,
    work: &mut Workspace,
    message: &Message<'_>,
    course: Course,
) -> Verdict {
    let Course { mut findings, mut rewritten, view, mut ask, change } = course;
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
    match (&mut ask, change) {
        (Some(ask), change) => {
            ask.message_type = message_type;
            ask.changes(change, memory.topics());
        }
        (None, Some(change)) if matches!(action, Action::Pass | Action::Rewrite) => change.make(),
        (None, _) => {}
    }
    Verdict { action, findings, rewritten: rewritten.filter(|_| action == Action::Rewrite), ask }
}

/// What some checks made of a message.
#[derive(Default)]
struct Course {
    findings: Vec<Finding>,
    rewritten: Option<Vec<u8>>,
    view: Option<binary::View>,
    ask: Option<Box<callback::Ask>>,
    change: Option<subscription::Change>,
}

impl Course {
    /// Nothing was found, and the message is what it was.
    fn is_empty(&self) -> bool {
        self.findings.is_empty()
            && self.rewritten.is_none()
            && self.view.is_none()
            && self.ask.is_none()
            && self.change.is_none()
    }
}

/// Runs these checks of the plan, until one ends the list.
fn course<'p>(
    plan: &Plan,
    checks: &mut impl Iterator<Item = &'p Check>,
    memory: &mut Memory,
    cx: &Context<'_>,
    work: &mut Workspace,
    message: &Message<'_>,
) -> Course {
    let mut course = Course::default();
    // A check that rewrites ends a round: the checks after it see the new text.
    loop {
        let other;
        let message = if course.view.is_none() && course.rewritten.is_none() {
            message
        } else {
            other = seen(message, course.view.as_ref(), course.rewritten.as_deref());
            &other
        };
        work.surveyed = None;
        let mut scene = Scene {
            cx,
            message,
            memory: &mut *memory,
            work: &mut *work,
            findings: &mut course.findings,
            rewritten: None,
            view: None,
            ask: None,
            change: course.change,
        };
        let broke =
            checks.find(|check| check.run(&mut scene).is_break() || scene.rewritten.is_some() || scene.view.is_some());
        let (new, read) = (scene.rewritten.take(), scene.view.take());
        course.ask = scene.ask.take();
        course.change = scene.change.take();
        if read.is_some() {
            course.view = read;
            continue;
        }
        let Some(text) = new.filter(|_| broke.is_some()) else {
            return course;
        };
        if !plan.read_again(work, &text) {
            let detail = "the rewritten text is not what it was".to_owned();
            course.findings.push(Finding::new(Reason::JsonMalformed, "rewrite", OnRefuse::Drop, detail));
            work.reading = Reading::Opaque;
            return course;
        }
        course.rewritten = Some(text);
    }
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
