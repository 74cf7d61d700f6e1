//! Sessions as words that nodes agree on, and back (SPEC 5.3): digests and sealed terms only. A word is as late as the
//! last use; the mark of a session that was ended is above every other word on it, and stays until the session would
//! have ended by itself.

use std::time::Duration;

use data_encoding::HEXLOWER;
use portcullis_core::identity::session::{Session, Terms};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::replica::{Entries, Entry};
use crate::small::{sql, unsigned};

/// Most marks of ended sessions in a file; those that would have ended soonest leave first.
pub const ENDED_MAX: usize = 200_000;
/// Above every Unix second, and exact as a floating-point number.
const ENDED: u64 = 1 << 52;
const PREFIX: &str = "session:";

#[derive(Serialize, Deserialize)]
struct Body {
    seal: [u8; 32],
    terms: Terms,
}

/// What another node says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is in force, and was last used then.
    InForce(Box<Session>),
    /// The one with this digest was ended; it would have ended by itself then, Unix seconds.
    Ended([u8; 32], u64),
}

/// The word on a session that is in force: nobody needs to know of it when it has been idle for so long.
#[must_use]
pub fn in_force(session: &Session, idle: Duration) -> (String, Entry) {
    let until = session.last_used_unix_s.saturating_add(idle.as_secs()).min(session.terms.ends_unix_s);
    let body = Body { seal: session.seal, terms: session.terms.clone() };
    let entry = Entry {
        at: session.last_used_unix_s.min(ENDED - 1),
        gone: false,
        until_unix_ms: until.saturating_mul(1000),
        // Strings, numbers and lists of them always make JSON.
        body: serde_json::to_string(&body).unwrap_or_default(),
    };
    (name(&session.digest), entry)
}

/// The word on a session that was ended.
#[must_use]
pub fn ended(digest: &[u8; 32], ends_unix_s: u64) -> (String, Entry) {
    // Zero would be never.
    let until = ends_unix_s.max(1).saturating_mul(1000).min(ENDED);
    (name(digest), Entry { at: ENDED, gone: true, until_unix_ms: until, body: String::new() })
}

/// What words that still matter say. Others, and what cannot be read, are left out.
pub fn said(entries: &Entries, now_unix_ms: u64) -> impl Iterator<Item = Said> {
    let matter = entries.iter().filter(move |(_, entry)| entry.until_unix_ms > now_unix_ms);
    matter.filter_map(|(name, entry)| {
        let digest = digest(name)?;
        if entry.gone {
            return Some(Said::Ended(digest, entry.until_unix_ms / 1000));
        }
        let Body { seal, terms } = serde_json::from_str(&entry.body).ok()?;
        Some(Said::InForce(Box::new(Session { terms, digest, seal, last_used_unix_s: entry.at })))
    })
}

/// What the lists call a session of this name.
#[must_use]
pub fn listed(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn name(digest: &[u8; 32]) -> String {
    format!("{PREFIX}{}", HEXLOWER.encode(digest))
}

fn digest(name: &str) -> Option<[u8; 32]> {
    let hex = name.strip_prefix(PREFIX).filter(|hex| hex.len() == 64 && hex.is_ascii())?;
    let mut digest = [0; 32];
    for (to, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *to = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// Notes that a session was ended.
pub(super) fn mark(change: &Connection, digest: &[u8; 32], ends_unix_s: u64) -> Result<(), StoreError> {
    change
        .prepare_cached("INSERT OR IGNORE INTO ended (digest, ends_unix_s) VALUES (?1, ?2)")?
        .execute((digest, sql(ends_unix_s)))?;
    Ok(())
}

/// Lets go of marks that nobody needs, and of those past [`ENDED_MAX`].
pub(super) fn trim(change: &Connection, now_unix_s: u64, marks_max: usize) -> Result<(), StoreError> {
    change.prepare_cached("DELETE FROM ended WHERE ends_unix_s <= ?1")?.execute([sql(now_unix_s)])?;
    let held: i64 = change.query_row("SELECT count(*) FROM ended", [], |row| row.get(0))?;
    let over = usize::try_from(held).unwrap_or(0).saturating_sub(marks_max);
    if over > 0 {
        change
            .prepare_cached(
                "DELETE FROM ended WHERE digest IN (SELECT digest FROM ended ORDER BY ends_unix_s LIMIT ?1)",
            )?
            .execute([i64::try_from(over).unwrap_or(i64::MAX)])?;
    }
    Ok(())
}

/// Marks of ended sessions.
pub(super) fn marks(file: &Connection) -> Result<Vec<([u8; 32], u64)>, StoreError> {
    let mut statement = file.prepare_cached("SELECT digest, ends_unix_s FROM ended")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1).map(unsigned)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
