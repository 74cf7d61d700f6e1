//! Inflating one message, with its size and its ratio counted on the way (RFC 7692 7.2.2).
//!
//! A message must be a whole number of DEFLATE blocks that ends where the message ends. Where
//! implementations differ (data after a final block, a block that is cut, a message of no bytes)
//! the message is refused: what the gate reads and what the upstream reads must be the same.
//! One such end is seen only where messages stand alone: inside the header of a block. To see it,
//! the stream must be ended, and with context takeover it has to go on; zlib, which nearly all who
//! keep a context use, then reads the next message as we do.

use flate2::{Decompress, FlushDecompress, Status};

use crate::buffer::Buffer;
use crate::deflate::Params;
use crate::error::ProtocolError;
use crate::frame::Sender;
use crate::limits::Limits;

/// What the sender took off the end of the message.
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];
/// An empty final block: ends a stream, if and only if the stream stands between two blocks.
const FINAL_BLOCK: &[u8] = &[0x01, 0x00, 0x00, 0xff, 0xff];
/// Output grows by so much at a time, and the limits are judged after each step.
const STEP_BYTES: usize = 16 << 10;
/// Heap memory of an inflater, as measured; zlib-rs takes the same for every window.
pub const INFLATER_BYTES: usize = 47_696;
/// The smallest window of zlib; it also inflates what was compressed for 8 bits.
const WINDOW_BITS_MIN: u8 = 9;

/// How one direction is inflated.
///
/// Without context takeover it holds nothing, and the inflater of the [`crate::Scratch`] serves.
/// With it, it owns an inflater of [`INFLATER_BYTES`] from the first compressed message on.
#[derive(Debug)]
pub struct Inflate {
    own: Option<Box<Decompress>>,
    takeover: bool,
    window_bits: u8,
}

/// How a run of the inflater ended.
enum Run<'a> {
    /// All input is used up.
    Open,
    /// A final block ended; so much input was left.
    Ended(&'a [u8]),
}

impl Inflate {
    /// For what `sender` sends under `params`.
    #[must_use]
    pub fn new(params: &Params, sender: Sender) -> Self {
        let (bits, alone) = match sender {
            Sender::Client => (params.client_max_window_bits, params.client_no_context_takeover),
            Sender::Server => (params.server_max_window_bits, params.server_no_context_takeover),
        };
        Self { own: None, takeover: !alone, window_bits: bits.unwrap_or(15).clamp(WINDOW_BITS_MIN, 15) }
    }

    /// Whether a message may refer to those before it. If so, once a compressed message of this
    /// direction was dropped or rewritten, those after it cannot be forwarded as they came: the
    /// receiver lacks what they refer to. They are to be sent anew.
    #[must_use]
    pub fn has_context_takeover(&self) -> bool {
        self.takeover
    }

    /// Inflates one message into `out`.
    pub(crate) fn message(
        &mut self,
        packed: &[u8],
        out: &mut Buffer,
        shared: &mut Option<Box<Decompress>>,
        limits: &Limits,
    ) -> Result<(), ProtocolError> {
        let inflater = if self.takeover {
            let bits = self.window_bits;
            self.own.get_or_insert_with(|| Box::new(Decompress::new_with_window_bits(false, bits)))
        } else {
            let inflater = shared.get_or_insert_with(|| Box::new(Decompress::new(false)));
            inflater.reset(false);
            inflater
        };
        out.clear();
        let budget = Budget::new(packed.len(), limits);
        if packed.is_empty() {
            return Err(ProtocolError::InflateFailed);
        }
        if let Run::Ended(left) = feed(inflater, packed, out, &budget)? {
            // RFC 7692 7.2.3.4: a final block is followed by one byte of padding.
            inflater.reset(false);
            return match left {
                [] | [0x00] => Ok(()),
                _ => Err(ProtocolError::InflateFailed),
            };
        }
        let inflated = out.len();
        let tail = feed(inflater, TAIL, out, &budget)?;
        if out.len() != inflated || matches!(tail, Run::Ended(_)) {
            return Err(ProtocolError::InflateFailed);
        }
        if !self.takeover {
            let end = feed(inflater, FINAL_BLOCK, out, &budget)?;
            if out.len() != inflated || !matches!(end, Run::Ended([])) {
                return Err(ProtocolError::InflateFailed);
            }
        }
        Ok(())
    }
}

/// Runs the inflater until `input` is used up, or a final block or a limit ends it.
fn feed<'a>(
    inflater: &mut Decompress,
    mut input: &'a [u8],
    out: &mut Buffer,
    budget: &Budget,
) -> Result<Run<'a>, ProtocolError> {
    let given = input.len();
    loop {
        let room = out.room(STEP_BYTES);
        let room_bytes = room.len() as u64;
        let (in_before, out_before) = (inflater.total_in(), inflater.total_out());
        let status =
            inflater.decompress(input, room, FlushDecompress::Sync).map_err(|_| ProtocolError::InflateFailed)?;
        let used = inflater.total_in() - in_before;
        let produced = inflater.total_out() - out_before;
        input = input.get(used as usize..).unwrap_or_default();
        out.advance(produced as usize);
        let more = !input.is_empty() || produced == room_bytes;
        budget.judge(out.len(), given.saturating_sub(input.len()), more)?;
        if status == Status::StreamEnd {
            return Ok(Run::Ended(input));
        }
        if input.is_empty() && produced < room_bytes {
            return Ok(Run::Open);
        }
        if used == 0 && produced == 0 {
            return Err(ProtocolError::InflateFailed);
        }
    }
}

/// How far one message may grow.
struct Budget {
    bytes_max: u64,
    ratio_bytes_max: u64,
    ratio_max: u32,
}

impl Budget {
    fn new(packed_bytes: usize, limits: &Limits) -> Self {
        let mut budget =
            Self { bytes_max: limits.message_bytes_max, ratio_bytes_max: 0, ratio_max: limits.inflate_ratio_max };
        budget.ratio_bytes_max = budget.by_ratio(packed_bytes).max(limits.inflate_ratio_grace_bytes);
        budget
    }

    /// What so many bytes may become.
    fn by_ratio(&self, packed_bytes: usize) -> u64 {
        match self.ratio_max {
            0 => u64::MAX,
            max => u64::from(max).saturating_mul(packed_bytes as u64),
        }
    }

    /// So much came of the first `used` bytes. What is too large ends here; where it has grown beyond the ratio so far, and
    /// `more` is to come, it is a bomb that was stopped early.
    fn judge(&self, inflated: usize, used: usize, more: bool) -> Result<(), ProtocolError> {
        let inflated = inflated as u64;
        if inflated > self.bytes_max && !(more && inflated > self.by_ratio(used)) {
            return Err(ProtocolError::InflatedTooLarge { max: self.bytes_max });
        }
        if inflated > self.bytes_max || inflated > self.ratio_bytes_max {
            return Err(ProtocolError::InflateRatio { max: self.ratio_max });
        }
        Ok(())
    }
}
