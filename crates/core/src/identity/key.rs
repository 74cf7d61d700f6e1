//! A verification key with its one algorithm (RFC 8725 3.1).
//!
//! Decides whether a signature is good. The algorithm belongs to the key: a token can only name it, never
//! choose it. Keys are parsed and checked once, when they are loaded: blank or short secrets, weak RSA keys
//! and points off the curve are refused there. Never prints its material.

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents, VerificationAlgorithm};
use aws_lc_rs::{error::KeyRejected, hmac};
use jsonwebtoken::DecodingKey;

use crate::policy::checked::{Algorithm, StaticKey};

/// Shortest HMAC secret accepted at all, bytes. `check` warns below 32.
pub const SECRET_BYTES_MIN: usize = 16;

/// Smallest RSA modulus, bits (RFC 7518 3.3).
pub const RSA_BITS_MIN: usize = 2048;

/// Largest RSA modulus, bits: a larger one makes verification an attack on ourselves.
pub const RSA_BITS_MAX: usize = 8192;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Anyone can sign with an empty secret.
    #[error("the secret is empty; write one of at least 32 random bytes")]
    Blank,
    /// Too short to resist guessing.
    #[error("the secret has {0} bytes; at least 16 are needed and 32 are advised")]
    Short(usize),
    /// Not a key of the named algorithm.
    #[error("not a public key for `{0:?}`: expected PEM (`-----BEGIN PUBLIC KEY-----`)")]
    Unreadable(Algorithm),
    /// RSA numbers out of bounds.
    #[error("an RSA key must have 2048 to 8192 bits and an odd exponent above 2")]
    WeakRsa,
}

/// One key, pinned to one algorithm.
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// What algorithms share a kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Hmac,
    Rsa,
    Ec256,
    Ec384,
    Ed25519,
}

pub(crate) fn family(algorithm: Algorithm) -> Family {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Family::Hmac,
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Family::Rsa,
        Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Family::Rsa,
        Algorithm::ES256 => Family::Ec256,
        Algorithm::ES384 => Family::Ec384,
        Algorithm::EdDSA => Family::Ed25519,
    }
}

impl Key {
    /// A key written in the policy: an HMAC secret, or a public key in PEM.
    ///
    /// # Errors
    /// The secret is too short, or the PEM is not a public key of the pinned algorithm.
    pub fn from_policy(key: &StaticKey) -> Result<Self, KeyError> {
        let bytes = key.material.expose();
        let unreadable = |_| KeyError::Unreadable(key.algorithm);
        let decoded = match family(key.algorithm) {
            Family::Hmac => return Self::secret(key.id.as_deref(), key.algorithm, bytes, SECRET_BYTES_MIN),
            Family::Rsa => DecodingKey::from_rsa_pem(bytes).map_err(unreadable)?,
            Family::Ec256 | Family::Ec384 => DecodingKey::from_ec_pem(bytes).map_err(unreadable)?,
            Family::Ed25519 => DecodingKey::from_ed_pem(bytes).map_err(unreadable)?,
        };
        let raw = decoded.try_get_as_bytes().map_err(unreadable)?;
        if family(key.algorithm) == Family::Rsa {
            let public = aws_lc_rs::rsa::PublicKey::from_der(raw).map_err(|_| KeyError::Unreadable(key.algorithm))?;
            let parts = RsaPublicKeyComponents::<Vec<u8>>::from(&public);
            return Self::rsa(key.id.as_deref(), key.algorithm, &parts.n, &parts.e);
        }
        Self::public(key.id.as_deref(), key.algorithm, raw)
    }

    /// An HMAC secret of at least `bytes_min` bytes.
    pub(crate) fn secret(
        id: Option<&str>,
        algorithm: Algorithm,
        secret: &[u8],
        bytes_min: usize,
    ) -> Result<Self, KeyError> {
        if secret.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return Err(KeyError::Blank);
        }
        if secret.len() < bytes_min {
            return Err(KeyError::Short(secret.len()));
        }
        let hash = hmac_algorithm(algorithm).ok_or(KeyError::Unreadable(algorithm))?;
        Ok(Self {
            id: id.map(Into::into),
            algorithm,
            material: Material::Secret(Box::new(hmac::Key::new(hash, secret))),
        })
    }

    /// An RSA public key from its numbers, big-endian.
    pub(crate) fn rsa(id: Option<&str>, algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let n = without_leading_zeros(n);
        let e = without_leading_zeros(e);
        let bits = n.len().saturating_mul(8) - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !odd(n) || !odd(e) || e == [1] || e.len() > 8 {
            return Err(KeyError::WeakRsa);
        }
        let parameters = match algorithm {
            Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
            other => return Err(KeyError::Unreadable(other)),
        };
        let parsed = RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(parameters)
            .map_err(|_: KeyRejected| KeyError::Unreadable(algorithm))?;
        Ok(Self { id: id.map(Into::into), algorithm, material: Material::Public(parsed) })
    }

    /// An elliptic-curve point (uncompressed) or an Ed25519 key (32 bytes).
    pub(crate) fn public(id: Option<&str>, algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let (kind, length): (&'static dyn VerificationAlgorithm, usize) = match algorithm {
            Algorithm::ES256 => (&signature::ECDSA_P256_SHA256_FIXED, 65),
            Algorithm::ES384 => (&signature::ECDSA_P384_SHA384_FIXED, 97),
            Algorithm::EdDSA => (&signature::ED25519, 32),
            other => return Err(KeyError::Unreadable(other)),
        };
        if bytes.len() != length {
            return Err(KeyError::Unreadable(algorithm));
        }
        let parsed = ParsedPublicKey::new(kind, bytes).map_err(|_| KeyError::Unreadable(algorithm))?;
        Ok(Self { id: id.map(Into::into), algorithm, material: Material::Public(parsed) })
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The only algorithm it verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `signed`. HMACs are compared in constant time.
    #[must_use]
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Material::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

pub(crate) fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn without_leading_zeros(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number {
        number = rest;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixture;
    use crate::policy::checked::Secret;

    fn from_policy(algorithm: Algorithm, material: &[u8]) -> Result<Key, KeyError> {
        Key::from_policy(&StaticKey { id: None, algorithm, material: Secret::new(material.to_vec()) })
    }

    #[test]
    fn weak_secrets_are_refused_when_they_are_loaded() {
        assert_eq!(from_policy(Algorithm::HS256, b"").err(), Some(KeyError::Blank));
        assert_eq!(from_policy(Algorithm::HS256, &[b' '; 40]).err(), Some(KeyError::Blank));
        assert_eq!(from_policy(Algorithm::HS256, &[0; 40]).err(), Some(KeyError::Blank));
        assert_eq!(from_policy(Algorithm::HS256, &[b'k'; 15]).err(), Some(KeyError::Short(15)));
        assert!(from_policy(Algorithm::HS256, &[b'k'; 16]).is_ok());
    }

    #[test]
    fn a_pem_key_verifies_what_its_owner_signed_and_only_with_its_algorithm() {
        for signer in fixture::asymmetric() {
            let key = from_policy(signer.algorithm, signer.pem().as_bytes()).unwrap();
            assert!(key.verifies(b"message", &signer.sign(b"message")), "{:?}", signer.algorithm);
            assert!(!key.verifies(b"massage", &signer.sign(b"message")));
            for other in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
                if family(other) != family(signer.algorithm) {
                    assert!(from_policy(other, signer.pem().as_bytes()).is_err(), "{other:?}");
                }
            }
        }
    }

    #[test]
    fn debug_never_shows_the_secret() {
        let key = from_policy(Algorithm::HS256, b"a secret of many bytes, indeed").unwrap();
        assert_eq!(format!("{key:?}"), "Key { id: None, algorithm: HS256, .. }");
    }
}
