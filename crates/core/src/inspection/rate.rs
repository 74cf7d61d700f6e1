//! How often: message limits by connection, user, API key, address, tenant, type, domain and in all. All apply; the
//! strictest wins.
//!
//! Two checks of one kind: limits that need no message type run before the message is read as JSON, the others
//! after it. A connection's own states stand in its [`Memory`](super::Memory); of the shared ones it holds the
//! [`Counter`], so that a message takes no lock. Every limit counts every message, also one that another limit
//! refuses. A caller without a subject or tenant is counted by address where the limit counts subjects or tenants.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Action, Direction, Finding, Reading, Scene};
use crate::identity::{Method, Principal};
use crate::limits::{Allowance, Conditions, Held, Key, Ledger, Limit, LimitState, Party, TypeMap};
use crate::message::json::{ValueKind, decode_into};
use crate::policy::checked::{Factor, LimitKey, Measure, MessageLimit, Messages, OnRefuse, RateAlgorithm};
use crate::verdict::Reason;

pub(super) const NAME: &str = "rate";
pub(super) const NAME_TYPED: &str = "rate_by_type";

/// A connection whose counter is shared for want of room asks this often for one of its own.
const ASK_AGAIN_NANOS: u64 = 1_000_000_000;

/// The limits of one direction that can be counted at one place of the list.
#[derive(Debug)]
pub(super) struct Check {
    limits: Vec<One>,
    /// Changes with the limits: a state counted under others is worth nothing.
    mark: u64,
    /// The number of the type's pointer, where limits need it.
    type_number: Option<usize>,
}

/// Longest time that a sender is not read for: its pings must be answered before it counts as dead. What it still owes
/// then is asked for with its next message.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct One {
    spec: MessageLimit,
    limit: Limit,
    /// Types it counts; empty is all.
    types: TypeMap,
    /// Which of the groups a type is counted in.
    groups: TypeMap,
    weights: TypeMap,
    /// The number of the pointer to those for each of whom the weight counts.
    fan_out: Option<usize>,
    /// Names the limit in the ledger. Limits of equal name, key, rate and direction count together.
    scope: u32,
}

/// What a connection remembers of its limits.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    tallies: Box<[Tally]>,
    mark: u64,
    conditions: Conditions,
}

#[derive(Debug)]
struct Tally {
    /// Under the conditions remembered, for this caller.
    limit: Limit,
    state: State,
    /// Cost that passed and has not been allowed yet, where the limit delays.
    owed: u32,
}

#[derive(Debug)]
enum State {
    Own(LimitState),
    /// One for each group, the last for what is in none.
    Each(Box<[LimitState]>),
    Shared {
        held: Held,
        key: Key,
        ask_again: u64,
    },
}

impl Check {
    /// The limits that need no message type, or those that do; `type_number` is where to find it.
    pub(super) fn compile(
        messages: &Messages,
        direction: Direction,
        type_number: Option<usize>,
        fan_outs: &[Option<usize>],
    ) -> Option<Self> {
        let numbered = messages.limits.iter().zip(fan_outs.iter().chain(std::iter::repeat(&None)));
        let wanted = numbered.filter(|(limit, _)| limit.is_typed() == type_number.is_some());
        let limits: Vec<One> = wanted.map(|(limit, fan_out)| One::new(limit, direction, *fan_out)).collect();
        // Zero is the mark of nothing remembered.
        let mark =
            limits.iter().fold(1, |mark: u64, one| mark.wrapping_mul(31).wrapping_add(u64::from(one.scope)).max(1));
        if limits.is_empty() { None } else { Some(Self { limits, mark, type_number }) }
    }

    pub(super) fn name(&self) -> &'static str {
        if self.type_number.is_some() { NAME_TYPED } else { NAME }
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let now = scene.cx.now.mono_nanos();
        let conditions = scene.cx.ledger.conditions();
        let kept = scene.memory.kept();
        let remembered = if self.type_number.is_some() { &mut kept.typed_rates } else { &mut kept.rates };
        if remembered.mark != self.mark {
            let tallies = self.limits.iter().map(|one| one.tally(scene.cx, conditions, now)).collect();
            *remembered = Remembered { tallies, mark: self.mark, conditions };
        } else if remembered.conditions != conditions {
            remembered.conditions = conditions;
            for (one, tally) in self.limits.iter().zip(remembered.tallies.iter_mut()) {
                tally.limit = one.limit_for(scene.cx.principal, conditions);
            }
        }
        let name = match (self.type_number, scene.work.reading) {
            (Some(number), Reading::Json) => {
                let value = scene.work.scan.value(number);
                let raw = value.raw(scene.message.bytes);
                if value.kind != ValueKind::String {
                    None
                } else if value.escapes {
                    scene.work.name.clear();
                    decode_into(raw, &mut scene.work.name);
                    Some(scene.work.name.as_slice())
                } else {
                    Some(raw)
                }
            }
            _ => None,
        };
        let bytes = u32::try_from(scene.message.bytes.len()).unwrap_or(u32::MAX);
        let mut strictest: Option<(&One, Allowance)> = None;
        let mut longest: Option<(Duration, usize)> = None;
        for (at, (one, tally)) in self.limits.iter().zip(remembered.tallies.iter_mut()).enumerate() {
            let recipients = one.fan_out.map(|number| match scene.work.reading {
                Reading::Json => elements(scene.work.scan.value(number).raw(scene.message.bytes)),
                _ => 1,
            });
            let Some(cost) = one.cost(name, bytes, recipients) else { continue };
            if one.spec.delays {
                if let Some(wait) = tally.owe(scene.cx.ledger, now, cost) {
                    longest = longest.max(Some((wait, at)));
                }
                continue;
            }
            let allowance = tally.count(one.groups.find(name.unwrap_or_default()), scene.cx.ledger, now, cost);
            let stricter = |(other, had): &(&One, Allowance)| {
                (Action::from(one.spec.on_excess), allowance.retry_after)
                    > (Action::from(other.spec.on_excess), had.retry_after)
            };
            if !allowance.allowed && strictest.as_ref().is_none_or(stricter) {
                strictest = Some((one, allowance));
            }
        }
        if let Some((wait, one)) = longest.and_then(|(wait, at)| Some((wait, self.limits.get(at)?))) {
            let until = scene.cx.now.mono.saturating_add(wait.min(PAUSE_MAX));
            // What came in one read waits together, and is told once.
            if scene.memory.pause(until, scene.cx.now.mono) {
                let detail = format!("limit `{}`: not read for {} ms", one.spec.name, wait.min(PAUSE_MAX).as_millis());
                let mut finding = Finding::new(Reason::MessageDelayed, self.name(), OnRefuse::Observe, detail);
                finding.retry_after = Some(wait);
                scene.findings.push(finding);
            }
        }
        let Some((one, allowance)) = strictest else { return ControlFlow::Continue(()) };
        let detail = format!("limit `{}`", one.spec.name);
        let mut finding = Finding::new(Reason::MessageRate, self.name(), one.spec.on_excess, detail);
        finding.retry_after = Some(allowance.retry_after);
        scene.refuse(finding)
    }
}

impl One {
    fn new(spec: &MessageLimit, direction: Direction, fan_out: Option<usize>) -> Self {
        let rate = spec.rate;
        let algorithm = match rate.algorithm {
            RateAlgorithm::TokenBucket => "bucket",
            RateAlgorithm::SlidingWindow => "window",
        };
        // What changes how states are counted.
        let description = format!(
            "{}/{}/{:?}/{:?}/{}/{}/{}/{algorithm}/{:?}/{:?}",
            direction.label(),
            spec.name,
            spec.per,
            spec.of,
            rate.count,
            rate.per.as_nanos(),
            rate.burst,
            spec.types,
            spec.groups,
        );
        let groups = spec.groups.iter().zip(0..).flat_map(|(group, at)| group.iter().map(move |it| (it, at)));
        Self {
            spec: spec.clone(),
            limit: Limit::compile(rate),
            types: TypeMap::new(spec.types.iter().map(|pattern| (pattern, 0))),
            groups: TypeMap::new(groups),
            weights: TypeMap::new(spec.weights.iter().map(|(pattern, weight)| (pattern, *weight))),
            fan_out,
            scope: short_hash(description.as_bytes()).max(1),
        }
    }

    /// What a message costs; `None` when the limit does not count it.
    fn cost(&self, name: Option<&[u8]>, bytes: u32, recipients: Option<u32>) -> Option<u32> {
        if !self.types.is_empty() {
            self.types.find(name?)?;
        }
        Some(match self.spec.of {
            Measure::Messages => 1,
            Measure::Bytes => bytes,
            Measure::Cost => {
                let weight = name.and_then(|name| self.weights.find(name)).unwrap_or(1);
                let pieces = self.spec.bytes_per_cost.map_or(0, |piece| bytes.div_ceil(piece.max(1)));
                weight.saturating_mul(recipients.unwrap_or(1).max(1)).saturating_add(pieces)
            }
        })
    }

    fn tally(&self, cx: &super::Context<'_>, conditions: Conditions, now: u64) -> Tally {
        let limit = self.limit_for(cx.principal, conditions);
        let state = match self.party(cx) {
            Some(party) => {
                let (key, held) = cx.ledger.open(&limit, self.scope, party, now);
                State::Shared { held, key, ask_again: now }
            }
            None if self.spec.groups.is_empty() => State::Own(LimitState::default()),
            None => State::Each(vec![LimitState::default(); self.spec.groups.len() + 1].into()),
        };
        Tally { limit, state, owed: 0 }
    }

    /// With whom the message is counted; `None` in the connection alone.
    fn party<'a>(&self, cx: &super::Context<'a>) -> Option<Party<'a>> {
        let address = Party::Ip(*cx.ip);
        let user = || cx.principal.subject.as_deref().map_or(address, Party::User);
        Some(match self.spec.per {
            LimitKey::Connection | LimitKey::Type | LimitKey::Domain => return None,
            LimitKey::User => user(),
            LimitKey::ApiKey if cx.principal.method == Method::ApiKey => {
                cx.principal.token_id.as_deref().map_or_else(user, Party::ApiKey)
            }
            LimitKey::ApiKey => user(),
            LimitKey::Tenant => cx.principal.tenant.as_deref().map_or(address, Party::Tenant),
            LimitKey::Ip => address,
            LimitKey::Global => Party::All,
        })
    }

    /// The limit for a caller in these conditions.
    fn limit_for(&self, principal: &Principal, conditions: Conditions) -> Limit {
        let has = |role: &String| principal.roles.iter().any(|held| **held == **role);
        let role = self.spec.role_factors.iter().filter(|(role, _)| has(role)).map(|(_, factor)| *factor).max();
        let calendars = self.spec.calendar_factors.iter().filter(|(calendar, _)| conditions.in_force(*calendar));
        let factor = role.into_iter().chain(calendars.map(|(_, factor)| *factor));
        self.limit.scaled(factor.fold(conditions.pressure(), Factor::and))
    }
}

impl Tally {
    /// Lets a message pass and counts it as soon as the limit allows; tells how long that is from now.
    fn owe(&mut self, ledger: &Ledger, now: u64, cost: u32) -> Option<Duration> {
        // What is owed is paid before more is.
        if self.owed > 0 {
            let _ = self.pay(ledger, now);
        }
        self.owed = self.owed.saturating_add(cost);
        self.pay(ledger, now)
    }

    /// Pays what is owed as far as the limit allows; tells when the rest can be.
    fn pay(&mut self, ledger: &Ledger, now: u64) -> Option<Duration> {
        let capacity = self.limit.capacity().max(1);
        while self.owed > 0 {
            // More than fits at once is paid in parts.
            let part = self.owed.min(capacity);
            let allowance = self.count(None, ledger, now, part);
            if !allowance.allowed {
                let rest = self.limit.period().mul_f64(f64::from(self.owed - part) / f64::from(capacity));
                return Some(allowance.retry_after.saturating_add(rest));
            }
            self.owed -= part;
        }
        None
    }

    fn count(&mut self, group: Option<u32>, ledger: &Ledger, now: u64, cost: u32) -> Allowance {
        match &mut self.state {
            State::Own(state) => self.limit.check(state, now, cost),
            State::Each(states) => {
                let group = group.and_then(|group| usize::try_from(group).ok());
                let at = group.unwrap_or(states.len().saturating_sub(1));
                match states.get_mut(at) {
                    Some(state) => self.limit.check(state, now, cost),
                    // There is a state for each group.
                    None => Allowance { allowed: false, retry_after: self.limit.period(), remaining: 0 },
                }
            }
            State::Shared { held, key, ask_again } => {
                if !held.own && now >= *ask_again {
                    *ask_again = now.saturating_add(ASK_AGAIN_NANOS);
                    *held = ledger.counter(&self.limit, key, now);
                }
                held.counter.check(&self.limit, now, cost)
            }
        }
    }
}

/// The elements of a well-formed JSON list; of anything else, 1.
fn elements(raw: &[u8]) -> u32 {
    let Some(inner) = raw.strip_prefix(b"[").and_then(|raw| raw.strip_suffix(b"]")) else { return 1 };
    let (mut commas, mut depth, mut quoted, mut escaped, mut any) = (0_u32, 0_u32, false, false, false);
    for byte in inner {
        any |= !byte.is_ascii_whitespace();
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => commas += 1,
            _ => {}
        }
    }
    if any { commas.saturating_add(1) } else { 0 }
}

/// FNV-1a: names a limit; nothing a client sends comes near it.
fn short_hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_a_list_are_counted_whatever_stands_in_them() {
        for (raw, count) in [
            ("[]", 0),
            ("[ ]", 0),
            ("[1]", 1),
            (r#"["a,b","c\\",[1,2,{"x":[3,4]}],"d\",e"]"#, 4),
            ("\"text\"", 1),
            ("", 1),
            ("null", 1),
        ] {
            assert_eq!(elements(raw.as_bytes()), count, "{raw}");
        }
    }

    #[test]
    fn a_connection_remembers_little_of_a_limit() {
        assert!(std::mem::size_of::<Tally>() <= 120, "{}", std::mem::size_of::<Tally>());
    }
}
