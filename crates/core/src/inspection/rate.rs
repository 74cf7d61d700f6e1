//! How often: message limits by connection, user, API key, address, tenant, type, domain and in all. All apply; the
//! strictest wins.
//!
//! Two checks of one kind: limits that need no message type run before the message is read as JSON, the others
//! after it. A connection's own states stand in its [`Memory`](super::Memory); of the shared ones it holds the
//! [`Counter`], so that a message takes no lock. Every limit counts every message, also one that another limit
//! refuses. A caller without a subject or tenant is counted by address where the limit counts subjects or tenants.

use std::ops::ControlFlow;

use super::{Action, Direction, Finding, Reading, Scene};
use crate::identity::{Method, Principal};
use crate::limits::{Allowance, Conditions, Held, Key, Ledger, Limit, LimitState, Party, TypeMap};
use crate::message::json::{ValueKind, decode_into};
use crate::policy::checked::{Factor, LimitKey, Measure, MessageLimit, Messages, RateAlgorithm};
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

#[derive(Debug)]
struct One {
    spec: MessageLimit,
    limit: Limit,
    /// Types it counts; empty is all.
    types: TypeMap,
    /// Which of the groups a type is counted in.
    groups: TypeMap,
    weights: TypeMap,
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
    pub(super) fn compile(messages: &Messages, direction: Direction, type_number: Option<usize>) -> Option<Self> {
        let wanted = |limit: &&MessageLimit| limit.is_typed() == type_number.is_some();
        let limits: Vec<One> = messages.limits.iter().filter(wanted).map(|limit| One::new(limit, direction)).collect();
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
        for (one, tally) in self.limits.iter().zip(remembered.tallies.iter_mut()) {
            let Some(cost) = one.cost(name, bytes) else { continue };
            let allowance = tally.count(one.groups.find(name.unwrap_or_default()), scene.cx.ledger, now, cost);
            let stricter = |(other, had): &(&One, Allowance)| {
                (Action::from(one.spec.on_excess), allowance.retry_after)
                    > (Action::from(other.spec.on_excess), had.retry_after)
            };
            if !allowance.allowed && strictest.as_ref().is_none_or(stricter) {
                strictest = Some((one, allowance));
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
    fn new(spec: &MessageLimit, direction: Direction) -> Self {
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
            scope: short_hash(description.as_bytes()).max(1),
        }
    }

    /// What a message costs; `None` when the limit does not count it.
    fn cost(&self, name: Option<&[u8]>, bytes: u32) -> Option<u32> {
        if !self.types.is_empty() {
            self.types.find(name?)?;
        }
        Some(match self.spec.of {
            Measure::Messages => 1,
            Measure::Bytes => bytes,
            Measure::Cost => name.and_then(|name| self.weights.find(name)).unwrap_or(1),
        })
    }

    fn tally(&self, cx: &super::Context<'_>, conditions: Conditions, now: u64) -> Tally {
        let limit = self.limit_for(cx.principal, conditions);
        let state = match self.party(cx) {
            Some(party) => {
                let key = cx.ledger.key(self.scope, party);
                State::Shared { held: cx.ledger.counter(&limit, &key, now), key, ask_again: now }
            }
            None if self.spec.groups.is_empty() => State::Own(LimitState::default()),
            None => State::Each(vec![LimitState::default(); self.spec.groups.len() + 1].into()),
        };
        Tally { limit, state }
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

/// FNV-1a: names a limit; nothing a client sends comes near it.
fn short_hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_remembers_little_of_a_limit() {
        assert!(std::mem::size_of::<Tally>() <= 120, "{}", std::mem::size_of::<Tally>());
    }
}
