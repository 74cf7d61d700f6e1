//! API keys of service accounts (SPEC 3.4): whether one proves a principal, and which.
//!
//! A key reads `pcl_<id>_<secret>`: 16 hexadecimal digits that name it and 256 random bits as base64url. Only the
//! SHA-256 of the whole text is kept; with that many random bits a slow hash would add nothing but a way to make the
//! gate slow. A key nobody knows costs the same digest and the same comparison as one that is known, and its answer is
//! the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::HEXLOWER;
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use super::cache::digest;
use super::principal::{Method, Principal};
use crate::time::Now;
use crate::verdict::Reason;

/// What every key begins with, so that scanners of repositories and logs can tell one.
pub const PREFIX: &str = "pcl_";
/// Random bytes that make a key: its id and its secret.
pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;
/// Most keys, those that have ended included.
pub const KEYS_MAX: usize = 100_000;
/// Longest name, subject, tenant, role or permission of a key, bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most roles, and most permissions, of one key.
pub const GRANTS_MAX: usize = 64;

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const ID_CHARS: usize = ID_BYTES * 2;
const SECRET_CHARS: usize = 43;

/// SHA-256 of a key's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// A key as it is made: the only time its text is known.
pub struct Minted {
    /// Names it in lists, events and commands.
    pub id: String,
    /// What its owner sends.
    pub text: String,
    /// What is kept.
    pub digest: KeyDigest,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Minted {
    /// A new key from random bytes.
    #[must_use]
    pub fn new(random: &[u8; RANDOM_BYTES]) -> Self {
        let (id, secret) = random.split_at(ID_BYTES);
        Self::under(HEXLOWER.encode(id), secret)
    }

    /// A new secret under an id that is in use.
    #[must_use]
    pub fn again(id: &str, random: &[u8; RANDOM_BYTES]) -> Self {
        Self::under(id.to_owned(), random.split_at(ID_BYTES).1)
    }

    fn under(id: String, secret: &[u8]) -> Self {
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        Self { id, digest: KeyDigest(digest(text.as_bytes())), text }
    }
}

/// Whom a key stands for, what it may, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// What it is for, in words.
    pub name: String,
    /// Whom it stands for.
    pub subject: String,
    /// Its tenant.
    pub tenant: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its permissions.
    pub permissions: Vec<String>,
    /// When it ends by itself, Unix seconds.
    pub expires_unix_s: Option<u64>,
}

impl Grants {
    fn check(&self, issued_unix_s: u64) -> Result<(), ApiKeyError> {
        let one = [("name", Some(&self.name)), ("subject", Some(&self.subject)), ("tenant", self.tenant.as_ref())];
        let one = one.into_iter().filter_map(|(what, text)| Some((what, text?)));
        let many = [("role", "roles", &self.roles), ("permission", "permissions", &self.permissions)];
        let each = many.iter().flat_map(|(what, _, list)| list.iter().map(|text| (*what, text)));
        if let Some((what, _)) = one.chain(each).find(|(_, text)| !is_name(text)) {
            return Err(ApiKeyError::Text(what));
        }
        if let Some((_, what, _)) = many.iter().find(|(_, _, list)| list.len() > GRANTS_MAX) {
            return Err(ApiKeyError::TooMany(what));
        }
        if self.expires_unix_s.is_some_and(|until| until <= issued_unix_s) {
            return Err(ApiKeyError::Ended);
        }
        Ok(())
    }
}

/// What is known of a key; of its text, digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Names it: 16 hexadecimal digits.
    pub id: String,
    /// Whom it stands for.
    #[serde(flatten)]
    pub grants: Grants,
    /// When its present secret was made, Unix seconds.
    pub issued_unix_s: u64,
    /// When it was revoked, Unix seconds.
    pub revoked_unix_s: Option<u64>,
    /// When it was last used, Unix seconds; up to a minute old.
    pub last_used_unix_s: Option<u64>,
    /// Until when the secret before the last rotation is accepted as well, Unix seconds.
    pub earlier_until_unix_s: Option<u64>,
    /// Digest of its text.
    #[serde(skip)]
    pub digest: KeyDigest,
    /// Digest of its text before the last rotation.
    #[serde(skip)]
    pub earlier: Option<KeyDigest>,
}

/// Why no key is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// A text is empty, too long, or has control characters.
    #[error("the {0} of a key has 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    Text(&'static str),
    /// Too many of them.
    #[error("a key has at most {GRANTS_MAX} {0}")]
    TooMany(&'static str),
    /// It would have ended already.
    #[error("the key would have ended before it was made")]
    Ended,
}

impl ApiKey {
    /// A key of a minted secret.
    ///
    /// # Errors
    /// What about it cannot be.
    pub fn new(minted: &Minted, grants: Grants, issued_unix_s: u64) -> Result<Self, ApiKeyError> {
        grants.check(issued_unix_s)?;
        Ok(Self {
            id: minted.id.clone(),
            grants,
            issued_unix_s,
            revoked_unix_s: None,
            last_used_unix_s: None,
            earlier_until_unix_s: None,
            digest: minted.digest,
            earlier: None,
        })
    }

    /// Whether it has been revoked or has ended.
    #[must_use]
    pub fn has_ended(&self, now_unix_s: u64) -> bool {
        self.revoked_unix_s.is_some() || self.grants.expires_unix_s.is_some_and(|until| now_unix_s >= until)
    }

    fn principal(&self) -> Principal {
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let grants = &self.grants;
        Principal {
            subject: Some(grants.subject.as_str().into()),
            method: Method::ApiKey,
            roles: boxed(&grants.roles),
            permissions: boxed(&grants.permissions),
            mfa: false,
            tenant: grants.tenant.as_deref().map(Into::into),
            tenants: Box::new([]),
            session: None,
            token_id: Some(self.id.as_str().into()),
            issued_at_unix_s: Some(self.issued_unix_s),
            expires_at_unix_s: grants.expires_unix_s,
            origin: None,
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether a credential is meant to be an API key; no other token begins like one.
#[must_use]
pub fn is_api_key(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// The id in a key's text, where the text is formed like one.
fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_CHARS)?;
    let secret = secret.strip_prefix('_')?;
    let formed = id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        && secret.len() == SECRET_CHARS
        && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    formed.then_some(id)
}

/// The keys as admission asks them: immutable but for the time of their last use, swapped whole.
#[derive(Debug, Default)]
pub struct KeyBook {
    keys: HashMap<Box<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: ApiKey,
    used_unix_s: AtomicU64,
}

impl KeyBook {
    /// A book of keys, at most [`KEYS_MAX`] of them.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let entry = |key: ApiKey| (key.id.as_str().into(), Entry { key, used_unix_s: AtomicU64::new(0) });
        Self { keys: keys.into_iter().take(KEYS_MAX).map(entry).collect() }
    }

    /// The subject of the key whose id a text names; whether the text is the key's, nobody has looked.
    #[must_use]
    pub fn subject_named(&self, text: &str) -> Option<Box<str>> {
        id_of(text).and_then(|id| self.keys.get(id)).map(|entry| entry.key.grants.subject.as_str().into())
    }

    /// Whose key it is.
    ///
    /// # Errors
    /// Why it proves nobody. The client is told the same whichever it is.
    pub fn verify(&self, text: &str, now: Now) -> Result<Principal, Reason> {
        let given = digest(text.as_bytes());
        let entry = id_of(text).and_then(|id| self.keys.get(id));
        // A digest that no text has, so that an unknown key takes the same way.
        let (kept, earlier) = entry.map_or(([0; 32], [0; 32]), |entry| {
            (entry.key.digest.0, entry.key.earlier.map_or([0; 32], |earlier| earlier.0))
        });
        let (present, former) = (given.ct_eq(&kept), given.ct_eq(&earlier));
        let Some(Entry { key, used_unix_s }) = entry else { return Err(Reason::CredentialInvalid) };
        let now = now.unix_seconds();
        let former = bool::from(former) && key.earlier_until_unix_s.is_some_and(|until| now < until);
        if !bool::from(present) && !former {
            return Err(Reason::CredentialInvalid);
        }
        if key.revoked_unix_s.is_some() {
            return Err(Reason::CredentialRevoked);
        }
        if key.grants.expires_unix_s.is_some_and(|until| now >= until) {
            return Err(Reason::TokenExpired);
        }
        used_unix_s.store(now, Ordering::Relaxed);
        Ok(key.principal())
    }

    /// Why a principal that came with a key may not stay, if so: the key is gone or revoked.
    #[must_use]
    pub fn refuses(&self, principal: &Principal) -> Option<Reason> {
        if !principal.rests_on_api_key() {
            return None;
        }
        let key = principal.token_id.as_deref().and_then(|id| self.keys.get(id));
        key.is_none_or(|entry| entry.key.revoked_unix_s.is_some()).then_some(Reason::CredentialRevoked)
    }

    /// Keys used since this was asked last, and when, Unix seconds.
    pub fn take_used(&self) -> Vec<(String, u64)> {
        let used = |entry: &Entry| {
            let at = entry.used_unix_s.swap(0, Ordering::Relaxed);
            (at > 0).then(|| (entry.key.id.clone(), at))
        };
        self.keys.values().filter_map(used).collect()
    }

    /// How many there are, those that have ended included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn grants() -> Grants {
        Grants {
            name: "nightly import".into(),
            subject: "svc-import".into(),
            tenant: Some("acme".into()),
            roles: vec!["importer".into()],
            permissions: vec!["rows.write".into()],
            expires_unix_s: Some(2_000),
        }
    }

    fn minted(seed: u8) -> Minted {
        Minted::new(&std::array::from_fn(|n| seed.wrapping_mul(31).wrapping_add(n as u8)))
    }

    fn at(unix_s: u64) -> Now {
        Now { mono: Duration::ZERO, wall: Duration::from_secs(unix_s) }
    }

    fn book(change: impl FnOnce(&mut ApiKey)) -> (KeyBook, Minted) {
        let minted = minted(1);
        let mut key = ApiKey::new(&minted, grants(), 1_000).unwrap();
        change(&mut key);
        (KeyBook::new([key]), minted)
    }

    #[test]
    fn a_key_proves_whom_it_stands_for_until_it_ends() {
        let (book, minted) = book(|_| {});
        let principal = book.verify(&minted.text, at(1_500)).unwrap();
        assert_eq!(principal.subject.as_deref(), Some("svc-import"));
        assert_eq!(principal.method, Method::ApiKey);
        assert_eq!(principal.token_id.as_deref(), Some(minted.id.as_str()));
        assert_eq!((principal.tenant.as_deref(), &*principal.roles[0]), (Some("acme"), "importer"));
        assert_eq!(principal.expires_at_unix_s, Some(2_000));
        assert!(book.verify(&minted.text, at(1_999)).is_ok());
        assert_eq!(book.verify(&minted.text, at(2_000)), Err(Reason::TokenExpired));
    }

    #[test]
    fn a_revoked_key_is_refused_and_its_principals_may_not_stay() {
        let (book, minted) = book(|_| {});
        let principal = book.verify(&minted.text, at(1_500)).unwrap();
        assert_eq!(book.refuses(&principal), None);
        let mut key = ApiKey::new(&minted, grants(), 1_000).unwrap();
        key.revoked_unix_s = Some(1_600);
        let later = KeyBook::new([key]);
        assert_eq!(later.verify(&minted.text, at(1_700)), Err(Reason::CredentialRevoked));
        assert_eq!(later.refuses(&principal), Some(Reason::CredentialRevoked));
        assert_eq!(KeyBook::default().refuses(&principal), Some(Reason::CredentialRevoked), "it is gone");
        assert_eq!(later.refuses(&Principal::anonymous()), None, "it came without a key");
    }

    #[test]
    fn a_rotated_key_is_accepted_for_as_long_as_was_said() {
        let old = minted(1);
        let mut key = ApiKey::new(&old, Grants { expires_unix_s: None, ..grants() }, 1_000).unwrap();
        let new = Minted::again(&old.id, &[7; RANDOM_BYTES]);
        assert_eq!(new.id, old.id);
        (key.earlier, key.earlier_until_unix_s, key.digest) = (Some(key.digest), Some(1_200), new.digest);
        let book = KeyBook::new([key]);
        assert!(book.verify(&new.text, at(1_100)).is_ok());
        assert!(book.verify(&old.text, at(1_199)).is_ok());
        assert_eq!(book.verify(&old.text, at(1_200)), Err(Reason::CredentialInvalid));
    }

    #[test]
    fn the_last_use_is_told_once() {
        let (book, minted) = book(|_| {});
        let _ = book.verify("pcl_nonsense", at(1_100));
        assert_eq!(book.take_used(), []);
        book.verify(&minted.text, at(1_100)).unwrap();
        assert_eq!(book.take_used(), [(minted.id.clone(), 1_100)]);
        assert_eq!(book.take_used(), []);
    }

    #[test]
    fn nothing_prints_a_key() {
        let (book, minted) = book(|_| {});
        let shown = format!("{book:?} {minted:?}");
        let secret = minted.text.rsplit_once(&minted.id).unwrap().1;
        assert!(!shown.contains(secret) && !shown.contains(&format!("{:?}", minted.digest.0)), "{shown}");
    }

    #[test]
    fn what_a_key_cannot_be_is_refused() {
        let make = |change: fn(&mut Grants)| {
            let mut grants = grants();
            change(&mut grants);
            ApiKey::new(&minted(1), grants, 1_000).err()
        };
        assert_eq!(make(|_| {}), None);
        assert_eq!(make(|g| g.subject.clear()), Some(ApiKeyError::Text("subject")));
        assert_eq!(make(|g| g.name = "a\nb".into()), Some(ApiKeyError::Text("name")));
        assert_eq!(make(|g| g.tenant = Some("t".repeat(257))), Some(ApiKeyError::Text("tenant")));
        assert_eq!(make(|g| g.roles = vec!["r".into(); 65]), Some(ApiKeyError::TooMany("roles")));
        assert_eq!(make(|g| g.expires_unix_s = Some(1_000)), Some(ApiKeyError::Ended));
    }

    proptest! {
        #[test]
        fn no_other_text_opens(flip in 0..64_usize, to in any::<u8>(), cut in 0..64_usize) {
            let (book, minted) = book(|_| {});
            let mut bytes = minted.text.clone().into_bytes();
            let n = bytes.len();
            bytes[flip % n] = to;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(book.verify(&changed, at(1_500)).is_ok(), changed == minted.text);
            prop_assert!(book.verify(&minted.text[..cut % n], at(1_500)).is_err());
            let longer = format!("{}x", minted.text);
            prop_assert!(book.verify(&longer, at(1_500)).is_err());
        }
    }
}
