//! Flood levels by country (SPEC 7.2): failed handshakes and attempts of each country against its own baseline.
//!
//! Decides which countries are raised, so that a flood from one of them tightens the rates of its own addresses and
//! nobody else's. The steps are those of [`Flood`]; sources are not told apart here. Bounded by the codes there are: at
//! most 676 detectors, each made with the first failure of its country. Without a database of countries there is none.

use std::collections::{BTreeMap, HashMap};

use super::country::Country;
use super::flood::{Change, Flood, Level};
use super::watch::Observed;
use crate::policy::checked::{Factor, Floods};

/// A country whose level is not normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// Which.
    pub country: Country,
    /// Its level.
    pub level: Level,
    /// What the rate of attempts of its addresses is multiplied by.
    pub factor: Factor,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct CountryFloods {
    spec: Floods,
    floods: BTreeMap<Country, Flood>,
    /// Attempts since the start, as they were last.
    attempts: HashMap<Country, u64>,
}

impl CountryFloods {
    /// Nothing learned.
    #[must_use]
    pub fn new(spec: &Floods) -> Self {
        Self { spec: spec.clone(), floods: BTreeMap::new(), attempts: HashMap::new() }
    }

    /// Takes over other settings; what was learned stays.
    pub fn reconfigure(&mut self, spec: &Floods) {
        if self.spec != *spec {
            self.floods.values_mut().for_each(|flood| flood.reconfigure(spec));
            self.spec = spec.clone();
        }
    }

    /// Takes one second's failures, and attempts since the start; tells whose level changed.
    pub fn step(&mut self, failures: &[(Country, u64)], attempts: &[(Option<Country>, u64)]) -> Vec<(Country, Change)> {
        for (country, _) in failures {
            self.floods.entry(*country).or_insert_with(|| Flood::new(self.spec.clone()));
        }
        let failures: HashMap<Country, u64> = failures.iter().copied().collect();
        let mut seen = HashMap::new();
        for (country, count) in attempts.iter().filter_map(|(country, count)| Some(((*country)?, *count))) {
            // What came before the first look is no burst.
            let before = self.attempts.insert(country, count).unwrap_or(count);
            seen.insert(country, count.saturating_sub(before));
        }
        let mut changes = Vec::new();
        for (country, flood) in &mut self.floods {
            let of = |counts: &HashMap<Country, u64>| counts.get(country).copied().unwrap_or(0);
            let observed = Observed { attempts: of(&seen), failures: of(&failures), ..Observed::default() };
            changes.extend(flood.step(&observed, 0).map(|change| (*country, change)));
        }
        changes
    }

    /// Countries whose level is not normal.
    #[must_use]
    pub fn raised(&self) -> Vec<Raised> {
        let raised = self.floods.iter().filter(|(_, flood)| flood.level() > Level::Normal);
        raised
            .map(|(country, flood)| Raised { country: *country, level: flood.level(), factor: flood.factor() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spec() -> Floods {
        Floods { failures_floor: 5, messages_floor: 1000, ..Floods::default() }
    }

    #[test]
    fn a_flood_from_one_country_raises_that_country_alone_and_falls_again() {
        let [de, kp] = ["DE", "KP"].map(|code| Country::in_use(code).unwrap());
        let mut floods = CountryFloods::new(&spec());
        let mut attempts = (0, 0);
        let mut step = |floods: &mut CountryFloods, failures: u64| {
            attempts = (attempts.0 + 100, attempts.1 + failures);
            floods.step(&[(de, 2), (kp, failures)], &[(Some(de), attempts.0), (Some(kp), attempts.1), (None, 7)])
        };
        for _ in 0..700 {
            assert_eq!(step(&mut floods, 1), [], "a usual day");
        }
        let changes: Vec<_> = (0..20).flat_map(|_| step(&mut floods, 200)).collect();
        assert!(changes.iter().all(|(country, _)| *country == kp) && !changes.is_empty(), "{changes:?}");
        assert!(changes[0].1.evidence.contains("failed handshakes a second"), "{changes:?}");
        assert!(!changes[0].1.evidence.contains("sources fail"), "they are not told apart: {changes:?}");
        let raised = floods.raised();
        assert_eq!(raised.len(), 1);
        assert_eq!((raised[0].country, raised[0].level, raised[0].factor.permille()), (kp, Level::Critical, 250));
        let calmed: Vec<_> = (0..300).flat_map(|_| step(&mut floods, 1)).collect();
        assert_eq!(calmed.len(), 3, "one level at a time: {calmed:?}");
        assert_eq!(floods.raised(), []);
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_no_burst() {
        let de = Country::in_use("DE").unwrap();
        let mut floods = CountryFloods::new(&Floods { learn: Duration::ZERO, ..spec() });
        for _ in 0..30 {
            assert_eq!(floods.step(&[(de, 1)], &[(Some(de), 1_000_000)]), []);
        }
    }
}
