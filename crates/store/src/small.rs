//! Small files of the state folder that several programs change: opened or created, private to their owner, told apart
//! from others' files by SQLite's `application_id` and from newer ones by `user_version`.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;
use crate::schema::create_private;

/// How long a change waits for another program that holds the file.
const BUSY: Duration = Duration::from_secs(2);

/// What a file of this kind is told by, and how it begins.
pub(crate) struct Shape {
    /// In `application_id`.
    pub(crate) application_id: i64,
    /// What this program writes, in `user_version`.
    pub(crate) version: i64,
    /// Makes those of its tables that are not there; a file of an older version gets the rest.
    pub(crate) create: &'static str,
}

/// Opens or creates the file.
pub(crate) fn open(path: &Path, shape: &Shape) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| StoreError::Open { path: path.into(), source: Box::new(error) };
    let file = Connection::open_with_flags(path, flags).map_err(failed)?;
    let foreign = |_| StoreError::Foreign { path: path.into() };
    file.busy_timeout(BUSY).map_err(failed)?;
    let application: i64 = file.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(foreign)?;
    let version: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(foreign)?;
    let ours = application == shape.application_id;
    match version {
        0 if application == 0 => {}
        found if ours && found > shape.version => return Err(StoreError::Newer { path: path.into(), found }),
        1.. if ours => {}
        _ => return Err(StoreError::Foreign { path: path.into() }),
    }
    file.pragma_update(None, "journal_mode", "wal")?;
    file.pragma_update(None, "synchronous", "full")?;
    if application == 0 || version < shape.version {
        file.execute_batch(shape.create)?;
        file.pragma_update(None, "application_id", shape.application_id)?;
        file.pragma_update(None, "user_version", shape.version)?;
    }
    Ok(file)
}

/// A number that changes when another connection has changed the file.
pub(crate) fn version(file: &Connection) -> Result<i64, StoreError> {
    Ok(file.pragma_query_value(None, "data_version", |row| row.get(0))?)
}

/// SQLite's integers are signed.
pub(crate) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// See [`sql`].
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
