//! A client's plan, and what it says of messages.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{Context, Direction, Kind, Memory, Message, Plan, Verdict, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::{Nowhere, Overrides, Source, load};
use portcullis_core::time::Now;

/// Judges messages of one connection, one after the other; `written` are the keys of `inbound`.
pub(crate) fn judge(written: &str, kind: Kind, messages: &[&[u8]]) -> Vec<Verdict> {
    let text = format!("environment: development\nupstream: ws://127.0.0.1:1\nmessages: {{ inbound: {written} }}");
    let policy = load(Some(Source { name: "p.yaml", text: &text }), &Overrides::default(), &Nowhere).unwrap();
    let route = &policy.checked.routes[0];
    let plan = Plan::compile(&route.inbound, &route.errors, Direction::Inbound, true).unwrap();
    let (ledger, principal) = (Ledger::new(64, [1, 2]), Principal::anonymous());
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let now = Now { mono: Duration::from_secs(9), wall: Duration::from_secs(1_700_000_000) };
    let cx = Context { now, principal: &principal, ip: &ip, ledger: &ledger };
    let (mut memory, mut work) = (Memory::new(), Workspace::new(3));
    messages.iter().map(|bytes| inspect(&plan, &mut memory, &cx, &mut work, &Message { kind, bytes })).collect()
}
