//! An event as a row, both ways.
//!
//! Decides what of an event is kept: every text is clipped to a bound, because parts of it (user,
//! message type) are what a client said. Never drops a field, never interprets one.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use portcullis_core::event::{DETAIL_BYTES_MAX, Event, Fact, Origin};
use portcullis_core::verdict::Severity;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Statement, ToSql, Transaction};
use serde::Serialize;

use crate::places::Places;

/// Longest text in any field but `detail`, bytes.
pub const FIELD_BYTES_MAX: usize = 256;
/// Pairs kept of `metadata`.
pub const METADATA_PAIRS_MAX: usize = 32;

/// The columns, in the order that [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "events.seq, events.id, events.time_unix_ms, events.type, events.category, \
     events.severity, events.decision, events.check_name, events.source_ip, events.connection, events.session, \
     events.user, events.tenant, events.route, events.message_type, events.detail, events.metadata";

/// What an insert begins with; a row of [`VALUES`] for each event, then [`ONCE`].
/// A row that fails ends the transaction, so SQLite need not be able to take back a single statement.
const INSERT: &str = "INSERT OR FAIL INTO events (seq, id, time_unix_ms, type, category, severity, decision, \
     check_name, source_ip, connection, session, user, tenant, route, message_type, detail, metadata) VALUES ";
const VALUES: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const COLUMNS_WRITTEN: usize = 17;
/// Repeating an id does nothing: a batch may be written again after a failure that was none.
const ONCE: &str = " ON CONFLICT (id) DO NOTHING";
/// Events that one statement writes where none of them has words to search for, as where clients come and go: a statement
/// opens the table and each of its indexes anew. The longest that fits is taken.
const TOGETHER: [usize; 3] = [64, 8, 1];
static INSERTS: LazyLock<[String; TOGETHER.len()]> =
    LazyLock::new(|| TOGETHER.map(|rows| format!("{INSERT}{}{ONCE}", [VALUES].repeat(rows).join(","))));

/// Enters the row just inserted into the search table.
const INDEX: &str = "INSERT INTO events_text (rowid, type, user, route, message_type, detail, metadata) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// An event read back. Names are texts, so that what a later version wrote can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredEvent {
    /// Place in the file, from 1, ascending in the order of writing; gaps are possible.
    pub seq: i64,
    /// UUID version 7; the reference.
    pub id: String,
    /// Unix milliseconds.
    pub time_unix_ms: u64,
    /// The reason's label.
    #[serde(rename = "type")]
    pub kind: String,
    /// The category's label.
    pub category: String,
    /// How bad.
    pub severity: Severity,
    /// The decision's label.
    pub decision: String,
    /// The check that decided.
    pub check: String,
    /// The client's address.
    pub source_ip: Option<String>,
    /// The connection's id.
    pub connection: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The subject.
    pub user: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The route's name.
    pub route: Option<String>,
    /// The message's type.
    pub message_type: Option<String>,
    /// What was found.
    pub detail: String,
    /// More facts.
    pub metadata: Vec<(String, String)>,
}

/// Clips every text of an event to its bound.
pub(crate) fn bounded(mut event: Event) -> Event {
    clip(&mut event.id, FIELD_BYTES_MAX);
    clip(&mut event.detail, DETAIL_BYTES_MAX);
    if texts_of(&event.origin).into_iter().flatten().any(|text| text.len() > FIELD_BYTES_MAX) {
        let Origin { source_ip: _, connection, session, user, tenant, route } = Arc::make_mut(&mut event.origin);
        for text in [connection, session, user, tenant, route].into_iter().flatten() {
            clip(text, FIELD_BYTES_MAX);
        }
    }
    if let Some(text) = &mut event.message_type {
        clip(text, FIELD_BYTES_MAX);
    }
    event.metadata.truncate(METADATA_PAIRS_MAX);
    for (_, fact) in &mut event.metadata {
        if let Fact::Text(text) = fact {
            clip(text, FIELD_BYTES_MAX);
        }
    }
    event
}

/// Connection, session, user, tenant and route.
fn texts_of(origin: &Origin) -> [&Option<String>; 5] {
    [&origin.connection, &origin.session, &origin.user, &origin.tenant, &origin.route]
}

/// Cuts at a character's edge and gives the memory back.
fn clip(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let edge = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(edge);
        text.shrink_to_fit();
    }
}

/// The statements that write events, made once for a batch.
pub(crate) struct Inserts<'t> {
    change: &'t Transaction<'t>,
    events: [CachedStatement<'t>; TOGETHER.len()],
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
        let [many, some, one] = &*INSERTS;
        let events = [change.prepare_cached(many)?, change.prepare_cached(some)?, change.prepare_cached(one)?];
        let words = change.prepare_cached(INDEX)?;
        Ok(Self { change, events, words, seq: last_seq(change)?, texts: Texts::default() })
    }

    /// Writes events in their order.
    pub(crate) fn write(&mut self, mut events: &[Event], places: &mut Places) -> rusqlite::Result<()> {
        while !events.is_empty() {
            let wordless = events.iter().take_while(|event| event.detail.is_empty()).count();
            // The shortest is for one event, whether it has words or none.
            let fits = self.events.iter_mut().zip(TOGETHER).find(|(_, rows)| *rows <= wordless.max(1));
            let Some((statement, rows)) = fits else { break };
            let Some((now, later)) = events.split_at_checked(rows) else { break };
            for (place, event) in now.iter().enumerate() {
                self.seq += 1;
                places.note(self.seq, event);
                self.texts.of(event);
                bind(statement, place, self.seq, event, &self.texts)?;
            }
            let written = statement.raw_execute()?;
            if let [event] = now
                && written > 0
                && !event.detail.is_empty()
            {
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
            events = later;
        }
        places.write(self.change, self.seq)
    }
}

/// The last place that was ever taken.
pub(crate) fn last_seq(file: &Connection) -> rusqlite::Result<i64> {
    let last = file.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0));
    Ok(last.optional()?.unwrap_or(0))
}

/// Puts an event into the row at a place of a statement.
fn bind(statement: &mut Statement<'_>, place: usize, seq: i64, event: &Event, texts: &Texts) -> rusqlite::Result<()> {
    let row = event.reason.row();
    let values: [&dyn ToSql; COLUMNS_WRITTEN] = [
        &seq,
        &event.id,
        &i64::try_from(event.time_unix_ms).unwrap_or(i64::MAX),
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
    for (column, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(place * COLUMNS_WRITTEN + column + 1, value)?;
    }
    Ok(())
}

/// Severity as a number that sorts.
pub(crate) const fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 0,
        Severity::Medium => 1,
        Severity::High => 2,
        Severity::Critical => 3,
    }
}

fn severity(rank: i64) -> Severity {
    match rank {
        ..=0 => Severity::Low,
        1 => Severity::Medium,
        2 => Severity::High,
        3.. => Severity::Critical,
    }
}

/// Reads the [`COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let metadata: String = row.get(16)?;
    Ok(StoredEvent {
        seq: row.get(0)?,
        id: row.get(1)?,
        time_unix_ms: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
        kind: row.get(3)?,
        category: row.get(4)?,
        severity: severity(row.get(5)?),
        decision: row.get(6)?,
        check: row.get(7)?,
        source_ip: row.get(8)?,
        connection: row.get(9)?,
        session: row.get(10)?,
        user: row.get(11)?,
        tenant: row.get(12)?,
        route: row.get(13)?,
        message_type: row.get(14)?,
        detail: row.get(15)?,
        metadata: serde_json::from_str(&metadata).unwrap_or_default(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use portcullis_core::event::Decision;
    use portcullis_core::verdict::Reason;

    /// An event with most fields set; tests change what they care about.
    pub(crate) fn event(id: &str) -> Event {
        Event {
            id: id.into(),
            time_unix_ms: 1_800_000_000_000,
            reason: Reason::ThreatXss,
            decision: Decision::Replied,
            check: "threat",
            origin: Arc::new(Origin {
                source_ip: Some([192, 0, 2, 7].into()),
                connection: Some("c1".into()),
                session: None,
                user: Some("alice".into()),
                tenant: Some("north".into()),
                route: Some("chat".into()),
            }),
            message_type: Some("say".into()),
            detail: "script in `/text`".into(),
            metadata: vec![("field", "/text".into())],
        }
    }

    /// The event, about someone else.
    pub(crate) fn about(mut event: Event, change: impl FnOnce(&mut Origin)) -> Event {
        change(Arc::make_mut(&mut event.origin));
        event
    }

    #[test]
    fn texts_at_the_bound_stay_and_past_it_are_cut_at_a_characters_edge() {
        let at = about(event("a"), |origin| origin.user = Some("u".repeat(FIELD_BYTES_MAX)));
        assert_eq!(bounded(at.clone()), at);
        let long = || Some("x".repeat(FIELD_BYTES_MAX + 1));
        let mut past = about(event("a"), |origin| {
            origin.user = Some(format!("{}é", "u".repeat(FIELD_BYTES_MAX - 1)));
            (origin.connection, origin.session, origin.tenant, origin.route) = (long(), long(), long(), long());
        });
        past.message_type = long();
        let shared = Arc::clone(&past.origin);
        past.detail = "d".repeat(DETAIL_BYTES_MAX + 1);
        past.metadata = vec![("n", Fact::Text("v".repeat(FIELD_BYTES_MAX + 1))); METADATA_PAIRS_MAX + 1];
        let kept = bounded(past);
        assert_eq!(kept.origin.user.as_deref().unwrap().len(), FIELD_BYTES_MAX - 1);
        assert!(
            texts_of(&kept.origin).iter().all(|text| text.as_deref().is_some_and(|text| text.len() <= FIELD_BYTES_MAX))
        );
        assert_eq!(shared.tenant, long(), "what others share is left alone");
        assert_eq!(kept.message_type.unwrap().len(), FIELD_BYTES_MAX);
        assert_eq!(kept.metadata[0].1, Fact::Text("v".repeat(FIELD_BYTES_MAX)));
        assert_eq!(kept.detail.len(), DETAIL_BYTES_MAX);
        assert_eq!(kept.metadata.len(), METADATA_PAIRS_MAX);
    }

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

    #[test]
    fn severity_survives_the_way_there_and_back() {
        for one in Severity::ALL {
            assert_eq!(severity(rank(*one)), *one);
        }
    }
}
