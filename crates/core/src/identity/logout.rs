//! Logout tokens of identity providers (OpenID Connect Back-Channel Logout 1.0): whether one is true, and whom it logs out.
//!
//! Decides in the order of section 2.6: type, signature by the provider's own keys, times, issuer, audience, event, no
//! nonce, `sub` or `sid`, and that its `jti` was not seen before. Never fetches a key and never ends anything. A logout
//! token is no access token, and an access token no logout token: their types and claims differ (RFC 8725 3.11).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::cache::digest;
use super::claims;
use super::jwt::{Failure, Verifier, signed_payload_of};
use super::keyring::{KeyRing, Scope};
use super::strict_json;
use crate::policy::checked::BackchannelLogout;
use crate::time::Now;
use crate::verdict::Reason;

/// The event of a logout token (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Types accepted where the header names one; older providers name none, or `JWT`.
const TYPES: [&str; 4] = ["logout+jwt", "application/logout+jwt", "jwt", "application/jwt"];
/// Oldest logout token accepted, and so how long its id is remembered, seconds.
const AGE_MAX_S: u64 = 600;
/// Most ids of logout tokens remembered. About 100 bytes each.
pub const SEEN_MAX: usize = 50_000;

/// Whom a logout token logs out. At least one of them is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// The subject.
    pub subject: Option<Box<str>>,
    /// The session at the provider.
    pub session: Option<Box<str>>,
}

/// Logout tokens seen lately, by digest of provider and `jti`.
#[derive(Default)]
pub struct SeenLogouts(Mutex<HashMap<[u8; 32], u64>>);

impl fmt::Debug for SeenLogouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeenLogouts(…)")
    }
}

impl SeenLogouts {
    /// Whether this one is new; from then on it is not.
    fn take(&self, key: [u8; 32], until_unix_s: u64, now_unix_s: u64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.retain(|_, until| *until > now_unix_s);
        }
        // Only a provider's own signature gets here: a full table is its own doing, and it may come again.
        seen.len() < SEEN_MAX && seen.insert(key, until_unix_s).is_none_or(|until| until <= now_unix_s)
    }
}

/// Whether claims are those of a logout token, whatever else they say.
pub(super) fn is_logout(claims: &Value) -> bool {
    claims.get("events").is_some_and(|events| events.get(EVENT).is_some())
}

impl Verifier {
    /// Judges a logout token that came for the provider at this place in `identity.jwks`.
    ///
    /// # Errors
    /// The first thing that is wrong with it. A key that is missing is named.
    pub fn verify_logout(
        &self,
        token: &str,
        ring: &KeyRing,
        (source, rules): (usize, &BackchannelLogout),
        seen: &SeenLogouts,
        now: Now,
    ) -> Result<Logout, Failure> {
        let (payload, scope) = signed_payload_of(token, &TYPES, self.bytes_max(), ring)?;
        let claims = Value::Object(strict_json::object(&payload).ok_or(Reason::LogoutInvalid)?);
        if scope != Scope::Provider(source) || ring.scope_of(claims.get("iss").and_then(Value::as_str)) != scope {
            return Err(Reason::TokenIssuer.into());
        }
        let now_s = now.unix_seconds();
        self.judge_times(&claims, true, now_s)?;
        let issued = claims.get("iat").and_then(Value::as_f64).ok_or(Reason::LogoutInvalid)? as u64;
        let oldest = issued.saturating_add(AGE_MAX_S).saturating_add(self.leeway_s());
        if now_s >= oldest {
            return Err(Reason::TokenExpired.into());
        }
        let audience = |value: &Value| value.as_str() == Some(rules.client_id.as_str());
        let ours = match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().any(audience),
            Some(one) => audience(one),
            None => false,
        };
        if !ours {
            return Err(Reason::TokenAudience.into());
        }
        let event = claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object);
        if !event || claims.get("nonce").is_some() {
            return Err(Reason::LogoutInvalid.into());
        }
        let name = |pointer| claims::name(&claims, pointer).ok_or(Reason::LogoutInvalid);
        let (subject, session, id) = (name("/sub")?, name("/sid")?, name("/jti")?.ok_or(Reason::LogoutInvalid)?);
        if subject.is_none() && session.is_none() {
            return Err(Reason::LogoutInvalid.into());
        }
        if !seen.take(digest(format!("{source} {id}").as_bytes()), oldest, now_s) {
            return Err(Reason::LogoutInvalid.into());
        }
        Ok(Logout { subject, session })
    }
}

#[cfg(test)]
mod tests;
