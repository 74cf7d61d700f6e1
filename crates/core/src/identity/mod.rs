//! Who is calling: decides whether a token proves a principal, and which.
//!
//! Never fetches a key, never reads a clock, never logs a token. A token is taken apart strictly before any
//! cryptography ([`token`], RFC 7515), its signature is verified by a key whose algorithm is pinned
//! ([`key`], [`keyring`], RFC 8725 3.1), then its claims are judged ([`jwt`], RFC 7519) and mapped to a
//! [`Principal`] ([`claims`]). An API key is looked up by the digest of its text ([`api_key`]). Claims are looked at only after the signature verified, so neither the answer
//! nor its time tells anything about them to someone without a key (SPEC 3.9). Attacks: `attacks.rs`;
//! published vectors: `wycheproof.rs`.

pub mod api_key;
pub mod cache;
pub mod certificate;
pub mod claims;
pub mod csrf;
pub mod discovery;
pub mod introspection;
pub mod issue;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod keyring;
pub mod logout;
pub mod principal;
pub mod renew;
pub mod second_factor;
pub mod session;
pub(crate) mod strict_json;
pub mod ticket;
pub mod token;

#[cfg(test)]
mod attacks;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod wycheproof;

pub use api_key::{ApiKey, KeyBook};
pub use cache::TokenCache;
pub use certificate::Certificate;
pub use jwks::{JwksError, KeySet};
pub use jwt::{Failure, MissingKey, Verifier};
pub use key::{Key, KeyError};
pub use keyring::{KeyRing, Scope};
pub use principal::{Method, Origin, Principal};
pub use second_factor::SecondFactor;
pub use session::Sessions;
