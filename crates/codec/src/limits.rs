//! How much a peer may send in one frame and one message.

/// What one direction of one connection may send; checked before anything is buffered.
///
/// The memory of a partial message is its bytes as they came: at most `message_bytes_max` plus
/// [`HEADER_BYTES_MAX`] for each of `fragments_max` frames, and at most twice that while the
/// buffer grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one message, after inflating. Default 1 MiB: holds any ordinary
    /// application message, and a thousand half-sent ones fit a gigabyte.
    pub message_bytes_max: u64,
    /// Payload bytes that one frame may announce; refused on the header. Default 1 MiB, so that
    /// an unfragmented message may be as large as any.
    pub frame_bytes_max: u64,
    /// Frames of one message, empty ones too; 0 counts as 1. Default 1024: real clients fragment
    /// into pieces of kilobytes, tiny-fragment floods into hundreds of thousands.
    pub fragments_max: u32,
    /// Inflated bytes for one compressed byte; 0 sets no limit. Default 100: JSON seldom passes
    /// 30, bombs come close to DEFLATE's 1032.
    pub inflate_ratio_max: u32,
    /// The ratio is judged only past this many inflated bytes, for a short run of one letter is
    /// no attack. Default 64 KiB.
    pub inflate_ratio_grace_bytes: u64,
}

/// Bytes of the longest frame header: two, eight of length, four of mask (RFC 6455 5.2).
pub const HEADER_BYTES_MAX: usize = 14;

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            fragments_max: 1024,
            inflate_ratio_max: 100,
            inflate_ratio_grace_bytes: 64 << 10,
        }
    }
}

impl Limits {
    /// What `max` inflated bytes may take when they do not compress, so that a message of exactly the
    /// allowed size is not refused for being compressed. DEFLATE's fixed code spends nine bits on most
    /// bytes, an eighth more; stored blocks of an encoder with little memory (Python's `websockets`
    /// keeps 2 KiB) add less.
    #[must_use]
    pub fn compressed_bytes_max(max: u64) -> u64 {
        max.saturating_add(max >> 3).saturating_add(64)
    }
}
