//! The JSON text, written while items are read.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Input, Item};
use crate::message::json::{Bounds, Fault, plain_run};

/// The text and the open containers. Reused.
#[derive(Debug, Default)]
pub struct Buffers {
    text: Vec<u8>,
    open: Vec<Open>,
}

/// An open container.
#[derive(Debug, Clone, Copy)]
struct Open {
    is_map: bool,
    /// Items to come; of a map keys and values.
    left: u64,
    first: bool,
}

impl Buffers {
    /// The latest message as JSON.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// One key as JSON.
    pub(super) fn key_alone(&mut self, item: &Item<'_>) -> Result<&[u8], Fault> {
        self.text.clear();
        self.key(item)?;
        Ok(&self.text)
    }

    /// One value as JSON; of a container its first byte.
    pub(super) fn value_alone(&mut self, item: &Item<'_>, bounds: &Bounds) -> Result<&[u8], Fault> {
        self.text.clear();
        self.value(item, usize::MAX, bounds)?;
        Ok(&self.text)
    }

    /// Bytes held.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.text.capacity() + self.open.capacity() * size_of::<Open>()
    }

    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.text.clear();
        self.text.shrink_to(bytes);
        self.open.clear();
        self.open.shrink_to(bytes / size_of::<Open>());
    }
}

/// Reads one whole message with `next`.
pub(super) fn run<'b>(
    input: &mut Input<'b>,
    bounds: &Bounds,
    buffers: &mut Buffers,
    next: impl Fn(&mut Input<'b>) -> Result<Item<'b>, Fault>,
) -> Result<(), Fault> {
    buffers.text.clear();
    buffers.open.clear();
    let (mut keys, mut values) = (0_u32, 0_u32);
    loop {
        let is_key = buffers.begin();
        if is_key {
            keys += 1;
            if keys > bounds.keys_max {
                return Err(Fault::TooManyKeys);
            }
        } else {
            values += 1;
            if values > bounds.values_max {
                return Err(Fault::TooManyValues);
            }
        }
        let item = next(input)?;
        if let Item::Text(bytes) | Item::Bytes(bytes) = &item
            && bytes.len() > bounds.string_bytes_max as usize
        {
            return Err(Fault::StringTooLong);
        }
        if is_key {
            buffers.key(&item)?;
        } else {
            buffers.value(&item, input.left(), bounds)?;
        }
        if buffers.close() {
            break;
        }
    }
    if input.left() > 0 {
        return Err(Fault::Malformed("bytes after the message"));
    }
    Ok(())
}

impl Buffers {
    /// What stands before the next item; true when that is a key.
    fn begin(&mut self) -> bool {
        let Some(open) = self.open.last_mut() else { return false };
        let is_key = open.is_map && open.left % 2 == 0;
        if open.is_map && !is_key {
            self.text.push(b':');
        } else if !open.first {
            self.text.push(b',');
        }
        open.first = false;
        open.left -= 1;
        is_key
    }

    /// Ends the containers that are complete; true when the message is.
    fn close(&mut self) -> bool {
        while let Some(open) = self.open.last() {
            if open.left > 0 {
                return false;
            }
            self.text.push(if open.is_map { b'}' } else { b']' });
            self.open.pop();
        }
        true
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), Fault> {
        match item {
            Item::Text(bytes) => self.string(bytes),
            Item::Whole(number) => {
                self.print(format_args!("\"{number}\""));
                Ok(())
            }
            _ => Err(Fault::Malformed("a key that is neither text nor a whole number")),
        }
    }

    fn value(&mut self, item: &Item<'_>, left: usize, bounds: &Bounds) -> Result<(), Fault> {
        match item {
            Item::Null => self.text.extend_from_slice(b"null"),
            Item::Boolean(true) => self.text.extend_from_slice(b"true"),
            Item::Boolean(false) => self.text.extend_from_slice(b"false"),
            Item::Whole(number) => self.print(format_args!("{number}")),
            Item::Float(number) => self.float(*number)?,
            Item::Moment(seconds, 0) => self.print(format_args!("{seconds}")),
            Item::Moment(seconds, nanos) => self.moment(*seconds, *nanos)?,
            Item::Text(bytes) => self.string(bytes)?,
            Item::Bytes(bytes) => match simdutf8::basic::from_utf8(bytes) {
                Ok(_) => self.string(bytes)?,
                Err(_) => self.base64(bytes, bounds)?,
            },
            Item::Array(count) => self.open(false, *count, *count, left, bounds)?,
            Item::Map(pairs) => self.open(true, *pairs, pairs.saturating_mul(2), left, bounds)?,
        }
        Ok(())
    }

    fn open(&mut self, is_map: bool, count: u64, items: u64, left: usize, bounds: &Bounds) -> Result<(), Fault> {
        // An item is a byte at least.
        if items > left as u64 {
            return Err(Fault::Malformed("more items are announced than bytes are left"));
        }
        if self.open.len() >= bounds.depth_max as usize {
            return Err(Fault::TooDeep);
        }
        let (max, fault) =
            if is_map { (bounds.keys_max, Fault::TooManyKeys) } else { (bounds.values_max, Fault::TooManyValues) };
        if count > u64::from(max) {
            return Err(fault);
        }
        self.text.push(if is_map { b'{' } else { b'[' });
        self.open.push(Open { is_map, left: items, first: true });
        Ok(())
    }

    fn float(&mut self, number: f64) -> Result<(), Fault> {
        if !number.is_finite() {
            return Err(Fault::Malformed("a number that is not finite"));
        }
        // Without the exponent the largest would take 309 digits.
        if (1e-5..1e16).contains(&number.abs()) || number == 0.0 {
            self.print(format_args!("{number}"));
        } else {
            self.print(format_args!("{number:e}"));
        }
        Ok(())
    }

    fn moment(&mut self, seconds: i64, nanos: u32) -> Result<(), Fault> {
        if nanos >= 1_000_000_000 {
            return Err(Fault::Malformed("a moment with more than a second of nanoseconds"));
        }
        let all = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let (sign, all) = if all < 0 { ("-", -all) } else { ("", all) };
        self.print(format_args!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000));
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if simdutf8::basic::from_utf8(bytes).is_err() {
            return Err(Fault::Malformed("text that is not UTF-8"));
        }
        self.text.push(b'"');
        let mut rest = bytes;
        loop {
            let (plain, special) = rest.split_at_checked(plain_run(rest)).unwrap_or((rest, &[]));
            self.text.extend_from_slice(plain);
            let Some((&byte, after)) = special.split_first() else { break };
            match byte {
                b'"' | b'\\' => self.text.extend_from_slice(&[b'\\', byte]),
                // As the field's serializers spell them, so that a key said again is the key that came.
                b'\x08' => self.text.extend_from_slice(b"\\b"),
                b'\t' => self.text.extend_from_slice(b"\\t"),
                b'\n' => self.text.extend_from_slice(b"\\n"),
                b'\x0c' => self.text.extend_from_slice(b"\\f"),
                b'\r' => self.text.extend_from_slice(b"\\r"),
                _ => self.print(format_args!("\\u{byte:04x}")),
            }
            rest = after;
        }
        self.text.push(b'"');
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<(), Fault> {
        let length = bytes.len().div_ceil(3) * 4;
        if length > bounds.string_bytes_max as usize {
            return Err(Fault::StringTooLong);
        }
        self.text.push(b'"');
        let start = self.text.len();
        self.text.resize(start + length, b'=');
        let room = self.text.get_mut(start..).unwrap_or_default();
        // The room is what the standard alphabet takes, padding included.
        let _ = STANDARD.encode_slice(bytes, room);
        self.text.push(b'"');
        Ok(())
    }

    fn print(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.text.write_fmt(text);
    }
}
