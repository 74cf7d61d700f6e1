//! Counted places: of a socket within its handshake, of a client. Whoever drops one gives it back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::address::Place;
use super::{Full, Gate, lock, pick};
use crate::admission::nodes::Lease;
use crate::limits::{Allowance, IpKey, Limit};
use crate::verdict::Reason;

/// A socket within its handshake; counted until dropped.
pub struct Pending {
    pub(super) gate: Arc<Gate>,
    pub(super) place: Option<Place>,
    /// A seat counts in its place.
    pub(super) lent: bool,
}

impl Pending {
    /// A seat was taken for this socket: from here on only that counts in the total, however long the backend takes.
    pub fn lend(&mut self) {
        if !std::mem::replace(&mut self.lent, true) {
            self.gate.total.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The seat is gone and the socket stays: it counts itself again.
    pub fn take_back(&mut self) {
        if std::mem::replace(&mut self.lent, false) {
            self.gate.total.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.lent {
            self.gate.total.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(place) = self.place {
            let mut shard = lock(pick(&self.gate.addresses, place.hash));
            let entry = shard.counted(place);
            entry.handshaking = entry.handshaking.saturating_sub(1);
        }
    }
}

/// An admitted client's place; counted until dropped.
pub struct Seat {
    pub(super) gate: Arc<Gate>,
    pub(super) key: IpKey,
    pub(super) place: Place,
    pub(super) user: Option<u128>,
    /// Counted among the anonymous.
    pub(super) anonymous: bool,
    pub(super) rate: Option<(Limit, Allowance)>,
    pub(super) delay: Duration,
    /// Its places among the connections of all nodes.
    pub(super) leases: Vec<Lease>,
}

impl Seat {
    /// How long the attempt waits before it is looked at.
    pub(in crate::admission) fn delay(&self) -> Duration {
        self.delay
    }

    /// The key its address is counted under.
    #[must_use]
    pub fn ip_key(&self) -> IpKey {
        self.key
    }

    /// The rate of connection attempts of its address, and what is left of it.
    pub(in crate::admission) fn rate(&self) -> Option<(Limit, Allowance)> {
        self.rate
    }

    /// Holds a place as long as this one.
    pub(in crate::admission) fn hold(&mut self, place: Option<Lease>) {
        self.leases.extend(place);
    }

    /// The other nodes leave this much of the rate.
    pub(in crate::admission) fn at_most(&mut self, remaining: Option<u32>) {
        if let (Some((_, allowance)), Some(remaining)) = (&mut self.rate, remaining) {
            allowance.remaining = allowance.remaining.min(remaining);
        }
    }

    /// Gives the attempt back that other nodes' counts refuse.
    pub(in crate::admission) fn give_back(&mut self) {
        if let Some((limit, _)) = self.rate.take() {
            let mut shard = lock(pick(&self.gate.addresses, self.place.hash));
            limit.give_back(&mut shard.counted(self.place).rate, 1);
        }
    }

    /// Counts the connection among those of anonymous callers.
    pub(in crate::admission) fn take_anonymous(&mut self) -> Result<(), Full> {
        let max = self.gate.settings.load().anonymous_max.and_then(|max| usize::try_from(max).ok());
        // Counted first and looked at then, as in `Gate::socket`; the drop gives it back.
        self.anonymous = true;
        let before = self.gate.anonymous.fetch_add(1, Ordering::Relaxed);
        if max.is_some_and(|max| before >= max) { Err((Reason::AnonymousFull, None)) } else { Ok(()) }
    }

    /// Counts the connection to its user on a route, or a group of them, too; tells how many more there may be.
    pub(in crate::admission) fn take_user(&mut self, route: &str, subject: &str, max: u32) -> Result<u32, Full> {
        let hash = self.gate.user_hash(route, subject);
        let mut users = lock(pick(&self.gate.users, hash));
        let open = users.get(&hash).copied().unwrap_or_default();
        let left = max.checked_sub(open + 1).ok_or((Reason::ConnectionsPerUser, None))?;
        users.insert(hash, open + 1);
        self.user = Some(hash);
        Ok(left)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        if self.anonymous {
            self.gate.anonymous.fetch_sub(1, Ordering::Relaxed);
        }
        {
            let mut shard = lock(pick(&self.gate.addresses, self.place.hash));
            let entry = shard.counted(self.place);
            entry.open = entry.open.saturating_sub(1);
        }
        if let Some(hash) = self.user.take() {
            let mut users = lock(pick(&self.gate.users, hash));
            if let Some(open) = users.get_mut(&hash) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    users.remove(&hash);
                }
            }
        }
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("key", &self.key).finish_non_exhaustive()
    }
}
