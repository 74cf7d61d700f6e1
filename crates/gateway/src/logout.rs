//! Back-channel logout over HTTP (OpenID Connect Back-Channel Logout 1.0, 2.5 and 2.8): a provider posts
//! `logout_token=…`, and is answered 200 once what ends stands on the list of the revoked, where it outlives a restart
//! and reaches every node. Open connections close within a second.
//!
//! Decides nothing: the core's [`ProviderLogout`] does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use portcullis_core::admission::{LogoutStep, Notified, ProviderLogout, Question, Refusal};
use portcullis_core::event::Decision as Recorded;
use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::RefuseWith;
use portcullis_core::reputation::Target;
use portcullis_core::verdict::Reason;
use portcullis_store::{BLOCKS_FILE, Blocks};

use crate::cross_origin;
use crate::handshake::{Body, Visit};
use crate::record::Draft;

/// Largest form read, bytes, beyond the longest token.
const FORM_BYTES_MORE: usize = 1 << 10;
/// How long the form may take.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);

/// A logout that has begun, or why its address may not try.
pub(crate) type Begun = Result<ProviderLogout, (Reason, Option<Duration>)>;

/// Nothing where no provider posts to the path.
pub(crate) fn begin(visit: &Visit, policy: &Arc<Policy>, path: &str) -> Option<Begun> {
    let shared = &visit.worker.shared;
    ProviderLogout::at(path, policy, &shared.gate, shared.keys.load_full(), visit.client, visit.worker.now())
}

/// Answers a post to the path of a provider's logout.
pub(crate) async fn serve(
    visit: &Visit,
    policy: &Arc<Policy>,
    begun: Begun,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.method() != Method::POST {
        return cross_origin::method_not_allowed("POST");
    }
    let body = request.into_body();
    let outcome = match begun {
        Ok(logout) => hear(visit, policy, logout, body).await,
        Err((reason, retry_after)) => Err((reason, retry_after, reason.row().internal.to_owned())),
    };
    let mut response = match outcome {
        Ok(()) => Response::new(Either::Left(Full::new(Bytes::new()))),
        Err((reason, retry_after, detail)) => visit.refuse_by_status(&refusal(reason, retry_after, detail)),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Refused = (Reason, Option<Duration>, String);

async fn hear(visit: &Visit, policy: &Policy, mut logout: ProviderLogout, body: Incoming) -> Result<(), Refused> {
    let shared = &visit.worker.shared;
    let said = |reason: Reason| (reason, None, reason.row().internal.to_owned());
    let most = policy.checked.identity.token_bytes_max.saturating_add(FORM_BYTES_MORE);
    let form = tokio::time::timeout(FORM_TIMEOUT, Limited::new(body, most).collect()).await;
    let form = form.ok().and_then(Result::ok).ok_or_else(|| said(Reason::LogoutInvalid))?.to_bytes();
    let notified = loop {
        match logout.step(&form, shared.clock.now()) {
            LogoutStep::Done(outcome) => break outcome.map_err(said)?,
            // Whether they came or not, the next step tells.
            LogoutStep::Ask(Question::RefreshKeys { source, .. }) => drop(crate::fetch::refresh(shared, source).await),
            LogoutStep::Ask(_) => return Err(said(Reason::LogoutInvalid)),
        }
    };
    end(visit, policy, &notified).await.map_err(|why| (Reason::SessionsUnavailable, None, why))?;
    shared.metrics.logout();
    let (user, session) = match &notified.block.target {
        Target::Session(session) => (None, Some(session.clone())),
        target => (Some(target.value()), None),
    };
    let draft = Draft {
        source_ip: Some(visit.client),
        user,
        session,
        ..Draft::new(Reason::LogoutReceived, Recorded::Allowed, "logout", format!("`{}` said so", notified.issuer))
    };
    visit.worker.record(draft, shared.clock.now());
    Ok(())
}

/// Puts what ends on the list, and ends the gateway's own sessions that rest on it.
async fn end(visit: &Visit, policy: &Policy, notified: &Notified) -> Result<(), String> {
    let (path, block) = (policy.checked.state_dir.join(BLOCKS_FILE), notified.block.clone());
    let written = tokio::task::spawn_blocking(move || Blocks::open(&path)?.put(&block)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.to_string()),
        Err(error) => return Err(error.to_string()),
    }
    let ended = visit.worker.shared.sessions.end_of(notified.block.target.clone()).await;
    ended.map(|_| ()).map_err(|reason| reason.row().internal.to_owned())
}

fn refusal(reason: Reason, retry_after: Option<Duration>, detail: String) -> Refusal {
    Refusal {
        reason,
        check: "logout",
        refuse_with: RefuseWith::Status,
        retry_after,
        headers: HeaderMap::new(),
        detail,
        route: None,
        subject: None,
    }
}
