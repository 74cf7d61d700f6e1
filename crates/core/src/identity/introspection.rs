//! Token introspection (RFC 7662): which tokens are asked about, and what an answer proves.
//!
//! Decides whether an answer vouches for a principal at the given time. Never asks: the shell does. A token is vouched
//! for only by `"active": true`; times, issuer and audience in the answer are judged as those of a signed token are,
//! except that `exp` may be missing, for the endpoint has just said that the token is good.

use serde_json::Value;

use super::jwt::Verifier;
use super::principal::{Method, Principal};
use super::{claims, strict_json};
use crate::time::Now;
use crate::verdict::Reason;

/// Largest answer read, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A token that is asked about. Its text is for the endpoint alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque(pub String);

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque(…)")
    }
}

/// Whether a token has the outer form of a signed JWT: three parts, the first of them a JSON object.
#[must_use]
pub fn is_jwt(token: &str) -> bool {
    token.starts_with("ey") && token.split('.').count() == 3
}

/// Whether a text may be a token at all (RFC 6749 A.12): nothing else is sent to the endpoint.
#[must_use]
pub fn is_token(token: &str, bytes_max: usize) -> bool {
    !token.is_empty() && token.len() <= bytes_max && token.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Verifier {
    /// Judges an answer of the endpoint.
    ///
    /// # Errors
    /// [`Reason::TokenInactive`] where the endpoint does not know the token, [`Reason::IntrospectionUnavailable`]
    /// where the answer is none, else what is wrong with the claims.
    pub fn introspected(&self, answer: &[u8], now: Now) -> Result<Principal, Reason> {
        let rules = self.introspection().ok_or(Reason::CredentialInvalid)?;
        let answer = strict_json::object(answer).ok_or(Reason::IntrospectionUnavailable)?;
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(Reason::TokenInactive),
            _ => return Err(Reason::IntrospectionUnavailable),
        }
        let answer = Value::Object(answer);
        let expires_at = self.judge_times(&answer, false, now.unix_seconds())?;
        rules.parties.judge(&answer)?;
        let principal = claims::principal(&answer, &rules.pointers, expires_at).ok_or(Reason::TokenClaims)?;
        Ok(Principal { method: Method::Introspection, ..principal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixture::{self, NOW_UNIX_S};
    use crate::policy::checked::{Introspection, Secret};
    use serde_json::json;
    use std::time::Duration;

    fn verifier() -> Verifier {
        let mut identity = fixture::identity();
        let mut claims = identity.claims.clone();
        claims.permissions = "/scope".into();
        identity.introspection = Some(Introspection {
            url: "https://idp.example/introspect".into(),
            client_id: "gate".into(),
            client_secret: Secret::new(b"not-shown".to_vec()),
            issuer: Some("https://idp.example".into()),
            audiences: vec!["gate".into()],
            claims,
            timeout: Duration::from_secs(2),
            cache_ttl: Duration::from_secs(30),
            cache_entries_max: 100,
            private_network: false,
        });
        Verifier::new(&identity)
    }

    fn answer() -> Value {
        json!({"active": true, "sub": "u1", "scope": "chat.read chat.write", "exp": NOW_UNIX_S + 60,
               "iss": "https://idp.example", "aud": ["gate", "other"]})
    }

    fn verdict(answer: &Value) -> Result<Principal, Reason> {
        verifier().introspected(answer.to_string().as_bytes(), fixture::now())
    }

    #[test]
    fn an_active_token_proves_whom_the_answer_names() {
        let principal = verdict(&answer()).unwrap();
        assert_eq!((principal.subject.as_deref(), principal.method), (Some("u1"), Method::Introspection));
        assert_eq!(principal.permissions.len(), 2);
        assert_eq!(principal.expires_at_unix_s, Some(NOW_UNIX_S + 60));
        let mut endless = answer();
        endless.as_object_mut().unwrap().remove("exp");
        assert!(verdict(&endless).is_ok(), "the endpoint vouches for it");
    }

    #[test]
    fn whatever_is_not_plainly_active_is_refused() {
        let cases = [
            ("active", json!(false), Reason::TokenInactive),
            ("active", json!("true"), Reason::IntrospectionUnavailable),
            ("active", json!(1), Reason::IntrospectionUnavailable),
            ("active", json!(null), Reason::IntrospectionUnavailable),
            ("exp", json!(NOW_UNIX_S - 3600), Reason::TokenExpired),
            ("exp", json!("soon"), Reason::TokenClaims),
            ("nbf", json!(NOW_UNIX_S + 3600), Reason::TokenNotYetValid),
            ("iss", json!("https://other.example"), Reason::TokenIssuer),
            ("aud", json!("other"), Reason::TokenAudience),
            ("sub", json!(""), Reason::TokenClaims),
        ];
        for (name, value, reason) in cases {
            let mut answer = answer();
            answer[name] = value;
            assert_eq!(verdict(&answer), Err(reason), "{answer}");
        }
        for nonsense in ["", "[]", "<html>", "{}", r#"{"active":true,"active":false}"#] {
            let found = verifier().introspected(nonsense.as_bytes(), fixture::now());
            assert_eq!(found, Err(Reason::IntrospectionUnavailable), "{nonsense}");
        }
    }

    #[test]
    fn tokens_are_told_apart_and_bounded() {
        assert!(is_jwt("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"));
        for opaque in ["ya29.a0Af.b_x.c", "6f1ed002ab5595859014ebf0951522d9", "a.b.c"] {
            assert!(!is_jwt(opaque), "{opaque}");
        }
        assert!(is_token("abc-._~+/=", 10));
        for bad in ["", "a b", "a\n", "\u{e9}", "abcdefghijk"] {
            assert!(!is_token(bad, 10), "{bad:?}");
        }
        assert_eq!(format!("{:?}", Opaque("secret".into())), "Opaque(…)");
    }
}
