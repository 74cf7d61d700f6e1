//! Topics that a connection subscribed to.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::inspection::callback::{Heard, answered};
use portcullis_core::inspection::{Action, Direction, Memory, Plan, TOPIC_BYTES_MAX, Workspace};
use portcullis_core::policy::checked::{Callback, LimitKey, Messages, OnFailure, OnRefuse, Subscriptions, TopicAt};
use portcullis_core::verdict::Reason;

use super::house::{bare, compiled, decided, limit, with};

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

#[test]
fn a_subscription_that_a_callback_refuses_is_not_noted_nor_is_one_that_waits() {
    let at = |pattern: &str| TopicAt { pattern: pattern.into(), pointer: "/room".into() };
    let subscriptions = Subscriptions { begin: vec![at("join")], end: vec![at("leave")], max: 2 };
    let callbacks = vec![Arc::new(Callback {
        name: "bouncer".into(),
        url: "http://127.0.0.1:1/".into(),
        token: None,
        types: None,
        timeout: Duration::from_secs(1),
        concurrency_max: 1,
        on_failure: OnFailure::Deny,
        on_refuse: OnRefuse::Reply,
        may_rewrite: true,
    })];
    let inbound = Messages { subscriptions: Some(subscriptions), callbacks, ..bare() };
    let outbound = Messages { subscribed: vec![at("text")], ..bare() };
    let (inbound, outbound) = (compiled(&inbound, Direction::Inbound), compiled(&outbound, Direction::Outbound));
    let (mut says, mut hears) = Memory::pair(&inbound, &outbound);
    let mut work = Workspace::new(7);
    let mut hears = |work: &mut Workspace, room: &str| {
        let text = format!(r#"{{"type":"text","room":"{room}"}}"#);
        decided(&outbound, &mut hears, work, &text).action == Action::Pass
    };
    let allowed = || Heard::Body(br#"{"allow":true}"#.to_vec());
    let moved = |kind: &str| {
        let text = format!(r#"{{"allow":true,"message":{{"type":"{kind}","room":"r9"}}}}"#);
        Heard::Body(text.into_bytes())
    };
    // What is said, what is answered → is `r1` heard then, is `r9`?
    for (number, (kind, answer, one, nine)) in [
        ("join", Heard::Forbidden(403), false, false),
        ("join", Heard::Failed("gone".into()), false, false),
        ("join", allowed(), true, false),
        ("leave", Heard::Forbidden(403), true, false),
        ("join", moved("join"), true, true),
        ("leave", moved("leave"), true, false),
        ("leave", allowed(), false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let before = (hears(&mut work, "r1"), hears(&mut work, "r9"));
        let verdict = decided(&inbound, &mut says, &mut work, &format!(r#"{{"type":"{kind}","room":"r1"}}"#));
        let mut ask = verdict.ask.expect("a question");
        assert_eq!((hears(&mut work, "r1"), hears(&mut work, "r9")), before, "{number}: it waits");
        with(|cx| {
            let callback = Arc::clone(&ask.callbacks[0]);
            let finding = ask.conclude(&inbound, cx, &mut work, &callback, answer);
            answered(&inbound, &mut says, cx, &mut ask, finding.into_iter().collect())
        });
        assert_eq!((hears(&mut work, "r1"), hears(&mut work, "r9")), (one, nine), "{number}");
    }
}
