//! The present, as an argument: rules never read a clock.

use std::time::Duration;

/// One instant on two clocks. `mono` never runs backwards and starts at an arbitrary point (the
/// program's start); `wall` is Unix time and may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since an arbitrary start.
    pub mono: Duration,
    /// Time since the Unix epoch.
    pub wall: Duration,
}

impl Now {
    /// Unix time in whole seconds.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.wall.as_secs()
    }

    /// Unix time in whole milliseconds.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX)
    }

    /// Monotonic time in whole nanoseconds; wraps no sooner than after 584 years.
    #[must_use]
    pub fn mono_nanos(self) -> u64 {
        u64::try_from(self.mono.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The same instant moved forward on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { mono: self.mono.saturating_add(by), wall: self.wall.saturating_add(by) }
    }
}
