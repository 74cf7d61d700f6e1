//! The writing side: any thread hands over events, one thread keeps them.
//!
//! Decides which events are taken when the queue is tight. [`AuditLog::record`] never blocks and never
//! fails in a way its caller must handle; [`AuditLog::record_durably`] waits for the disk. Never reads
//! events back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use portcullis_core::event::Event;
use portcullis_core::verdict::Severity;

use crate::StoreError;
use crate::queue::Gate;
use crate::row::bounded;
use crate::writer::{Order, Writer};

/// Longest wait of [`AuditLog::record_durably`].
const DURABLE_PATIENCE: Duration = Duration::from_secs(10);

/// How the audit is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Events waiting for the disk; about 1 KiB each, at most some 20 KiB. Past it events of low and medium severity are lost,
    /// past a reserve of [`RESERVE_MAX`](crate::RESERVE_MAX) all are; each is counted.
    pub queue_max: usize,
    /// Events older than this are swept, in small steps.
    pub retention: Duration,
    /// How long one attempt to write waits for another program that holds the file.
    pub busy_timeout: Duration,
    /// Largest file, bytes; at it writing fails, is reported, and goes on once sweeping made room.
    /// `None` is bounded by the disk alone.
    pub file_bytes_max: Option<u64>,
}

impl Default for Settings {
    /// 10 000 events, 90 days, 2 s, no bound on the file.
    fn default() -> Self {
        Self {
            queue_max: 10_000,
            retention: Duration::from_secs(90 * 24 * 3600),
            busy_timeout: Duration::from_secs(2),
            file_bytes_max: None,
        }
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost event is counted, but its caller may want to know"]
pub enum Recorded {
    /// It waits for the next commit.
    Queued,
    /// There was no room; it was counted.
    Lost,
}

/// How the audit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Status {
    /// Events waiting for the disk.
    pub queued: usize,
    /// Events committed since the start.
    pub written: u64,
    /// Events lost since the start.
    pub lost: u64,
    /// Attempts to write that failed since the start; their events were kept and tried again.
    pub write_failures: u64,
    /// Events swept since the start.
    pub swept: u64,
    /// The last attempt to write succeeded and the writer runs.
    pub healthy: bool,
}

/// Counts shared by the handing and the writing side.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) write_failures: AtomicU64,
    pub(crate) swept: AtomicU64,
    pub(crate) failing: AtomicBool,
    pub(crate) closing: AtomicBool,
}

/// The audit. Clones share one writer; the last one dropped writes what waits and ends it.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    /// The writer's thread, to be woken by who waits for it.
    thread: Thread,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl AuditLog {
    /// Opens or creates the file and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Foreign`], [`StoreError::Newer`], [`StoreError::Thread`].
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            gate: Gate::new(settings.queue_max),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            write_failures: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let (orders, receiver) = mpsc::channel();
        let writer = Writer::open(path, settings.clone(), Arc::clone(&shared), receiver)?;
        let writer =
            std::thread::Builder::new().name("audit".into()).spawn(move || writer.run()).map_err(StoreError::Thread)?;
        let thread = writer.thread().clone();
        Ok(Self(Arc::new(Inner { orders, shared, thread, writer: Mutex::new(Some(writer)) })))
    }

    /// Hands over an event. Never blocks.
    pub fn record(&self, event: Event) -> Recorded {
        if self.hand_over(event, None).is_ok() { Recorded::Queued } else { Recorded::Lost }
    }

    /// Hands over an event and waits until it is on the disk: what returned `Ok` survives the loss of
    /// the process and, as far as the disk keeps its word, of power. Blocks up to 10 s: not for a
    /// thread that serves connections. Uses the reserve whatever its severity.
    ///
    /// # Errors
    /// [`StoreError::QueueFull`] and [`StoreError::Closed`]: the event is lost and counted.
    /// [`StoreError::Slow`]: it stays queued.
    pub fn record_durably(&self, event: Event) -> Result<(), StoreError> {
        let (done, wait) = mpsc::sync_channel(1);
        self.hand_over(event, Some(done))?;
        self.0.thread.unpark();
        answer(&wait, DURABLE_PATIENCE)
    }

    fn hand_over(&self, event: Event, done: Option<SyncSender<()>>) -> Result<(), StoreError> {
        let shared = &self.0.shared;
        let severity = if done.is_some() { Severity::Critical } else { event.reason.row().severity };
        let refused = if shared.closing.load(Ordering::Acquire) {
            StoreError::Closed
        } else if !shared.gate.enter(severity) {
            StoreError::QueueFull
        } else if self.0.orders.send(Order::Keep(Box::new(bounded(event)), done)).is_err() {
            shared.gate.leave(1);
            StoreError::Closed
        } else {
            return Ok(());
        };
        shared.lost.fetch_add(1, Ordering::Relaxed);
        Err(refused)
    }

    /// Waits until everything handed over before is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Slow`] after `timeout`, [`StoreError::Closed`].
    pub fn flush(&self, timeout: Duration) -> Result<(), StoreError> {
        let (done, wait) = mpsc::sync_channel(1);
        self.0.orders.send(Order::Flush(done)).map_err(|_| StoreError::Closed)?;
        self.0.thread.unpark();
        answer(&wait, timeout)
    }

    /// Sweeps what is past retention at once, in steps between which events are still written. Returns
    /// how many left.
    ///
    /// # Errors
    /// [`StoreError::Slow`] after `timeout` (sweeping goes on), [`StoreError::Closed`].
    pub fn sweep(&self, timeout: Duration) -> Result<u64, StoreError> {
        let (done, wait) = mpsc::sync_channel(1);
        self.0.orders.send(Order::Sweep(done)).map_err(|_| StoreError::Closed)?;
        self.0.thread.unpark();
        answer(&wait, timeout)
    }

    /// Events lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.shared.lost.load(Ordering::Relaxed)
    }

    /// How the audit does.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.0.shared;
        let running = match self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(thread) => !thread.is_finished(),
            None => false,
        };
        Status {
            queued: shared.gate.waiting(),
            written: shared.written.load(Ordering::Relaxed),
            lost: shared.lost.load(Ordering::Relaxed),
            write_failures: shared.write_failures.load(Ordering::Relaxed),
            swept: shared.swept.load(Ordering::Relaxed),
            healthy: running && !shared.failing.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits and ends the writer, for all clones. What cannot be written within 5 s is
    /// counted as lost. Later events are lost and counted.
    pub fn close(self) {
        self.0.end();
    }
}

impl Inner {
    fn end(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        self.shared.closing.store(true, Ordering::Release);
        // A failed send means that the writer has ended already.
        let _ = self.orders.send(Order::Close);
        self.thread.unpark();
        if thread.join().is_err() {
            tracing::error!("the audit writer ended by a fault of its own");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

fn answer<T>(wait: &mpsc::Receiver<T>, timeout: Duration) -> Result<T, StoreError> {
    wait.recv_timeout(timeout).map_err(|error| match error {
        RecvTimeoutError::Timeout => StoreError::Slow { waited: timeout },
        RecvTimeoutError::Disconnected => StoreError::Closed,
    })
}
