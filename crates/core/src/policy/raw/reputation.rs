//! `reputation`, and `sources.attempt_delay`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::checked::AnomalyAction;
use crate::policy::human::{OrOff, RateText, Span, Switch};

/// What speaks against an address, its subnet or a user, and what that leads to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reputation {
    /// Whether scores are kept.
    pub(crate) enabled: Option<Switch>,
    /// Points fade by half in this time. 1 second to 7 days.
    pub(crate) half_life: Option<Span>,
    /// Points of each kind of fact.
    pub(crate) points: Option<FactPoints>,
    /// From so many points on a source is noted by an event.
    pub(crate) suspicious: Option<u32>,
    /// From so many points on a source is slowed, or `off`: its handshakes wait `delay`, and after each further offence it
    /// is not read for as long (at most 10 s).
    pub(crate) slow: Option<OrOff<u32>>,
    /// From so many points on a source is banned for `ban_for`, or `off`.
    pub(crate) ban: Option<OrOff<u32>>,
    /// How long such a ban lasts.
    pub(crate) ban_for: Option<Span>,
    /// How long each handshake of a slowed address waits. At most `30s`.
    pub(crate) delay: Option<Span>,
    /// The thresholds of a subnet (an IPv4 /24, an IPv6 /48) are so many times those of an address, or `off`. A subnet
    /// that holds an address of `sources.allow` has no score.
    pub(crate) subnet_times: Option<OrOff<u32>>,
    /// What counts against a user counts against its address too, so that the address of a banned user is banned with it.
    /// Off for users who share addresses, as an office does.
    pub(crate) addresses_of_users: Option<Switch>,
    /// Most sources with a score at once; those without a standing leave first. About 300 bytes each.
    pub(crate) tracked_max: Option<u32>,
}

/// Points of each kind of fact, 0 to 1000.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactPoints {
    /// A credential that is forged, malformed, foreign or unknown; one that has merely run out counts nothing.
    pub(crate) failed_authentication: Option<u32>,
    /// A handshake that is malformed, too slow, from a foreign origin, or to a path that is not there.
    pub(crate) refused_handshake: Option<u32>,
    /// A message that its route does not take; of those in one second only the first counts.
    pub(crate) refused_message: Option<u32>,
    /// More connections or messages than a limit allows; of those in one second only the first counts.
    pub(crate) limit_exceeded: Option<u32>,
    /// An attack found in a message and not merely observed.
    pub(crate) threat: Option<u32>,
    /// Frames that break the protocol, and compression bombs.
    pub(crate) protocol_violation: Option<u32>,
    /// A message for another tenant, or a path bound to another user.
    pub(crate) crossing: Option<u32>,
    /// Behaviour unlike what is usual for the user.
    pub(crate) anomaly: Option<u32>,
}

/// Connection attempts of one address that wait, longer each time.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptDelay {
    /// Up to this rate no attempt waits.
    pub(crate) after: Option<RateText>,
    /// How long the first attempt past it waits; each further one twice as long.
    pub(crate) first: Option<Span>,
    /// The longest wait. At most `30s`.
    pub(crate) max: Option<Span>,
}

/// What is unusual for a user: rates and sizes of messages, hours, countries, agents.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Anomalies {
    /// What happens: `observe` (an event), `score` (points against the user), `reauthenticate` (its credentials end, close
    /// code 4001; who signs in again is let in), `ban` (for `reputation.ban_for`), or `off`.
    pub(crate) action: Option<OrOff<AnomalyAction>>,
    /// Connections, and spans of ten seconds with messages, that are only learned from.
    pub(crate) learn: Option<u32>,
    /// So many times the usual rate or size is unusual.
    pub(crate) over: Option<u32>,
    /// From this weight of signs on it is acted: a new country or an unusual rate weighs 3, an unusual size 2, a new agent
    /// or an unusual hour 1.
    pub(crate) threshold: Option<u32>,
    /// Most users known at once; who was not seen for longest leaves first. About 250 bytes each.
    pub(crate) tracked_max: Option<u32>,
}
