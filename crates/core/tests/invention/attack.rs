//! An inventor of keys at the tables of limits, admission's scores and profiles, and what must hold against it.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use portcullis_core::limits::{Bucket, Ledger, Limit, Party};
use portcullis_core::policy::checked::{Anomalies as Rules, AnomalyAction, Reputation};
use portcullis_core::reputation::{Anomalies, Fact, Scores, Standing};
use portcullis_core::time::Now;

const ENTRIES: usize = 65_536;

fn at(milliseconds: u64) -> Now {
    let mono = Duration::from_millis(milliseconds);
    Now { mono, wall: Duration::from_secs(1_700_000_000) + mono }
}

fn reputation() -> Reputation {
    Reputation { subnet_times: None, tracked_max: ENTRIES, ..Reputation::default() }
}

/// So many keys are invented within ten minutes, so that nothing fades by itself.
pub(crate) fn invent(keys: u64) {
    let limit = Limit::Bucket(Bucket::new(10, Duration::from_secs(3600), 10));
    let ledger = Ledger::new(ENTRIES, [1, 2]);
    let scores = Scores::new(&reputation(), Vec::new(), [3, 4]);
    let rules = Rules { action: Some(AnomalyAction::Observe), learn: 20, over: 10, threshold: 4, tracked_max: ENTRIES };
    let profiles = Anomalies::new(&rules, [5, 6]);
    let address: IpAddr = "203.0.113.9".parse().unwrap();
    // A penalty of each kind: a limit used up, a standing.
    let mallory = ledger.key(1, Party::User("mallory"));
    assert!(ledger.counter(&limit, &mallory, 1).counter.check(&limit, 1, 10).allowed);
    for _ in 0..3 {
        scores.count(Fact::Threat, address, Some("mallory"), at(1));
    }
    let mut most = (0, 0, 0);
    for n in 0..keys {
        let now = at(1 + n * 600_000 / keys);
        let name = format!("invented-{n}");
        let key = ledger.key(1, Party::User(&name));
        ledger.counter(&limit, &key, now.mono_nanos()).counter.check(&limit, now.mono_nanos(), 1);
        let invented = Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n) << 64);
        scores.count(Fact::RefusedHandshake, invented.into(), None, now);
        profiles.sent(&name, 1, 10, 1 << (n % 64), now);
        if n % 10_000 == 0 {
            most = (most.0.max(ledger.len()), most.1.max(scores.tracked()), most.2.max(profiles.tracked()));
        }
    }
    assert!(most.0 <= ENTRIES && most.1 <= ENTRIES && most.2 <= ENTRIES, "{most:?}");
    let end = at(600_000);
    let allowed =
        ledger.counter(&limit, &mallory, end.mono_nanos()).counter.check(&limit, end.mono_nanos(), 10).allowed;
    assert!(!allowed, "the limit that was used up is used up");
    assert!(scores.standing(address, Some("mallory"), end) >= Standing::Suspicious, "and the standing stands");
    println!(
        "{keys} keys: at most {} limits, {} scores, {} profiles held; the penalties stand",
        most.0, most.1, most.2
    );
    println!("resident memory: {} KiB", resident_kib());
}

/// What the process holds, as Linux says it; 0 elsewhere.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
