//! Verified tokens, remembered for a while so that a reconnect costs a digest and not a signature (SPEC 3.7).
//!
//! Decides whether a token was verified recently with the keys that are in place. Never stores a token: its
//! SHA-256 is the key. Never answers past the token's `exp`, nor after a key set changed. Only tokens that
//! verified enter, so nobody without a valid one can fill it; when full, the oldest leaves.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::principal::Principal;
use crate::time::Now;

const SHARDS: usize = 16;

/// The cache.
#[derive(Debug)]
pub struct TokenCache {
    shards: Vec<Mutex<Shard>>,
    shard_entries_max: usize,
    ttl: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<[u8; 32], Entry, std::hash::BuildHasherDefault<DigestHasher>>,
    /// Oldest first; as long as `entries`.
    order: VecDeque<[u8; 32]>,
}

#[derive(Debug, Clone)]
struct Entry {
    principal: Arc<Principal>,
    until_mono: Duration,
    until_unix_s: u64,
    generation: u64,
}

/// The digest of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// SHA-256 of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self::of_bytes(token.as_bytes())
    }

    /// SHA-256 of something else that is remembered.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(digest(bytes))
    }
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

impl TokenCache {
    /// Remembers at most `entries_max` tokens (rounded up to a multiple of 16), about 300 bytes each, for
    /// `ttl`. Zero of either turns it off.
    #[must_use]
    pub fn new(entries_max: usize, ttl: Duration) -> Self {
        let shard_entries_max = if ttl.is_zero() { 0 } else { entries_max.div_ceil(SHARDS) };
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), shard_entries_max, ttl }
    }

    /// The principal of a token that was verified within the ttl under the same keys.
    #[must_use]
    pub fn find(&self, token: TokenDigest, generation: u64, now: Now) -> Option<Arc<Principal>> {
        if self.shard_entries_max == 0 {
            return None;
        }
        let shard = self.shard(token)?;
        let entry = shard.entries.get(&token.0)?;
        let fresh =
            entry.generation == generation && now.mono < entry.until_mono && now.unix_seconds() < entry.until_unix_s;
        fresh.then(|| Arc::clone(&entry.principal))
    }

    /// Remembers a token that was just verified. `generation` is the ring's before it was verified.
    pub fn remember(&self, token: TokenDigest, principal: &Arc<Principal>, generation: u64, now: Now) {
        self.remember_for(token, principal, generation, self.ttl, now);
    }

    /// Remembers one for a time of its own, at most the cache's.
    pub fn remember_for(
        &self,
        token: TokenDigest,
        principal: &Arc<Principal>,
        generation: u64,
        ttl: Duration,
        now: Now,
    ) {
        if self.shard_entries_max == 0 {
            return;
        }
        let Some(mut shard) = self.shard(token) else { return };
        let entry = Entry {
            principal: Arc::clone(principal),
            until_mono: now.mono.saturating_add(ttl.min(self.ttl)),
            until_unix_s: principal.expires_at_unix_s.unwrap_or(u64::MAX),
            generation,
        };
        if shard.entries.insert(token.0, entry).is_none() {
            shard.order.push_back(token.0);
            if shard.order.len() > self.shard_entries_max
                && let Some(oldest) = shard.order.pop_front()
            {
                shard.entries.remove(&oldest);
            }
        }
    }

    /// Forgets everything: after a change of policy or a revocation.
    pub fn clear(&self) {
        for shard in &self.shards {
            *lock(shard) = Shard::default();
        }
    }

    /// Tokens remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, token: TokenDigest) -> Option<MutexGuard<'_, Shard>> {
        let [first, ..] = token.0;
        self.shards.get(usize::from(first) % SHARDS).map(lock)
    }
}

/// Entries are replaced whole, so a panic elsewhere leaves nothing half-written.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A SHA-256 is hashed already; its second eight bytes are taken (the first byte chose the shard).
#[derive(Debug, Default)]
struct DigestHasher(u64);

impl std::hash::Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(chunk) = bytes.get(8..16).and_then(|chunk| chunk.try_into().ok()) {
            self.0 = u64::from_ne_bytes(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1000 + seconds) }
    }

    fn principal(expires_at_unix_s: Option<u64>) -> Arc<Principal> {
        Arc::new(Principal { expires_at_unix_s, ..Principal::anonymous() })
    }

    #[test]
    fn a_token_is_remembered_for_the_ttl_and_never_past_its_end() {
        let cache = TokenCache::new(16, Duration::from_secs(300));
        let (long, short) = (TokenDigest::of("long"), TokenDigest::of("short"));
        cache.remember(long, &principal(None), 0, at(0));
        cache.remember(short, &principal(Some(1010)), 0, at(0));
        assert!(cache.find(long, 0, at(299)).is_some() && cache.find(long, 0, at(300)).is_none());
        assert!(cache.find(short, 0, at(9)).is_some() && cache.find(short, 0, at(10)).is_none());
        assert!(cache.find(long, 1, at(0)).is_none(), "a key set changed");
        assert!(cache.find(TokenDigest::of("other"), 0, at(0)).is_none());
        cache.clear();
        assert!(cache.find(long, 0, at(0)).is_none() && cache.is_empty());
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let cache = TokenCache::new(64, Duration::from_secs(300));
        for i in 0..1000 {
            cache.remember(TokenDigest::of(&i.to_string()), &principal(None), 0, at(0));
            assert!(cache.len() <= 64);
        }
        assert!(cache.find(TokenDigest::of("999"), 0, at(0)).is_some());
    }

    #[test]
    fn zero_turns_it_off() {
        for cache in [TokenCache::new(0, Duration::from_secs(1)), TokenCache::new(9, Duration::ZERO)] {
            cache.remember(TokenDigest::of("t"), &principal(None), 0, at(0));
            assert!(cache.is_empty() && cache.find(TokenDigest::of("t"), 0, at(0)).is_none());
        }
    }
}
