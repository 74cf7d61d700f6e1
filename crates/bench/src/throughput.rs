//! Closed loop: each connection keeps a window of messages in flight; how many come back a second,
//! and what CPU time the gateway takes for each.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::chat::{Chat, unix_s};
use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::load::{self, Phase, Times};
use crate::measured::{Figure, Measured};
use crate::usage::Watch;

/// Messages still in flight after this long count as lost.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) window: usize,
    pub(crate) message_bytes: usize,
    pub(crate) threads: usize,
    pub(crate) times: Times,
}

#[derive(Debug, Default)]
struct Tally {
    counted: u64,
    faults: u64,
}

pub(crate) fn measure(plan: &Plan, watch: &Watch) -> Result<Measured, Failure> {
    let chat = Chat::new(plan.message_bytes)?;
    let phase = Arc::new(Phase::default());
    let (spent, tallies) = std::thread::scope(|scope| {
        let threads =
            scope.spawn(|| load::on_threads(plan.threads, |index| drive(plan, chat.clone(), phase.clone(), index)));
        let spent = phase.conduct(plan.times, watch);
        threads.join().map(|tallies| (spent, tallies)).map_err(|_| Failure::Thread)
    })?;

    let mut sum = Tally::default();
    for tally in tallies {
        let tally = tally?;
        sum.counted += tally.counted;
        sum.faults += tally.faults;
    }
    let mut measured = Measured::new(sum.faults, spent.noise_cores());
    measured.put(Figure::MessagesPerS, sum.counted as f64 / spent.elapsed.as_secs_f64());
    measured.put_cpu(&spent, sum.counted);
    Ok(measured)
}

async fn drive(plan: &Plan, chat: Chat, phase: Arc<Phase>, index: usize) -> Result<Tally, Failure> {
    let share = load::share(plan.connections, index, plan.threads);
    let (clients, failures) = load::open_all(&plan.target, share.len()).await;
    if let (true, Some(failure)) = (clients.is_empty(), failures.into_iter().next()) {
        return Err(failure);
    }
    let missing = (share.len() - clients.len()) as u64;
    let (chat, window) = (Rc::new(chat), plan.window);
    let tallies = load::each(clients, |client| exchange(client, chat.clone(), window, phase.clone())).await?;
    let sum = |pick: fn(&Tally) -> u64| tallies.iter().map(pick).sum::<u64>();
    Ok(Tally { counted: sum(|tally| tally.counted), faults: missing + sum(|tally| tally.faults) })
}

async fn exchange(mut client: Client, chat: Rc<Chat>, window: usize, phase: Arc<Phase>) -> Tally {
    let mut tally = Tally::default();
    while !phase.is_ending() {
        let unix_s = unix_s();
        while client.in_flight() < window {
            client.queue(&chat, unix_s);
        }
        match client.turn().await {
            Ok(echoes) => {
                tally.faults += echoes.altered;
                if phase.is_measuring() {
                    tally.counted += echoes.right;
                }
            }
            Err(_) => {
                tally.faults += client.in_flight().max(1) as u64;
                return tally;
            }
        }
    }
    tally.faults += drain(client).await;
    tally
}

/// Waits for what is in flight; returns how much of it came back altered or not at all.
async fn drain(mut client: Client) -> u64 {
    let mut altered = 0;
    let rest = async {
        while client.in_flight() > 0 {
            altered += client.turn().await?.altered;
        }
        Ok::<(), Failure>(())
    };
    let _out_of_time_is_told_by_what_is_left = timeout(DRAIN, rest).await;
    altered + client.in_flight() as u64
}
