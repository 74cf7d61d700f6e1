//! `shared_state`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::human::{Span, Switch};

/// What several gateways hold in common, in Redis or Valkey.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharedState {
    /// Whether a server that is named is used; `off` also turns a `REDIS_URL` down that is meant for others.
    pub(crate) enabled: Option<Switch>,
    /// `redis://host:6379`, with TLS `rediss://host:6379`, with a user and a number of a database
    /// `rediss://user:password@host:6379/2`. Several with commas between them are nodes of one cluster. Without any of
    /// `url`, `url_file` and `url_env` the variable `REDIS_URL` is asked.
    pub(crate) url: Option<String>,
    /// File that holds the URL; the line end is cut off.
    pub(crate) url_file: Option<String>,
    /// Environment variable that holds the URL.
    pub(crate) url_env: Option<String>,
    /// Name of the master, as its Sentinels know it. `url` then names the Sentinels, at best all of them; its user,
    /// password and number of a database are those of the servers that they watch.
    pub(crate) sentinel_master: Option<String>,
    /// Password of the Sentinels, where they ask for one. It belongs into a file or a variable.
    pub(crate) sentinel_password: Option<String>,
    /// File that holds the password of the Sentinels; the line end is cut off.
    pub(crate) sentinel_password_file: Option<String>,
    /// Environment variable that holds the password of the Sentinels.
    pub(crate) sentinel_password_env: Option<String>,
    /// PEM file with the authorities that certificates of `rediss://` servers are verified with. Without it those of the
    /// system.
    pub(crate) ca_file: Option<String>,
    /// What every key begins with. Gateways of one prefix are one group, and nobody else may write to their keys.
    pub(crate) prefix: Option<String>,
    /// The longest that the admission of a connection waits for an answer before this node decides alone. 5 ms to 1 s.
    pub(crate) timeout: Option<Span>,
    /// How long the connections of a node that died are still counted. 3 s to 5 min.
    pub(crate) lease: Option<Span>,
    /// How often counts of messages go to the other nodes and theirs come here. 50 ms to 10 s.
    pub(crate) exchange_interval: Option<Span>,
}
