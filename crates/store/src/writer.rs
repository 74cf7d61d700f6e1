//! The one thread that writes.
//!
//! Decides how many events share a commit, when to try again, when to sweep. A batch that could not be
//! written is kept and tried again until it is; only an end by order gives up, and then counts. Never
//! drops an event in silence, never holds the file's lock longer than one batch or one step of a sweep.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_core::event::Event;
use rusqlite::{Connection, ErrorCode};

use crate::insert::{Inserts, last_seq};
use crate::log::{Settings, Shared};
use crate::places::{Places, first_of_segment};
use crate::{StoreError, schema};

/// Events in one commit.
const BATCH_MAX: usize = 1_024;
/// How long an event waits for company, unless its sender waits for the disk. Events that share a commit share its
/// pages: at 20,000 a second this halves what is written.
const LINGER: Duration = Duration::from_millis(20);
/// From one sweep to the next.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Events that leave in one step of a sweep; some milliseconds.
const SWEEP_STEP: u32 = 500;
/// Places that leave with them. They lie side by side.
const PLACES_STEP: usize = 4_000;
/// First and longest wait after a failed attempt.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long an ordered end goes on trying.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the handing side asks for.
#[derive(Debug)]
pub(crate) enum Order {
    /// Keep an event; tell when it is on the disk.
    Keep(Box<Event>, Option<SyncSender<()>>),
    /// Tell when everything before is on the disk.
    Flush(SyncSender<()>),
    /// Sweep; tell how many left.
    Sweep(SyncSender<u64>),
    /// Write what waits, then end.
    Close,
}

/// The writing thread's state.
pub(crate) struct Writer {
    path: PathBuf,
    settings: Settings,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    /// `None` after a failure: the next attempt opens the file anew.
    file: Option<Connection>,
    batch: Vec<Event>,
    places: Places,
    waiting: Vec<SyncSender<()>>,
    next_sweep: Instant,
    /// Set once the end was ordered and writing failed; one patience for all that waits.
    give_up_at: Option<Instant>,
}

/// What ended the gathering of a batch.
enum Gathered {
    Batch,
    Flush(SyncSender<()>),
    Sweep(SyncSender<u64>),
    End,
}

impl Writer {
    pub(crate) fn open(
        path: &Path,
        settings: Settings,
        shared: Arc<Shared>,
        orders: Receiver<Order>,
    ) -> Result<Self, StoreError> {
        let file = schema::open_for_writing(path, settings.busy_timeout, settings.file_bytes_max)?;
        Ok(Self {
            path: path.into(),
            settings,
            shared,
            orders,
            file: Some(file),
            batch: Vec::new(),
            places: Places::default(),
            waiting: Vec::new(),
            next_sweep: Instant::now(),
            give_up_at: None,
        })
    }

    pub(crate) fn run(mut self) {
        loop {
            let gathered = self.gather();
            self.commit();
            match gathered {
                Gathered::Batch => {}
                // Whoever asked may have stopped waiting; that is theirs to do.
                Gathered::Flush(done) => drop(done.try_send(())),
                Gathered::Sweep(done) => drop(done.try_send(self.sweep_all())),
                Gathered::End => break,
            }
            if Instant::now() >= self.next_sweep {
                self.sweep_on_schedule();
            }
        }
    }

    /// Waits for an order, then takes what is queued: up to a batch, or what comes within the linger of the first.
    fn gather(&mut self) -> Gathered {
        let mut order = match self.orders.recv_timeout(self.next_sweep.saturating_duration_since(Instant::now())) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => return Gathered::Batch,
            Err(RecvTimeoutError::Disconnected) => return Gathered::End,
        };
        let mut lingered = false;
        loop {
            match order {
                Order::Keep(event, done) => {
                    self.batch.push(*event);
                    self.waiting.extend(done);
                }
                Order::Flush(done) => return Gathered::Flush(done),
                Order::Sweep(done) => return Gathered::Sweep(done),
                Order::Close => return Gathered::End,
            }
            if self.batch.len() >= BATCH_MAX {
                return Gathered::Batch;
            }
            order = match self.orders.try_recv() {
                Ok(order) => order,
                Err(TryRecvError::Disconnected) => return Gathered::End,
                Err(TryRecvError::Empty) if lingered || !self.waiting.is_empty() => return Gathered::Batch,
                Err(TryRecvError::Empty) => {
                    // Not in the channel: there every event would wake this thread. Whoever is in a hurry unparks it.
                    std::thread::park_timeout(LINGER);
                    lingered = true;
                    match self.orders.try_recv() {
                        Ok(order) => order,
                        Err(TryRecvError::Empty) => return Gathered::Batch,
                        Err(TryRecvError::Disconnected) => return Gathered::End,
                    }
                }
            };
        }
    }

    /// Writes the batch, trying until it is written or the end was ordered and patience is over.
    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let count = self.batch.len();
        let mut wait = RETRY_MIN;
        let kept = loop {
            let Err(error) = self.attempt() else { break true };
            self.failed(&error, count);
            if self.shared.closing.load(Ordering::Acquire)
                && Instant::now() >= *self.give_up_at.get_or_insert_with(|| Instant::now() + CLOSE_PATIENCE)
            {
                break false;
            }
            if is_full(&error) {
                self.sweep_all();
            }
            std::thread::park_timeout(wait);
            wait = (wait * 2).min(if self.give_up_at.is_some() { RETRY_MIN * 8 } else { RETRY_MAX });
        };
        self.batch.clear();
        let counter = if kept { &self.shared.written } else { &self.shared.lost };
        counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.shared.gate.leave(count);
        if kept && self.shared.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(events = count, "the audit is written again");
        }
        for done in self.waiting.drain(..) {
            // Dropped unanswered where the event was given up: its sender learns of it.
            if kept {
                let _ = done.try_send(());
            }
        }
    }

    fn attempt(&mut self) -> Result<(), StoreError> {
        if self.file.is_none() {
            let Settings { busy_timeout, file_bytes_max, .. } = self.settings;
            self.file = Some(schema::open_for_writing(&self.path, busy_timeout, file_bytes_max)?);
        }
        let Some(file) = self.file.as_mut() else { return Err(StoreError::Closed) };
        let change = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut inserts = Inserts::new(&change)?;
        inserts.write(&self.batch, &mut self.places)?;
        drop(inserts);
        Ok(change.commit()?)
    }

    fn failed(&mut self, error: &StoreError, events: usize) {
        // What it knows may have been rolled back.
        self.places = Places::default();
        self.shared.failing.store(true, Ordering::Relaxed);
        let failures = self.shared.write_failures.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(%error, events, failures, path = %self.path.display(), "the audit cannot be written; its events are kept and tried again");
        if !is_busy(error) && !is_full(error) {
            self.file = None;
        }
    }

    /// Sweeps between batches: as long as nothing waits, and one step in any case.
    fn sweep_on_schedule(&mut self) {
        loop {
            if !self.sweep_step().1 {
                self.next_sweep = Instant::now() + SWEEP_EVERY;
                return;
            }
            if self.shared.gate.waiting() > 0 {
                // More is due: come back after the next batch.
                return;
            }
        }
    }

    fn sweep_all(&mut self) -> u64 {
        let mut total = 0;
        loop {
            let (swept, more) = self.sweep_step();
            total += swept;
            if !more {
                return total;
            }
        }
    }

    /// Removes the oldest events past retention, a few. Returns how many, and whether more may be due.
    fn sweep_step(&mut self) -> (u64, bool) {
        let Some(file) = self.file.as_ref() else { return (0, false) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest_kept = i64::try_from(now.saturating_sub(self.settings.retention).as_millis()).unwrap_or(i64::MAX);
        let swept = file.execute(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE time_unix_ms < ?1 ORDER BY time_unix_ms LIMIT ?2)",
            (oldest_kept, SWEEP_STEP),
        );
        match swept.and_then(|swept| Ok((swept, forget_places(file)?))) {
            Ok((swept, more)) => {
                let swept = u64::try_from(swept).unwrap_or(u64::MAX);
                self.shared.swept.fetch_add(swept, Ordering::Relaxed);
                (swept, more || swept >= u64::from(SWEEP_STEP))
            }
            Err(error) => {
                tracing::warn!(%error, "the audit could not be swept; it is tried again later");
                (0, false)
            }
        }
    }
}

/// Removes where things occurred in segments that are swept, a step of it. Returns whether more may be due.
fn forget_places(file: &Connection) -> rusqlite::Result<bool> {
    let oldest: Option<i64> = file.query_row("SELECT min(seq) FROM events", [], |row| row.get(0))?;
    let oldest = oldest.map_or_else(|| last_seq(file), Ok)?;
    let sql = format!(
        "DELETE FROM places WHERE place IN \
         (SELECT place FROM places WHERE place < ?1 ORDER BY place LIMIT {PLACES_STEP})"
    );
    Ok(file.prepare_cached(&sql)?.execute([first_of_segment(oldest)])? >= PLACES_STEP)
}

fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull))
}

fn is_busy(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
}
