//! Runs a corpus of messages through a production-like inbound plan and prints a verdict a line.
//!
//! `cargo run -p portcullis-core --example score -- FOLDER > verdicts.jsonl`, where `FOLDER` holds
//! `attacks.jsonl` and `benign.jsonl`: `{"id":…,"class":…,"payload":…}`. Each payload travels as
//! `{"type":"chat","text":PAYLOAD}`; a verdict is `{"id":…,"blocked":…,"findings":[…]}`.

use std::io::{BufRead as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{Action, Context, Direction, Kind, Memory, Message, Plan, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::checked::{ErrorReplies, Json, JsonMode, Messages, OnRefuse, ThreatClass, Threats};
use portcullis_core::time::Now;

fn messages() -> Messages {
    use ThreatClass::{Command, Ldap, Lookup, Nosql, Sqli, Template, Traversal, Xss, Xxe};
    let classes = [Sqli, Nosql, Xss, Command, Traversal, Template, Ldap, Xxe, Lookup];
    Messages {
        bytes_max: 1 << 20,
        fragments_max: 64,
        text: true,
        binary: false,
        control_rate: None,
        limits: Vec::new(),
        json: Json {
            mode: JsonMode::Required,
            depth_max: 32,
            keys_max: 1000,
            values_max: 10_000,
            string_bytes_max: 1 << 20,
        },
        envelope: None,
        threats: Some(Threats {
            classes: classes.into_iter().map(|class| (class, OnRefuse::Reply)).collect(),
            skip_fields: Vec::new(),
            decode_layers_max: 3,
        }),
        on_refuse: OnRefuse::Reply,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(std::env::args_os().nth(1).ok_or("usage: score FOLDER")?);
    let errors = ErrorReplies { detailed: false, template: r#"{"type":"error","message":"{message}"}"#.into() };
    let plan = Plan::compile(&messages(), &errors, Direction::Inbound, true)?;
    let (mut work, ledger) = (Workspace::new(1), Ledger::new(16, [1, 2]));
    let (ip, principal) = (IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64), Principal::anonymous());
    let now = Now { mono: Duration::ZERO, wall: Duration::ZERO };
    let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for name in ["attacks.jsonl", "benign.jsonl"] {
        for line in std::io::BufReader::new(std::fs::File::open(folder.join(name))?).lines() {
            let case: serde_json::Value = serde_json::from_str(&line?)?;
            let text = serde_json::json!({"type": "chat", "text": case.get("payload")}).to_string();
            let message = Message { kind: Kind::Text, bytes: text.as_bytes() };
            let verdict = inspect(&plan, &mut Memory::new(), &cx, &mut work, &message);
            let findings: Vec<_> =
                verdict.findings.iter().map(|f| format!("{}: {}", f.reason.label(), f.detail)).collect();
            let blocked = verdict.action != Action::Pass;
            let line = serde_json::json!({"id": case.get("id"), "blocked": blocked, "findings": findings});
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
