//! Logging in to the page: the admin token once, a cookie afterwards.
//!
//! Decides whether a form's token is right and keeps the ids of logins, in memory only. The cookie is
//! a random id, never the token; scripts cannot read it and other sites' requests do not carry it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::html;
use portcullis_core::event::Decision;
use portcullis_core::verdict::Reason;

use super::guard::{Bearer, Caller, bearer, denied, equal, event};
use super::{Shared, page};

/// Bytes of a form, and of any other body.
pub(super) const FORM_BYTES_MAX: usize = 8 * 1024;
/// Logins at once; the oldest ends when one more begins.
pub(super) const LOGINS_MAX: usize = 64;
/// How long a login lasts.
const LOGIN_LIFETIME: Duration = Duration::from_secs(12 * 3600);
const COOKIE: &str = portcullis_core::admission::ADMIN_COOKIE;

/// The content policy of the one page with a form.
const FORM_CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Ids of logins, oldest first.
#[derive(Default)]
pub(super) struct Logins(Mutex<VecDeque<(String, Instant, Bearer)>>);

impl Logins {
    /// A new login's id: 256 bits from the system. `None` where the system gives none.
    pub(super) fn begin(&self, bearer: Bearer, now: Instant) -> Option<String> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).ok()?;
        let id = HEXLOWER.encode(&random);
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|(_, ends, _)| *ends > now);
        if logins.len() >= LOGINS_MAX {
            logins.pop_front();
        }
        logins.push_back((id.clone(), now + LOGIN_LIFETIME, bearer));
        Some(id)
    }

    /// Whose token a login with this id was begun with, while it goes on. Every known id is compared.
    pub(super) fn holds(&self, id: &str, now: Instant) -> Option<Bearer> {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.iter().fold(None, |found, (known, ends, bearer)| {
            if equal(id.as_bytes(), known.as_bytes()) && *ends > now { Some(*bearer) } else { found }
        })
    }

    fn end(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, ..)| known != id);
    }
}

/// The id that a request's cookie names.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

pub(super) async fn form(State(shared): State<Arc<Shared>>) -> Response {
    if shared.state.token.is_none() {
        return Redirect::to("/").into_response();
    }
    form_page(StatusCode::OK, None)
}

/// What the form sends. It has no `Debug`: it holds the token.
#[derive(serde::Deserialize)]
pub(super) struct Login {
    token: String,
}

pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    form: Result<Form<Login>, FormRejection>,
) -> Response {
    let peer = peer.map(|Extension(ConnectInfo(peer))| peer);
    if shared.state.token.is_none() {
        return Redirect::to("/").into_response();
    }
    let right = form.ok().and_then(|Form(form)| bearer(form.token.as_bytes(), &shared.state));
    let Some(right) = right else {
        denied(&shared, peer, "POST /login: the token is wrong");
        return form_page(StatusCode::UNAUTHORIZED, Some("That is not an admin token."));
    };
    let Some(id) = shared.logins.begin(right, Instant::now()) else {
        return form_page(StatusCode::SERVICE_UNAVAILABLE, Some("The system gave no random numbers. Try again."));
    };
    shared.state.live.record(event(Reason::AdminAction, Decision::Allowed, peer, "POST /login".into()));
    let seconds = LOGIN_LIFETIME.as_secs();
    with_cookie(format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}"), Redirect::to("/"))
}

pub(super) async fn logout(State(shared): State<Arc<Shared>>, caller: Option<Extension<Caller>>) -> Response {
    if let Some(Extension(Caller::Login(id, _))) = caller {
        shared.logins.end(&id);
    }
    with_cookie(format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"), StatusCode::NO_CONTENT)
}

fn with_cookie(cookie: String, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn form_page(status: StatusCode, wrong: Option<&str>) -> Response {
    let body = html! {
        main class="login" {
            h1 { "Portcullis" }
            form method="post" action="/login" {
                label for="token" { "Admin token" }
                input type="password" id="token" name="token" required autocomplete="current-password" autofocus
                    aria-describedby=[wrong.map(|_| "wrong")];
                @if let Some(wrong) = wrong { p id="wrong" class="wrong" role="alert" { (wrong) } }
                button type="submit" { "Log in" }
            }
        }
    };
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FORM_CONTENT_POLICY))];
    (status, policy, page::document("Log in", false, &body)).into_response()
}
