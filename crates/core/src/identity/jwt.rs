//! A token judged: shape, signature, times, issuer, audience, party, subject; in that order (RFC 7519 7.2).
//!
//! Decides whether a token proves a principal at the given time. Never fetches keys: a key that is missing
//! is named in the [`Failure`]. Where identity providers are, the token's `iss` says whose keys it is tried with, as
//! its `kid` says which; it is believed only once one of those verified it.

use serde_json::Value;

use super::keyring::{KeyRing, Scope, Trial};
use super::principal::Principal;
use super::{claims, logout, strict_json, token};
use crate::policy::checked::{Algorithm, ClaimPointers, Identity, Provider};
use crate::time::Now;
use crate::verdict::Reason;

/// Latest time accepted in a claim, Unix seconds: the end of the year 9999. Later ones are overflow attempts.
pub const NUMERIC_DATE_MAX: u64 = 253_402_300_799;

/// Most audiences read from one token.
pub const AUDIENCES_MAX: usize = 64;

/// What a token must satisfy, compiled from the policy.
#[derive(Debug, Clone)]
pub struct Verifier {
    own: Parties,
    /// By place in `identity.jwks`; `None` for sets that belong to no provider.
    providers: Vec<Option<Parties>>,
    introspection: Option<Introspected>,
    leeway_s: u64,
    expiry_required: bool,
    bytes_max: usize,
    pointers: ClaimPointers,
}

/// What an answer about an opaque token must satisfy.
#[derive(Debug, Clone)]
pub(super) struct Introspected {
    pub(super) parties: Parties,
    pub(super) pointers: ClaimPointers,
}

/// Who may have issued a token, and for whom.
#[derive(Debug, Clone)]
pub(super) struct Parties {
    issuers: Vec<String>,
    audiences: Vec<String>,
    authorized_parties: Vec<String>,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the audit; what clients read is the same for all.
    pub reason: Reason,
    /// The key that was asked for and not found; a fresh key set may hold it.
    pub missing_key: Option<MissingKey>,
}

/// A key that is not in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKey {
    /// Whose it would have to be.
    pub scope: Scope,
    /// The algorithm it would have to be pinned to.
    pub algorithm: Algorithm,
    /// Its id, at most [`token::KEY_ID_BYTES_MAX`] bytes, as the unverified token says.
    pub id: Option<String>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, missing_key: None }
    }
}

impl Verifier {
    /// Takes what concerns tokens out of the policy.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self {
            own: Parties {
                issuers: identity.issuers.clone(),
                audiences: identity.audiences.clone(),
                authorized_parties: identity.authorized_parties.clone(),
            },
            providers: identity.jwks.iter().map(|source| source.provider.as_ref().map(Parties::of)).collect(),
            introspection: identity.introspection.as_ref().map(|one| Introspected {
                parties: Parties {
                    issuers: one.issuer.iter().cloned().collect(),
                    audiences: one.audiences.clone(),
                    authorized_parties: Vec::new(),
                },
                pointers: one.claims.clone(),
            }),
            leeway_s: identity.leeway.as_secs(),
            expiry_required: identity.require_expiry,
            bytes_max: identity.token_bytes_max,
            pointers: identity.claims.clone(),
        }
    }

    /// Judges a token.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, token: &str, ring: &KeyRing, now: Now) -> Result<Principal, Failure> {
        let (payload, scope) = signed_payload(token, self.bytes_max, ring)?;
        let claims = strict_json::object(&payload).ok_or(Reason::TokenClaims)?;
        let claims = Value::Object(claims);
        if logout::is_logout(&claims) {
            // Whoever is told of the end of a session is not given one.
            return Err(Reason::TokenClaims.into());
        }
        let expires_at = self.judge_times(&claims, self.expiry_required, now.unix_seconds())?;
        // What chose the keys must be what the signed claims say, whoever reads them.
        if ring.scope_of(claims.get("iss").and_then(Value::as_str)) != scope {
            return Err(Reason::TokenIssuer.into());
        }
        self.parties(scope).ok_or(Reason::TokenIssuer)?.judge(&claims)?;
        let principal = claims::principal(&claims, &self.pointers, expires_at).ok_or(Reason::TokenClaims)?;
        Ok(principal)
    }

    fn parties(&self, scope: Scope) -> Option<&Parties> {
        match scope {
            Scope::Own => Some(&self.own),
            Scope::Provider(place) => self.providers.get(place)?.as_ref(),
        }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn leeway_s(&self) -> u64 {
        self.leeway_s
    }

    pub(super) fn introspection(&self) -> Option<&Introspected> {
        self.introspection.as_ref()
    }

    /// `exp`, `nbf` and `iat` (RFC 7519 4.1.4 to 4.1.6); tells `exp`.
    pub(super) fn judge_times(&self, claims: &Value, expiry_required: bool, now: u64) -> Result<Option<u64>, Reason> {
        let expires_at = date(claims, "exp", f64::floor)?;
        let not_before = date(claims, "nbf", f64::ceil)?;
        let issued_at = date(claims, "iat", f64::ceil)?;
        match expires_at {
            None if expiry_required => return Err(Reason::TokenClaims),
            Some(at) if now >= at.saturating_add(self.leeway_s) => return Err(Reason::TokenExpired),
            _ => {}
        }
        let latest = now.saturating_add(self.leeway_s);
        if not_before.is_some_and(|at| at > latest) || issued_at.is_some_and(|at| at > latest) {
            return Err(Reason::TokenNotYetValid);
        }
        Ok(expires_at)
    }
}

impl Parties {
    fn of(provider: &Provider) -> Self {
        Self {
            issuers: vec![provider.issuer.clone()],
            audiences: provider.audiences.clone(),
            authorized_parties: provider.authorized_parties.clone(),
        }
    }

    /// `iss`, `aud` (RFC 7519 4.1.1, 4.1.3) and `azp` (OpenID Connect Core 2).
    pub(super) fn judge(&self, claims: &Value) -> Result<(), Reason> {
        if !self.issuers.is_empty() {
            let issuer = claims.get("iss").and_then(Value::as_str).ok_or(Reason::TokenIssuer)?;
            if !self.issuers.iter().any(|accepted| accepted == issuer) {
                return Err(Reason::TokenIssuer);
            }
        }
        if !self.audiences.is_empty() {
            let accepted = |audience: &str| self.audiences.iter().any(|accepted| accepted == audience);
            let found = match claims.get("aud") {
                Some(Value::String(audience)) => accepted(audience),
                Some(Value::Array(list)) if list.len() <= AUDIENCES_MAX => {
                    list.iter().all(Value::is_string) && list.iter().filter_map(Value::as_str).any(accepted)
                }
                _ => false,
            };
            if !found {
                return Err(Reason::TokenAudience);
            }
        }
        if let Some(party) = claims.get("azp").filter(|_| !self.authorized_parties.is_empty()) {
            let accepted = party.as_str().is_some_and(|party| self.authorized_parties.iter().any(|a| a == party));
            if !accepted {
                return Err(Reason::TokenAudience);
            }
        }
        Ok(())
    }
}

/// The payload of a token whose signature one of the ring's keys verifies, and whose keys those are.
pub(crate) fn signed_payload(text: &str, bytes_max: usize, ring: &KeyRing) -> Result<(Vec<u8>, Scope), Failure> {
    signed_payload_of(text, &token::TYPES, bytes_max, ring)
}

/// The same of a token of these types.
pub(super) fn signed_payload_of(
    text: &str,
    types: &[&str],
    bytes_max: usize,
    ring: &KeyRing,
) -> Result<(Vec<u8>, Scope), Failure> {
    let token = token::parse_as(text, types, bytes_max)?;
    let scope = if ring.has_providers() { ring.scope_of(issuer(&token.payload).as_deref()) } else { Scope::Own };
    if ring.has_providers() && !ring.serves(scope) {
        return Err(Reason::TokenIssuer.into());
    }
    let missing = |id| Some(MissingKey { scope, algorithm: token.algorithm, id });
    match ring.try_verify(scope, token.algorithm, token.key_id.as_deref(), token.signed, &token.signature) {
        Trial::Verified => Ok((token.payload, scope)),
        Trial::Refused { id_unknown } => {
            let missing_key = if id_unknown { missing(token.key_id) } else { None };
            Err(Failure { reason: Reason::TokenSignature, missing_key })
        }
        Trial::WrongAlgorithm => Err(Reason::TokenAlgorithm.into()),
        Trial::Unknown => Err(Failure { reason: Reason::TokenKeyUnknown, missing_key: missing(token.key_id) }),
    }
}

/// The issuer that a payload names, not verified.
fn issuer(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        iss: String,
    }
    serde_json::from_slice::<Named>(payload).ok().map(|named| named.iss)
}

/// A NumericDate (RFC 7519 2), a fraction rounded against the token; negative, huge and non-numbers are refused.
fn date(claims: &Value, name: &str, round: fn(f64) -> f64) -> Result<Option<u64>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole,
        (None, Some(fraction)) if (0.0..=NUMERIC_DATE_MAX as f64).contains(&fraction) => round(fraction) as u64,
        _ => return Err(Reason::TokenClaims),
    };
    if seconds > NUMERIC_DATE_MAX {
        return Err(Reason::TokenClaims);
    }
    Ok(Some(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixture::{self, NOW_UNIX_S as NOW};
    use serde_json::json;

    fn verdict(identity: &Identity, claims: Value) -> Result<Principal, Reason> {
        let ring = KeyRing::new(identity).unwrap();
        let token = fixture::hs256(&claims);
        Verifier::new(identity).verify(&token, &ring, fixture::now()).map_err(|failure| failure.reason)
    }

    #[test]
    fn times_are_judged_with_leeway() {
        let identity = fixture::identity();
        let leeway = identity.leeway.as_secs();
        let cases = [
            (json!({"exp": NOW + 1}), None),
            (json!({"exp": NOW - leeway + 1}), None),
            (json!({"exp": NOW - leeway}), Some(Reason::TokenExpired)),
            (json!({"exp": (NOW - leeway) as f64 + 0.9}), Some(Reason::TokenExpired)),
            (json!({"exp": NOW as f64 + 60.5}), None),
            (json!({"exp": 0}), Some(Reason::TokenExpired)),
            (json!({"exp": -1}), Some(Reason::TokenClaims)),
            (json!({"exp": u64::MAX}), Some(Reason::TokenClaims)),
            (json!({"exp": NUMERIC_DATE_MAX}), None),
            (json!({"exp": NUMERIC_DATE_MAX + 1}), Some(Reason::TokenClaims)),
            (json!({"exp": 1e300}), Some(Reason::TokenClaims)),
            (json!({"exp": (NOW + 60).to_string()}), Some(Reason::TokenClaims)),
            (json!({"exp": null}), Some(Reason::TokenClaims)),
            (json!({}), Some(Reason::TokenClaims)),
            (json!({"exp": NOW + 60, "nbf": NOW + leeway}), None),
            (json!({"exp": NOW + 60, "nbf": NOW + leeway + 1}), Some(Reason::TokenNotYetValid)),
            (json!({"exp": NOW + 60, "iat": NOW + leeway}), None),
            (json!({"exp": NOW + 60, "iat": NOW + leeway + 1}), Some(Reason::TokenNotYetValid)),
            (json!({"exp": NOW + 60, "iat": (NOW + leeway) as f64 + 0.1}), Some(Reason::TokenNotYetValid)),
            (json!({"exp": NOW + 60, "iat": "now"}), Some(Reason::TokenClaims)),
        ];
        for (mut claims, want) in cases {
            claims["sub"] = json!("u1");
            assert_eq!(verdict(&identity, claims.clone()).err(), want, "{claims}");
        }
        let lax = Identity { require_expiry: false, ..identity };
        assert!(verdict(&lax, json!({"sub": "u1"})).is_ok());
    }

    #[test]
    fn issuer_audience_and_party_are_matched_exactly() {
        let identity = Identity {
            issuers: vec!["https://idp.example".into()],
            audiences: vec!["gate".into()],
            authorized_parties: vec!["app".into()],
            ..fixture::identity()
        };
        let good = json!({"sub": "u", "exp": NOW + 60, "iss": "https://idp.example", "aud": "gate", "azp": "app"});
        assert!(verdict(&identity, good.clone()).is_ok());
        let cases = [
            ("iss", json!("https://idp.example/"), Some(Reason::TokenIssuer)),
            ("iss", json!("HTTPS://idp.example"), Some(Reason::TokenIssuer)),
            ("iss", json!(null), Some(Reason::TokenIssuer)),
            ("iss", json!(["https://idp.example"]), Some(Reason::TokenIssuer)),
            ("aud", json!(["other", "gate"]), None),
            ("aud", json!(["other"]), Some(Reason::TokenAudience)),
            ("aud", json!([]), Some(Reason::TokenAudience)),
            ("aud", json!(["gate", 7]), Some(Reason::TokenAudience)),
            ("aud", json!(vec!["gate"; AUDIENCES_MAX]), None),
            ("aud", json!(vec!["gate"; AUDIENCES_MAX + 1]), Some(Reason::TokenAudience)),
            ("aud", json!("gat"), Some(Reason::TokenAudience)),
            ("aud", json!(null), Some(Reason::TokenAudience)),
            ("azp", json!("other"), Some(Reason::TokenAudience)),
            ("azp", json!(7), Some(Reason::TokenAudience)),
        ];
        for (name, value, want) in cases {
            let mut claims = good.clone();
            claims[name] = value;
            assert_eq!(verdict(&identity, claims.clone()).err(), want, "{claims}");
        }
        let mut without_party = good;
        without_party.as_object_mut().unwrap().remove("azp");
        assert!(verdict(&identity, without_party).is_ok());
    }
}
