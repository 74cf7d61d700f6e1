//! The threat lists.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::{ListLocation, ThreatListSpec};
use portcullis_core::reputation::{ThreatList, ThreatLists};
use tokio_rustls::rustls::ClientConfig;

use super::{FeedError, FeedGauge, KEPT_FOLDER, Mark, lock, read_bounded, tell};
use crate::endpoint::{Call, Reach};
use crate::metrics::{Outcome, Purpose};
use crate::shared::Shared;

/// The whole of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// A source that failed is asked again after this, if its own time is longer.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// Every list by its name.
#[derive(Default)]
pub(super) struct Held(BTreeMap<String, One>);

#[derive(Clone)]
pub(super) struct One {
    location: ListLocation,
    list: Option<Arc<ThreatList>>,
    mark: Option<Mark>,
    /// When it was asked for last; `None` for at once.
    asked: Option<Duration>,
    loaded_unix_s: u64,
    failed: bool,
}

impl Held {
    /// The lists of a policy: those in force that are the same, files that are new, and what was kept of URLs.
    pub(super) fn read(&self, specs: &[ThreatListSpec], kept: &Path) -> Result<BTreeMap<String, One>, FeedError> {
        let mut lists = BTreeMap::new();
        for spec in specs {
            let one = match self.0.get(&spec.name).filter(|one| one.location == spec.location) {
                Some(one) => one.clone(),
                None => first(spec, kept)?,
            };
            lists.insert(spec.name.clone(), one);
        }
        Ok(lists)
    }

    pub(super) fn install(&mut self, shared: &Shared, specs: &[ThreatListSpec], lists: BTreeMap<String, One>) {
        for (name, one) in &lists {
            let known = self.0.get(name).is_some_and(|before| before.location == one.location);
            if let (Some(list), false) = (&one.list, known) {
                tell(shared, false, Ok(words(name, list)));
            }
        }
        self.0 = lists;
        let now = shared.clock.now();
        for one in self.0.values_mut().filter(|one| one.list.is_some() && one.loaded_unix_s == 0) {
            one.loaded_unix_s = now.wall.as_secs();
            // What was kept of a URL is as old as it may be; a file has just been read.
            one.asked = matches!(one.location, ListLocation::File(_)).then_some(now.mono);
        }
        self.put(shared, specs);
    }

    fn put(&self, shared: &Shared, specs: &[ThreatListSpec]) {
        let listed = specs.iter().filter_map(|spec| {
            let list = self.0.get(&spec.name)?.list.as_ref()?;
            Some((spec.name.as_str().into(), spec.observe, Arc::clone(list)))
        });
        shared.gate.provenance().set_lists(ThreatLists::new(listed));
    }

    pub(super) fn gauges(&self) -> impl Iterator<Item = FeedGauge> {
        self.0.iter().map(|(name, one)| FeedGauge {
            kind: "threat_list",
            name: name.clone(),
            networks: one.list.as_ref().map_or(0, |list| list.networks()),
            loaded_unix_s: one.loaded_unix_s,
            sound: !one.failed,
        })
    }
}

/// A list that was not there before. A file must be sound; what was kept of a URL may be missing.
fn first(spec: &ThreatListSpec, kept: &Path) -> Result<One, FeedError> {
    let (list, mark) = match &spec.location {
        ListLocation::File(path) => read_file(spec, path).map(|(list, mark)| (Some(list), Some(mark)))?,
        ListLocation::Url(_) => {
            let bytes = read_bounded(&kept.join(&spec.name), spec.bytes_max as u64).ok();
            (bytes.and_then(|bytes| ThreatList::parse(&bytes, false).ok()), None)
        }
    };
    let location = spec.location.clone();
    Ok(One { location, list: list.map(Arc::new), mark, asked: None, loaded_unix_s: 0, failed: false })
}

fn read_file(spec: &ThreatListSpec, path: &Path) -> Result<(ThreatList, Mark), FeedError> {
    let unreadable = |error: std::io::Error| failed(spec, error.to_string());
    let mark = Mark::of(path).map_err(unreadable)?;
    let bytes = read_bounded(path, spec.bytes_max as u64).map_err(unreadable)?;
    Ok((parse(spec, &bytes)?, mark))
}

fn parse(spec: &ThreatListSpec, bytes: &[u8]) -> Result<ThreatList, FeedError> {
    let may_be_empty = matches!(spec.location, ListLocation::File(_));
    let refused = |source| FeedError::List { name: spec.name.clone(), location: spec.location.to_string(), source };
    ThreatList::parse(bytes, may_be_empty).map_err(refused)
}

fn failed(spec: &ThreatListSpec, what: String) -> FeedError {
    FeedError::ListSource { name: spec.name.clone(), location: spec.location.to_string(), what }
}

fn words(name: &str, list: &ThreatList) -> String {
    let mut text = format!("the threat list `{name}` is in force: {} networks", list.networks());
    if let Some((lines, first)) = list.broken() {
        text.push_str(&format!("; {lines} broken lines left out, the first is line {first}"));
    }
    text
}

/// Reads every list whose time has come.
pub(super) async fn refresh(shared: &Arc<Shared>, policy: &Arc<Policy>) {
    for spec in &policy.checked.threat_lists {
        let now = shared.clock.now().mono;
        let due = {
            let mut held = lock(&shared.feeds.lists);
            let Some(one) = held.0.get_mut(&spec.name).filter(|one| one.location == spec.location) else { continue };
            let pause = if one.failed { spec.refresh.min(FAILED_PAUSE) } else { spec.refresh };
            let due = one.asked.is_none_or(|at| now.saturating_sub(at) >= pause);
            if due {
                one.asked = Some(now);
            }
            due.then_some(one.mark)
        };
        let Some(mark) = due else { continue };
        let read = read_again(shared, spec, mark).await;
        settle(shared, policy, spec, read);
    }
}

/// What a list says at present; `None` where its file has not changed.
async fn read_again(
    shared: &Arc<Shared>,
    spec: &ThreatListSpec,
    mark: Option<Mark>,
) -> Result<Option<(ThreatList, Option<Mark>)>, FeedError> {
    let fetched = match &spec.location {
        ListLocation::Url(url) => {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch(&shared.client_tls, url, spec.bytes_max)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", FETCH_TIMEOUT.as_secs())));
            shared
                .metrics
                .outbound(Purpose::ThreatList, if fetched.is_ok() { Outcome::Answered } else { Outcome::Failed });
            Some(fetched.map_err(|what| failed(spec, what))?)
        }
        ListLocation::File(path) if Mark::of(path).ok() == mark => return Ok(None),
        ListLocation::File(_) => None,
    };
    let owned = spec.clone();
    let kept = shared.policy.load().checked.state_dir.join(KEPT_FOLDER);
    // A long list takes a while; the admin listener answers meanwhile.
    let read = tokio::task::spawn_blocking(move || match (&owned.location, fetched) {
        (ListLocation::File(path), _) => read_file(&owned, path).map(|(list, mark)| (list, Some(mark))),
        (ListLocation::Url(_), bytes) => {
            let bytes = bytes.unwrap_or_default();
            let list = parse(&owned, &bytes)?;
            if let Err(error) = keep(&kept, &owned.name, &bytes) {
                tracing::warn!("the threat list `{}` cannot be kept for a restart: {error}", owned.name);
            }
            Ok((list, None))
        }
    });
    read.await.unwrap_or_else(|_| Err(failed(spec, String::from("reading it ended early")))).map(Some)
}

fn settle(
    shared: &Shared,
    policy: &Policy,
    spec: &ThreatListSpec,
    read: Result<Option<(ThreatList, Option<Mark>)>, FeedError>,
) {
    let _one_at_a_time = lock(&shared.feeds.loading);
    let mut held = lock(&shared.feeds.lists);
    // A reload may have taken it away meanwhile.
    let Some(one) = held.0.get_mut(&spec.name).filter(|one| one.location == spec.location) else { return };
    let failed_before = std::mem::replace(&mut one.failed, read.is_err());
    match read {
        Err(error) => tell(shared, failed_before, Err(&error)),
        Ok(None) => {
            if failed_before {
                tell(shared, true, Ok(format!("the threat list `{}` is sound again", spec.name)));
            }
        }
        Ok(Some((list, mark))) => {
            let changed = one
                .list
                .as_ref()
                .is_none_or(|before| (before.networks(), before.broken()) != (list.networks(), list.broken()));
            if changed || failed_before {
                tell(shared, failed_before, Ok(words(&spec.name, &list)));
            }
            one.loaded_unix_s = shared.clock.now().wall.as_secs();
            one.list = Some(Arc::new(list));
            one.mark = mark;
            held.put(shared, &policy.checked.threat_lists);
        }
    }
}

async fn fetch(tls: &Arc<ClientConfig>, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain, application/json, */*"));
    let call = Call { url, reach: Reach::Written, method: Method::GET, headers, body: Bytes::new(), bytes_max };
    call.send(tls).await.map(|answered| answered.body).map_err(|error| error.to_string())
}

/// Whole or not at all: a restart never reads half a list.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let whole = folder.join(name);
    let part = folder.join(format!("{name}.part"));
    std::fs::write(&part, bytes)?;
    std::fs::rename(part, whole)
}
