//! The backends of every route, with their load and their health; in which order they are tried.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::HeaderValue;
use portcullis_core::admission::balance;
use portcullis_core::policy::checked::HealthCheck;
use portcullis_core::policy::{Policy, Route, checked};
use tokio_rustls::rustls::ClientConfig;

use super::connect;
use super::health::Watched;
use crate::relay::leg::Leg;
use crate::tls::{self, TlsError};

/// One backend with its load. Routes that lead to it share it.
pub(crate) struct Backend {
    pub(super) spec: checked::Upstream,
    /// Whose certificates are believed of it, where the route says so.
    tls: Option<Arc<ClientConfig>>,
    /// Its host, where that is an address.
    address: Option<SocketAddr>,
    /// What its address weighs for a caller.
    mark: u64,
    /// What it reads as `Host`; none where its name cannot be written.
    host: Option<HeaderValue>,
    open: AtomicUsize,
    /// Monotonic milliseconds.
    pub(super) shunned_until_ms: AtomicU64,
}

impl Backend {
    fn new(spec: checked::Upstream) -> Result<Self, TlsError> {
        let tls = spec.trust.as_ref().map(tls::towards).transpose()?;
        let mark = balance::mark(&format!("{}{}", authority(&spec), spec.path_prefix));
        let address = spec.host.parse().ok().map(|ip| SocketAddr::new(ip, spec.port));
        let host = HeaderValue::try_from(authority(&spec)).ok();
        Ok(Self { spec, tls, address, mark, host, open: AtomicUsize::new(0), shunned_until_ms: AtomicU64::new(0) })
    }

    /// A connection to it, with TLS where it has that.
    pub(super) async fn connect(&self, usual: &Arc<ClientConfig>) -> std::io::Result<Leg> {
        connect(self.tls.as_ref().unwrap_or(usual), &self.spec, self.address).await
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        authority(&self.spec)
    }
}

fn authority(spec: &checked::Upstream) -> String {
    let host = &spec.host;
    if host.contains(':') { format!("[{host}]:{}", spec.port) } else { format!("{host}:{}", spec.port) }
}

/// A backend of a route, and what is known of its health where the route asks.
#[derive(Clone)]
struct Place {
    backend: Arc<Backend>,
    watched: Option<Arc<Watched>>,
}

impl Place {
    /// A backend of a route: the one that is known, asked as it was, or a new one.
    fn of(spec: &checked::Upstream, check: Option<&HealthCheck>, known: &[Self]) -> Result<Self, TlsError> {
        let backend = match known.iter().find(|place| place.backend.spec == *spec) {
            Some(place) => Arc::clone(&place.backend),
            None => Arc::new(Backend::new(spec.clone())?),
        };
        let watched = check.map(|check| {
            let same = known.iter().filter_map(|place| place.watched.as_ref()).find(|watched| watched.is(spec, check));
            same.map_or_else(|| Arc::new(Watched::new(&backend, check.clone())), Arc::clone)
        });
        Ok(Self { backend, watched })
    }
}

/// The backends of every route, by the route's index.
#[derive(Default)]
pub(crate) struct Upstreams {
    routes: Vec<Vec<Place>>,
}

impl Upstreams {
    /// Backends of a policy. Those that an earlier policy had keep their counts, and those that are asked as they were
    /// keep their health.
    ///
    /// # Errors
    /// Authorities that cannot be used.
    pub(crate) fn new(policy: &Policy, earlier: &Self) -> Result<Self, TlsError> {
        let mut known: Vec<Place> = earlier.places().cloned().collect();
        let mut routes = Vec::with_capacity(policy.routes().len());
        for route in policy.routes() {
            let mut places = Vec::with_capacity(route.spec.upstreams.len());
            for spec in &route.spec.upstreams {
                let place = Place::of(spec, route.spec.health.as_ref(), &known)?;
                known.push(place.clone());
                places.push(place);
            }
            routes.push(places);
        }
        Ok(Self { routes })
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.routes.iter().flatten()
    }

    /// The route's backends in the order in which they are tried: the well ones first, among them those that answered
    /// lately, among them the least loaded, or the caller's own.
    pub(super) fn candidates(&self, route: &Route, key: Option<u64>, now_ms: u64) -> Vec<Arc<Backend>> {
        let mut list = match self.routes.get(route.index).map(Vec::as_slice) {
            // There is nothing to choose from.
            Some([only]) => return vec![Arc::clone(&only.backend)],
            list => list.unwrap_or_default().to_vec(),
        };
        list.sort_by_cached_key(|Place { backend, watched }| {
            let unwell = watched.as_ref().is_some_and(|watched| !watched.is_well());
            let shunned = backend.shunned_until_ms.load(Ordering::Relaxed) > now_ms;
            let rank = match key {
                Some(key) => u64::MAX - balance::weight(key, backend.mark),
                None => u64::try_from(backend.open.load(Ordering::Relaxed)).unwrap_or(u64::MAX),
            };
            (unwell, shunned, rank)
        });
        list.into_iter().map(|place| place.backend).collect()
    }

    /// Every backend that is asked, each question once.
    pub(super) fn watched(&self) -> Vec<Arc<Watched>> {
        let mut found: Vec<Arc<Watched>> = Vec::new();
        for watched in self.places().filter_map(|place| place.watched.as_ref()) {
            if !found.iter().any(|known| Arc::ptr_eq(known, watched)) {
                found.push(Arc::clone(watched));
            }
        }
        found
    }

    /// Connections to backends, by address.
    pub(crate) fn loads(&self) -> Vec<(String, usize)> {
        let mut seen: Vec<&Arc<Backend>> = Vec::new();
        let mut loads = BTreeMap::new();
        for Place { backend, .. } in self.places() {
            if !seen.iter().any(|known| Arc::ptr_eq(known, backend)) {
                seen.push(backend);
                *loads.entry(backend.authority()).or_default() += backend.open.load(Ordering::Relaxed);
            }
        }
        loads.into_iter().collect()
    }

    /// Whether backends are well, by address, where that is asked. One that two routes ask is well if both find it so.
    pub(crate) fn health(&self) -> Vec<(String, bool)> {
        let mut health = BTreeMap::new();
        for watched in self.watched() {
            *health.entry(watched.authority()).or_insert(true) &= watched.is_well();
        }
        health.into_iter().collect()
    }
}

/// A counted place at a backend.
pub(crate) struct Lease(Arc<Backend>);

impl Lease {
    pub(super) fn new(backend: &Arc<Backend>) -> Self {
        backend.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(backend))
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        self.0.authority()
    }

    /// What it reads as `Host`.
    pub(super) fn host(&self) -> Option<&HeaderValue> {
        self.0.host.as_ref()
    }

    /// Put before the path of a request.
    pub(crate) fn path_prefix(&self) -> &str {
        &self.0.spec.path_prefix
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
