//! How events enter the file.
//!
//! Decides which of them share a statement: those of connections that come and go, which are most. A statement opens the
//! table and each of its indexes anew, and every value bound to it is copied; so what such events have in common stands in
//! the statement itself. Never changes their order.

use std::net::IpAddr;
use std::sync::LazyLock;

use portcullis_core::event::{Decision, Event};
use portcullis_core::verdict::Reason;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, ToSql, Transaction};

use crate::places::Places;
use crate::row::rank;

/// A row that fails ends the transaction, so SQLite need not be able to take back a single statement.
const INSERT: &str = "INSERT OR FAIL INTO events (seq, id, time_unix_ms, type, category, severity, decision, \
     check_name, source_ip, connection, session, user, tenant, route, message_type, detail, metadata) VALUES ";
const VALUES: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Repeating an id does nothing: a batch may be written again after a failure that was none.
const ONCE: &str = " ON CONFLICT (id) DO NOTHING";
static ONE: LazyLock<String> = LazyLock::new(|| format!("{INSERT}{VALUES}{ONCE}"));

/// What is written together, by reason and check; both allowed, without words, of no message.
const ORDINARY: [(Reason, &str); 2] = [(Reason::ConnectionAccepted, "admission"), (Reason::ConnectionClosed, "relay")];
/// How many share a statement; the most that are there.
const TOGETHER: [usize; 2] = [64, 8];
/// Values bound for each of them.
const BOUND: usize = 11;
static MANY: LazyLock<[String; TOGETHER.len()]> = LazyLock::new(|| {
    TOGETHER.map(|rows| {
        let rows: Vec<String> = (0..rows).map(|row| ordinary_row(row * BOUND + 1)).collect();
        format!("{INSERT}{}{ONCE}", rows.join(","))
    })
});

/// The row of an ordinary event whose values begin at a place. The fourth says which of the two it is.
fn ordinary_row(first: usize) -> String {
    let [(accepted, admission), (closed, relay)] = ORDINARY;
    let (accepted, closed) = (accepted.row(), closed.row());
    let at = |value: usize| format!("?{}", first + value);
    let which = |zero: &str, one: &str| {
        if zero == one { format!("'{zero}'") } else { format!("iif({}, '{one}', '{zero}')", at(3)) }
    };
    // As a text it would not be what the column takes.
    let severity = format!("iif({}, {}, {})", at(3), rank(closed.severity), rank(accepted.severity));
    let who: Vec<String> = (4..10).map(at).collect();
    format!(
        "({}, {}, {}, {}, {}, {severity}, '{}', {}, {}, NULL, '', {})",
        at(0),
        at(1),
        at(2),
        which(accepted.label, closed.label),
        which(accepted.category.label(), closed.category.label()),
        Decision::Allowed.label(),
        which(admission, relay),
        who.join(", "),
        at(10)
    )
}

/// Which of the ordinary events this is.
fn ordinary(event: &Event) -> Option<i64> {
    let plain = event.detail.is_empty() && event.decision == Decision::Allowed && event.message_type.is_none();
    let which = ORDINARY.iter().position(|kind| plain && *kind == (event.reason, event.check))?;
    i64::try_from(which).ok()
}

/// Enters a row into the search table.
const INDEX: &str = "INSERT INTO events_text (rowid, type, user, route, message_type, detail, metadata) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// The statements that write events, made once for a batch; the long ones when a batch has as many events.
pub(crate) struct Inserts<'t> {
    change: &'t Transaction<'t>,
    one: CachedStatement<'t>,
    many: [Option<CachedStatement<'t>>; TOGETHER.len()],
    words: CachedStatement<'t>,
    /// The last place taken.
    seq: i64,
    texts: Texts,
}

/// Texts of the event that is being written, made anew for each.
#[derive(Default)]
struct Texts {
    source_ip: String,
    metadata: String,
}

impl Texts {
    fn of(&mut self, event: &Event) {
        self.source_ip.clear();
        match event.origin.source_ip {
            // Without the machinery of formats, which costs as much as keeping the text.
            Some(IpAddr::V4(ip)) => {
                for (place, octet) in ip.octets().into_iter().enumerate() {
                    if place > 0 {
                        self.source_ip.push('.');
                    }
                    let digits = [octet / 100, octet / 10 % 10, octet % 10].map(|digit| char::from(b'0' + digit));
                    let leading = if octet > 99 { 0 } else { 1 + usize::from(octet < 10) };
                    self.source_ip.extend(digits.into_iter().skip(leading));
                }
            }
            Some(ip) => self.source_ip.push_str(&ip.to_string()),
            None => {}
        }
        self.metadata.clear();
        if !event.metadata.is_empty() {
            let mut buffer = std::mem::take(&mut self.metadata).into_bytes();
            // Neither fails: pairs of texts are written to memory.
            let _ = serde_json::to_writer(&mut buffer, &event.metadata);
            self.metadata = String::from_utf8(buffer).unwrap_or_default();
        }
    }
}

impl<'t> Inserts<'t> {
    pub(crate) fn new(change: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let (one, words) = (change.prepare_cached(&ONE)?, change.prepare_cached(INDEX)?);
        Ok(Self {
            change,
            one,
            many: [const { None }; TOGETHER.len()],
            words,
            seq: last_seq(change)?,
            texts: Texts::default(),
        })
    }

    /// Writes events in their order.
    pub(crate) fn write(&mut self, mut events: &[Event], places: &mut Places) -> rusqlite::Result<()> {
        while let Some((first, rest)) = events.split_first() {
            let alike = events.iter().take_while(|event| ordinary(event).is_some()).count();
            let fits = self.many.iter_mut().zip(&*MANY).zip(TOGETHER).find(|(_, rows)| *rows <= alike);
            match fits.and_then(|(many, rows)| Some((many, events.split_at_checked(rows)?))) {
                Some(((statement, sql), (now, later))) => {
                    let statement = match statement {
                        Some(made) => made,
                        None => statement.insert(self.change.prepare_cached(sql)?),
                    };
                    for (place, event) in now.iter().enumerate() {
                        self.seq += 1;
                        places.note(self.seq, event);
                        self.texts.of(event);
                        bind_ordinary(statement, place * BOUND + 1, self.seq, event, &self.texts)?;
                    }
                    statement.raw_execute()?;
                    events = later;
                }
                None => {
                    self.seq += 1;
                    places.note(self.seq, first);
                    self.write_one(first)?;
                    events = rest;
                }
            }
        }
        places.write(self.change, self.seq)
    }

    /// Writes one event, and into the search table where it has words to search for.
    fn write_one(&mut self, event: &Event) -> rusqlite::Result<()> {
        self.texts.of(event);
        bind(&mut self.one, self.seq, event, &self.texts)?;
        if self.one.raw_execute()? > 0 && !event.detail.is_empty() {
            self.words.execute(rusqlite::params![
                self.seq,
                event.reason.row().label,
                event.origin.user,
                event.origin.route,
                event.message_type,
                event.detail,
                self.texts.metadata,
            ])?;
        }
        Ok(())
    }
}

/// The last place that was ever taken.
pub(crate) fn last_seq(file: &Connection) -> rusqlite::Result<i64> {
    let last = file.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0));
    Ok(last.optional()?.unwrap_or(0))
}

fn bind(statement: &mut Statement<'_>, seq: i64, event: &Event, texts: &Texts) -> rusqlite::Result<()> {
    let row = event.reason.row();
    let values: [&dyn ToSql; 17] = [
        &seq,
        &event.id,
        &time(event),
        &row.label,
        &row.category.label(),
        &rank(row.severity),
        &event.decision.label(),
        &event.check,
        &event.origin.source_ip.map(|_| &texts.source_ip),
        &event.origin.connection,
        &event.origin.session,
        &event.origin.user,
        &event.origin.tenant,
        &event.origin.route,
        &event.message_type,
        &event.detail,
        &texts.metadata,
    ];
    bind_from(statement, 1, &values)
}

/// See [`ordinary_row`].
fn bind_ordinary(
    statement: &mut Statement<'_>,
    first: usize,
    seq: i64,
    event: &Event,
    texts: &Texts,
) -> rusqlite::Result<()> {
    let values: [&dyn ToSql; BOUND] = [
        &seq,
        &event.id,
        &time(event),
        &ordinary(event),
        &event.origin.source_ip.map(|_| &texts.source_ip),
        &event.origin.connection,
        &event.origin.session,
        &event.origin.user,
        &event.origin.tenant,
        &event.origin.route,
        &texts.metadata,
    ];
    bind_from(statement, first, &values)
}

fn bind_from(statement: &mut Statement<'_>, first: usize, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
    for (column, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(first + column, value)?;
    }
    Ok(())
}

fn time(event: &Event) -> i64 {
    i64::try_from(event.time_unix_ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::{about, event};

    #[test]
    fn addresses_are_written_as_they_are_shown() {
        let mut texts = Texts::default();
        for ip in ["0.0.0.0", "9.10.99.100", "127.0.0.1", "255.199.200.7", "2001:db8::7", "::ffff:1.2.3.4"] {
            texts.of(&about(event("a"), |origin| origin.source_ip = Some(ip.parse().unwrap())));
            assert_eq!(texts.source_ip, ip);
        }
        texts.of(&about(event("a"), |origin| origin.source_ip = None));
        assert_eq!(texts.source_ip, "");
    }
}
