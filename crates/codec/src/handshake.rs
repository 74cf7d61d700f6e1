//! The two keys of the opening handshake (RFC 6455 4.1, 4.2.2).
//!
//! They prove that the server speaks WebSocket; they are no secret and authenticate nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// RFC 6455 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptKey([u8; 28]);

impl AcceptKey {
    /// As header text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As header bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 28] {
        &self.0
    }
}

/// The answer to a `Sec-WebSocket-Key`, given as the bytes of the header.
#[must_use]
pub fn accept_key(key: &[u8]) -> AcceptKey {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    AcceptKey(encoded(&digest))
}

/// A `Sec-WebSocket-Key` to send upstream, from 16 random bytes.
#[must_use]
pub fn request_key(nonce: [u8; 16]) -> [u8; 24] {
    encoded(&nonce)
}

/// Whether this is 16 bytes in canonical base64, as RFC 6455 4.2.1 demands.
#[must_use]
pub fn is_valid_key(key: &str) -> bool {
    let mut decoded = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut decoded) == Ok(16)
}

/// Base64 of a length that the caller knows.
fn encoded<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut out = [b'='; LEN];
    let written = STANDARD.encode_slice(bytes, &mut out);
    debug_assert_eq!(written, Ok(LEN));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_1_3_gives_its_answer() {
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept.as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_key_is_valid_and_a_bent_one_is_not() {
        let key = request_key(*b"the sample nonce");
        assert_eq!(&key, b"dGhlIHNhbXBsZSBub25jZQ==");
        let cases = [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("", false),
            ("dGhlIHNhbXBsZSBub25jZQ", false),    // no padding
            ("dGhlIHNhbXBsZSBub25jZR==", false),  // bits beyond the 16 bytes
            ("dGhlIHNhbXBsZSBub25jZSE=", false),  // 17 bytes
            ("dGhlIHNhbXBsZSBub25j", false),      // 15 bytes
            ("dGhlIHNhbXBsZSBub25jZQ== ", false), // a space
            ("dGhlIHNhbXBsZSBub25_ZQ==", false),  // the URL alphabet
            ("dGhlIHNhbXBsZSBub25jZQ==\r\n", false),
        ];
        for (key, valid) in cases {
            assert_eq!(is_valid_key(key), valid, "{key:?}");
        }
    }
}
