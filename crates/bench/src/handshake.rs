//! Opening handshakes: each lane connects, upgrades, closes, waits for the end, and begins again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::load::{self, Phase, Times};
use crate::measured::{Figure, Measured, quantile};
use crate::usage::Watch;

/// A connection must have ended this long after its Close.
const CLOSING: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    /// Handshakes under way at once.
    pub(crate) lanes: usize,
    pub(crate) threads: usize,
    pub(crate) times: Times,
}

#[derive(Debug, Default)]
struct Tally {
    took_us: Vec<f64>,
    faults: u64,
    last: Option<Failure>,
}

pub(crate) fn measure(plan: &Plan, watch: &Watch) -> Result<Measured, Failure> {
    let phase = Arc::new(Phase::default());
    let (spent, tallies) = std::thread::scope(|scope| {
        let threads = scope.spawn(|| load::on_threads(plan.threads, |index| drive(plan, phase.clone(), index)));
        let spent = phase.conduct(plan.times, watch);
        threads.join().map(|tallies| (spent, tallies)).map_err(|_| Failure::Thread)
    })?;

    let mut sum = Tally::default();
    for tally in tallies.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        sum.took_us.extend(tally.took_us);
        sum.faults += tally.faults;
        sum.last = tally.last.or(sum.last);
    }
    if let (true, Some(failure)) = (sum.took_us.is_empty(), sum.last) {
        return Err(failure);
    }
    sum.took_us.sort_by(f64::total_cmp);
    let count = sum.took_us.len();
    let mut measured = Measured::new(sum.faults, spent.noise_cores());
    measured.put(Figure::HandshakesPerS, count as f64 / spent.elapsed.as_secs_f64());
    measured.put_cpu(&spent, count as u64);
    measured.put(Figure::P50Us, quantile(&sum.took_us, 0.5));
    measured.put(Figure::P99Us, quantile(&sum.took_us, 0.99));
    Ok(measured)
}

async fn drive(plan: &Plan, phase: Arc<Phase>, index: usize) -> Result<Vec<Tally>, Failure> {
    let share = load::share(plan.lanes, index, plan.threads);
    load::each(share, |_| lane(plan.target.clone(), phase.clone())).await
}

async fn lane(target: Target, phase: Arc<Phase>) -> Tally {
    let mut tally = Tally::default();
    while !phase.is_ending() {
        let start = Instant::now();
        match Client::open(&target, load::seed()).await {
            Ok(client) => {
                if phase.is_measuring() {
                    tally.took_us.push(start.elapsed().as_secs_f64() * 1e6);
                }
                let closed = timeout(CLOSING, client.close()).await;
                tally.faults += u64::from(!matches!(closed, Ok(Ok(()))));
            }
            Err(failure) => {
                tally.faults += 1;
                tally.last = Some(failure);
                // A gateway that refuses at once must not turn this into a busy loop.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    tally
}
