//! All keys: those of the policy and the key sets that the shell puts in as it reads them.
//!
//! Decides which keys a token may be tried with. Never fetches: a key that is missing is told to the caller,
//! who may bring a fresh set and ask again. Readers never wait for a set that is being replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::jwks::KeySet;
use super::key::{Key, KeyError};
use crate::policy::checked::{Algorithm, Identity, JwksLocation, JwksSource};

/// Keys one token is tried with: a token without `kid` buys no more work than this.
pub const CANDIDATES_MAX: usize = 8;

/// Every key that may verify a token.
#[derive(Debug)]
pub struct KeyRing {
    fixed: Vec<Key>,
    sources: Vec<Source>,
    generation: AtomicU64,
}

#[derive(Debug)]
struct Source {
    spec: JwksSource,
    set: ArcSwapOption<KeySet>,
}

impl Source {
    fn issuer(&self) -> Option<&str> {
        self.spec.provider.as_ref().map(|provider| provider.issuer.as_str())
    }
}

/// Whose keys a token may be tried with. What an identity provider signs is a matter of its own keys, and its keys
/// are good for nothing else: who runs one provider cannot speak for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the policy and of key sets that belong to no provider.
    Own,
    /// Those of the provider at this place in `identity.jwks`.
    Provider(usize),
}

/// What the ring holds for a token's algorithm and `kid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// A key verified the signature.
    Verified,
    /// Keys were tried and none did; `id_unknown` when none of them has the token's `kid`, so that a fresh
    /// set may still hold the right one.
    Refused { id_unknown: bool },
    /// A key has the id, and is pinned to another algorithm; or nothing here uses that algorithm.
    WrongAlgorithm,
    /// No key has the id.
    Unknown,
}

impl KeyRing {
    /// The policy's keys; the sources are empty until [`KeyRing::replace`].
    ///
    /// # Errors
    /// A key of the policy cannot be used; the first is told, with its place in `identity.keys`.
    pub fn new(identity: &Identity) -> Result<Self, (usize, KeyError)> {
        let fixed = identity
            .keys
            .iter()
            .enumerate()
            .map(|(index, key)| Key::from_policy(key).map_err(|error| (index, error)))
            .collect::<Result<_, _>>()?;
        let sources =
            identity.jwks.iter().map(|source| Source { spec: source.clone(), set: ArcSwapOption::empty() }).collect();
        Ok(Self { fixed, sources, generation: AtomicU64::new(0) })
    }

    /// Puts the set of a source (its place in `identity.jwks`) in place of the one before.
    pub fn replace(&self, source: usize, set: Arc<KeySet>) {
        let Some(source) = self.sources.get(source) else { return };
        let fingerprint = set.fingerprint();
        let before = source.set.swap(Some(set));
        if before.is_none_or(|before| before.fingerprint() != fingerprint) {
            // Tokens remembered under withdrawn keys are remembered no longer.
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes over what another ring holds of the same sources at URLs, so that a reload while a provider is gone keeps
    /// its keys.
    pub fn inherit(&self, before: &Self) {
        let remote = self.sources.iter().filter(|source| !matches!(source.spec.location, JwksLocation::File(_)));
        for source in remote {
            let same = before.sources.iter().find(|other| other.spec == source.spec);
            source.set.store(same.and_then(|other| other.set.load_full()));
        }
    }

    /// Whose keys verify the tokens of an issuer.
    pub(crate) fn scope_of(&self, issuer: Option<&str>) -> Scope {
        let place = issuer.and_then(|issuer| self.sources.iter().position(|source| source.issuer() == Some(issuer)));
        place.map_or(Scope::Own, Scope::Provider)
    }

    /// Whether any provider is configured.
    pub(crate) fn has_providers(&self) -> bool {
        self.sources.iter().any(|source| source.spec.provider.is_some())
    }

    /// Whether there is anything that could verify a token of a scope.
    pub(crate) fn serves(&self, scope: Scope) -> bool {
        (scope == Scope::Own && !self.fixed.is_empty()) || self.sources_in(scope).next().is_some()
    }

    /// Whether there is anything that could verify a token at all.
    pub(crate) fn serves_any(&self) -> bool {
        !self.fixed.is_empty() || !self.sources.is_empty()
    }

    fn sources_in(&self, scope: Scope) -> impl Iterator<Item = (usize, &Source)> {
        self.sources.iter().enumerate().filter(move |(place, source)| match scope {
            Scope::Own => source.spec.provider.is_none(),
            Scope::Provider(only) => *place == only,
        })
    }

    /// The set of a source, where it has been read.
    #[must_use]
    pub fn set(&self, source: usize) -> Option<Arc<KeySet>> {
        self.sources.get(source)?.set.load_full()
    }

    /// Whether a source has ever been read.
    #[must_use]
    pub fn is_loaded(&self, source: usize) -> bool {
        self.sources.get(source).is_some_and(|source| source.set.load().is_some())
    }

    /// Changes whenever a set changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Sources that could hold a key for the algorithm, as places in `identity.jwks`.
    pub(crate) fn sources_for(&self, scope: Scope, algorithm: Algorithm) -> impl Iterator<Item = usize> + '_ {
        let fits = move |source: &Source| source.spec.algorithms.contains(&algorithm);
        self.sources_in(scope).filter(move |(_, source)| fits(source)).map(|(place, _)| place)
    }

    /// Tries the keys of a scope that fit. A key without id fits any `kid`, a token without `kid` fits any key.
    pub(crate) fn try_verify(
        &self,
        scope: Scope,
        algorithm: Algorithm,
        key_id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Trial {
        let sets: Vec<_> = self.sources_in(scope).filter_map(|(_, source)| source.set.load_full()).collect();
        let fixed: &[Key] = if scope == Scope::Own { &self.fixed } else { &[] };
        let keys = || fixed.iter().chain(sets.iter().flat_map(|set| set.keys()));
        let named = |key: &&Key| key_id.is_none() || key.id().is_none() || key.id() == key_id;
        let mut candidates = keys().filter(|key| key.algorithm() == algorithm).filter(named).peekable();
        if candidates.peek().is_some() {
            let verified = candidates.take(CANDIDATES_MAX).any(|key| key.verifies(signed, signature));
            let id_unknown = key_id.is_some() && !keys().any(|key| key.id() == key_id);
            return if verified { Trial::Verified } else { Trial::Refused { id_unknown } };
        }
        let id_is_pinned_elsewhere = key_id.is_some() && keys().any(|key| key.id() == key_id);
        let algorithm_is_used =
            self.sources_for(scope, algorithm).next().is_some() || keys().any(|key| key.algorithm() == algorithm);
        if id_is_pinned_elsewhere || !algorithm_is_used { Trial::WrongAlgorithm } else { Trial::Unknown }
    }
}
