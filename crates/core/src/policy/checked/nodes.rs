//! What several gateways hold in common.

use std::time::Duration;

use super::Secret;

/// Where gateways of one group meet: Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedState {
    /// URLs with what is secret in them; more than one are nodes of a cluster.
    pub urls: Vec<Secret>,
    /// The same without user and password, for people.
    pub shown: String,
    /// Who knows where the master is; the URLs are those of Sentinels then.
    pub sentinel: Option<Sentinel>,
    /// Authorities in PEM that servers' certificates are verified with, in place of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// What every key begins with.
    pub prefix: String,
    /// The longest that an admission waits.
    pub timeout: Duration,
    /// How long a dead node's connections are counted.
    pub lease: Duration,
    /// How often counts of messages are exchanged.
    pub exchange_interval: Duration,
}

/// Sentinels watch a master and its replicas, and say who is master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinel {
    /// The name under which they watch it.
    pub master: String,
    /// What they ask for.
    pub password: Option<Secret>,
}

impl SharedState {
    /// Whether it is a cluster.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.urls.len() > 1 && self.sentinel.is_none()
    }
}
