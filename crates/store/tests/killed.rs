//! What was acknowledged survives `kill -9` (SPEC 10.3): a real process records from several threads,
//! names each event once it is acknowledged, and is killed in the middle of it.
#![cfg(test)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use portcullis_core::event::{Decision, Event, Origin};
use portcullis_core::verdict::Reason;
use portcullis_store::{AuditLog, AuditReader, LIMIT_MAX, Settings};

const FILE: &str = "PORTCULLIS_TEST_AUDIT";
const THREADS: usize = 32;
/// Acknowledged events before each kill, and how often one is killed over the same file.
const ACKNOWLEDGED: usize = 2_000;
const KILLS: usize = 3;

fn event(id: String) -> Event {
    Event {
        id,
        time_unix_ms: 1_800_000_000_000,
        reason: Reason::ThreatSqli,
        decision: Decision::Closed,
        check: "threat",
        origin: Arc::new(Origin {
            source_ip: Some([192, 0, 2, 1].into()),
            user: Some("alice".into()),
            route: Some("chat".into()),
            ..Origin::default()
        }),
        message_type: None,
        detail: "a string closes its context".into(),
        metadata: Vec::new(),
    }
}

/// The process that is killed; run by the test below only.
#[test]
fn records_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let settings = Settings { retention: std::time::Duration::from_secs(100 * 365 * 86_400), ..Settings::default() };
    let log = AuditLog::open(Path::new(&file), &settings).unwrap();
    let out = Mutex::new(std::io::stdout());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let id = uuid::Uuid::now_v7().to_string();
                    log.record_durably(event(id.clone())).unwrap();
                    let mut out = out.lock().unwrap();
                    writeln!(out, "kept {id}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

/// Runs the process until it named enough events, kills it, and returns all it named.
fn acknowledged_before_a_kill(file: &Path) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "records_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = |line: std::io::Result<String>| Some(line.ok()?.split_once("kept ")?.1.to_owned());
    let mut named: Vec<String> = lines.by_ref().filter_map(id).take(ACKNOWLEDGED).collect();
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    // What was named between the last read and the kill counts as well.
    named.extend(lines.filter_map(id).filter(|id| id.len() == 36));
    assert!(!child.wait().unwrap().success());
    named
}

#[test]
fn no_acknowledged_event_is_lost_when_the_process_is_killed() {
    let folder: PathBuf = std::env::temp_dir().join(format!("portcullis-killed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("audit.db");
    let mut acknowledged = Vec::new();
    for _ in 0..KILLS {
        acknowledged.extend(acknowledged_before_a_kill(&file));
    }
    assert!(acknowledged.len() >= KILLS * ACKNOWLEDGED);

    let reader = AuditReader::open_read_only(&file).unwrap();
    let (mut kept, mut after) = (HashSet::new(), 0);
    loop {
        let page = reader.tail(after, LIMIT_MAX).unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        kept.extend(page.into_iter().map(|event| event.id));
    }
    let lost = acknowledged.iter().filter(|id| !kept.contains(*id)).count();
    println!("{} acknowledged over {KILLS} kills, {} kept, {lost} lost", acknowledged.len(), kept.len());
    assert_eq!(lost, 0);
    std::fs::remove_dir_all(&folder).unwrap();
}
