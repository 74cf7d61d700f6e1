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
        assert_eq!(clean, Verdict { action: Action::Pass, findings: Vec::new(), rewritten: None, ask: None });
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
    let threats = Threats { classes, skip_fields: Vec::new(), decode_layers_max: 3, ..Threats::default() };
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

/// A policy whose `threats` are as written.
fn threats(written: &str) -> Messages {
    let text = format!(
        "upstream: ws://127.0.0.1:1\nmessages: {{ inbound: {{ json: {{ mode: required }}, threats: {written} }} }}"
    );
    let source = portcullis_core::policy::Source { name: "p.yaml", text: &text };
    load(Some(source), &Overrides::default(), &Nowhere).unwrap().checked.routes.remove(0).inbound
}

const SQLI: &str = "' OR '1'='1' -- ";

fn outcomes(verdict: &Verdict) -> Vec<(Reason, OnRefuse, &str)> {
    verdict.findings.iter().map(|f| (f.reason, f.outcome, f.field.as_deref().unwrap_or_default())).collect()
}

#[test]
fn what_happens_for_an_attack_is_said_by_class_and_by_field() {
    let policy = threats(
        r#"{ mode: reply, skip_fields: ["/list/*/code"], fields: {
            "/text": { classes: { sqli: observe } }, "/items/*/note": { mode: drop },
            "/items": { mode: close }, "/raw": { mode: "off", classes: { xss: observe } } } }"#,
    );
    let sqli = Reason::ThreatSqli;
    let one = |message: serde_json::Value| judge(&policy, Kind::Text, &message.to_string());
    for (message, expected) in [
        (serde_json::json!({"other": SQLI}), vec![(sqli, OnRefuse::Reply, "/other")]),
        (serde_json::json!({"text": SQLI}), vec![(sqli, OnRefuse::Observe, "/text")]),
        (serde_json::json!({"items": [{"note": SQLI}]}), vec![(sqli, OnRefuse::Drop, "/items/0/note")]),
        (
            serde_json::json!({"items": [{"note": "ok", "more": [SQLI]}]}),
            vec![(sqli, OnRefuse::Close, "/items/0/more/0")],
        ),
        (serde_json::json!({"items": {SQLI: 1}}), vec![(sqli, OnRefuse::Close, "/items/' OR '1'='1' -- ")]),
        (serde_json::json!({"raw": [{"deep": SQLI}]}), vec![]),
        (serde_json::json!({"raw": "<script>alert(1)</script>"}), vec![(Reason::ThreatXss, OnRefuse::Observe, "/raw")]),
        (serde_json::json!({"list": [{"code": SQLI}, {"code": SQLI}]}), vec![]),
        (serde_json::json!({"list": [{"code": {"code": SQLI}}]}), vec![(sqli, OnRefuse::Reply, "/list/0/code/code")]),
        // An observed field hides nothing that comes after it.
        (
            serde_json::json!({"text": SQLI, "zz": SQLI}),
            vec![(sqli, OnRefuse::Observe, "/text"), (sqli, OnRefuse::Reply, "/zz")],
        ),
        (
            serde_json::json!({"a": {"b": 1}, "items": [{"note": "fine"}], "text": SQLI}),
            vec![(sqli, OnRefuse::Observe, "/text")],
        ),
    ] {
        assert_eq!(outcomes(&one(message.clone())), expected, "{message}");
    }
}

#[test]
fn below_the_confidence_a_finding_is_observed_and_no_decoy_hides_a_sure_one() {
    let policy = threats("{ mode: reply, confidence: likely }");
    let twice = "%2527%2520OR%2520%25271%2527%253D%25271";
    let once = "%27%20OR%20%271%27%3D%271";
    for (text, expected, confidence) in
        [(SQLI, OnRefuse::Reply, "certain"), (once, OnRefuse::Reply, "likely"), (twice, OnRefuse::Observe, "possible")]
    {
        let verdict = judge(&policy, Kind::Text, &serde_json::json!({"text": text}).to_string());
        let finding = &verdict.findings[0];
        assert_eq!((finding.outcome, finding.evidence.unwrap().confidence.label()), (expected, confidence), "{text}");
    }
    let verdict = judge(&policy, Kind::Text, &serde_json::json!({"a": twice, "b": SQLI}).to_string());
    assert_eq!(verdict.action, Action::Reply, "{verdict:?}");
    let document = serde_json::json!([twice, SQLI]).to_string();
    let verdict = judge(&policy, Kind::Text, &serde_json::json!({"a": document}).to_string());
    assert_eq!(verdict.action, Action::Reply, "{verdict:?}");
}

#[test]
fn a_finding_says_where_it_stands_what_was_undone_and_which_rule_it_is() {
    let text = r#"{"id":1,"text":"%27%20UNION%20SELECT%20a%20FROM%20b"}"#;
    let verdict = judge(&threats("{ mode: reply }"), Kind::Text, text);
    let finding = &verdict.findings[0];
    let evidence = finding.evidence.unwrap();
    assert_eq!(&text[evidence.bytes.0..evidence.bytes.1], "%27%20UNION%20SELECT%20a%20FROM%20b");
    assert_eq!(evidence.decoded.to_string(), "percent");
    assert_eq!(evidence.page, "docs/threats.md#sqli");
    assert_eq!(finding.rule.as_deref(), Some("sqli/a-second-select-joined-by-union"));
}

#[test]
fn sanitized_markup_goes_on_and_what_is_no_markup_is_refused() {
    let policy = threats("{ mode: reply, classes: { xss: sanitize } }");
    let verdict =
        judge(&policy, Kind::Text, r#"{"a":"<b>hi</b><script>alert(1)</script>","b":"<img src=x onerror=alert(1)>!"}"#);
    assert_eq!(
        (verdict.action, rewritten(&verdict)),
        (Action::Rewrite, Some(r#"{"a":"<b>hi</b>","b":"!"}"#)),
        "{verdict:?}"
    );
    assert_eq!(outcomes(&verdict), [(Reason::ThreatXss, OnRefuse::Sanitize, "/a")]);
    for refused in [
        r#"{"a":"javascript:alert(document.cookie)"}"#,
        r#"{"<script>alert(1)</script>":1}"#,
        r#"{"a":"&lt;script&gt;alert(1)&lt;/script&gt;"}"#,
        r#"{"a":"<script>x</script>..<b></b>/../../../etc/passwd"}"#,
        r#"{"a":"..<script></script>/..<script></script>/..<script></script>/etc/passwd"}"#,
    ] {
        let verdict = judge(&policy, Kind::Text, refused);
        assert_eq!((verdict.action, rewritten(&verdict)), (Action::Reply, None), "{refused} {verdict:?}");
    }
}

#[test]
fn a_star_masks_the_field_of_every_element() {
    let policy = Messages { mask: vec!["/users/*/email".into(), "/*/secret".into()], ..messages(JsonMode::Detect) };
    let text = r#"{"users":[{"email":"a@b","n":1},{"email":null},{"email":["x"]}],"k":{"secret":7},"secret":1}"#;
    let masked = r#"{"users":[{"email":"***","n":1},{"email":null},{"email":"***"}],"k":{"secret":"***"},"secret":1}"#;
    assert_eq!(rewritten(&judge(&policy, Kind::Text, text)), Some(masked));
}

#[test]
fn what_stands_behind_escapes_of_json_leaks_as_well() {
    let policy = Messages { leaks: leaks(&[(LeakClass::Credential, OnRefuse::Drop)]), ..messages(JsonMode::Detect) };
    for text in [
        r#"{"url":"postgres:\/\/app:hunter2secret@db.internal:5432\/app"}"#,
        r#"{"k":"\u0041KIAIOSFODNN7EXAMPL2"}"#,
        r#"{"k":"\u0067hp_16C7e42F292c6912E7710c838347Ae178B4a"}"#,
    ] {
        let verdict = judge(&policy, Kind::Text, text);
        assert_eq!((verdict.action, verdict.findings[0].reason), (Action::Drop, Reason::LeakCredential), "{text}");
    }
    let policy = Messages { leaks: leaks(&[(LeakClass::Credential, OnRefuse::Mask)]), ..messages(JsonMode::Detect) };
    let hidden = judge(&policy, Kind::Text, r#"{"k":"\u0067hp_16C7e42F292c6912E7710c838347Ae178B4a"}"#);
    assert_eq!(hidden.action, Action::Drop, "{hidden:?}");
    let open = judge(&policy, Kind::Text, r#"{"env":"DB_PASSWORD=\"hunter2-and-more\"\nX=1"}"#);
    assert_eq!(rewritten(&open), Some(r#"{"env":"DB_PASSWORD=\"****************\"\nX=1"}"#));
    assert_eq!(judge(&policy, Kind::Text, r#"{"url":"https:\/\/example.org\/"}"#).action, Action::Pass);
}

#[test]
fn a_leak_says_where_it_stands_which_rule_found_it_and_where_that_is_explained() {
    let classes = LeakClass::ALL.map(|class| (class, OnRefuse::Observe));
    for mode in [JsonMode::Off, JsonMode::Detect, JsonMode::Required] {
        let policy = Messages { leaks: leaks(&classes), ..messages(mode) };
        for (text, rule, field, bytes) in [
            (
                r#"{"a":[{"k":1},{"k":"see AKIAIOSFODNN7EXAMPL2"}]}"#,
                "credential/an-aws-access-key",
                Some("/a/1/k"),
                (20, 44),
            ),
            (r#"{"pan":"4111111111111111"}"#, "card/a-visa-number", Some("/pan"), (8, 24)),
            (r#"{"pan":4111111111111111}"#, "card/a-visa-number", None, (7, 24)),
        ] {
            let finding = &judge(&policy, Kind::Text, text).findings[0];
            let evidence = finding.evidence.unwrap();
            assert_eq!((finding.rule.as_deref(), finding.field.as_deref()), (Some(rule), field), "{mode:?} {text}");
            assert_eq!((evidence.bytes, evidence.decoded.is_empty()), (bytes, true), "{mode:?} {text}");
            assert_eq!(evidence.page, format!("docs/threats.md#{}", rule.split('/').next().unwrap()));
        }
    }
    let policy = Messages { leaks: leaks(&classes), ..messages(JsonMode::Detect) };
    let hidden = judge(&policy, Kind::Text, r#"{"k":"\u0041KIAIOSFODNN7EXAMPL2"}"#);
    assert_eq!(hidden.findings[0].evidence.unwrap().decoded.to_string(), "backslash escape");
    let plain =
        judge(&Messages { leaks: leaks(&classes), ..messages(JsonMode::Off) }, Kind::Text, "pay 4111 1111 1111 1111");
    assert_eq!(plain.findings[0].evidence.unwrap().bytes, (4, 23));
}
