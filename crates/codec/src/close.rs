//! Close codes and close payloads (RFC 6455 5.5.1, 7.4).

use crate::error::ProtocolError;

/// The purpose is fulfilled.
pub const NORMAL: u16 = 1000;
/// An endpoint goes away: a server stops, a page is left.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A kind of data that the endpoint does not take.
pub const UNSUPPORTED_DATA: u16 = 1003;
/// Never on the wire: stands for a close frame without a code.
pub const NO_STATUS: u16 = 1005;
/// Never on the wire: stands for a connection that ended without a close frame.
pub const ABNORMAL: u16 = 1006;
/// Data that contradicts its type, as text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The message breaks the endpoint's policy.
pub const POLICY_VIOLATION: u16 = 1008;
/// The message is too big to process.
pub const MESSAGE_TOO_BIG: u16 = 1009;
/// The client needs an extension that the server did not agree to.
pub const MANDATORY_EXTENSION: u16 = 1010;
/// The server met a condition it did not expect.
pub const INTERNAL_ERROR: u16 = 1011;
/// The service restarts (IANA registry).
pub const SERVICE_RESTART: u16 = 1012;
/// Try again later (IANA registry).
pub const TRY_AGAIN_LATER: u16 = 1013;
/// The server upstream answered badly (IANA registry).
pub const BAD_GATEWAY: u16 = 1014;

/// Bytes of reason that fit beside the code in one control frame.
pub const REASON_BYTES_MAX: usize = 123;

/// Whether `code` may be on the wire: assigned by RFC 6455 7.4.1 or IANA (1000–1003, 1007–1014),
/// or for libraries and applications (3000–4999).
#[must_use]
pub fn is_valid_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What a close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseReason<'a> {
    /// `None` when the payload is empty.
    pub code: Option<u16>,
    /// At most [`REASON_BYTES_MAX`] bytes; text from the peer, not to be trusted.
    pub reason: &'a str,
}

/// Reads the unmasked payload of a close frame.
///
/// # Errors
/// One byte of payload, a code that may not be sent, a reason that is not UTF-8.
pub fn parse(payload: &[u8]) -> Result<CloseReason<'_>, ProtocolError> {
    let (code, reason) = match payload {
        [] => {
            return Ok(CloseReason { code: None, reason: "" });
        }
        [_] => return Err(ProtocolError::CloseTruncated),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !is_valid_code(code) {
        return Err(ProtocolError::InvalidCloseCode(code));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok(CloseReason { code: Some(code), reason })
}

/// The longest beginning of `reason` that fits a close frame and ends between characters.
#[must_use]
pub fn truncated_reason(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}
