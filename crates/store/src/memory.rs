//! What rules have learned and hold against callers, kept over a restart: two JSON files in the state folder.
//!
//! Decides nothing about what it means. Written whole or not at all, readable by their owner only: they hold the seed with
//! which names are hashed, and no name. A file that cannot be read is no error of the start: what was learned is learned
//! again.

use std::io::Write as _;
use std::path::Path;

use portcullis_core::reputation::KeptProfile;
use serde::{Deserialize, Serialize};

/// The file's name inside the state folder.
pub const MEMORY_FILE: &str = "memory.json";
/// The name of the file with what is usual for users; written apart, for it is larger.
pub const PROFILES_FILE: &str = "profiles.json";
/// Largest file read.
const BYTES_MAX: u64 = 16 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KeptMemory {
    /// With what names are hashed.
    pub seed: [u64; 2],
    /// When it was written, Unix milliseconds.
    pub saved_unix_ms: u64,
    /// Scores: hash (two halves) and points by fact.
    pub scores: Vec<([u64; 2], Vec<f32>)>,
    /// Standings on the ladder of waits: hash (two halves), wait left, step, time of good conduct for a step.
    pub standings: Vec<([u64; 2], i64, u64, u64)>,
    /// The flood detector: samples seen, and of each signal its mean and swing.
    pub flood: (u64, Vec<(f64, f64)>),
}

/// What is usual for whom.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KeptProfiles {
    /// With what names are hashed.
    pub seed: [u64; 2],
    /// When it was written, Unix milliseconds.
    pub saved_unix_ms: u64,
    /// A profile a user.
    pub profiles: Vec<KeptProfile>,
}

impl KeptProfiles {
    /// What was kept, if anything was.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        load(path)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        save(self, path)
    }
}

fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn save(kept: &impl Serialize, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let part = path.with_extension("part");
    let bytes = serde_json::to_vec(kept).map_err(std::io::Error::other)?;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    std::fs::rename(part, path)
}

impl KeptMemory {
    /// What was kept, if anything was.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        load(path)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        save(self, path)
    }
}

/// A hash as its two halves: JSON's numbers have 64 bits here.
#[must_use]
pub fn halves(hash: u128) -> [u64; 2] {
    let low = u64::try_from(hash & u128::from(u64::MAX)).unwrap_or(0);
    [u64::try_from(hash >> 64).unwrap_or(0), low]
}

/// The hash of two halves.
#[must_use]
pub fn whole([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_a_broken_file_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MEMORY_FILE);
        assert_eq!(KeptMemory::load(&path), None);
        let hash = 0x0123_4567_89AB_CDEF_0011_2233_4455_6677;
        assert_eq!(whole(halves(hash)), hash);
        let kept = KeptMemory {
            seed: [u64::MAX, 7],
            saved_unix_ms: 1_700_000_000_000,
            scores: vec![(halves(hash), vec![1.5, 0.0])],
            standings: vec![(halves(u128::MAX), -5, 3, 600_000)],
            flood: (17, vec![(1.25, 0.5)]),
        };
        kept.save(&path).unwrap();
        assert_eq!(KeptMemory::load(&path), Some(kept));
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"{\"seed\":[1").unwrap();
        assert_eq!(KeptMemory::load(&path), None);
    }
}
