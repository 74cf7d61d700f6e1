//! `calendars`, `lockdown` and `floods`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::human::{OrOff, Span, Switch, Times};

/// When limits have another factor.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calendar {
    /// Time zone by its IANA name: `America/New_York`, `Europe/Berlin`, `UTC`.
    pub(crate) zone: Option<String>,
    /// Days of the week: `[mon-fri]`, `[mon, wed, sat-sun]`. Default all.
    pub(crate) days: Option<Vec<String>>,
    /// Hours of the day by the clock on the wall there: `09:30-16:00`; `22:00-06:00` goes past midnight and belongs to
    /// the day on which it begins. Default `00:00-24:00`.
    pub(crate) hours: Option<String>,
    /// Days on which it is never in force: `[2026-12-25]`. At most 1000.
    pub(crate) holidays: Option<Vec<String>>,
}

/// While anonymous callers are shut out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lockdown {
    /// Times as much as message limits allow otherwise, for everyone; at most 1.
    pub(crate) multiplier: Option<Times>,
}

/// Flood detection: levels normal, elevated, high and critical, by what is usual here.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Floods {
    /// Whether levels are raised.
    pub(crate) enabled: Option<Switch>,
    /// The span over which the usual is learned; until it is over only failed handshakes are judged. 1 minute to 7 days.
    pub(crate) learn: Option<Span>,
    /// Connection attempts a second that are never many.
    pub(crate) attempts_floor: Option<u32>,
    /// Failed handshakes a second, and sources that fail, that are never many.
    pub(crate) failures_floor: Option<u32>,
    /// Messages from clients a second that are never many.
    pub(crate) messages_floor: Option<u32>,
    /// How many times the usual makes elevated, high and critical.
    pub(crate) over: Option<Vec<u32>>,
    /// What elevated, high and critical multiply message limits and `sources.connection_rate` by; at most 1.
    pub(crate) multipliers: Option<Vec<Times>>,
    /// A level rises when the excess lasts this long.
    pub(crate) rise_after: Option<Span>,
    /// A level falls, one at a time, when half of its excess is gone for this long.
    pub(crate) fall_after: Option<Span>,
    /// Critical orders a lockdown for so long, or `off`.
    pub(crate) lockdown: Option<OrOff<Span>>,
}
