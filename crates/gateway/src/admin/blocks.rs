//! Banning, revoking and lifting over HTTP (SPEC 3.11, 7.1, 12.1): shapes of what is asked and answered.
//!
//! `POST /api/security/block` takes `{"kind": "user", "value": "u1", "for": "24h", "reason": "…", "revoke": false}`;
//! `block-ip` the same with `{"ip": …}` for kind and value. The list itself is the gateway's.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_core::policy::duration;
use portcullis_core::reputation::{Block, Target};
use portcullis_store::StoreError;
use serde::Deserialize;
use serde_json::json;

use super::problem::problem;
use super::{Live, Shared};

/// How long a ban lasts that does not say.
const BAN_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a revocation lasts that does not say: longer than tokens live.
const REVOKED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whom, for how long and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockBody {
    kind: String,
    value: String,
    #[serde(rename = "for")]
    how_long: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    revoke: bool,
}

/// Whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetBody {
    kind: String,
    value: String,
}

/// An address or network, for how long and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockIpBody {
    ip: String,
    #[serde(rename = "for")]
    how_long: Option<String>,
    #[serde(default)]
    reason: String,
}

/// An address or network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IpBody {
    ip: String,
}

type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    match on_file(&shared, |live| live.blocked()).await {
        Ok(blocked) => {
            let earned: Vec<_> = blocked
                .earned
                .iter()
                .map(|(address, until)| json!({ "address": address, "until_unix_ms": until }))
                .collect();
            Json(json!({ "blocks": blocked.blocks, "earned": earned })).into_response()
        }
        Err(response) => *response,
    }
}

/// Who has a score that led to something, and which facts gave it.
pub(super) async fn reputation(State(shared): State<Arc<Shared>>) -> Response {
    Json(json!({ "sources": shared.state.live.scored() })).into_response()
}

pub(super) async fn block(State(shared): State<Arc<Shared>>, body: Body<BlockBody>) -> Response {
    let Json(body) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    put(&shared, &body).await
}

pub(super) async fn block_ip(State(shared): State<Arc<Shared>>, body: Body<BlockIpBody>) -> Response {
    let Json(BlockIpBody { ip, how_long, reason }) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    put(&shared, &BlockBody { kind: String::from("network"), value: ip, how_long, reason, revoke: false }).await
}

pub(super) async fn unblock(State(shared): State<Arc<Shared>>, body: Body<TargetBody>) -> Response {
    match body {
        Ok(Json(body)) => lift(&shared, &body.kind, &body.value).await,
        Err(rejection) => problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    }
}

pub(super) async fn unblock_ip(State(shared): State<Arc<Shared>>, body: Body<IpBody>) -> Response {
    match body {
        Ok(Json(body)) => lift(&shared, "network", &body.ip).await,
        Err(rejection) => problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    }
}

async fn put(shared: &Arc<Shared>, body: &BlockBody) -> Response {
    let made = match made(body) {
        Ok(made) => made,
        Err(words) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    let kept = made.clone();
    match on_file(shared, move |live| live.block(&kept)).await {
        Ok(()) => (StatusCode::CREATED, Json(made)).into_response(),
        Err(response) => *response,
    }
}

fn made(body: &BlockBody) -> Result<Block, String> {
    let usual = if body.revoke { REVOKED_FOR } else { BAN_FOR };
    let how_long = match &body.how_long {
        None => usual,
        Some(text) => {
            duration(text).ok_or_else(|| format!("`for` is a duration such as `30m` or `24h`, not `{text}`"))?
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let target = Target::parse(&body.kind, &body.value).map_err(|error| error.to_string())?;
    let make = if body.revoke { Block::revocation } else { Block::ban };
    make(target, how_long, &body.reason, now).map_err(|error| error.to_string())
}

async fn lift(shared: &Arc<Shared>, kind: &str, value: &str) -> Response {
    let target = match Target::parse(kind, value) {
        Ok(target) => target,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    match on_file(shared, move |live| live.unblock(&target)).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => problem(StatusCode::NOT_FOUND, "it is on no list"),
        Err(response) => *response,
    }
}

/// Runs on a thread for blocking: the file may be held by another program for a moment.
pub(super) async fn on_file<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&dyn Live) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Box<Response>> {
    let live = Arc::clone(&shared.state.live);
    super::blocking(move || work(&*live)).await
}
