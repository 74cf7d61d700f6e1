//! Callbacks (SPEC 8.11): which messages concern them, what they are told, what their answers mean.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::callback::{Ask, Asker, Heard, answered};
use portcullis_core::inspection::{
    Action, Context, Direction, Finding, Kind, Memory, Message, Plan, Verdict, Workspace, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::checked::OnRefuse;
use portcullis_core::policy::{Nowhere, Overrides, Source, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use serde_json::{Value, json};

const ALL: &str = "callbacks: [{ url: 'http://127.0.0.1:1/' }]";
const TYPED: &str =
    "callbacks: [{ name: pay, url: 'http://127.0.0.1:1/', types: [pay.*] }, { name: all, url: 'http://127.0.0.1:2/' }]";

struct House {
    plan: Plan,
    ledger: Ledger,
    memory: Memory,
}

impl House {
    fn of(inbound: &str) -> Self {
        Self::facing(Direction::Inbound, inbound)
    }

    fn facing(direction: Direction, policy: &str) -> Self {
        let text = format!(
            "environment: development\nupstream: ws://127.0.0.1:1\nmessages: {{ {}: {{ limits: [], {policy} }} }}\n",
            direction.label()
        );
        let loaded = load(Some(Source { name: "p.yaml", text: &text }), &Overrides::default(), &Nowhere).unwrap();
        let route = &loaded.checked.routes[0];
        let messages = if direction == Direction::Inbound { &route.inbound } else { &route.outbound };
        let plan = Plan::compile(messages, &route.errors, direction, true).unwrap();
        Self { plan, ledger: Ledger::new(64, [1, 2]), memory: Memory::new() }
    }

    fn with<T>(&mut self, run: impl FnOnce(&Plan, &mut Memory, &Context<'_>) -> T) -> T {
        let (principal, ip) = (ann(), IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64));
        let now = Now { mono: Duration::from_secs(9), wall: Duration::from_secs(1_700_000_000) };
        let cx = Context { now, principal: &principal, ip: &ip, ledger: &self.ledger };
        run(&self.plan, &mut self.memory, &cx)
    }

    fn judge(&mut self, kind: Kind, bytes: &[u8]) -> Verdict {
        self.with(|plan, memory, cx| inspect(plan, memory, cx, &mut Workspace::new(3), &Message { kind, bytes }))
    }

    /// What the first callback's answer has against a message, or did to it.
    fn conclude(&mut self, ask: &mut Ask, heard: Heard) -> Option<Finding> {
        let callback = ask.callbacks[0].clone();
        self.with(|plan, _, cx| ask.conclude(plan, cx, &mut Workspace::new(3), &callback, heard))
    }

    fn answered(&mut self, ask: &mut Ask, finding: Option<Finding>) -> Verdict {
        self.with(|plan, memory, cx| answered(plan, memory, cx, ask, finding.into_iter().collect()))
    }

    fn text(&mut self, text: &str) -> Verdict {
        self.judge(Kind::Text, text.as_bytes())
    }
}

fn ann() -> Principal {
    Principal {
        subject: Some("ann".into()),
        tenant: Some("acme".into()),
        permissions: Box::new(["room.speak:hall".into()]),
        ..Principal::anonymous()
    }
}

fn names(verdict: &Verdict) -> Vec<&str> {
    verdict.ask.iter().flat_map(|ask| &ask.callbacks).map(|callback| callback.name.as_str()).collect()
}

fn told(ask: &Ask) -> Value {
    let principal = ann();
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let asker =
        Asker { route: "main", direction: Direction::Inbound, client, connection_id: "c-1", principal: &principal };
    serde_json::from_slice(&ask.question(&asker)).unwrap()
}

#[test]
fn a_callback_is_asked_about_its_types_and_about_messages_whose_type_cannot_be_told() {
    let mut house = House::of(TYPED);
    for (message, asked) in [
        (r#"{"type":"pay.out"}"#, &["pay", "all"][..]),
        (r#"{"type":"say"}"#, &["all"]),
        (r#"{"type":"p\u0061y.out"}"#, &["pay", "all"]),
        (r#"{"type":{"pay":1}}"#, &["pay", "all"]),
        (r#"{"no":"type"}"#, &["pay", "all"]),
        ("hello", &["pay", "all"]),
    ] {
        let verdict = house.text(message);
        assert_eq!((names(&verdict), verdict.action), (asked.to_vec(), Action::Pass), "{message}");
    }
    let mut only = House::of("callbacks: [{ url: 'http://127.0.0.1:1/', types: [pay] }]");
    assert_eq!(only.text(r#"{"type":"say"}"#).ask, None, "no callback concerns it");
}

#[test]
fn it_is_told_who_says_what_and_gets_what_would_go_on() {
    let verdict = House::of(TYPED).text(r#"{"type":"pay.out","amount":1e2}"#);
    let told = told(verdict.ask.as_ref().unwrap());
    assert_eq!(
        (&told["route"], &told["direction"], &told["type"]),
        (&json!("main"), &json!("inbound"), &json!("pay.out"))
    );
    assert_eq!((&told["principal"]["subject"], &told["connection_id"]), (&json!("ann"), &json!("c-1")));
    assert_eq!((&told["message"]["amount"], &told["client_ip"]), (&json!(1e2), &json!("127.0.0.1")));

    let verdict = House::of(&format!("{ALL}, mask: [/secret]")).text(r#"{"secret":"s3cret"}"#);
    assert_eq!(verdict.action, Action::Rewrite);
    assert_eq!(self::told(verdict.ask.as_ref().unwrap())["message"]["secret"], "***");
}

#[test]
fn text_and_bytes_stand_as_such() {
    let mut house = House::of(ALL);
    assert_eq!(told(house.text("say \"hi\"\n").ask.as_ref().unwrap())["text"], "say \"hi\"\n");
    assert_eq!(told(house.judge(Kind::Binary, &[0, 0xff]).ask.as_ref().unwrap())["base64"], "AP8=");
    let mut packed = House::of(&format!("{ALL}, binaries: {{ read_as: msgpack }}"));
    let packed = packed.judge(Kind::Binary, b"\x81\xa4type\xa3pay");
    assert_eq!(told(packed.ask.as_ref().unwrap())["message"], json!({"type": "pay"}));
}

#[test]
fn what_another_check_refuses_is_asked_about_by_nobody() {
    let verdict = House::of(&format!("{ALL}, threats: {{ mode: block }}")).text(r#"{"a":"' OR '1'='1' -- "}"#);
    assert_eq!((verdict.action, verdict.ask), (Action::Reply, None));
}

#[test]
fn answers_mean_what_they_say_and_nonsense_refuses() {
    for (policy, outcome, silent) in [
        ("on_failure: deny", OnRefuse::Reply, OnRefuse::Reply),
        ("on_failure: allow", OnRefuse::Reply, OnRefuse::Observe),
        ("on_refuse: close", OnRefuse::Close, OnRefuse::Close),
    ] {
        let mut house = House::of(&format!("callbacks: [{{ name: x, url: 'http://127.0.0.1:1/', {policy} }}]"));
        let mut ask = house.text(r#"{"type":"say"}"#).ask.unwrap();
        let mut concluded = |heard| house.conclude(&mut ask, heard);
        let body = |text: &str| Heard::Body(text.as_bytes().to_vec());
        assert_eq!(concluded(body(r#"{"allow":true}"#)), None);
        let refused = concluded(body(r#"{"allow":false,"reason":"too\nmuch"}"#)).unwrap();
        assert_eq!((refused.reason, refused.outcome), (Reason::CallbackRefused, outcome));
        assert_eq!((refused.detail.as_str(), refused.rule.as_deref()), ("it says no: toomuch", Some("x")));
        assert_eq!(refused.message_type.as_deref(), Some("say"));
        assert_eq!(concluded(Heard::Forbidden(403)).unwrap().reason, Reason::CallbackRefused);
        for nonsense in
            ["", "{}", "<html>", r#"{"allow":"true"}"#, r#"{"allow":1}"#, "[true]", r#"{"allow":false,"allow":true}"#]
        {
            let finding = concluded(body(nonsense)).unwrap();
            assert_eq!((finding.reason, finding.outcome), (Reason::CallbackUnavailable, outcome), "{nonsense}");
        }
        let finding = concluded(Heard::Failed("gone".into())).unwrap();
        assert_eq!((finding.reason, finding.outcome), (Reason::CallbackUnavailable, silent));
    }
}

#[test]
fn a_refusal_counts_against_its_sender_and_silence_does_not() {
    let mut house = House::of(&format!("{ALL}, offenders: {{ after: 2/1m, waits: [5s] }}"));
    let ask = house.text(r#"{"type":"say"}"#).ask.unwrap();
    let mut hear = |heard: Heard| {
        let mut ask = ask.clone();
        let finding = house.conclude(&mut ask, heard);
        house.answered(&mut ask, finding)
    };
    let slowed = |verdict: &Verdict| verdict.findings.iter().any(|finding| finding.reason == Reason::OffenderSlowed);
    for _ in 0..5 {
        let verdict = hear(Heard::Failed("gone".into()));
        assert!(verdict.action == Action::Reply && !slowed(&verdict));
    }
    let refusals: Vec<bool> = (0..3).map(|_| slowed(&hear(Heard::Forbidden(403)))).collect();
    assert_eq!(refusals, [false, false, true]);
    assert_eq!(hear(Heard::Body(br#"{"allow":true}"#.to_vec())).action, Action::Pass);
}

const REWRITING: &str = "bytes_max: 80, callbacks: [{ name: clean, url: 'http://127.0.0.1:1/', may_rewrite: on }]";

/// What an answer made of a message, and the question that the next callback would be asked.
fn rewritten(policy: &str, kind: Kind, bytes: &[u8], answer: &str) -> (Verdict, Value) {
    facing(Direction::Inbound, policy, kind, bytes, answer)
}

fn facing(direction: Direction, policy: &str, kind: Kind, bytes: &[u8], answer: &str) -> (Verdict, Value) {
    let mut house = House::facing(direction, policy);
    let mut ask = house.judge(kind, bytes).ask.unwrap();
    let finding = house.conclude(&mut ask, Heard::Body(answer.as_bytes().to_vec()));
    let next = told(&ask);
    (house.answered(&mut ask, finding), next)
}

#[test]
fn an_answer_may_carry_another_message_where_the_policy_says_so() {
    let says = r#"{"type":"say","n":1}"#;
    let answer = r#"{"allow":true,"reason":"a name","message":{"type": "say", "n":12345678901234567890.10}}"#;
    let (verdict, next) = rewritten(REWRITING, Kind::Text, says.as_bytes(), answer);
    assert_eq!(verdict.action, Action::Rewrite);
    assert_eq!(
        verdict.rewritten.as_deref(),
        Some(br#"{"type": "say", "n":12345678901234567890.10}"#.as_slice()),
        "every digit stands as it was written"
    );
    let finding = &verdict.findings[0];
    assert_eq!((finding.reason, finding.outcome), (Reason::CallbackReplaced, OnRefuse::Replace));
    assert_eq!(
        (finding.rule.as_deref(), finding.detail.as_str()),
        (Some("clean"), "it wrote another message, 44 bytes: a name")
    );
    assert_eq!(next["message"]["type"], "say", "the next one is asked about what goes on");

    let (verdict, next) = rewritten(REWRITING, Kind::Text, b"damn", r#"{"allow":true,"text":"d\u002a\"n"}"#);
    assert_eq!((verdict.rewritten.as_deref(), &next["text"]), (Some(b"d*\"n".as_slice()), &json!("d*\"n")));

    let (verdict, _) =
        rewritten(REWRITING, Kind::Text, says.as_bytes(), r#"{"allow":true,"message":null,"text":null}"#);
    assert_eq!((verdict.action, verdict.findings.len()), (Action::Pass, 0), "nothing is no message");
}

#[test]
fn a_message_that_may_not_stand_in_the_others_place_refuses() {
    let says = br#"{"type":"say","n":1}"#.as_slice();
    let of_json = |member: &str| format!(r#"{{"allow":true,{member}}}"#);
    let large = format!(r#""message":{{"type":"say","n":"{}"}}"#, "n".repeat(80));
    for (policy, kind, bytes, member, why) in [
        (ALL, Kind::Text, says, r#""message":{"type":"say"}"#, "`may_rewrite` is off"),
        (REWRITING, Kind::Text, says, r#""message":{"type":"pay"}"#, "another type"),
        (REWRITING, Kind::Text, says, r#""message":{}"#, "another type"),
        (REWRITING, Kind::Text, says, r#""message":[{"type":"say"}]"#, "another type"),
        (REWRITING, Kind::Text, says, large.as_str(), "larger than `bytes_max`"),
        (REWRITING, Kind::Text, says, r#""text":"say""#, "JSON stands under `message`"),
        (REWRITING, Kind::Text, b"hello", r#""message":{"type":"say"}"#, "stands under `text`"),
        (REWRITING, Kind::Text, b"hello", r#""text":" {\"type\":\"pay\"}""#, "reads as JSON"),
        (REWRITING, Kind::Text, says, r#""message":{"type":"say"},"text":"x""#, "cannot be understood"),
        (REWRITING, Kind::Text, says, r#""message":{"type":"say","type":"pay"}"#, "cannot be understood"),
        (REWRITING, Kind::Text, says, r#""message":{"type":"say"},"message":{"type":"say"}"#, "cannot be understood"),
        (REWRITING, Kind::Binary, &[0, 255], r#""text":"x""#, "it came as bytes"),
    ] {
        let (verdict, _) = rewritten(policy, kind, bytes, &of_json(member));
        assert_eq!((verdict.action, verdict.rewritten), (Action::Reply, None), "{member}");
        let finding = &verdict.findings[0];
        assert!(
            finding.reason == Reason::CallbackUnavailable && finding.detail.contains(why),
            "{member}: {}",
            finding.detail
        );
    }
    let deep = format!(r#"{{"allow":true,"message":{{"type":"say","n":{}{}}}}}"#, "[".repeat(9), "]".repeat(9));
    let (verdict, _) = rewritten(&format!("json: {{ depth_max: 8 }}, {REWRITING}"), Kind::Text, says, &deep);
    assert_eq!(verdict.action, Action::Reply, "it is held to the bounds of `json`");
}

const TIDY: &str = "callbacks: [{ name: clean, url: 'http://127.0.0.1:1/', may_rewrite: on, on_refuse: drop }]";

/// A direction and its checks, a message that passes them, and what is found in the one written in its place.
const FAULTY: &[(Direction, &str, &str, &str, &str)] = &[
    (
        Direction::Inbound,
        "threats: { mode: block }",
        r#"{"a":"x"}"#,
        r#"{"a":"' OR '1'='1' -- "}"#,
        "threat_sqli at `/a`",
    ),
    (Direction::Inbound, "envelope: { required: [/id] }", r#"{"id":1}"#, r#"{"id":null}"#, "envelope_missing at `/id`"),
    (
        Direction::Inbound,
        "schemas: { say: { inline: { properties: { id: { maxLength: 2 } } } } }",
        r#"{"type":"say","id":"1"}"#,
        r#"{"type":"say","id":"one"}"#,
        "schema_violation at `/id`",
    ),
    (
        Direction::Inbound,
        "permissions: { say: 'room.speak:{/room}' }",
        r#"{"type":"say","room":"hall"}"#,
        r#"{"type":"say","room":"vault"}"#,
        "permission_denied",
    ),
    (
        Direction::Inbound,
        "envelope: { tenant: [/tenant] }",
        r#"{"tenant":"acme"}"#,
        r#"{"tenant":"evil"}"#,
        "tenant_crossing at `/tenant`",
    ),
    (
        Direction::Inbound,
        "subscriptions: { begin: { join: /room } }",
        r#"{"type":"join","room":"hall"}"#,
        r#"{"type":"join"}"#,
        "subscription_unclear at `/room`",
    ),
    (
        Direction::Outbound,
        "json: { mode: required }, leaks: { mode: block }",
        r#"{"a":"x"}"#,
        r#"{"a":"4111 1111 1111 1111"}"#,
        "leak_card at `/a`",
    ),
];

#[test]
fn what_a_callback_writes_is_judged_as_what_comes_and_the_fault_is_its_own() {
    for (direction, checks, came, written, found) in FAULTY {
        let answer = format!(r#"{{"allow":true,"message":{written}}}"#);
        let (verdict, _) = facing(*direction, &format!("{checks}, {TIDY}"), Kind::Text, came.as_bytes(), &answer);
        assert_eq!((verdict.action, verdict.rewritten), (Action::Drop, None), "{checks}");
        let [finding] = verdict.findings.as_slice() else { panic!("{checks}: {:?}", verdict.findings) };
        assert_eq!((finding.reason, finding.rule.as_deref()), (Reason::CallbackUnavailable, Some("clean")), "{checks}");
        assert!(finding.detail.contains(found) && !finding.detail.contains("1111"), "{checks}: {}", finding.detail);
        let answer = format!(r#"{{"allow":true,"message":{came} }}"#);
        let (verdict, _) = facing(*direction, &format!("{checks}, {TIDY}"), Kind::Text, came.as_bytes(), &answer);
        assert_eq!(
            (verdict.action, verdict.rewritten.as_deref()),
            (Action::Rewrite, Some(came.as_bytes())),
            "{checks}"
        );
    }
}

#[test]
fn what_is_only_observed_in_it_is_named_and_what_is_masked_goes_on_masked() {
    let policy = format!("threats: {{ mode: observe }}, mask: [/pin], {TIDY}");
    let answer = r#"{"allow":true,"reason":"why","message":{"a":"' OR '1'='1' -- ","pin":"1234"}}"#;
    let (verdict, next) = rewritten(&policy, Kind::Text, br#"{"a":"x"}"#, answer);
    assert_eq!(verdict.rewritten.as_deref(), Some(br#"{"a":"' OR '1'='1' -- ","pin":"***"}"#.as_slice()));
    assert_eq!(next["message"]["pin"], "***", "the next one is told what goes on");
    let [finding] = verdict.findings.as_slice() else { panic!("{:?}", verdict.findings) };
    assert_eq!(finding.reason, Reason::CallbackReplaced);
    let (detail, has) = (&finding.detail, |part: &str| finding.detail.contains(part));
    assert!(has(": why; threat_sqli at `/a`: ") && !has("1234") && !has("OR '1'"), "{detail}");
}

#[test]
fn text_that_a_callback_writes_is_judged_too() {
    let policy = format!("threats: {{ mode: block }}, {TIDY}");
    let answer = r#"{"allow":true,"text":"x; cat /etc/passwd"}"#;
    let (verdict, _) = rewritten(&policy, Kind::Text, b"hello", answer);
    assert_eq!((verdict.action, verdict.findings[0].reason), (Action::Drop, Reason::CallbackUnavailable));
    assert!(verdict.findings[0].detail.contains("is refused: threat_"), "{}", verdict.findings[0].detail);
}

#[test]
fn ids_tokens_and_rates_are_not_counted_twice() {
    let policy = format!("envelope: {{ replay_ids_max: 9 }}, {TIDY}");
    let (verdict, _) = rewritten(&policy, Kind::Text, br#"{"id":"7"}"#, r#"{"allow":true,"message":{"id":"7","b":1}}"#);
    assert_eq!(verdict.action, Action::Rewrite, "{:?}", verdict.findings);
}
