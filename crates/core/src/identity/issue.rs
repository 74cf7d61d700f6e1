//! Tokens made and taken apart for people: `token issue`, `token decode` and the demo.
//!
//! Issues HMAC tokens only; decides nothing about tokens that come from clients.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::key::{SECRET_BYTES_MIN, hmac_algorithm};
use super::strict_json;
use crate::policy::checked::{Algorithm, Secret};

/// Why no token was made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Only HS256, HS384 and HS512 are issued.
    #[error("tokens are issued with HS256, HS384 or HS512, not with `{0:?}`")]
    Algorithm(Algorithm),
    /// The secret is too short.
    #[error("the secret has {0} bytes; at least 16 are needed and 32 are advised")]
    Secret(usize),
    /// The text is no compact token.
    #[error("not a token: expected three parts of base64url JSON, JSON and signature")]
    NotAToken,
}

/// Signs the claims as they are.
///
/// # Errors
/// The algorithm is not HMAC, or the secret is shorter than 16 bytes.
pub fn issue(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    secret: &Secret,
    key_id: Option<&str>,
) -> Result<String, IssueError> {
    let hash = hmac_algorithm(algorithm).ok_or(IssueError::Algorithm(algorithm))?;
    let secret = secret.expose();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(IssueError::Secret(secret.len()));
    }
    let mut header = json!({"alg": format!("{algorithm:?}"), "typ": "JWT"});
    if let (Some(header), Some(key_id)) = (header.as_object_mut(), key_id) {
        header.insert("kid".into(), key_id.into());
    }
    let encode = |value: String| URL_SAFE_NO_PAD.encode(value);
    let signed = format!("{}.{}", encode(header.to_string()), encode(Value::Object(claims.clone()).to_string()));
    let signature = hmac::sign(&hmac::Key::new(hash, secret), signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A token's header and claims. Nothing is verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Takes a token apart without verifying it.
///
/// # Errors
/// The text is no compact token.
pub fn decode(token: &str) -> Result<Decoded, IssueError> {
    let mut parts = token.trim().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let mut object = || parts.next().flatten().and_then(|bytes| strict_json::object(&bytes));
    let (header, claims) = object().zip(object()).ok_or(IssueError::NotAToken)?;
    match (parts.next(), parts.next()) {
        (Some(Some(_)), None) => Ok(Decoded { header, claims }),
        _ => Err(IssueError::NotAToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{KeyRing, Verifier, fixture};
    use crate::policy::checked::StaticKey;

    #[test]
    fn an_issued_token_is_accepted_and_decodes_to_its_claims() {
        let claims = json!({"sub": "u1", "exp": fixture::NOW_UNIX_S + 60}).as_object().unwrap().clone();
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let material = Secret::new(vec![b'k'; 32]);
            let token = issue(&claims, algorithm, &material, Some("k1")).unwrap();
            let mut identity = fixture::identity();
            identity.keys = vec![StaticKey { id: Some("k1".into()), algorithm, material }];
            let ring = KeyRing::new(&identity).unwrap();
            let principal = Verifier::new(&identity).verify(&token, &ring, fixture::now()).unwrap();
            assert_eq!(principal.subject.as_deref(), Some("u1"));
            assert_eq!(decode(&token).unwrap().claims, claims);
            assert_eq!(decode(&token).unwrap().header["kid"], "k1");
        }
    }

    #[test]
    fn what_cannot_be_issued_or_read_is_an_error() {
        let claims = Map::new();
        let short = Secret::new(vec![1; 15]);
        assert_eq!(issue(&claims, Algorithm::HS256, &short, None), Err(IssueError::Secret(15)));
        let long = Secret::new(vec![1; 16]);
        assert_eq!(issue(&claims, Algorithm::ES256, &long, None), Err(IssueError::Algorithm(Algorithm::ES256)));
        for bad in ["", "a.b", "e30.e30", "e30.e30.c2ln.x", "bnVsbA.e30.c2ln"] {
            assert_eq!(decode(bad), Err(IssueError::NotAToken), "{bad}");
        }
    }
}
