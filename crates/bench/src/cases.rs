//! What is measured: the cases, how often and how long each in a quick and in a full run.

use std::time::Duration;

use crate::load::Times;
use crate::measured::Figure;
use crate::setup::SetUp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Throughput { message_bytes: usize, window: usize },
    Latency,
    Handshake,
    Idle,
}

#[derive(Debug)]
pub(crate) struct Case {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
}

const fn throughput(name: &'static str, title: &'static str, message_bytes: usize, window: usize) -> Case {
    Case { name, title, kind: Kind::Throughput { message_bytes, window } }
}

pub(crate) const CASES: [Case; 9] = [
    throughput("128B-w1", "128 B, window 1, 32 connections", 128, 1),
    throughput("128B-w16", "128 B, window 16, 32 connections", 128, 16),
    throughput("1KiB-w1", "1 KiB, window 1, 32 connections", 1024, 1),
    throughput("1KiB-w16", "1 KiB, window 16, 32 connections", 1024, 16),
    throughput("16KiB-w1", "16 KiB, window 1, 32 connections", 16 * 1024, 1),
    throughput("16KiB-w16", "16 KiB, window 16, 32 connections", 16 * 1024, 16),
    Case {
        name: "latency",
        title: "latency of 1 KiB at 2,000 msgs/s, open loop; added: less direct",
        kind: Kind::Latency,
    },
    Case {
        name: "handshake",
        title: "handshakes, 32 at once; Portcullis verifies an HS256 token",
        kind: Kind::Handshake,
    },
    Case {
        name: "idle",
        title: "memory of idle connections, gateway freshly started; after: 1 + 16 KiB each",
        kind: Kind::Idle,
    },
];

impl Case {
    /// Whether the set-up has a part in this case.
    pub(crate) fn concerns(&self, setup: SetUp) -> bool {
        match self.kind {
            Kind::Throughput { .. } => true,
            Kind::Latency => setup != SetUp::PortcullisUnchecked,
            Kind::Handshake | Kind::Idle => !matches!(setup, SetUp::Direct | SetUp::PortcullisUnchecked),
        }
    }

    /// The figures that are set against the peers' in this case's table.
    pub(crate) fn compared(&self) -> &'static [Figure] {
        match self.kind {
            Kind::Throughput { .. } => &[Figure::MessagesPerS, Figure::CpuUs],
            Kind::Latency => &[Figure::AddedP50Us],
            Kind::Handshake => &[Figure::HandshakesPerS, Figure::CpuUs],
            Kind::Idle => &[Figure::KibPerConnectionAfter],
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    pub(crate) throughput: Times,
    pub(crate) latency: Times,
    pub(crate) handshake: Times,
    pub(crate) idle_connections: usize,
    pub(crate) settle: Duration,
}

const fn times(warm_up_ms: u64, measured_ms: u64) -> Times {
    Times { warm_up: Duration::from_millis(warm_up_ms), measured: Duration::from_millis(measured_ms) }
}

impl Extent {
    /// About ten minutes. Many short rounds rather than a few long ones: what disturbs a machine for a
    /// second then spoils one ratio of nine.
    pub(crate) const FULL: Self = Self {
        rounds: 9,
        throughput: times(200, 1000),
        latency: times(200, 1300),
        handshake: times(200, 900),
        idle_connections: 9000,
        settle: Duration::from_millis(1500),
    };

    /// Under two minutes: to see whether something broke, not to quote.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        throughput: times(100, 400),
        latency: times(100, 700),
        handshake: times(100, 400),
        idle_connections: 3000,
        settle: Duration::from_millis(500),
    };
}
