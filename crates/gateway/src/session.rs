//! Sessions over HTTP (SPEC 5): `POST <path>` with a credential answers `{"session":"pcs_…",…}`, or with `?as=cookie`
//! sets it as a cookie; with a session as the credential it is rotated. `DELETE <path>` ends the session that is shown.
//! `OPTIONS` answers a page's preflight.
//!
//! Decides nothing: the core's [`Exchange`] says who asks. What came in a cookie is answered by a cookie only, so that no
//! script reads what `HttpOnly` keeps from it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use portcullis_core::admission::{Arrival, Exchange, ExchangeStep, Exchanged, Head, Question, Refusal, may_exchange};
use portcullis_core::event::Decision as Recorded;
use portcullis_core::limits::ledger::SESSIONS;
use portcullis_core::limits::{Limit, Party};
use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::{RefuseWith, SessionCookie, Sessions};
use portcullis_core::verdict::Reason;

use crate::cross_origin;
use crate::handshake::{Body, Visit};
use crate::record::Draft;

const METHODS: &str = "POST, DELETE";

/// Answers a request to the path of sessions.
pub(crate) async fn serve(
    visit: &Visit,
    policy: Arc<Policy>,
    rules: &Sessions,
    tls: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let headers = request.headers().clone();
    let allowed = may_exchange(&policy, &headers, tls);
    let method = request.method().clone();
    if method == Method::OPTIONS {
        return cross_origin::preflight(&headers, allowed, METHODS);
    }
    if method != Method::POST && method != Method::DELETE {
        return cross_origin::method_not_allowed("POST, DELETE, OPTIONS");
    }
    let outcome = match settle(visit, policy, tls, &request).await {
        Ok(exchanged) if method == Method::POST => issue(visit, *exchanged, rules, request.uri().query()).await,
        Ok(exchanged) => end(visit, &exchanged, rules).await,
        Err(refused) => Err(refused),
    };
    let mut response = outcome.unwrap_or_else(|refused| visit.refuse(&refused, &request));
    if allowed {
        cross_origin::allow(&headers, response.headers_mut());
    }
    response
}

/// Who asks.
async fn settle(
    visit: &Visit,
    policy: Arc<Policy>,
    tls: bool,
    request: &Request<Incoming>,
) -> Result<Box<Exchanged>, Box<Refusal>> {
    let shared = &visit.worker.shared;
    let arrival = Arrival { client: visit.client, tls, connection_id: visit.connection_id.clone(), certificate: None };
    let mut exchange =
        Exchange::new(policy, Arc::clone(&shared.gate), shared.keys.load_full(), shared.cache.load_full(), arrival);
    let head =
        Head { method: request.method(), uri: request.uri(), version: request.version(), headers: request.headers() };
    let mut step = exchange.arrive(&head, shared.clock.now());
    loop {
        match step {
            ExchangeStep::Done(outcome) => return outcome,
            ExchangeStep::Ask(Question::RefreshKeys { source, .. }) => {
                // Whether it came or not, the next step tells.
                let _ = crate::fetch::refresh(shared, source).await;
            }
            ExchangeStep::Ask(Question::Redeem { name }) => {
                exchange.redeemed(crate::nodes::redeem(shared, &name).await);
            }
            ExchangeStep::Ask(Question::Recall { name }) => crate::nodes::recall(shared, &name).await,
            ExchangeStep::Ask(Question::Introspect { token }) => {
                exchange.introspected(crate::introspect::ask(shared, &token).await);
            }
            ExchangeStep::Ask(Question::Wait { delay }) => visit.wait(delay).await,
            ExchangeStep::Ask(Question::Authorize { .. } | Question::FirstMessage { .. } | Question::Count(_)) => {
                return Err(refusal(
                    Reason::HandshakeMalformed,
                    "a session is asked for with a credential in its head",
                ));
            }
        }
        step = exchange.step(shared.clock.now());
    }
}

async fn issue(
    visit: &Visit,
    exchanged: Exchanged,
    rules: &Sessions,
    query: Option<&str>,
) -> Result<Response<Body>, Box<Refusal>> {
    let Exchanged { principal, by_cookie, order, seat } = exchanged;
    if principal.is_anonymous() || principal.subject.is_none() {
        return Err(refusal(Reason::CredentialMissing, Reason::CredentialMissing.row().internal));
    }
    let subject = principal.subject.as_deref().map(str::to_owned);
    if let Some(subject) = &subject {
        seldom(visit, rules, subject)?;
    }
    let issued = visit.worker.shared.sessions.issue(order).await;
    drop(seat);
    let plan = issued
        .map_err(|reason| Box::new(Refusal { subject: subject.clone(), ..*refusal(reason, reason.row().internal) }))?;
    let word = || portcullis_store::session_words::in_force(&plan.session, rules.idle_timeout);
    crate::nodes::tell_session(&visit.worker.shared, word).await;
    let terms = &plan.session.terms;
    let now = visit.worker.shared.clock.now();
    let detail = match plan.replaces.first() {
        Some(before) => format!("in place of session {before}"),
        None => String::new(),
    };
    let draft = Draft {
        source_ip: Some(visit.client),
        session: Some(terms.id.clone()),
        user: subject,
        tenant: terms.tenant.clone(),
        metadata: visit.agent(),
        ..Draft::new(Reason::SessionIssued, Recorded::Allowed, "session", detail)
    };
    visit.worker.record(draft, now);
    let lasts = terms.ends_unix_s.saturating_sub(now.unix_seconds());
    let mut told = serde_json::json!({
        "id": terms.id,
        "subject": terms.subject,
        "expires_at": terms.ends_unix_s,
        "idle_timeout_ms": u64::try_from(rules.idle_timeout.as_millis()).unwrap_or(u64::MAX),
    });
    let as_cookie = by_cookie || query.is_some_and(|query| query.split('&').any(|pair| pair == "as=cookie"));
    if let (false, Some(told)) = (as_cookie, told.as_object_mut()) {
        told.insert("session".into(), plan.text.clone().into());
    }
    let mut response = answer(StatusCode::CREATED, Bytes::from(told.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if as_cookie {
        set_cookie(response.headers_mut(), &rules.cookie, &plan.text, lasts);
    }
    Ok(response)
}

/// Whether a user asks no more often than it may.
fn seldom(visit: &Visit, rules: &Sessions, subject: &str) -> Result<(), Box<Refusal>> {
    let Some(limit) = rules.rate_per_user.map(Limit::compile) else { return Ok(()) };
    let now = visit.worker.shared.clock.now().mono_nanos();
    let (_, held) = visit.worker.shared.ledger.open(&limit, SESSIONS, Party::User(subject), now);
    let allowance = held.counter.check(&limit, now, 1);
    if allowance.allowed {
        return Ok(());
    }
    let refused = refusal(Reason::SessionRate, Reason::SessionRate.row().internal);
    Err(Box::new(Refusal { subject: Some(subject.to_owned()), retry_after: Some(allowance.retry_after), ..*refused }))
}

async fn end(visit: &Visit, exchanged: &Exchanged, rules: &Sessions) -> Result<Response<Body>, Box<Refusal>> {
    let Some(id) = exchanged.session() else {
        return Err(refusal(Reason::CredentialInvalid, "the credential is no session, so there is none to end"));
    };
    let ended = visit.worker.shared.sessions.end(id).await;
    ended.map_err(|reason| refusal(reason, reason.row().internal))?;
    let mut response = answer(StatusCode::NO_CONTENT, Bytes::new());
    if exchanged.by_cookie {
        set_cookie(response.headers_mut(), &rules.cookie, "", 0);
    }
    Ok(response)
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// RFC 6265 4.1. Name, path and text were checked or are ours.
fn set_cookie(headers: &mut HeaderMap, cookie: &SessionCookie, text: &str, lasts_s: u64) {
    let SessionCookie { name, path, same_site, secure } = cookie;
    let secure = if *secure { "; Secure" } else { "" };
    let same_site = same_site.word();
    let value = format!("{name}={text}; Path={path}; Max-Age={lasts_s}; HttpOnly; SameSite={same_site}{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&value) {
        value.set_sensitive(true);
        headers.append(header::SET_COOKIE, value);
    }
}

fn refusal(reason: Reason, detail: &str) -> Box<Refusal> {
    Box::new(Refusal {
        reason,
        check: "session",
        refuse_with: RefuseWith::Status,
        retry_after: None,
        headers: HeaderMap::new(),
        detail: detail.to_owned(),
        route: None,
        subject: None,
    })
}
