//! Fields sealed before a backend or the audit sees them, and opened for those who may read them (SPEC 8.8).
//!
//! A sealed value is the text `pcs1.KEY.TYPE.BYTES`: the key's id, the type of the message it was sealed in, and nonce,
//! ciphertext and tag of AES-256-GCM, each in base64url. What is authenticated beside the value: the key's id, that type,
//! the field's name in the policy and the tenant of who sealed it. So a text moved to a field of another name, to another
//! tenant, or changed, does not open. The first key seals, all of them open.
//!
//! Randomness is an argument. With random nonces of 96 bits a key is good for 2³² values (NIST SP 800-38D 8.3): change it
//! before. Input and output are the bytes of a JSON value. Tests: here and in `tests/sealing.rs`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// What every sealed value begins with.
pub const PREFIX: &str = "pcs1.";
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Random bytes for one value.
pub const RANDOM_BYTES: usize = NONCE_LEN;
/// Rounds of PBKDF2-HMAC-SHA256 (OWASP Password Storage Cheat Sheet, 2023).
const ROUNDS: u32 = 600_000;

/// A key and its name.
struct Key {
    id: Box<str>,
    key: LessSafeKey,
}

/// The keys, the one that seals first.
#[derive(Clone, Default)]
pub struct Keys(Arc<Vec<Key>>);

/// What a value is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The field's name in the policy.
    pub name: &'a str,
    /// The tenant of who sealed it; empty without one.
    pub tenant: &'a str,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not of the form.
    Malformed,
    /// No key of that name is there.
    KeyUnknown,
    /// It was changed, or belongs to another field or tenant.
    Broken,
}

impl Fault {
    /// In words, for operators.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Malformed => "it begins as a sealed value and is none",
            Self::KeyUnknown => "it was sealed with a key that is not in `sealing.keys`",
            Self::Broken => "it was changed, or was sealed for another field or tenant",
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// The bytes of a key from a passphrase: PBKDF2-HMAC-SHA256, salted with the key's id, so that all nodes find the same.
#[must_use]
pub fn stretch(id: &str, passphrase: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let salt = format!("portcullis sealing {id}");
    let rounds = NonZeroU32::new(ROUNDS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt.as_bytes(), passphrase, key.as_mut_slice());
    key
}

impl Keys {
    /// The keys by their ids; the first seals.
    #[must_use]
    pub fn new<'k>(keys: impl IntoIterator<Item = (&'k str, &'k [u8; KEY_BYTES])>) -> Self {
        let read = keys.into_iter().filter_map(|(id, bytes)| {
            // AES-256 takes any 32 bytes.
            let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
            Some(Key { id: id.into(), key: LessSafeKey::new(key) })
        });
        Self(Arc::new(read.collect()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Seals one value of a message of a type. `None` without a key.
    #[must_use]
    pub fn seal(&self, place: &Place<'_>, kind: &[u8], value: &[u8], random: [u8; RANDOM_BYTES]) -> Option<String> {
        let key = self.0.first()?;
        let mut bytes = value.to_vec();
        let aad = Aad::from(bound(&key.id, kind, place));
        key.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(random), aad, &mut bytes).ok()?;
        let body = [random.as_slice(), &bytes].concat();
        let (kind, body) = (URL_SAFE_NO_PAD.encode(kind), URL_SAFE_NO_PAD.encode(body));
        Some(format!("{PREFIX}{}.{kind}.{body}", key.id))
    }

    /// Opens a value; `None` where it is not sealed.
    ///
    /// # Errors
    /// [`Fault`].
    #[must_use]
    pub fn open(&self, place: &Place<'_>, text: &[u8]) -> Option<Result<Vec<u8>, Fault>> {
        let text = text.strip_prefix(PREFIX.as_bytes())?;
        Some(self.open_body(place, text))
    }

    fn open_body(&self, place: &Place<'_>, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut parts = text.split(|&byte| byte == b'.');
        let (Some(id), Some(kind), Some(body), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(Fault::Malformed);
        };
        let decode = |text| URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed);
        let (kind, mut body) = (decode(kind)?, decode(body)?);
        let key = self.0.iter().find(|key| key.id.as_bytes() == id).ok_or(Fault::KeyUnknown)?;
        let Some((random, sealed)) = body.split_first_chunk_mut::<RANDOM_BYTES>() else { return Err(Fault::Malformed) };
        let aad = Aad::from(bound(&key.id, &kind, place));
        let nonce = Nonce::assume_unique_for_key(*random);
        key.key.open_in_place(nonce, aad, sealed).map(|value| value.to_vec()).map_err(|_| Fault::Broken)
    }
}

/// What is authenticated beside the value, lengths in front.
fn bound(id: &str, kind: &[u8], place: &Place<'_>) -> Vec<u8> {
    let mut bytes = PREFIX.as_bytes().to_vec();
    for part in [id.as_bytes(), kind, place.name.as_bytes(), place.tenant.as_bytes()] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Place<'_> = Place { name: "card", tenant: "a" };

    #[test]
    fn a_value_opens_where_it_belongs_and_nowhere_else() {
        let (old, new) = ([1; KEY_BYTES], [2; KEY_BYTES]);
        let keys = Keys::new([("old", &old)]);
        let sealed = keys.seal(&CARD, b"save", b"\"4111\"", [5; 12]).unwrap();
        assert!(sealed.starts_with("pcs1.old.c2F2ZQ.") && !sealed.contains("4111"));
        let rotated = Keys::new([("new", &new), ("old", &old)]);
        assert_eq!(rotated.open(&CARD, sealed.as_bytes()), Some(Ok(b"\"4111\"".to_vec())));
        assert!(rotated.seal(&CARD, b"save", b"1", [6; 12]).unwrap().starts_with("pcs1.new."));
        for place in [Place { name: "note", ..CARD }, Place { tenant: "b", ..CARD }, Place { tenant: "", ..CARD }] {
            assert_eq!(rotated.open(&place, sealed.as_bytes()), Some(Err(Fault::Broken)), "{place:?}");
        }
        assert_eq!(Keys::new([("new", &new)]).open(&CARD, sealed.as_bytes()), Some(Err(Fault::KeyUnknown)));
        assert_eq!(Keys::new([("old", &new)]).open(&CARD, sealed.as_bytes()), Some(Err(Fault::Broken)));
        assert_eq!(keys.open(&CARD, b"plain"), None);
    }

    #[test]
    fn nothing_that_was_changed_opens_and_no_bytes_panic() {
        let keys = Keys::new([("k", &[7; KEY_BYTES])]);
        let sealed = keys.seal(&CARD, b"save", b"{\"a\":1}", [5; 12]).unwrap().into_bytes();
        for at in PREFIX.len()..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] = if forged[at] == b'A' { b'Q' } else { b'A' };
            assert!(matches!(keys.open(&CARD, &forged), Some(Err(_))), "{at}");
            assert!(matches!(keys.open(&CARD, &sealed[..at]), Some(Err(_))), "{at}");
        }
    }

    #[test]
    fn a_passphrase_makes_the_same_key_for_the_same_id() {
        assert_eq!(stretch("a", b"correct horse"), stretch("a", b"correct horse"));
        assert_ne!(stretch("a", b"correct horse"), stretch("b", b"correct horse"));
    }
}
