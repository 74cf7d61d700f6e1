//! `portcullis audit tail|search`: events out of the audit file, while the gateway runs or not.
//!
//! Decides which events are shown and how. Never writes: the file is opened read-only. What clients said
//! is made printable first.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::verdict::Severity;
use portcullis_store::{AuditReader, LIMIT_MAX, Query, StoredEvent};

use crate::cli::{Audit, AuditSearch, AuditTail, Filter, StateFrom};
use crate::configuration::{Origin, USUAL_FILE};
use crate::exit::{Failure, Outcome};
use crate::{demo, output, when};

/// How often a following `tail` looks for new events.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// Where the state is unless someone says otherwise, as the presets have it.
const USUAL_STATE: &str = "portcullis-state";
/// Sets the state folder for the gateway, and so for whoever looks into it.
const STATE_VARIABLE: &str = "PORTCULLIS__STATE__DIR";

/// Tails or searches.
pub(crate) fn run(told: &Audit) -> Outcome {
    match told {
        Audit::Tail(told) => tail(told),
        Audit::Search(told) => search(told),
    }
}

/// Opens the audit of the gateway that `from` means.
///
/// # Errors
/// There is none, or it cannot be read.
pub(crate) fn open(from: &StateFrom) -> Result<AuditReader, Failure> {
    let folder = folder(from)?;
    let path = folder.join(portcullis_gateway::AUDIT_FILE);
    AuditReader::open_read_only(&path).map_err(|error| {
        let demo = demo::usual_state();
        let hint = if folder != demo && demo.join(portcullis_gateway::AUDIT_FILE).exists() {
            format!("; the demo's audit is read with `--state {}`", demo.display())
        } else {
            "; name the gateway's state folder with `--state` or its configuration with `--config`".to_owned()
        };
        Failure::Outside(format!("{error}{hint}"))
    })
}

/// The state folder that `from` means.
///
/// # Errors
/// The configuration that names it is refused.
pub(crate) fn folder(from: &StateFrom) -> Result<PathBuf, Failure> {
    if let Some(state) = &from.state {
        return Ok(state.clone());
    }
    let usual = PathBuf::from(USUAL_FILE);
    let named = from.config.clone();
    let variable = std::env::var_os(STATE_VARIABLE).filter(|_| named.is_none());
    if let Some(folder) = variable {
        return Ok(folder.into());
    }
    match named.or_else(|| usual.exists().then_some(usual)) {
        Some(file) => {
            let origin = Origin { file: Some(file), overrides: portcullis_core::policy::Overrides::default() };
            Ok(origin.load()?.checked.state_dir)
        }
        None => Ok(PathBuf::from(USUAL_STATE)),
    }
}

/// The same, where it is there.
///
/// # Errors
/// It is not, or the configuration that names it is refused.
pub(crate) fn existing_folder(from: &StateFrom) -> Result<PathBuf, Failure> {
    let folder = folder(from)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Failure::Outside(format!(
        "there is no state folder `{}`; name the gateway's with `--state` or its configuration with `--config`",
        folder.display()
    )))
}

fn search(told: &AuditSearch) -> Outcome {
    let now = when::present_unix_ms();
    let instant = |text: &Option<String>| text.as_deref().map(|text| when::instant(text, now)).transpose();
    let query = Query {
        since: instant(&told.since).map_err(Failure::Usage)?,
        until: instant(&told.until).map_err(Failure::Usage)?,
        ..query(&told.filter)
    };
    let reader = open(&told.from)?;
    let mut last: Option<StoredEvent> = None;
    let mut left = told.limit;
    while left > 0 {
        let page = left.min(LIMIT_MAX);
        let after_id = last.as_ref().map(|event| event.id.clone());
        let found = reader.search(&Query { limit: Some(page), after_id, ..query.clone() }).map_err(store)?;
        for event in &found {
            show(event, told.json)?;
        }
        left = if found.len() < page { 0 } else { left.saturating_sub(page) };
        last = found.into_iter().next_back().or(last);
    }
    match last {
        Some(_) => Ok(()),
        None => Err(Failure::Negative("no event answers the search".to_owned())),
    }
}

fn tail(told: &AuditTail) -> Outcome {
    let reader = open(&told.from)?;
    let query = query(&told.filter);
    let mut seen = reader.newest_seq().map_err(store)?;
    if told.lines > 0 {
        let limit = Some(told.lines.min(LIMIT_MAX));
        let mut past = reader.search(&Query { limit, ..query.clone() }).map_err(store)?;
        past.retain(|event| event.seq <= seen);
        show_oldest_first(&past, told.json)?;
    }
    if told.no_follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(FOLLOW_INTERVAL);
        let newest = reader.newest_seq().map_err(store)?;
        if newest > seen {
            show_oldest_first(&between(&reader, &query, seen, newest)?, told.json)?;
            seen = newest;
        }
    }
}

/// Events that answer `query`, later than place `seen` and no later than `newest`; newest first.
fn between(reader: &AuditReader, query: &Query, seen: i64, newest: i64) -> Result<Vec<StoredEvent>, Failure> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let after_id = events.last().map(|event| event.id.clone());
        let found = reader.search(&Query { limit: Some(LIMIT_MAX), after_id, ..query.clone() }).map_err(store)?;
        let whole = found.len() == LIMIT_MAX && found.iter().all(|event| event.seq > seen);
        events.extend(found.into_iter().filter(|event| event.seq > seen));
        if !whole {
            events.retain(|event| event.seq <= newest);
            return Ok(events);
        }
    }
}

fn query(filter: &Filter) -> Query {
    Query {
        types: filter.reasons.iter().map(|reason| reason.label().to_owned()).collect(),
        severity_min: filter.severity,
        ip: filter.ip,
        user: filter.user.clone(),
        tenant: filter.tenant.clone(),
        text: filter.text.clone(),
        ..Query::default()
    }
}

fn show_oldest_first(newest_first: &[StoredEvent], json: bool) -> Outcome {
    newest_first.iter().rev().try_for_each(|event| show(event, json))
}

fn show(event: &StoredEvent, json: bool) -> Outcome {
    if json { output::json_line(event) } else { output::line(&line(event)) }
}

/// One line a person can read: when, how bad, what, who, where, found, reference.
fn line(event: &StoredEvent) -> String {
    use std::fmt::Write as _;
    let mark = match event.severity {
        Severity::Low => "low     ",
        Severity::Medium => "medium  ",
        Severity::High => "high    ",
        Severity::Critical => "critical",
    };
    let mut out = format!("{}  {mark}  {:<8}  {}", when::shown(event.time_unix_ms), event.decision, event.kind);
    let parts = [
        ("ip", &event.source_ip),
        ("user", &event.user),
        ("tenant", &event.tenant),
        ("route", &event.route),
        ("message", &event.message_type),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(out, "  {name}={}", output::printable(value));
        }
    }
    if !event.detail.is_empty() {
        let _ = write!(out, "  {}", output::printable(&event.detail));
    }
    let _ = write!(out, "  [{}]", event.id);
    out
}

/// A failed reading as this program tells it.
pub(crate) fn store(error: portcullis_store::StoreError) -> Failure {
    match error {
        portcullis_store::StoreError::BadQuery(words) => Failure::Usage(words),
        other => Failure::Outside(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_a_client_said_without_obeying_it() {
        let event = StoredEvent {
            seq: 1,
            id: "018f".into(),
            time_unix_ms: 1_700_000_000_123,
            kind: "threat_xss".into(),
            category: "security".into(),
            severity: Severity::High,
            decision: "replied".into(),
            check: "xss".into(),
            source_ip: Some("203.0.113.9".into()),
            connection: None,
            session: None,
            user: Some("eve\x1b[2J".into()),
            tenant: None,
            route: Some("chat".into()),
            message_type: None,
            detail: "at /text".into(),
            metadata: Vec::new(),
        };
        assert_eq!(
            line(&event),
            "2023-11-14T22:13:20.123Z  high      replied   threat_xss  ip=203.0.113.9  user=eve\\u{1b}[2J  route=chat  at /text  [018f]"
        );
    }
}
