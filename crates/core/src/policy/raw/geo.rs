//! `geo` and `threat_lists`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::human::{AsNumber, Bytes, Span};

/// Which countries and networks (autonomous systems) may come, by databases in MaxMind's format.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Geo {
    /// A database of countries or cities: `GeoLite2-Country.mmdb`. About 10 bytes of memory for each of its IPv4
    /// networks, 34 for each of IPv6.
    pub(crate) countries_file: Option<String>,
    /// A database of autonomous systems: `GeoLite2-ASN.mmdb`. About 12 bytes for each IPv4 network, 36 for IPv6.
    pub(crate) networks_file: Option<String>,
    /// How often the files are looked at; one that changed is put in force without a pause, one that is damaged leaves
    /// what was in force.
    pub(crate) refresh: Option<Span>,
    /// Only these countries may come, by their ISO 3166-1 codes: `[DE, FR]`.
    pub(crate) allow_countries: Option<Vec<String>>,
    /// These countries may not.
    pub(crate) deny_countries: Option<Vec<String>>,
    /// Only these autonomous systems may come: `[AS64496, 64500]`.
    pub(crate) allow_networks: Option<Vec<AsNumber>>,
    /// These autonomous systems may not.
    pub(crate) deny_networks: Option<Vec<AsNumber>>,
    /// Whether an address that the database does not know may come where only some may: `refuse` or `allow`. Private
    /// addresses are in no database; list yours in `sources.allow`.
    pub(crate) unknown: Option<UnknownLocation>,
}

/// What happens to an address that no database knows.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownLocation {
    /// It is let in.
    Allow,
    /// It is refused where only some may come.
    Refuse,
}

/// A list of addresses that somebody warns of.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThreatList {
    /// Its name in events and metrics; each once.
    pub(crate) name: Option<String>,
    /// The file. Excludes `url`.
    pub(crate) file: Option<String>,
    /// The URL, `https://`. Excludes `file`.
    pub(crate) url: Option<String>,
    /// How often it is read again, at least every second. Default `1h`.
    pub(crate) refresh: Option<Span>,
    /// Largest list read. Default `16MiB`.
    pub(crate) bytes_max: Option<Bytes>,
    /// `refuse` (default) whoever is on it, or `observe`: let them in, with an event.
    pub(crate) action: Option<ListAction>,
}

/// What happens to who is on a list.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ListAction {
    /// They are refused.
    Refuse,
    /// They are let in, and noted.
    Observe,
}
