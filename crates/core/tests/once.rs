//! What counts once, across a user's connections: message ids, and tokens against cross-site request forgery.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::identity::csrf::{Purpose, Signer};
use portcullis_core::inspection::{Context, Direction, Kind, Memory, Message, Plan, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::{Nowhere, Overrides, Source, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

const NOW_S: u64 = 1_700_000_000;

struct House {
    plan: Plan,
    ledger: Ledger,
    work: Workspace,
    now_s: u64,
}

impl House {
    fn new(text: &str) -> Self {
        let policy = load(Some(Source { name: "p.yaml", text }), &Overrides::default(), &Nowhere).unwrap();
        let route = &policy.checked.routes[0];
        let plan = Plan::compile(&route.inbound, &route.errors, Direction::Inbound, true).unwrap();
        Self { plan, ledger: Ledger::new(64, [1, 2]), work: Workspace::new(3), now_s: NOW_S }
    }

    fn say(&mut self, memory: &mut Memory, principal: &Principal, text: &str) -> Option<Reason> {
        let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
        let now = Now { mono: Duration::from_secs(self.now_s - NOW_S + 5), wall: Duration::from_secs(self.now_s) };
        let cx = Context { now, principal, ip: &ip, ledger: &self.ledger };
        let message = Message { kind: Kind::Text, bytes: text.as_bytes() };
        inspect(&self.plan, memory, &cx, &mut self.work, &message).findings.first().map(|finding| finding.reason)
    }
}

fn user(name: &str) -> Principal {
    Principal { subject: Some(name.into()), session: Some(format!("{name}-1").into()), ..Principal::anonymous() }
}

#[test]
fn an_id_counts_once_for_all_connections_of_a_user_and_guests_answer_for_themselves() {
    let mut house = House::new(
        "upstream: ws://127.0.0.1:1\nmessages: { inbound: { limits: [], envelope: { replay_ids_max: 64, replay_per: user } } }",
    );
    let (ann, bob, guest) = (user("ann"), user("bob"), Principal::anonymous());
    let (mut first, mut second) = (Memory::new(), Memory::new());
    let id = r#"{"id":"7"}"#;
    assert_eq!(house.say(&mut first, &ann, id), None);
    assert_eq!(house.say(&mut second, &ann, id), Some(Reason::Replayed));
    assert_eq!(house.say(&mut Memory::new(), &bob, id), None);
    drop((first, second));
    assert_eq!(house.say(&mut Memory::new(), &ann, id), Some(Reason::Replayed), "after all of them closed");
    assert_eq!(house.say(&mut Memory::new(), &guest, id), None);
    assert_eq!(house.say(&mut Memory::new(), &guest, id), None);
}

const SECRET: &str = "a secret of thirty-two bytes, here";

fn csrf(more: &str) -> House {
    House::new(&format!(
        "upstream: ws://127.0.0.1:1\nidentity: {{ csrf: {{ secret: '{SECRET}'{more} }} }}\n\
         messages: {{ inbound: {{ limits: [], csrf: {{ types: [pay.*] }} }} }}"
    ))
}

fn token(principal: &Principal, route: &str, operation: &str) -> String {
    let signer = Signer::new(SECRET.as_bytes(), Duration::from_secs(3600));
    signer
        .issue(&Purpose { route, principal, operation: operation.as_bytes() }, [operation.len() as u8; 16], NOW_S)
        .unwrap()
}

fn pay(token: &str) -> String {
    format!(r#"{{"type":"pay.now","csrf":"{token}"}}"#)
}

#[test]
fn a_type_that_demands_a_token_passes_with_one_made_for_it_alone() {
    let (ann, bob) = (user("ann"), user("bob"));
    let elsewhere = Principal { session: Some("ann-2".into()), ..ann.clone() };
    let mut house = csrf("");
    let mut memory = Memory::new();
    let own = token(&ann, "default", "pay.now");
    for (principal, text, expected) in [
        (&ann, r#"{"type":"say"}"#.to_owned(), None),
        (&ann, pay(&own), None),
        (&ann, pay(&own), None),
        (&ann, r#"{"type":"pay.now"}"#.to_owned(), Some(Reason::CsrfMissing)),
        (&ann, r#"{"csrf":"x"}"#.to_owned(), Some(Reason::CsrfMissing)),
        (&ann, pay("pcc_nonsense"), Some(Reason::CsrfInvalid)),
        (&bob, pay(&own), Some(Reason::CsrfInvalid)),
        (&elsewhere, pay(&own), Some(Reason::CsrfInvalid)),
        (&ann, pay(&token(&ann, "other", "pay.now")), Some(Reason::CsrfInvalid)),
        (&ann, pay(&token(&ann, "default", "pay.later")), Some(Reason::CsrfInvalid)),
        (&Principal::anonymous(), pay(&own), Some(Reason::CsrfInvalid)),
    ] {
        assert_eq!(house.say(&mut memory, principal, &text), expected, "{text}");
    }
    house.now_s += 3600;
    assert_eq!(house.say(&mut memory, &ann, &pay(&own)), Some(Reason::CsrfInvalid), "its hour is over");
}

#[test]
fn a_token_of_single_use_is_used_up_on_every_connection() {
    let ann = user("ann");
    let mut house = csrf(", single_use: on");
    let own = pay(&token(&ann, "default", "pay.now"));
    assert_eq!(house.say(&mut Memory::new(), &ann, &own), None);
    assert_eq!(house.say(&mut Memory::new(), &ann, &own), Some(Reason::CsrfInvalid));
}

#[test]
fn csrf_is_refused_where_it_could_not_work() {
    for (text, message) in [
        ("messages: { inbound: { csrf: { types: [pay] } } }", "nobody issues tokens"),
        ("identity: { csrf: {} }", "tokens need a secret"),
        ("identity: { csrf: { secret: short } }", "the secret has 5 bytes"),
        ("identity: { csrf: { ttl: 2d, secret: 'a secret of thirty-two bytes, here' } }", "10 seconds to a day"),
        (
            "identity: { csrf: { secret: 'a secret of thirty-two bytes, here' } }\nmessages: { inbound: { json: { mode: off }, csrf: { types: [pay] } } }",
            "nobody can read a token while JSON is off",
        ),
    ] {
        let text = format!("upstream: ws://127.0.0.1:1\n{text}");
        let errors = load(Some(Source { name: "p.yaml", text: &text }), &Overrides::default(), &Nowhere).unwrap_err();
        assert!(errors.to_string().contains(message), "{errors}");
        assert!(errors.0[0].location.is_some(), "{errors}");
    }
}
