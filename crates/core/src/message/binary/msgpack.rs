//! MessagePack, by its specification of 2017. Refused: the byte that is never used, and extension types but the moment
//! (-1), which becomes its seconds.

use super::{Input, Item};
use crate::message::json::Fault;

/// The extension type of a moment.
const MOMENT: i8 = -1;

pub(super) fn next<'b>(input: &mut Input<'b>) -> Result<Item<'b>, Fault> {
    let first = input.byte()?;
    Ok(match first {
        0x00..=0x7f => Item::Whole(i128::from(first)),
        0x80..=0x8f => Item::Map(u64::from(first & 0x0f)),
        0x90..=0x9f => Item::Array(u64::from(first & 0x0f)),
        0xa0..=0xbf => Item::Text(input.take(u64::from(first & 0x1f))?),
        0xc0 => Item::Null,
        0xc1 => return Err(Fault::Malformed("a byte that MessagePack never uses")),
        0xc2 => Item::Boolean(false),
        0xc3 => Item::Boolean(true),
        0xc4..=0xc6 => {
            let length = input.unsigned(1 << (first - 0xc4))?;
            Item::Bytes(input.take(length)?)
        }
        0xc7..=0xc9 => {
            let length = input.unsigned(1 << (first - 0xc7))?;
            extension(input, length)?
        }
        0xca => Item::Float(f64::from(f32::from_be_bytes(input.fixed()?))),
        0xcb => Item::Float(f64::from_be_bytes(input.fixed()?)),
        0xcc..=0xcf => Item::Whole(i128::from(input.unsigned(1 << (first - 0xcc))?)),
        0xd0 => Item::Whole(i128::from(i8::from_be_bytes(input.fixed()?))),
        0xd1 => Item::Whole(i128::from(i16::from_be_bytes(input.fixed()?))),
        0xd2 => Item::Whole(i128::from(i32::from_be_bytes(input.fixed()?))),
        0xd3 => Item::Whole(i128::from(i64::from_be_bytes(input.fixed()?))),
        0xd4..=0xd8 => extension(input, 1 << (first - 0xd4))?,
        0xd9..=0xdb => {
            let length = input.unsigned(1 << (first - 0xd9))?;
            Item::Text(input.take(length)?)
        }
        0xdc | 0xdd => Item::Array(input.unsigned(2 << (first - 0xdc))?),
        0xde | 0xdf => Item::Map(input.unsigned(2 << (first - 0xde))?),
        0xe0..=0xff => Item::Whole(i128::from(first.cast_signed())),
    })
}

fn extension<'b>(input: &mut Input<'b>, length: u64) -> Result<Item<'b>, Fault> {
    if input.byte()?.cast_signed() != MOMENT {
        return Err(Fault::Malformed("an extension type"));
    }
    match length {
        4 => Ok(Item::Moment(i64::from(u32::from_be_bytes(input.fixed()?)), 0)),
        8 => {
            let both = u64::from_be_bytes(input.fixed()?);
            // 30 bits of nanoseconds, 34 of seconds.
            Ok(Item::Moment((both & 0x3_ffff_ffff).cast_signed(), (both >> 34) as u32))
        }
        12 => {
            let nanos = u32::from_be_bytes(input.fixed()?);
            Ok(Item::Moment(i64::from_be_bytes(input.fixed()?), nanos))
        }
        _ => Err(Fault::Malformed("a moment of a length that there is not")),
    }
}
