//! What `portcullis doctor` asks: whether each key set and identity provider answers, and with which keys; whether Redis
//! or Valkey does.
//!
//! Serves nobody and changes nothing; the fetch is the gateway's own.

use std::sync::Arc;

use portcullis_core::policy::checked::{Algorithm, Checked, JwksLocation, JwksSource, SharedState};
use serde::Serialize;

use crate::{StartError, fetch, tls};

/// What one source answered.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    /// `file`, `url`, `provider` or `shared_state`.
    pub kind: &'static str,
    /// Path, URL or issuer.
    pub name: String,
    /// Where its keys were found; of a provider, what its document says; of Redis or Valkey, its version.
    pub location: Option<String>,
    /// Its usable keys.
    pub keys: Vec<KeyReport>,
    /// Entries of the set that were left out: unknown, weak, doubled, or for another purpose.
    pub left_out: usize,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// A usable key.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// Its `kid`.
    pub id: Option<String>,
    /// What it verifies.
    pub algorithm: Algorithm,
}

/// Asks every source of the policy, all at once.
///
/// # Errors
/// TLS cannot be set up, or no thread can be started.
pub fn examine(checked: &Checked) -> Result<Vec<SourceReport>, StartError> {
    let tls = tls::client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let asked = checked.identity.jwks.iter().map(|source| report(&tls, source));
    let mut reports = runtime.block_on(futures_util::future::join_all(asked));
    reports.extend(checked.shared_state.as_ref().map(|spec| runtime.block_on(meeting_place(spec))));
    Ok(reports)
}

#[cfg(feature = "redis")]
async fn meeting_place(spec: &SharedState) -> SourceReport {
    let (location, error) = match portcullis_store::redis::probe(spec).await {
        Err(error) => (None, Some(error.to_string())),
        Ok(found) if found.eviction == "noeviction" => (Some(found.server), None),
        Ok(found) => {
            let why = format!(
                "it forgets keys when its memory is full (`maxmemory-policy {}`); set `noeviction`",
                found.eviction
            );
            (Some(found.server), Some(why))
        }
    };
    SourceReport { kind: "shared_state", name: spec.shown.clone(), location, keys: Vec::new(), left_out: 0, error }
}

#[cfg(not(feature = "redis"))]
async fn meeting_place(spec: &SharedState) -> SourceReport {
    let error = Some(StartError::WithoutRedis.to_string());
    SourceReport {
        kind: "shared_state",
        name: spec.shown.clone(),
        location: None,
        keys: Vec::new(),
        left_out: 0,
        error,
    }
}

async fn report(tls: &Arc<tokio_rustls::rustls::ClientConfig>, source: &JwksSource) -> SourceReport {
    let kind = match source.location {
        JwksLocation::File(_) => "file",
        JwksLocation::Url(_) => "url",
        JwksLocation::Issuer(_) => "provider",
    };
    let name = fetch::name(source);
    match fetch::read(tls, source).await {
        Ok(read) => {
            let key = |key: &portcullis_core::identity::Key| KeyReport {
                id: key.id().map(str::to_owned),
                algorithm: key.algorithm(),
            };
            let keys = read.set.keys().iter().map(key).collect();
            let location = Some(read.location);
            SourceReport { kind, name, location, keys, left_out: read.set.skipped(), error: None }
        }
        Err(error) => {
            SourceReport { kind, name, location: None, keys: Vec::new(), left_out: 0, error: Some(error.to_string()) }
        }
    }
}
