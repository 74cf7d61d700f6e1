//! Keeps what multiplies limits in step with the clock and with floods (SPEC 6.2, 7.2).
//!
//! The rules are the core's; this asks calendars and lockdown five times a second and the flood detector once, and hands
//! the answers to ledger and gate, so that no message asks anybody. Each change of the level is an event with its evidence.

use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::policy::checked::Factor;
use portcullis_core::reputation::{Change, Level, Levels, Lockdown, Rates};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use crate::record::Draft;
use crate::shared::Shared;

/// From one sample to the next.
const SAMPLE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Conditions {
    flood: Levels,
    sampled: Duration,
    messages: u64,
}

impl Conditions {
    /// What holds at the start.
    pub(crate) fn new(shared: &Shared) -> Self {
        let mut flood = Levels::new(&shared.policy.load().checked.defences.floods);
        crate::memory::restore(shared, flood.own_mut());
        let conditions = Self { flood, sampled: shared.clock.now().mono, messages: 0 };
        conditions.put(shared, shared.clock.now());
        conditions
    }

    /// Writes down what was learned and what is held against callers.
    pub(crate) fn keep(&self, shared: &Shared) {
        crate::memory::keep(shared, self.flood.own());
    }

    /// Puts the present conditions in force. Tells a lockdown that a critical flood orders.
    pub(crate) fn refresh(&mut self, shared: &Shared) -> Option<Lockdown> {
        let now = shared.clock.now();
        let mut order = None;
        if now.mono.saturating_sub(self.sampled) >= SAMPLE {
            self.sampled = now.mono;
            order = self.sample(shared, now);
        }
        self.put(shared, now);
        order
    }

    fn sample(&mut self, shared: &Shared, now: Now) -> Option<Lockdown> {
        let policy = shared.policy.load();
        let spec = &policy.checked.defences.floods;
        let mut observed = shared.gate.watch().take();
        observed.country = shared.gate.provenance().take_failures();
        let messages = shared.metrics.totals().messages_inbound;
        let since = messages.saturating_sub(std::mem::replace(&mut self.messages, messages));
        if !spec.enabled {
            self.flood = Levels::new(spec);
            return None;
        }
        self.flood.reconfigure(spec);
        let others = shared.nodes.as_ref().and_then(|nodes| nodes.compare(Rates::of(&observed, since), now.mono));
        let change = self.flood.step(&observed, since, others)?;
        tell(shared, &change, now);
        let for_so_long = spec.lockdown.filter(|_| change.to == Level::Critical)?;
        let mut order = Lockdown::new(for_so_long, "the flood level is critical", now.unix_millis()).ok()?;
        order.automatic = true;
        Some(order)
    }

    fn put(&self, shared: &Shared, now: Now) {
        let checked = &shared.policy.load().checked;
        let locked = shared.gate.locked_for(now).is_some();
        let lockdown = if locked { checked.defences.lockdown_factor } else { Factor::ONE };
        let pressure = lockdown.and(self.flood.factor());
        shared.ledger.set_conditions(checked.conditions(now.wall, pressure));
        shared.gate.set_pressure(self.flood.factor());
        shared.flood_level.store(self.flood.level() as u8, Ordering::Relaxed);
    }
}

fn tell(shared: &Shared, change: &Change, now: Now) {
    let detail = format!("{} → {}: {}", change.from.label(), change.to.label(), change.evidence);
    tracing::warn!("flood level {detail}");
    shared.record(Draft::new(Reason::FloodLevel, Decision::Allowed, "flood", detail).into_event(now));
}
