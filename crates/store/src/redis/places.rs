//! The places of this node's connections among those of all nodes (SPEC 14.3): taken for a lease, renewed while the
//! connection is there, given back when it ends. A node that dies renews none: its connections are counted for a lease
//! at most.
//!
//! Never holds more than [`PLACES_MAX`]; a connection past it, or one whose release finds no room in the queue, is
//! counted no longer than its lease.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Script;
use tokio::sync::mpsc;

use super::{Link, LinkError};

/// Most places held: connections, each counted by address and by user.
pub const PLACES_MAX: usize = 4_000_000;
/// Most places that wait to be given back.
pub const RELEASES_MAX: usize = 65_536;
/// Calls at once while places are renewed.
const TOGETHER: usize = 64;
/// Most members of one call.
const MEMBERS_MAX: usize = 1000;

/// See the module.
pub struct Places {
    held: Mutex<Held>,
    next: AtomicU64,
    node: String,
    releases: mpsc::Sender<(Arc<str>, String)>,
    renew: Script,
}

#[derive(Default)]
struct Held {
    members: HashMap<Arc<str>, HashSet<u64>>,
    count: usize,
}

/// What was given back and is to be told.
pub type Releases = mpsc::Receiver<(Arc<str>, String)>;

/// One place; given back when dropped.
pub struct Place {
    places: Arc<Places>,
    key: Arc<str>,
    number: u64,
}

impl Places {
    /// The places of a node, by a name that no other node has.
    #[must_use]
    pub fn new(node: String) -> (Arc<Self>, Releases) {
        let (releases, told) = mpsc::channel(RELEASES_MAX);
        let renew =
            concat!(include_str!("lua/limit.lua"), include_str!("lua/places.lua"), include_str!("lua/renew.lua"));
        let held = Mutex::new(Held::default());
        (Arc::new(Self { held, next: AtomicU64::new(0), node, releases, renew: Script::new(renew) }), told)
    }

    /// A place at a key, before the server is asked for it. `None` with [`PLACES_MAX`] places.
    #[must_use]
    pub fn hold(self: &Arc<Self>, key: String) -> Option<Place> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut held = self.lock();
        if held.count >= PLACES_MAX {
            return None;
        }
        held.count += 1;
        let key: Arc<str> = match held.members.get_key_value(key.as_str()) {
            Some((key, _)) => Arc::clone(key),
            None => key.into(),
        };
        held.members.entry(Arc::clone(&key)).or_default().insert(number);
        Some(Place { places: Arc::clone(self), key, number })
    }

    /// Places held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().count
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Renews every place; with `all`, also those that the server does not know.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn renew(&self, link: &Link, lease: Duration, all: bool) -> Result<(), LinkError> {
        let keys: Vec<Arc<str>> = self.lock().members.keys().cloned().collect();
        for keys in keys.chunks(TOGETHER) {
            let calls = keys.iter().map(|key| self.renew_one(link, key, lease, all));
            futures_util::future::try_join_all(calls).await?;
        }
        Ok(())
    }

    async fn renew_one(&self, link: &Link, key: &Arc<str>, lease: Duration, all: bool) -> Result<(), LinkError> {
        // Read now: what has ended since the list was made is not renewed.
        let members: Vec<u64> =
            self.lock().members.get(key).map(|members| members.iter().copied().collect()).unwrap_or_default();
        for members in members.chunks(MEMBERS_MAX) {
            let mut call = self.renew.prepare_invoke();
            call.key(&**key).arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)).arg(u8::from(all));
            for number in members {
                call.arg(self.member(*number));
            }
            link.tend(async |to| call.invoke_async::<u64>(to).await).await?;
        }
        Ok(())
    }

    /// Tells the server what was given back, one after the other.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn release(link: &Link, key: &str, member: &str) -> Result<(), LinkError> {
        let mut remove = redis::cmd("ZREM");
        remove.arg(key).arg(member);
        link.tend(async |to| remove.query_async::<u64>(to).await).await.map(drop)
    }

    fn member(&self, number: u64) -> String {
        format!("{}.{number}", self.node)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Whole after every statement, so a poisoned one is still right.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What the server knows it by.
    #[must_use]
    pub fn member(&self) -> String {
        self.places.member(self.number)
    }

    /// Where it is counted.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut held = self.places.lock();
            let last = held.members.get_mut(&self.key).is_some_and(|members| {
                members.remove(&self.number);
                members.is_empty()
            });
            if last {
                held.members.remove(&self.key);
            }
            held.count = held.count.saturating_sub(1);
        }
        // Without room it ends with its lease.
        let _ = self.places.releases.try_send((Arc::clone(&self.key), self.member()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_until_it_is_dropped_and_its_end_is_told() {
        let (places, mut told) = Places::new("n".into());
        let one = places.hold("k".into()).unwrap();
        let other = places.hold("k".into()).unwrap();
        assert_ne!(one.member(), other.member());
        assert_eq!((places.len(), one.key()), (2, "k"));
        let member = one.member();
        drop(one);
        assert_eq!(places.len(), 1);
        assert_eq!(told.try_recv().unwrap(), (Arc::from("k"), member));
        drop(other);
        assert!(places.is_empty() && places.lock().members.is_empty());
    }

    #[test]
    fn releases_that_find_no_room_are_left_to_the_lease() {
        let (places, mut told) = Places::new("n".into());
        for _ in 0..RELEASES_MAX + 5 {
            drop(places.hold("k".into()));
        }
        assert!(places.is_empty());
        assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).count(), RELEASES_MAX);
    }
}
