//! Countries, networks and threat lists, as the rooms take them.

use std::path::PathBuf;
use std::time::Duration;

use crate::reputation::Country;

/// Which countries and autonomous systems may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geo {
    /// A database of countries.
    pub countries_file: Option<PathBuf>,
    /// A database of autonomous systems.
    pub networks_file: Option<PathBuf>,
    /// How often the files are looked at.
    pub refresh: Duration,
    /// Only these may come, where there are any.
    pub allow_countries: Vec<Country>,
    /// These may not.
    pub deny_countries: Vec<Country>,
    /// Only these may come, where there are any.
    pub allow_networks: Vec<u32>,
    /// These may not.
    pub deny_networks: Vec<u32>,
    /// An address that the database does not know may come where only some may.
    pub unknown_allowed: bool,
}

/// A list of addresses that somebody warns of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreatListSpec {
    /// Its name in events and metrics.
    pub name: String,
    /// Where it is.
    pub location: ListLocation,
    /// How often it is read again.
    pub refresh: Duration,
    /// Largest list read, bytes.
    pub bytes_max: usize,
    /// Whoever is on it is let in, and noted.
    pub observe: bool,
}

/// Where a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListLocation {
    /// A file.
    File(PathBuf),
    /// An HTTPS URL; plain HTTP on loopback only.
    Url(String),
}

impl std::fmt::Display for ListLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}
