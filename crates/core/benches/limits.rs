//! One check of a limit, as a message meets it: a bucket and a window of a connection's own, and a counter that threads
//! share. Ledger and table are asked once a connection and so are not in it.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis_core::limits::{Bucket, Counter, Limit, LimitState, Window};

const ROUNDS: u64 = 10_000_000;

fn main() {
    let bucket = Limit::Bucket(Bucket::new(1000, Duration::from_secs(1), 100));
    let window = Limit::Window(Window::new(1000, Duration::from_secs(1)));
    for (name, limit) in [("bucket", bucket), ("window", window)] {
        let mut state = LimitState::default();
        report(name, |now| limit.check(black_box(&mut state), black_box(now), 1).allowed);
        let counter = Counter::default();
        report(&format!("{name}, shared"), |now| black_box(&counter).check(&limit, black_box(now), 1).allowed);
    }
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
