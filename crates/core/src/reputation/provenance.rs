//! Where a client comes from: its country, its network, and whether somebody warns of it (SPEC 2, 7.4).
//!
//! Decides whether that keeps it out. Never loads anything: databases and lists are handed over whole, and swapped
//! while clients are asked about. Asked at admission and for events, never for a message.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::country::{Country, CountryCounts};
use super::country_floods::Raised;
use super::geo::{Atlas, Location};
use super::threat_list::ThreatLists;
use crate::policy::checked::{Factor, Geo};
use crate::verdict::Reason;

/// See the module.
#[derive(Debug, Default)]
pub struct Provenance {
    atlas: ArcSwap<Atlas>,
    lists: ArcSwap<ThreatLists>,
    attempts: CountryCounts,
    /// Failures since they were taken last.
    failures: CountryCounts,
    /// Countries under a flood.
    raised: ArcSwap<Vec<Raised>>,
}

impl Provenance {
    /// Puts other databases in force.
    pub fn set_atlas(&self, atlas: Atlas) {
        self.atlas.store(Arc::new(atlas));
    }

    /// The databases in force.
    #[must_use]
    pub fn atlas(&self) -> Arc<Atlas> {
        self.atlas.load_full()
    }

    /// Puts other threat lists in force.
    pub fn set_lists(&self, lists: ThreatLists) {
        self.lists.store(Arc::new(lists));
    }

    /// Where an address is.
    #[must_use]
    pub fn locate(&self, ip: IpAddr) -> Location {
        self.atlas.load().locate(ip)
    }

    /// The threat list on which an address stands, and whether it refuses.
    #[must_use]
    pub fn listed(&self, ip: IpAddr) -> Option<(Arc<str>, bool)> {
        self.lists.load().find(ip).map(|(name, refuses)| (Arc::clone(name), refuses))
    }

    /// Why an address is kept out, if it is.
    pub(crate) fn judge(&self, geo: &Geo, ip: IpAddr) -> Result<(), Reason> {
        if self.lists.load().find(ip).is_some_and(|(_, refuses)| refuses) {
            return Err(Reason::ThreatListed);
        }
        geo.refuses(self.locate(ip)).map_or(Ok(()), Err)
    }

    /// Counts an attempt to its country.
    pub(crate) fn attempt(&self, ip: IpAddr) {
        let atlas = self.atlas.load();
        if atlas.countries.is_some() {
            self.attempts.count(atlas.locate(ip).country);
        }
    }

    /// Counts a failed handshake to its country.
    pub fn failure(&self, ip: IpAddr) {
        let atlas = self.atlas.load();
        if atlas.countries.is_some() {
            self.failures.count(atlas.locate(ip).country);
        }
    }

    /// Failures by country since the last call.
    pub fn take_failures(&self) -> Vec<(Country, u64)> {
        self.failures.take()
    }

    /// Puts the levels of countries in force.
    pub fn set_raised(&self, raised: Vec<Raised>) {
        if **self.raised.load() != raised {
            self.raised.store(Arc::new(raised));
        }
    }

    /// Countries whose level is not normal.
    #[must_use]
    pub fn raised(&self) -> Arc<Vec<Raised>> {
        self.raised.load_full()
    }

    /// What the rate of attempts of an address is multiplied by for its country.
    pub(crate) fn pressure(&self, ip: IpAddr) -> Factor {
        let raised = self.raised.load();
        if raised.is_empty() {
            return Factor::ONE;
        }
        let country = self.locate(ip).country;
        raised.iter().find(|raised| Some(raised.country) == country).map_or(Factor::ONE, |raised| raised.factor)
    }

    /// Attempts by country since the start, without zeros; empty where no database of countries is in force.
    #[must_use]
    pub fn attempts(&self) -> Vec<(Option<Country>, u64)> {
        self.attempts.counted().collect()
    }
}
