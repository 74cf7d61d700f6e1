//! The reading side: searches the file through a connection of its own, read-only.
//!
//! Decides which events answer a question, newest first. Never writes, never waits for the writer
//! (WAL), never returns more than [`LIMIT_MAX`] events. Values reach SQL as parameters only.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use portcullis_core::verdict::{Category, Reason, Severity};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use crate::places::{self, Facet};
use crate::row::{COLUMNS, from_row, rank};
use crate::{StoreError, StoredEvent, schema};

/// Most events in one answer.
pub const LIMIT_MAX: usize = 1_000;
/// Longest free text, bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// Types named in one search.
const TYPES_MAX: usize = 64;
/// Fewest characters of a shortened reference: the first 32 bits of its time.
pub const REFERENCE_CHARS_MIN: usize = 8;
/// How long a read waits for the file.
const BUSY: Duration = Duration::from_secs(2);

/// What is looked for. All conditions given must hold; the default looks for everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Labels of reasons; empty is any.
    pub types: Vec<String>,
    /// At least this bad.
    pub severity_min: Option<Severity>,
    /// This category.
    pub category: Option<Category>,
    /// This client address.
    pub ip: Option<IpAddr>,
    /// This subject.
    pub user: Option<String>,
    /// This tenant.
    pub tenant: Option<String>,
    /// This connection.
    pub connection: Option<String>,
    /// Not before, Unix milliseconds.
    pub since: Option<u64>,
    /// Before, Unix milliseconds.
    pub until: Option<u64>,
    /// Words that must all occur in type, user, route, message type, detail or metadata; the start of
    /// a word is enough. At most [`TEXT_BYTES_MAX`].
    pub text: Option<String>,
    /// At most so many; `None` is 100; at most [`LIMIT_MAX`].
    pub limit: Option<usize>,
    /// Continue past the event with this id: the next, older page.
    pub after_id: Option<String>,
}

impl Query {
    /// What is looked for first: what occurs least comes first.
    fn facet(&self) -> Option<Facet<'_>> {
        let connection = self.connection.as_deref().map(Facet::Connection);
        let user = || self.user.as_deref().map(Facet::User);
        let tenant = || self.tenant.as_deref().map(Facet::Tenant);
        connection.or_else(user).or_else(|| self.ip.map(Facet::Ip)).or_else(tenant)
    }
}

/// Reads an audit file.
#[derive(Debug)]
pub struct AuditReader {
    file: Connection,
}

impl AuditReader {
    /// Opens the file, read-only.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Foreign`], [`StoreError::Newer`], [`StoreError::Open`].
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: schema::open_for_reading(path, BUSY)? })
    }

    /// The events that answer `query`, newest first.
    ///
    /// # Errors
    /// [`StoreError::BadQuery`] past a bound or for an unknown `after_id`, [`StoreError::Sqlite`].
    pub fn search(&self, query: &Query) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = match query.limit.unwrap_or(100) {
            limit @ 1..=LIMIT_MAX => limit,
            other => return Err(StoreError::BadQuery(format!("`limit` is 1 to {LIMIT_MAX}, not {other}"))),
        };
        let text = query.text.as_deref().filter(|text| !text.trim().is_empty());
        let before = match &query.after_id {
            Some(id) => self.seq_of(id)?.ok_or_else(|| StoreError::BadQuery(format!("there is no event `{id}`")))?,
            None => i64::MAX,
        };
        let mut conditions = Conditions::default();
        fill(&mut conditions, query)?;
        match (text, query.facet()) {
            (Some(text), _) => {
                // FTS5 walks its own row ids backwards without sorting; elsewhere they are the same numbers.
                conditions.add("events_text MATCH ?", Value::Text(match_expression(text)?));
                conditions.add("events_text.rowid < ?", Value::Integer(before));
                let from = "events_text JOIN events ON events.seq = events_text.rowid";
                self.select(from, conditions, "events_text.rowid", limit)
            }
            (None, Some(facet)) => self.select_where(facet, conditions, before, limit),
            (None, None) => {
                if query.after_id.is_some() {
                    conditions.add("events.seq < ?", Value::Integer(before));
                }
                self.select("events", conditions, "events.seq", limit)
            }
        }
    }

    fn select(
        &self,
        from: &str,
        conditions: Conditions,
        order: &str,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let Conditions { sql, values } = conditions;
        let sql = if sql.is_empty() { "1" } else { &sql };
        let sql = format!("SELECT {COLUMNS} FROM {from} WHERE {sql} ORDER BY {order} DESC LIMIT {limit}");
        let mut statement = self.file.prepare_cached(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The events before a place that answer the conditions, looked for where `facet` occurs.
    fn select_where(
        &self,
        facet: Facet<'_>,
        mut conditions: Conditions,
        before: i64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        // What is read belongs to one state of the file.
        let _state = self.file.unchecked_transaction()?;
        let ends = "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM events";
        let (oldest, newest): (i64, i64) = self.file.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        conditions.and("events.seq BETWEEN ? AND ?");
        let Conditions { sql, values } = conditions;
        let sql = format!("SELECT {COLUMNS} FROM events NOT INDEXED WHERE {sql} ORDER BY events.seq DESC LIMIT ?");
        let mut statement = self.file.prepare_cached(&sql)?;
        let mut found = Vec::new();
        places::walk(&self.file, facet, (oldest, newest.min(before.saturating_sub(1))), |chunk| {
            let room = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(0);
            let range = [*chunk.start(), before.saturating_sub(1).min(*chunk.end()), room].map(Value::Integer);
            let rows = statement.query_map(rusqlite::params_from_iter(values.iter().chain(&range)), from_row)?;
            for row in rows {
                found.push(row?);
            }
            Ok::<_, StoreError>(found.len() < limit)
        })?;
        Ok(found)
    }

    /// The event with this id, or the only one whose id starts with `reference` (at least
    /// [`REFERENCE_CHARS_MIN`] characters of hexadecimal and `-`).
    ///
    /// # Errors
    /// [`StoreError::AmbiguousReference`], [`StoreError::BadQuery`], [`StoreError::Sqlite`].
    pub fn by_reference(&self, reference: &str) -> Result<Option<StoredEvent>, StoreError> {
        let reference = reference.trim().to_ascii_lowercase();
        if reference.len() < REFERENCE_CHARS_MIN
            || !reference.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        {
            return Err(StoreError::BadQuery(format!(
                "a reference is the id of an event, or its first {REFERENCE_CHARS_MIN} characters or more"
            )));
        }
        // `g` follows every character an id can hold.
        let sql = format!("SELECT {COLUMNS} FROM events WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2");
        let mut statement = self.file.prepare_cached(&sql)?;
        let found: Vec<_> = statement.query_map([&reference], from_row)?.collect::<Result<_, _>>()?;
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(first), Some(_)) if first.id != reference => {
                Err(StoreError::AmbiguousReference { prefix: reference })
            }
            (first, _) => Ok(first),
        }
    }

    /// Up to `limit` (at most [`LIMIT_MAX`]) events written after the one with place `after_seq`, oldest
    /// first; 0 starts at the beginning. The last one's `seq` continues.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn tail(&self, after_seq: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::try_from(limit.min(LIMIT_MAX)).unwrap_or(0);
        let sql = format!("SELECT {COLUMNS} FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.file.prepare_cached(&sql)?;
        let rows = statement.query_map([after_seq, limit], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The place of the newest event; 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn newest_seq(&self) -> Result<i64, StoreError> {
        Ok(self.file.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?)
    }

    fn seq_of(&self, id: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.file.query_row("SELECT seq FROM events WHERE id = ?1", [id], |row| row.get(0)).optional()?)
    }
}

/// A WHERE clause in the making.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, condition: &str, value: Value) {
        self.and(condition);
        self.values.push(value);
    }

    fn and(&mut self, condition: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(condition);
    }
}

fn fill(conditions: &mut Conditions, query: &Query) -> Result<(), StoreError> {
    if query.types.len() > TYPES_MAX {
        return Err(StoreError::BadQuery(format!("at most {TYPES_MAX} types may be named")));
    }
    if !query.types.is_empty() {
        // What is above low has an index of types; the ordinary, which is most of the file, is found soon without.
        let ordinary = |label: &String| Reason::from_label(label).is_none_or(|r| r.row().severity == Severity::Low);
        if !query.types.iter().any(ordinary) {
            conditions.and("events.severity > 0");
        }
        conditions.and(&format!("events.type IN ({})", vec!["?"; query.types.len()].join(",")));
        conditions.values.extend(query.types.iter().cloned().map(Value::Text));
    }
    let texts = [
        ("events.category = ?", query.category.map(|category| category.label().to_owned())),
        ("events.source_ip = ?", query.ip.map(|ip| ip.to_string())),
        ("events.user = ?", query.user.clone()),
        ("events.tenant = ?", query.tenant.clone()),
        ("events.connection = ?", query.connection.clone()),
    ];
    for (condition, value) in texts {
        if let Some(value) = value {
            conditions.add(condition, Value::Text(value));
        }
    }
    let numbers = [
        // The first half is what the index of severities is limited to: the ordinary is not in it.
        (
            "events.severity > 0 AND events.severity >= ?",
            query.severity_min.filter(|least| *least > Severity::Low).map(rank),
        ),
        ("events.time_unix_ms >= ?", query.since.map(saturating)),
        ("events.time_unix_ms < ?", query.until.map(saturating)),
    ];
    for (condition, value) in numbers {
        if let Some(value) = value {
            conditions.add(condition, Value::Integer(value));
        }
    }
    Ok(())
}

fn saturating(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Free text as an FTS5 expression: every word quoted, so that none is an operator.
fn match_expression(text: &str) -> Result<String, StoreError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(StoreError::BadQuery(format!("a text is at most {TEXT_BYTES_MAX} bytes long")));
    }
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || c == '\0')
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")))
        .collect();
    if words.is_empty() {
        return Err(StoreError::BadQuery("a text holds at least one letter or digit".into()));
    }
    Ok(words.join(" "))
}
