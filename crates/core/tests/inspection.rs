//! The pipeline as the relay sees it: order, outcomes, limits at their edges, memory that stays bounded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::access::MessageAccess;
use portcullis_core::identity::Principal;
use portcullis_core::inspection::{
    Action, Context, Custom, Direction, FIELD_BYTES_MAX, Finding, Kind, Memory, Message, Objection, Plan, PlanError,
    Said, TOPIC_BYTES_MAX, Verdict, WORKSPACE_BYTES_MAX, Workspace, error_reply, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::message::schema::{Dialect, Schema};
use portcullis_core::policy::checked::{
    Envelope, ErrorReplies, Json, JsonMode, LimitKey, MessageLimit, Messages, OnRefuse, Rate, RateAlgorithm, ReplayPer,
    Schemas, Subscriptions, ThreatClass, Threats, TimestampUnit, TopicAt, WithoutSchema,
};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use proptest::prelude::*;

const NOW_S: u64 = 1_700_000_000;

fn rate(count: u32) -> Rate {
    Rate { count, per: Duration::from_secs(10), burst: count, algorithm: RateAlgorithm::TokenBucket }
}

fn limit(per: LimitKey, count: u32, on_excess: OnRefuse) -> MessageLimit {
    MessageLimit::new(format!("{per:?}"), per, rate(count), on_excess)
}

fn bare() -> Messages {
    Messages {
        bytes_max: 4096,
        fragments_max: 16,
        text: true,
        binary: true,
        binaries: None,
        csrf: None,
        subscriptions: None,
        subscribed: Vec::new(),
        seal: None,
        unseal: None,
        callbacks: Vec::new(),
        control_rate: None,
        limits: Vec::new(),
        json: Json { mode: JsonMode::Required, depth_max: 4, keys_max: 16, values_max: 32, string_bytes_max: 2048 },
        envelope: None,
        access: MessageAccess::default(),
        threats: None,
        schemas: None,
        offenders: None,
        leaks: None,
        html: None,
        mask: Vec::new(),
        on_refuse: OnRefuse::Reply,
    }
}

fn full(outcome: OnRefuse) -> Messages {
    Messages {
        limits: vec![limit(LimitKey::Connection, 1000, outcome)],
        envelope: Some(Envelope {
            type_at: "/type".into(),
            id_at: "/id".into(),
            timestamp_at: "/timestamp".into(),
            required: vec!["/id".into(), "/type".into(), "/timestamp".into()],
            types: Some(vec!["chat".into(), "ack".into()]),
            timestamp_tolerance: Some(Duration::from_secs(300)),
            timestamp_unit: TimestampUnit::Seconds,
            replay_ids_max: 8,
            replay_per: ReplayPer::Connection,
        }),
        threats: Some(Threats {
            classes: [ThreatClass::Sqli, ThreatClass::Xss, ThreatClass::Nosql]
                .into_iter()
                .map(|c| (c, outcome))
                .collect(),
            skip_fields: vec!["/code".into()],
            decode_layers_max: 3,
            ..Threats::default()
        }),
        schemas: None,
        offenders: None,
        leaks: None,
        html: None,
        mask: Vec::new(),
        on_refuse: outcome,
        ..bare()
    }
}

struct Peer {
    plan: Plan,
    memory: Memory,
    work: Workspace,
    ledger: Ledger,
    principal: Principal,
    now: Now,
}

impl Peer {
    fn new(messages: &Messages) -> Self {
        let errors = ErrorReplies { detailed: true, template: r#"{"m":"{message}"}"#.into() };
        Self {
            plan: Plan::compile(messages, &errors, Direction::Inbound, true).unwrap(),
            memory: Memory::new(),
            work: Workspace::new(3),
            ledger: Ledger::new(64, [1, 2]),
            principal: Principal::anonymous(),
            now: Now { mono: Duration::from_secs(5), wall: Duration::from_secs(NOW_S) },
        }
    }

    fn send(&mut self, kind: Kind, bytes: &[u8]) -> Verdict {
        let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
        let cx = Context { now: self.now, principal: &self.principal, ip: &ip, ledger: &self.ledger };
        inspect(&self.plan, &mut self.memory, &cx, &mut self.work, &Message { kind, bytes })
    }

    fn text(&mut self, text: &str) -> Verdict {
        self.send(Kind::Text, text.as_bytes())
    }

    /// The reason a text is refused for, or none.
    fn reason(&mut self, text: &str) -> Option<Reason> {
        let verdict = self.text(text);
        assert_eq!(verdict.action == Action::Pass, verdict.findings.is_empty(), "{text}: {verdict:?}");
        verdict.findings.first().map(|finding| finding.reason)
    }
}

fn message(id: &str, kind: &str, timestamp: &str, more: &str) -> String {
    format!(r#"{{"id":{id},"type":{kind},"timestamp":{timestamp}{more}}}"#)
}

fn good(id: u32, more: &str) -> String {
    message(&format!("\"m{id}\""), "\"chat\"", &NOW_S.to_string(), more)
}

#[test]
fn the_list_of_checks_is_in_order_of_cost() {
    let peer = Peer::new(&full(OnRefuse::Reply));
    assert_eq!(peer.plan.checks(), ["kind", "rate", "json", "envelope", "replay", "threat"]);
    let errors = ErrorReplies { detailed: false, template: "{}".into() };
    let off = Plan::compile(&full(OnRefuse::Reply), &errors, Direction::Inbound, false).unwrap();
    assert!(off.is_empty() && off.checks().is_empty());
}

#[test]
fn a_plan_that_cannot_be_is_refused_with_words() {
    let errors = |template: &str| ErrorReplies { detailed: false, template: template.into() };
    let compile = |messages: &Messages, template| Plan::compile(messages, &errors(template), Direction::Inbound, true);
    let mut messages = full(OnRefuse::Reply);
    messages.json.mode = JsonMode::Off;
    assert_eq!(compile(&messages, "{}").unwrap_err(), PlanError::EnvelopeWithoutJson);
    let mut messages = full(OnRefuse::Reply);
    messages.threats.as_mut().unwrap().skip_fields = vec!["no pointer".into()];
    assert!(compile(&messages, "{}").unwrap_err().to_string().contains("`no pointer`"));
    assert!(matches!(compile(&bare(), "{message}"), Err(PlanError::Template(_))));
}

#[test]
fn types_of_messages_that_go_on_are_noted_where_the_plan_says_so() {
    let mut silent = Peer::new(&full(OnRefuse::Reply));
    assert_eq!(silent.reason(&good(1, "")), None);
    assert_eq!(silent.memory.take_types(), 0);
    let mut peer = Peer::new(&full(OnRefuse::Reply));
    peer.plan = peer.plan.noting_types(true);
    let mut sent = |id: u32, kind: &str| {
        let reason = peer.reason(&message(&format!("\"m{id}\""), kind, &NOW_S.to_string(), ""));
        (reason, peer.memory.take_types())
    };
    let (chat, ack) = (sent(1, "\"chat\""), sent(2, "\"ack\""));
    assert_eq!((chat.0, ack.0), (None, None));
    assert_eq!((chat.1.count_ones(), ack.1.count_ones()), (1, 1));
    assert_ne!(chat.1, ack.1);
    assert_eq!(sent(3, "\"chat\""), chat, "the same each time");
    assert_eq!(sent(4, "\"other\""), (Some(Reason::TypeRefused), 0), "what is refused is another check's matter");
}

#[test]
fn memory_is_small_until_something_is_remembered() {
    assert!(size_of::<Memory>() <= 64);
}

#[test]
fn kinds_and_sizes_hold_at_their_edges() {
    let mut peer = Peer::new(&Messages { text: false, bytes_max: 8, ..bare() });
    assert_eq!(peer.reason("[]"), Some(Reason::KindRefused));
    assert_eq!(peer.send(Kind::Binary, &[0; 8]).action, Action::Pass);
    assert_eq!(peer.send(Kind::Binary, &[0; 9]).findings[0].reason, Reason::MessageTooLarge);
    assert_eq!(peer.send(Kind::Event, b"[]").findings[0].reason, Reason::KindRefused);
    let mut peer = Peer::new(&Messages { binary: false, ..bare() });
    assert_eq!(peer.send(Kind::Binary, &[0]).findings[0].reason, Reason::KindRefused);
}

#[test]
fn json_faults_have_their_reasons() {
    let mut peer = Peer::new(&bare());
    for (text, reason) in [
        ("{\"a\":1}", None),
        ("plain", Some(Reason::JsonMalformed)),
        ("{\"a\":1,\"a\":2}", Some(Reason::JsonDuplicateKey)),
        ("[[[[[]]]]]", Some(Reason::JsonTooDeep)),
        (&format!("[{}1]", "1,".repeat(31)), Some(Reason::JsonTooMany)),
        (&format!("[\"{}\"]", "x".repeat(2049)), Some(Reason::FieldTooLarge)),
    ] {
        assert_eq!(peer.reason(text), reason, "{text}");
    }
    let mut detect = bare();
    detect.json.mode = JsonMode::Detect;
    let mut peer = Peer::new(&detect);
    assert_eq!(peer.reason("plain text"), None);
    assert_eq!(peer.reason("{plain"), Some(Reason::JsonMalformed));
    detect.json.mode = JsonMode::Off;
    assert_eq!(Peer::new(&detect).reason("{plain"), None);
}

#[test]
fn the_envelope_holds() {
    let now = NOW_S.to_string();
    for (text, reason) in [
        (good(1, ""), None),
        (message("\"a\"", "\"nope\"", &now, ""), Some(Reason::TypeRefused)),
        (message("\"a\"", "\"\\u0063hat\"", &now, ""), None),
        (message("\"a\"", "7", &now, ""), Some(Reason::EnvelopeMissing)),
        (message("null", "\"chat\"", &now, ""), Some(Reason::EnvelopeMissing)),
        (message("{}", "\"chat\"", &now, ""), Some(Reason::EnvelopeMissing)),
        (message("1.0", "\"chat\"", &now, ""), Some(Reason::EnvelopeMissing)),
        (message("\"a\"", "\"chat\"", &format!("\"{now}\""), ""), Some(Reason::EnvelopeMissing)),
        (message("\"a\"", "\"chat\"", &(NOW_S + 300).to_string(), ""), None),
        (message("\"a\"", "\"chat\"", &(NOW_S - 300).to_string(), ""), None),
        (message("\"a\"", "\"chat\"", &(NOW_S + 301).to_string(), ""), Some(Reason::TimestampSkew)),
        (message("\"a\"", "\"chat\"", &(NOW_S - 301).to_string(), ""), Some(Reason::TimestampSkew)),
        (message("\"a\"", "\"chat\"", "1e999", ""), Some(Reason::TimestampSkew)),
        (message(&format!("\"{}\"", "i".repeat(256)), "\"chat\"", &now, ""), None),
        (message(&format!("\"{}\"", "i".repeat(257)), "\"chat\"", &now, ""), Some(Reason::FieldTooLarge)),
        ("[1]".into(), Some(Reason::EnvelopeMissing)),
    ] {
        assert_eq!(Peer::new(&full(OnRefuse::Reply)).reason(&text), reason, "{text}");
    }
    let mut millis = full(OnRefuse::Reply);
    millis.envelope.as_mut().unwrap().timestamp_unit = TimestampUnit::Milliseconds;
    assert_eq!(Peer::new(&millis).reason(&good(1, "")), Some(Reason::TimestampSkew));
    assert_eq!(Peer::new(&millis).reason(&message("1", "\"chat\"", &format!("{now}123"), "")), None);
}

#[test]
fn text_that_is_no_json_has_no_envelope() {
    let mut messages = full(OnRefuse::Reply);
    messages.json.mode = JsonMode::Detect;
    assert_eq!(Peer::new(&messages).reason("hello"), Some(Reason::EnvelopeMissing));
}

#[test]
fn binary_that_is_json_is_held_to_the_same_rules() {
    let mut peer = Peer::new(&full(OnRefuse::Reply));
    let verdict = peer.send(Kind::Binary, message("1", "\"nope\"", &NOW_S.to_string(), "").as_bytes());
    assert_eq!(verdict.findings[0].reason, Reason::TypeRefused);
    assert_eq!(peer.send(Kind::Binary, b"\x00\x01 data").action, Action::Pass);
    assert_eq!(peer.send(Kind::Binary, b"{ a piece of a file").action, Action::Pass);
    assert_eq!(peer.send(Kind::Binary, b"x' or 1=1 --").findings[0].reason, Reason::ThreatSqli);
}

#[test]
fn an_id_passes_once() {
    let mut peer = Peer::new(&full(OnRefuse::Reply));
    assert_eq!(peer.reason(&good(1, "")), None);
    assert_eq!(peer.reason(&good(1, "")), Some(Reason::Replayed));
    let now = NOW_S.to_string();
    assert_eq!(
        peer.reason(&message("\"\\u006d1\"", "\"chat\"", &now, "")),
        Some(Reason::Replayed),
        "however it is spelled"
    );
    assert_eq!(peer.reason(&message("7", "\"chat\"", &now, "")), None);
    assert_eq!(peer.reason(&message("\"7\"", "\"chat\"", &now, "")), Some(Reason::Replayed), "of either type");
    for id in 10..18 {
        assert_eq!(peer.reason(&good(id, "")), None);
    }
    assert_eq!(peer.reason(&good(1, "")), None, "eight others came since");
}

#[test]
fn the_strictest_limit_answers_and_all_of_them_count() {
    let mut messages = bare();
    messages.limits = vec![
        limit(LimitKey::Connection, 3, OnRefuse::Reply),
        limit(LimitKey::User, 5, OnRefuse::Close),
        limit(LimitKey::Ip, 2, OnRefuse::Observe),
    ];
    let mut peer = Peer::new(&messages);
    let actions: Vec<Action> = (0..7).map(|_| peer.text("1").action).collect();
    use Action::{Close, Pass, Reply};
    assert_eq!(actions, [Pass, Pass, Pass, Reply, Reply, Close, Close]);
    let finding = &peer.text("1").findings[0];
    assert_eq!((finding.reason, finding.check), (Reason::MessageRate, "rate"));
    let wait = finding.retry_after.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(10));
    peer.now = peer.now.plus(wait);
    assert_ne!(peer.text("1").action, Close, "the wait was long enough");
}

#[test]
fn an_observed_excess_passes_with_a_finding() {
    let mut messages = bare();
    messages.limits = vec![limit(LimitKey::Connection, 1, OnRefuse::Observe)];
    let mut peer = Peer::new(&messages);
    assert!(peer.text("1").findings.is_empty());
    let verdict = peer.text("1");
    assert_eq!((verdict.action, verdict.findings.len()), (Action::Pass, 1));
}

#[test]
fn control_frames_are_limited_in_a_plan_without_checks_too() {
    let messages = Messages { control_rate: Some(rate(2)), ..bare() };
    let errors = ErrorReplies { detailed: false, template: "{}".into() };
    let plan = Plan::compile(&messages, &errors, Direction::Inbound, false).unwrap();
    let (mut memory, now) = (Memory::new(), Now { mono: Duration::from_secs(1), wall: Duration::ZERO });
    assert!(memory.control_frame(&plan, now).is_none() && memory.control_frame(&plan, now).is_none());
    let finding = memory.control_frame(&plan, now).unwrap();
    assert_eq!((finding.reason, finding.outcome), (Reason::ControlFlood, OnRefuse::Close));
}

#[test]
fn a_finding_says_where_and_what() {
    let mut peer = Peer::new(&full(OnRefuse::Close));
    let verdict = peer.text(&good(1, r#","body":{"list":["ok","\u0027 or 1=1 --"]}"#));
    assert_eq!(verdict.action, Action::Close);
    let Finding { reason, check, field, detail, message_type, .. } = &verdict.findings[0];
    assert_eq!((*reason, *check), (Reason::ThreatSqli, "threat"));
    assert_eq!(field.as_deref(), Some("/body/list/1"));
    assert_eq!(message_type.as_deref(), Some("chat"));
    assert!(!detail.contains("1=1"), "no payload: {detail}");
}

#[test]
fn keys_are_judged_and_skipped_fields_are_not() {
    let mut peer = Peer::new(&full(OnRefuse::Reply));
    assert_eq!(peer.reason(&good(1, r#","' or 1=1 --":0"#)), Some(Reason::ThreatSqli));
    assert_eq!(peer.reason(&good(2, r#","pin":{"$ne":0}"#)), Some(Reason::ThreatNosql));
    assert_eq!(peer.reason(&good(3, r#","code":"' or 1=1 --""#)), None);
    assert_eq!(peer.reason(&good(4, r#","code":{"x":"' or 1=1 --"}"#)), Some(Reason::ThreatSqli), "that field only");
}

#[test]
fn observing_finds_each_class_once_and_lets_it_pass() {
    let mut peer = Peer::new(&full(OnRefuse::Observe));
    let more = r#","a":"' or 1=1 --","b":"' or 2=2 --","c":"<script>x()</script>' or 1=1 --""#;
    let verdict = peer.text(&message("\"q\"", "\"nope\"", "1", more));
    assert_eq!(verdict.action, Action::Pass);
    let reasons: Vec<Reason> = verdict.findings.iter().map(|finding| finding.reason).collect();
    assert_eq!(reasons, [Reason::TypeRefused, Reason::TimestampSkew, Reason::ThreatSqli, Reason::ThreatXss]);
}

#[test]
fn the_workspace_gives_back_what_a_large_message_took() {
    let mut messages = full(OnRefuse::Observe);
    messages.bytes_max = 1 << 24;
    messages.json = Json { keys_max: 1 << 20, values_max: 1 << 20, string_bytes_max: 1 << 24, ..messages.json };
    let mut peer = Peer::new(&messages);
    let members: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":\"<a \\u0041 {n}\"")).collect();
    let _ = peer.text(&format!("{{{}}}", members.join(",")));
    assert!(peer.work.capacity_bytes() <= WORKSPACE_BYTES_MAX, "{}", peer.work.capacity_bytes());
    let _ = peer.text(&format!("[\"{}\"]", "%41<a b=' ".repeat(400_000)));
    assert!(peer.work.capacity_bytes() <= WORKSPACE_BYTES_MAX, "{}", peer.work.capacity_bytes());
}

fn bounded(verdict: &Verdict) {
    for finding in &verdict.findings {
        assert!(finding.detail.len() <= 512);
        assert!(finding.field.as_ref().is_none_or(|field| field.len() <= FIELD_BYTES_MAX));
        assert!(finding.message_type.as_ref().is_none_or(|name| name.len() <= 64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_text_is_judged_without_panic_and_always_the_same(parts in prop::collection::vec(
        prop_oneof![
            "[ -~]{0,12}",
            "\\PC{0,6}",
            prop::sample::select(vec!["'", "\"", "<", ">", "${", "}", "{{", "(", ")", "%2", "%c0%", "&#", "&lt", "\\u00", "\\x", "0x2e", "union ",
                "select ", " or ", "1=1", "--", "/*", "*/", ";", "|", "`", "$(", "../", "<!entity ", "<a b=", "on", "=", "jndi:", "alert(", "$ne", "sleep(",
                "\u{a0}", "\u{ff1c}", "\0", "\n", "[[", "@@", "javascript:", "<!doctype ", "){", "))", "(((", "#", "#set("]).prop_map(String::from),
        ], 0..14), kind in 0..3)
    {
        let text = parts.concat();
        let quoted = serde_json::to_string(&text).unwrap();
        let (kind, bytes) = match kind {
            0 => (Kind::Text, good(1, &format!(",\"x\":{quoted},{quoted}:1"))),
            1 => (Kind::Text, text),
            _ => (Kind::Binary, text),
        };
        let judge = || Peer::new(&full(OnRefuse::Observe)).send(kind, bytes.as_bytes());
        let verdict = judge();
        bounded(&verdict);
        prop_assert_eq!(&verdict, &judge());
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        bounded(&Peer::new(&full(OnRefuse::Observe)).send(Kind::Binary, &bytes));
    }
}

fn with_schemas(without: WithoutSchema) -> Messages {
    let chat = serde_json::json!({
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string", "maxLength": 5}, "n": {"type": "number"}},
    });
    let schema = Arc::new(Schema::compile(&chat, Dialect::Written).unwrap());
    let by_type = [("chat".to_owned(), schema)].into();
    Messages { schemas: Some(Schemas { type_at: "/type".into(), by_type, without }), ..bare() }
}

#[test]
fn a_message_is_held_to_the_schema_of_its_type() {
    for (text, refuse, pass) in [
        (r#"{"type":"chat","text":"hello"}"#, None, None),
        (r#"{"type":"ch\u0061t","text":"hello"}"#, None, None),
        (r#"{"type":"chat","text":"hello!"}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"ch\u0061t","text":7}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"chat"}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"chat","text":"a","n":1e999}"#, Some(Reason::SchemaViolation), Some(Reason::SchemaViolation)),
        (r#"{"type":"ping"}"#, Some(Reason::TypeRefused), None),
        (r#"{"text":"hello"}"#, Some(Reason::EnvelopeMissing), None),
        (r#"{"type":5,"text":"hello"}"#, Some(Reason::EnvelopeMissing), None),
        (r#"["chat"]"#, Some(Reason::EnvelopeMissing), None),
    ] {
        assert_eq!(Peer::new(&with_schemas(WithoutSchema::Refuse)).reason(text), refuse, "{text}");
        assert_eq!(Peer::new(&with_schemas(WithoutSchema::Pass)).reason(text), pass, "{text}");
    }
}

#[test]
fn what_is_not_json_has_no_type() {
    let mut messages = with_schemas(WithoutSchema::Refuse);
    messages.json.mode = JsonMode::Detect;
    assert_eq!(Peer::new(&messages).reason("hello"), Some(Reason::EnvelopeMissing));
    assert_eq!(Peer::new(&messages).send(Kind::Binary, b"\x00\x01").action, Action::Pass);
    let json = br#"{"type":"chat","text":"hello!"}"#;
    assert_eq!(Peer::new(&messages).send(Kind::Binary, json).findings[0].reason, Reason::SchemaViolation);
    messages.schemas.as_mut().unwrap().without = WithoutSchema::Pass;
    assert_eq!(Peer::new(&messages).reason("hello"), None);
    messages.json.mode = JsonMode::Off;
    let errors = ErrorReplies { detailed: false, template: "{}".into() };
    let plan = Plan::compile(&messages, &errors, Direction::Inbound, true);
    assert_eq!(plan.unwrap_err(), PlanError::SchemasWithoutJson);
}

#[test]
fn a_broken_schema_is_told_with_path_and_rule_and_only_where_errors_are_detailed() {
    let verdict = Peer::new(&with_schemas(WithoutSchema::Refuse)).text(r#"{"type":"chat","text":"secret word"}"#);
    let finding = &verdict.findings[0];
    assert_eq!((finding.check, finding.field.as_deref()), ("schema", Some("/text")));
    assert_eq!(finding.rule.as_deref(), Some("/properties/text/maxLength"));
    assert_eq!(finding.detail, "`/text` breaks `/properties/text/maxLength`");
    assert_eq!(finding.message_type.as_deref(), Some("chat"));
    let reply =
        |detailed| error_reply(&ErrorReplies { detailed, template: r#"{"m":"{message}"}"#.into() }, finding, "r");
    assert_eq!(
        reply(true),
        r#"{"m":"the message breaks the schema of its type (at /text) (rule /properties/text/maxLength)"}"#
    );
    assert_eq!(reply(false), r#"{"m":"Message refused"}"#);
    let long = "k".repeat(500);
    let mut messages = with_schemas(WithoutSchema::Refuse);
    let strict = serde_json::json!({"additionalProperties": false, "properties": {"type": true}});
    let strict = Arc::new(Schema::compile(&strict, Dialect::Written).unwrap());
    messages.schemas.as_mut().unwrap().by_type.insert("chat".into(), strict);
    let verdict = Peer::new(&messages).text(&format!(r#"{{"type":"chat","{long}":1}}"#));
    assert!(verdict.findings[0].field.as_ref().unwrap().len() <= FIELD_BYTES_MAX);
    assert!(verdict.findings[0].detail.len() <= portcullis_core::event::DETAIL_BYTES_MAX);
}

#[test]
fn schemas_stand_between_envelope_and_replay() {
    let messages = Messages { schemas: with_schemas(WithoutSchema::Pass).schemas, ..full(OnRefuse::Reply) };
    assert_eq!(Peer::new(&messages).plan.checks(), ["kind", "rate", "json", "envelope", "schema", "replay", "threat"]);
}

/// Answers what names a forbidden word; keeps what it was shown.
#[derive(Debug)]
struct NoSecrets;

impl Custom for NoSecrets {
    fn name(&self) -> &'static str {
        "no_secrets"
    }

    fn judge(&self, said: &Said<'_>) -> Option<Objection> {
        assert!(said.is_json);
        let found = memchr::memmem::find(said.bytes, b"classified").is_some() && said.message_type == Some("chat");
        let (field, detail) = (Some("/text".to_owned()), "it is classified".to_owned());
        found.then_some(Objection { outcome: OnRefuse::Mask, field, detail })
    }
}

#[test]
fn a_check_of_ones_own_sees_what_passed_and_its_objection_counts() {
    let messages = Messages { mask: vec!["/text".into()], ..full(OnRefuse::Reply) };
    let mut peer = Peer::new(&messages);
    peer.plan =
        Plan::compile(&messages, &ErrorReplies { detailed: true, template: "{}".into() }, Direction::Inbound, true)
            .unwrap()
            .with(Arc::new(NoSecrets));
    assert_eq!(peer.plan.checks().last(), Some(&"mask"), "{:?}", peer.plan.checks());
    let message = |id: u32, text: &str| format!(r#"{{"type":"chat","id":{id},"timestamp":{NOW_S},"text":"{text}"}}"#);
    let verdict = peer.text(&message(1, "classified"));
    let finding = &verdict.findings[0];
    assert_eq!((verdict.action, finding.reason, finding.check), (Action::Drop, Reason::CustomRefused, "no_secrets"));
    assert_eq!((finding.field.as_deref(), finding.message_type.as_deref()), (Some("/text"), Some("chat")));
    assert_eq!(peer.text(&message(2, "open")).action, Action::Rewrite);
    assert_eq!(peer.text("{").action, Action::Reply, "what is no JSON never comes to it");
}

#[test]
fn a_client_hears_of_the_topics_it_subscribed_to_and_of_no_others() {
    let at = |pattern: &str| TopicAt { pattern: pattern.into(), pointer: "/room".into() };
    for inbound_outcome in [OnRefuse::Reply, OnRefuse::Observe] {
        let subscriptions = Subscriptions { begin: vec![at("join")], end: vec![at("leave")], max: 2 };
        let inbound = Messages { subscriptions: Some(subscriptions), on_refuse: inbound_outcome, ..bare() };
        let outbound = Messages { subscribed: vec![at("room.*")], on_refuse: OnRefuse::Close, ..bare() };
        let (inbound, outbound) = (compiled(&inbound, Direction::Inbound), compiled(&outbound, Direction::Outbound));
        let (mut says, mut hears) = Memory::pair(&inbound, &outbound);
        let mut work = Workspace::new(7);
        let mut tell = |memory: &mut Memory, plan: &Plan, text: &str| {
            let verdict = decided(plan, memory, &mut work, text);
            (verdict.action, verdict.findings.first().map(|finding| finding.reason))
        };
        let passed = (Action::Pass, None);
        let dropped = (Action::Drop, Some(Reason::NotSubscribed));
        let (one, two) = (r#"{"type":"room.text","room":"r1"}"#, r#"{"type":"room.text","room":2}"#);
        assert_eq!(tell(&mut hears, &outbound, one), dropped);
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"join","room":"r1"}"#), passed);
        assert_eq!(tell(&mut hears, &outbound, one), passed);
        assert_eq!(tell(&mut hears, &outbound, two), dropped);
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"join","room":2}"#), passed, "a whole number is a name");
        assert_eq!(tell(&mut hears, &outbound, two), passed);
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"join","room":"r1"}"#), passed, "it has that one");
        let full = (Action::Reply, Some(Reason::SubscriptionsFull));
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"join","room":"r3"}"#), full);
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"leave","room":"r9"}"#), passed);
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"leave","room":"r1"}"#), passed);
        assert_eq!(tell(&mut hears, &outbound, one), dropped);
        assert_eq!(tell(&mut says, &inbound, r#"{"type":"join","room":"r3"}"#), passed, "there is room again");
        for text in [r#"{"type":"join"}"#, r#"{"type":"join","room":["r1"]}"#, r#"{"type":"join","room":""}"#] {
            assert_eq!(tell(&mut says, &inbound, text), (Action::Reply, Some(Reason::SubscriptionUnclear)), "{text}");
        }
        let long = format!(r#"{{"type":"join","room":"{}"}}"#, "r".repeat(TOPIC_BYTES_MAX + 1));
        assert_eq!(tell(&mut says, &inbound, &long).1, Some(Reason::SubscriptionUnclear));
        let nameless = (Action::Drop, Some(Reason::SubscriptionUnclear));
        assert_eq!(tell(&mut hears, &outbound, r#"{"type":"room.text"}"#), nameless);
        assert_eq!(tell(&mut hears, &outbound, r#"{"type":"other"}"#), passed);
        // Other plans of the same connection know them too.
        let (_, mut after) = says.pair_after(&inbound, &outbound);
        assert_eq!(tell(&mut after, &outbound, r#"{"type":"room.text","room":"r3"}"#), passed);
        // A memory of its own has no topics.
        assert_eq!(tell(&mut Memory::new(), &outbound, r#"{"type":"room.text","room":"r3"}"#), dropped);
    }
}

#[test]
fn a_subscription_that_another_check_refuses_is_not_noted() {
    let at = |pattern: &str| TopicAt { pattern: pattern.into(), pointer: "/room".into() };
    let subscriptions = Subscriptions { begin: vec![at("join")], end: vec![], max: 9 };
    let limits = vec![limit(LimitKey::Connection, 1, OnRefuse::Drop)];
    let inbound = compiled(&Messages { subscriptions: Some(subscriptions), limits, ..bare() }, Direction::Inbound);
    let outbound = compiled(&Messages { subscribed: vec![at("text")], ..bare() }, Direction::Outbound);
    let (mut says, mut hears) = Memory::pair(&inbound, &outbound);
    let mut work = Workspace::new(7);
    for (room, joins, heard) in [("r1", Action::Pass, Action::Pass), ("r2", Action::Drop, Action::Drop)] {
        let join = format!(r#"{{"type":"join","room":"{room}"}}"#);
        assert_eq!(decided(&inbound, &mut says, &mut work, &join).action, joins);
        let text = format!(r#"{{"type":"text","room":"{room}"}}"#);
        assert_eq!(decided(&outbound, &mut hears, &mut work, &text).action, heard);
    }
}

fn compiled(messages: &Messages, direction: Direction) -> Plan {
    Plan::compile(messages, &ErrorReplies { detailed: false, template: "{}".into() }, direction, true).unwrap()
}

fn decided(plan: &Plan, memory: &mut Memory, work: &mut Workspace, text: &str) -> Verdict {
    let (principal, ledger) = (Principal::anonymous(), Ledger::new(64, [1, 2]));
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let now = Now { mono: Duration::from_secs(1), wall: Duration::from_secs(NOW_S) };
    let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
    inspect(plan, memory, &cx, work, &Message { kind: Kind::Text, bytes: text.as_bytes() })
}
