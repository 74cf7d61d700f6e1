//! Keeps the gate's API keys as the file says, and the file's times of last use as the gate has seen them (SPEC 3.4).
//!
//! One thread looks at the file five times a second. A key that was revoked, by whichever program, closes its open
//! connections within a second. A file that cannot be read leaves the keys in force as they are, and says so in the log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::identity::{ApiKey, KeyBook};
use portcullis_core::verdict::Reason;
use portcullis_store::{Keys, StoreError};
use tokio::sync::{mpsc, watch};

use crate::record::Draft;
use crate::shared::Shared;
use crate::worker::Command;

/// From one look at the file to the next.
const LOOK: Duration = Duration::from_millis(200);
/// From one writing of last uses to the next.
const USED_EVERY: Duration = Duration::from_secs(30);
/// Changes named in events at one look; the book itself takes all of them.
const EVENTS_MAX: usize = 100;

/// The thread's state.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    file: Keys,
    version: i64,
    known: HashMap<String, ApiKey>,
    used: HashMap<String, u64>,
}

impl Keeper {
    /// Opens the file and puts its keys in force.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(crate) fn open(path: &Path, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let file = Keys::open(path)?;
        let version = file.version()?;
        let shared = Arc::clone(shared);
        let mut keeper = Self { shared, file, version, known: HashMap::new(), used: HashMap::new() };
        keeper.known = keeper.read()?;
        Ok(keeper)
    }

    /// Looks until `stopping` says so.
    pub(crate) fn run(mut self, workers: &[mpsc::UnboundedSender<Command>], stopping: &watch::Receiver<bool>) {
        let mut since_used = Duration::ZERO;
        while !*stopping.borrow() {
            std::thread::sleep(LOOK);
            report(self.look(workers));
            since_used += LOOK;
            if since_used >= USED_EVERY {
                since_used = Duration::ZERO;
                report(self.keep_used());
            }
        }
        report(self.keep_used());
    }

    fn look(&mut self, workers: &[mpsc::UnboundedSender<Command>]) -> Result<(), StoreError> {
        let version = self.file.version()?;
        if version == self.version {
            return Ok(());
        }
        let earlier = std::mem::take(&mut self.known);
        self.known = self.read()?;
        self.version = version;
        for worker in workers {
            // A worker that is gone has no connections.
            let _ = worker.send(Command::Enforce);
        }
        self.tell(&earlier);
        Ok(())
    }

    /// Puts the file's keys in force; nothing of the last uses is lost.
    fn read(&mut self) -> Result<HashMap<String, ApiKey>, StoreError> {
        let keys = self.file.all()?;
        let before = self.shared.gate.set_api_keys(KeyBook::new(keys.iter().cloned()));
        self.used.extend(before.take_used());
        Ok(keys.into_iter().map(|key| (key.id.clone(), key)).collect())
    }

    fn keep_used(&mut self) -> Result<(), StoreError> {
        self.used.extend(self.shared.gate.api_keys().take_used());
        if !self.used.is_empty() {
            let used: Vec<_> = std::mem::take(&mut self.used).into_iter().collect();
            self.file.used(&used)?;
        }
        Ok(())
    }

    /// An event for each key that was made, given another secret, or revoked.
    fn tell(&self, earlier: &HashMap<String, ApiKey>) {
        let told = self.known.values().filter_map(|key| {
            let what = match earlier.get(&key.id) {
                None => "made",
                Some(before) if key.revoked_unix_s != before.revoked_unix_s => "revoked",
                Some(before) if key.digest != before.digest => "rotated",
                Some(_) => return None,
            };
            let grants = &key.grants;
            Some(format!("API key {what}: {} (`{}`, subject `{}`)", key.id, grants.name, grants.subject))
        });
        let now = self.shared.clock.now();
        for detail in told.take(EVENTS_MAX) {
            let draft = Draft::new(Reason::AdminAction, Decision::Allowed, "api_keys", detail);
            self.shared.record(draft.into_event(now));
        }
    }
}

fn report(step: Result<(), StoreError>) {
    if let Err(error) = step {
        tracing::error!("the API keys in force stay as they are: {error}");
    }
}
