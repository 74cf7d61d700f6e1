//! Compressing one message so that it stands alone (RFC 7692 7.2.1).

use flate2::{Compress, Compression, FlushCompress};

use crate::scratch::Scratch;

/// Room for the output grows by so much at a time.
const STEP_BYTES: usize = 16 << 10;

/// Appends `payload`, compressed, to `out`, to be sent with RSV1 set
/// ([`crate::frame::encode_compressed_message`]). It refers to nothing before it, and so is valid
/// with and without context takeover; mind what [`crate::Inflate::has_context_takeover`] says of
/// the messages after it. `window_bits` is what was negotiated for the direction, 15 if nothing.
///
/// Returns false, and leaves `out` as it was, for a window of 8 bits, which zlib cannot do: send
/// the message uncompressed then, which is always allowed.
#[must_use]
pub fn compress_into(scratch: &mut Scratch, payload: &[u8], out: &mut Vec<u8>, window_bits: u8) -> bool {
    if !(9..=15).contains(&window_bits) {
        return false;
    }
    if payload.is_empty() {
        out.push(0x00); // RFC 7692 7.2.3.6
        return true;
    }
    let start = out.len();
    let compressor = compressor(scratch, window_bits);
    let done = run(compressor, payload, out);
    let done = done && out.ends_with(&[0x00, 0x00, 0xff, 0xff]) && out.len() >= start + 4;
    out.truncate(if done { out.len() - 4 } else { start });
    done
}

fn compressor(scratch: &mut Scratch, window_bits: u8) -> &mut Compress {
    let fresh = || {
        let level = Compression::fast();
        Box::new(Compress::new_with_window_bits(level, false, window_bits))
    };
    let (bits, compressor) = scratch.compressor.get_or_insert_with(|| (window_bits, fresh()));
    if *bits == window_bits {
        compressor.reset();
    } else {
        *bits = window_bits;
        *compressor = fresh();
    }
    compressor
}

/// Compresses all of `input` up to a byte boundary.
fn run(compressor: &mut Compress, mut input: &[u8], out: &mut Vec<u8>) -> bool {
    loop {
        let end = out.len();
        out.resize(end + STEP_BYTES.min(input.len() + 64), 0);
        let room = out.get_mut(end..).unwrap_or_default();
        let room_bytes = room.len();
        let (in_before, out_before) = (compressor.total_in(), compressor.total_out());
        if compressor.compress(input, room, FlushCompress::Sync).is_err() {
            return false;
        }
        let used = (compressor.total_in() - in_before) as usize;
        let produced = (compressor.total_out() - out_before) as usize;
        input = input.get(used..).unwrap_or_default();
        out.truncate(end + produced);
        if input.is_empty() && produced < room_bytes {
            return true;
        }
        if used == 0 && produced == 0 {
            return false;
        }
    }
}
