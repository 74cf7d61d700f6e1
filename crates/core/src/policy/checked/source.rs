//! Where connections may come from, and how many.

use std::time::Duration;

use ipnet::IpNet;

use super::AttemptDelay;

/// Where connections may come from, and how many.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Never banned nor rate-limited at admission.
    pub allow: Vec<IpNet>,
    /// Refused at once.
    pub deny: Vec<IpNet>,
    /// Connection attempts per client address.
    pub connection_rate: Option<Rate>,
    /// Attempts that wait, longer each time.
    pub attempt_delay: Option<AttemptDelay>,
    /// Concurrent connections per client address.
    pub connections_per_ip_max: Option<u32>,
    /// Failed authentications per client address; past it the address is refused for `ban_duration`.
    pub failed_auth_rate: Option<Rate>,
    /// Failed authentications per subject that a credential names; past it what names the subject waits.
    pub failed_auth_rate_per_subject: Option<Rate>,
    /// Open connections of anonymous callers.
    pub anonymous_connections_max: Option<u32>,
    /// How long an address that failed too often is refused.
    pub ban_duration: Duration,
    /// Addresses tracked at once; the oldest without penalties leave first.
    pub tracked_max: usize,
}

/// So many per so long, with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events allowed in one period; at least 1.
    pub count: u32,
    /// The period; more than zero.
    pub per: Duration,
    /// How many may come at once; equals `count` unless said.
    pub burst: u32,
    /// How it is counted.
    pub algorithm: RateAlgorithm,
}

/// How a rate is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateAlgorithm {
    /// Refilled evenly (generic cell rate algorithm); constant memory.
    TokenBucket,
    /// Two-bucket sliding window, weighted by overlap; constant memory.
    SlidingWindow,
}
