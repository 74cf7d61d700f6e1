//! Messages that go on with another text: leaks masked, named fields masked, what happens when that cannot be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{
    Action, Context, Direction, Kind, Memory, Message, Plan, PlanError, Verdict, Workspace, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::message::html::Allowed;
use portcullis_core::message::leak::LeakClass;
use portcullis_core::policy::checked::{
    ErrorReplies, Html, Json, JsonMode, Leaks, Messages, OnRefuse, ThreatClass, Threats,
};
use portcullis_core::policy::{Nowhere, Overrides, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

/// What the preset says of the outbound direction, with nothing looked for.
fn messages(mode: JsonMode) -> Messages {
    let overrides = Overrides { upstream: Some("ws://127.0.0.1:1".into()), ..Overrides::default() };
    let outbound = load(None, &overrides, &Nowhere).unwrap().checked.routes.remove(0).outbound;
    Messages {
        json: Json { mode, depth_max: 8, keys_max: 64, values_max: 64, string_bytes_max: 2048 },
        leaks: None,
        on_refuse: OnRefuse::Reply,
        ..outbound
    }
}

fn leaks(classes: &[(LeakClass, OnRefuse)]) -> Option<Leaks> {
    Some(Leaks { classes: classes.iter().copied().collect(), records_max: 3 })
}

fn judge(messages: &Messages, kind: Kind, text: &str) -> Verdict {
    let errors = ErrorReplies { detailed: true, template: "{}".into() };
    let plan = Plan::compile(messages, &errors, Direction::Outbound, true).unwrap();
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let (ledger, principal) = (Ledger::new(64, [1, 2]), Principal::anonymous());
    let now = Now { mono: Duration::ZERO, wall: Duration::ZERO };
    let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
    let message = Message { kind, bytes: text.as_bytes() };
    inspect(&plan, &mut Memory::new(), &cx, &mut Workspace::new(3), &message)
}

fn rewritten(verdict: &Verdict) -> Option<&str> {
    verdict.rewritten.as_deref().map(|text| std::str::from_utf8(text).unwrap())
}

const CARD: &str = r#"{"pan":"4111111111111111","n":4111111111111111}"#;
const MASKED: &str = r#"{"pan":"************1111","n":"************1111"}"#;

#[test]
fn a_card_goes_on_with_its_last_four_digits_whether_json_is_looked_at_or_not() {
    for mode in [JsonMode::Off, JsonMode::Detect, JsonMode::Required] {
        let policy = Messages { leaks: leaks(&[(LeakClass::Card, OnRefuse::Mask)]), ..messages(mode) };
        for kind in [Kind::Text, Kind::Binary] {
            let verdict = judge(&policy, kind, CARD);
            assert_eq!((verdict.action, rewritten(&verdict)), (Action::Rewrite, Some(MASKED)), "{mode:?} {kind:?}");
            let finding = &verdict.findings[0];
            assert_eq!((finding.reason, finding.outcome), (Reason::LeakCard, OnRefuse::Mask));
            assert!(!finding.detail.contains("4111"));
        }
        let clean = judge(&policy, Kind::Text, r#"{"pan":"none"}"#);
        assert_eq!(clean, Verdict { action: Action::Pass, findings: Vec::new(), rewritten: None });
    }
    let policy = Messages { leaks: leaks(&[(LeakClass::Card, OnRefuse::Mask)]), ..messages(JsonMode::Detect) };
    let verdict = judge(&policy, Kind::Text, "pay 4111 1111 1111 1111 now");
    assert_eq!(rewritten(&verdict), Some("pay **** **** **** 1111 now"));
}

#[test]
fn what_cannot_be_masked_is_dropped() {
    let policy = Messages { leaks: leaks(&[(LeakClass::Card, OnRefuse::Mask)]), ..messages(JsonMode::Off) };
    let deep = format!(r#"{}{{"n":4111111111111111}}{}"#, "[".repeat(20), "]".repeat(20));
    for (text, words) in [(r#"{"4111111111111111":1}"#, "it stands in a key"), (deep.as_str(), "too much")] {
        let verdict = judge(&policy, Kind::Text, text);
        assert_eq!((verdict.action, verdict.rewritten.as_ref()), (Action::Drop, None), "{text}");
        assert!(verdict.findings[0].detail.contains(words), "{verdict:?}");
    }
}

#[test]
fn a_class_that_is_refused_wins_over_one_that_is_masked() {
    let classes = [(LeakClass::Card, OnRefuse::Mask), (LeakClass::Personal, OnRefuse::Drop)];
    let policy = Messages { leaks: leaks(&classes), ..messages(JsonMode::Off) };
    let verdict = judge(&policy, Kind::Text, r#"{"a":"4111111111111111","b":"219-09-9999"}"#);
    assert_eq!((verdict.action, verdict.rewritten), (Action::Drop, None));
    let classes = [(LeakClass::Card, OnRefuse::Mask), (LeakClass::Personal, OnRefuse::Observe)];
    let policy = Messages { leaks: leaks(&classes), ..messages(JsonMode::Off) };
    let verdict = judge(&policy, Kind::Text, r#"{"a":"4111111111111111","b":"219-09-9999"}"#);
    assert_eq!(rewritten(&verdict), Some(r#"{"a":"************1111","b":"219-09-9999"}"#));
    assert_eq!(verdict.findings.len(), 2);
}

#[test]
fn named_fields_are_masked_whatever_they_hold_and_leaks_are_looked_for_in_what_is_left() {
    let fields = ["/user/email", "/user", "/n", "/list/1", "/none", "/null", "/o"].map(String::from);
    let policy = Messages {
        mask: fields[..1].iter().chain(&fields[2..]).cloned().collect(),
        leaks: leaks(&[(LeakClass::Card, OnRefuse::Mask)]),
        ..messages(JsonMode::Detect)
    };
    let text = r#"{"user":{"email":"a\"b@c.example","id":1},"n":-1.5e3,"list":[1,true,[]],"null":null,"o":{"p":["4111111111111111"]},"c":"4111111111111111"}"#;
    let expected =
        r#"{"user":{"email":"***","id":1},"n":"***","list":[1,"***",[]],"null":null,"o":"***","c":"************1111"}"#;
    let verdict = judge(&policy, Kind::Text, text);
    assert_eq!((verdict.action, rewritten(&verdict)), (Action::Rewrite, Some(expected)));
    assert_eq!(verdict.findings.len(), 1, "masked fields are what the policy names, not a finding");
    let policy = Messages { mask: fields.to_vec(), ..messages(JsonMode::Detect) };
    let verdict = judge(&policy, Kind::Text, text);
    assert!(rewritten(&verdict).unwrap().starts_with(r#"{"user":"***","n":"***""#), "the outer one counts");
    assert!(verdict.findings.is_empty());
    assert_eq!(judge(&policy, Kind::Text, r#"{"other":1}"#).action, Action::Pass);
    assert_eq!(judge(&policy, Kind::Text, "no JSON").action, Action::Pass);
    let off = Messages { mask: fields.to_vec(), ..messages(JsonMode::Off) };
    let errors = ErrorReplies { detailed: false, template: "{}".into() };
    assert_eq!(Plan::compile(&off, &errors, Direction::Outbound, true).unwrap_err(), PlanError::FieldsWithoutJson);
}

fn html() -> Messages {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    let allowed = Allowed {
        tags: names(&["b", "a"]),
        attributes: [("a".to_owned(), names(&["href"]))].into(),
        schemes: names(&["https"]),
        blocked_domains: Arc::new(names(&["evil.example"])),
    };
    let html = Html { fields: vec!["/text".into(), "/user/bio".into()], allowed };
    let classes = [(ThreatClass::Xss, OnRefuse::Drop)].into();
    let threats = Threats { classes, skip_fields: Vec::new(), decode_layers_max: 3 };
    Messages { html: Some(html), threats: Some(threats), ..messages(JsonMode::Detect) }
}

#[test]
fn html_is_cleaned_and_the_checks_after_it_judge_what_is_left() {
    let text = r#"{"text":"<b onclick=alert(1)>hi</b><script>alert(\"x\")<\/script> & \u003cimg src=x onerror=alert(1)> \"q\"","user":{"bio":"\u003cscript>1\u003c/script>ok"}}"#;
    let verdict = judge(&html(), Kind::Text, text);
    let expected = r#"{"text":"<b>hi</b> &amp;  \"q\"","user":{"bio":"ok"}}"#;
    assert_eq!((verdict.action, rewritten(&verdict)), (Action::Rewrite, Some(expected)), "{verdict:?}");
    let found: Vec<_> =
        verdict.findings.iter().map(|f| (f.reason, f.field.as_deref().unwrap(), f.detail.as_str())).collect();
    assert_eq!(
        found,
        [
            (Reason::HtmlSanitized, "/text", "taken out: onclick, script, img, src, onerror"),
            (Reason::HtmlSanitized, "/user/bio", "taken out: script"),
        ]
    );
}

#[test]
fn html_elsewhere_is_for_the_other_checks_and_text_is_text() {
    let verdict = judge(&html(), Kind::Text, r#"{"text":"a <b>b</b> < c && d","other":"<script>alert(1)</script>"}"#);
    assert_eq!((verdict.action, verdict.findings[0].reason), (Action::Drop, Reason::ThreatXss));
    let verdict = judge(&html(), Kind::Text, r#"{"text":"a <b>b</b> < c && d"}"#);
    let escaped = r#"{"text":"a <b>b</b> &lt; c &amp;&amp; d"}"#;
    assert_eq!((rewritten(&verdict), verdict.findings.len()), (Some(escaped), 0));
    let unmarked = r#"{"text":"a < b && c > d, \"I\" <3 you","user":{"bio":null}}"#;
    assert_eq!(judge(&html(), Kind::Text, unmarked).action, Action::Pass);
    let verdict = judge(&html(), Kind::Text, r#"{"text":"<b>x","other":"<script>alert(1)</script>"}"#);
    assert_eq!((verdict.action, verdict.rewritten), (Action::Drop, None), "what is refused does not go on cleaned");
    let many = format!(r#"{{"text":"{}"}}"#, "<b>".repeat(600));
    let mut policy = html();
    policy.json.string_bytes_max = 1 << 20;
    assert_eq!(judge(&policy, Kind::Text, &many).action, Action::Rewrite);
    let many = format!(r#"{{"text":"{}"}}"#, "<b>".repeat(1001));
    let verdict = judge(&policy, Kind::Text, &many);
    assert_eq!((verdict.action, verdict.findings[0].reason), (Action::Reply, Reason::FieldTooLarge));
}
