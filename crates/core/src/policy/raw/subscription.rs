//! `subscriptions` of a direction.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Messages that subscribe a connection to a topic, and how many topics it may have.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscriptions {
    /// Type → JSON Pointer of the topic, for messages that subscribe. At most 512.
    pub(crate) begin: Option<BTreeMap<String, String>>,
    /// The same for messages that unsubscribe. Default none: a topic lasts as long as the connection.
    pub(crate) end: Option<BTreeMap<String, String>>,
    /// Most topics of one connection, 1 to 1000; up to 256 bytes each. Default 100.
    pub(crate) max: Option<u32>,
}
