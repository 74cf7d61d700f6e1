//! Every way a logout token can be wrong, one at a time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::identity::KeySet;
use crate::identity::fixture::{self, NOW_UNIX_S};
use crate::policy::checked::{Algorithm, Identity, JwksLocation, JwksSource, LogoutEnds, Provider};

const ISSUER: &str = "https://first.example";

fn rules() -> BackchannelLogout {
    let (path, client_id) = (String::from("/logout"), String::from("chat"));
    BackchannelLogout { path, client_id, ends: LogoutEnds::Session, lasts: Duration::from_secs(60) }
}

fn source(issuer: &str) -> JwksSource {
    JwksSource {
        location: JwksLocation::Issuer(issuer.into()),
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
        refresh: Duration::from_secs(300),
        bytes_max: 65536,
        keys_max: 16,
        provider: Some(Provider {
            issuer: issuer.into(),
            audiences: vec![],
            authorized_parties: vec![],
            private_network: false,
            backchannel_logout: Some(rules()),
        }),
    }
}

/// The first provider signs with ES256, the second with EdDSA.
fn house() -> (Identity, KeyRing) {
    let mut identity = fixture::identity();
    identity.jwks = vec![source(ISSUER), source("https://second.example")];
    let ring = KeyRing::new(&identity).unwrap();
    for (place, algorithm) in [(0, Algorithm::ES256), (1, Algorithm::EdDSA)] {
        let document = format!(r#"{{"keys":[{}]}}"#, fixture::signer(algorithm).jwk("k"));
        ring.replace(place, Arc::new(KeySet::parse(document.as_bytes(), &identity.jwks[place]).unwrap()));
    }
    (identity, ring)
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "chat", "iat": NOW_UNIX_S - 1, "exp": NOW_UNIX_S + 120, "jti": "j1",
        "sub": "u1", "sid": "s1", "events": { EVENT: {} },
    })
}

fn with(change: Value) -> Value {
    let mut claims = good();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn signed(algorithm: Algorithm, kind: &str, claims: &Value) -> String {
    fixture::signer(algorithm).token(&json!({"alg": format!("{algorithm:?}"), "kid": "k", "typ": kind}), claims)
}

fn judged(claims: &Value) -> Result<Logout, Reason> {
    let (identity, ring) = house();
    let token = signed(Algorithm::ES256, "logout+jwt", claims);
    let seen = SeenLogouts::default();
    let verdict = Verifier::new(&identity).verify_logout(&token, &ring, (0, &rules()), &seen, fixture::now());
    verdict.map_err(|failure| failure.reason)
}

#[test]
fn a_true_logout_token_names_subject_and_session() {
    assert_eq!(judged(&good()), Ok(Logout { subject: Some("u1".into()), session: Some("s1".into()) }));
    assert_eq!(judged(&with(json!({"sub": null}))).unwrap().subject, None);
    assert_eq!(judged(&with(json!({"sid": null}))).unwrap().session, None);
    assert!(judged(&with(json!({"aud": ["other", "chat"]}))).is_ok());
}

#[test]
fn whatever_is_wrong_with_one_is_refused() {
    for (change, reason) in [
        (json!({"iss": "https://second.example"}), Reason::TokenAlgorithm),
        (json!({"iss": "https://evil.example"}), Reason::TokenAlgorithm),
        (json!({"iss": null}), Reason::TokenAlgorithm),
        (json!({"aud": "other"}), Reason::TokenAudience),
        (json!({"aud": null}), Reason::TokenAudience),
        (json!({"aud": ["other"]}), Reason::TokenAudience),
        (json!({"exp": NOW_UNIX_S - 60}), Reason::TokenExpired),
        (json!({"exp": null}), Reason::TokenClaims),
        (json!({"iat": null}), Reason::LogoutInvalid),
        (json!({"iat": NOW_UNIX_S + 60}), Reason::TokenNotYetValid),
        (json!({"iat": NOW_UNIX_S - 700, "exp": NOW_UNIX_S + 9000}), Reason::TokenExpired),
        (json!({"events": null}), Reason::LogoutInvalid),
        (json!({"events": {}}), Reason::LogoutInvalid),
        (json!({"events": {EVENT: true}}), Reason::LogoutInvalid),
        (json!({"nonce": "n"}), Reason::LogoutInvalid),
        (json!({"jti": null}), Reason::LogoutInvalid),
        (json!({"sub": null, "sid": null}), Reason::LogoutInvalid),
        (json!({"sub": ["u1"]}), Reason::LogoutInvalid),
    ] {
        assert_eq!(judged(&with(change.clone())), Err(reason), "{change}");
    }
}

#[test]
fn one_provider_does_not_sign_out_for_another() {
    let (identity, ring) = house();
    let (verifier, seen) = (Verifier::new(&identity), SeenLogouts::default());
    let claims = with(json!({"iss": "https://second.example"}));
    let token = signed(Algorithm::EdDSA, "logout+jwt", &claims);
    let at = |source| verifier.verify_logout(&token, &ring, (source, &rules()), &seen, fixture::now());
    assert_eq!(at(0).unwrap_err().reason, Reason::TokenIssuer);
    assert!(at(1).is_ok());
}

#[test]
fn a_logout_token_is_heard_once() {
    let (identity, ring) = house();
    let (verifier, seen) = (Verifier::new(&identity), SeenLogouts::default());
    let token = signed(Algorithm::ES256, "logout+jwt", &good());
    let again = || verifier.verify_logout(&token, &ring, (0, &rules()), &seen, fixture::now());
    assert!(again().is_ok());
    assert_eq!(again().unwrap_err().reason, Reason::LogoutInvalid);
    let other = signed(Algorithm::ES256, "logout+jwt", &with(json!({"jti": "j2"})));
    assert!(verifier.verify_logout(&other, &ring, (0, &rules()), &seen, fixture::now()).is_ok());
}

#[test]
fn tokens_for_one_purpose_are_not_taken_for_the_other() {
    let (identity, ring) = house();
    let verifier = Verifier::new(&identity);
    let access =
        json!({"sub": "u1", "iss": ISSUER, "aud": "chat", "iat": NOW_UNIX_S, "exp": NOW_UNIX_S + 60, "jti": "a"});
    let seen = SeenLogouts::default();
    for kind in ["at+jwt", "JWT"] {
        let token = signed(Algorithm::ES256, kind, &access);
        assert!(verifier.verify(&token, &ring, fixture::now()).is_ok());
        assert!(verifier.verify_logout(&token, &ring, (0, &rules()), &seen, fixture::now()).is_err(), "{kind}");
    }
    for kind in ["logout+jwt", "JWT"] {
        let token = signed(Algorithm::ES256, kind, &good());
        assert!(verifier.verify(&token, &ring, fixture::now()).is_err(), "{kind} opens no connection");
    }
}

#[test]
fn what_is_remembered_is_bounded_and_ends() {
    let seen = SeenLogouts::default();
    let key = |n: usize| digest(&n.to_le_bytes());
    for n in 0..SEEN_MAX {
        assert!(seen.take(key(n), 100, 50));
    }
    assert!(!seen.take(key(SEEN_MAX), 100, 50), "full");
    assert!(seen.take(key(SEEN_MAX), 200, 100), "the others have ended");
    assert_eq!(seen.0.lock().unwrap().len(), 1);
}
