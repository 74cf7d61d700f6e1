//! JSON Web Key Sets (RFC 7517): decides which keys of a document may verify tokens.
//!
//! Never fetches one. A key that cannot be used (unknown type, meant for encryption, weak, malformed, an
//! algorithm the source is not pinned to) is left out and counted; a document that is no key set is an error,
//! so that the set before it stays. Symmetric keys are taken from files only, and only where the set holds
//! nothing else: a set with public keys is meant to be published.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::{Family, Key, family, hmac_algorithm};
use super::{strict_json, token};
use crate::policy::checked::{Algorithm, JwksLocation, JwksSource};

/// Why a document is no key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Larger than `bytes_max`.
    #[error("the key set has {0} bytes; `bytes_max` allows {1}")]
    TooLarge(usize, usize),
    /// Not `{"keys": […]}`.
    #[error("not a JSON Web Key Set: expected an object with a list `keys` and no duplicate names")]
    Malformed,
    /// More than `keys_max`.
    #[error("the key set has {0} keys; `keys_max` allows {1}")]
    TooMany(usize, usize),
    /// None of its keys can verify anything.
    #[error("none of the {0} keys of the set can be used with the algorithms named for it")]
    NoneUsable(usize),
}

/// The usable keys of one document.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: usize,
    fingerprint: [u8; 32],
}

impl KeySet {
    /// Reads a document by the rules of its source.
    ///
    /// # Errors
    /// The document is too large, no key set, has too many keys or none that can be used.
    pub fn parse(bytes: &[u8], source: &JwksSource) -> Result<Self, JwksError> {
        if bytes.len() > source.bytes_max {
            return Err(JwksError::TooLarge(bytes.len(), source.bytes_max));
        }
        let document = strict_json::object(bytes).ok_or(JwksError::Malformed)?;
        let list = document.get("keys").and_then(Value::as_array).ok_or(JwksError::Malformed)?;
        if list.len() > source.keys_max {
            return Err(JwksError::TooMany(list.len(), source.keys_max));
        }
        let secret = |key: &Value| key.get("kty").and_then(Value::as_str) == Some("oct");
        let secrets_allowed = matches!(source.location, JwksLocation::File(_)) && list.iter().all(secret);
        let mut set = Self { keys: Vec::new(), skipped: 0, fingerprint: super::cache::digest(bytes) };
        for entry in list {
            let used = entry.as_object().is_some_and(|jwk| set.take(jwk, &source.algorithms, secrets_allowed));
            set.skipped += usize::from(!used);
        }
        if set.keys.is_empty() {
            return Err(JwksError::NoneUsable(list.len()));
        }
        Ok(set)
    }

    /// The usable keys, one for each algorithm a key may verify.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Entries of the document that were left out.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Adds a key for every algorithm it may verify; of two with one id and family the first is kept.
    fn take(&mut self, jwk: &Map<String, Value>, algorithms: &[Algorithm], secrets_allowed: bool) -> bool {
        let Some((material, id)) = Material::read(jwk) else { return false };
        if matches!(material, Material::Secret(_)) && !secrets_allowed {
            return false;
        }
        let named = match jwk.get("alg") {
            None => None,
            // An algorithm we do not know is a purpose we do not serve.
            Some(name) => match name.as_str().and_then(token::algorithm) {
                Some(algorithm) => Some(algorithm),
                None => return false,
            },
        };
        let before = self.keys.len();
        for &algorithm in algorithms {
            let fits = family(algorithm) == material.family() && named.is_none_or(|only| only == algorithm);
            let taken = |key: &Key| id.is_some() && key.id() == id && family(key.algorithm()) == family(algorithm);
            let earlier = self.keys.get(..before).unwrap_or_default();
            if fits && !earlier.iter().any(taken) {
                self.keys.extend(material.key(id, algorithm));
            }
        }
        self.keys.len() > before
    }
}

enum Material {
    Secret(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point { family: Family, bytes: Vec<u8> },
}

impl Material {
    fn read(jwk: &Map<String, Value>) -> Option<(Self, Option<&str>)> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if jwk.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops") {
            operations.as_array()?.iter().find(|operation| operation.as_str() == Some("verify"))?;
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str().filter(|id| !id.is_empty() && id.len() <= token::KEY_ID_BYTES_MAX)?),
        };
        let point = |family: Family, coordinate_bytes: usize| {
            let (x, y) = (number("x")?, number("y")?);
            if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
                return None;
            }
            let bytes = [&[4], x.as_slice(), y.as_slice()].concat();
            Some(Self::Point { family, bytes })
        };
        let material = match (text("kty")?, text("crv")) {
            ("oct", _) => Self::Secret(number("k")?),
            ("RSA", _) => Self::Rsa { n: number("n")?, e: number("e")? },
            ("EC", Some("P-256")) => point(Family::Ec256, 32)?,
            ("EC", Some("P-384")) => point(Family::Ec384, 48)?,
            ("OKP", Some("Ed25519")) => Self::Point { family: Family::Ed25519, bytes: number("x")? },
            _ => return None,
        };
        Some((material, id))
    }

    fn family(&self) -> Family {
        match self {
            Self::Secret(_) => Family::Hmac,
            Self::Rsa { .. } => Family::Rsa,
            Self::Point { family, .. } => *family,
        }
    }

    fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        match self {
            // RFC 7518 3.2: a key at least as long as the hash.
            Self::Secret(secret) => {
                let bytes_min = hmac_algorithm(algorithm)?.digest_algorithm().output_len();
                Key::secret(id, algorithm, secret, bytes_min).ok()
            }
            Self::Rsa { n, e } => Key::rsa(id, algorithm, n, e).ok(),
            Self::Point { bytes, .. } => Key::public(id, algorithm, bytes).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixture;

    fn source(location: JwksLocation) -> JwksSource {
        JwksSource {
            location,
            algorithms: vec![Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256],
            refresh: std::time::Duration::from_secs(300),
            bytes_max: 4096,
            keys_max: 3,
            provider: None,
        }
    }

    fn url() -> JwksSource {
        source(JwksLocation::Url("https://idp.example/jwks".into()))
    }

    #[test]
    fn a_set_of_public_keys_is_read() {
        for signer in fixture::asymmetric() {
            let document = format!(r#"{{"keys":[{}]}}"#, signer.jwk("one"));
            let source = JwksSource { algorithms: vec![signer.algorithm], ..url() };
            let set = KeySet::parse(document.as_bytes(), &source).unwrap();
            assert_eq!(set.keys().len(), 1);
            assert!(set.keys()[0].verifies(b"m", &signer.sign(b"m")), "{:?}", signer.algorithm);
        }
    }

    #[test]
    fn a_key_without_algorithm_verifies_each_that_the_source_names() {
        let rsa = fixture::signer(Algorithm::RS256);
        let jwk = rsa.jwk("one").replace(r#""alg":"RS256","#, "");
        let set = KeySet::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes(), &url()).unwrap();
        let algorithms: Vec<_> = set.keys().iter().map(Key::algorithm).collect();
        assert_eq!(algorithms, [Algorithm::RS256, Algorithm::PS256]);
    }

    #[test]
    fn documents_out_of_bounds_are_errors() {
        let key = fixture::signer(Algorithm::EdDSA).jwk("k");
        let of = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec![key.as_str(); count].join(","));
        assert!(KeySet::parse(of(3).as_bytes(), &url()).is_ok());
        assert_eq!(KeySet::parse(of(4).as_bytes(), &url()).err(), Some(JwksError::TooMany(4, 3)));
        let padded = |bytes: usize| format!("{}{}", of(1), " ".repeat(bytes - of(1).len()));
        assert!(KeySet::parse(padded(4096).as_bytes(), &url()).is_ok());
        assert!(matches!(KeySet::parse(padded(4097).as_bytes(), &url()), Err(JwksError::TooLarge(4097, 4096))));
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(KeySet::parse(bad.as_bytes(), &url()).err(), Some(JwksError::Malformed), "{bad}");
        }
        assert_eq!(KeySet::parse(br#"{"keys":[]}"#, &url()).err(), Some(JwksError::NoneUsable(0)));
    }

    #[test]
    fn unusable_keys_are_left_out() {
        let good = fixture::signer(Algorithm::EdDSA).jwk("good");
        for bad in [
            good.replace("\"good\"", "\"bad\"").replace("sig", "enc"),
            good.replace("\"good\"", "\"bad\"").replace("EdDSA", "ES512"),
            good.replace("\"good\"", "7"),
            good.replace("\"good\"", "\"bad\"").replace("\"x\":\"", "\"x\":\"AAAA"),
            good.replace("\"good\"", "\"bad\"").replace("\"use\":\"sig\"", "\"key_ops\":[\"sign\"]"),
            good.clone(),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.into(),
            r#"{"kty":"oct","k":"c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA"}"#.into(),
            "7".into(),
        ] {
            let set = KeySet::parse(format!(r#"{{"keys":[{good},{bad}]}}"#).as_bytes(), &url()).unwrap();
            assert_eq!((set.keys().len(), set.skipped()), (1, 1), "{bad}");
        }
    }

    #[test]
    fn secrets_come_from_files_only_and_never_beside_public_keys() {
        let secret = r#"{"kty":"oct","kid":"s","k":"c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA"}"#;
        let public = fixture::signer(Algorithm::EdDSA).jwk("p");
        let alone = format!(r#"{{"keys":[{secret}]}}"#);
        let mixed = format!(r#"{{"keys":[{secret},{public}]}}"#);
        let file = source(JwksLocation::File("keys.json".into()));
        assert_eq!(KeySet::parse(alone.as_bytes(), &file).unwrap().keys().len(), 1);
        assert_eq!(KeySet::parse(alone.as_bytes(), &url()).err(), Some(JwksError::NoneUsable(1)));
        let set = KeySet::parse(mixed.as_bytes(), &file).unwrap();
        assert_eq!(set.keys().iter().map(Key::algorithm).collect::<Vec<_>>(), [Algorithm::EdDSA]);
    }
}
