//! Times as people write and read them: `90s`, `24h`, `7d`, `2026-03-01`, RFC 3339.
//!
//! Decides which instant a flag means. Never reads a clock: the present is an argument.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

/// Longest span a flag may say, so that arithmetic on instants cannot overflow: 100 years.
const SPAN_SECONDS_MAX: u64 = 100 * 365 * 86_400;

/// A span: a whole number and its unit, `s`, `m`, `h`, `d` or `w`.
///
/// # Errors
/// No number, no unit, another unit, zero, or more than 100 years; said in words for the user.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a time span; write a number and a unit, as `90s`, `15m`, `24h`, `7d` or `2w`");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    match number.checked_mul(seconds) {
        Some(0) => Err(format!("`{text}` is no time at all")),
        Some(seconds) if seconds <= SPAN_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{text}` is longer than 100 years")),
    }
}

/// An instant in Unix milliseconds: a span back from `now_unix_ms`, a date (its first moment, UTC) or
/// an RFC 3339 time.
///
/// # Errors
/// None of these; said in words for the user.
pub(crate) fn instant(text: &str, now_unix_ms: u64) -> Result<u64, String> {
    if let Ok(span) = span(text) {
        return Ok(now_unix_ms.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
    }
    let day = time::macros::format_description!("[year]-[month]-[day]");
    let parsed = OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| Date::parse(text, &day).ok().map(|date| date.midnight().assume_utc()));
    parsed.and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()).ok_or_else(|| {
        format!(
            "`{text}` is not a time; write `24h` for a span back, a date as `2026-03-01`, or `2026-03-01T12:00:00Z`"
        )
    })
}

/// Unix milliseconds as RFC 3339 in UTC with milliseconds; the bare number where no calendar reaches.
pub(crate) fn shown(unix_ms: u64) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_else(|| unix_ms.to_string())
}

/// The present of this machine, Unix milliseconds.
pub(crate) fn present_unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        let good = [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)];
        for (text, seconds) in good {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "10", "10x", "-1h", "1.5h", "0s", "99999999999999999999h", "36501d", "1h30m"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert!(span("36500d").is_ok());
    }

    #[test]
    fn instants_are_spans_back_dates_or_rfc_3339() {
        let now = 1_700_000_000_000;
        assert_eq!(instant("1h", now), Ok(now - 3_600_000));
        assert_eq!(instant("2023-11-14", now), Ok(1_699_920_000_000));
        assert_eq!(instant("2023-11-14T22:13:20Z", now), Ok(now));
        assert_eq!(instant("2023-11-14T23:13:20+01:00", now), Ok(now));
        for text in ["yesterday", "2023-13-01", "1900-01-01T00:00:00Z", ""] {
            assert!(instant(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_reads_as_rfc_3339() {
        assert_eq!(shown(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(shown(u64::MAX), u64::MAX.to_string());
    }
}
