//! A fresh token in place of one that ends (SPEC 3.8): the same claims, signed with the key that signed it.
//!
//! Decides whether a token that was just verified may be renewed, and until when. Only tokens of the one key that the
//! policy names: a provider's own stay the provider's. What came first is kept as `orig_iat`, so that no chain of renewals
//! outlives `identity.renewal.life_max`. Never decides whether the token is good: that was done before.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::issue::issue;
use super::key::hmac_algorithm;
use super::principal::Principal;
use super::strict_json;
use super::token;
use crate::policy::checked::TokenRenewal;
use crate::time::Now;

/// Random bytes of a fresh token's id.
pub const RANDOM_BYTES: usize = 16;

/// What a client keeps from then on.
pub struct Fresh {
    /// The token; told once.
    pub token: String,
    /// Whom it proves.
    pub principal: Principal,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// Renews the token that proved a principal a moment ago. `bytes_max` is the longest token that is accepted.
///
/// # Errors
/// Why there is none, for the audit.
pub fn renew(
    text: &str,
    principal: &Principal,
    rules: &TokenRenewal,
    bytes_max: usize,
    random: &[u8; RANDOM_BYTES],
    now: Now,
) -> Result<Fresh, &'static str> {
    const FOREIGN: &str = "it was not signed with the key of `identity.renewal.key`";
    let hash = hmac_algorithm(rules.algorithm).ok_or(FOREIGN)?;
    let before = token::parse(text, bytes_max).map_err(|_| FOREIGN)?;
    let key = hmac::Key::new(hash, rules.secret.expose());
    if before.algorithm != rules.algorithm || hmac::verify(&key, before.signed, &before.signature).is_err() {
        return Err(FOREIGN);
    }
    let mut claims = strict_json::object(&before.payload).ok_or(FOREIGN)?;
    let instant = |name: &str| claims.get(name).and_then(|at| at.as_u64().or_else(|| at.as_f64().map(|at| at as u64)));
    let began = instant("orig_iat").or_else(|| instant("iat")).ok_or("it does not say since when: no `iat`")?;
    let now = now.unix_seconds();
    // A token from the future would gain what its clock is ahead.
    let began = began.min(now);
    let ends = now.saturating_add(rules.ttl.as_secs()).min(began.saturating_add(rules.life_max.as_secs()));
    if ends <= now || principal.expires_at_unix_s.is_some_and(|before| before >= ends) {
        return Err("no fresh one would last longer: `identity.renewal.life_max` is reached, or it is too early");
    }
    let id = HEXLOWER.encode(random);
    for (name, value) in [("orig_iat", began), ("iat", now), ("exp", ends)] {
        claims.insert(name.to_owned(), Value::from(value));
    }
    claims.insert(String::from("jti"), Value::from(id.as_str()));
    claims.remove("nbf");
    let token = issue(&claims, rules.algorithm, &rules.secret, Some(&rules.key_id)).map_err(|_| FOREIGN)?;
    if token.len() > bytes_max {
        return Err("a fresh one would be longer than `identity.token_bytes_max`");
    }
    let principal = Principal {
        token_id: Some(id.into()),
        issued_at_unix_s: Some(now),
        expires_at_unix_s: Some(ends),
        ..principal.clone()
    };
    Ok(Fresh { token, principal })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::identity::issue::decode;
    use crate::identity::{KeyRing, Verifier, fixture};
    use crate::policy::checked::{Algorithm, Identity, Secret, StaticKey};

    const NOW: u64 = fixture::NOW_UNIX_S;

    fn secret(byte: u8) -> Secret {
        Secret::new(vec![byte; 32])
    }

    fn identity() -> Identity {
        let key =
            |id: &str, byte| StaticKey { id: Some(id.into()), algorithm: Algorithm::HS256, material: secret(byte) };
        Identity { keys: vec![key("own", b'k'), key("other", b'o')], ..fixture::identity() }
    }

    fn rules() -> TokenRenewal {
        TokenRenewal {
            key_id: "own".into(),
            algorithm: Algorithm::HS256,
            secret: secret(b'k'),
            ttl: Duration::from_secs(600),
            life_max: Duration::from_secs(3600),
        }
    }

    fn signed(claims: Value, byte: u8) -> String {
        issue(claims.as_object().unwrap(), Algorithm::HS256, &secret(byte), None).unwrap()
    }

    fn at(seconds: u64) -> Now {
        Now { wall: Duration::from_secs(NOW + seconds), ..fixture::now() }
    }

    fn verified(token: &str, seconds: u64) -> Principal {
        let identity = identity();
        Verifier::new(&identity).verify(token, &KeyRing::new(&identity).unwrap(), at(seconds)).unwrap()
    }

    fn renewed(token: &str, seconds: u64) -> Result<Fresh, &'static str> {
        renew(token, &verified(token, seconds), &rules(), 4096, &[7; RANDOM_BYTES], at(seconds))
    }

    #[test]
    fn a_fresh_token_has_the_same_claims_a_new_id_and_a_later_end() {
        let claims = json!({"sub": "u1", "roles": ["user"], "tenant": "acme", "sid": "s1", "jti": "first",
            "iat": NOW - 100, "exp": NOW + 60, "nbf": NOW - 100, "realm_access": {"roles": ["x"]}});
        let old = signed(claims, b'k');
        let fresh = renewed(&old, 0).unwrap();
        let told = decode(&fresh.token).unwrap().claims;
        let want = json!({"sub": "u1", "roles": ["user"], "tenant": "acme", "sid": "s1", "jti": "07".repeat(16),
            "iat": NOW, "exp": NOW + 600, "orig_iat": NOW - 100, "realm_access": {"roles": ["x"]}});
        assert_eq!(Value::Object(told), want);
        assert_eq!(fresh.principal, verified(&fresh.token, 0));
        assert!(!format!("{fresh:?}").contains(&fresh.token));
    }

    #[test]
    fn no_chain_of_renewals_outlives_the_first_token_by_more_than_its_life() {
        let mut token = signed(json!({"sub": "u1", "iat": NOW, "exp": NOW + 500}), b'k');
        let mut ends = NOW + 500;
        loop {
            let seconds = ends - NOW - 10;
            match renewed(&token, seconds) {
                Ok(fresh) => {
                    token = fresh.token;
                    let later = fresh.principal.expires_at_unix_s.unwrap();
                    assert!(later > ends);
                    ends = later;
                }
                Err(why) => {
                    assert!(why.contains("life_max"), "{why}");
                    break;
                }
            }
        }
        assert_eq!(ends, NOW + 3600);
    }

    #[test]
    fn what_another_key_signed_or_gains_nothing_is_not_renewed() {
        for (claims, byte, part) in [
            (json!({"sub": "u1", "iat": NOW, "exp": NOW + 60}), b'o', "identity.renewal.key"),
            (json!({"sub": "u1", "exp": NOW + 60}), b'k', "iat"),
            (json!({"sub": "u1", "iat": NOW, "exp": NOW + 600}), b'k', "too early"),
            (json!({"sub": "u1", "iat": NOW - 3600, "exp": NOW + 60}), b'k', "life_max"),
            (json!({"sub": "u1", "iat": NOW, "exp": NOW + 60, "orig_iat": NOW - 7200}), b'k', "life_max"),
            (json!({"sub": "u1", "iat": NOW, "exp": NOW + 60, "x": "y".repeat(2930)}), b'k', "token_bytes_max"),
        ] {
            let why = renewed(&signed(claims.clone(), byte), 0).unwrap_err();
            assert!(why.contains(part), "{claims} {why}");
        }
        let principal = Principal { subject: Some("u1".into()), ..Principal::anonymous() };
        for text in ["", "pcs_abc", "pck_abc", "a.b.c"] {
            assert!(renew(text, &principal, &rules(), 4096, &[7; RANDOM_BYTES], at(0)).is_err(), "{text}");
        }
    }
}
