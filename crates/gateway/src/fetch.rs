//! Key sets from files, URLs and identity providers (SPEC 3.2, 3.3): fetched, bounded, put into the key ring.
//!
//! One fetch of a source at a time; a token with an unknown key id asks for one at most every
//! [`UNKNOWN_KEY_PAUSE`], so inventing ids fetches nothing more. A source that fails leaves the keys it gave
//! before in force, and says so once: by an event when it fails, and one when it answers again. A provider is asked for
//! its configuration document first, and its keys are fetched where that says.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::identity::{KeyRing, KeySet, discovery};
use portcullis_core::policy::checked::{Identity, JwksLocation, JwksSource};
use portcullis_core::verdict::Reason;
use tokio_rustls::rustls::ClientConfig;

use crate::endpoint::{Call, CallError, Reach};
use crate::metrics::{Outcome, Purpose};
use crate::record::Draft;
use crate::shared::Shared;

/// The whole of a fetch, a provider's document included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between fetches that unknown key ids ask for.
pub(crate) const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);

/// Between fetches of a source that failed.
pub(crate) const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file.
    #[error("cannot read the key set `{path}`: {source}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The URL is no URL, or not one that may be asked.
    #[error("the URL `{url}` {what}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The provider did not answer as it should.
    #[error("fetching `{url}` failed: {what}")]
    Answer {
        /// The URL.
        url: String,
        /// What happened.
        what: String,
    },
    /// What came is no configuration document, or another provider's.
    #[error("the configuration document `{url}` is refused: {source}")]
    Document {
        /// Its URL.
        url: String,
        /// Why.
        source: discovery::DiscoveryError,
    },
    /// What came is no key set.
    #[error("the key set `{location}` is refused: {what}")]
    Content {
        /// File or URL.
        location: String,
        /// Why.
        what: String,
    },
}

/// Fetches a source because a token asked for a key it lacks. `Err` when nothing new came.
pub(crate) async fn refresh(shared: &Arc<Shared>, source: usize) -> Result<(), ()> {
    let keys = shared.keys.load_full();
    let policy = shared.policy.load_full();
    let spec = policy.checked.identity.jwks.get(source).ok_or(())?;
    let slot = shared.fetches.slot(&name(spec));
    let wanted = shared.clock.now().mono;
    let mut last = slot.last.lock().await;
    // Whoever waited for the lock has what the fetch before brought.
    if last.is_some_and(|at| at >= wanted) {
        return Ok(());
    }
    let now = shared.clock.now().mono;
    if last.is_some_and(|at| now.saturating_sub(at) < UNKNOWN_KEY_PAUSE) {
        return Err(());
    }
    *last = Some(now);
    load(shared, &keys, source, spec).await.map_err(|error| tracing::warn!("{error}"))
}

/// Reads one source into the ring.
pub(crate) async fn load(shared: &Shared, keys: &KeyRing, source: usize, spec: &JwksSource) -> Result<(), FetchError> {
    let read = read(&shared.client_tls, spec).await;
    shared.metrics.outbound(Purpose::Keys, if read.is_ok() { Outcome::Answered } else { Outcome::Failed });
    let slot = shared.fetches.slot(&name(spec));
    let failed_before = slot.failed.swap(read.is_err(), Ordering::Relaxed);
    match &read {
        Err(error) if !failed_before => note(shared, Reason::KeySourceFailed, error.to_string()),
        Ok(_) if failed_before => note(shared, Reason::KeySourceAnswers, format!("`{}` answers again", name(spec))),
        _ => {}
    }
    let set = read?.set;
    let skipped = set.skipped();
    if slot.skipped.swap(skipped, Ordering::Relaxed) != skipped && skipped > 0 {
        let detail = format!("`{}`: {skipped} left out, {} used", name(spec), set.keys().len());
        note(shared, Reason::KeySourcePartial, detail);
    }
    keys.replace(source, Arc::new(set));
    Ok(())
}

fn note(shared: &Shared, reason: Reason, detail: String) {
    let draft = Draft::new(reason, Decision::Observed, "keys", detail);
    shared.record(draft.into_event(shared.clock.now()));
}

/// A key set and where it was found.
pub(crate) struct Read {
    pub set: KeySet,
    pub location: String,
}

/// Reads one source, within [`FETCH_TIMEOUT`].
pub(crate) async fn read(tls: &Arc<ClientConfig>, spec: &JwksSource) -> Result<Read, FetchError> {
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, bytes(tls, spec)).await;
    let what = || format!("no answer within {} s", FETCH_TIMEOUT.as_secs());
    let (location, bytes) = fetched.map_err(|_| FetchError::Answer { url: name(spec), what: what() })??;
    let parsed = KeySet::parse(&bytes, spec);
    let set = parsed.map_err(|error| FetchError::Content { location: location.clone(), what: error.to_string() })?;
    Ok(Read { set, location })
}

async fn bytes(tls: &Arc<ClientConfig>, spec: &JwksSource) -> Result<(String, Vec<u8>), FetchError> {
    match &spec.location {
        JwksLocation::File(path) => Ok((path.display().to_string(), read_file(path, spec.bytes_max)?)),
        JwksLocation::Url(url) => {
            let (body, _) = get(tls, url, Reach::Written, spec.bytes_max).await?;
            Ok((url.clone(), body))
        }
        JwksLocation::Issuer(issuer) => {
            let own = spec.provider.as_ref().is_some_and(|provider| provider.private_network);
            let url = discovery::document_url(issuer);
            let reach = if own { Reach::Inner } else { Reach::Written };
            let (document, inner) = get(tls, &url, reach, spec.bytes_max).await?;
            let keys = discovery::keys_url(&document, issuer);
            let keys = keys.map_err(|source| FetchError::Document { url, source })?;
            // A provider outside cannot send us to an address inside.
            let reach = if own || inner { Reach::Inner } else { Reach::Public };
            let (body, _) = get(tls, &keys, reach, spec.bytes_max).await?;
            Ok((keys, body))
        }
    }
}

/// What a source is called in logs, events and by `doctor`.
pub(crate) fn name(spec: &JwksSource) -> String {
    match &spec.location {
        JwksLocation::File(path) => path.display().to_string(),
        JwksLocation::Url(url) | JwksLocation::Issuer(url) => url.clone(),
    }
}

fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::File { path: path.display().to_string(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > bytes_max as u64 {
        let what = format!("it has {size} bytes, more than the {bytes_max} allowed");
        return Err(FetchError::Content { location: path.display().to_string(), what });
    }
    std::fs::read(path).map_err(failed)
}

async fn get(
    tls: &Arc<ClientConfig>,
    url: &str,
    reach: Reach,
    bytes_max: usize,
) -> Result<(Vec<u8>, bool), FetchError> {
    let answered = Call::get(url, reach, bytes_max).send(tls).await.map_err(|error| match error {
        CallError::Url(what) => FetchError::Url { url: url.to_owned(), what },
        other => FetchError::Answer { url: url.to_owned(), what: other.to_string() },
    })?;
    Ok((answered.body, answered.inner))
}

/// What is known of each source's fetches, by name; as many as the policy has sources.
#[derive(Default)]
pub(crate) struct Fetches {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// A source's fetches.
#[derive(Default)]
struct Slot {
    /// When it was last fetched for a token; the lock is what makes a fetch the only one.
    last: tokio::sync::Mutex<Option<Duration>>,
    /// The last fetch failed.
    failed: AtomicBool,
    /// Keys of the last set that were left out.
    skipped: AtomicUsize,
}

impl Fetches {
    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }

    /// Whether the last fetch of a source failed.
    pub(crate) fn failed(&self, spec: &JwksSource) -> bool {
        self.slot(&name(spec)).failed.load(Ordering::Relaxed)
    }

    /// Forgets sources that a new policy lacks.
    pub(crate) fn keep(&self, identity: &Identity) {
        let names: Vec<String> = identity.jwks.iter().map(name).collect();
        self.slots().retain(|name, _| names.contains(name));
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
