//! The message every case sends: a chat line as JSON, of an exact size, each with an id of its own
//! and the time it was written, as a production policy wants them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::Failure;
use crate::wire::{Chance, FIN, Head, TEXT, apply_mask};

const BEFORE_ID: &str = r#"{"id":""#;
const AFTER_ID: &str = r#"","type":"chat","timestamp":"#;
const AFTER_TIME: &str = r#","text":""#;
const END: &str = r#""}"#;
const TIME_DIGITS: usize = 10;
const ENGLISH: &str = "Morning all, the harbour office says the ferry leaves at half past \
    nine, so please bring the boxes down to the quay before then and tell Maria to keep two \
    seats by the window. ";

pub(crate) const ID_BYTES: usize = 36;
/// Where the id begins in a message.
pub(crate) const ID_OFFSET: usize = BEFORE_ID.len();

pub(crate) type Id = [u8; ID_BYTES];

/// A message of one size, ready to be filled in.
#[derive(Debug, Clone)]
pub(crate) struct Chat {
    after_time: Vec<u8>,
    size_bytes: usize,
}

impl Chat {
    pub(crate) fn new(size_bytes: usize) -> Result<Self, Failure> {
        let fixed = ID_OFFSET + ID_BYTES + AFTER_ID.len() + TIME_DIGITS + AFTER_TIME.len();
        let least = fixed + END.len();
        let text = size_bytes.checked_sub(least).ok_or(Failure::TooSmall { asked: size_bytes, least })?;
        let mut after_time = AFTER_TIME.as_bytes().to_vec();
        after_time.extend(ENGLISH.bytes().cycle().take(text));
        after_time.extend_from_slice(END.as_bytes());
        Ok(Self { after_time, size_bytes })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Appends the masked frame of the message with this id.
    pub(crate) fn write_frame(&self, out: &mut Vec<u8>, id: &Id, unix_s: u64, mask: [u8; 4]) {
        let payload_bytes = self.size_bytes as u64;
        Head { first_byte: FIN | TEXT, mask: Some(mask), payload_bytes }.encode(out);
        let start = out.len();
        out.extend_from_slice(BEFORE_ID.as_bytes());
        out.extend_from_slice(id);
        out.extend_from_slice(AFTER_ID.as_bytes());
        out.extend_from_slice(&decimal(unix_s));
        out.extend_from_slice(&self.after_time);
        if let Some(payload) = out.get_mut(start..) {
            apply_mask(payload, mask, 0);
        }
    }
}

/// An id in the form of a version 4 UUID.
pub(crate) fn fresh_id(chance: &mut Chance) -> Id {
    let high = chance.next_u64() & !0xF000 | 0x4000;
    let low = chance.next_u64() >> 2 | 1 << 63;
    let mut id = [b'-'; ID_BYTES];
    let (left, right) = id.split_at_mut(18);
    write_hex(left, high, [8, 13]);
    write_hex(right, low, [0, 5]);
    id
}

/// Sixteen hexadecimal digits into one half of an id, around its two dashes.
fn write_hex(half: &mut [u8], mut value: u64, dashes: [usize; 2]) {
    for (at, slot) in half.iter_mut().enumerate() {
        if !dashes.contains(&at) {
            value = value.rotate_left(4);
            let digit = (value & 0xF) as u8;
            *slot = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        }
    }
}

fn decimal(mut value: u64) -> [u8; TIME_DIGITS] {
    let mut digits = [b'0'; TIME_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    digits
}

pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Deframer;

    #[test]
    fn a_message_is_json_of_exactly_the_size_asked_for() {
        for size_bytes in [128, 1024, 16_384] {
            let chat = Chat::new(size_bytes).unwrap();
            let id = fresh_id(&mut Chance::new(7));
            let mut frame = Vec::new();
            chat.write_frame(&mut frame, &id, 1_790_000_000, [9, 8, 7, 6]);

            let piece = Deframer::default().next_piece(&mut frame.as_mut_slice()).unwrap().bytes;

            assert_eq!(piece.len(), size_bytes);
            assert_eq!(piece[ID_OFFSET..][..ID_BYTES], id);
            let message: serde_json::Value = serde_json::from_slice(piece).unwrap();
            assert_eq!(message["type"], "chat");
            assert_eq!(message["timestamp"], 1_790_000_000);
        }
    }

    #[test]
    fn an_id_reads_as_a_uuid_of_version_4() {
        let mut chance = Chance::new(1);
        for _ in 0..100 {
            let id = String::from_utf8(fresh_id(&mut chance).to_vec()).unwrap();
            let dashes: Vec<usize> = id.match_indices('-').map(|(at, _)| at).collect();
            assert_eq!(dashes, [8, 13, 18, 23]);
            assert_eq!(&id[14..15], "4");
            assert!("89ab".contains(&id[19..20]));
        }
    }

    #[test]
    fn a_size_that_leaves_no_room_for_the_fields_is_refused() {
        assert!(Chat::new(40).is_err());
    }
}
