//! Who may look and who may act: passed by every request before anything else runs.
//!
//! Decides from the table [`ENDPOINTS`], the bearer token (RFC 6750) or a login's cookie, the peer's
//! address, `Host` (DNS rebinding) and `Origin` (cross-site requests). Refuses what the table does not
//! name. Records refusals, sparingly, and every action; puts the security headers on every answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use portcullis_core::event::{Decision, Event, Origin};
use portcullis_core::verdict::Reason;
use subtle::ConstantTimeEq;

use super::problem::problem;
use super::{AdminState, Shared, login};
use crate::record::fresh_id;

/// Refusals recorded in one [`DENIALS_PERIOD`]; the rest are counted and named in the next one.
const DENIALS_RECORDED_MAX: u32 = 10;
/// See [`DENIALS_RECORDED_MAX`].
const DENIALS_PERIOD: Duration = Duration::from_secs(60);
/// Longest path repeated in an event, characters.
const PATH_CHARS_MAX: usize = 200;

/// What a path asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it tells nothing. `Host` must be ours all the same.
    Open,
    /// Who may read.
    Read,
    /// Who may read; the reading is recorded.
    Disclose,
    /// Who may act, from our own pages or no page; recorded.
    Act,
}

/// Every method and path, what it asks, and the permission it takes (nothing where it is open). `{id}` stands for one
/// segment.
pub const ENDPOINTS: &[(&str, &str, Access, &str)] = &[
    ("GET", "/", Access::Read, "page.read"),
    ("GET", "/login", Access::Open, ""),
    ("POST", "/login", Access::Open, ""),
    ("POST", "/logout", Access::Act, "page.read"),
    ("GET", "/live", Access::Read, "page.read"),
    ("GET", "/assets/live.js", Access::Open, ""),
    ("GET", "/assets/style.css", Access::Open, ""),
    ("GET", "/metrics", Access::Read, "metrics.read"),
    ("GET", "/health", Access::Open, ""),
    ("GET", "/ready", Access::Open, ""),
    ("GET", "/api/security/metrics", Access::Read, "metrics.read"),
    ("GET", "/api/security/health", Access::Read, "health.read"),
    ("GET", "/api/security/audit-logs", Access::Disclose, "audit.read"),
    ("GET", "/api/security/config", Access::Disclose, "config.read"),
    ("GET", "/api/security/blocks", Access::Disclose, "blocks.read"),
    ("GET", "/api/security/reputation", Access::Disclose, "blocks.read"),
    ("POST", "/api/security/block", Access::Act, "blocks.write"),
    ("POST", "/api/security/unblock", Access::Act, "blocks.write"),
    ("POST", "/api/security/block-ip", Access::Act, "blocks.write"),
    ("POST", "/api/security/unblock-ip", Access::Act, "blocks.write"),
    ("GET", "/api/security/keys", Access::Disclose, "keys.read"),
    ("POST", "/api/security/keys", Access::Act, "keys.write"),
    ("POST", "/api/security/keys/{id}/rotate", Access::Act, "keys.write"),
    ("DELETE", "/api/security/keys/{id}", Access::Act, "keys.write"),
    ("GET", "/api/security/sessions", Access::Disclose, "sessions.read"),
    ("POST", "/api/security/sessions/revoke", Access::Act, "sessions.write"),
    ("DELETE", "/api/security/sessions/{id}", Access::Act, "sessions.write"),
    ("GET", "/api/security/lockdown", Access::Disclose, "lockdown.read"),
    ("PUT", "/api/security/lockdown", Access::Act, "lockdown.write"),
    ("DELETE", "/api/security/lockdown", Access::Act, "lockdown.write"),
    ("GET", "/api/connections", Access::Read, "connections.read"),
    ("DELETE", "/api/connections/{id}", Access::Act, "connections.close"),
    ("POST", "/api/reload", Access::Act, "config.reload"),
];

/// How a caller was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A bearer token.
    Token(Bearer),
    /// A login's cookie, with its id, and the token it was begun with.
    Login(String, Bearer),
    /// No token is configured, and the peer is on this machine.
    Loopback,
}

/// Whose token it is: the one for the whole, or one of `admin.tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    /// `admin.token`.
    Whole,
    /// The one at this place of `admin.tokens`.
    Part(usize),
}

impl Caller {
    /// For the audit.
    fn name(&self, state: &AdminState) -> String {
        let of = |bearer: &Bearer| match bearer {
            Bearer::Whole => String::new(),
            Bearer::Part(place) => state.tokens.get(*place).map(|one| format!(" `{}`", one.name)).unwrap_or_default(),
        };
        match self {
            Self::Token(bearer) => format!("token{}", of(bearer)),
            Self::Login(_, bearer) => format!("login{}", of(bearer)),
            Self::Loopback => String::from("loopback"),
        }
    }

    fn may(&self, permission: &str, state: &AdminState) -> bool {
        match self {
            Self::Token(Bearer::Part(place)) | Self::Login(_, Bearer::Part(place)) => {
                state.tokens.get(*place).is_some_and(|token| token.may(permission))
            }
            Self::Token(Bearer::Whole) | Self::Login(_, Bearer::Whole) | Self::Loopback => true,
        }
    }
}

/// Whose token this is. Every known one is compared.
pub(super) fn bearer(sent: &[u8], state: &AdminState) -> Option<Bearer> {
    let whole = state.token.as_ref().filter(|token| equal(sent, token.expose())).map(|_| Bearer::Whole);
    let part = state.tokens.iter().enumerate().fold(None, |found, (place, one)| {
        if equal(sent, one.token.expose()) { Some(Bearer::Part(place)) } else { found }
    });
    whole.or(part)
}

pub(super) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(PATH_CHARS_MAX).collect();
    let (access, caller) = match judge(&shared, &request, peer) {
        Ok(judged) => judged,
        Err(refusal) => {
            let Refusal { response, detail } = *refusal;
            if let Some(detail) = detail {
                denied(&shared, peer, &format!("{method} {path}: {detail}"));
            }
            return with_headers(response);
        }
    };
    if let Some(caller) = &caller {
        request.extensions_mut().insert(caller.clone());
    }
    let response = next.run(request).await;
    if matches!(access, Access::Act | Access::Disclose) {
        let who = caller.as_ref().map_or_else(|| String::from("nobody"), |caller| caller.name(&shared.state));
        let detail = format!("{method} {path} by {who}: {}", response.status().as_u16());
        let decision = if response.status().is_success() { Decision::Allowed } else { Decision::Refused };
        shared.state.live.record(event(Reason::AdminAction, decision, peer, detail));
    }
    with_headers(response)
}

/// An answer in place of the handler's; where `detail` says why, it is recorded.
struct Refusal {
    response: Response,
    detail: Option<&'static str>,
}

fn judge(
    shared: &Shared,
    request: &Request,
    peer: Option<SocketAddr>,
) -> Result<(Access, Option<Caller>), Box<Refusal>> {
    let refuse =
        |status, words: &str, detail| Box::new(Refusal { response: problem(status, words), detail: Some(detail) });
    let headers = request.headers();
    let caller = caller(shared, headers, peer);
    // Who shows the token in a header is no page that a browser was led to.
    if !matches!(caller, Some(Caller::Token(_))) && !host_is_ours(headers) {
        let words = "this listener answers to `localhost` and to addresses, not to other names, unless the request \
                     carries the bearer token";
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, words, "the Host is not ours"));
    }
    let (access, permission) = access(request.method(), request.uri().path()).map_err(|status| {
        Box::new(Refusal { response: problem(status, "see the manual for what this listener serves"), detail: None })
    })?;
    if changes(request.method()) && !same_origin(headers) {
        return Err(refuse(StatusCode::FORBIDDEN, "requests from other origins are refused", "the Origin is not ours"));
    }
    if access != Access::Open && caller.as_ref().is_some_and(|caller| !caller.may(permission, &shared.state)) {
        let words = format!("the token has no permission `{permission}`");
        return Err(refuse(StatusCode::FORBIDDEN, &words, "the token lacks the permission"));
    }
    if access == Access::Open || caller.is_some() {
        return Ok((access, caller));
    }
    let tried = headers.contains_key(header::AUTHORIZATION);
    if request.uri().path() == "/" && shared.state.token.is_some() && !tried {
        return Err(Box::new(Refusal { response: Redirect::to("/login").into_response(), detail: None }));
    }
    let mut refusal = refuse(
        StatusCode::UNAUTHORIZED,
        "send `Authorization: Bearer` with the admin token",
        if tried { "the token is wrong" } else { "no token" },
    );
    refusal.response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(refusal)
}

/// What the table asks; 404 or 405 where it has no line.
fn access(method: &Method, path: &str) -> Result<(Access, &'static str), StatusCode> {
    let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut known = false;
    for (method, template, access, permission) in ENDPOINTS {
        let matches = match template.split_once("{id}") {
            Some((before, after)) => path
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|id| !id.is_empty() && !id.contains('/')),
            None => path == *template,
        };
        if matches && *method == wanted {
            return Ok((*access, permission));
        }
        known |= matches;
    }
    Err(if known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND })
}

fn caller(shared: &Shared, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<Caller> {
    if shared.state.token.is_none() {
        let here = |ip: IpAddr| ip.to_canonical().is_loopback();
        let local = here(shared.state.address.ip()) && peer.is_some_and(|peer| here(peer.ip()));
        return local.then_some(Caller::Loopback);
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let sent = value.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        return sent.and_then(|(_, sent)| bearer(sent, &shared.state)).map(Caller::Token);
    }
    let id = login::cookie(headers)?;
    shared.logins.holds(id, Instant::now()).map(|bearer| Caller::Login(id.to_owned(), bearer))
}

/// Compares without telling by time where two texts differ; the length shows.
pub(super) fn equal(sent: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && bool::from(sent.ct_eq(secret))
}

/// A page of another site reaches a loopback address under its own name (DNS rebinding); under
/// `localhost` or an address it cannot.
fn host_is_ours(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// No browser page sends it, or one of ours does.
fn same_origin(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(header::HOST).map(HeaderValue::to_str)) else {
        return false;
    };
    ["http://", "https://"]
        .iter()
        .any(|scheme| origin.strip_prefix(scheme).is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
}

/// How many refusals were recorded lately.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Option<Period>>);

#[derive(Debug)]
struct Period {
    since: Instant,
    recorded: u32,
    left_out: u64,
}

impl Denials {
    /// Whether this one is recorded, and how many were left out since the last that was.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let period = period.get_or_insert(Period { since: now, recorded: 0, left_out: 0 });
        if now.saturating_duration_since(period.since) >= DENIALS_PERIOD {
            period.since = now;
            period.recorded = 0;
        }
        if period.recorded == DENIALS_RECORDED_MAX {
            period.left_out = period.left_out.saturating_add(1);
            return None;
        }
        period.recorded += 1;
        Some(std::mem::take(&mut period.left_out))
    }
}

/// Records a refusal, unless many were recorded lately.
pub(super) fn denied(shared: &Shared, peer: Option<SocketAddr>, what: &str) {
    let Some(left_out) = shared.denials.admit(Instant::now()) else { return };
    let mut event = event(Reason::AdminDenied, Decision::Refused, peer, what.to_owned());
    if left_out > 0 {
        event.metadata.push(("not_recorded_before", left_out.into()));
    }
    shared.state.live.record(event);
}

pub(super) fn event(reason: Reason, decision: Decision, peer: Option<SocketAddr>, detail: String) -> Event {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Event {
        id: fresh_id(time_unix_ms),
        time_unix_ms,
        reason,
        decision,
        check: "admin",
        origin: Arc::new(Origin { source_ip: peer.map(|peer| peer.ip()), ..Origin::default() }),
        message_type: None,
        detail,
        metadata: Vec::new(),
    }
}

/// Scripts, styles and connections of our own and nothing else.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

fn with_headers(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 8] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in HEADERS {
        // The login page brings a content policy of its own.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
