//! What is asked about the messages of a direction: callbacks, bounds and limits.

use super::Review;
use super::codes::*;
use crate::policy::check::is_loopback_url;
use crate::policy::checked::{JsonMode, LimitKey, Measure, MessageLimit, Messages, OnFailure, OnRefuse, Rate};
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

impl Review<'_> {
    pub(super) fn messages(&mut self, at: &KeyPath, messages: &Messages) {
        for (position, callback) in messages.callbacks.iter().enumerate() {
            let at = at.key("callbacks").index(position);
            if callback.on_failure == OnFailure::Allow {
                let message =
                    format!("while `{}` gives no answer, every message passes unjudged", clip(&callback.name));
                let help = "write `on_failure: deny`, unless what it refuses may as well pass";
                self.warn(CALLBACK_FAILS_OPEN, &at.key("on_failure"), message, help);
            }
            if callback.url.starts_with("http:") && !is_loopback_url(&callback.url) {
                let message = "whoever stands on the way to the callback can read messages and answer in its place";
                self.warn(CALLBACK_OVER_HTTP, &at.key("url"), message, "use `https://`");
            }
        }
        let json_looks = messages.json.mode != JsonMode::Off;
        if json_looks && u64::from(messages.json.string_bytes_max) > messages.bytes_max {
            let message = format!(
                "a string of {} bytes can never be reached: a message has at most {}",
                messages.json.string_bytes_max, messages.bytes_max
            );
            let advice = "lower it below `bytes_max` of the direction";
            self.warn(UNREACHABLE_LIMIT, &at.key("json").key("string_bytes_max"), message, advice);
        }
        for (position, limit) in messages.limits.iter().enumerate() {
            let path = at.key("limits").index(position);
            self.burst(&path.key("rate"), limit.rate);
            let stricter = messages
                .limits
                .iter()
                .enumerate()
                .find(|(other, held)| *other != position && covers(held, limit, *other < position));
            if let Some((_, held)) = stricter {
                let message = format!(
                    "the limit `{}` can never be reached: `{}` stops first",
                    clip(&limit.name),
                    clip(&held.name)
                );
                self.warn(UNREACHABLE_LIMIT, &path, message, "lower it, or remove it");
            }
            let most = match limit.of {
                Measure::Messages => 1,
                Measure::Bytes => messages.bytes_max,
                Measure::Cost => limit.weights.iter().map(|(_, weight)| u64::from(*weight)).max().unwrap_or(1),
            };
            if most > u64::from(limit.rate.burst) {
                let message = format!(
                    "the limit `{}` never lets the largest message pass: it takes {most}, and at most {} fit at once",
                    clip(&limit.name),
                    limit.rate.burst
                );
                self.warn(
                    NEVER_FITS,
                    &path.key("rate"),
                    message,
                    "raise the burst, or make such a message cheaper or smaller",
                );
            }
        }
    }
}

/// Whether `held` refuses before `limit` ever could: it counts the same or more together, and allows less at once
/// and over time. Of two equal limits the later is the idle one.
fn covers(held: &MessageLimit, limit: &MessageLimit, held_first: bool) -> bool {
    let alike = |one: &MessageLimit| (one.of, one.role_factors.clone(), one.calendar_factors.clone());
    if alike(held) != alike(limit) || (!held.types.is_empty() && held.types != limit.types) {
        return false;
    }
    let wider = match (held.per, limit.per) {
        (a, b) if a == b => true,
        (LimitKey::Global, _) => true,
        (
            LimitKey::User | LimitKey::ApiKey | LimitKey::Ip | LimitKey::Tenant,
            LimitKey::Connection | LimitKey::Type | LimitKey::Domain,
        ) => true,
        (LimitKey::Connection, LimitKey::Type | LimitKey::Domain) => true,
        _ => false,
    };
    let per_period = |rate: &Rate| f64::from(rate.count) / rate.per.as_secs_f64().max(f64::MIN_POSITIVE);
    let stops = !matches!(held.on_excess, OnRefuse::Observe);
    let less = held.rate.burst <= limit.rate.burst && per_period(&held.rate) <= per_period(&limit.rate);
    let equal = held.rate.burst == limit.rate.burst && per_period(&held.rate) >= per_period(&limit.rate);
    wider && stops && less && (!equal || held_first)
}
