//! What lasts: audit events, the blocklist, API keys and sessions, each in an embedded SQLite file.
//!
//! Decides how an event is kept, for how long, and how it is found again. Never decides whether a fact
//! is worth an event, never blocks the one who records (SPEC 10.2), never loses an acknowledged event
//! (SPEC 10.3), never loses any other in silence: what could not be kept is counted.
//!
//! [`AuditLog`] writes: any thread hands over an event, one thread commits them in groups.
//! [`AuditReader`] reads the same file through a connection of its own, while the writer runs or not.
//!
//! [`Blocks`] keeps whom operators shut out, [`Keys`] the digests of API keys and
//! [`SessionFile`] those of sessions, each in a file of its own.
//!
//! The fields of a stored event are what a client said about itself as well: whoever prints them on a
//! terminal or a page must escape them.
//!
//! Tests: beside each room; `tests/killed.rs` kills a real process between commits.

mod blocks;
mod error;
mod insert;
mod keys;
mod log;
mod memory;
mod places;
mod queue;
mod reader;
#[cfg(feature = "redis")]
pub mod redis;
mod replica;
mod row;
mod schema;
mod sessions;
mod small;
#[cfg(test)]
mod tests;
mod writer;

pub use blocks::{BLOCKS_FILE, Blocks};
pub use error::StoreError;
pub use keys::{KEYS_FILE, Keys};
pub use log::{AuditLog, Recorded, Settings, Status};
pub use memory::{KeptMemory, KeptProfiles, MEMORY_FILE, PROFILES_FILE, halves, whole};
pub use queue::RESERVE_MAX;
pub use reader::{AuditReader, LIMIT_MAX, Query, REFERENCE_CHARS_MIN, TEXT_BYTES_MAX};
pub use replica::{ENTRIES_MAX, Entries, Entry};
pub use row::{FIELD_BYTES_MAX, METADATA_PAIRS_MAX, StoredEvent};
pub use schema::SCHEMA_VERSION;
pub use sessions::{SESSIONS_FILE, SessionFile, replicated as session_words};
