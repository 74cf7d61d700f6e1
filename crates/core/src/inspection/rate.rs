//! How often: message limits per connection, user and address. All apply; the strictest wins.
//!
//! A connection's own states stand in its [`Memory`](super::Memory), the others in the shared ledger. Every
//! limit counts every message, also one that another limit refuses. An anonymous caller's `user` limit
//! counts the address.

use std::ops::ControlFlow;

use super::{Action, Direction, Finding, Scene};
use crate::limits::{Allowance, Key, Ledger, Limit, LimitState, Party};
use crate::policy::checked::{LimitKey, Messages, OnRefuse, RateAlgorithm};
use crate::verdict::Reason;

pub(super) const NAME: &str = "rate";

/// The limits of one direction.
#[derive(Debug)]
pub(super) struct Check {
    limits: Vec<One>,
    /// Changes with the limits: a state counted under others is worth nothing.
    mark: u64,
}

#[derive(Debug)]
struct One {
    name: String,
    per: LimitKey,
    limit: Limit,
    outcome: OnRefuse,
    /// Names the limit in the ledger. Limits of equal name, key, rate and direction count together.
    scope: u32,
}

/// What a connection remembers of its limits.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    states: Box<[State]>,
    mark: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Own(LimitState),
    Shared(Key),
}

impl Check {
    pub(super) fn compile(messages: &Messages, direction: Direction) -> Option<Self> {
        let limits: Vec<One> = messages
            .limits
            .iter()
            .map(|limit| {
                let rate = limit.rate;
                let algorithm = match rate.algorithm {
                    RateAlgorithm::TokenBucket => "bucket",
                    RateAlgorithm::SlidingWindow => "window",
                };
                let per = limit.per as u8;
                let description = format!(
                    "{}/{}/{per}/{}/{}/{}/{algorithm}",
                    direction.label(),
                    limit.name,
                    rate.count,
                    rate.per.as_nanos(),
                    rate.burst
                );
                One {
                    name: limit.name.clone(),
                    per: limit.per,
                    limit: Limit::compile(rate),
                    outcome: limit.on_excess,
                    scope: short_hash(description.as_bytes()),
                }
            })
            .collect();
        // Zero is the mark of nothing remembered.
        let mark =
            limits.iter().fold(1, |mark: u64, one| mark.wrapping_mul(31).wrapping_add(u64::from(one.scope)).max(1));
        if limits.is_empty() { None } else { Some(Self { limits, mark }) }
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let now = scene.cx.now.mono_nanos();
        let remembered = &mut scene.memory.kept().rates;
        if remembered.mark != self.mark {
            let party = |per| match (per, &scene.cx.principal.subject) {
                (LimitKey::User, Some(subject)) => Party::User(subject),
                _ => Party::Ip(*scene.cx.ip),
            };
            let state = |one: &One| match one.per {
                LimitKey::Connection => State::Own(LimitState::default()),
                LimitKey::User | LimitKey::Ip => State::Shared(scene.cx.ledger.key(one.scope, party(one.per))),
            };
            *remembered = Remembered { states: self.limits.iter().map(state).collect(), mark: self.mark };
        }
        let mut strictest: Option<(&One, Allowance)> = None;
        for (one, state) in self.limits.iter().zip(remembered.states.iter_mut()) {
            let allowance = one.count(state, scene.cx.ledger, now);
            let stricter = |(other, had): &(&One, Allowance)| {
                (Action::from(one.outcome), allowance.retry_after) > (Action::from(other.outcome), had.retry_after)
            };
            if !allowance.allowed && strictest.as_ref().is_none_or(stricter) {
                strictest = Some((one, allowance));
            }
        }
        let Some((one, allowance)) = strictest else { return ControlFlow::Continue(()) };
        let mut finding = Finding::new(Reason::MessageRate, NAME, one.outcome, format!("limit `{}`", one.name));
        finding.retry_after = Some(allowance.retry_after);
        scene.refuse(finding)
    }
}

impl One {
    fn count(&self, state: &mut State, ledger: &Ledger, now: u64) -> Allowance {
        match state {
            State::Own(state) => self.limit.check(state, now, 1),
            State::Shared(key) => ledger.check(&self.limit, key, now, 1),
        }
    }
}

/// FNV-1a: names a limit; nothing a client sends comes near it.
fn short_hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
