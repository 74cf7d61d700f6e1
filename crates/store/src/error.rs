//! What can go wrong with the audit file, in words that say what to do.

use std::path::PathBuf;
use std::time::Duration;

/// Why the audit could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder cannot be used.
    #[error("cannot open the audit file `{path}`: {source}; check that its folder exists and is writable")]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A reader found no file.
    #[error("there is no audit file at `{path}`; has the gateway run with this state directory?")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The file is something else, or damaged in its first page.
    #[error("`{path}` is not an audit file of Portcullis; move it away, or choose another state directory")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The file comes from a later version.
    #[error(
        "the audit file `{path}` has schema {found}, written by a later version of Portcullis (this one knows \
         {SCHEMA_VERSION}); run that version, or move the file away",
        SCHEMA_VERSION = crate::SCHEMA_VERSION
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// The file comes from an earlier version; only a writer brings it to the present shape.
    #[error(
        "the audit file `{path}` has schema {found}, written by an earlier version of Portcullis; start the gateway of \
         this version once, which brings it up to date"
    )]
    Older {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// A statement failed.
    #[error("the audit file could not be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The queue and its reserve are full; the event was counted as lost.
    #[error("the audit queue is full; the disk is too slow for the events that arrive, or writing fails")]
    QueueFull,
    /// Nothing was heard from the writer in time; the event stays queued and may still be written.
    #[error("the audit did not confirm within {waited:?}; see the log for why writing is slow")]
    Slow {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The blocklist holds all it may.
    #[error(
        "the blocklist holds {entries_max} entries, which is all it may; lift some with `portcullis unban`, or ban networks instead of addresses"
    )]
    Full {
        /// Its bound.
        entries_max: usize,
    },
    /// There are as many API keys as there may be.
    #[error("there are {keys_max} API keys, those that ended within a year included, which is all there may be")]
    KeysFull {
        /// The bound.
        keys_max: usize,
    },
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// The writer's thread could not start.
    #[error("cannot start the audit writer: {0}; the system is out of threads or memory")]
    Thread(#[source] std::io::Error),
    /// More than one event starts like this.
    #[error("`{prefix}` stands for more than one event; give more characters of the reference")]
    AmbiguousReference {
        /// What was asked.
        prefix: String,
    },
    /// A search that cannot be run.
    #[error("{0}")]
    BadQuery(String),
}
