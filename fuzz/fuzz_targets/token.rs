//! Token parser and verifier: nobody without the key is let in, and who has it is held to the rules.
//!
//! Input: an even first byte, then a token as it comes; or an odd one, then header and claims with a line's end
//! between them, which are signed with the true key.

#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portcullis_core::identity::{KeyRing, TokenCache, Verifier, cache::TokenDigest, issue};
use portcullis_fuzz::{NOW_UNIX_S, SECRET, checked, now};
use serde_json::Value;

static HOUSE: LazyLock<(Verifier, KeyRing, u64)> = LazyLock::new(|| {
    let identity = checked().identity;
    let ring = KeyRing::new(&identity).expect("the key");
    (Verifier::new(&identity), ring, identity.leeway.as_secs())
});

fuzz_target!(|data: &[u8]| {
    let [mode, rest @ ..] = data else { return };
    let (verifier, ring, leeway) = &*HOUSE;
    if mode & 1 == 0 {
        let Ok(token) = std::str::from_utf8(rest) else { return };
        assert!(verifier.verify(token, ring, now()).is_err(), "forged: {token}");
        let _ = issue::decode(token);
        let cache = TokenCache::new(4, std::time::Duration::from_secs(300));
        assert!(cache.find(TokenDigest::of(token), ring.generation(), now()).is_none());
        return;
    }
    let mut parts = rest.splitn(2, |&b| b == b'\n');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    let Ok(principal) = verifier.verify(&token, ring, now()) else { return };
    let header: Value = serde_json::from_slice(header).expect("an accepted header is JSON");
    let claims: Value = serde_json::from_slice(claims).expect("accepted claims are JSON");
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none());
    let expiry = claims["exp"].as_f64().expect("an accepted token ends");
    assert!(expiry + *leeway as f64 >= NOW_UNIX_S as f64, "{claims}");
    assert!(
        claims.get("nbf").is_none_or(|from| from.as_f64().is_some_and(|from| from <= (NOW_UNIX_S + leeway) as f64))
    );
    assert_eq!(claims["iss"], "https://issuer.example");
    let audience = &claims["aud"];
    assert!(audience == "app" || audience.as_array().is_some_and(|list| list.iter().any(|one| one == "app")));
    // Some issuers number their users.
    let subject = claims["sub"].as_str().map(str::to_owned).or_else(|| claims["sub"].as_u64().map(|n| n.to_string()));
    assert_eq!(principal.subject.as_deref(), subject.as_deref());
});
