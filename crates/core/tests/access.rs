//! Who may say what, as the relay sees it: a policy in YAML, a caller, messages, verdicts. Property tests hold the
//! compiled rules against a slow, obvious model.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use portcullis_core::identity::{Method, Principal};
use portcullis_core::inspection::{Action, Context, Direction, Kind, Memory, Message, Verdict, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::{Outside, Overrides, Policy, Source, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use proptest::prelude::*;

struct Nothing;

impl Outside for Nothing {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn vars(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> Result<Vec<u8>, String> {
        Err("no files here".to_owned())
    }
}

fn policy(text: &str) -> Policy {
    let loaded = load(Some(Source { name: "test.yaml", text }), &Overrides::default(), &Nothing);
    Policy::compile(loaded.unwrap_or_else(|errors| panic!("{errors}")).checked).unwrap()
}

fn user(roles: &[&str], permissions: &[&str]) -> Principal {
    let names = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
    Principal {
        subject: Some("u1".into()),
        method: Method::Jwt,
        roles: names(roles),
        permissions: names(permissions),
        ..Principal::anonymous()
    }
}

/// One direction of one connection.
struct Line<'p> {
    policy: &'p Policy,
    direction: Direction,
    principal: Principal,
    memory: Memory,
    work: Workspace,
}

impl<'p> Line<'p> {
    fn new(policy: &'p Policy, direction: Direction, principal: Principal) -> Self {
        Self { policy, direction, principal, memory: Memory::new(), work: Workspace::new(3) }
    }

    fn say(&mut self, kind: Kind, bytes: &[u8]) -> Verdict {
        let route = &self.policy.routes()[0];
        let plan = if self.direction == Direction::Inbound { &route.inbound } else { &route.outbound };
        let now = Now { mono: Duration::from_secs(5), wall: Duration::from_secs(1_700_000_000) };
        let (ip, ledger) = (IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64), Ledger::new(64, [1, 2]));
        let cx = Context { now, principal: &self.principal, ip: &ip, ledger: &ledger };
        inspect(plan, &mut self.memory, &cx, &mut self.work, &Message { kind, bytes })
    }

    fn text(&mut self, text: &str) -> Verdict {
        self.say(Kind::Text, text.as_bytes())
    }

    /// Whether it passes; what does not is refused for want of a permission.
    fn passes(&mut self, text: &str) -> bool {
        let verdict = self.text(text);
        if verdict.action == Action::Pass {
            assert!(verdict.findings.is_empty(), "{text}: {verdict:?}");
            return true;
        }
        assert_eq!(verdict.findings[0].reason, Reason::PermissionDenied, "{text}: {verdict:?}");
        false
    }
}

const CHAT: &str = r#"
access:
  roles:
    guest: { allow: [chat.read] }
    user: { allow: [chat.write, "conversation.read:*"] }
    contractor: { inherits: [user], deny: ["conversation.read:vault"] }
routes:
  - path: /chat
    upstream: ws://b
    inbound:
      threats: { mode: off }
      permissions:
        "chat.*": chat.write
        chat.history: chat.read
        "conversation.*": "conversation.read:{/data/conversation_id}"
        ping: anyone
    outbound:
      json: { mode: detect }
      permissions:
        "*": anyone
        "conversation.*": "conversation.read:{/conversation_id}"
        audit.line: audit.read
      untyped_permission: chat.read
"#;

#[test]
fn a_message_passes_for_those_who_have_its_permission() {
    let policy = policy(CHAT);
    for (roles, own, text, passes) in [
        (&["user"][..], &[][..], r#"{"type":"chat.send"}"#, true),
        (&["user"], &[], r#"{"type":"chat.history"}"#, true),
        (&["guest"], &[], r#"{"type":"chat.send"}"#, false),
        (&["guest"], &[], r#"{"type":"chat.history"}"#, true),
        (&["guest"], &["chat.*"], r#"{"type":"chat.send"}"#, true),
        (&[], &[], r#"{"type":"ping"}"#, true),
        (&["admin"], &["*"], r#"{"type":"unheard.of"}"#, false),
        (&["guest"], &[], r#"{"type":"chat\u002esend"}"#, false),
        (&["user"], &[], r#"{"type":"chat\u002esend"}"#, true),
        (&["guest"], &[], r#"{"typ\u0065":"chat.send"}"#, false),
        (&["admin"], &["*"], r#"{"type":7}"#, false),
        (&["admin"], &["*"], r#"{"type":null}"#, false),
        (&["admin"], &["*"], r#"{"type":["ping"]}"#, false),
        (&["admin"], &["*"], r#"{"data":{"type":"ping"}}"#, false),
        (&["admin"], &["*"], r#"[{"type":"ping"}]"#, false),
        (&["admin"], &["*"], "hello", false),
    ] {
        let mut line = Line::new(&policy, Direction::Inbound, user(roles, own));
        assert_eq!(line.passes(text), passes, "{roles:?} {own:?} {text}");
    }
    let mut line = Line::new(&policy, Direction::Inbound, user(&["admin"], &["*"]));
    assert_eq!(line.say(Kind::Binary, b"\x00").action, Action::Reply, "binary has no type");
}

#[test]
fn a_permission_on_a_resource_takes_the_message_at_its_word_and_no_further() {
    let policy = policy(CHAT);
    let read = |id: &str| format!(r#"{{"type":"conversation.read","data":{{"conversation_id":{id}}}}}"#);
    for (roles, own, id, passes) in [
        (&["user"][..], &[][..], "\"42\"", true),
        (&["user"], &[], "42", true),
        (&["contractor"], &[], "42", true),
        (&["contractor"], &["conversation.read:vault", "*"], "\"vault\"", false),
        (&["contractor"], &[], r#""v\u0061ult""#, false),
        (&[], &["conversation.read:42"], "42", true),
        (&[], &["conversation.read:42"], "\"42\"", true),
        (&[], &["conversation.read:42"], r#""4\u0032""#, true),
        (&[], &["conversation.read:42"], "43", false),
        (&[], &["conversation.read:42"], "\"*\"", false),
        (&[], &["conversation.read:42"], "42.0", false),
        (&[], &["conversation.read"], "42", false),
        (&["guest"], &[], "42", false),
        (&["user"], &["*"], "\"*\"", false),
        (&["user"], &["*"], "\"a:b\"", false),
        (&["user"], &["*"], "\"a.b\"", false),
        (&["user"], &["*"], "\"a b\"", false),
        (&["user"], &["*"], "\"\"", false),
        (&["user"], &["*"], "null", false),
        (&["user"], &["*"], "[42]", false),
        (&["user"], &["*"], "{\"a\":42}", false),
        (&["user"], &["*"], "true", false),
        (&["user"], &["*"], "9007199254740993", false),
    ] {
        let mut line = Line::new(&policy, Direction::Inbound, user(roles, own));
        assert_eq!(line.passes(&read(id)), passes, "{roles:?} {own:?} {id}");
    }
    let long = |bytes: usize| read(&format!("\"{}\"", "a".repeat(bytes)));
    let mut line = Line::new(&policy, Direction::Inbound, user(&["user"], &[]));
    assert!(line.passes(&long(128)) && !line.passes(&long(129)), "at most 128 bytes");
    assert!(!line.passes(r#"{"type":"conversation.read","conversation_id":42}"#), "in another place");
    assert!(!line.passes(r#"{"type":"conversation.read"}"#), "nowhere");
}

#[test]
fn what_the_backend_says_is_dropped_where_the_client_may_not_hear_it() {
    let policy = policy(CHAT);
    let mut line = Line::new(&policy, Direction::Outbound, user(&["guest"], &["conversation.read:42"]));
    for (text, passes) in [
        (r#"{"type":"news"}"#, true),
        (r#"{"type":"conversation.said","conversation_id":"42"}"#, true),
        (r#"{"type":"conversation.said","conversation_id":"43"}"#, false),
        (r#"{"type":"audit.line"}"#, false),
        ("plain text", true),
    ] {
        let verdict = line.text(text);
        assert_eq!(verdict.action, if passes { Action::Pass } else { Action::Drop }, "{text}: {verdict:?}");
    }
}

#[test]
fn a_finding_names_the_permission_and_the_field_and_never_the_value() {
    let policy = policy(CHAT);
    let mut line = Line::new(&policy, Direction::Inbound, user(&["guest"], &[]));
    let verdict = line.text(r#"{"type":"conversation.read","data":{"conversation_id":"secret-room"}}"#);
    let finding = &verdict.findings[0];
    assert_eq!((finding.check, finding.message_type.as_deref()), ("permission", Some("conversation.read")));
    assert_eq!(finding.field.as_deref(), Some("/data/conversation_id"));
    assert_eq!(finding.detail, "it asks for `conversation.read:{/data/conversation_id}`");
}

#[test]
fn a_new_policy_or_caller_asks_anew() {
    let one = policy(CHAT);
    let two = policy(&CHAT.replace("guest: { allow: [chat.read] }", "guest: { allow: [chat.write] }"));
    let mut line = Line::new(&one, Direction::Inbound, user(&["guest"], &[]));
    assert!(!line.passes(r#"{"type":"chat.send"}"#));
    line.policy = &two;
    assert!(line.passes(r#"{"type":"chat.send"}"#), "remembered answers belong to one policy");
}

// The model: rules as text, read one by one.

fn model_needs<'r>(rules: &'r [(String, String)], message_type: &str) -> Option<&'r str> {
    let exact = rules.iter().find(|(pattern, _)| pattern == message_type);
    let stem = |pattern: &str| pattern.strip_suffix('*').map(str::to_owned);
    let best = rules
        .iter()
        .filter(|(pattern, _)| stem(pattern).is_some_and(|stem| message_type.starts_with(&stem)))
        .max_by_key(|(pattern, _)| pattern.len());
    exact.or(best).map(|(_, need)| need.as_str())
}

fn model_covers(rule: &str, asked: &str) -> bool {
    let path = asked.split(':').next().unwrap_or_default();
    rule == "*"
        || rule == asked
        || rule.strip_suffix('*').is_some_and(|stem| stem.ends_with('.') && path.starts_with(stem))
        || (asked.contains(':') && rule == format!("{path}:*"))
}

fn model_passes(
    rules: &[(String, String)],
    allow: &[String],
    deny: &[String],
    message_type: &str,
    id: Option<&str>,
) -> bool {
    let Some(need) = model_needs(rules, message_type) else { return false };
    let asked = match (need.strip_suffix(":{/id}"), id) {
        (None, _) => need.to_owned(),
        (Some(path), Some(id)) if id.chars().all(|c| c.is_ascii_alphanumeric()) && !id.is_empty() => {
            format!("{path}:{id}")
        }
        (Some(_), _) => return false,
    };
    let path = asked.split(':').next().unwrap_or_default();
    let denied = deny.iter().any(|rule| model_covers(rule, &asked) || rule == path);
    !denied && allow.iter().any(|rule| model_covers(rule, &asked))
}

fn few() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b", "b.a", "a.b.a"]).prop_map(str::to_owned)
}

fn granted() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("*".to_owned()),
        3 => few(),
        2 => few().prop_map(|path| format!("{path}.*")),
        2 => few().prop_map(|path| format!("{path}:*")),
        2 => few().prop_map(|path| format!("{path}:1")),
    ]
}

fn rules() -> impl Strategy<Value = Vec<(String, String)>> {
    let pattern = prop_oneof![few(), few().prop_map(|path| format!("{path}*")), Just("*".to_owned())];
    let need = prop_oneof![
        few(),
        few().prop_map(|path| format!("{path}:{{/id}}")),
        few().prop_map(|path| format!("{path}:1"))
    ];
    prop::collection::btree_map(pattern, need, 1..5).prop_map(|rules| rules.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_message_passes_exactly_when_the_model_says_so(
        rules in rules(),
        allow in prop::collection::vec(granted(), 0..4),
        deny in prop::collection::vec(granted(), 0..2),
        messages in prop::collection::vec(
            (few(), prop::option::of(prop::sample::select(vec!["1", "2", "*", "", "1:2", "a.b"]))), 1..12),
    ) {
        let listed = |texts: &[String]| serde_json::to_string(texts).unwrap();
        let rules_text = serde_json::to_string(&rules.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()).unwrap();
        let policy = policy(&format!(
            "access: {{ roles: {{ r: {{ allow: {}, deny: {} }} }} }}\n\
             routes: [{{ path: /x, upstream: 'ws://b', inbound: {{ threats: {{ mode: off }}, permissions: {rules_text} }} }}]\n",
            listed(&allow), listed(&deny),
        ));
        let mut line = Line::new(&policy, Direction::Inbound, user(&["r"], &[]));
        for (message_type, id) in &messages {
            let mut message = serde_json::json!({ "type": message_type });
            if let Some(id) = id {
                message["id"] = (*id).into();
            }
            let expected = model_passes(&rules, &allow, &deny, message_type, *id);
            prop_assert_eq!(line.passes(&message.to_string()), expected, "{} under {:?}", message, rules);
        }
    }
}
