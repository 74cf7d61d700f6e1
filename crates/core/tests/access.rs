//! Who may say what, as the relay sees it: a policy in YAML, a caller, messages, verdicts. Property tests hold the
//! compiled rules against a slow, obvious model.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::{Method, Principal};
use portcullis_core::inspection::{Action, Context, Direction, Kind, Memory, Message, Verdict, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::{Nowhere, Overrides, Policy, Source, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use proptest::prelude::*;

fn policy(text: &str) -> Policy {
    let loaded = load(Some(Source { name: "test.yaml", text }), &Overrides::default(), &Nowhere);
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

const GUESTS: &str = r#"
routes:
  - path: /x
    upstream: ws://b
    authenticate: optional
    inbound: { threats: { mode: off }, guest_types: [ping, "chat.read*"], mfa_types: ["wallet.*"] }
    outbound: { json: { mode: detect }, guest_types: [news] }
"#;

/// Why a message is refused, or `None`.
fn refusal(line: &mut Line<'_>, text: &str) -> Option<Reason> {
    let verdict = line.text(text);
    assert_eq!(verdict.action == Action::Pass, verdict.findings.is_empty(), "{text}: {verdict:?}");
    verdict.findings.first().map(|finding| finding.reason)
}

#[test]
fn an_anonymous_caller_says_and_hears_the_types_of_the_list_alone() {
    let policy = policy(GUESTS);
    for (direction, text, passes) in [
        (Direction::Inbound, r#"{"type":"ping"}"#, true),
        (Direction::Inbound, r#"{"type":"chat.read.all"}"#, true),
        (Direction::Inbound, r#"{"type":"p\u0069ng"}"#, true),
        (Direction::Inbound, r#"{"type":"chat.send"}"#, false),
        (Direction::Inbound, r#"{"type":"Ping"}"#, false),
        (Direction::Inbound, r#"{"type":["ping"]}"#, false),
        (Direction::Inbound, r#"{"text":"no type"}"#, false),
        (Direction::Inbound, "hello", false),
        (Direction::Outbound, r#"{"type":"news"}"#, true),
        (Direction::Outbound, r#"{"type":"report"}"#, false),
        (Direction::Outbound, "hello", false),
    ] {
        let mut guest = Line::new(&policy, direction, Principal::anonymous());
        let expected = (!passes).then_some(Reason::GuestRefused);
        assert_eq!(refusal(&mut guest, text), expected, "{direction:?} {text}");
        let mut known = Line::new(&policy, direction, Principal { mfa: true, ..user(&["guest"], &[]) });
        assert_eq!(refusal(&mut known, text), None, "{direction:?} {text}: not a guest, whatever its role");
    }
    let mut guest = Line::new(&policy, Direction::Inbound, Principal::anonymous());
    assert_eq!(guest.say(Kind::Binary, b"\x00").action, Action::Reply, "binary has no type");
}

#[test]
fn a_type_that_demands_a_second_factor_passes_for_those_who_passed_one() {
    let policy = policy(GUESTS);
    for (text, without) in [
        (r#"{"type":"chat.send"}"#, None),
        (r#"{"type":"wallet.pay"}"#, Some(Reason::MfaRequired)),
        (r#"{"type":"wallet\u002epay"}"#, Some(Reason::MfaRequired)),
        (r#"{"text":"no type"}"#, Some(Reason::MfaRequired)),
        (r#"[{"type":"wallet.pay"}]"#, Some(Reason::MfaRequired)),
        ("wallet.pay", Some(Reason::MfaRequired)),
    ] {
        let mut plain = Line::new(&policy, Direction::Inbound, user(&["admin"], &["*"]));
        assert_eq!(refusal(&mut plain, text), without, "{text}");
        let mut strong = Line::new(&policy, Direction::Inbound, Principal { mfa: true, ..user(&[], &[]) });
        assert_eq!(refusal(&mut strong, text), None, "{text}");
    }
}

const TENANTS: &str = r#"
routes:
  - path: /x
    upstream: ws://b
    inbound: { threats: { mode: off }, envelope: { tenant: [/tenant, /data/org] }, on_refuse: ON_REFUSE }
    outbound: { leaks: { mode: off }, json: { mode: detect }, envelope: { tenant: [/tenant, /data/org] }, on_refuse: ON_REFUSE }
"#;

fn of_tenant(tenant: Option<&str>) -> Principal {
    Principal { tenant: tenant.map(Into::into), ..user(&["admin"], &["*"]) }
}

fn crossing(direction: Direction) -> Action {
    if direction == Direction::Inbound { Action::Close } else { Action::Drop }
}

#[test]
fn a_message_for_another_tenant_closes_inbound_and_is_dropped_outbound() {
    for on_refuse in ["observe", "reply"] {
        let policy = policy(&TENANTS.replace("ON_REFUSE", on_refuse));
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (own, text, passes) in [
                (Some("acme"), r#"{"tenant":"acme"}"#, true),
                (Some("acme"), r#"{"tenant":"acme","data":{"org":"acme"}}"#, true),
                (Some("acme"), r#"{"text":"no tenant"}"#, true),
                (Some("acme"), r#"{"tenant":null}"#, true),
                (Some("acme"), r#"{"tenant":"\u0061cme"}"#, true),
                (Some("7"), r#"{"tenant":7}"#, true),
                (Some("acme"), r#"{"tenant":"other"}"#, false),
                (Some("acme"), r#"{"tenant":"Acme"}"#, false),
                (Some("acme"), r#"{"tenant":"acme "}"#, false),
                (Some("acme"), r#"{"tenant":""}"#, false),
                (Some("acme"), r#"{"t\u0065nant":"other"}"#, false),
                (Some("acme"), r#"{"tenant":"acme","data":{"org":"other"}}"#, false),
                (Some("acme"), r#"{"tenant":["acme"]}"#, false),
                (Some("acme"), r#"{"tenant":{"id":"acme"}}"#, false),
                (Some("7"), r#"{"tenant":7.0}"#, false),
                (None, r#"{"tenant":"acme"}"#, false),
            ] {
                let mut line = Line::new(&policy, direction, of_tenant(own));
                let verdict = line.text(text);
                let expected = if passes { Action::Pass } else { crossing(direction) };
                assert_eq!(verdict.action, expected, "{on_refuse} {direction:?} {own:?} {text}: {verdict:?}");
                assert!(passes || verdict.findings[0].reason == Reason::TenantCrossing, "{verdict:?}");
            }
        }
    }
}

#[test]
fn what_could_name_a_tenant_to_a_lenient_reader_does_not_pass() {
    let policy = policy(&TENANTS.replace("ON_REFUSE", "observe"));
    let texts: [&[u8]; 7] = [
        br#"[{"tenant":"other"}]"#,
        br#"{"tenant":"acme","tenant":"other"}"#,
        br#"{"tenant":"other","x":NaN}"#,
        br#"{"tenant":"other",}"#,
        b"tenant=other",
        b"\xef\xbb\xbf{\"tenant\":\"other\"}",
        b"{\0\"\0t\0e\0n\0a\0n\0t\0\"\0:\0\"\0o\0t\0h\0e\0r\0\"\0}\0",
    ];
    for direction in [Direction::Inbound, Direction::Outbound] {
        for bytes in texts {
            let mut line = Line::new(&policy, direction, of_tenant(Some("acme")));
            for kind in [Kind::Text, Kind::Binary] {
                let verdict = line.say(kind, bytes);
                assert_ne!(verdict.action, Action::Pass, "{direction:?} {kind:?} {}", bytes.escape_ascii());
            }
        }
    }
}

/// Whether a JSON value keeps to a caller's tenants, read as slowly and plainly as can be.
fn model_keeps(value: &serde_json::Value, own: &[&str]) -> bool {
    value.is_object()
        && ["/tenant", "/data/org"].iter().all(|pointer| match value.pointer(pointer) {
            None | Some(serde_json::Value::Null) => true,
            Some(serde_json::Value::String(name)) => own.contains(&name.as_str()),
            Some(serde_json::Value::Number(number)) => {
                let text = number.to_string();
                text.len() <= 15 && text.chars().all(|c| c.is_ascii_digit()) && own.contains(&text.as_str())
            }
            Some(_) => false,
        })
}

/// A string as JSON, some of its characters written as escapes.
fn written(text: &str, escaped: &[bool]) -> String {
    let marks = escaped.iter().copied().chain(std::iter::repeat(false));
    let one = |(c, escape): (char, bool)| if escape { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    format!("\"{}\"", text.chars().zip(marks).map(one).collect::<String>())
}

fn escapes() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 0..8)
}

/// JSON text with tenants in places that count and in places that do not.
fn json_text() -> impl Strategy<Value = String> {
    let name = (prop::sample::select(vec!["acme", "other", "7", "", "ACME", "acme*"]), escapes())
        .prop_map(|(text, escaped)| written(text, &escaped));
    let bare = prop::sample::select(vec!["7", "8", "7.0", "7e0", "-7", "null", "true", "[]", "{}", "[\"acme\"]"]);
    let leaf = prop_oneof![3 => name, 2 => bare.prop_map(str::to_owned)];
    let key = || {
        (prop::sample::select(vec!["tenant", "data", "org", "x", "Tenant"]), escapes())
            .prop_map(|(text, escaped)| (text, written(text, &escaped)))
    };
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let members = prop::collection::vec((key(), inner.clone()), 0..4).prop_map(|members| {
            let mut seen = std::collections::BTreeSet::new();
            let kept = members.into_iter().filter(|((plain, _), _)| seen.insert(*plain));
            format!("{{{}}}", kept.map(|((_, key), value)| format!("{key}:{value}")).collect::<Vec<_>>().join(","))
        });
        prop_oneof![
            4 => members,
            1 => prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn no_message_crosses_to_another_tenant_in_either_direction(
        text in json_text(),
        first in prop::sample::select(vec![None, Some("acme"), Some("7"), Some("other")]),
        further in prop::sample::subsequence(vec!["acme", "7", "8"], 0..=2),
        outbound in any::<bool>(),
        binary in any::<bool>(),
        on_refuse in prop::sample::select(vec!["observe", "drop", "reply", "close"]),
    ) {
        let policy = policy(&TENANTS.replace("ON_REFUSE", on_refuse));
        let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
        let tenants = further.iter().map(|tenant| Box::from(*tenant)).collect();
        let mut line = Line::new(&policy, direction, Principal { tenants, ..of_tenant(first) });
        let own: Vec<&str> = further.into_iter().chain(first).collect();
        let verdict = line.say(if binary { Kind::Binary } else { Kind::Text }, text.as_bytes());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(verdict.action == Action::Pass, model_keeps(&value, &own), "{} {:?}: {:?}", text, own, verdict);
        if verdict.findings.iter().any(|finding| finding.reason == Reason::TenantCrossing) {
            prop_assert_eq!(verdict.action, crossing(direction), "{}", text);
        }
    }

    #[test]
    fn bytes_that_are_no_json_object_never_pass_where_tenants_are_told_apart(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            json_text().prop_map(|text| format!("{text},").into_bytes()),
            json_text().prop_map(|text| format!("{text}{text}").into_bytes()),
        ],
        outbound in any::<bool>(),
    ) {
        let policy = policy(&TENANTS.replace("ON_REFUSE", "observe"));
        let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
        let mut line = Line::new(&policy, direction, of_tenant(Some("acme")));
        let kind = if std::str::from_utf8(&bytes).is_ok() { Kind::Text } else { Kind::Binary };
        if serde_json::from_slice::<serde_json::Value>(&bytes).is_err() {
            prop_assert!(line.say(kind, &bytes).action != Action::Pass);
        }
    }
}
