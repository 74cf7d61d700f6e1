//! Project Wycheproof's vectors for JSON Web Signatures and Keys: every invalid one refused, every valid one
//! accepted, but for those named here with the reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::jwt::signed_payload;
use super::{KeyRing, KeySet, fixture, token};
use crate::policy::checked::{Algorithm, JwksLocation, JwksSource};

const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

fn vectors(file: &str) -> Option<Value> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("../shared/vectors/wycheproof").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) => {
            println!("skipped: {} is not here ({error})", path.display());
            None
        }
    }
}

/// Runs a file; tells the numbers of the cases that came out otherwise than the file says.
fn run(file: &str) -> Option<Vec<u64>> {
    let document = vectors(file)?;
    let mut otherwise = Vec::new();
    for group in document["testGroups"].as_array().unwrap() {
        // The verifier's side: the public key where there is one.
        let key = if group["public"].is_null() { &group["private"] } else { &group["public"] };
        let set = if key["keys"].is_null() { serde_json::json!({ "keys": [key] }) } else { key.clone() };
        let source = JwksSource {
            location: JwksLocation::File("keys.json".into()),
            algorithms: ALL.to_vec(),
            refresh: Duration::from_secs(300),
            bytes_max: 1 << 20,
            keys_max: 16,
            provider: None,
        };
        let mut identity = fixture::identity();
        identity.keys.clear();
        identity.jwks = vec![source.clone()];
        let ring = KeyRing::new(&identity).unwrap();
        if let Ok(set) = KeySet::parse(set.to_string().as_bytes(), &source) {
            ring.replace(0, Arc::new(set));
        }
        for test in group["tests"].as_array().unwrap() {
            let text = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let accepted = signed_payload(&text, 1 << 20, &ring).is_ok();
            if accepted != (test["result"] == "valid") {
                println!(
                    "{file} {} {} accepted={accepted} {:?}",
                    test["tcId"],
                    test["comment"],
                    token::parse(&text, 1 << 20).err()
                );
                otherwise.push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    Some(otherwise)
}

#[test]
fn signatures() {
    let Some(otherwise) = run("json_web_signature_test.json") else { return };
    // All of these are refused although the file calls them valid; no invalid one is accepted.
    let stricter = [
        // An empty payload holds no claims, so it is no token of ours.
        &[259, 264, 268, 272, 320, 325][..],
        // RFC 7520's figures signed with PS384 and ES512 under keys whose `alg` says PS256 and `ES521`:
        // a key's own algorithm is pinned, and ES512 is not spoken.
        &[346, 347, 350, 351],
        // The secret is 32 zero bytes, which counts as blank.
        &[357, 358, 359],
        // A `?` inside base64url.
        &[372, 373],
        // Again the secret is 32 zero bytes, which counts as blank.
        &[376, 377],
    ]
    .concat();
    assert_eq!(otherwise, stricter);
}

#[test]
fn keys() {
    let Some(otherwise) = run("json_web_key_test.json") else { return };
    let accepted = [
        // Two keys with one id: the first is used, so that a set in rotation keeps working.
        4, // A modulus from a chip with weak primes (CVE-2017-15361): its owner's key, chosen by the operator.
        7,
    ];
    assert_eq!(otherwise, accepted);
}
