//! Locking down over HTTP (SPEC 7.3): `GET`, `PUT` and `DELETE` of `/api/security/lockdown`.
//!
//! `PUT` takes `{"for": "30m", "reason": "…"}`. The rules are the core's, the file is the gateway's.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_core::policy::duration;
use portcullis_core::reputation::Lockdown;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::blocks::on_file;
use super::problem::problem;

/// How long one lasts that does not say.
const LOCKED_FOR: Duration = Duration::from_secs(30 * 60);

/// For how long and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    #[serde(rename = "for")]
    how_long: Option<String>,
    #[serde(default)]
    reason: String,
}

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    match on_file(&shared, |live| live.lockdown()).await {
        Ok(lockdown) => Json(json!({ "lockdown": lockdown })).into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn begin(State(shared): State<Arc<Shared>>, body: Result<Json<Body>, JsonRejection>) -> Response {
    let Json(body) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let how_long = match body.how_long.as_deref().map_or(Some(LOCKED_FOR), duration) {
        Some(how_long) => how_long,
        None => return problem(StatusCode::UNPROCESSABLE_ENTITY, "`for` is a duration such as `30m` or `2h`"),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made = match Lockdown::new(how_long, &body.reason, u64::try_from(now.as_millis()).unwrap_or(u64::MAX)) {
        Ok(made) => made,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    let kept = made.clone();
    match on_file(&shared, move |live| live.lock_down(&kept)).await {
        Ok(()) => Json(json!({ "lockdown": made })).into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn end(State(shared): State<Arc<Shared>>) -> Response {
    match on_file(&shared, |live| live.end_lockdown()).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(StatusCode::NOT_FOUND, "there is no lockdown"),
        Err(response) => *response,
    }
}
