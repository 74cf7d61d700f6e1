//! One check of a limit, as a message meets it: a bucket and a window of a connection's own, and a counter that threads
//! share; then what a connection asks for once, and the bytes of one key in each table that remembers callers.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis_core::limits::{Bucket, Counter, IpKey, Ledger, Limit, LimitState, Party, Window};
use portcullis_core::policy::checked::{Anomalies as Rules, AnomalyAction, Reputation};
use portcullis_core::reputation::{Anomalies, Fact, Scores};
use portcullis_core::time::Now;

const ROUNDS: u64 = 10_000_000;
/// Keys of the tables: enough that the program itself is nothing beside them.
const KEYS: u32 = 1 << 20;

fn main() {
    let bucket = Limit::Bucket(Bucket::new(1000, Duration::from_secs(1), 100));
    let window = Limit::Window(Window::new(1000, Duration::from_secs(1)));
    for (name, limit) in [("bucket", bucket), ("window", window)] {
        let mut state = LimitState::default();
        report(name, |now| limit.check(black_box(&mut state), black_box(now), 1).allowed);
        let counter = Counter::default();
        report(&format!("{name}, shared"), |now| black_box(&counter).check(&limit, black_box(now), 1).allowed);
    }
    let ledger = Ledger::new(KEYS as usize, [1, 2]);
    tracked("limits", |n| drop(ledger.open(&bucket, 1, Party::Ip(IpKey::of(address(n), 64)), 1)));
    let scores = Scores::new(&reputation(), Vec::new(), [3, 4]);
    let now = Now { mono: Duration::from_secs(1), wall: Duration::from_secs(1_700_000_000) };
    tracked("scores", |n| drop(scores.count(Fact::RefusedHandshake, address(n), None, now)));
    let rules =
        Rules { action: Some(AnomalyAction::Observe), learn: 20, over: 10, threshold: 4, tracked_max: KEYS as usize };
    let profiles = Anomalies::new(&rules, [5, 6]);
    tracked("profiles", |n| drop(profiles.sent(&n.to_string(), 1, 10, 1, now)));
    println!("held: {} limits, {} scores, {} profiles", ledger.len(), scores.tracked(), profiles.tracked());
}

fn address(n: u32) -> std::net::IpAddr {
    std::net::Ipv4Addr::from(0x0A00_0000 + n).into()
}

fn reputation() -> Reputation {
    Reputation { subnet_times: None, tracked_max: KEYS as usize, ..Reputation::default() }
}

/// What one key takes, in time and memory, while a table fills from nothing.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn tracked(name: &str, mut track: impl FnMut(u32)) {
    let (start, before) = (Instant::now(), resident_bytes());
    (0..KEYS).for_each(&mut track);
    let each = start.elapsed().as_nanos() as f64 / f64::from(KEYS);
    let bytes = resident_bytes().saturating_sub(before) as f64 / f64::from(KEYS);
    println!("{name:<16} {each:6.0} ns a new key, {bytes:4.0} bytes a key");
}

/// What the process holds, as Linux says it; 0 elsewhere.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn report(name: &str, mut check: impl FnMut(u64) -> bool) {
    let start = Instant::now();
    let mut passed = 0_u64;
    // 1,500 a second where 1,000 are allowed: both ways through a check are taken.
    for round in 0..ROUNDS {
        passed += u64::from(check(1_000_000_000 + round * 666_667));
    }
    let each = start.elapsed().as_nanos() as f64 / ROUNDS as f64;
    println!("{name:<16} {each:6.1} ns a check, {} of {ROUNDS} passed", black_box(passed));
}
