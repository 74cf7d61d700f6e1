//! What is remembered between the messages of one connection.

use std::sync::Arc;
use std::time::Duration;

use super::{Finding, Plan, conduct, permission, rate, subscription};
use crate::limits::LimitState;
use crate::message::replay::Window;
use crate::message::seen::Ids;
use crate::policy::checked::OnRefuse;
use crate::time::Now;
use crate::verdict::Reason;

/// What one direction of one connection remembers between messages, for one caller: another one begins anew. 32
/// bytes until something is to be remembered.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) control: LimitState,
    /// A bit for each type of message that went on.
    pub(super) types: u64,
    pub(super) kept: Option<Box<Kept>>,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) rates: rate::Remembered,
    pub(super) permission: permission::Remembered,
    pub(super) typed_rates: rate::Remembered,
    pub(super) conduct: conduct::Remembered,
    pub(super) ids: Option<Window>,
    /// Its user's.
    pub(super) seen: Option<Arc<Ids>>,
    /// Tokens its user used.
    pub(super) tokens: Option<Arc<Ids>>,
    /// Sealed fields are opened for it.
    pub(super) may_open: Option<bool>,
    /// What its connection subscribed to, where that is tracked.
    pub(super) topics: Option<subscription::Topics>,
    pub(super) paused_until: Duration,
    pub(super) binary: LimitState,
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

    /// A memory of nothing but what the connection subscribed to.
    pub(super) fn knowing(topics: Option<subscription::Topics>) -> Self {
        let kept = topics.map(|topics| Box::new(Kept { topics: Some(topics), ..Kept::default() }));
        Self { kept, ..Self::default() }
    }

    /// What its connection subscribed to, where that is tracked.
    pub(super) fn topics(&self) -> Option<subscription::Topics> {
        self.kept.as_ref()?.topics.clone()
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

    pub(super) fn kept(&mut self) -> &mut Kept {
        self.kept.get_or_insert_default()
    }
}
