//! `audit tail|search` and `explain`, on an audit written by the store itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::event::{Decision, Event, Origin};
use portcullis_core::verdict::Reason;
use portcullis_store::{AuditLog, Settings};
use support::{Folder, run};

fn id(number: u32) -> String {
    format!("018f3c5e-{number:04x}-7c3d-8e2f-0123456789ab")
}

fn event(number: u32, age: Duration, reason: Reason, user: &str) -> Event {
    let at = (SystemTime::now() - age).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Event {
        id: id(number),
        time_unix_ms: u64::try_from(at.as_millis()).unwrap(),
        reason,
        decision: Decision::Replied,
        check: "sqli",
        origin: Arc::new(Origin {
            source_ip: Some("203.0.113.9".parse().unwrap()),
            connection: Some("c1".into()),
            session: None,
            user: Some(user.into()),
            tenant: Some("acme".into()),
            route: Some("chat".into()),
        }),
        message_type: Some("say".into()),
        detail: "at /text: quote, then OR".into(),
        metadata: vec![("class", "sqli".into())],
    }
}

/// Three events: a day old, an hour old, a minute old.
fn written() -> Folder {
    let folder = Folder::new();
    let log = AuditLog::open(&folder.0.join(portcullis_gateway::AUDIT_FILE), &Settings::default()).unwrap();
    let (day, hour, minute) = (Duration::from_secs(90_000), Duration::from_secs(3_600), Duration::from_secs(60));
    for event in [
        event(1, day, Reason::ConnectionAccepted, "ada"),
        event(2, hour, Reason::ThreatSqli, "eve\u{1b}[2J"),
        event(3, minute, Reason::MessageRate, "ada"),
    ] {
        log.record_durably(event).unwrap();
    }
    log.close();
    folder
}

fn ids(said: &support::Said) -> Vec<String> {
    let event = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    said.out.lines().map(|line| event(line)["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn search_finds_by_every_filter_newest_first() {
    let folder = written();
    let cases: [(&[&str], &[u32]); 10] = [
        (&[], &[3, 2, 1]),
        (&["--limit", "1"], &[3]),
        (&["--since", "2h"], &[3, 2]),
        (&["--until", "2h"], &[1]),
        (&["--type", "threat_sqli"], &[2]),
        (&["--type", "threat_sqli", "--type", "message_rate"], &[3, 2]),
        (&["--severity", "high"], &[2]),
        (&["--user", "ada"], &[3, 1]),
        (&["--ip", "203.0.113.9", "--tenant", "acme"], &[3, 2, 1]),
        (&["--text", "quote OR"], &[3, 2, 1]),
    ];
    for (filter, expected) in cases {
        let said = run(&folder, &[&["audit", "search", "--state", ".", "--json"], filter].concat()).ends(0);
        assert_eq!(ids(&said), expected.iter().map(|number| id(*number)).collect::<Vec<_>>(), "{filter:?}");
    }
}

#[test]
fn nothing_found_gives_one_and_nonsense_two() {
    let folder = written();
    run(&folder, &["audit", "search", "--state", ".", "--user", "nobody"]).ends(1);
    run(&folder, &["audit", "search", "--state", ".", "--since", "yesterday"]).ends(2);
    run(&folder, &["audit", "search", "--state", ".", "--text", "?!"]).ends(2);
}

#[test]
fn the_terminal_is_not_driven_by_what_a_client_said() {
    let said = run(&written(), &["audit", "search", "--state", "."]).ends(0);
    assert!(said.out.contains("user=eve\\u{1b}[2J") && !said.out.contains('\u{1b}'), "{}", said.out);
}

#[test]
fn tail_prints_the_last_ones_oldest_first() {
    let said = run(&written(), &["audit", "tail", "--state", ".", "--no-follow", "-n", "2", "--json"]).ends(0);
    assert_eq!(ids(&said), [id(2), id(3)]);
}

#[test]
fn the_state_is_found_through_the_configuration() {
    let folder = written();
    folder.file("gate.yaml", "environment: development\nupstream: ws://127.0.0.1:1\nstate: { dir: . }\n");
    run(&folder, &["audit", "search", "--config", "gate.yaml"]).ends(0);
}

#[test]
fn where_there_is_no_audit_it_says_where_it_looked() {
    let folder = Folder::new();
    for command in [vec!["audit", "tail"], vec!["audit", "search"], vec!["explain", "018f3c5e-0001"]] {
        let said = run(&folder, &command).ends(4);
        assert!(said.err.contains("portcullis-state") && said.err.contains("--state"), "{}", said.err);
    }
}

#[test]
fn explain_says_what_why_which_check_and_what_to_do() {
    let folder = written();
    for reference in [id(2), "018f3c5e-0002".to_owned(), id(2).to_uppercase()] {
        let said = run(&folder, &["explain", &reference, "--state", "."]).ends(0).out;
        for part in
            ["threat_sqli", "replied", "sqli", "at /text", "203.0.113.9", "1008", "see the finding", "\\u{1b}[2J"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let json = run(&folder, &["explain", &id(2), "--state", ".", "--json"]).ends(0).json();
    assert_eq!((json["event"]["check"].clone(), json["reason"]["close_code"].clone()), ("sqli".into(), 1008.into()));
}

#[test]
fn a_reason_is_explained_without_an_audit() {
    let folder = Folder::new();
    let said = run(&folder, &["explain", "token_expired"]).ends(0).out;
    assert!(said.contains("4001") && said.contains("fetch a new token"), "{said}");
}

#[test]
fn what_cannot_be_explained_is_said() {
    let folder = written();
    run(&folder, &["explain", &id(9), "--state", "."]).ends(1);
    run(&folder, &["explain", "no_such_reason", "--state", "."]).ends(2);
    run(&folder, &["explain", "018f3c5e", "--state", "."]).ends(4);
}
