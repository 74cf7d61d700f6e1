//! Keys, tokens and a policy for the tests of this crate.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::issue;
use crate::policy::checked::{Algorithm, ClaimPointers, CredentialPlace, Identity, Secret, StaticKey};
use crate::time::Now;

/// The tests' present, Unix seconds.
pub(crate) const NOW_UNIX_S: u64 = 1_800_000_000;

/// The secret of [`identity`]'s only key.
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

pub(crate) fn now() -> Now {
    Now { mono: Duration::from_secs(1000), wall: Duration::from_secs(NOW_UNIX_S) }
}

pub(crate) fn identity() -> Identity {
    Identity {
        keys: vec![StaticKey { id: None, algorithm: Algorithm::HS256, material: Secret::new(SECRET.to_vec()) }],
        jwks: Vec::new(),
        introspection: None,
        issuers: Vec::new(),
        audiences: Vec::new(),
        authorized_parties: Vec::new(),
        leeway: Duration::from_secs(30),
        require_expiry: true,
        token_bytes_max: 8192,
        credentials: vec![
            CredentialPlace::Header,
            CredentialPlace::Cookie,
            CredentialPlace::Query,
            CredentialPlace::Subprotocol,
        ],
        claims: ClaimPointers {
            subject: "/sub".into(),
            roles: "/roles".into(),
            permissions: "/permissions".into(),
            tenant: "/tenant".into(),
            tenants: String::new(),
            session: "/sid".into(),
            second_factor: crate::identity::SecondFactor { amr: vec!["mfa".into()], ..Default::default() },
            cookie_name: "access_token".into(),
            query_name: "token".into(),
        },
        cache_ttl: Duration::from_secs(300),
        cache_entries_max: 1000,
        first_message_timeout: Duration::from_secs(10),
        development_bypass: None,
        forward_token: false,
        api_keys: true,
        tickets: None,
        csrf: None,
        renewal: None,
        sessions: None,
        header_secret: None,
    }
}

/// A token of [`SECRET`].
pub(crate) fn hs256(claims: &Value) -> String {
    issue::issue(claims.as_object().unwrap(), Algorithm::HS256, &Secret::new(SECRET.to_vec()), None).unwrap()
}

pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

static RSA: LazyLock<[Signer; 2]> = LazyLock::new(|| {
    [Algorithm::RS256, Algorithm::PS256].map(|algorithm| {
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        Signer { algorithm, pair: Pair::Rsa(pair) }
    })
});

static CURVES: LazyLock<[Signer; 3]> = LazyLock::new(|| {
    let ec = |algorithm, kind| Signer { algorithm, pair: Pair::Ec(EcdsaKeyPair::generate(kind).unwrap()) };
    [
        ec(Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        ec(Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer { algorithm: Algorithm::EdDSA, pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) },
    ]
});

pub(crate) fn asymmetric() -> impl Iterator<Item = &'static Signer> {
    RSA.iter().chain(CURVES.iter())
}

pub(crate) fn signer(algorithm: Algorithm) -> &'static Signer {
    asymmetric().find(|signer| signer.algorithm == algorithm).unwrap()
}

impl Signer {
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut out).unwrap();
                out
            }
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as PEM.
    pub(crate) fn pem(&self) -> String {
        let der = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        };
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The public key as JSON Web Key.
    pub(crate) fn jwk(&self, id: &str) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let numbers = match &self.pair {
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                format!(r#""kty":"RSA","n":"{}","e":"{}""#, encode(&parts.n), encode(&parts.e))
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                format!(r#""kty":"EC","crv":"{curve}","x":"{}","y":"{}""#, encode(x), encode(y))
            }
            Pair::Ed(pair) => {
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, encode(pair.public_key().as_ref()))
            }
        };
        format!(r#"{{"alg":"{:?}","use":"sig","kid":"{id}",{numbers}}}"#, self.algorithm)
    }

    /// A token with that header.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())))
    }
}

/// Header and payload of a token.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}
