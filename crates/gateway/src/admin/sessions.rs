//! Sessions over HTTP for operators (SPEC 5.3, 12.1): listed, ended.
//!
//! `GET /api/security/sessions?user=u17`; `DELETE …/{id}`; `POST …/revoke` takes `{"user": "u17", "tenant": null}`. Open
//! connections of sessions that end close within a second.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_store::{SessionFile, StoreError};
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::problem::problem;

/// Whose.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<String>,
}

/// Whose end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    user: String,
    tenant: Option<String>,
}

pub(super) async fn list(State(shared): State<Arc<Shared>>, Query(whose): Query<Whose>) -> Response {
    match on_file(&shared, move |file| file.all(whose.user.as_deref())).await {
        Ok(sessions) => Json(json!({ "sessions": sessions })).into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn revoke(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match on_file(&shared, move |file| file.remove(&[id])).await {
        Ok(0) => problem(StatusCode::NOT_FOUND, "no session in force has this id"),
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn revoke_of(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<RevokeBody>, JsonRejection>,
) -> Response {
    let RevokeBody { user, tenant } = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    match on_file(&shared, move |file| file.remove_of(&user, tenant.as_deref())).await {
        Ok(ended) => Json(json!({ "ended": ended })).into_response(),
        Err(response) => *response,
    }
}

/// Runs on a thread for blocking: the file may be held by another program for a moment.
async fn on_file<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&mut SessionFile) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Box<Response>> {
    let path = shared.state.sessions.clone();
    super::blocking(move || work(&mut SessionFile::open(&path)?)).await
}
