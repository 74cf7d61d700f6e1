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
    /// What every key begins with.
    pub prefix: String,
    /// The longest that an admission waits.
    pub timeout: Duration,
    /// How long a dead node's connections are counted.
    pub lease: Duration,
    /// How often counts of messages are exchanged.
    pub exchange_interval: Duration,
}

impl SharedState {
    /// Whether it is a cluster.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.urls.len() > 1
    }
}
