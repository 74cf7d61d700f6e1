//! The lines about types of messages.

use std::collections::BTreeSet;

use super::{Asker, Cell, Decision, MFA, NOTHING, askers, judge, with_mfa};
use crate::access::{MessageAccess, Need, Types};
use crate::policy::checked::{Authenticate, Route};

/// The types of message that no rule names.
const OTHERS: &str = "(other types)";

/// Messages without a type.
const UNTYPED: &str = "(no type)";

/// A line for every type that a rule names, both ways, and every asker who could get as far.
pub(super) fn of_route(route: &Route, all: &[Asker<'_>]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (action, messages) in [("send", &route.inbound), ("receive", &route.outbound)] {
        let rules = Rules::of(&messages.access);
        for shown in rules.shown() {
            for asker in askers(route, all) {
                // Where a credential is required, nobody gets as far without one.
                if asker.anonymous && route.authenticate == Authenticate::Required {
                    continue;
                }
                let (decision, rule) = rules.decide(shown, asker);
                cells.push(Cell {
                    route: route.name.clone(),
                    action,
                    message_type: Some(shown.to_owned()),
                    needs: rules.needs(shown),
                    role: asker.name.to_owned(),
                    decision,
                    rule,
                });
            }
        }
    }
    cells
}

/// The rules of one direction, to be asked for one line.
struct Rules<'a> {
    access: &'a MessageAccess,
    permissions: Types,
    guests: Types,
    mfa: Types,
}

impl<'a> Rules<'a> {
    fn of(access: &'a MessageAccess) -> Self {
        let rules = access.permissions.iter().flat_map(|permissions| &permissions.rules);
        Self {
            permissions: Types::compile(rules.map(|(pattern, _)| pattern.as_str())),
            guests: Types::compile(access.guest_types.iter().flatten().map(String::as_str)),
            mfa: Types::compile(access.mfa_types.iter().map(String::as_str)),
            access,
        }
    }

    /// Every pattern that a rule names, and what none of them stands for.
    fn shown(&self) -> Vec<&'a str> {
        let access = self.access;
        let MessageAccess { permissions, guest_types, mfa_types, tenant_at: _ } = access;
        if permissions.is_none() && guest_types.is_none() && mfa_types.is_empty() {
            return Vec::new();
        }
        let rules = permissions.iter().flat_map(|permissions| &permissions.rules).map(|(pattern, _)| pattern);
        let patterns: BTreeSet<&str> =
            rules.chain(guest_types.iter().flatten()).chain(mfa_types).map(String::as_str).collect();
        let others = !patterns.contains("*");
        patterns.into_iter().chain(others.then_some(OTHERS)).chain([UNTYPED]).collect()
    }

    /// What a line's type asks for; `None` where no rule names it, though it had to.
    fn need(&self, shown: &str) -> Option<&'a Need> {
        let Some(permissions) = &self.access.permissions else { return Some(&Need::Anyone) };
        if shown == UNTYPED {
            return permissions.untyped.as_ref();
        }
        self.permissions.find(&example(shown)).and_then(|at| permissions.rules.get(at)).map(|(_, need)| need)
    }

    fn demands_mfa(&self, shown: &str) -> bool {
        !self.access.mfa_types.is_empty() && (shown == UNTYPED || self.mfa.find(&example(shown)).is_some())
    }

    fn needs(&self, shown: &str) -> String {
        let mut asked: Vec<String> = Vec::new();
        if self.demands_mfa(shown) {
            asked.push(MFA.to_owned());
        }
        if let Some(need) = self.need(shown).filter(|need| self.access.permissions.is_some() || **need != Need::Anyone)
        {
            asked.push(need.to_string());
        }
        if asked.is_empty() { "-".to_owned() } else { asked.join(", ") }
    }

    fn decide(&self, shown: &str, asker: &Asker<'_>) -> (Decision, String) {
        let open = shown != UNTYPED && self.guests.find(&example(shown)).is_some();
        if asker.anonymous && self.access.guest_types.is_some() && !open {
            return (Decision::Denied, "it is not among `guest_types`".to_owned());
        }
        let judged = match self.need(shown) {
            Some(Need::Anyone) => (Decision::Allowed, NOTHING.to_owned()),
            Some(need) => judge(need, &asker.standing),
            None => (Decision::Denied, "no permission is named for it".to_owned()),
        };
        with_mfa(judged, asker, self.demands_mfa(shown))
    }
}

/// A type that a pattern stands for and no other shown pattern says more about.
fn example(shown: &str) -> Vec<u8> {
    // No type of a configuration holds a control character.
    match shown.strip_suffix('*') {
        Some(stem) => [stem.as_bytes(), b"\x01"].concat(),
        None if shown == OTHERS => vec![1],
        None => shown.as_bytes().to_vec(),
    }
}
