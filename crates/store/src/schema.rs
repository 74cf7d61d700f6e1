//! The file's shape, and how a file is opened.
//!
//! Decides whether a file is ours and of which version; brings an empty one to the present schema.
//! Never touches a file that is something else or comes from a later version.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use crate::places::{Facet, Places};

/// The schema this program writes, kept in `user_version`.
pub const SCHEMA_VERSION: i64 = 2;

/// "PrtC", in `application_id`: tells our files from others'.
const APPLICATION_ID: i64 = 0x5072_7443;

/// Pages of 4 KiB in the write-ahead log before it is carried into the file: 32 MiB.
const LOG_PAGES: i64 = 8 * 1024;
/// Memory of the writer's page cache. Events are appended, so few pages are touched twice: more makes nothing faster.
const CACHE_KIB: i64 = 2 * 1024;

/// Whoever deletes rows cannot forget the search table: a trigger does it. Rows are entered into it by
/// [`Inserts`](crate::insert::Inserts) instead, for a trigger makes SQLite keep a journal of every single insert, which
/// was half of the writer's work.
const CREATE: &str = "
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  time_unix_ms INTEGER NOT NULL,
  type TEXT NOT NULL,
  category TEXT NOT NULL,
  severity INTEGER NOT NULL,
  decision TEXT NOT NULL,
  check_name TEXT NOT NULL,
  source_ip TEXT,
  connection TEXT,
  session TEXT,
  user TEXT,
  tenant TEXT,
  route TEXT,
  message_type TEXT,
  detail TEXT NOT NULL,
  metadata TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (time_unix_ms);
CREATE INDEX events_by_type ON events (type) WHERE severity > 0;
CREATE INDEX events_by_severity ON events (severity) WHERE severity > 0;
CREATE TABLE places (place INTEGER PRIMARY KEY) STRICT;
CREATE VIRTUAL TABLE events_text USING fts5(
  type, user, route, message_type, detail, metadata, content='events', content_rowid='seq'
);
CREATE TRIGGER events_deleted AFTER DELETE ON events WHEN old.detail <> '' BEGIN
  INSERT INTO events_text (events_text, rowid, type, user, route, message_type, detail, metadata)
  VALUES ('delete', old.seq, old.type, old.user, old.route, old.message_type, old.detail, old.metadata);
END;
";

/// Opens for writing; creates file and schema where there are none.
///
/// # Errors
/// [`StoreError::Open`], [`StoreError::Foreign`], [`StoreError::Newer`].
pub(crate) fn open_for_writing(path: &Path, busy: Duration, bytes_max: Option<u64>) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| refusal(path, error))?;
    prepare(&mut connection, path, busy, bytes_max).map_err(|error| match error {
        StoreError::Sqlite(error) => refusal(path, error),
        other => other,
    })?;
    Ok(connection)
}

fn prepare(c: &mut Connection, path: &Path, busy: Duration, bytes_max: Option<u64>) -> Result<(), StoreError> {
    c.busy_timeout(busy)?;
    let version = version(c, path)?;
    c.pragma_update(None, "journal_mode", "wal")?;
    // Full: a commit is on the disk when it returns, which is what acknowledgement means.
    c.pragma_update(None, "synchronous", "full")?;
    // Indexes are written all over: a longer log lets a page that changes often reach the file once.
    c.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    c.pragma_update(None, "journal_size_limit", 2 * LOG_PAGES * 4096)?;
    c.pragma_update(None, "cache_size", -CACHE_KIB)?;
    c.pragma_update(None, "temp_store", "memory")?;
    if let Some(bytes_max) = bytes_max {
        let page: u32 = c.pragma_query_value(None, "page_size", |row| row.get(0))?;
        c.pragma_update(None, "max_page_count", i64::try_from(bytes_max / u64::from(page.max(1))).unwrap_or(i64::MAX))?;
    }
    if version < SCHEMA_VERSION {
        let change = c.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Someone else may have been first while we waited for the lock.
        match self::version(&change, path)? {
            0 => change.execute_batch(CREATE)?,
            1 => places_for_indexes(&change)?,
            _ => {}
        }
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        change.commit()?;
    }
    Ok(())
}

/// Version 1 had an index of each value that is searched for.
fn places_for_indexes(change: &Connection) -> rusqlite::Result<()> {
    change.execute_batch(
        "DROP INDEX events_by_source_ip; DROP INDEX events_by_connection; DROP INDEX events_by_user;
         DROP INDEX events_by_tenant; CREATE TABLE places (place INTEGER PRIMARY KEY) STRICT;",
    )?;
    let mut events = change.prepare("SELECT seq, source_ip, connection, user, tenant FROM events ORDER BY seq")?;
    let mut rows = events.query([])?;
    let mut places = Places::default();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null().unwrap_or_default());
        places.note_all(
            seq,
            [
                text(1)?.and_then(|ip| ip.parse().ok()).map(Facet::Ip),
                text(2)?.map(Facet::Connection),
                text(3)?.map(Facet::User),
                text(4)?.map(Facet::Tenant),
            ],
        );
        if seq % 1_000 == 0 {
            places.write(change, seq)?;
        }
    }
    places.write(change, i64::MAX)
}

/// Opens for reading only.
///
/// # Errors
/// As [`open_for_writing`], [`StoreError::Missing`], and [`StoreError::Older`].
pub(crate) fn open_for_reading(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    if !path.try_exists().unwrap_or(true) {
        return Err(StoreError::Missing { path: path.into() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| refusal(path, error))?;
    connection.busy_timeout(busy).map_err(|error| refusal(path, error))?;
    match version(&connection, path) {
        Ok(0) => Err(StoreError::Missing { path: path.into() }),
        Ok(found) if found < SCHEMA_VERSION => Err(StoreError::Older { path: path.into(), found }),
        Ok(_) => Ok(connection),
        Err(StoreError::Sqlite(error)) => Err(refusal(path, error)),
        Err(other) => Err(other),
    }
}

/// The schema of an open file; 0 is an empty one.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, 1..=SCHEMA_VERSION, _) => Ok(version),
        (APPLICATION_ID, found, _) if found > SCHEMA_VERSION => Err(StoreError::Newer { path: path.into(), found }),
        _ => Err(StoreError::Foreign { path: path.into() }),
    }
}

fn refusal(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: path.into() },
        _ => StoreError::Open { path: path.into(), source: Box::new(error) },
    }
}

/// Creates the file readable by its owner only; SQLite gives its side files the same mode.
pub(crate) fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Open { path: path.into(), source: Box::new(error) }),
    }
}
