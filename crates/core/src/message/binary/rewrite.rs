//! A MessagePack or CBOR message with some of its values changed.
//!
//! Input: the bytes that came, and the JSON that [`super::read`] made of them after its changes. Both are walked side by
//! side: what still says the same goes on as the bytes that came, widths, tags and kinds of text included, and only what was
//! changed is written anew. One pass over the bytes, an explicit stack. What cannot be said is an error, never a guess:
//! text in place of bytes that are no text, whole numbers past 64 bits, and JSON of another shape.

use serde_json::Value;

use super::write::Buffers;
use super::{Format, Input, Item, cbor, msgpack};
use crate::message::json::{Bounds, Fault};

/// What stands for a masked value.
const STARS: &str = "***";
/// A JSON that is not the message's.
const FOREIGN: Fault = Fault::Malformed("another message than the one that came");

/// An open container of the message.
struct Open {
    is_map: bool,
    /// Items to come; of a map keys and values.
    left: u64,
    first: bool,
}

/// The message with the values of `json`.
///
/// # Errors
/// Where a changed value cannot be said in the format, or `json` is not the message's.
pub fn rewrite(format: Format, bytes: &[u8], json: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Fault> {
    let mut walk =
        Walk { format, input: Input { bytes, at: 0 }, json, at: 0, said: Buffers::default(), out: Vec::new() };
    walk.out.reserve(bytes.len());
    let mut open: Vec<Open> = Vec::new();
    loop {
        let mut is_key = false;
        if let Some(inner) = open.last_mut() {
            is_key = inner.is_map && inner.left % 2 == 0;
            if inner.is_map && !is_key {
                walk.expect(b':')?;
            } else if !inner.first {
                walk.expect(b',')?;
            }
            inner.first = false;
            inner.left -= 1;
        }
        let start = walk.input.at;
        let item = walk.next()?;
        let came = bytes.get(start..walk.input.at).unwrap_or_default();
        match (&item, walk.peek()) {
            _ if is_key => walk.key(&item, came)?,
            (Item::Map(pairs), Some(b'{')) => {
                walk.enter(came);
                open.push(Open { is_map: true, left: pairs.saturating_mul(2), first: true });
            }
            (Item::Array(count), Some(b'[')) => {
                walk.enter(came);
                open.push(Open { is_map: false, left: *count, first: true });
            }
            _ => walk.value(&item, came, bounds)?,
        }
        while let Some(inner) = open.last().filter(|inner| inner.left == 0) {
            walk.expect(if inner.is_map { b'}' } else { b']' })?;
            open.pop();
        }
        if open.is_empty() {
            break;
        }
    }
    let over = walk.input.left() == 0 && walk.at == json.len();
    if over { Ok(walk.out) } else { Err(FOREIGN) }
}

struct Walk<'b> {
    format: Format,
    input: Input<'b>,
    json: &'b [u8],
    at: usize,
    /// An item as JSON.
    said: Buffers,
    out: Vec<u8>,
}

impl<'b> Walk<'b> {
    fn next(&mut self) -> Result<Item<'b>, Fault> {
        match self.format {
            Format::Msgpack => msgpack::next(&mut self.input),
            Format::Cbor => cbor::next(&mut self.input),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        let there = self.peek() == Some(byte);
        self.at += 1;
        if there { Ok(()) } else { Err(FOREIGN) }
    }

    fn enter(&mut self, head: &[u8]) {
        self.out.extend_from_slice(head);
        self.at += 1;
    }

    /// Keys are never changed.
    fn key(&mut self, item: &Item<'_>, came: &[u8]) -> Result<(), Fault> {
        let said = self.said.key_alone(item)?;
        let end = self.at + said.len();
        if self.json.get(self.at..end) != Some(said) {
            return Err(FOREIGN);
        }
        self.at = end;
        self.out.extend_from_slice(came);
        Ok(())
    }

    fn value(&mut self, item: &Item<'_>, came: &[u8], bounds: &Bounds) -> Result<(), Fault> {
        let end = value_end(self.json, self.at).ok_or(FOREIGN)?;
        let new = self.json.get(self.at..end).unwrap_or_default();
        self.at = end;
        if matches!(item, Item::Array(_) | Item::Map(_)) {
            self.skip(item)?;
        } else if self.said.value_alone(item, bounds)? == new {
            self.out.extend_from_slice(came);
            return Ok(());
        }
        if !is_exact(new) {
            return Err(Fault::Malformed("a whole number of more than 64 bits"));
        }
        let value = serde_json::from_slice(new).map_err(|_| FOREIGN)?;
        match (item, &value) {
            (Item::Bytes(bytes), Value::String(text)) => {
                // Text in place of what is read as base64 would be other bytes; only stars are meant as such.
                if simdutf8::basic::from_utf8(bytes).is_err() && text != STARS {
                    return Err(Fault::Malformed("bytes that are no text cannot be changed"));
                }
                self.text(Kind::Bytes, text.as_bytes())
            }
            _ => self.write(&value),
        }
    }

    /// Passes what stands in a container that was replaced.
    fn skip(&mut self, item: &Item<'_>) -> Result<(), Fault> {
        let items = |item: &Item<'_>| match item {
            Item::Array(count) => *count,
            Item::Map(pairs) => pairs.saturating_mul(2),
            _ => 0,
        };
        let mut left = items(item);
        while left > 0 {
            let inner = self.next()?;
            left = (left - 1).saturating_add(items(&inner));
        }
        Ok(())
    }

    /// Writes a value. What serde reads nests at most 128 deep.
    fn write(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => self.out.push(if self.format == Format::Msgpack { 0xc0 } else { 0xf6 }),
            Value::Bool(truth) => {
                self.out.push(if self.format == Format::Msgpack { 0xc2 } else { 0xf4 } + u8::from(*truth));
            }
            Value::Number(number) => self.number(number)?,
            Value::String(text) => self.text(Kind::Text, text.as_bytes())?,
            Value::Array(items) => {
                self.head(Kind::Array, items.len())?;
                for item in items {
                    self.write(item)?;
                }
            }
            Value::Object(members) => {
                self.head(Kind::Map, members.len())?;
                for (key, value) in members {
                    self.text(Kind::Text, key.as_bytes())?;
                    self.write(value)?;
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Fault> {
        self.head(kind, bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn number(&mut self, number: &serde_json::Number) -> Result<(), Fault> {
        match (self.format, number.as_u64(), number.as_i64()) {
            (Format::Cbor, Some(whole), _) => self.argument(0, whole),
            // -1 is 0, -2 is 1: the bits turned over.
            (Format::Cbor, None, Some(whole)) => self.argument(1, (!whole).cast_unsigned()),
            (Format::Msgpack, Some(whole @ 0..=0x7f), _) => self.out.extend(whole.to_be_bytes().last()),
            (Format::Msgpack, Some(whole), _) => self.sized([0xcc, 0xcd, 0xce, 0xcf], whole),
            (Format::Msgpack, None, Some(whole @ -32..=-1)) => self.out.extend(whole.to_be_bytes().last()),
            (Format::Msgpack, None, Some(whole)) => {
                self.out.push(0xd3);
                self.out.extend(whole.to_be_bytes());
            }
            (format, None, None) => {
                let float = number.as_f64().filter(|float| float.is_finite()).ok_or(FOREIGN)?;
                self.out.push(if format == Format::Msgpack { 0xcb } else { 0xfb });
                self.out.extend(float.to_be_bytes());
            }
        }
        Ok(())
    }

    fn head(&mut self, kind: Kind, length: usize) -> Result<(), Fault> {
        let length = u64::from(u32::try_from(length).map_err(|_| Fault::StringTooLong)?);
        match (self.format, kind) {
            (Format::Cbor, _) => self.argument(kind as u8, length),
            (_, Kind::Text) if length < 32 => self.small(0xa0, length),
            (_, Kind::Array) if length < 16 => self.small(0x90, length),
            (_, Kind::Map) if length < 16 => self.small(0x80, length),
            (_, Kind::Text) => self.sized([0xd9, 0xda, 0xdb, 0xdb], length),
            (_, Kind::Bytes) => self.sized([0xc4, 0xc5, 0xc6, 0xc6], length),
            (_, Kind::Array) => self.counted([0xdc, 0xdd], length),
            (_, Kind::Map) => self.counted([0xde, 0xdf], length),
        }
        Ok(())
    }

    fn small(&mut self, first: u8, length: u64) {
        self.out.extend(length.to_be_bytes().last().map(|length| first | length));
    }

    /// MessagePack has no head of one byte for a count.
    fn counted(&mut self, [two, four]: [u8; 2], number: u64) {
        let (first, bytes) = if number <= 0xffff { (two, 2) } else { (four, 4) };
        self.out.push(first);
        self.out.extend_from_slice(number.to_be_bytes().get(8 - bytes..).unwrap_or_default());
    }

    /// A first byte that says how many bytes the number takes, 1, 2, 4 or 8, and the number.
    fn sized(&mut self, firsts: [u8; 4], number: u64) {
        let [one, two, four, eight] = firsts;
        let (first, bytes) = match number {
            0..=0xff => (one, 1),
            0x100..=0xffff => (two, 2),
            0x1_0000..=0xffff_ffff => (four, 4),
            _ => (eight, 8),
        };
        self.out.push(first);
        self.out.extend_from_slice(number.to_be_bytes().get(8 - bytes..).unwrap_or_default());
    }

    /// The head of a CBOR item (RFC 8949 3).
    fn argument(&mut self, major: u8, number: u64) {
        let major = major << 5;
        match number {
            0..=23 => self.small(major, number),
            _ => self.sized([major | 24, major | 25, major | 26, major | 27], number),
        }
    }
}

/// What has a length; the numbers are CBOR's.
#[derive(Clone, Copy)]
enum Kind {
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
}

/// Where a value ends that begins at an offset. What is read is well-formed.
fn value_end(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string_end(json, at),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, at);
            loop {
                match json.get(at)? {
                    b'"' => {
                        at = string_end(json, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let rest = json.get(at..)?;
            let ends = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
            Some(at + ends.unwrap_or(rest.len()))
        }
    }
}

/// Where a string ends that begins at an offset.
fn string_end(json: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        match json.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Whether every whole number of a JSON fits 64 bits; others would be rounded.
fn is_exact(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => match string_end(json, at) {
                Some(end) => at = end,
                None => return false,
            },
            b'-' | b'0'..=b'9' => {
                let rest = json.get(at..).unwrap_or_default();
                let part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let number = rest.get(..rest.iter().take_while(|byte| part(byte)).count()).unwrap_or_default();
                let text = std::str::from_utf8(number).unwrap_or_default();
                let whole = number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
                if whole && text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
                    return false;
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    true
}
