//! CBOR (RFC 8949). Refused: lengths that are not announced (3.2), tags but text of a date (0), seconds (1) and "this is
//! CBOR" (55799), big numbers among them, and simple values but `false`, `true`, `null` and `undefined`, which is read as
//! `null`.

use super::{Input, Item};
use crate::message::json::Fault;

const TAG_DATE: u64 = 0;
const TAG_SECONDS: u64 = 1;
const TAG_CBOR: u64 = 55_799;
/// Tags before one item: one that says what it is, and one that says it is CBOR.
const TAGS_MAX: usize = 2;

pub(super) fn next<'b>(input: &mut Input<'b>) -> Result<Item<'b>, Fault> {
    let mut tagged = None;
    for _ in 0..=TAGS_MAX {
        let first = input.byte()?;
        let (major, info) = (first >> 5, first & 0x1f);
        if major == 7 {
            return checked(simple(input, info)?, tagged);
        }
        let argument = argument(input, info)?;
        let item = match major {
            0 => Item::Whole(i128::from(argument)),
            1 => Item::Whole(-1 - i128::from(argument)),
            2 => Item::Bytes(input.take(argument)?),
            3 => Item::Text(input.take(argument)?),
            4 => Item::Array(argument),
            5 => Item::Map(argument),
            _ if tagged.is_none() && matches!(argument, TAG_DATE | TAG_SECONDS) => {
                tagged = Some(argument);
                continue;
            }
            _ if argument == TAG_CBOR && input.at == 3 => continue,
            _ => return Err(Fault::Malformed("a tag that JSON has no word for")),
        };
        return checked(item, tagged);
    }
    Err(Fault::Malformed("too many tags"))
}

/// What a tag stands before must be what it says.
fn checked(item: Item<'_>, tag: Option<u64>) -> Result<Item<'_>, Fault> {
    let fits = match tag {
        None => true,
        Some(TAG_DATE) => matches!(item, Item::Text(_)),
        Some(_) => matches!(item, Item::Whole(_) | Item::Float(_)),
    };
    if fits { Ok(item) } else { Err(Fault::Malformed("a tag before something else than it says")) }
}

fn argument(input: &mut Input<'_>, info: u8) -> Result<u64, Fault> {
    match info {
        0..=23 => Ok(u64::from(info)),
        24..=27 => input.unsigned(1 << (info - 24)),
        31 => Err(Fault::Malformed("a length that is not announced")),
        _ => Err(Fault::Malformed("a length that CBOR reserves")),
    }
}

fn simple<'b>(input: &mut Input<'b>, info: u8) -> Result<Item<'b>, Fault> {
    Ok(match info {
        20 => Item::Boolean(false),
        21 => Item::Boolean(true),
        22 | 23 => Item::Null,
        25 => Item::Float(half(u16::from_be_bytes(input.fixed()?))),
        26 => Item::Float(f64::from(f32::from_be_bytes(input.fixed()?))),
        27 => Item::Float(f64::from_be_bytes(input.fixed()?)),
        31 => return Err(Fault::Malformed("an end of something that was not begun")),
        _ => return Err(Fault::Malformed("a simple value that JSON has no word for")),
    })
}

/// A number of 16 bits (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}
