//! The list, its order and its outcomes, bounds and memory.

use std::time::Duration;

use portcullis_core::inspection::{
    Action, Direction, FIELD_BYTES_MAX, Finding, Kind, Memory, Plan, PlanError, Verdict, WORKSPACE_BYTES_MAX,
};
use portcullis_core::policy::checked::{ErrorReplies, Json, JsonMode, LimitKey, Messages, OnRefuse, TimestampUnit};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use proptest::prelude::*;

use super::house::{NOW_S, Peer, bare, full, good, limit, message, rate};

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
