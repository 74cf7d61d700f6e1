//! The operator's listener: metrics, health, the API, the live page.
//!
//! Decides who may look and who may act. Never touches a connection's bytes; what it shows and orders
//! goes through [`Live`].
//!
//! Every request passes [`guard`] first, which knows each path and what it asks for ([`ENDPOINTS`]); a
//! path that is not in the table does not exist. What a client of the gateway said is shown as text:
//! pages are rendered with escaping, scripts build nodes from text only, and the content policy forbids
//! anything that is not ours.
//!
//! Tests: `tests.rs` drives the router; each endpoint has a denial there, or the test fails.

mod api;
mod audit_query;
mod blocks;
mod chart;
mod guard;
mod keys;
mod lockdown;
mod login;
mod page;
mod problem;
mod serve;
mod sessions;
mod stream;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::routing::{delete, get, post};
use portcullis_core::event::Event;
use portcullis_core::policy::checked::{AdminToken, Secret};
use portcullis_core::reputation::{Block, Lockdown, Scored, Target};
use portcullis_store::StoreError;
use tokio::sync::broadcast;

pub use guard::{Access, ENDPOINTS};
pub use serve::{ADMIN_CONNECTIONS_MAX, serve};

use crate::metrics::{Gauges, Metrics};

/// Connections listed in one answer.
pub const CONNECTIONS_LISTED_MAX: usize = 1_000;

/// What the listener is given.
#[derive(Clone)]
pub struct AdminState {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Events as they happen.
    pub events: broadcast::Sender<Arc<Event>>,
    /// The audit file; `None` where nothing is stored.
    pub reader: Option<PathBuf>,
    /// The file of the API keys.
    pub api_keys: PathBuf,
    /// The file of the sessions.
    pub sessions: PathBuf,
    /// The gateway.
    pub live: Arc<dyn Live>,
    /// The bearer token. Without one the listener answers loopback peers at a loopback address only,
    /// which a checked policy allows in development.
    pub token: Option<Secret>,
    /// Further tokens, each with permissions of its own.
    pub tokens: Vec<AdminToken>,
    /// Where the listener is bound.
    pub address: SocketAddr,
}

/// What the admin listener asks of the gateway. Methods may block for a moment; they are called from
/// threads meant for it.
pub trait Live: Send + Sync {
    /// Up to `limit` open connections.
    fn connections(&self, limit: usize) -> Vec<ConnectionInfo>;
    /// Tells a connection to close; `false` where there is none with this id.
    fn disconnect(&self, id: &str) -> bool;
    /// Whom the blocklist names, and whose failures earned a ban.
    ///
    /// # Errors
    /// The file cannot be read.
    fn blocked(&self) -> Result<Blocked, StoreError>;
    /// Puts an entry on the blocklist; open connections it names are closed within a second.
    ///
    /// # Errors
    /// The list is full, or its file cannot be written.
    fn block(&self, block: &Block) -> Result<(), StoreError>;
    /// Takes a target off; `false` where it was not on it.
    ///
    /// # Errors
    /// The file cannot be written.
    fn unblock(&self, target: &Target) -> Result<bool, StoreError>;
    /// Addresses, subnets and users that something speaks against, the worst first.
    fn scored(&self) -> Vec<Scored>;
    /// The lockdown in force.
    ///
    /// # Errors
    /// The file cannot be read.
    fn lockdown(&self) -> Result<Option<Lockdown>, StoreError>;
    /// Orders a lockdown in place of the one in force.
    ///
    /// # Errors
    /// The file cannot be written.
    fn lock_down(&self, lockdown: &Lockdown) -> Result<(), StoreError>;
    /// Ends it; `false` where there was none.
    ///
    /// # Errors
    /// The file cannot be written.
    fn end_lockdown(&self) -> Result<bool, StoreError>;
    /// What is measured now.
    fn gauges(&self) -> Gauges;
    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// Why it was refused, in words for an operator; the old one stays.
    fn reload(&self) -> Result<(), String>;
    /// The policy in force, secrets redacted.
    fn policy_json(&self) -> serde_json::Value;
    /// New connections are welcome.
    fn ready(&self) -> bool;
    /// Records an event. Never blocks.
    fn record(&self, event: Event);
}

/// Who is kept out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocked {
    /// By operators, the latest first.
    pub blocks: Vec<Block>,
    /// Addresses banned for failed authentications, and when each ban ends in Unix milliseconds; some seconds old.
    pub earned: Vec<(IpAddr, u64)>,
}

/// One open connection.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConnectionInfo {
    /// Its id.
    pub id: String,
    /// The client's address.
    pub client: IpAddr,
    /// The subject; `None` for anonymous callers.
    pub user: Option<String>,
    /// The route's name.
    pub route: String,
    /// Unix milliseconds.
    pub opened_unix_ms: u64,
    /// Messages from the client.
    pub messages_in: u64,
    /// Messages to the client.
    pub messages_out: u64,
}

/// What handlers share.
struct Shared {
    state: AdminState,
    logins: login::Logins,
    denials: guard::Denials,
    history: stream::History,
    searches: tokio::sync::Semaphore,
}

/// Work on a file of the state folder, on a thread for blocking: another program may hold the file for a moment.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Box<axum::response::Response>> {
    let words = match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error @ (StoreError::Full { .. } | StoreError::KeysFull { .. }))) => {
            return Err(Box::new(problem::problem(http::StatusCode::INSUFFICIENT_STORAGE, &error.to_string())));
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!("the state folder: {words}");
    let told = "the state folder cannot be read or written; see the log";
    Err(Box::new(problem::problem(http::StatusCode::INTERNAL_SERVER_ERROR, told)))
}

/// The router. Serve it with [`serve`], or with connect info (`SocketAddr`): a peer whose address is
/// not known is not taken for a loopback one.
///
/// Starts the task that samples rates once a second, which ends with the router; call it inside a
/// tokio runtime.
pub fn router(state: AdminState) -> axum::Router {
    let shared = Arc::new(Shared {
        logins: login::Logins::default(),
        denials: guard::Denials::default(),
        history: stream::History::new(&state),
        searches: tokio::sync::Semaphore::new(api::SEARCHES_MAX),
        state,
    });
    stream::sample(&shared);
    axum::Router::new()
        .route("/", get(page::page))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/live", get(stream::live))
        .route("/assets/live.js", get(page::script))
        .route("/assets/style.css", get(page::style))
        .route("/metrics", get(api::metrics))
        .route("/health", get(api::health))
        .route("/ready", get(api::ready))
        .route("/api/security/metrics", get(api::security_metrics))
        .route("/api/security/health", get(api::security_health))
        .route("/api/security/audit-logs", get(api::audit_logs))
        .route("/api/security/config", get(api::config))
        .route("/api/security/blocks", get(blocks::list))
        .route("/api/security/reputation", get(blocks::reputation))
        .route("/api/security/block", post(blocks::block))
        .route("/api/security/unblock", post(blocks::unblock))
        .route("/api/security/block-ip", post(blocks::block_ip))
        .route("/api/security/unblock-ip", post(blocks::unblock_ip))
        .route("/api/security/keys", get(keys::list).post(keys::create))
        .route("/api/security/keys/{id}/rotate", post(keys::rotate))
        .route("/api/security/keys/{id}", delete(keys::revoke))
        .route("/api/security/sessions", get(sessions::list))
        .route("/api/security/sessions/revoke", post(sessions::revoke_of))
        .route("/api/security/sessions/{id}", delete(sessions::revoke))
        .route("/api/security/lockdown", get(lockdown::show).put(lockdown::begin).delete(lockdown::end))
        .route("/api/connections", get(api::connections))
        .route("/api/connections/{id}", delete(api::disconnect))
        .route("/api/reload", post(api::reload))
        .layer(axum::extract::DefaultBodyLimit::max(login::FORM_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), guard::guard))
        .with_state(shared)
}
