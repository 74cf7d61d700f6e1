//! Known attacks on JSON Web Tokens, each with the honest token it imitates beside it.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::fixture::{self, NOW_UNIX_S};
use super::{KeyRing, KeySet, Verifier};
use crate::policy::checked::{Algorithm, Identity, JwksLocation, JwksSource, Secret, StaticKey};
use crate::verdict::Reason;

fn claims() -> Value {
    json!({"sub": "admin", "exp": NOW_UNIX_S + 60})
}

/// Keys of every kind: RS256 and ES256 from PEM, HS256, and EdDSA from a key set.
fn house() -> (Identity, KeyRing) {
    let pinned = |id: &str, algorithm, material: Vec<u8>| StaticKey {
        id: Some(id.into()),
        algorithm,
        material: Secret::new(material),
    };
    let pem = |algorithm| fixture::signer(algorithm).pem().into_bytes();
    let mut identity = fixture::identity();
    identity.keys = vec![
        pinned("rsa", Algorithm::RS256, pem(Algorithm::RS256)),
        pinned("ec", Algorithm::ES256, pem(Algorithm::ES256)),
        pinned("hmac", Algorithm::HS256, fixture::SECRET.to_vec()),
    ];
    let source = JwksSource {
        location: JwksLocation::Url("https://idp.example/keys".into()),
        algorithms: vec![Algorithm::EdDSA],
        refresh: std::time::Duration::from_secs(300),
        bytes_max: 65536,
        keys_max: 16,
        provider: None,
    };
    identity.jwks = vec![source.clone()];
    let ring = KeyRing::new(&identity).unwrap();
    let document = format!(r#"{{"keys":[{}]}}"#, fixture::signer(Algorithm::EdDSA).jwk("ed"));
    ring.replace(0, Arc::new(KeySet::parse(document.as_bytes(), &source).unwrap()));
    (identity, ring)
}

fn hmac_token(header: &Value, secret: &[u8]) -> String {
    let signed = fixture::unsigned(header, &claims());
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with_signature(header: &Value, signature: &[u8]) -> String {
    format!("{}.{}", fixture::unsigned(header, &claims()), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn every_honest_token_is_accepted() {
    let (identity, ring) = house();
    let verifier = Verifier::new(&identity);
    let signed = |algorithm, id: &str| {
        fixture::signer(algorithm).token(&json!({"alg": format!("{algorithm:?}"), "kid": id}), &claims())
    };
    for token in [
        signed(Algorithm::RS256, "rsa"),
        signed(Algorithm::ES256, "ec"),
        signed(Algorithm::EdDSA, "ed"),
        hmac_token(&json!({"alg": "HS256", "kid": "hmac"}), fixture::SECRET),
        hmac_token(&json!({"alg": "HS256"}), fixture::SECRET),
    ] {
        assert_eq!(verifier.verify(&token, &ring, fixture::now()).unwrap().subject.as_deref(), Some("admin"));
    }
}

#[test]
fn every_attack_is_refused() {
    let (identity, ring) = house();
    let verifier = Verifier::new(&identity);
    let rsa = fixture::signer(Algorithm::RS256);
    let rsa_pem = rsa.pem();
    let mallory = fixture::signer(Algorithm::ES384);
    let jwk: Value = serde_json::from_str(&mallory.jwk("ec")).unwrap();
    let honest = hmac_token(&json!({"alg": "HS256", "kid": "hmac"}), fixture::SECRET);
    let (honest_signed, honest_signature) = honest.rsplit_once('.').unwrap();
    let duplicate = {
        let payload = format!(r#"{{"sub":"user","exp":{0},"sub":"admin","exp":{0}}}"#, NOW_UNIX_S + 60);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
        let key = hmac::Key::new(hmac::HMAC_SHA256, fixture::SECRET);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
    };
    let mut high_s = [0xff; 64];
    high_s[31] = 1;
    let cases: Vec<(&str, String, Reason)> = vec![
        // CVE-2015-9235
        ("no algorithm", format!("{}.", fixture::unsigned(&json!({"alg": "none"}), &claims())), Reason::TokenAlgorithm),
        ("no algorithm, some signature", with_signature(&json!({"alg": "none"}), b"x"), Reason::TokenAlgorithm),
        ("no algorithm in capitals", with_signature(&json!({"alg": "NONE"}), b"x"), Reason::TokenAlgorithm),
        (
            "no algorithm with a key's id",
            with_signature(&json!({"alg": "None", "kid": "hmac"}), b"x"),
            Reason::TokenAlgorithm,
        ),
        ("signature cut off", honest_signed.into(), Reason::CredentialInvalid),
        ("signature emptied", format!("{honest_signed}."), Reason::CredentialInvalid),
        ("signature shortened", format!("{honest_signed}.{}", &honest_signature[..40]), Reason::TokenSignature),
        (
            "the public key as secret",
            hmac_token(&json!({"alg": "HS256", "kid": "rsa"}), rsa_pem.as_bytes()),
            Reason::TokenAlgorithm,
        ),
        (
            "the public key as secret, no id",
            hmac_token(&json!({"alg": "HS256"}), rsa_pem.as_bytes()),
            Reason::TokenSignature,
        ),
        (
            "the public key as secret, trimmed",
            hmac_token(&json!({"alg": "HS256"}), rsa_pem.trim().as_bytes()),
            Reason::TokenSignature,
        ),
        (
            "one family's other algorithm",
            rsa.token(&json!({"alg": "PS256", "kid": "rsa"}), &claims()),
            Reason::TokenAlgorithm,
        ),
        ("an algorithm nobody uses here", with_signature(&json!({"alg": "HS512"}), b"x"), Reason::TokenAlgorithm),
        // CVE-2022-21449
        ("psychic signature", with_signature(&json!({"alg": "ES256", "kid": "ec"}), &[0; 64]), Reason::TokenSignature),
        (
            "signature numbers beyond the order",
            with_signature(&json!({"alg": "ES256", "kid": "ec"}), &high_s),
            Reason::TokenSignature,
        ),
        (
            "signature in DER",
            with_signature(&json!({"alg": "ES256", "kid": "ec"}), &[0x30, 6, 2, 1, 0, 2, 1, 0]),
            Reason::TokenSignature,
        ),
        (
            "an all-zero EdDSA signature",
            with_signature(&json!({"alg": "EdDSA", "kid": "ed"}), &[0; 64]),
            Reason::TokenSignature,
        ),
        // CVE-2018-0114
        (
            "embedded key",
            mallory.token(&json!({"alg": "ES384", "kid": "ec", "jwk": jwk}), &claims()),
            Reason::TokenAlgorithm,
        ),
        (
            "embedded key under a pinned algorithm",
            with_signature(&json!({"alg": "ES256", "kid": "ec", "jwk": jwk}), &[1; 64]),
            Reason::TokenSignature,
        ),
        (
            "key set URL",
            rsa.token(&json!({"alg": "RS256", "kid": "mine", "jku": "https://evil.example/keys"}), &claims()),
            Reason::TokenKeyUnknown,
        ),
        (
            "certificate URL",
            with_signature(&json!({"alg": "RS256", "kid": "rsa", "x5u": "https://evil.example/c"}), &[1; 256]),
            Reason::TokenSignature,
        ),
        (
            "certificate chain",
            with_signature(&json!({"alg": "RS256", "kid": "rsa", "x5c": ["AAAA"]}), &[1; 256]),
            Reason::TokenSignature,
        ),
        (
            "path in the key id",
            hmac_token(&json!({"alg": "HS256", "kid": "../../../dev/null"}), b""),
            Reason::TokenKeyUnknown,
        ),
        (
            "SQL in the key id",
            hmac_token(&json!({"alg": "HS256", "kid": "x' UNION SELECT 'k';--"}), b"k"),
            Reason::TokenKeyUnknown,
        ),
        ("command in the key id", hmac_token(&json!({"alg": "HS256", "kid": "k|id"}), b""), Reason::TokenKeyUnknown),
        ("blank secret", hmac_token(&json!({"alg": "HS256", "kid": "hmac"}), b""), Reason::TokenSignature),
        ("guessed secret", hmac_token(&json!({"alg": "HS256"}), b"secret"), Reason::TokenSignature),
        (
            "critical header",
            hmac_token(&json!({"alg": "HS256", "crit": ["exp"], "exp": 1}), fixture::SECRET),
            Reason::CredentialInvalid,
        ),
        (
            "unencoded payload",
            hmac_token(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), fixture::SECRET),
            Reason::CredentialInvalid,
        ),
        (
            "a token made for something else",
            hmac_token(&json!({"alg": "HS256", "typ": "logout+jwt"}), fixture::SECRET),
            Reason::CredentialInvalid,
        ),
        ("duplicate claims", duplicate, Reason::TokenClaims),
        ("a fourth part", format!("{honest}.x"), Reason::CredentialInvalid),
        ("an encrypted token", "a.b.c.d.e".into(), Reason::CredentialInvalid),
        ("JSON serialization", r#"{"payload":"e30","signatures":[]}"#.into(), Reason::CredentialInvalid),
        ("a token of megabytes", format!("{honest_signed}.{}", "A".repeat(1 << 20)), Reason::CredentialInvalid),
        (
            "another payload under an old signature",
            {
                let (header, _) = honest_signed.split_once('.').unwrap();
                format!("{header}.{}.{honest_signature}", URL_SAFE_NO_PAD.encode(r#"{"sub":"root","exp":1900000000}"#))
            },
            Reason::TokenSignature,
        ),
    ];
    let answers: std::collections::HashSet<_> =
        cases.iter().map(|case| (case.2.row().public, case.2.row().close_code)).collect();
    assert_eq!(answers.len(), 1, "clients cannot tell one failure from another");
    for (name, token, want) in cases {
        let failure = verifier.verify(&token, &ring, fixture::now()).expect_err(name);
        assert_eq!(failure.reason, want, "{name}");
    }
}

#[test]
fn a_key_that_was_withdrawn_verifies_nothing() {
    let (identity, ring) = house();
    let token = fixture::signer(Algorithm::EdDSA).token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims());
    let other = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(aws_lc_rs::signature::KeyPair::public_key(&other).as_ref());
    let document = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"new","x":"{x}"}}]}}"#);
    let before = ring.generation();
    ring.replace(0, Arc::new(KeySet::parse(document.as_bytes(), &identity.jwks[0]).unwrap()));
    assert_ne!(ring.generation(), before);
    let failure = Verifier::new(&identity).verify(&token, &ring, fixture::now()).unwrap_err();
    assert_eq!(failure.reason, Reason::TokenKeyUnknown);
    assert_eq!(failure.missing_key.unwrap().id.as_deref(), Some("ed"));
}
