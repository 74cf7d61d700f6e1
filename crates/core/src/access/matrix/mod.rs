//! The table role × route × action of a policy: what `portcullis access` prints, and what a review of a change reads.

mod messages;

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::{GUEST, Need, Reach, Resource, Roles, Ruling, Standing};
use crate::policy::checked::{Authenticate, Checked, Route};

/// How the caller without a credential is called in the table.
const ANONYMOUS: &str = "(anonymous)";

/// How a second factor is called in the table.
const MFA: &str = "a second factor";

/// The rule where there is none.
const NOTHING: &str = "nothing is asked for";

/// What a role may on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may.
    Allowed,
    /// On some resources.
    Partly,
    /// It may not, unless the credential itself carries the permission and no role denies it.
    Denied,
}

impl Decision {
    /// The name in the table.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Partly => "partly",
            Self::Denied => "denied",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The route's name.
    pub route: String,
    /// `connect`, `send`, `receive`, or `read` where the route has figures.
    pub action: &'static str,
    /// The type of message, where it is about messages.
    pub message_type: Option<String>,
    /// What is asked for.
    pub needs: String,
    /// The role.
    pub role: String,
    /// May it?
    pub decision: Decision,
    /// The rule that says so.
    pub rule: String,
}

/// One who asks.
struct Asker<'p> {
    name: &'p str,
    anonymous: bool,
    standing: Standing<'p>,
}

/// Every line: routes as written; roles from the one that inherits least.
#[must_use]
pub fn matrix(policy: &Checked) -> Vec<Cell> {
    let roles = &policy.access;
    let names: Vec<Box<str>> = roles.ladder().into_iter().map(Box::from).collect();
    let guest: [Box<str>; 1] = [GUEST.into()];
    let mut askers = vec![Asker { name: ANONYMOUS, anonymous: true, standing: standing(roles, &guest) }];
    for name in &names {
        askers.push(Asker { name, anonymous: false, standing: standing(roles, std::slice::from_ref(name)) });
    }
    policy.routes.iter().flat_map(|route| of_route(route, &askers)).collect()
}

fn standing<'r>(roles: &'r Roles, names: &'r [Box<str>]) -> Standing<'r> {
    roles.standing(names, &[])
}

fn of_route(route: &Route, all: &[Asker<'_>]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for asker in askers(route, all) {
        let (decision, rule) = connect(route, asker);
        cells.push(Cell {
            route: route.name.clone(),
            action: if route.statistics.is_some() { "read" } else { "connect" },
            message_type: None,
            needs: needs(route),
            role: asker.name.to_owned(),
            decision,
            rule,
        });
    }
    if route.statistics.is_none() {
        cells.extend(messages::of_route(route, all));
    }
    cells
}

/// Where no credential is looked at, nobody has a role of their own.
fn askers<'a, 'p>(route: &Route, all: &'a [Asker<'p>]) -> impl Iterator<Item = &'a Asker<'p>> {
    let off = route.authenticate == Authenticate::Off;
    all.iter().filter(move |asker| asker.anonymous || !off)
}

/// What a route asks for, in a few words.
fn needs(route: &Route) -> String {
    let mut asked = Vec::new();
    if route.authenticate == Authenticate::Required {
        asked.push("a credential".to_owned());
    }
    if let Some(tenant) = &route.tenant {
        asked.push(format!("tenant {tenant}"));
    }
    if !route.roles.is_empty() {
        asked.push(format!("role {}", route.roles.join(" or ")));
    }
    if route.mfa {
        asked.push(MFA.to_owned());
    }
    if let Some(need) = route.permission.as_ref().filter(|need| **need != Need::Anyone) {
        asked.push(need.to_string());
    }
    if asked.is_empty() { "-".to_owned() } else { asked.join(", ") }
}

fn connect(route: &Route, asker: &Asker<'_>) -> (Decision, String) {
    if asker.anonymous && route.authenticate == Authenticate::Required {
        return (Decision::Denied, "no credential".to_owned());
    }
    if asker.anonymous && route.tenant.is_some() {
        return (Decision::Denied, "no tenant".to_owned());
    }
    if !route.roles.is_empty() && !route.roles.iter().any(|role| asker.standing.has_role(role)) {
        return (Decision::Denied, "it is not one of the roles".to_owned());
    }
    let judged = match &route.permission {
        Some(need) => judge(need, &asker.standing),
        None => (Decision::Allowed, NOTHING.to_owned()),
    };
    with_mfa(judged, asker, route.mfa || asker.standing.demands_mfa())
}

/// Whoever must have passed a second factor may only then; whoever cannot have one may not.
fn with_mfa((decision, rule): (Decision, String), asker: &Asker<'_>, demanded: bool) -> (Decision, String) {
    match decision {
        Decision::Allowed | Decision::Partly if demanded && asker.anonymous => {
            (Decision::Denied, format!("no credential, so no {MFA}"))
        }
        Decision::Allowed | Decision::Partly if demanded => (decision, format!("{rule}, with {MFA}")),
        _ => (decision, rule),
    }
}

/// May they, and by which rule?
fn judge(need: &Need, standing: &Standing<'_>) -> (Decision, String) {
    let Need::Permission { path, resource } = need else {
        return (Decision::Allowed, NOTHING.to_owned());
    };
    let asked = match resource {
        None => None,
        Some(Resource::Fixed(one)) => Some(&**one),
        // A name that no rule can hold: what is left are the rules for every resource.
        Some(Resource::Pointer(_) | Resource::Parameter(_)) => Some(""),
    };
    let reach = if asked == Some("") { standing.reach(path) } else { Reach::default() };
    match standing.rule(path, asked) {
        Ruling::Allowed { role, rule } => {
            let words = format!("{} allows {rule}", role.unwrap_or("credential"));
            match reach.never() {
                [] => (Decision::Allowed, words),
                never => (Decision::Partly, format!("{words}, but not {}", never.join(", "))),
            }
        }
        Ruling::Denied { role, rule } => (Decision::Denied, format!("{role} denies {rule}")),
        Ruling::Ungranted => match reach.only() {
            [] => (Decision::Denied, "nothing grants it".to_owned()),
            only => (Decision::Partly, format!("only {}", only.join(", "))),
        },
    }
}
