//! Metrics, health, and the API's answers.
//!
//! Decides their shapes. Whatever may block (the audit file, the gateway's threads) runs on threads
//! meant for blocking; searches at once are bounded.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use portcullis_store::{AuditReader, StoreError};
use serde_json::json;

use super::problem::problem;
use super::{CONNECTIONS_LISTED_MAX, Shared, audit_query};

/// Searches of the audit at once; further ones are told to come back.
pub(super) const SEARCHES_MAX: usize = 4;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let openmetrics = accept.contains("application/openmetrics-text");
    let text = shared.state.metrics.render(&shared.state.live.gauges(), openmetrics);
    let kind = if openmetrics { OPENMETRICS } else { PROMETHEUS };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

/// The process answers.
pub(super) async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// New connections are welcome.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.state.live.ready() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway drains, or has no routes")
}

pub(super) async fn security_metrics(State(shared): State<Arc<Shared>>) -> Response {
    let totals = shared.state.metrics.totals();
    let gauges = shared.state.live.gauges();
    let last = shared.history.last();
    let by_name = |pairs: &[(&str, u64)]| -> serde_json::Map<String, serde_json::Value> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect()
    };
    let routes: Vec<(&str, u64)> = totals.routes.iter().map(|(name, open)| (name.as_str(), *open)).collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": gauges.uptime.as_secs_f64(),
        "connections": {
            "open": totals.connections_opened.saturating_sub(totals.connections_closed),
            "held": gauges.open_connections,
            "opened": totals.connections_opened,
            "closed": totals.connections_closed,
            "by_route": by_name(&routes),
        },
        "messages": {
            "inbound": totals.messages_inbound,
            "outbound": totals.messages_outbound,
            "bytes_inbound": totals.bytes_inbound,
            "bytes_outbound": totals.bytes_outbound,
            "per_second": last.messages,
        },
        "refusals": { "total": totals.refusals, "per_second": last.refusals, "by_reason": by_name(&totals.reasons) },
        "addresses_tracked": gauges.tracked_addresses,
        "audit": {
            "lost": gauges.audit_lost,
            "queued": gauges.audit_queued,
            "write_failures": gauges.audit_write_failures,
        },
        "config_version": gauges.config_version,
    }))
    .into_response()
}

/// What works and what does not; 200 either way: it is asked by people and dashboards, and `/ready` by
/// machines.
pub(super) async fn security_health(State(shared): State<Arc<Shared>>) -> Response {
    let ready = shared.state.live.ready();
    let readable = match read(&shared, |reader| reader.newest_seq().map(|_| ())).await {
        Ok(()) => Ok("the audit file is readable"),
        Err(ReadError::Off) => Ok("events are not stored"),
        Err(ReadError::Busy) => Ok("the audit file is being searched"),
        Err(ReadError::Store(error)) => {
            tracing::error!(%error, "the audit cannot be read");
            Err(())
        }
    };
    let lost = shared.history.lost_lately();
    let mut checks = vec![
        json!({ "name": "listener", "ok": ready, "detail": if ready { "connections are welcome" } else { "the gateway drains, or has no routes" } }),
        json!({ "name": "audit_file", "ok": readable.is_ok(), "detail": readable.unwrap_or("the audit file cannot be read; see the log") }),
        json!({ "name": "audit_writer", "ok": lost == 0, "detail": format!("{lost} events lost in the last five minutes") }),
    ];
    let gauges = shared.state.live.gauges();
    if let Some(nodes) = &gauges.shared_state {
        let detail = if nodes.up { "Redis or Valkey answers" } else { "this node decides alone; see the log" };
        checks.push(json!({ "name": "shared_state", "ok": nodes.up, "detail": detail }));
    }
    for (upstream, up) in gauges.upstream_up {
        checks.push(json!({ "name": "upstream", "ok": up, "detail": upstream }));
    }
    let ok = checks.iter().all(|check| check.get("ok") == Some(&json!(true)));
    Json(json!({ "status": if ok { "ok" } else { "degraded" }, "checks": checks })).into_response()
}

pub(super) async fn audit_logs(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&uri) else {
        return problem(StatusCode::BAD_REQUEST, "the query string is malformed");
    };
    let query = match audit_query::parse(&pairs) {
        Ok(query) => query,
        Err(words) => return problem(StatusCode::BAD_REQUEST, &words),
    };
    let limit = query.limit.unwrap_or(100);
    match read(&shared, move |reader| reader.search(&query)).await {
        Ok(events) => {
            // A full page may have another one behind it.
            let next = events.last().filter(|_| events.len() == limit).map(|event| event.id.clone());
            Json(json!({ "events": events, "next": next })).into_response()
        }
        Err(error) => error.into_response(),
    }
}

pub(super) async fn config(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.state.live.policy_json()).into_response()
}

pub(super) async fn connections(State(shared): State<Arc<Shared>>) -> Response {
    let live = Arc::clone(&shared.state.live);
    let listed = tokio::task::spawn_blocking(move || live.connections(CONNECTIONS_LISTED_MAX)).await;
    match listed {
        Ok(connections) => Json(json!({ "connections": connections, "limit": CONNECTIONS_LISTED_MAX })).into_response(),
        Err(_) => fault(),
    }
}

pub(super) async fn disconnect(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let live = Arc::clone(&shared.state.live);
    match tokio::task::spawn_blocking(move || live.disconnect(&id)).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(StatusCode::NOT_FOUND, "no open connection has this id"),
        Err(_) => fault(),
    }
}

pub(super) async fn reload(State(shared): State<Arc<Shared>>) -> Response {
    let live = Arc::clone(&shared.state.live);
    match tokio::task::spawn_blocking(move || live.reload()).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(words)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &words),
        Err(_) => fault(),
    }
}

fn fault() -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the gateway; see its log")
}

/// Why the audit could not be read.
enum ReadError {
    Off,
    Busy,
    Store(StoreError),
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        match self {
            Self::Off => problem(StatusCode::NOT_FOUND, "events are not stored; `audit.enabled` turns it on"),
            Self::Busy => {
                let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "too many searches at once");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Self::Store(StoreError::BadQuery(words)) => problem(StatusCode::BAD_REQUEST, &words),
            Self::Store(error) => {
                tracing::error!(%error, "the audit cannot be read");
                problem(StatusCode::INTERNAL_SERVER_ERROR, "the audit cannot be read; see the log")
            }
        }
    }
}

/// Opens the audit file and reads from it, on a thread for blocking.
async fn read<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&AuditReader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ReadError> {
    let path = shared.state.reader.clone().ok_or(ReadError::Off)?;
    let _place = shared.searches.try_acquire().map_err(|_| ReadError::Busy)?;
    let work = move || AuditReader::open_read_only(&path).and_then(|reader| work(&reader));
    tokio::task::spawn_blocking(work).await.map_err(|_| ReadError::Store(StoreError::Closed))?.map_err(ReadError::Store)
}
