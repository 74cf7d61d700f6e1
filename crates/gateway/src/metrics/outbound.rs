//! Requests of our own to endpoints outside, by purpose and outcome.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an endpoint was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Key sets, a provider's configuration document included.
    Keys,
    /// An opaque token.
    Introspection,
    /// The authorizer of a route.
    Authorizer,
    /// A callback about a message.
    Callback,
    /// A threat list.
    ThreatList,
    /// Whether a backend is well.
    HealthCheck,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered as it should.
    Answered,
    /// It did not.
    Failed,
}

impl Purpose {
    const ALL: &[Self] =
        &[Self::Keys, Self::Introspection, Self::Authorizer, Self::Callback, Self::ThreatList, Self::HealthCheck];

    fn label(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Introspection => "introspection",
            Self::Authorizer => "authorizer",
            Self::Callback => "callback",
            Self::ThreatList => "threat_list",
            Self::HealthCheck => "health_check",
        }
    }
}

impl Outcome {
    const ALL: &[Self] = &[Self::Answered, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub(super) struct Outbound {
    counts: Box<[AtomicU64]>,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self { counts: pairs().map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn count(&self, purpose: Purpose, outcome: Outcome) {
        let found = pairs().zip(&self.counts).find(|(pair, _)| *pair == (purpose, outcome));
        if let Some((_, count)) = found {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Purpose, outcome, count.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let labels = pairs().map(|(purpose, outcome)| (purpose.label(), outcome.label()));
        labels.zip(&self.counts).map(|((purpose, outcome), count)| (purpose, outcome, count.load(Ordering::Relaxed)))
    }
}

fn pairs() -> impl Iterator<Item = (Purpose, Outcome)> {
    Purpose::ALL.iter().flat_map(|purpose| Outcome::ALL.iter().map(|outcome| (*purpose, *outcome)))
}
