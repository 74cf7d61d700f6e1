//! Fields sealed on the way in and opened on the way back, as the relay sees it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::callback::{Heard, answered};
use portcullis_core::inspection::{
    Action, Context, Direction, Kind, Memory, Message, Plan, Random, Verdict, Workspace, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::{Outside, Overrides, Source, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

/// Files, by their names.
struct Files(&'static [(&'static str, &'static [u8])]);

impl Outside for Files {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn vars(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let file = self.0.iter().find(|(name, _)| path.ends_with(name)).ok_or("no such file")?;
        Ok(file.1.to_vec())
    }
}

const FILES: Files = Files(&[
    ("raw.key", &[7; 32]),
    ("base64.key", b"CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=\n"),
    ("words.txt", b"correct horse battery\n"),
    ("short.txt", b"short\n"),
]);

fn policy(keys: &str) -> String {
    format!(
        "upstream: ws://127.0.0.1:1\nsealing: {{ keys: [{keys}] }}\naccess: {{ roles: {{ clerk: {{ allow: [cards.read] }} }} }}\n\
         messages:\n  inbound: {{ limits: [], seal: {{ /card: card, '/notes/*/text': note }} }}\n  \
         outbound: {{ limits: [], unseal: {{ permission: cards.read, fields: {{ '/cards/*': card, /note: note }} }} }}\n"
    )
}

fn judge(policy: &str, direction: Direction, principal: &Principal, random: Random, text: &str) -> Verdict {
    let loaded = load(Some(Source { name: "p.yaml", text: policy }), &Overrides::default(), &FILES).unwrap();
    let route = &loaded.checked.routes[0];
    let messages = if direction == Direction::Inbound { &route.inbound } else { &route.outbound };
    let plan = Plan::compile(messages, &route.errors, direction, true).unwrap();
    let ledger = Ledger::new(64, [1, 2]);
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let now = Now { mono: Duration::from_secs(9), wall: Duration::from_secs(1_700_000_000) };
    let cx = Context { now, principal, ip: &ip, ledger: &ledger };
    let mut work = Workspace::new(3).drawing(random);
    inspect(&plan, &mut Memory::new(), &cx, &mut work, &Message { kind: Kind::Text, bytes: text.as_bytes() })
}

fn person(role: &str, tenant: &str) -> Principal {
    Principal {
        subject: Some("ann".into()),
        roles: Box::new([role.into()]),
        tenant: Some(tenant.into()),
        ..Principal::anonymous()
    }
}

const NINES: Random = |bytes| {
    bytes.fill(9);
    true
};

fn text(verdict: Verdict) -> serde_json::Value {
    serde_json::from_slice(&verdict.rewritten.unwrap()).unwrap()
}

#[test]
fn a_field_is_sealed_and_opens_for_those_who_may_of_its_tenant_under_its_name() {
    let (old, new) = ("{ id: old, key_file: raw.key }", "{ id: new, passphrase_file: words.txt }");
    let before = policy(old);
    let sent = r#"{"type":"save","card":{"n":"4111"},"notes":[{"text":"a\"b"},{"text":null}],"x":1}"#;
    let kept = text(judge(&before, Direction::Inbound, &person("user", "a"), NINES, sent));
    let (card, note) = (kept["card"].as_str().unwrap(), kept["notes"][0]["text"].as_str().unwrap());
    assert!(card.starts_with("pcs1.old.") && !kept.to_string().contains("4111"), "{kept}");
    assert!(kept["notes"][1]["text"].is_null() && kept["x"] == 1);
    let back = serde_json::json!({"type": "list", "cards": [card, "plain", 5], "note": note}).to_string();
    // The old key opens what it sealed after another came.
    for policy in [&before, &policy(&format!("{new}, {old}"))] {
        let opened = text(judge(policy, Direction::Outbound, &person("clerk", "a"), NINES, &back));
        let expected = serde_json::json!({"type": "list", "cards": [{"n": "4111"}, "plain", 5], "note": "a\"b"});
        assert_eq!(opened, expected);
    }
    let unread = judge(&before, Direction::Outbound, &person("user", "a"), NINES, &back);
    assert_eq!((unread.action, unread.findings.len()), (Action::Pass, 0), "it stays sealed");
    let moved = serde_json::json!({"cards": [note]}).to_string();
    let changed = back.replace(card, &card.replace("CQkJ", "CQkK"));
    for (policy, tenant, text) in [
        (&before, "b", &back),
        (&before, "a", &moved),
        (&before, "a", &changed),
        (&policy("{ id: old, key_file: base64.key }"), "a", &back),
        (&policy("{ id: other, key_file: raw.key }"), "a", &back),
    ] {
        let verdict = judge(policy, Direction::Outbound, &person("clerk", tenant), NINES, text);
        let found = verdict.findings.first().map(|finding| finding.reason);
        assert_eq!(found, Some(Reason::SealBroken), "{tenant} {text}");
        assert_eq!(verdict.rewritten, None);
        assert!(!verdict.findings[0].detail.contains("pcs1"), "{:?}", verdict.findings);
    }
}

#[test]
fn without_chance_nothing_goes_on_open_not_even_where_refusals_are_observed() {
    let policy = policy("{ id: k, key_file: raw.key }").replace("inbound: { ", "inbound: { on_refuse: observe, ");
    let verdict = judge(&policy, Direction::Inbound, &person("user", "a"), |_| false, r#"{"card":1}"#);
    assert_eq!((verdict.action, verdict.findings[0].reason), (Action::Drop, Reason::SealFailed));
}

#[test]
fn keys_that_are_none_are_named() {
    for (keys, message) in [
        ("", "there is no key to seal or open with"),
        ("{ id: a b, key_file: raw.key }", "`a b` is not a name for it"),
        ("{ key_file: raw.key }", "`id` is missing"),
        ("{ id: a, key_file: words.txt }", "the file holds no key of 32 bytes"),
        ("{ id: a, passphrase_file: short.txt }", "the passphrase is short"),
        ("{ id: a }", "a key is in one file"),
        ("{ id: a, key_file: raw.key }, { id: a, key_file: raw.key }", "two keys are called `a`"),
        ("{ id: a, key_file: none.key }", "cannot read `none.key`"),
    ] {
        let text = policy(keys);
        let errors = load(Some(Source { name: "p.yaml", text: &text }), &Overrides::default(), &FILES).unwrap_err();
        let said = errors.to_string();
        assert!(said.contains(message) && !said.contains("correct horse"), "{said}");
        assert!(errors.0.iter().any(|error| error.location.is_some()), "{said}");
    }
}

#[test]
fn a_sealed_field_of_a_message_that_a_callback_wrote_is_judged_open_and_sealed_anew() {
    const CALLBACK: &str = "callbacks: [{ url: 'http://127.0.0.1:1/', may_rewrite: on, on_refuse: drop }]";
    const SCHEMA: &str =
        "without_schema: refuse, schemas: { save: { inline: { properties: { card: { pattern: '^[0-9]+$' } } } } }";
    let policy = policy("{ id: k, key_file: raw.key }").replacen(
        "limits: [], ",
        &format!("limits: [], {CALLBACK}, {SCHEMA}, "),
        1,
    );
    let loaded = load(Some(Source { name: "p.yaml", text: &policy }), &Overrides::default(), &FILES).unwrap();
    let route = &loaded.checked.routes[0];
    let plan = Plan::compile(&route.inbound, &route.errors, Direction::Inbound, true).unwrap();
    let (principal, ledger) = (person("user", "a"), Ledger::new(64, [1, 2]));
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let now = Now { mono: Duration::from_secs(9), wall: Duration::from_secs(1_700_000_000) };
    let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
    let mut work = Workspace::new(3).drawing(NINES);
    let came = br#"{"type":"save","card":"4111"}"#;
    let verdict = inspect(&plan, &mut Memory::new(), &cx, &mut work, &Message { kind: Kind::Text, bytes: came });
    let sealed = text(verdict.clone())["card"].as_str().unwrap().to_owned();
    assert!(sealed.starts_with("pcs1.k."));
    for (card, goes_on) in [(sealed.as_str(), true), ("4222", true), ("pcs1.k.forged", false), ("none", false)] {
        let mut ask = verdict.ask.clone().unwrap();
        let callback = ask.callbacks[0].clone();
        let answer = serde_json::json!({"allow": true, "message": {"type": "save", "card": card, "by": "clerk"}});
        let heard = Heard::Body(answer.to_string().into_bytes());
        let finding = ask.conclude(&plan, &cx, &mut work, &callback, heard);
        let verdict = answered(&plan, &mut Memory::new(), &cx, &mut ask, finding.into_iter().collect());
        assert_eq!(verdict.action == Action::Rewrite, goes_on, "{card}: {:?}", verdict.findings);
        assert!(!format!("{:?}", verdict.findings).contains("4222"), "{:?}", verdict.findings);
        if goes_on {
            let written = text(verdict);
            assert!(written["by"] == "clerk" && written["card"].as_str().unwrap().starts_with("pcs1.k."), "{written}");
            assert_eq!(written["card"] == *sealed, card == sealed, "sealed once, not twice");
        }
    }
}
