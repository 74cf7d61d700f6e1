//! The audit as its users meet it: a real file, the writer's thread, a reader beside it.

mod who;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis_core::event::{Event, Origin};
use portcullis_core::verdict::{Category, Reason, Severity};
use rusqlite::Connection;

use crate::row::tests::{about, event};
use crate::{AuditLog, AuditReader, Query, RESERVE_MAX, Recorded, Settings, StoreError};

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("portcullis-audit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("audit.db")
    }

    fn log(&self, settings: &Settings) -> AuditLog {
        AuditLog::open(&self.file(), settings).unwrap()
    }

    fn reader(&self) -> AuditReader {
        AuditReader::open_read_only(&self.file()).unwrap()
    }

    /// Another program that holds the file's write lock until it is dropped.
    fn locked(&self) -> Connection {
        let other = Connection::open(self.file()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings() -> Settings {
    // The samples' time is in the past of some clocks and the future of others.
    Settings {
        busy_timeout: Duration::from_millis(5),
        retention: Duration::from_secs(100 * 365 * 86_400),
        ..Settings::default()
    }
}

fn with(id: &str, reason: Reason) -> Event {
    Event { reason, ..event(id) }
}

fn ids(events: &[crate::StoredEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

#[test]
fn events_written_together_keep_their_order_and_their_words() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let ordinary = |number: usize| number % 30 != 7;
    let sent: Vec<Event> = (0..100)
        .map(|number| {
            let detail = if ordinary(number) { String::new() } else { format!("word{number}") };
            let one = about(event(&format!("id-{number:03}")), |origin| origin.user = Some(format!("u{number}")));
            Event { detail, ..one }
        })
        .collect();
    // The first is repeated, as after a failure that was none.
    for one in sent.iter().chain(sent.first()) {
        assert_eq!(log.record(one.clone()), Recorded::Queued);
    }
    log.flush(PATIENCE).unwrap();
    let reader = folder.reader();
    let found = reader.search(&Query { limit: Some(200), ..Query::default() }).unwrap();
    let mut in_order: Vec<_> = found.iter().map(|event| (event.seq, event.id.clone(), event.user.clone())).collect();
    in_order.sort();
    let expected: Vec<_> = sent.iter().map(|event| (event.id.clone(), event.origin.user.clone())).collect();
    assert_eq!(in_order.into_iter().map(|(_, id, user)| (id, user)).collect::<Vec<_>>(), expected);
    for number in [7, 37, 67, 97] {
        let query = Query { text: Some(format!("word{number}")), ..Query::default() };
        assert_eq!(ids(&reader.search(&query).unwrap()), [format!("id-{number:03}")]);
    }
}

#[test]
fn an_event_comes_back_as_it_was_recorded() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let mut sent = about(event("0190aaaa-0000-7000-8000-000000000001"), |origin| {
        origin.session = Some("s1".into());
        origin.source_ip = Some("2001:db8::7".parse().unwrap());
    });
    sent.metadata.push(("bytes", 12.into()));
    log.record_durably(sent.clone()).unwrap();
    let found = folder.reader().by_reference(&sent.id).unwrap().unwrap();
    assert_eq!(found.seq, 1);
    assert_eq!((found.kind.as_str(), found.category.as_str()), ("threat_xss", "security"));
    assert_eq!((found.severity, found.decision.as_str(), found.check.as_str()), (Severity::High, "replied", "threat"));
    assert_eq!(found.source_ip.as_deref(), Some("2001:db8::7"));
    let origin = Origin::clone(&sent.origin);
    assert_eq!((found.connection, found.session), (origin.connection, origin.session));
    assert_eq!((found.user, found.tenant), (origin.user, origin.tenant));
    assert_eq!((found.route, found.message_type), (origin.route, sent.message_type));
    let metadata = [("field", "/text"), ("bytes", "12")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((found.detail, found.metadata, found.time_unix_ms), (sent.detail, metadata.to_vec(), sent.time_unix_ms));
}

#[test]
fn each_condition_finds_its_events_newest_first() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let mut other = about(with("b", Reason::CredentialMissing), |origin| {
        origin.source_ip = Some([198, 51, 100, 1].into());
        origin.user = None;
        origin.tenant = Some("south".into());
        origin.connection = Some("c2".into());
    });
    other.time_unix_ms += 1000;
    other.detail = "nothing in the header".into();
    let base = event("a").time_unix_ms;
    for event in [event("a"), other, event("c")] {
        assert_eq!(log.record(event), Recorded::Queued);
    }
    log.flush(PATIENCE).unwrap();
    let reader = folder.reader();
    let all = Query::default;
    let cases: [(Query, &[&str]); 15] = [
        (all(), &["c", "b", "a"]),
        (Query { limit: Some(1), ..all() }, &["c"]),
        (Query { types: vec!["credential_missing".into()], ..all() }, &["b"]),
        (Query { types: vec!["credential_missing".into(), "threat_xss".into()], ..all() }, &["c", "b", "a"]),
        (Query { severity_min: Some(Severity::High), ..all() }, &["c", "a"]),
        (Query { severity_min: Some(Severity::Critical), ..all() }, &[]),
        (Query { category: Some(Category::Authentication), ..all() }, &["b"]),
        (Query { ip: Some([198, 51, 100, 1].into()), ..all() }, &["b"]),
        (Query { user: Some("alice".into()), tenant: Some("north".into()), ..all() }, &["c", "a"]),
        (Query { user: Some("alice".into()), tenant: Some("south".into()), ..all() }, &[]),
        (Query { connection: Some("c2".into()), ..all() }, &["b"]),
        (Query { since: Some(base + 1000), ..all() }, &["b"]),
        (Query { until: Some(base + 1000), ..all() }, &["c", "a"]),
        (Query { text: Some("SCRIPT tex".into()), ..all() }, &["c", "a"]),
        (Query { text: Some("header".into()), severity_min: Some(Severity::High), ..all() }, &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&reader.search(&query).unwrap()), expected, "{query:?}");
    }
}

#[test]
fn pages_and_tails_walk_over_every_event_once() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    for n in 0..25 {
        let _ = log.record(event(&format!("e{n}")));
    }
    log.flush(PATIENCE).unwrap();
    let reader = folder.reader();
    for text in [None, Some("script".to_owned())] {
        let (mut seen, mut after_id) = (Vec::new(), None);
        loop {
            let query = Query { limit: Some(10), text: text.clone(), after_id, ..Query::default() };
            let page = reader.search(&query).unwrap();
            let Some(last) = page.last() else { break };
            after_id = Some(last.id.clone());
            seen.extend(page.into_iter().map(|event| event.seq));
        }
        assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
    }
    let first = reader.tail(0, 10).unwrap();
    let rest = reader.tail(first.last().unwrap().seq, 100).unwrap();
    assert_eq!((first.len(), rest.len(), rest.last().unwrap().seq), (10, 15, reader.newest_seq().unwrap()));
}

#[test]
fn a_reader_sees_what_is_written_after_it_opened() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let reader = folder.reader();
    assert_eq!(reader.newest_seq().unwrap(), 0);
    log.record_durably(event("a")).unwrap();
    assert_eq!(reader.newest_seq().unwrap(), 1);
    log.close();
    assert_eq!(folder.reader().newest_seq().unwrap(), 1);
}

#[test]
fn a_reference_may_be_shortened_as_long_as_it_is_alone() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let both = ["0190aaaa-1111-7000-8000-000000000001", "0190aaaa-2222-7000-8000-000000000002"];
    for id in both {
        let _ = log.record(event(id));
    }
    log.flush(PATIENCE).unwrap();
    let reader = folder.reader();
    assert_eq!(reader.by_reference("0190AAAA-2").unwrap().unwrap().id, both[1]);
    assert_eq!(reader.by_reference(both[0]).unwrap().unwrap().id, both[0]);
    assert!(reader.by_reference("0190aaab").unwrap().is_none());
    assert!(matches!(reader.by_reference("0190aaaa"), Err(StoreError::AmbiguousReference { .. })));
    for bad in ["0190aaa", "", "0190aaaa%", "' OR 1=1 --"] {
        assert!(matches!(reader.by_reference(bad), Err(StoreError::BadQuery(_))), "{bad}");
    }
}

#[test]
fn hostile_text_is_kept_as_text_and_searched_as_words() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let hostile = "'); DROP TABLE events; -- <script>alert(1)</script> \u{1b}[2J \0 NEAR(a b) \"x\" *";
    let mut sent = about(event("a"), |origin| origin.user = Some("x' OR '1'='1".into()));
    sent.detail = hostile.into();
    log.record_durably(sent).unwrap();
    let reader = folder.reader();
    let find = |text: &str| reader.search(&Query { text: Some(text.into()), ..Query::default() });
    assert_eq!(find("DROP TABLE").unwrap()[0].detail, hostile);
    for words in ["\"drop", "drop* OR nothing NOT", "NEAR(", "type:drop", "drop) OR (1", "a^", "drop\0table"] {
        assert!(find(words).is_ok(), "{words}");
    }
    assert!(matches!(find("\" * ^"), Err(StoreError::BadQuery(_))));
    let by_user = Query { user: Some("' OR 1=1 --".into()), ..Query::default() };
    assert!(reader.search(&by_user).unwrap().is_empty());
}

#[test]
fn a_search_at_its_bounds_runs_and_past_them_is_refused() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    log.record_durably(event("a")).unwrap();
    let reader = folder.reader();
    let all = Query::default;
    for query in [
        Query { limit: Some(crate::LIMIT_MAX), ..all() },
        Query { text: Some("x".repeat(crate::TEXT_BYTES_MAX)), ..all() },
        Query { types: vec!["threat_xss".into(); 64], ..all() },
        Query { since: Some(0), until: Some(u64::MAX), ..all() },
    ] {
        assert!(reader.search(&query).is_ok(), "{query:?}");
    }
    for query in [
        Query { limit: Some(0), ..all() },
        Query { limit: Some(crate::LIMIT_MAX + 1), ..all() },
        Query { text: Some("x".repeat(crate::TEXT_BYTES_MAX + 1)), ..all() },
        Query { types: vec!["threat_xss".into(); 65], ..all() },
        Query { after_id: Some("none".into()), ..all() },
    ] {
        assert!(matches!(reader.search(&query), Err(StoreError::BadQuery(_))), "{query:?}");
    }
}

#[test]
fn at_the_queues_edge_mild_events_are_lost_and_severe_ones_use_the_reserve() {
    let folder = Folder::new();
    let log = folder.log(&Settings { queue_max: 20, ..settings() });
    let lock = folder.locked();
    for n in 0..20 {
        assert_eq!(log.record(with(&format!("low{n}"), Reason::CredentialMissing)), Recorded::Queued);
    }
    assert_eq!(log.record(with("low", Reason::CredentialMissing)), Recorded::Lost);
    assert_eq!(log.record(with("medium", Reason::MessageRate)), Recorded::Lost);
    for n in 0..RESERVE_MAX {
        assert_eq!(log.record(with(&format!("high{n}"), Reason::ThreatXss)), Recorded::Queued);
    }
    assert_eq!(log.record(with("high", Reason::ThreatXss)), Recorded::Lost);
    assert_eq!(log.record(with("critical", Reason::ThreatCommand)), Recorded::Lost);
    assert!(matches!(log.record_durably(event("durable")), Err(StoreError::QueueFull)));
    assert_eq!((log.lost(), log.status().queued), (5, 20 + RESERVE_MAX));
    drop(lock);
    log.flush(PATIENCE).unwrap();
    let status = log.status();
    assert_eq!((status.written, status.queued, status.lost), (20 + RESERVE_MAX as u64, 0, 5));
    assert_eq!(folder.reader().newest_seq().unwrap(), 20 + RESERVE_MAX as i64);
}

#[test]
fn a_locked_file_delays_events_and_says_so_and_loses_none() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let lock = folder.locked();
    let _ = log.record(event("a"));
    while log.status().write_failures < 2 {
        std::thread::yield_now();
    }
    assert!(!log.status().healthy);
    assert!(matches!(log.flush(Duration::from_millis(1)), Err(StoreError::Slow { .. })));
    drop(lock);
    log.flush(PATIENCE).unwrap();
    let status = log.status();
    assert!(status.healthy);
    assert_eq!((status.written, status.lost), (1, 0));
}

#[test]
fn a_full_file_keeps_events_waiting_until_sweeping_made_room() {
    let folder = Folder::new();
    let bound = 400 * 1024;
    let small = Settings { file_bytes_max: Some(bound), queue_max: 2_000, ..settings() };
    let log = folder.log(&small);
    // Long past any retention but the hundred years of these settings.
    let old = |n: u32| Event { time_unix_ms: 1, detail: "x".repeat(500), ..event(&format!("old{n}")) };
    let mut sent = 0;
    while log.status().write_failures == 0 {
        if log.record(old(sent)) == Recorded::Queued {
            sent += 1;
        }
        assert!(sent < 5_000, "the bound holds");
    }
    assert!(!log.status().healthy);
    assert!(std::fs::metadata(folder.file()).unwrap().len() <= bound);
    log.close();
    let log = folder.log(&Settings { retention: Duration::from_secs(86_400), ..small });
    log.record_durably(event("new")).unwrap();
    log.sweep(PATIENCE).unwrap();
    assert!(log.status().healthy);
    assert_eq!(ids(&folder.reader().search(&Query::default()).unwrap()), ["new"]);
}

#[test]
fn sweeping_takes_what_is_past_retention_from_the_table_and_from_the_words() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    for n in 0..1_200 {
        let _ = log.record(Event { time_unix_ms: 1_000, ..event(&format!("old{n}")) });
    }
    let _ = log.record(event("kept"));
    log.flush(PATIENCE).unwrap();
    assert_eq!(log.sweep(PATIENCE).unwrap(), 0);
    log.close();
    let log = folder.log(&Settings { retention: Duration::from_secs(30 * 365 * 86_400), ..settings() });
    log.sweep(PATIENCE).unwrap();
    assert_eq!(log.status().swept, 1_200);
    let words = Query { text: Some("script".into()), ..Query::default() };
    assert_eq!(ids(&folder.reader().search(&words).unwrap()), ["kept"]);
    let sound: String =
        Connection::open(folder.file()).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn closing_writes_what_waits_and_later_events_are_counted_as_lost() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    let clone = log.clone();
    for n in 0..3_000 {
        let _ = log.record(event(&format!("e{n}")));
    }
    log.close();
    assert_eq!(folder.reader().newest_seq().unwrap(), 3_000);
    assert_eq!(clone.record(event("late")), Recorded::Lost);
    assert!(matches!(clone.record_durably(event("late")), Err(StoreError::Closed)));
    assert!(matches!(clone.flush(PATIENCE), Err(StoreError::Closed)));
    assert_eq!(clone.lost(), 2);
    assert!(!clone.status().healthy);
}

#[test]
fn the_last_clone_dropped_writes_what_waits() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    for n in 0..100 {
        let _ = log.record(event(&format!("e{n}")));
    }
    drop(log);
    assert_eq!(folder.reader().newest_seq().unwrap(), 100);
}

#[test]
fn an_id_recorded_twice_is_kept_once() {
    let folder = Folder::new();
    let log = folder.log(&settings());
    log.record_durably(event("a")).unwrap();
    log.record_durably(event("a")).unwrap();
    assert_eq!(folder.reader().search(&Query::default()).unwrap().len(), 1);
}

#[test]
fn files_that_are_not_ours_are_left_alone_with_a_word_on_what_to_do() {
    let folder = Folder::new();
    let path = folder.file();
    assert!(matches!(AuditReader::open_read_only(&path), Err(StoreError::Missing { .. })));

    std::fs::write(&path, "this is a diary, not a database, and it is long enough to have a first page").unwrap();
    let error = AuditLog::open(&path, &settings()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("move it away"), "{error}");
    assert!(matches!(AuditReader::open_read_only(&path), Err(StoreError::Foreign { .. })));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is a diary"));

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(AuditLog::open(&path, &settings()), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let folder = Folder::new();
    folder.log(&settings()).close();
    Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = AuditLog::open(&folder.file(), &settings()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("later version"), "{error}");
    assert!(matches!(AuditReader::open_read_only(&folder.file()), Err(StoreError::Newer { .. })));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = AuditLog::open(std::path::Path::new("/nowhere/audit.db"), &settings()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/audit.db"), "{error}");
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let log = folder.log(&settings());
    log.record_durably(event("a")).unwrap();
    for name in ["audit.db", "audit.db-wal", "audit.db-shm"] {
        let mode = std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
