//! UTF-8 that arrives in pieces (RFC 6455 8.1).
//!
//! Judges each byte as it comes, so that a message is refused at its first wrong byte and not
//! at its end. Keeps at most three bytes: a character that is not complete.

use crate::error::ProtocolError;

/// The state between two pieces; four bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Utf8 {
    carry: [u8; 3],
    carried: u8,
}

impl Utf8 {
    /// Takes the next piece of the text.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.carried > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            self.push(byte)?;
            piece = rest;
        }
        let (whole, open) = piece.split_at(piece.len() - open_bytes(piece));
        validate(whole)?;
        open.iter().try_for_each(|&byte| self.push(byte))
    }

    /// Whether a character is not complete.
    pub(crate) fn is_open(self) -> bool {
        self.carried > 0
    }

    /// The text has ended; it must not end inside a character.
    pub(crate) fn finish(self) -> Result<(), ProtocolError> {
        match self.carried {
            0 => Ok(()),
            _ => Err(ProtocolError::InvalidUtf8),
        }
    }

    /// Adds one byte to the character that is not complete.
    fn push(&mut self, byte: u8) -> Result<(), ProtocolError> {
        let [a, b, c] = self.carry;
        let so_far: &[u8] = match self.carried {
            0 => &[byte],
            1 => &[a, byte],
            2 => &[a, b, byte],
            _ => &[a, b, c, byte],
        };
        match std::str::from_utf8(so_far) {
            Ok(_) => self.carried = 0,
            Err(error) if error.error_len().is_none() => {
                if let Some(slot) = self.carry.get_mut(usize::from(self.carried)) {
                    *slot = byte;
                }
                self.carried += 1;
            }
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }
}

/// Judges a whole text.
pub(crate) fn validate(text: &[u8]) -> Result<(), ProtocolError> {
    match simdutf8::basic::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(ProtocolError::InvalidUtf8),
    }
}

/// Bytes at the end of `piece`, 0 to 3, that may begin a character and need more to complete it.
fn open_bytes(piece: &[u8]) -> usize {
    for (back, &byte) in piece.iter().rev().take(3).enumerate() {
        let width = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if width > back + 1 { back + 1 } else { 0 };
    }
    0
}
