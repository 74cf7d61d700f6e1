//! Two providers, a key of our own, and every way to pass a token of one off as another's.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{self, NOW_UNIX_S, Signer};
use super::{Failure, KeyRing, KeySet, Scope, Verifier};
use crate::policy::checked::{Algorithm, Identity, JwksLocation, JwksSource, Provider};
use crate::verdict::Reason;

const FIRST: &str = "https://first.example";
const SECOND: &str = "https://second.example";

fn source(issuer: &str, audience: &str) -> JwksSource {
    JwksSource {
        location: JwksLocation::Issuer(issuer.into()),
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
        refresh: Duration::from_secs(300),
        bytes_max: 65536,
        keys_max: 16,
        provider: Some(Provider {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            authorized_parties: Vec::new(),
            private_network: false,
            backchannel_logout: None,
        }),
    }
}

/// The first provider signs with ES256, the second with EdDSA, both name their key `k`; our own key is HS256.
fn house() -> (Identity, KeyRing) {
    let mut identity = fixture::identity();
    identity.jwks = vec![source(FIRST, "gate"), source(SECOND, "other-gate")];
    let ring = KeyRing::new(&identity).unwrap();
    fill(&ring, &identity, 0, fixture::signer(Algorithm::ES256), "k");
    fill(&ring, &identity, 1, fixture::signer(Algorithm::EdDSA), "k");
    (identity, ring)
}

fn fill(ring: &KeyRing, identity: &Identity, place: usize, signer: &Signer, id: &str) {
    let document = format!(r#"{{"keys":[{}]}}"#, signer.jwk(id));
    ring.replace(place, Arc::new(KeySet::parse(document.as_bytes(), &identity.jwks[place]).unwrap()));
}

fn claims(issuer: &str, audience: &str) -> Value {
    json!({"sub": "u1", "exp": NOW_UNIX_S + 60, "iss": issuer, "aud": audience})
}

fn signed(algorithm: Algorithm, id: &str, claims: &Value) -> String {
    fixture::signer(algorithm).token(&json!({"alg": format!("{algorithm:?}"), "kid": id}), claims)
}

fn verdict(token: &str) -> Result<(), Failure> {
    let (identity, ring) = house();
    Verifier::new(&identity).verify(token, &ring, fixture::now()).map(|_| ())
}

#[test]
fn a_token_is_accepted_with_its_own_providers_key_and_audience() {
    assert_eq!(verdict(&signed(Algorithm::ES256, "k", &claims(FIRST, "gate"))), Ok(()));
    assert_eq!(verdict(&signed(Algorithm::EdDSA, "k", &claims(SECOND, "other-gate"))), Ok(()));
    let own = json!({"sub": "u1", "exp": NOW_UNIX_S + 60});
    assert_eq!(verdict(&fixture::hs256(&own)), Ok(()), "keys of the policy need no issuer");
}

#[test]
fn no_provider_speaks_for_another_nor_our_own_keys_for_one() {
    let reason = |token: &str| verdict(token).err().map(|failure| failure.reason);
    let cases = [
        ("the second's key, the first's name", signed(Algorithm::EdDSA, "k", &claims(FIRST, "gate"))),
        ("the first's key, the second's name", signed(Algorithm::ES256, "k", &claims(SECOND, "other-gate"))),
        ("our own key, a provider's name", fixture::hs256(&claims(FIRST, "gate"))),
        ("a provider's key, no name", signed(Algorithm::ES256, "k", &json!({"sub": "u", "exp": NOW_UNIX_S + 60}))),
        ("a provider's key, an unknown name", signed(Algorithm::ES256, "k", &claims("https://third.example", "gate"))),
        ("the other's audience", signed(Algorithm::ES256, "k", &claims(FIRST, "other-gate"))),
        ("nearly the name", signed(Algorithm::ES256, "k", &claims("https://first.example/", "gate"))),
    ];
    for (what, token) in cases {
        assert!(reason(&token).is_some(), "{what}");
    }
    let stranger = signed(Algorithm::ES256, "k", &claims(FIRST, "other-gate"));
    assert_eq!(reason(&stranger), Some(Reason::TokenAudience));
}

#[test]
fn a_name_given_twice_chooses_no_keys() {
    let header = json!({"alg": "ES256", "kid": "k"});
    let whole = claims(FIRST, "gate").to_string();
    let twice = format!(r#"{{"iss":"{SECOND}",{}"#, &whole[1..]);
    let signer = fixture::signer(Algorithm::ES256);
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let start = format!("{}.{}", encode(&header.to_string()), encode(&twice));
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signer.sign(start.as_bytes()));
    assert!(verdict(&format!("{start}.{signature}")).is_err());
}

#[test]
fn an_unknown_key_is_asked_of_its_own_provider_only() {
    let failure = verdict(&signed(Algorithm::ES256, "new", &claims(FIRST, "gate"))).unwrap_err();
    let missing = failure.missing_key.unwrap();
    assert_eq!(missing.scope, Scope::Provider(0));
    let (_, ring) = house();
    assert_eq!(ring.sources_for(missing.scope, missing.algorithm).collect::<Vec<_>>(), [0]);
    // A name that nobody has is not worth a fetch.
    let failure = verdict(&signed(Algorithm::ES256, "new", &claims("https://third.example", "gate"))).unwrap_err();
    let sources = failure.missing_key.map(|key| ring.sources_for(key.scope, key.algorithm).count());
    assert_eq!(sources.unwrap_or_default(), 0);
}

#[test]
fn without_keys_of_our_own_a_stranger_is_refused_by_its_name() {
    let (mut identity, _) = house();
    identity.keys.clear();
    let ring = KeyRing::new(&identity).unwrap();
    let token = signed(Algorithm::ES256, "k", &claims("https://third.example", "gate"));
    let found = Verifier::new(&identity).verify(&token, &ring, fixture::now());
    assert_eq!(found.err().map(|failure| failure.reason), Some(Reason::TokenIssuer));
}

#[test]
fn a_reload_keeps_the_keys_of_a_provider_that_stayed_the_same() {
    let (mut identity, ring) = house();
    identity.jwks[1].algorithms = vec![Algorithm::EdDSA];
    let next = KeyRing::new(&identity).unwrap();
    next.inherit(&ring);
    assert!(next.is_loaded(0));
    assert!(!next.is_loaded(1), "its rules changed, so its keys are read anew");
}
