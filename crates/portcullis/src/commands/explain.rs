//! `portcullis explain REFERENCE|REASON`: what was decided, why, by which check, and what to do.
//!
//! Decides the words around an event. A reason alone needs no audit; a reference is looked up in it.

use portcullis_core::verdict::{Reason, Row};
use portcullis_store::StoredEvent;

use super::audit;
use crate::cli::Explain;
use crate::exit::{Failure, Outcome};
use crate::{output, when};

/// What `--json` prints; `event` is null when a reason was asked for, `reason` when the event was written
/// by a later version that knows more of them.
#[derive(serde::Serialize)]
struct Explanation {
    event: Option<StoredEvent>,
    reason: Option<Row>,
}

/// Explains it.
pub(crate) fn run(told: &Explain) -> Outcome {
    let what = told.what.trim();
    let explanation = match Reason::from_label(what) {
        Some(reason) => Explanation { event: None, reason: Some(reason.row()) },
        None if looks_like_reference(what) => {
            let event = audit::open(&told.shown.from)?.by_reference(what).map_err(audit::store)?;
            let event = event.ok_or_else(|| {
                let what = output::printable(what);
                Failure::Negative(format!(
                    "no event has the reference `{what}`; it may be swept, or in another state folder"
                ))
            })?;
            let reason = Reason::from_label(&event.kind).map(Reason::row);
            Explanation { event: Some(event), reason }
        }
        None => {
            return Err(Failure::Usage(format!(
                "`{}` is neither a reference nor a reason; a reference stands in every error reply, and `portcullis verdicts` lists the reasons",
                output::printable(what)
            )));
        }
    };
    if told.shown.json { output::json(&explanation) } else { output::line(&in_words(&explanation)) }
}

fn looks_like_reference(text: &str) -> bool {
    text.len() >= portcullis_store::REFERENCE_CHARS_MIN
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn in_words(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    if let Some(event) = &explanation.event {
        lines.push(("reason", event.kind.clone()));
        lines.push(("decision", decision(&event.decision)));
        lines.push(("check", event.check.clone()));
        lines.push(("when", when::shown(event.time_unix_ms)));
        lines.push((
            "who",
            joined(&[
                ("user", &event.user),
                ("tenant", &event.tenant),
                ("session", &event.session),
                ("address", &event.source_ip),
            ]),
        ));
        lines.push((
            "where",
            joined(&[
                ("route", &event.route),
                ("message type", &event.message_type),
                ("connection", &event.connection),
            ]),
        ));
        lines.push(("found", event.detail.clone()));
        lines.extend(event.metadata.iter().map(|(name, value)| ("", format!("{name}: {value}"))));
        lines.push(("reference", event.id.clone()));
    }
    if let Some(row) = &explanation.reason {
        if explanation.event.is_none() {
            lines.push(("reason", row.label.to_owned()));
        }
        lines.push(("meaning", row.internal.to_owned()));
        lines.push(("kind", format!("{}, severity {}", row.category.label(), row.severity.label())));
        lines.push((
            "client reads",
            format!("\"{}\", close code {} or HTTP {}", row.public, row.close_code, row.http_status),
        ));
        lines.push(("advice", row.advice.to_owned()));
    }
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<13} {}\n", output::printable(&value))).collect()
}

/// What was done, in a few words more than its label.
fn decision(label: &str) -> String {
    let words = match label {
        "allowed" => "it passed",
        "observed" => "it passed, for the policy observes here; with `reply` or `block` it would have been refused",
        "dropped" => "the message was dropped in silence; the connection stayed",
        "masked" => "the message was passed on with what was found made unreadable",
        "sanitized" => "the message was passed on without what its HTML may not hold",
        "replaced" => "the message was passed on as a callback wrote it anew",
        "replied" => "the message was dropped and its sender told; the connection stayed",
        "refused" => "the request was refused",
        "closed" => "the connection was closed",
        _ => return label.to_owned(),
    };
    format!("{label}: {words}")
}

fn joined(parts: &[(&str, &Option<String>)]) -> String {
    let shown: Vec<_> = parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
    shown.join(", ")
}
