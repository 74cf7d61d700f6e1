//! Keys made at the start, and tokens of them.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) enum Signer {
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// One of each kind.
pub(crate) fn all() -> Vec<Signer> {
    made().unwrap_or_else(|error| super::fail(&error.to_string()))
}

fn made() -> Result<Vec<Signer>, Unspecified> {
    Ok(vec![
        Signer::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()))),
        Signer::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048)?),
        Signer::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?),
        Signer::Ed(Ed25519KeyPair::generate()?),
    ])
}

impl Signer {
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// The key as the policy has it; its id is the algorithm's name.
    pub(crate) fn key(&self) -> String {
        let name = self.algorithm();
        let der = match self {
            Self::Hmac(_) => return format!("{{ id: {name}, algorithm: {name}, secret: {SECRET} }}"),
            Self::Rsa(pair) => pair.public_key().as_der().map(|der| der.as_ref().to_vec()),
            Self::Ec(pair) => pair.public_key().as_der().map(|der| der.as_ref().to_vec()),
            Self::Ed(pair) => pair.public_key().as_der().map(|der| der.as_ref().to_vec()),
        };
        let text = STANDARD.encode(der.unwrap_or_else(|error| super::fail(&error.to_string())));
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        format!("{{ id: {name}, algorithm: {name}, public_key: {pem:?} }}")
    }

    /// A token of these claims; `suffix` makes its key's id one that nobody knows.
    pub(crate) fn token(&self, suffix: &str, claims: &Value) -> String {
        let name = self.algorithm();
        let header = json!({"alg": name, "typ": "JWT", "kid": format!("{name}{suffix}")});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.sign(signed.as_bytes()).unwrap_or_else(|error| super::fail(&error.to_string()));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out)?;
                out
            }
            Self::Ec(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}
