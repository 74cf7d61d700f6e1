//! An event as a row, both ways.
//!
//! Decides what of an event is kept: every text is clipped to a bound, because parts of it (user,
//! message type) are what a client said. Never drops a field, never interprets one.

use std::sync::Arc;

use portcullis_core::event::{DETAIL_BYTES_MAX, Event, Fact, Origin};
use portcullis_core::verdict::Severity;
use rusqlite::Row;
use serde::Serialize;

/// Longest text in any field but `detail`, bytes.
pub const FIELD_BYTES_MAX: usize = 256;
/// Pairs kept of `metadata`.
pub const METADATA_PAIRS_MAX: usize = 32;

/// The columns, in the order that [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "events.seq, events.id, events.time_unix_ms, events.type, events.category, \
     events.severity, events.decision, events.check_name, events.source_ip, events.connection, events.session, \
     events.user, events.tenant, events.route, events.message_type, events.detail, events.metadata";

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
    fn severity_survives_the_way_there_and_back() {
        for one in Severity::ALL {
            assert_eq!(severity(rank(*one)), *one);
        }
    }
}
