//! A lockdown (SPEC 7.3): for a set time only callers who prove who they are may stay, under stricter limits.
//!
//! Decides nothing but whether it is in force; it always has an end.

use std::time::Duration;

use serde::Serialize;

use super::block::{REASON_BYTES_MAX, TargetError};

/// Longest lockdown.
pub const LOCKDOWN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A lockdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lockdown {
    /// When it ends, Unix milliseconds.
    pub until_unix_ms: u64,
    /// When it was ordered, Unix milliseconds.
    pub made_unix_ms: u64,
    /// Why, in an operator's words or the gateway's; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// Whether the gateway ordered it, because of a flood.
    pub automatic: bool,
}

impl Lockdown {
    /// A lockdown for so long from now, ordered by an operator.
    ///
    /// # Errors
    /// The time is zero or longer than [`LOCKDOWN_MAX`], or the reason is too long or has control characters.
    pub fn new(how_long: Duration, reason: &str, now_unix_ms: u64) -> Result<Self, TargetError> {
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(TargetError::Reason);
        }
        if how_long.is_zero() || how_long > LOCKDOWN_MAX {
            return Err(TargetError::LockdownTime);
        }
        let how_long = u64::try_from(how_long.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            until_unix_ms: now_unix_ms.saturating_add(how_long.max(1)),
            made_unix_ms: now_unix_ms,
            reason: reason.to_owned(),
            automatic: false,
        })
    }

    /// What is left of it at a Unix time in milliseconds.
    #[must_use]
    pub fn left(&self, now_unix_ms: u64) -> Option<Duration> {
        let left = self.until_unix_ms.saturating_sub(now_unix_ms);
        (left > 0).then(|| Duration::from_millis(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_an_end_and_a_bounded_reason() {
        let of = |seconds, reason: &str| Lockdown::new(Duration::from_secs(seconds), reason, 1_000);
        let half_an_hour = of(1800, "flood").unwrap();
        assert_eq!(half_an_hour.left(1_000), Some(Duration::from_secs(1800)));
        assert_eq!(half_an_hour.left(1_801_000), None);
        assert_eq!(of(0, ""), Err(TargetError::LockdownTime));
        assert_eq!(of(LOCKDOWN_MAX.as_secs() + 1, ""), Err(TargetError::LockdownTime));
        assert_eq!(of(9, "a\nb"), Err(TargetError::Reason));
        assert_eq!(of(9, &"r".repeat(REASON_BYTES_MAX + 1)), Err(TargetError::Reason));
    }
}
