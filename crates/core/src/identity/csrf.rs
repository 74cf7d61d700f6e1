//! Tokens against cross-site request forgery (SPEC 8.7): they prove that a page of ours, which can read what the gateway
//! answers over HTTP, meant this operation; a foreign page can open a connection with a visitor's cookie, and not read.
//!
//! A token is an HMAC-SHA256 over route, session, subject and type of message, with its end and a random number; nothing
//! is kept of it. The session is the credential's; a credential without one binds to its subject alone. The key is the
//! operator's, so every node knows every token. Randomness is an argument.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Principal;

/// What every token begins with.
pub const PREFIX: &str = "pcc_";
/// Random bytes of a token.
pub const RANDOM_BYTES: usize = 16;
const END_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
const TOKEN_BYTES: usize = END_BYTES + RANDOM_BYTES + MAC_BYTES;
/// Base64 of it, without padding.
const TEXT_BYTES: usize = TOKEN_BYTES.div_ceil(3) * 4 - 1;
/// Tells these MACs from all others made with the same key.
const PURPOSE: &[u8] = b"portcullis csrf token 1";

/// What a token is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// The route's name.
    pub route: &'a str,
    /// Whose.
    pub principal: &'a Principal,
    /// The type of message.
    pub operation: &'a [u8],
}

/// The key that makes and verifies tokens.
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<hmac::Key>,
    ttl: Duration,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no token of this key, or is bound to something else.
    Foreign,
    /// Its time is over.
    Ended,
}

impl Signer {
    /// Tokens good for `ttl`.
    #[must_use]
    pub fn new(secret: &[u8], ttl: Duration) -> Self {
        Self { key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)), ttl }
    }

    /// How long a token is good.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A token. Of a caller without a subject there is none to bind it to.
    #[must_use]
    pub fn issue(&self, purpose: &Purpose<'_>, random: [u8; RANDOM_BYTES], now_unix_s: u64) -> Option<String> {
        let end = now_unix_s.saturating_add(self.ttl.as_secs()).to_be_bytes();
        let mac = self.mac(purpose, &end, &random)?;
        let token = [&end, random.as_slice(), mac.as_ref()].concat();
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token)))
    }

    /// Verifies a token; its random bytes, by which a second use is known.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn verify(&self, purpose: &Purpose<'_>, text: &[u8], now_unix_s: u64) -> Result<[u8; RANDOM_BYTES], Fault> {
        let text =
            text.strip_prefix(PREFIX.as_bytes()).filter(|text| text.len() == TEXT_BYTES).ok_or(Fault::Foreign)?;
        let mut bytes = [0; TOKEN_BYTES + 3];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| Fault::Foreign)?;
        let token = bytes.get(..length).filter(|token| token.len() == TOKEN_BYTES).ok_or(Fault::Foreign)?;
        let (end, rest) = token.split_first_chunk::<END_BYTES>().ok_or(Fault::Foreign)?;
        let (random, mac) = rest.split_first_chunk::<RANDOM_BYTES>().ok_or(Fault::Foreign)?;
        let known = self.mac(purpose, end, random).ok_or(Fault::Foreign)?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(known.as_ref(), mac)) {
            return Err(Fault::Foreign);
        }
        if now_unix_s >= u64::from_be_bytes(*end) { Err(Fault::Ended) } else { Ok(*random) }
    }

    fn mac(&self, purpose: &Purpose<'_>, end: &[u8; END_BYTES], random: &[u8; RANDOM_BYTES]) -> Option<hmac::Tag> {
        let subject = purpose.principal.subject.as_deref()?;
        let session = purpose.principal.session.as_deref().unwrap_or_default();
        let tenant = purpose.principal.tenant.as_deref().unwrap_or_default();
        let mut context = hmac::Context::with_key(&self.key);
        context.update(PURPOSE);
        context.update(end);
        context.update(random);
        // Lengths in front, so that no two lists of texts are the same bytes.
        let bound =
            [purpose.route.as_bytes(), session.as_bytes(), subject.as_bytes(), tenant.as_bytes(), purpose.operation];
        for part in bound {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Some(context.sign())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_session_subject_route_and_operation_until_its_end() {
        let signer = Signer::new(b"a key of thirty-two bytes, or so", Duration::from_secs(3600));
        let ann = Principal { subject: Some("ann".into()), session: Some("s1".into()), ..Principal::anonymous() };
        let purpose = Purpose { route: "bank", principal: &ann, operation: b"transfer" };
        let token = signer.issue(&purpose, [7; 16], 1000).unwrap();
        assert_eq!(signer.verify(&purpose, token.as_bytes(), 4599), Ok([7; 16]));
        assert_eq!(signer.verify(&purpose, token.as_bytes(), 4600), Err(Fault::Ended));
        let bob = Principal { subject: Some("bob".into()), ..ann.clone() };
        let elsewhere = Principal { session: Some("s2".into()), ..ann.clone() };
        let shifted = Principal { subject: Some("1ann".into()), session: Some("s".into()), ..ann.clone() };
        for other in [
            Purpose { principal: &bob, ..purpose },
            Purpose { principal: &elsewhere, ..purpose },
            Purpose { principal: &shifted, ..purpose },
            Purpose { route: "shop", ..purpose },
            Purpose { operation: b"delete", ..purpose },
        ] {
            assert_eq!(signer.verify(&other, token.as_bytes(), 1000), Err(Fault::Foreign), "{other:?}");
        }
        let other_key = Signer::new(b"another key, which nobody here has", Duration::from_secs(3600));
        assert_eq!(other_key.verify(&purpose, token.as_bytes(), 1000), Err(Fault::Foreign));
        assert_eq!(signer.issue(&Purpose { principal: &Principal::anonymous(), ..purpose }, [7; 16], 1000), None);
    }

    #[test]
    fn a_token_changed_anywhere_or_cut_is_no_token() {
        let signer = Signer::new(b"a key of thirty-two bytes, or so", Duration::from_secs(60));
        let ann = Principal { subject: Some("ann".into()), ..Principal::anonymous() };
        let purpose = Purpose { route: "bank", principal: &ann, operation: b"transfer" };
        let token = signer.issue(&purpose, [9; 16], 1000).unwrap().into_bytes();
        for at in 0..token.len() {
            let mut forged = token.clone();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(signer.verify(&purpose, &forged, 1000), Err(Fault::Foreign), "{at}");
            assert_eq!(signer.verify(&purpose, &token[..at], 1000), Err(Fault::Foreign));
        }
    }
}
