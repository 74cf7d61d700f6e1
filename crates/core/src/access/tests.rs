//! Roles by hand, and against a model that expands everything and looks at it rule by rule.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

fn role(name: &str, inherits: &[&str], allow: &[&str], deny: &[&str]) -> RoleSpec {
    RoleSpec {
        name: name.to_owned(),
        inherits: inherits.iter().map(|name| (*name).to_owned()).collect(),
        allow: patterns(allow),
        deny: patterns(deny),
        mfa: false,
    }
}

fn ladder() -> Roles {
    Roles::compile(vec![
        role("admin", &["moderator"], &["*"], &["audit.delete"]),
        role("guest", &[], &["chat.read"], &[]),
        role("moderator", &["user"], &["chat.*"], &[]),
        role("user", &["guest"], &["chat.send", "conversation.read:*"], &["chat.purge"]),
    ])
    .unwrap()
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

fn may(roles: &[&str], own: &[&str], path: &str, resource: Option<&str>) -> bool {
    let (ladder, held) = (ladder(), names(roles));
    ladder.standing(&held, &names(own)).rule(path, resource).is_allowed()
}

#[test]
fn a_role_may_what_the_roles_it_inherits_may_and_not_the_other_way_round() {
    for (role, path, resource, allowed) in [
        ("guest", "chat.read", None, true),
        ("guest", "chat.send", None, false),
        ("user", "chat.read", None, true),
        ("user", "chat.send", None, true),
        ("user", "conversation.read", Some("42"), true),
        ("user", "chat.delete", None, false),
        ("moderator", "chat.delete", None, true),
        ("moderator", "audit.read", None, false),
        ("admin", "audit.read", None, true),
        ("stranger", "chat.read", None, false),
    ] {
        assert_eq!(may(&[role], &[], path, resource), allowed, "{role} {path} {resource:?}");
    }
    assert!(!may(&[], &[], "chat.read", None));
}

#[test]
fn a_denial_wins_over_every_grant_whoever_grants() {
    assert!(!may(&["admin"], &[], "audit.delete", None), "over the wildcard beside it");
    assert!(!may(&["admin", "user"], &["audit.delete", "*"], "audit.delete", None), "over the credential's own");
    assert!(!may(&["moderator"], &[], "chat.purge", None), "inherited, over the heir's wildcard");
    assert!(!may(&["guest", "user"], &["chat.purge"], "chat.purge", Some("7")), "on every resource");
}

#[test]
fn a_credential_may_carry_permissions_and_what_is_none_grants_nothing() {
    assert!(may(&[], &["conversation.read:42"], "conversation.read", Some("42")));
    assert!(!may(&[], &["conversation.read:42"], "conversation.read", Some("43")));
    assert!(may(&[], &["read:messages"], "read", Some("messages")), "the form of OAuth scopes");
    for none in ["", "openid profile", "https://example.com/all", "**", "*:*"] {
        assert!(!may(&[], &[none], "chat.send", None), "{none}");
    }
}

#[test]
fn a_role_is_held_by_name_and_by_inheritance() {
    let (ladder, held) = (ladder(), names(&["moderator", "offline_access"]));
    let standing = ladder.standing(&held, &[]);
    for (role, has) in [("moderator", true), ("guest", true), ("offline_access", true), ("admin", false), ("", false)] {
        assert_eq!(standing.has_role(role), has, "{role}");
    }
}

#[test]
fn the_rule_that_decides_is_named() {
    let (ladder, held) = (ladder(), names(&["admin"]));
    let standing = ladder.standing(&held, &[]);
    let Ruling::Denied { role, rule } = standing.rule("chat.purge", None) else { panic!("denied") };
    assert_eq!((role, rule.to_string().as_str()), ("user", "chat.purge"));
    let Ruling::Allowed { role, rule } = standing.rule("chat.send", None) else { panic!("allowed") };
    assert_eq!((role, rule.to_string().as_str()), (Some("admin"), "*"));
}

#[test]
fn unknown_and_circular_roles_are_named_once() {
    let specs = vec![role("a", &["b"], &[], &[]), role("b", &["c", "x"], &[], &[]), role("c", &["a"], &[], &[])];
    let errors: Vec<String> = Roles::compile(specs).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["`b` inherits `x`, which is no role", "`a` inherits itself: a → b → c → a"]);
    let errors = Roles::compile(vec![role("a", &["a"], &[], &[])]).unwrap_err();
    assert_eq!(errors.first().unwrap().to_string(), "`a` inherits itself: a → a");
    let diamond = vec![
        role("top", &["left", "right"], &[], &[]),
        role("left", &["base"], &[], &[]),
        role("right", &["base"], &[], &[]),
        role("base", &[], &[], &[]),
    ];
    assert!(Roles::compile(diamond).is_ok(), "two ways to one role are no cycle");
}

// The model: expand inheritance by repetition, then read every rule as text.

#[derive(Debug, Clone)]
struct Written {
    inherits: Vec<usize>,
    allow: Vec<String>,
    deny: Vec<String>,
}

fn model_reaches(rule: &str, asked: &str, denies: bool) -> bool {
    if rule == asked || rule == "*" {
        return true;
    }
    let path = asked.split(':').next().unwrap();
    if let Some(stem) = rule.strip_suffix(".*") {
        let steps: Vec<&str> = stem.split('.').collect();
        let path: Vec<&str> = path.split('.').collect();
        return path.len() > steps.len() && path[..steps.len()] == steps[..];
    }
    if let Some(own) = rule.strip_suffix(":*") {
        return asked.contains(':') && own == path;
    }
    denies && rule == path
}

fn model_allows(roles: &[Written], held: &[usize], own: &[String], asked: &str) -> bool {
    let mut all: BTreeSet<usize> = held.iter().copied().collect();
    loop {
        let more: BTreeSet<usize> = all.iter().flat_map(|at| roles[*at].inherits.clone()).collect();
        let before = all.len();
        all.extend(more);
        if all.len() == before {
            break;
        }
    }
    let denied = all.iter().any(|at| roles[*at].deny.iter().any(|rule| model_reaches(rule, asked, true)));
    let by_role = all.iter().any(|at| roles[*at].allow.iter().any(|rule| model_reaches(rule, asked, false)));
    !denied && (by_role || own.iter().any(|rule| model_reaches(rule, asked, false)))
}

/// Few names, so that rules meet.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 1..4).prop_map(|steps| steps.join("."))
}

fn rule() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("*".to_owned()),
        3 => path(),
        2 => path().prop_map(|path| format!("{path}.*")),
        1 => path().prop_map(|path| format!("{path}:*")),
        1 => path().prop_map(|path| format!("{path}:1")),
    ]
}

fn asked() -> impl Strategy<Value = String> {
    (path(), prop::sample::select(vec!["", ":1", ":2"])).prop_map(|(path, resource)| format!("{path}{resource}"))
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let rules = || prop::collection::vec(rule(), 0..4);
    prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..3), rules(), rules()), 1..6).prop_map(
        |roles| {
            let role = |(position, (inherits, allow, deny)): (usize, (Vec<prop::sample::Index>, _, Vec<String>))| {
                // Only earlier ones, so that no role inherits itself.
                let inherits = inherits.iter().filter(|_| position > 0).map(|at| at.index(position)).collect();
                Written { inherits, allow, deny: if position % 2 == 0 { deny } else { Vec::new() } }
            };
            roles.into_iter().enumerate().map(role).collect()
        },
    )
}

proptest! {
    #[test]
    fn a_denied_permission_is_never_let_through_and_all_else_is_as_the_model_says(
        roles in written(),
        held in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        own in prop::collection::vec(rule(), 0..3),
        asked in prop::collection::vec(asked(), 1..20),
    ) {
        let held: Vec<usize> = held.iter().map(|at| at.index(roles.len())).collect();
        let parse = |rules: &[String]| rules.iter().map(|rule| Pattern::parse(rule).unwrap()).collect();
        let specs = roles.iter().enumerate().map(|(position, role)| RoleSpec {
            name: format!("r{position}"),
            inherits: role.inherits.iter().map(|at| format!("r{at}")).collect(),
            allow: parse(&role.allow),
            deny: parse(&role.deny),
            mfa: false,
        });
        let compiled = Roles::compile(specs.collect()).unwrap();
        let named: Vec<Box<str>> = held.iter().map(|at| format!("r{at}").into()).collect();
        let carried: Vec<Box<str>> = own.iter().map(|rule| rule.as_str().into()).collect();
        let standing = compiled.standing(&named, &carried);
        for asked in &asked {
            let (path, resource) = asked.split_once(':').map_or((asked.as_str(), None), |(p, r)| (p, Some(r)));
            let allowed = standing.rule(path, resource).is_allowed();
            prop_assert_eq!(allowed, model_allows(&roles, &held, &own, asked), "{}", asked);
            if let Some(resource) = resource {
                prop_assert_eq!(allowed, standing.reach(path).holds(resource.as_bytes()), "{}", asked);
            }
        }
    }
}
