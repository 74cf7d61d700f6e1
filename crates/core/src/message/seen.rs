//! Ids seen before, for all connections of a user together (SPEC 8.3).
//!
//! A connection looks its user's [`Ids`] up once and holds them; a message then waits at most for another message of the
//! same user. At most [`USERS_MAX`] users are remembered; one without a connection is forgotten after `keep` without a
//! message, and only for want of room. Where there is none, the connection remembers for itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::replay::Window;

/// Most users remembered. Memory: 16 bytes for each id of each.
pub const USERS_MAX: usize = 16_384;
/// From one search for users that may be forgotten to the next: each looks at all of them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The ids of one user.
#[derive(Debug)]
pub struct Ids {
    window: Mutex<Window>,
    /// Monotonic milliseconds.
    used_ms: AtomicU64,
    keep: Duration,
}

/// The ids of all users.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Users>);

#[derive(Debug, Default)]
struct Users {
    ids: BTreeMap<u64, Arc<Ids>>,
    swept: Option<Duration>,
}

impl Ids {
    fn new(ids_max: u32, keep: Duration) -> Self {
        Self { window: Mutex::new(Window::new(ids_max)), used_ms: AtomicU64::new(0), keep }
    }

    /// Remembers an id; false when it is remembered already.
    pub fn remember(&self, hash: u64, now: Duration) -> bool {
        self.used_ms.store(millis(now), Ordering::Relaxed);
        self.window.lock().unwrap_or_else(PoisonError::into_inner).remember(hash)
    }

    fn may_go(&self, now: Duration) -> bool {
        millis(now).saturating_sub(self.used_ms.load(Ordering::Relaxed)) >= millis(self.keep)
    }
}

impl Seen {
    /// The ids of a user, by a hash of its name; its own where there is room, else new ones that nobody shares.
    #[must_use]
    pub fn of(&self, user: u64, ids_max: u32, keep: Duration, now: Duration) -> Arc<Ids> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ids) = users.ids.get(&user) {
            return Arc::clone(ids);
        }
        let fresh = Arc::new(Ids::new(ids_max, keep));
        fresh.used_ms.store(millis(now), Ordering::Relaxed);
        if users.ids.len() >= USERS_MAX {
            users.sweep(now);
        }
        if users.ids.len() < USERS_MAX {
            users.ids.insert(user, Arc::clone(&fresh));
        }
        fresh
    }
}

impl Users {
    fn sweep(&mut self, now: Duration) {
        if self.swept.is_some_and(|at| now.saturating_sub(at) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.ids.retain(|_, ids| Arc::strong_count(ids) > 1 || !ids.may_go(now));
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(600);

    #[test]
    fn connections_of_a_user_share_and_users_do_not() {
        let (seen, now) = (Seen::default(), Duration::from_secs(1));
        let (one, again, other) = (seen.of(1, 8, KEEP, now), seen.of(1, 8, KEEP, now), seen.of(2, 8, KEEP, now));
        assert!(one.remember(7, now) && !again.remember(7, now) && other.remember(7, now));
        drop((one, again));
        assert!(!seen.of(1, 8, KEEP, now).remember(7, now), "also after its last connection");
    }

    #[test]
    fn a_full_table_forgets_only_who_is_gone_and_silent() {
        let (seen, start) = (Seen::default(), Duration::from_secs(1));
        let held = seen.of(0, 8, KEEP, start);
        held.remember(7, start);
        for user in 1..USERS_MAX as u64 {
            drop(seen.of(user, 1, KEEP, start));
        }
        let early = start + Duration::from_secs(5);
        assert!(seen.of(99_999, 1, KEEP, early).remember(1, early));
        assert!(seen.of(99_999, 1, KEEP, early).remember(1, early), "there is no room: nobody shares it");
        let late = start + KEEP;
        assert!(seen.of(99_999, 1, KEEP, late).remember(1, late));
        assert!(!seen.of(99_999, 1, KEEP, late).remember(1, late));
        assert!(!seen.of(0, 8, KEEP, late).remember(7, late), "it is held");
        assert_eq!(seen.0.lock().unwrap().ids.len(), 2);
    }
}
