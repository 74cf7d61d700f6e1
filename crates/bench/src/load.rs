//! What the measurements share: threads with a runtime each, phases, seeds, connections opened in
//! bulk.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use crate::client::{Client, Target};
use crate::failure::Failure;
use crate::usage::{Spent, Watch};

/// Handshakes under way at once while connections are opened in bulk.
const OPENING_AT_ONCE: usize = 64;

/// Runs `work` on so many threads, each with a runtime of its own, and waits for all.
pub(crate) fn on_threads<T, W, F>(threads: usize, work: W) -> Vec<Result<T, Failure>>
where
    T: Send,
    W: Fn(usize) -> F + Sync,
    F: Future<Output = Result<T, Failure>>,
{
    thread::scope(|scope| {
        let work = &work;
        let spawned: Vec<_> = (0..threads).map(|index| scope.spawn(move || on_this_thread(work(index)))).collect();
        spawned.into_iter().map(|thread| thread.join().unwrap_or(Err(Failure::Thread))).collect()
    })
}

pub(crate) fn on_this_thread<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// The slice of `total` that falls to thread `index` of `threads`.
pub(crate) fn share(total: usize, index: usize, threads: usize) -> Range<usize> {
    total * index / threads..total * (index + 1) / threads
}

/// A seed no other connection and no other run has.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// Opens so many connections; says how many and why the others failed.
pub(crate) async fn open_all(target: &Target, count: usize) -> (Vec<Client>, Vec<Failure>) {
    let left = Cell::new(count);
    let (open, failures) = (RefCell::new(Vec::with_capacity(count)), RefCell::new(Vec::new()));
    let lane = async || {
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            match Client::open(target, seed()).await {
                Ok(client) => open.borrow_mut().push(client),
                Err(failure) => failures.borrow_mut().push(failure),
            }
        }
    };
    join_all((0..OPENING_AT_ONCE.min(count)).map(|_| lane())).await;
    (open.into_inner(), failures.into_inner())
}

/// Drives futures side by side on this task until all are done.
async fn join_all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Spawns one task an item on this thread and collects what they return.
pub(crate) async fn each<I, T, F>(items: impl IntoIterator<Item = I>, work: impl Fn(I) -> F) -> Result<Vec<T>, Failure>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let tasks: Vec<_> = items.into_iter().map(|item| spawn_local(work(item))).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.map_err(|_| Failure::Thread)?);
    }
    Ok(results)
}

/// The phase all threads of a closed-loop measurement are in.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

const MEASURING: u8 = 1;
const ENDING: u8 = 2;

impl Phase {
    pub(crate) fn is_measuring(&self) -> bool {
        self.0.load(Ordering::Relaxed) == MEASURING
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ENDING
    }

    /// Lets the load warm up, measures what `watch` sees for a while, and ends it.
    pub(crate) fn conduct(&self, times: Times, watch: &Watch) -> Spent {
        thread::sleep(times.warm_up);
        let start = watch.look();
        self.0.store(MEASURING, Ordering::Relaxed);
        thread::sleep(times.measured);
        self.0.store(ENDING, Ordering::Relaxed);
        watch.since(&start)
    }
}

/// How long a measurement warms up and lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}
