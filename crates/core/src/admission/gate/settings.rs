//! The numbers of a policy that the gate counts against.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{SHARDS, within};
use crate::limits::Limit;
use crate::policy::Policy;
use crate::policy::checked::{AttemptDelay, Geo};
use crate::verdict::Reason;

/// See the module.
pub(super) struct Settings {
    pub(super) total_max: usize,
    pub(super) allow: Vec<IpNet>,
    pub(super) deny: Vec<IpNet>,
    pub(super) trusted: Vec<IpNet>,
    pub(super) rate: Option<Limit>,
    pub(super) per_ip_max: Option<u32>,
    pub(super) failed: Option<Limit>,
    pub(super) failed_by_subject: Option<Limit>,
    pub(super) anonymous_max: Option<u32>,
    pub(super) ban: Duration,
    /// There may be other nodes.
    pub(super) shared: bool,
    pub(super) geo: Geo,
    pub(super) attempt_delay: Option<AttemptDelay>,
    pub(super) slowed_delay: Duration,
    pub(super) tracked_max: usize,
    pub(super) ipv6_prefix: u8,
}

impl Settings {
    pub(super) fn of(policy: &Policy) -> Self {
        let spec = &policy.checked;
        Self {
            total_max: spec.listen.connections_max,
            allow: spec.sources.allow.clone(),
            deny: spec.sources.deny.clone(),
            trusted: spec.listen.trusted_proxies.clone(),
            rate: spec.sources.connection_rate.map(Limit::compile),
            per_ip_max: spec.sources.connections_per_ip_max,
            failed: spec.sources.failed_auth_rate.map(Limit::compile),
            failed_by_subject: spec.sources.failed_auth_rate_per_subject.map(Limit::compile),
            anonymous_max: spec.sources.anonymous_connections_max,
            ban: spec.sources.ban_duration,
            shared: spec.shared_state.is_some(),
            geo: spec.geo.clone(),
            attempt_delay: spec.sources.attempt_delay,
            slowed_delay: spec.reputation.delay,
            tracked_max: spec.sources.tracked_max,
            ipv6_prefix: spec.listen.ipv6_prefix,
        }
    }

    pub(super) fn shard_entries_max(&self) -> usize {
        (self.tracked_max / SHARDS).max(1)
    }

    pub(super) fn denied(&self, ip: IpAddr) -> Result<(), Reason> {
        if within(&self.deny, ip) { Err(Reason::SourceDenied) } else { Ok(()) }
    }
}
