//! A check of one's own, in the list of those that a policy makes: `cargo run -p portcullis-core --example custom_check`.
//!
//! It answers bids that are not above the last one. All it knows is in memory, for no check may wait.
#![allow(clippy::print_stdout, reason = "an example")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{
    Context, Custom, Direction, Kind, Memory, Message, Objection, Plan, Said, Workspace, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::checked::OnRefuse;
use portcullis_core::policy::{Nowhere, Overrides, Source, load};
use portcullis_core::time::Now;

const POLICY: &str = "
upstream: ws://127.0.0.1:3000
messages: { inbound: { json: { mode: required }, envelope: { types: [bid] } } }
";

#[derive(Debug, Default)]
struct Rising(AtomicU64);

impl Custom for Rising {
    fn name(&self) -> &'static str {
        "rising"
    }

    fn judge(&self, said: &Said<'_>) -> Option<Objection> {
        if said.message_type != Some("bid") {
            return None;
        }
        let message: serde_json::Value = serde_json::from_slice(said.bytes).ok()?;
        let bid = message.get("amount").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let last = self.0.fetch_max(bid, Ordering::Relaxed);
        (bid <= last).then(|| Objection {
            outcome: OnRefuse::Reply,
            field: Some("/amount".to_owned()),
            detail: format!("{bid} is not above {last}"),
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = Source { name: "policy.yaml", text: POLICY };
    let policy = load(Some(source), &Overrides::default(), &Nowhere).map_err(|errors| errors.to_string())?;
    let route = policy.checked.routes.first().ok_or("there is a route")?;
    let plan =
        Plan::compile(&route.inbound, &route.errors, Direction::Inbound, true)?.with(Arc::new(Rising::default()));

    let (ledger, principal) = (Ledger::new(64, [1, 2]), Principal::anonymous());
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let (mut memory, mut work) = (Memory::new(), Workspace::new(1));
    for (second, amount) in [(0, 5), (1, 7), (2, 7)] {
        let now = Now { mono: Duration::from_secs(second), wall: Duration::from_secs(1_700_000_000 + second) };
        let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
        let text = format!(r#"{{"type":"bid","amount":{amount}}}"#);
        let verdict =
            inspect(&plan, &mut memory, &cx, &mut work, &Message { kind: Kind::Text, bytes: text.as_bytes() });
        let why = verdict.findings.first().map_or("", |finding| finding.detail.as_str());
        println!("{text} {:?} {why}", verdict.action);
    }
    Ok(())
}
