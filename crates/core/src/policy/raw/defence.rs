//! `calendars` and `lockdown`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::human::Times;

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
