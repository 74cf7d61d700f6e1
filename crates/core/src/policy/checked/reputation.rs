//! Scores and what they lead to, as the rooms take them.

use std::time::Duration;

use super::Rate;
use crate::reputation::FACTS;

/// What speaks against a source, and what that leads to (SPEC 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reputation {
    /// Facts are counted.
    pub enabled: bool,
    /// Points fade by half in this time.
    pub half_life: Duration,
    /// Points of each fact, in the order of [`Fact::ALL`](crate::reputation::Fact::ALL).
    pub points: [u32; FACTS],
    /// From so many points on a source is noted.
    pub suspicious: u32,
    /// From so many on it waits.
    pub slow: Option<u32>,
    /// From so many on it is banned.
    pub ban: Option<u32>,
    /// For so long.
    pub ban_for: Duration,
    /// How long a handshake of a slowed address waits.
    pub delay: Duration,
    /// A subnet's thresholds are so many times an address's; `None`: subnets have no score.
    pub subnet_times: Option<u32>,
    /// What counts against a user counts against its address too.
    pub addresses_of_users: bool,
    /// Sources with a score at once.
    pub tracked_max: usize,
    /// IPv6 addresses are one source by this prefix.
    pub ipv6_prefix: u8,
}

/// The figures of production.
impl Default for Reputation {
    fn default() -> Self {
        Self {
            enabled: true,
            half_life: Duration::from_secs(600),
            points: [2, 1, 1, 1, 10, 3, 10, 5],
            suspicious: 10,
            slow: Some(25),
            ban: Some(50),
            ban_for: Duration::from_secs(900),
            delay: Duration::from_secs(2),
            subnet_times: Some(10),
            addresses_of_users: false,
            tracked_max: 100_000,
            ipv6_prefix: 64,
        }
    }
}

/// Connection attempts of one address that wait, longer each time (SPEC 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptDelay {
    /// Up to this rate none waits.
    pub after: Rate,
    /// The first that is past it.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

/// What is unusual for a user, and what happens then (SPEC 7.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomalies {
    /// What happens; `None`: nobody is looked at.
    pub action: Option<AnomalyAction>,
    /// Connections, and spans with messages, that are only learned from.
    pub learn: u32,
    /// So many times the usual is unusual.
    pub over: u32,
    /// From this weight of signs on it is acted.
    pub threshold: u32,
    /// Users known at once.
    pub tracked_max: usize,
}

/// What happens when a user is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyAction {
    /// An event.
    Observe,
    /// Points against the user: `reputation.points.anomaly`.
    Score,
    /// The user's credentials end; who signs in again is let in.
    Reauthenticate,
    /// The user is banned for `reputation.ban_for`.
    Ban,
}
