//! Sessions, by what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionOutcome {
    /// It was issued.
    Issued,
    /// Another took its place.
    Rotated,
    /// Its user had too many.
    Displaced,
    /// Its owner ended it.
    LoggedOut,
    /// Nobody used it.
    Idle,
    /// It reached its lifetime.
    Expired,
    /// An operator or its identity provider ended it.
    Revoked,
}

impl SessionOutcome {
    const ALL: [Self; 7] =
        [Self::Issued, Self::Rotated, Self::Displaced, Self::LoggedOut, Self::Idle, Self::Expired, Self::Revoked];

    fn label(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Rotated => "rotated",
            Self::Displaced => "displaced",
            Self::LoggedOut => "logged_out",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// For the audit.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Rotated => "another session took its place",
            Self::Displaced => "its user has too many sessions and it was the oldest",
            Self::LoggedOut => "its owner ended it",
            Self::Idle => "nobody used it for `identity.sessions.idle_timeout`",
            Self::Expired => "it reached `identity.sessions.lifetime`",
            Self::Revoked => "an operator or its identity provider ended it",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Sessions([AtomicU64; 7]);

impl Sessions {
    pub(super) fn count(&self, outcome: SessionOutcome, number: u64) {
        for (of, count) in SessionOutcome::ALL.iter().zip(&self.0) {
            if *of == outcome {
                count.fetch_add(number, Ordering::Relaxed);
            }
        }
    }

    /// Outcome, count.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SessionOutcome::ALL.iter().zip(&self.0).map(|(of, count)| (of.label(), count.load(Ordering::Relaxed)))
    }
}
