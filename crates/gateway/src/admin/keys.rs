//! API keys over HTTP (SPEC 3.4, 12.1): listed, made, rotated, revoked. A key's text is in the answer to the call that
//! made it, and nowhere else.
//!
//! `POST /api/security/keys` takes `{"name": "import", "subject": "svc-import", "roles": [], "permissions": [],
//! "tenant": null, "expires": "90d"}`; `POST …/{id}/rotate` `{"keep": "24h"}`; `DELETE …/{id}` revokes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portcullis_core::identity::api_key::{ApiKey, Grants, Minted, RANDOM_BYTES};
use portcullis_core::policy::duration;
use portcullis_store::{Keys, StoreError};
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::problem::problem;

/// How long a rotated key's earlier secret is accepted when the call does not say.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// Whom the key stands for, what it may, and until when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: Option<String>,
    subject: String,
    tenant: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    expires: Option<String>,
}

/// How long the earlier secret is accepted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    keep: Option<String>,
}

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    match on_file(&shared, |keys| keys.all()).await {
        Ok(keys) => Json(json!({ "keys": keys })).into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<CreateBody>, JsonRejection>,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let made = span("expires", body.expires.as_deref()).and_then(|lasts| {
        let minted = Minted::new(&random()?);
        let now = now_unix_s();
        let grants = Grants {
            name: body.name.unwrap_or_else(|| body.subject.clone()),
            subject: body.subject,
            tenant: body.tenant,
            roles: body.roles,
            permissions: body.permissions,
            expires_unix_s: lasts.map(|lasts| now.saturating_add(lasts.as_secs())),
        };
        Ok((ApiKey::new(&minted, grants, now).map_err(|error| error.to_string())?, minted))
    });
    let (key, minted) = match made {
        Ok(made) => made,
        Err(words) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    let kept = key.clone();
    match on_file(&shared, move |keys| keys.add(&kept)).await {
        Ok(()) => shown_once(StatusCode::CREATED, &key, &minted),
        Err(response) => *response,
    }
}

pub(super) async fn rotate(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Result<Json<RotateBody>, JsonRejection>,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        // No body is no wish.
        Err(JsonRejection::MissingJsonContentType(_)) => RotateBody::default(),
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let (keep, random) = match span("keep", body.keep.as_deref()).and_then(|keep| Ok((keep.unwrap_or(KEEP), random()?)))
    {
        Ok(both) => both,
        Err(words) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    let minted = Minted::again(&id, &random);
    let (digest, now) = (minted.digest, now_unix_s());
    let rotated = move |keys: &Keys| {
        let changed = keys.rotate(&id, digest, now, now.saturating_add(keep.as_secs()))?;
        if changed { keys.find(&id) } else { Ok(None) }
    };
    match on_file(&shared, rotated).await {
        Ok(Some(key)) => shown_once(StatusCode::OK, &key, &minted),
        Ok(None) => problem(StatusCode::NOT_FOUND, "no key that may still be used has this id"),
        Err(response) => *response,
    }
}

pub(super) async fn revoke(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match on_file(&shared, move |keys| keys.revoke(&id, now_unix_s())).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(StatusCode::NOT_FOUND, "no key that is not revoked has this id"),
        Err(response) => *response,
    }
}

/// The answer that holds the key's text; no cache keeps it.
fn shown_once(status: StatusCode, key: &ApiKey, minted: &Minted) -> Response {
    let mut response = (status, Json(json!({ "key": key, "secret": minted.text }))).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn span(name: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    text.map(|text| {
        duration(text).ok_or_else(|| format!("`{name}` is a duration such as `30m` or `90d`, not `{text}`"))
    })
    .transpose()
}

fn random() -> Result<[u8; RANDOM_BYTES], String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| String::from("the system gave no random numbers; try again"))?;
    Ok(bytes)
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Runs on a thread for blocking: the file may be held by another program for a moment.
async fn on_file<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Keys) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Box<Response>> {
    let path = shared.state.api_keys.clone();
    super::blocking(move || work(&Keys::open(&path)?)).await
}
