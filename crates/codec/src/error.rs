//! The rules a peer can break, one variant each.
//!
//! Every error is the *peer's* fault. Whoever sees one fails the connection with
//! [`ProtocolError::close_code`] and counts it under [`ProtocolError::label`].

use crate::close;

/// A rule of RFC 6455 or RFC 7692, or a limit of ours, that the peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// RFC 6455 5.1: a client masks every frame.
    #[error("a client's frame is not masked")]
    UnmaskedClientFrame,
    /// RFC 6455 5.1: a server masks no frame.
    #[error("a server's frame is masked")]
    MaskedServerFrame,
    /// RFC 6455 5.2: RSV2 and RSV3 belong to extensions nobody negotiated.
    #[error("a reserved bit (RSV2 or RSV3) is set")]
    ReservedBits,
    /// RFC 6455 5.2: opcodes 3–7 and 11–15 are reserved.
    #[error("opcode `{0:#x}` is reserved")]
    ReservedOpcode(u8),
    /// RFC 6455 5.5: a control frame is never fragmented.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// RFC 6455 5.5: a control frame carries at most 125 bytes.
    #[error("a control frame announces more than 125 bytes")]
    ControlTooLong,
    /// RFC 6455 5.2: a length takes the fewest bytes that hold it.
    #[error("a frame's length is not encoded in the fewest bytes")]
    NonMinimalLength,
    /// RFC 6455 5.2: the highest bit of a 64-bit length is zero.
    #[error("a frame's length exceeds 63 bits")]
    LengthOverflow,
    /// RFC 6455 5.4: a continuation needs a message to continue.
    #[error("a continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// RFC 6455 5.4: fragments of two messages do not mix.
    #[error("a new message began before the one before it ended")]
    ExpectedContinuation,
    /// RFC 6455 8.1: text is UTF-8.
    #[error("a text message is not UTF-8")]
    InvalidUtf8,
    /// RFC 6455 5.5.1: a close payload is empty or begins with a two-byte code.
    #[error("a close frame carries one byte, half a code")]
    CloseTruncated,
    /// RFC 6455 7.4: codes that must not be on the wire, or are not assigned.
    #[error("close code `{0}` may not be sent")]
    InvalidCloseCode(u16),
    /// RFC 6455 5.5.1: the reason of a close frame is UTF-8.
    #[error("the reason in a close frame is not UTF-8")]
    CloseReasonNotUtf8,
    /// Our limit [`crate::Limits::frame_bytes_max`], judged on the header.
    #[error("a frame announces {declared} bytes, {max} are allowed")]
    FrameTooLarge {
        /// Payload bytes that the header announces.
        declared: u64,
        /// Payload bytes allowed.
        max: u64,
    },
    /// Our limit [`crate::Limits::message_bytes_max`], judged on the header of each fragment.
    #[error("a message exceeds {max} bytes")]
    MessageTooLarge {
        /// Payload bytes allowed.
        max: u64,
    },
    /// Our limit [`crate::Limits::fragments_max`]; empty fragments count.
    #[error("a message has more than {max} fragments")]
    TooManyFragments {
        /// Frames allowed in a message.
        max: u32,
    },
    /// RFC 6455 5.2, RFC 7692 6: RSV1 means `compressed`, which was not negotiated.
    #[error("RSV1 is set, but no compression was negotiated")]
    CompressionNotNegotiated,
    /// RFC 7692 6.1: only the first frame of a message carries RSV1.
    #[error("RSV1 is set on a continuation frame")]
    CompressedContinuation,
    /// RFC 7692 6.1: control frames are not compressed.
    #[error("RSV1 is set on a control frame")]
    CompressedControl,
    /// RFC 7692 7.2.2: not a DEFLATE stream, one that does not end with its message, or one that
    /// goes on after its final block.
    #[error("a compressed message cannot be inflated")]
    InflateFailed,
    /// Our limit [`crate::Limits::message_bytes_max`], counted while inflating.
    #[error("a compressed message exceeds {max} bytes when inflated")]
    InflatedTooLarge {
        /// Inflated bytes allowed.
        max: u64,
    },
    /// Our limit [`crate::Limits::inflate_ratio_max`], counted while inflating; also where the size stopped a message that
    /// was past the ratio and went on.
    #[error("a compressed message grows to more than {max} times its size")]
    InflateRatio {
        /// Inflated bytes allowed for one compressed byte.
        max: u32,
    },
}

impl ProtocolError {
    /// The code to close with: 1002, 1007 or 1009 (RFC 6455 7.4.1).
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::CloseReasonNotUtf8 | Self::InflateFailed => close::INVALID_PAYLOAD,
            Self::FrameTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::TooManyFragments { .. }
            | Self::InflatedTooLarge { .. }
            | Self::InflateRatio { .. } => close::MESSAGE_TOO_BIG,
            _ => close::PROTOCOL_ERROR,
        }
    }

    /// A stable name for metrics and events.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::UnmaskedClientFrame => "unmasked_client_frame",
            Self::MaskedServerFrame => "masked_server_frame",
            Self::ReservedBits => "reserved_bits",
            Self::ReservedOpcode(_) => "reserved_opcode",
            Self::FragmentedControl => "fragmented_control",
            Self::ControlTooLong => "control_too_long",
            Self::NonMinimalLength => "non_minimal_length",
            Self::LengthOverflow => "length_overflow",
            Self::UnexpectedContinuation => "unexpected_continuation",
            Self::ExpectedContinuation => "expected_continuation",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::CloseTruncated => "close_truncated",
            Self::InvalidCloseCode(_) => "invalid_close_code",
            Self::CloseReasonNotUtf8 => "close_reason_not_utf8",
            Self::FrameTooLarge { .. } => "frame_too_large",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::TooManyFragments { .. } => "too_many_fragments",
            Self::CompressionNotNegotiated => "compression_not_negotiated",
            Self::CompressedContinuation => "compressed_continuation",
            Self::CompressedControl => "compressed_control",
            Self::InflateFailed => "inflate_failed",
            Self::InflatedTooLarge { .. } => "inflated_too_large",
            Self::InflateRatio { .. } => "inflate_ratio",
        }
    }
}
