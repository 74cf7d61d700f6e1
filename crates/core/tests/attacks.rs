//! Every case of `tests/attacks/*.jsonl`: `{"payload", "idea", "blocked", "class"?}`. A payload travels as the text of a
//! message; `class`, where given, must be what convicts it. Honest look-alikes stand beside the attacks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{Action, Context, Direction, Kind, Memory, Message, Plan, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::message::threat::{RULES, rule_name};
use portcullis_core::policy::checked::{ErrorReplies, Messages, OnRefuse, ThreatClass, Threats};
use portcullis_core::time::Now;

fn plan() -> Plan {
    use ThreatClass::{Command, Ldap, Lookup, Nosql, Sqli, Template, Traversal, Xss, Xxe};
    let classes = [Sqli, Nosql, Xss, Command, Traversal, Template, Ldap, Xxe, Lookup];
    let messages = Messages {
        threats: Some(Threats {
            classes: classes.into_iter().map(|class| (class, OnRefuse::Reply)).collect(),
            skip_fields: Vec::new(),
            decode_layers_max: 3,
            ..Threats::default()
        }),
        ..Messages::default()
    };
    let errors = ErrorReplies { detailed: false, template: "{}".into() };
    Plan::compile(&messages, &errors, Direction::Inbound, true).unwrap()
}

#[test]
fn every_case_is_judged_as_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/attacks");
    let (plan, mut work, ledger) = (plan(), Workspace::new(5), Ledger::new(16, [1, 2]));
    let (ip, principal) = (IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64), Principal::anonymous());
    let now = Now { mono: Duration::ZERO, wall: Duration::ZERO };
    let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
    let (mut count, mut wrong) = (0, Vec::new());
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let file_class = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in std::fs::read_to_string(&file).unwrap().lines().filter(|line| !line.is_empty()) {
            let case: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{file_class}: {e}: {line}"));
            let text = match case.get("message") {
                Some(message) => message.to_string(),
                None => serde_json::json!({"type": "chat", "text": case["payload"]}).to_string(),
            };
            let message = Message { kind: Kind::Text, bytes: text.as_bytes() };
            let verdict = inspect(&plan, &mut Memory::new(), &cx, &mut work, &message);
            let blocked = verdict.action != Action::Pass;
            let label = verdict.findings.first().map_or("", |finding| finding.reason.label());
            let expected = case["class"].as_str().unwrap_or(&file_class);
            count += 1;
            if let Some(rule) = verdict.findings.first().and_then(|finding| finding.rule.clone()) {
                let known =
                    RULES.iter().any(|(class, rules)| rules.iter().any(|words| rule_name(*class, words) == rule));
                assert!(known, "`{rule}` is not in `RULES`");
            }
            if case["blocked"].as_bool().unwrap() != blocked || blocked && label != format!("threat_{expected}") {
                wrong.push(format!(
                    "{file_class}: {line}\n    {label} {:?}",
                    verdict.findings.first().map(|f| &f.detail)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 150, "{count}");
}
