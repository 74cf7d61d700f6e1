//! Memory of many open connections: the gateway's resident memory at rest, with all connections
//! open before any message, and once more after each has carried a small and a large one.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::chat::{Chat, unix_s};
use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::load;
use crate::measured::{Figure, Measured};
use crate::usage::Watch;

/// Connections that carry their messages at the same time.
const BATCH: usize = 64;
const ECHO: Duration = Duration::from_secs(5);
/// The whole of the traffic may take this long.
const TRAFFIC: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) message_bytes: [usize; 2],
    /// Between the last event and a reading.
    pub(crate) settle: Duration,
}

/// `watch` is of a gateway that has just started.
pub(crate) fn measure(plan: &Plan, watch: &Watch) -> Result<Measured, Failure> {
    load::on_this_thread(run(plan, watch))
}

async fn run(plan: &Plan, watch: &Watch) -> Result<Measured, Failure> {
    let [small, large] = plan.message_bytes;
    let chats = Rc::new([Chat::new(small)?, Chat::new(large)?]);
    let start = watch.look();
    let base_kib = watch.resident_kib();
    let (clients, failures) = load::open_all(&plan.target, plan.connections).await;
    if let (true, Some(failure)) = (clients.is_empty(), failures.into_iter().next()) {
        return Err(failure);
    }
    let count = clients.len();
    sleep(plan.settle).await;
    let before_kib = watch.resident_kib();

    let touched = timeout(TRAFFIC, touch_all(clients, &chats)).await;
    let clients = touched.map_err(|_| Failure::Timeout(TRAFFIC.as_secs()))??;
    sleep(plan.settle).await;
    let after_kib = watch.resident_kib();

    let unanswered: usize = clients.iter().map(Client::in_flight).sum();
    let missing = plan.connections - count;
    let mut measured = Measured::new((missing + unanswered) as u64, watch.since(&start).noise_cores());
    let each_kib = |kib: u64| (kib as f64 - base_kib as f64) / count as f64;
    measured.put(Figure::Connections, count as f64);
    measured.put(Figure::BaseKib, base_kib as f64);
    measured.put(Figure::KibPerConnectionBefore, each_kib(before_kib));
    measured.put(Figure::KibPerConnectionAfter, each_kib(after_kib));
    Ok(measured)
}

async fn touch_all(mut waiting: Vec<Client>, chats: &Rc<[Chat; 2]>) -> Result<Vec<Client>, Failure> {
    let mut done = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let batch = waiting.split_off(waiting.len().saturating_sub(BATCH));
        done.extend(load::each(batch, |client| touch(client, chats.clone())).await?);
    }
    Ok(done)
}

async fn touch(mut client: Client, chats: Rc<[Chat; 2]>) -> Client {
    for chat in chats.iter() {
        client.queue(chat, unix_s());
        let echo = async {
            while client.in_flight() > 0 {
                client.turn().await?;
            }
            Ok::<(), Failure>(())
        };
        let _what_is_missing_stays_in_flight = timeout(ECHO, echo).await;
    }
    client
}
