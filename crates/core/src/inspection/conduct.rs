//! Repeat offenders wait (SPEC 6.3): a sender whose messages are refused again and again is refused all of them for a
//! while, longer each time.
//!
//! A caller with a subject answers for itself, on all its connections, and never for others behind its address; an
//! anonymous one answers with its address. The standing is in the shared [`Ledger`](crate::limits::Ledger), read
//! without a lock.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Context, Direction, Finding, Memory, Scene};
use crate::limits::{Counter, Ladder, Party};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "conduct";

/// The ladder of a direction.
#[derive(Debug)]
pub(super) struct Check {
    ladder: Arc<Ladder>,
    outcome: OnRefuse,
}

/// What a connection remembers: its caller's standing, once it was looked up.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    asked: bool,
    counter: Option<Arc<Counter>>,
}

impl Check {
    pub(super) fn compile(messages: &Messages, direction: Direction) -> Option<Self> {
        let spec = messages.offenders.as_ref().filter(|_| direction == Direction::Inbound)?;
        Some(Self { ladder: Arc::new(Ladder::compile(spec)), outcome: messages.on_refuse })
    }

    pub(super) fn ladder(&self) -> Arc<Ladder> {
        Arc::clone(&self.ladder)
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let remembered = &mut scene.memory.kept().conduct;
        if !remembered.asked {
            remembered.look_up(&self.ladder, scene.cx);
        }
        let now = scene.cx.now.mono_nanos();
        let left = remembered.counter.as_ref().and_then(|counter| self.ladder.waiting(counter, now));
        let Some(left) = left else { return ControlFlow::Continue(()) };
        let mut finding =
            Finding::new(Reason::OffenderWaits, NAME, self.outcome, format!("{} s are left", left.as_secs()));
        finding.retry_after = Some(left);
        scene.refuse(finding)
    }
}

impl Remembered {
    fn look_up(&mut self, ladder: &Ladder, cx: &Context<'_>) {
        let party = cx.principal.subject.as_deref().map_or(Party::Ip(*cx.ip), Party::User);
        self.asked = true;
        self.counter = cx.ledger.conduct(ladder, party, cx.now.mono_nanos());
    }
}

/// Counts a refused message. When that brings a wait, it is noted, and the sender is told to come back after it.
#[cold]
pub(super) fn offence(ladder: &Ladder, memory: &mut Memory, cx: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(decided) = findings.last_mut() else { return };
    if decided.outcome.passes() || decided.reason == Reason::OffenderWaits {
        return;
    }
    let remembered = &mut memory.kept().conduct;
    if remembered.counter.is_none() {
        remembered.look_up(ladder, cx);
    }
    let Some(counter) = &remembered.counter else { return };
    let Some(climb) = ladder.offence(counter, cx.now.mono_nanos()) else { return };
    cx.ledger.climbed();
    decided.retry_after = decided.retry_after.max(Some(climb.wait));
    let mut detail = format!("step {} of {}: waits {} s", climb.step, ladder.steps(), climb.wait.as_secs());
    if climb.forgiven > 0 {
        detail.push_str(&format!("; good conduct had walked back {} steps", climb.forgiven));
    }
    let noted = Finding::new(Reason::OffenderSlowed, NAME, OnRefuse::Drop, detail);
    // The last finding is the one that decided.
    findings.insert(findings.len() - 1, noted);
}
