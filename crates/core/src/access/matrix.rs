//! The table role × route × action of a policy: what `portcullis access` prints, and what a review of a change reads.

use serde::Serialize;

use super::{GUEST, Need, Reach, Resource, Roles, Ruling, Standing};
use crate::policy::checked::{Authenticate, Checked, Route};

/// How the caller without a credential is called in the table.
const ANONYMOUS: &str = "(anonymous)";

/// The types of message that no rule names.
const OTHERS: &str = "(other types)";

/// Messages without a type.
const UNTYPED: &str = "(no type)";

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
    /// `connect`, `send` or `receive`.
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
            action: "connect",
            message_type: None,
            needs: needs(route),
            role: asker.name.to_owned(),
            decision,
            rule,
        });
    }
    for (action, messages) in [("send", &route.inbound), ("receive", &route.outbound)] {
        let Some(permissions) = &messages.access.permissions else { continue };
        let mut rules: Vec<(&str, Option<&Need>)> =
            permissions.rules.iter().map(|(pattern, need)| (pattern.as_str(), Some(need))).collect();
        if !rules.iter().any(|(pattern, _)| *pattern == "*") {
            rules.push((OTHERS, None));
        }
        rules.push((UNTYPED, permissions.untyped.as_ref()));
        for (message_type, need) in rules {
            for asker in askers(route, all) {
                // Where a credential is required, nobody gets as far without one.
                if asker.anonymous && route.authenticate == Authenticate::Required {
                    continue;
                }
                let (decision, rule) = match need {
                    Some(need) => judge(need, &asker.standing),
                    None => (Decision::Denied, "no permission is named for it".to_owned()),
                };
                cells.push(Cell {
                    route: route.name.clone(),
                    action,
                    message_type: Some(message_type.to_owned()),
                    needs: need.map_or_else(|| "-".to_owned(), ToString::to_string),
                    role: asker.name.to_owned(),
                    decision,
                    rule,
                });
            }
        }
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
    match &route.permission {
        Some(need) => judge(need, &asker.standing),
        None => (Decision::Allowed, "nothing is asked for".to_owned()),
    }
}

/// May they, and by which rule?
fn judge(need: &Need, standing: &Standing<'_>) -> (Decision, String) {
    let Need::Permission { path, resource } = need else {
        return (Decision::Allowed, "nothing is asked for".to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Outside, Overrides, Source, load};

    struct Nothing;

    impl Outside for Nothing {
        fn var(&self, _: &str) -> Option<String> {
            None
        }

        fn vars(&self) -> Vec<(String, String)> {
            Vec::new()
        }

        fn read(&self, _: &std::path::Path) -> Result<Vec<u8>, String> {
            Err("no files here".to_owned())
        }
    }

    fn lines(text: &str) -> Vec<String> {
        let loaded = load(Some(Source { name: "test.yaml", text }), &Overrides::default(), &Nothing);
        let checked = loaded.unwrap_or_else(|errors| panic!("{errors}")).checked;
        let line = |cell: Cell| {
            let what = cell.message_type.unwrap_or_default();
            let decision = cell.decision.label();
            let line = format!(
                "{} {} {what} [{}] {}: {decision}, {}",
                cell.route, cell.action, cell.needs, cell.role, cell.rule
            );
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        matrix(&checked).into_iter().map(line).collect()
    }

    #[test]
    fn every_role_has_a_line_a_route_and_the_rule_is_named() {
        let text = "
access:
  roles:
    user: { allow: [chat.join, 'room.join:7'] }
    moderator: { allow: ['room.join:*'] }
    owner: { inherits: [moderator], deny: ['room.join:8'] }
    admin: { deny: [chat.join] }
routes:
  - { name: chat, path: /chat, upstream: ws://b, authenticate: required, permission: chat.join }
  - { name: room, path: '/room/{room}', upstream: ws://b, authenticate: optional, permission: 'room.join:{room}' }
  - { name: staff, path: /staff, upstream: ws://b, authenticate: required, roles: [moderator] }
  - { name: open, path: /open, upstream: ws://b, authenticate: off }
  - name: talk
    path: /talk
    upstream: ws://b
    authenticate: required
    inbound: { permissions: { 'room.*': 'room.join:{/room}', ping: anyone } }
    outbound: { json: { mode: detect }, permissions: { '*': anyone }, untyped_permission: chat.join }
";
        let connect: Vec<String> = lines(text).into_iter().filter(|line| !line.starts_with("talk")).collect();
        assert_eq!(
            connect,
            [
                "chat connect [a credential, chat.join] (anonymous): denied, no credential",
                "chat connect [a credential, chat.join] guest: denied, nothing grants it",
                "chat connect [a credential, chat.join] user: allowed, user allows chat.join",
                "chat connect [a credential, chat.join] moderator: allowed, user allows chat.join",
                "chat connect [a credential, chat.join] admin: denied, admin denies chat.join",
                "chat connect [a credential, chat.join] owner: allowed, user allows chat.join",
                "room connect [room.join:{room}] (anonymous): denied, nothing grants it",
                "room connect [room.join:{room}] guest: denied, nothing grants it",
                "room connect [room.join:{room}] user: partly, only 7",
                "room connect [room.join:{room}] moderator: allowed, moderator allows room.join:*",
                "room connect [room.join:{room}] admin: allowed, moderator allows room.join:*",
                "room connect [room.join:{room}] owner: partly, moderator allows room.join:*, but not 8",
                "staff connect [a credential, role moderator] (anonymous): denied, no credential",
                "staff connect [a credential, role moderator] guest: denied, it is not one of the roles",
                "staff connect [a credential, role moderator] user: denied, it is not one of the roles",
                "staff connect [a credential, role moderator] moderator: allowed, nothing is asked for",
                "staff connect [a credential, role moderator] admin: allowed, nothing is asked for",
                "staff connect [a credential, role moderator] owner: allowed, nothing is asked for",
                "open connect [-] (anonymous): allowed, nothing is asked for",
            ]
        );
        let talk = |role: &str| -> Vec<String> {
            let found =
                lines(text).into_iter().filter(|line| line.starts_with("talk") && line.contains(&format!("] {role}:")));
            found.skip(1).collect()
        };
        assert_eq!(
            talk("owner"),
            [
                "talk send ping [anyone] owner: allowed, nothing is asked for",
                "talk send room.* [room.join:{/room}] owner: partly, moderator allows room.join:*, but not 8",
                "talk send (other types) [-] owner: denied, no permission is named for it",
                "talk send (no type) [-] owner: denied, no permission is named for it",
                "talk receive * [anyone] owner: allowed, nothing is asked for",
                "talk receive (no type) [chat.join] owner: allowed, user allows chat.join",
            ]
        );
        assert!(talk("(anonymous)").is_empty(), "nobody gets as far without a credential");
    }
}
