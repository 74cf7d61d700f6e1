//! Searches by whom an event is about, held against a slow and obvious answer: over chunks, segments, restarts, sweeps,
//! failures, and files of the first version.

use std::time::Duration;

use portcullis_core::event::{Decision, Event};
use portcullis_core::verdict::{Reason, Severity};
use rusqlite::Connection;

use super::{Folder, PATIENCE, ids, settings, with};
use crate::row::tests::{about, event};
use crate::{AuditReader, Query, Recorded, Settings, StoreError};

/// Who an event of this number is about: many of some, few of others, one of most connections.
fn mixed(number: u32) -> Event {
    let modulo = |by: u32, name: &str| Some(format!("{name}{}", number % by));
    let reason = if number.is_multiple_of(2) { Reason::ConnectionAccepted } else { Reason::ThreatXss };
    let mut event = about(with(&format!("{number:05}"), reason), |origin| {
        let network = [10, 0, (number % 3) as u8, (number % 7) as u8];
        origin.source_ip = (!number.is_multiple_of(11)).then(|| network.into());
        origin.connection = modulo(2_999, "c").filter(|_| !number.is_multiple_of(5));
        origin.user = modulo(701, "u").filter(|_| !number.is_multiple_of(3));
        origin.tenant = modulo(2, "t");
        origin.session = modulo(9, "s").filter(|_| number.is_multiple_of(4));
    });
    // Runs of what connections write when they come and go, and others between.
    if number % 100 > 20 {
        let (reason, check) = if number.is_multiple_of(3) {
            (Reason::ConnectionClosed, "relay")
        } else {
            (Reason::ConnectionAccepted, "admission")
        };
        (event.reason, event.check, event.decision, event.message_type) = (reason, check, Decision::Allowed, None);
    }
    // Most have no words.
    event.detail = if number.is_multiple_of(40) { format!("word{number}") } else { String::new() };
    event
}

fn questions() -> Vec<Query> {
    let all = Query::default;
    let user = |user: &str| Some(user.to_owned());
    vec![
        Query { user: user("u7"), ..all() },
        Query { user: user("u8"), severity_min: Some(Severity::High), ..all() },
        Query { user: user("u9"), tenant: Some("t1".into()), ..all() },
        Query { user: user("nobody"), ..all() },
        Query { tenant: Some("t0".into()), ..all() },
        Query { tenant: Some("u7".into()), ..all() },
        Query { connection: Some("c17".into()), ..all() },
        Query { connection: Some("c17".into()), ip: Some([10, 0, 2, 2].into()), ..all() },
        Query { ip: Some([10, 0, 1, 4].into()), ..all() },
        Query { ip: Some([10, 0, 9, 9].into()), ..all() },
        Query { ip: Some([10, 0, 1, 4].into()), types: vec!["threat_xss".into()], ..all() },
        Query { user: user("u40"), text: Some("word".into()), ..all() },
    ]
}

/// The slow and obvious answer, oldest first.
fn answer(query: &Query, events: &[Event]) -> Vec<String> {
    let is = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
    let answers = |event: &&Event| {
        is(&query.user, &event.origin.user)
            && is(&query.tenant, &event.origin.tenant)
            && is(&query.connection, &event.origin.connection)
            && (query.ip.is_none() || query.ip == event.origin.source_ip)
            && query.severity_min.is_none_or(|least| event.reason.row().severity >= least)
            && (query.types.is_empty() || query.types.iter().any(|label| label == event.reason.label()))
            && query.text.as_ref().is_none_or(|text| event.detail.starts_with(text))
    };
    events.iter().filter(answers).map(|event| event.id.clone()).collect()
}

/// All pages of an answer, oldest first.
fn found(reader: &AuditReader, query: &Query) -> Vec<String> {
    let (mut all, mut after_id) = (Vec::new(), None);
    loop {
        let page = reader.search(&Query { limit: Some(7), after_id, ..query.clone() }).unwrap();
        let Some(last) = page.last() else { break };
        after_id = Some(last.id.clone());
        all.extend(page.into_iter().map(|event| event.id));
    }
    all.reverse();
    all
}

#[test]
fn searches_by_who_it_was_find_what_a_walk_over_all_events_finds() {
    let folder = Folder::new();
    let events: Vec<Event> = (0..3_000).map(mixed).collect();
    for (number, half) in events.chunks(1_700).enumerate() {
        let log = folder.log(&settings());
        for (at, event) in half.iter().enumerate() {
            let _ = log.record(event.clone());
            // Batches of one event, and of many.
            if at % 400 < 2 {
                log.flush(PATIENCE).unwrap();
            }
        }
        log.close();
        assert_eq!(folder.reader().newest_seq().unwrap(), [1_700, 3_000][number]);
    }
    let reader = folder.reader();
    for query in questions() {
        assert_eq!(found(&reader, &query), answer(&query, &events), "{query:?}");
    }
}

#[test]
fn events_of_connections_that_come_and_go_come_back_as_they_were_recorded() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let events: Vec<Event> = (0..1_000).map(mixed).collect();
    for event in &events {
        let _ = log.record(event.clone());
    }
    log.flush(PATIENCE).unwrap();
    let found = folder.reader().tail(0, 1_000).unwrap();
    assert_eq!(found.len(), events.len());
    for (found, event) in found.iter().zip(&events) {
        let (row, origin) = (event.reason.row(), &event.origin);
        let kept = (&found.id, found.kind.as_str(), found.category.as_str(), found.severity, found.check.as_str());
        assert_eq!(kept, (&event.id, row.label, row.category.label(), row.severity, event.check));
        assert_eq!((found.decision.as_str(), &found.detail), (event.decision.label(), &event.detail), "{event:?}");
        assert_eq!(found.source_ip, origin.source_ip.map(|ip| ip.to_string()));
        assert_eq!(
            (&found.connection, &found.session, &found.user),
            (&origin.connection, &origin.session, &origin.user)
        );
        assert_eq!((&found.tenant, &found.route), (&origin.tenant, &origin.route));
        assert_eq!((&found.message_type, found.metadata.len()), (&event.message_type, event.metadata.len()));
    }
}

#[test]
fn what_was_swept_is_found_no_more_and_leaves_no_places_behind() {
    let folder = Folder::new();
    let log = folder.log(&Settings { queue_max: 20_000, ..settings() });
    // One segment and a little; the last hundred stay.
    let count = 16_384 + 300;
    let plain = |n: u32| Event {
        time_unix_ms: if n < count - 100 { 1_000 } else { 1 << 42 },
        detail: String::new(),
        ..mixed(n)
    };
    let events: Vec<Event> = (0..count).map(plain).collect();
    for event in &events {
        assert_eq!(log.record(event.clone()), Recorded::Queued);
    }
    log.flush(PATIENCE).unwrap();
    log.close();
    let places = |segment: i64| -> i64 {
        let sql = "SELECT count(*) FROM places WHERE place >> 36 = ?1";
        Connection::open(folder.file()).unwrap().query_row(sql, [segment], |row| row.get(0)).unwrap()
    };
    assert!(places(0) > 1_000 && places(1) > 100);
    let log = folder.log(&Settings { retention: Duration::from_secs(30 * 365 * 86_400), ..settings() });
    log.sweep(PATIENCE).unwrap();
    assert_eq!(log.status().swept, u64::from(count) - 100);
    assert_eq!(places(0), 0);
    assert!(places(1) > 100);
    for query in questions() {
        assert_eq!(found(&folder.reader(), &query), answer(&query, &events[count as usize - 100..]), "{query:?}");
    }
}

#[test]
fn a_batch_whose_commit_failed_is_found_once_it_is_written() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    log.record_durably(event("before")).unwrap();
    let other = Connection::open(folder.file()).unwrap();
    // The commit fails, after every row and place was written.
    let doomed = "CREATE TABLE parents (id INTEGER PRIMARY KEY);
         CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER doomed AFTER INSERT ON events WHEN new.user = 'bad' BEGIN INSERT INTO children VALUES (1); END";
    other.execute_batch(doomed).unwrap();
    for user in ["good", "bad"] {
        let _ = log.record(about(event(user), |origin| origin.user = Some(user.into())));
    }
    while log.status().write_failures == 0 {
        std::thread::yield_now();
    }
    other.execute_batch("DROP TRIGGER doomed").unwrap();
    log.flush(PATIENCE).unwrap();
    for user in ["good", "bad"] {
        let query = Query { user: Some(user.into()), ..Query::default() };
        assert_eq!(ids(&folder.reader().search(&query).unwrap()), [user]);
    }
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date_by_a_writer() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let events: Vec<Event> = (0..2_500).map(mixed).collect();
    for event in &events {
        let _ = log.record(event.clone());
    }
    log.close();
    Connection::open(folder.file())
        .unwrap()
        .execute_batch(
            "DROP TABLE places;
         CREATE INDEX events_by_source_ip ON events (source_ip) WHERE source_ip IS NOT NULL;
         CREATE INDEX events_by_connection ON events (connection) WHERE connection IS NOT NULL;
         CREATE INDEX events_by_user ON events (user) WHERE user IS NOT NULL;
         CREATE INDEX events_by_tenant ON events (tenant) WHERE tenant IS NOT NULL;
         PRAGMA user_version = 1",
        )
        .unwrap();
    let error = AuditReader::open_read_only(&folder.file()).unwrap_err();
    assert!(
        matches!(error, StoreError::Older { found: 1, .. }) && error.to_string().contains("start the gateway"),
        "{error}"
    );
    folder.log(&settings()).close();
    for query in questions() {
        assert_eq!(found(&folder.reader(), &query), answer(&query, &events), "{query:?}");
    }
}
