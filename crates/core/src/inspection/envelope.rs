//! The envelope (SPEC 8.3): required fields, allowed types, a timestamp near the present.
//!
//! A message that is not JSON has no envelope: text is refused where the envelope demands anything; binary
//! data passes, for the route takes binary. A timestamp is a JSON number, never a string.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Finding, Kind, Reading, Scene};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{Value, ValueKind, decode_into};
use crate::policy::checked::{Messages, OnRefuse, TimestampUnit};
use crate::verdict::Reason;

pub(super) const NAME: &str = "envelope";

/// Longest excerpt of a type in a finding's detail, bytes.
const EXCERPT_BYTES_MAX: usize = 64;

/// What a message must say about itself.
#[derive(Debug)]
pub(super) struct Check {
    required: Vec<(usize, String)>,
    types: Option<Types>,
    timestamp: Option<Timestamp>,
    outcome: OnRefuse,
}

#[derive(Debug)]
struct Types {
    number: usize,
    pointer: String,
    /// Sorted.
    allowed: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct Timestamp {
    number: usize,
    pointer: String,
    tolerance: Duration,
    unit: TimestampUnit,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(envelope) = &messages.envelope else { return Ok(None) };
        let mut required = Vec::new();
        for pointer in &envelope.required {
            required.push((pointers.add(pointer)?, pointer.clone()));
        }
        let types = match &envelope.types {
            None => None,
            Some(allowed) => {
                let mut allowed: Vec<Box<[u8]>> = allowed.iter().map(|name| name.as_bytes().into()).collect();
                allowed.sort_unstable();
                Some(Types { number: pointers.add(&envelope.type_at)?, pointer: envelope.type_at.clone(), allowed })
            }
        };
        let timestamp = match envelope.timestamp_tolerance {
            None => None,
            Some(tolerance) => Some(Timestamp {
                number: pointers.add(&envelope.timestamp_at)?,
                pointer: envelope.timestamp_at.clone(),
                tolerance,
                unit: envelope.timestamp_unit,
            }),
        };
        Ok(Some(Self { required, types, timestamp, outcome: messages.on_refuse }))
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.work.reading != Reading::Json {
            let demands = !self.required.is_empty() || self.types.is_some();
            if scene.message.kind == Kind::Binary || !demands {
                return ControlFlow::Continue(());
            }
            return scene.refuse(self.finding(Reason::EnvelopeMissing, "the message is not JSON".into()));
        }
        for (number, pointer) in &self.required {
            if matches!(scene.work.scan.value(*number).kind, ValueKind::Missing | ValueKind::Null) {
                let detail = format!("required field `{pointer}` is missing");
                scene.refuse(self.finding(Reason::EnvelopeMissing, detail).at(pointer))?;
            }
        }
        if let Some(types) = &self.types {
            self.check_type(types, scene)?;
        }
        if let Some(timestamp) = &self.timestamp {
            self.check_timestamp(timestamp, scene)?;
        }
        ControlFlow::Continue(())
    }

    fn check_type(&self, types: &Types, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let value = scene.work.scan.value(types.number);
        if value.kind != ValueKind::String {
            let detail = "the type is missing or not a string".into();
            return scene.refuse(self.finding(Reason::EnvelopeMissing, detail).at(&types.pointer));
        }
        let raw = value.raw(scene.message.bytes);
        let name = if value.escapes {
            scene.work.name.clear();
            decode_into(raw, &mut scene.work.name);
            scene.work.name.as_slice()
        } else {
            raw
        };
        if types.allowed.binary_search_by(|allowed| allowed.as_ref().cmp(name)).is_ok() {
            return ControlFlow::Continue(());
        }
        let excerpt = name.get(..name.len().min(EXCERPT_BYTES_MAX)).unwrap_or_default().escape_ascii();
        let detail = format!("type `{excerpt}` is not on the list");
        scene.refuse(self.finding(Reason::TypeRefused, detail).at(&types.pointer))
    }

    fn check_timestamp(&self, timestamp: &Timestamp, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let value = scene.work.scan.value(timestamp.number);
        if value.kind == ValueKind::Missing {
            // Whether it may be missing is what `required` says.
            return ControlFlow::Continue(());
        }
        let Some(seconds) = timestamp.seconds(value, scene.message.bytes) else {
            let detail = "the timestamp is not a number".into();
            return scene.refuse(self.finding(Reason::EnvelopeMissing, detail).at(&timestamp.pointer));
        };
        let distance = (seconds - scene.cx.now.wall.as_secs_f64()).abs();
        if distance <= timestamp.tolerance.as_secs_f64() {
            return ControlFlow::Continue(());
        }
        let detail = format!("{distance:.1} s from the present; tolerated are {:?}", timestamp.tolerance);
        scene.refuse(self.finding(Reason::TimestampSkew, detail).at(&timestamp.pointer))
    }

    fn finding(&self, reason: Reason, detail: String) -> Finding {
        Finding::new(reason, NAME, self.outcome, detail)
    }
}

impl Timestamp {
    fn seconds(&self, value: Value, text: &[u8]) -> Option<f64> {
        if value.kind != ValueKind::Number {
            return None;
        }
        let raw = value.raw(text);
        let number = match whole(raw) {
            Some(number) => number,
            None => std::str::from_utf8(raw).ok()?.parse().ok()?,
        };
        Some(match self.unit {
            TimestampUnit::Seconds => number,
            TimestampUnit::Milliseconds => number / 1000.0,
        })
    }
}

/// Digits of a number that floating point holds exactly, whatever they are.
const EXACT_DIGITS_MAX: usize = 15;

/// A number that is nothing but few digits, as most timestamps are.
fn whole(raw: &[u8]) -> Option<f64> {
    if !(1..=EXACT_DIGITS_MAX).contains(&raw.len()) || !raw.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(raw.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0')) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_whole_number_is_what_the_library_reads(text in "-?[0-9]{0,17}(\\.[0-9]|e[0-9])?") {
            match whole(text.as_bytes()) {
                Some(number) => prop_assert_eq!(Ok(number), text.parse::<f64>()),
                None => prop_assert!(text.is_empty() || text.len() > 15 || text.contains(['-', '.', 'e'])),
            }
        }
    }
}
