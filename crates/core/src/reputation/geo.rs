//! Where an address is: its country and its network (autonomous system), from databases in MaxMind's format (SPEC 7.4).
//!
//! A database is read whole when it comes, into sorted ranges; so what is damaged is found then and not on a client's
//! path. Never reads a file: bytes come in. Tests: below, and with MaxMind's own databases where they are at hand.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use maxminddb::{PathElement, Reader, WithinOptions};

use super::country::Country;
use super::ranges::{NETWORKS_MAX, Ranges};
use crate::policy::checked::Geo;
use crate::verdict::Reason;

/// What is known of where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Location {
    /// Its country.
    pub country: Option<Country>,
    /// The number of its autonomous system.
    pub network: Option<u32>,
}

/// Why bytes are no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtlasError {
    /// It cannot be read.
    #[error("it is no database in MaxMind's format, or a damaged one: {0}")]
    Damaged(String),
    /// It knows something else.
    #[error("it names no {0}; is it another kind of database?")]
    Empty(&'static str),
    /// It is too large.
    #[error("it has more than {NETWORKS_MAX} networks")]
    TooMany,
}

/// One database, read.
#[derive(Debug, Clone)]
pub struct Chart<V> {
    ranges: Ranges<V>,
    built_unix_s: u64,
}

impl<V: Copy + PartialEq> Chart<V> {
    /// Ranges held.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// When it was made, as it says itself.
    #[must_use]
    pub fn built_unix_s(&self) -> u64 {
        self.built_unix_s
    }

    fn read(bytes: &[u8], what: &'static str, value: impl Fn(&Record<'_>) -> Option<V>) -> Result<Self, AtlasError> {
        let damaged =
            |error: maxminddb::MaxMindDbError| AtlasError::Damaged(error.to_string().chars().take(200).collect());
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        reader.verify().map_err(damaged)?;
        // Many networks share a record.
        let mut known: HashMap<usize, Option<V>> = HashMap::new();
        let mut networks = Vec::new();
        for found in reader.networks(WithinOptions::default()).map_err(damaged)? {
            let found = found.map_err(damaged)?;
            let Some(offset) = found.offset() else { continue };
            let held = *known.entry(offset).or_insert_with(|| value(&found));
            let Some(held) = held else { continue };
            let network = found.network().map_err(damaged)?;
            let network =
                IpNet::new(network.ip(), network.prefix()).map_err(|error| AtlasError::Damaged(error.to_string()))?;
            if networks.len() == NETWORKS_MAX {
                return Err(AtlasError::TooMany);
            }
            networks.push((network, held));
        }
        if networks.is_empty() {
            return Err(AtlasError::Empty(what));
        }
        Ok(Self { ranges: Ranges::new(networks), built_unix_s: reader.metadata().build_epoch })
    }
}

type Record<'r> = maxminddb::LookupResult<'r, &'r [u8]>;

impl Chart<Country> {
    /// Reads a database of countries or cities. An address without a country has the one it is registered in.
    ///
    /// # Errors
    /// See [`AtlasError`].
    pub fn countries(bytes: &[u8]) -> Result<Self, AtlasError> {
        Self::read(bytes, "countries", |record| {
            let code = |of: &'static str| {
                let path = [PathElement::Key(of), PathElement::Key("iso_code")];
                record.decode_path::<String>(&path).ok().flatten()
            };
            code("country").or_else(|| code("registered_country")).and_then(|code| Country::from_letters(&code))
        })
    }
}

impl Chart<u32> {
    /// Reads a database of autonomous systems.
    ///
    /// # Errors
    /// See [`AtlasError`].
    pub fn networks(bytes: &[u8]) -> Result<Self, AtlasError> {
        Self::read(bytes, "networks (autonomous systems)", |record| {
            record.decode_path::<u32>(&[PathElement::Key("autonomous_system_number")]).ok().flatten()
        })
    }
}

/// Both databases, as far as there are any.
#[derive(Debug, Clone, Default)]
pub struct Atlas {
    /// Countries.
    pub countries: Option<std::sync::Arc<Chart<Country>>>,
    /// Autonomous systems.
    pub networks: Option<std::sync::Arc<Chart<u32>>>,
}

#[cfg(test)]
impl Atlas {
    /// Countries of networks, without a database.
    pub(crate) fn of_countries(networks: &[(&str, &str)]) -> Self {
        let known = networks.iter().filter_map(|(net, code)| Some((net.parse().ok()?, Country::from_letters(code)?)));
        Self { countries: Some(Chart { ranges: Ranges::new(known), built_unix_s: 0 }.into()), networks: None }
    }
}

impl Atlas {
    /// Where an address is.
    #[must_use]
    pub fn locate(&self, ip: IpAddr) -> Location {
        Location {
            country: self.countries.as_ref().and_then(|chart| chart.ranges.find(ip)),
            network: self.networks.as_ref().and_then(|chart| chart.ranges.find(ip)),
        }
    }
}

impl Geo {
    /// Why an address there is kept out, if it is. What is on a list of the denied is; where there is a list of the
    /// allowed, everything else is too, and what the database does not know as `unknown` says.
    #[must_use]
    pub fn refuses(&self, location: Location) -> Option<Reason> {
        let country = |list: &[Country]| location.country.map(|country| list.contains(&country));
        let network = |list: &[u32]| location.network.map(|network| list.contains(&network));
        let outside = |held: Option<bool>, empty: bool| !empty && !held.unwrap_or(self.unknown_allowed);
        if country(&self.deny_countries) == Some(true)
            || outside(country(&self.allow_countries), self.allow_countries.is_empty())
        {
            return Some(Reason::CountryRefused);
        }
        let refused = network(&self.deny_networks) == Some(true)
            || outside(network(&self.allow_networks), self.allow_networks.is_empty());
        refused.then_some(Reason::NetworkRefused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn vector(file: &str) -> Option<Vec<u8>> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/maxmind").join(file);
        match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                println!("skipped: {} is not here ({error})", path.display());
                None
            }
        }
    }

    fn geo() -> Geo {
        Geo {
            countries_file: None,
            networks_file: None,
            refresh: std::time::Duration::from_secs(60),
            allow_countries: Vec::new(),
            deny_countries: Vec::new(),
            allow_networks: Vec::new(),
            deny_networks: Vec::new(),
            unknown_allowed: false,
        }
    }

    #[test]
    fn what_is_denied_or_not_allowed_is_refused() {
        let [de, fr, kp] = ["DE", "FR", "KP"].map(|code| Country::in_use(code).unwrap());
        let at = |country: Option<Country>, network: Option<u32>| Location { country, network };
        let denying = Geo { deny_countries: vec![kp], deny_networks: vec![64496], ..geo() };
        let allowing = Geo { allow_countries: vec![de, fr], ..geo() };
        let lax = Geo { unknown_allowed: true, ..allowing.clone() };
        let within = Geo { allow_networks: vec![64500], ..geo() };
        let both = Geo { deny_networks: vec![1], ..allowing.clone() };
        for (rule, location, refused) in [
            (&geo(), at(Some(kp), Some(1)), None),
            (&denying, at(Some(kp), None), Some(Reason::CountryRefused)),
            (&denying, at(Some(de), Some(64496)), Some(Reason::NetworkRefused)),
            (&denying, at(None, None), None),
            (&allowing, at(Some(fr), None), None),
            (&allowing, at(Some(kp), None), Some(Reason::CountryRefused)),
            (&allowing, at(None, None), Some(Reason::CountryRefused)),
            (&lax, at(None, None), None),
            (&lax, at(Some(kp), None), Some(Reason::CountryRefused)),
            (&within, at(None, Some(64500)), None),
            (&within, at(Some(de), Some(1)), Some(Reason::NetworkRefused)),
            (&within, at(Some(de), None), Some(Reason::NetworkRefused)),
            (&both, at(Some(de), Some(1)), Some(Reason::NetworkRefused)),
        ] {
            assert_eq!(rule.refuses(location), refused, "{rule:?} {location:?}");
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        for bytes in [&b""[..], b"no database", &[0xAB; 4096], b"\xAB\xCD\xEFMaxMind.com"] {
            assert!(matches!(Chart::countries(bytes), Err(AtlasError::Damaged(_))), "{bytes:?}");
        }
    }

    #[test]
    fn maxminds_own_addresses_are_where_their_source_says() {
        let Some(bytes) = vector("GeoIP2-Country-Test.mmdb") else { return };
        let Some(source) = vector("GeoIP2-Country-Test.source.json") else { return };
        let chart = Chart::countries(&bytes).unwrap();
        let source: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&source).unwrap();
        let mut compared = 0;
        for (net, record) in source.iter().flatten() {
            let net: IpNet = net.parse().unwrap();
            // The source may write an IPv4 network as `::a.b.c.d`.
            let v4 = match net {
                IpNet::V6(net) if net.prefix_len() >= 96 => u32::try_from(u128::from(net.network())).ok(),
                _ => None,
            };
            let net = v4.map_or(net, |v4| IpNet::new(v4.to_be_bytes().into(), net.prefix_len() - 96).unwrap());
            let code = |of: &str| record[of]["iso_code"].as_str().map(str::to_owned);
            let wanted = code("country").or_else(|| code("registered_country"));
            for ip in [net.network(), net.broadcast()] {
                let found = chart.ranges.find(ip).map(|country| country.to_string());
                assert_eq!(found, wanted, "{net}");
                compared += 1;
            }
        }
        assert!(compared > 500, "{compared}");
        assert!(chart.built_unix_s() > 1_500_000_000);
    }

    #[test]
    fn maxminds_own_networks_are_found() {
        let Some(bytes) = vector("GeoLite2-ASN-Test.mmdb") else { return };
        let Some(source) = vector("GeoLite2-ASN-Test.source.json") else { return };
        let chart = Chart::networks(&bytes).unwrap();
        let source: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&source).unwrap();
        for (net, record) in source.iter().flatten() {
            let net: IpNet = net.parse().unwrap();
            let wanted = record["autonomous_system_number"].as_u64().map(|number| u32::try_from(number).unwrap());
            assert_eq!(chart.ranges.find(net.network()), wanted, "{net}");
        }
        assert_eq!(Chart::countries(&bytes).unwrap_err(), AtlasError::Empty("countries"), "it is another kind");
    }

    #[test]
    fn every_damaged_database_is_refused_or_read_without_harm() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/maxmind");
        let Ok(bad) = std::fs::read_dir(folder.join("bad")) else {
            println!("skipped: {} is not here", folder.display());
            return;
        };
        for entry in bad {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(Chart::countries(&bytes).is_err(), "{}", path.display());
            assert!(Chart::networks(&bytes).is_err(), "{}", path.display());
        }
        for file in ["MaxMind-DB-test-broken-pointers-24.mmdb", "MaxMind-DB-test-broken-search-tree-24.mmdb"] {
            assert!(Chart::countries(&vector(file).unwrap()).is_err(), "{file}");
        }
    }

    #[test]
    fn a_database_cut_anywhere_is_refused() {
        let Some(bytes) = vector("GeoIP2-Country-Test.mmdb") else { return };
        for part in 1..40 {
            let cut = bytes.len() * part / 40;
            assert!(Chart::countries(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
        }
    }
}
