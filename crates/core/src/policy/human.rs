//! Values as people write them: `30s`, `1MiB`, `100/s burst 20`, `10.0.0.0/8`, `off`. Decides what such a
//! text means and says how to write it when it means nothing; knows no key.
//!
//! Each type is one leaf of the raw configuration, with its own JSON Schema.

mod or_off;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::checked::{Factor, RateAlgorithm};
use super::read::{HELP_MARK, clip};
pub(crate) use or_off::OrOff;

const DURATION_HELP: &str = "write a whole number and a unit: `250ms`, `30s`, `5m`, `1h`, `90d`";
const BYTES_HELP: &str = "write a number of bytes, or a number and a unit: `512`, `16KiB`, `1MiB`, `2GiB`";
const RATE_HELP: &str = "write `100/s`, `60/min`, `5/h` or `50/60s`, then perhaps `burst 20` and `sliding`";
const QUOTA_HELP: &str =
    "write `100/s`, `60/min` or `50/60s`, for bytes `1MiB/s`; then perhaps `burst 20` (or `burst 4MiB`) and `sliding`";
const NETWORK_HELP: &str = "write an address or a network: `203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32`";

/// Longest duration: 100 years; past it arithmetic on instants would need care everywhere.
const DURATION_SECONDS_MAX: u64 = 100 * 365 * 86_400;

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateText {
    pub(crate) count: u32,
    pub(crate) per: Duration,
    pub(crate) burst: Option<u32>,
    pub(crate) algorithm: RateAlgorithm,
}

/// So many, or so many bytes, in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaText {
    pub(crate) rate: RateText,
    /// A number has a unit of bytes.
    pub(crate) sizes: bool,
}

/// How many times as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times(pub(crate) Factor);

/// An address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

/// The number of an autonomous system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsNumber(pub(crate) u32);

/// `on`, `off`, `true`, `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

/// A leaf that is read from text or a number.
trait Leaf: Sized {
    const EXPECTED: &'static str;
    const HELP: &'static str;
    fn from_text(text: &str) -> Option<Self>;
    fn from_number(_: u64) -> Option<Self> {
        None
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_float(_: f64) -> Option<Self> {
        None
    }
}

fn splits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// A duration as configurations write it: `90s`, `15m`, `24h`, `7d`; at most ten years, `None` for anything else.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    Span::from_text(text).map(|span| span.0)
}

impl Leaf for Span {
    const EXPECTED: &'static str = "a duration";
    const HELP: &'static str = DURATION_HELP;

    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = splits(text.trim());
        let number: u64 = number.parse().ok()?;
        let unit = unit.trim();
        if unit == "ms" {
            return (number / 1000 <= DURATION_SECONDS_MAX).then(|| Self(Duration::from_millis(number)));
        }
        let seconds = number.checked_mul(unit_seconds(unit)?)?;
        (seconds <= DURATION_SECONDS_MAX).then(|| Self(Duration::from_secs(seconds)))
    }
}

fn unit_seconds(unit: &str) -> Option<u64> {
    match unit {
        "s" | "sec" | "second" | "seconds" => Some(1),
        "m" | "min" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3600),
        "d" | "day" | "days" => Some(86_400),
        "w" | "week" | "weeks" => Some(7 * 86_400),
        _ => None,
    }
}

impl Leaf for Bytes {
    const EXPECTED: &'static str = "a size";
    const HELP: &'static str = BYTES_HELP;

    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = splits(text.trim());
        let number: u64 = number.parse().ok()?;
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return None,
        };
        number.checked_mul(factor).map(Self)
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Leaf for RateText {
    const EXPECTED: &'static str = "a rate";
    const HELP: &'static str = RATE_HELP;

    fn from_text(text: &str) -> Option<Self> {
        Self::counting(text, |count| count.parse().ok())
    }
}

impl RateText {
    /// A rate whose count and burst are read by `number`.
    fn counting(text: &str, number: impl Fn(&str) -> Option<u32>) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (count, period) = words.next()?.split_once('/')?;
        let count = number(count).filter(|count| *count > 0)?;
        let per = match splits(period) {
            ("", unit) => Duration::from_secs(unit_seconds(unit)?),
            _ => Span::from_text(period)?.0,
        };
        let mut rate = Self { count, per, burst: None, algorithm: RateAlgorithm::TokenBucket };
        while let Some(word) = words.next() {
            match word {
                "burst" if rate.burst.is_none() => {
                    rate.burst = Some(number(words.next()?).filter(|burst| *burst > 0)?);
                }
                "sliding" => rate.algorithm = RateAlgorithm::SlidingWindow,
                _ => return None,
            }
        }
        (!per.is_zero()).then_some(rate)
    }
}

impl Leaf for QuotaText {
    const EXPECTED: &'static str = "a rate";
    const HELP: &'static str = QUOTA_HELP;

    fn from_text(text: &str) -> Option<Self> {
        let size = |count: &str| u32::try_from(Bytes::from_text(count)?.0).ok();
        let rate = RateText::counting(text, size)?;
        Some(Self { rate, sizes: RateText::from_text(text).is_none() })
    }
}

impl Leaf for Times {
    const EXPECTED: &'static str = "a factor";
    const HELP: &'static str = "write a number from 0.001 to 1000: `2`, `0.5`";

    fn from_text(text: &str) -> Option<Self> {
        Self::from_float(text.parse().ok()?)
    }

    fn from_number(number: u64) -> Option<Self> {
        let permille = u32::try_from(number.checked_mul(1000)?).ok()?;
        (1..=Factor::PERMILLE_MAX).contains(&permille).then(|| Self(Factor::from_permille(permille)))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the bounds")]
    fn from_float(number: f64) -> Option<Self> {
        let permille = (number * 1000.0).round();
        let fits = permille >= 1.0 && permille <= f64::from(Factor::PERMILLE_MAX);
        fits.then(|| Self(Factor::from_permille(permille as u32)))
    }
}

impl Leaf for Network {
    const EXPECTED: &'static str = "a network";
    const HELP: &'static str = NETWORK_HELP;

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Some(Self(IpNet::from(address)));
        }
        text.parse::<IpNet>().ok().map(|network| Self(network.trunc()))
    }
}

impl Leaf for AsNumber {
    const EXPECTED: &'static str = "the number of an autonomous system";
    const HELP: &'static str = "write `AS64496` or `64496`";

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(Self)
    }

    fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }
}

impl Leaf for Switch {
    const EXPECTED: &'static str = "`on` or `off`";
    const HELP: &'static str = "write `on` or `off`";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "on" | "yes" => Some(Self(true)),
            "off" | "no" => Some(Self(false)),
            _ => None,
        }
    }

    fn from_bool(value: bool) -> Option<Self> {
        Some(Self(value))
    }
}

struct LeafVisitor<T>(PhantomData<T>);

impl<T: Leaf> LeafVisitor<T> {
    fn found<E: de::Error>(result: Option<T>, words: &str) -> Result<T, E> {
        result.ok_or_else(|| E::custom(format!("{words} is not {}{HELP_MARK}{}", T::EXPECTED, T::HELP)))
    }
}

impl<'de, T: Leaf> Visitor<'de> for LeafVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Self::found(T::from_text(text), &format!("`{}`", clip(text)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Self::found(T::from_number(number), &format!("`{number}`"))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Self::found(None, &format!("`{number}`"))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Self::found(T::from_float(number), &format!("`{number}`"))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        Self::found(T::from_bool(value), &format!("`{value}`"))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Self::found(None, "a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Self::found(None, "a map")
    }
}

macro_rules! leaf {
    ($name:ident, $title:literal, $schema:tt) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(LeafVisitor(PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

leaf!(Span, "duration", { "type": "string", "title": "duration", "pattern": "^[0-9]+ ?(ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)$" });
leaf!(Bytes, "size", { "type": ["integer", "string"], "title": "size", "minimum": 0, "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|kB|KB|MB|GB)?$" });
leaf!(RateText, "rate", { "type": "string", "title": "rate", "pattern": "^[1-9][0-9]*/[0-9]*[a-z]+( burst [1-9][0-9]*)?( sliding)?$" });
leaf!(QuotaText, "rate", { "type": "string", "title": "rate", "pattern": "^[1-9][0-9]*(B|KiB|MiB|GiB|kB|KB|MB|GB)?/[0-9]*[a-z]+( burst [1-9][0-9]*(B|KiB|MiB|GiB|kB|KB|MB|GB)?)?( sliding)?$" });
leaf!(Times, "factor", { "type": "number", "title": "factor", "minimum": 0.001, "maximum": 1000 });
leaf!(Network, "network", { "type": "string", "title": "network" });
leaf!(AsNumber, "autonomous system", { "type": ["integer", "string"], "title": "autonomous system", "minimum": 0, "maximum": 4294967295_u32, "pattern": "^(AS|as)?[0-9]+$" });
leaf!(Switch, "switch", { "enum": ["on", "off", true, false], "title": "on or off" });
