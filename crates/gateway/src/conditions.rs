//! Keeps what multiplies limits in step with the clock and with floods (SPEC 6.2, 7.2).
//!
//! The rules are the core's; this asks calendars and lockdown five times a second and the flood detector once, and hands
//! the answers to ledger and gate, so that no message asks anybody. Each change of the level is an event with its evidence.

use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::policy::checked::Factor;
use portcullis_core::reputation::{Change, Country, CountryFloods, Level, Levels, Lockdown, Rates};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use crate::record::Draft;
use crate::shared::Shared;

/// From one sample to the next.
const SAMPLE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Conditions {
    flood: Levels,
    countries: CountryFloods,
    sampled: Duration,
    profiles_kept: Duration,
    messages: u64,
}

impl Conditions {
    /// What holds at the start.
    pub(crate) fn new(shared: &Shared) -> Self {
        let mut flood = Levels::new(&shared.policy.load().checked.defences.floods);
        crate::memory::restore(shared, flood.own_mut());
        let countries = CountryFloods::new(&shared.policy.load().checked.defences.floods);
        crate::memory::restore_profiles(shared);
        let now = shared.clock.now().mono;
        let conditions = Self { flood, countries, sampled: now, profiles_kept: now, messages: 0 };
        conditions.put(shared, shared.clock.now());
        conditions
    }

    /// Writes down what was learned and what is held against callers; `all` of it at the end.
    pub(crate) fn keep(&mut self, shared: &Shared, all: bool) {
        self.profiles_kept = crate::memory::keep_profiles(shared, self.profiles_kept, all);
        crate::memory::keep(shared, self.flood.own());
    }

    /// Puts the present conditions in force. Tells a lockdown that a critical flood orders.
    pub(crate) fn refresh(&mut self, shared: &Shared) -> Option<Lockdown> {
        let now = shared.clock.now();
        let mut order = None;
        if now.mono.saturating_sub(self.sampled) >= SAMPLE {
            self.sampled = now.mono;
            order = self.sample(shared, now);
            shared.statistics.look(&shared.metrics, now);
        }
        self.put(shared, now);
        order
    }

    fn sample(&mut self, shared: &Shared, now: Now) -> Option<Lockdown> {
        let policy = shared.policy.load();
        let spec = &policy.checked.defences.floods;
        let mut observed = shared.gate.watch().take();
        let failures = shared.gate.provenance().take_failures();
        observed.country = failures.iter().copied().max_by_key(|(_, count)| *count);
        let messages = shared.metrics.totals().messages_inbound;
        let since = messages.saturating_sub(std::mem::replace(&mut self.messages, messages));
        if !spec.enabled {
            self.flood = Levels::new(spec);
            self.countries = CountryFloods::new(spec);
            shared.gate.provenance().set_raised(Vec::new());
            return None;
        }
        self.flood.reconfigure(spec);
        self.countries.reconfigure(spec);
        for (country, change) in self.countries.step(&failures, &shared.gate.provenance().attempts()) {
            tell(shared, &change, Some(country), now);
        }
        shared.gate.provenance().set_raised(self.countries.raised());
        let others = shared.nodes.as_ref().and_then(|nodes| nodes.compare(Rates::of(&observed, since), now.mono));
        let change = self.flood.step(&observed, since, others)?;
        tell(shared, &change, None, now);
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

fn tell(shared: &Shared, change: &Change, country: Option<Country>, now: Now) {
    let whose = country.map_or(String::new(), |country| format!("country {country}: "));
    let detail = format!("{whose}{} → {}: {}", change.from.label(), change.to.label(), change.evidence);
    tracing::warn!("flood level {detail}");
    let mut draft = Draft::new(Reason::FloodLevel, Decision::Allowed, "flood", detail);
    draft.metadata.extend(country.map(|country| ("country", country.to_string().into())));
    shared.record(draft.into_event(now));
}
