//! Databases of countries and networks, and threat lists: read at the start, again on their schedule, and swapped
//! while clients are asked about (SPEC 7.4).
//!
//! A source that fails, is damaged or too large leaves what it gave before in force, and says so once: by an event when
//! it fails, and one when it is sound again. A list from a URL is kept in the state folder, so that a restart has it
//! before the network answers.

mod geo;
mod lists;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_core::event::Decision;
use portcullis_core::policy::Policy;
use portcullis_core::reputation::{AtlasError, ListError};
use portcullis_core::verdict::Reason;

use crate::record::Draft;
use crate::shared::Shared;

/// Largest database read, bytes: five times the largest in use.
const DATABASE_BYTES_MAX: u64 = 512 << 20;
/// From one look at the schedule to the next.
const LOOK: Duration = Duration::from_secs(1);
/// The folder of kept lists inside the state folder.
const KEPT_FOLDER: &str = "threat-lists";

/// Why a source is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A database cannot be read.
    #[error("cannot read `geo.{key}`, `{path}`: {source}")]
    DatabaseFile {
        /// The key that names it.
        key: &'static str,
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A database is no database.
    #[error("`geo.{key}`, `{path}`, is refused: {source}")]
    Database {
        /// The key that names it.
        key: &'static str,
        /// Its path.
        path: String,
        /// Why.
        source: AtlasError,
    },
    /// A list cannot be had.
    #[error("the threat list `{name}` cannot be read from `{location}`: {what}")]
    ListSource {
        /// Its name.
        name: String,
        /// File or URL.
        location: String,
        /// Why.
        what: String,
    },
    /// A list is no list.
    #[error("the threat list `{name}` from `{location}` is refused: {source}")]
    List {
        /// Its name.
        name: String,
        /// File or URL.
        location: String,
        /// Why.
        source: ListError,
    },
}

/// One source as metrics tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedGauge {
    /// `database` or `threat_list`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Networks, or ranges of them, in force.
    pub networks: usize,
    /// When what is in force was read, Unix seconds; 0 for never.
    pub loaded_unix_s: u64,
    /// Whether the last attempt to read it succeeded.
    pub sound: bool,
}

/// What is known of all sources.
#[derive(Default)]
pub(crate) struct Feeds {
    geo: Mutex<geo::Held>,
    lists: Mutex<lists::Held>,
    /// Loads follow each other: one that a reload asks for never overtakes a scheduled one.
    loading: Mutex<()>,
}

impl Feeds {
    /// Reads all files of a policy and puts them in force; a list from a URL as it was kept, until it is fetched.
    ///
    /// # Errors
    /// What cannot be read; then nothing has changed.
    pub(crate) fn load(&self, shared: &Shared, policy: &Policy) -> Result<(), FeedError> {
        let _one_at_a_time = lock(&self.loading);
        let spec = &policy.checked;
        let geo = lock(&self.geo).read(&shared.gate.provenance().atlas(), &spec.geo)?;
        let lists = lock(&self.lists).read(&spec.threat_lists, &spec.state_dir.join(KEPT_FOLDER))?;
        if let Some(fresh) = geo {
            lock(&self.geo).install(shared, fresh);
        }
        lock(&self.lists).install(shared, &spec.threat_lists, lists);
        Ok(())
    }

    /// Every source.
    pub(crate) fn gauges(&self, shared: &Shared) -> Vec<FeedGauge> {
        let mut found = lock(&self.geo).gauges(&shared.gate.provenance().atlas());
        found.extend(lock(&self.lists).gauges());
        found
    }
}

/// Keeps all sources fresh for as long as the gateway runs.
pub(crate) async fn keep_fresh(shared: Arc<Shared>) {
    let mut generation = shared.generation.load(Ordering::Acquire);
    let mut geo_asked = shared.clock.now().mono;
    loop {
        let policy = shared.policy.load_full();
        let now = shared.clock.now().mono;
        if now.saturating_sub(geo_asked) >= policy.checked.geo.refresh {
            geo_asked = now;
            let (shared, policy) = (Arc::clone(&shared), Arc::clone(&policy));
            // Reading a large database takes a second; the admin listener answers meanwhile.
            let _ = tokio::task::spawn_blocking(move || geo::refresh(&shared, &policy)).await;
        }
        lists::refresh(&shared, &policy).await;
        let at = shared.generation.load(Ordering::Acquire);
        if at == generation {
            tokio::time::sleep(LOOK).await;
        }
        generation = at;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells how a source fares when that changes.
fn tell(shared: &Shared, failed_before: bool, outcome: Result<String, &FeedError>) {
    let (reason, detail) = match outcome {
        Err(error) if failed_before => return tracing::debug!("{error}"),
        Err(error) => {
            tracing::error!("{error}; what was in force stays");
            (Reason::FeedFailed, error.to_string())
        }
        Ok(what) => {
            tracing::info!("{what}");
            (Reason::FeedLoaded, what)
        }
    };
    let draft = Draft::new(reason, Decision::Observed, "feeds", detail.chars().take(400).collect());
    shared.record(draft.into_event(shared.clock.now()));
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl Mark {
    fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = std::fs::metadata(path)?;
        Ok(Self { modified: meta.modified()?, bytes: meta.len(), inode: meta.ino() })
    }
}

/// A file's content, at most so many bytes.
fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    Ok(content)
}
