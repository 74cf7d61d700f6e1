//! What admission sees, counted for flood detection (SPEC 7.2): attempts and failures in all, how many sources fail, and
//! which network and source fail most.
//!
//! Decides nothing. Bounded: two count-min sketches and a bitmap, 49 KiB in all, whatever the number of sources. Counting
//! takes no lock that waits: a candidate for the heaviest source is noted when nobody else does so at that moment. A
//! sketch never counts too little; what shares all cells with a heavy source counts too much.

use std::hash::Hash as _;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipnet::IpNet;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::verdict::Reason;

/// Rows of a sketch.
const ROWS: usize = 4;
/// Cells of a row.
const CELLS: usize = 1024;
/// Bits that tell sources apart: good for some 20,000 in one step.
const BITS: usize = 4096;
/// Networks told apart.
const SUBNET_V4: u8 = 24;
const SUBNET_V6: u8 = 48;

/// See the module.
pub struct Watch {
    attempts: AtomicU64,
    failures: AtomicU64,
    networks: Sketch,
    sources: Sketch,
    seen: Box<[AtomicU64]>,
    heaviest: Mutex<[Heaviest; 2]>,
    seed: [u64; 2],
}

/// Who failed most in a step.
type Heaviest = Option<(IpNet, u32)>;

/// One step's counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Connection attempts.
    pub attempts: u64,
    /// Those refused.
    pub failures: u64,
    /// Sources that were refused, estimated.
    pub sources: u64,
    /// The network that was refused most.
    pub network: Heaviest,
    /// The source that was refused most.
    pub source: Heaviest,
    /// The country that was refused most, where countries are known.
    pub country: Option<(super::Country, u64)>,
}

struct Sketch(Box<[AtomicU32]>);

impl Sketch {
    fn new() -> Self {
        Self((0..ROWS * CELLS).map(|_| AtomicU32::new(0)).collect())
    }

    /// Counts one; tells how often the hash was counted, at least.
    fn count(&self, hash: u128) -> u32 {
        let cell = |row: usize| {
            let part = usize::try_from(hash >> (row * 16) & 0xFFFF).unwrap_or(0);
            self.0.get(row * CELLS + part % CELLS)
        };
        let counts = (0..ROWS).filter_map(cell).map(|cell| cell.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        counts.min().unwrap_or(0)
    }

    fn clear(&self) {
        self.0.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }
}

impl Watch {
    /// Nothing seen. `seed` is drawn once per process: who shares cells cannot be computed from outside.
    #[must_use]
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            attempts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            networks: Sketch::new(),
            sources: Sketch::new(),
            seen: (0..BITS / 64).map(|_| AtomicU64::new(0)).collect(),
            heaviest: Mutex::new([None, None]),
            seed,
        }
    }

    /// A connection is attempted.
    pub fn attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt was refused, for a reason that tells of an attacker; others are passed over.
    pub fn refused(&self, client: IpAddr, reason: Reason) {
        // What limits and lockdowns refuse is no sign of itself: it would hold a level up by its own effect.
        let by_load = matches!(
            reason,
            Reason::ServerFull
                | Reason::Draining
                | Reason::Lockdown
                | Reason::SourceBanned
                | Reason::SourceDenied
                | Reason::ThreatListed
                | Reason::CountryRefused
                | Reason::NetworkRefused
                | Reason::ConnectionRate
                | Reason::ConnectionsPerIp
                | Reason::ConnectionsPerUser
                | Reason::KeysUnavailable
        );
        if !by_load {
            self.failure(client);
        }
    }

    fn failure(&self, client: IpAddr) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let client = client.to_canonical();
        let (network, source) = match client {
            IpAddr::V4(_) => (IpNet::new(client, SUBNET_V4), IpNet::new(client, 32)),
            IpAddr::V6(_) => (IpNet::new(client, SUBNET_V6), IpNet::new(client, 64)),
        };
        let (Ok(network), Ok(source)) = (network, source) else { return };
        let (network, source) = (network.trunc(), source.trunc());
        let (network_hash, source_hash) = (self.hash(network), self.hash(source));
        let bit = usize::try_from(source_hash >> 64 & 0xFFFF).unwrap_or(0) % BITS;
        if let Some(word) = self.seen.get(bit / 64) {
            word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
        let counts = [(network, self.networks.count(network_hash)), (source, self.sources.count(source_hash))];
        if let Ok(mut heaviest) = self.heaviest.try_lock() {
            for (most, counted) in heaviest.iter_mut().zip(counts) {
                if most.is_none_or(|(_, most)| counted.1 > most) {
                    *most = Some(counted);
                }
            }
        }
    }

    /// What was seen since the last call.
    pub fn take(&self) -> Observed {
        let mut empty = 0_u32;
        for word in &self.seen {
            empty += word.swap(0, Ordering::Relaxed).count_zeros();
        }
        self.networks.clear();
        self.sources.clear();
        let [network, source] = match self.heaviest.lock() {
            Ok(mut heaviest) => std::mem::take(&mut *heaviest),
            Err(poisoned) => std::mem::take(&mut *poisoned.into_inner()),
        };
        Observed {
            attempts: self.attempts.swap(0, Ordering::Relaxed),
            failures: self.failures.swap(0, Ordering::Relaxed),
            sources: distinct(empty),
            network,
            source,
            country: None,
        }
    }

    fn hash(&self, network: IpNet) -> u128 {
        let [first, second] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(first, second);
        network.hash(&mut hasher);
        hasher.finish128().as_u128()
    }
}

/// Linear counting: how many set what is set.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an estimate")]
fn distinct(empty: u32) -> u64 {
    let bits = BITS as f64;
    (-bits * (f64::from(empty.max(1)) / bits).ln()).round() as u64
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0A00_0000 + n).into()
    }

    #[test]
    fn it_counts_and_begins_anew() {
        let watch = Watch::new([1, 2]);
        for n in 0..10 {
            watch.attempt();
            watch.failure(address(n % 2));
        }
        watch.failure("2001:db8:7::1".parse().unwrap());
        let observed = watch.take();
        assert_eq!((observed.attempts, observed.failures, observed.sources), (10, 11, 3));
        assert_eq!(observed.network, Some(("10.0.0.0/24".parse().unwrap(), 10)));
        assert_eq!(observed.source.map(|(_, count)| count), Some(5));
        assert_eq!(watch.take(), Observed::default());
    }

    #[test]
    fn what_limits_refuse_is_no_sign_of_a_flood() {
        let watch = Watch::new([1, 2]);
        watch.refused(address(1), Reason::Lockdown);
        watch.refused(address(1), Reason::ConnectionRate);
        watch.refused(address(1), Reason::TokenSignature);
        watch.refused(address(1), Reason::OriginRefused);
        assert_eq!(watch.take().failures, 2);
    }

    #[test]
    fn many_sources_are_estimated_and_the_heaviest_is_found_among_them() {
        let watch = Watch::new([3, 4]);
        for n in 0..10_000_u32 {
            watch.failure(address(n * 300));
            if n % 10 == 0 {
                watch.failure("203.0.113.7".parse().unwrap());
            }
        }
        let observed = watch.take();
        assert!((9_000..11_000).contains(&observed.sources), "{}", observed.sources);
        assert_eq!(observed.source.map(|(net, _)| net.to_string()).as_deref(), Some("203.0.113.7/32"));
        let counted = observed.source.map_or(0, |(_, count)| count);
        assert!((1_000..1_100).contains(&counted), "{counted}");
    }

    #[test]
    fn its_memory_is_what_the_module_says() {
        let bytes = 2 * ROWS * CELLS * 4 + BITS / 8;
        assert!(bytes <= 49 << 10, "{bytes}");
    }
}
