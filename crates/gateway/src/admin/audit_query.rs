//! The search of the audit, as a query string.
//!
//! Decides what each key means; refuses a key or value it does not know and names the nearest it does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::verdict::{Category, Reason, Severity};
use portcullis_store::Query;

const KEYS: [&str; 12] =
    ["type", "severity", "category", "ip", "user", "tenant", "connection", "since", "until", "text", "limit", "after"];

/// Reads decoded pairs. `type` may name several, separated by commas; `severity` is the least; `since`
/// and `until` are Unix milliseconds or a time ago (`90s`, `15m`, `24h`, `7d`); `after` is the id that
/// the page before ended with.
///
/// # Errors
/// In words for the caller.
pub(super) fn parse(pairs: &[(String, String)]) -> Result<Query, String> {
    let mut query = Query::default();
    let mut seen: Vec<&str> = Vec::new();
    for (key, value) in pairs {
        if seen.contains(&key.as_str()) {
            return Err(format!("`{}` is given twice", shown(key)));
        }
        seen.push(key);
        let text = || Some(value.clone());
        match key.as_str() {
            "type" => {
                let labels = || Reason::ALL.iter().map(|reason| reason.label());
                query.types = value.split(',').map(str::to_owned).collect();
                for one in &query.types {
                    known("type", one, labels())?;
                }
            }
            "severity" => query.severity_min = Some(one_of("severity", value, Severity::ALL, |one| one.label())?),
            "category" => query.category = Some(one_of("category", value, Category::ALL, |one| one.label())?),
            "ip" => query.ip = Some(value.parse().map_err(|_| format!("`ip`: `{}` is no address", shown(value)))?),
            "user" => query.user = text(),
            "tenant" => query.tenant = text(),
            "connection" => query.connection = text(),
            "since" => query.since = Some(time("since", value)?),
            "until" => query.until = Some(time("until", value)?),
            "text" => query.text = text(),
            "limit" => {
                query.limit = Some(value.parse().map_err(|_| format!("`limit`: `{}` is no number", shown(value)))?)
            }
            "after" => query.after_id = text(),
            other => return Err(unknown("key", other, KEYS.into_iter())),
        }
    }
    Ok(query)
}

fn one_of<T: Copy>(key: &str, value: &str, all: &[T], label: impl Fn(T) -> &'static str) -> Result<T, String> {
    all.iter()
        .copied()
        .find(|one| label(*one) == value)
        .ok_or_else(|| unknown(key, value, all.iter().map(|one| label(*one))))
}

fn known<'a>(key: &str, value: &str, all: impl Iterator<Item = &'a str> + Clone) -> Result<(), String> {
    if all.clone().any(|one| one == value) { Ok(()) } else { Err(unknown(key, value, all)) }
}

fn unknown<'a>(what: &str, value: &str, all: impl Iterator<Item = &'a str>) -> String {
    let value = shown(value);
    let nearest = all.min_by_key(|one| strsim::damerau_levenshtein(one, &value)).unwrap_or_default();
    format!("unknown {what} `{value}`; the nearest is `{nearest}`")
}

/// A value as it is repeated in an error: short.
fn shown(value: &str) -> String {
    value.chars().take(64).collect()
}

fn time(key: &str, value: &str) -> Result<u64, String> {
    let wrong = || format!("`{key}`: `{}` is neither Unix milliseconds nor a time ago like `24h`", shown(value));
    let digits = value.trim_end_matches(['s', 'm', 'h', 'd']);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match value.strip_prefix(digits) {
        Some("") => return Ok(number),
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 86_400,
        _ => return Err(wrong()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = now.saturating_sub(Duration::from_secs(number.saturating_mul(seconds)));
    Ok(u64::try_from(then.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Query, String> {
        parse(&pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect::<Vec<_>>())
    }

    #[test]
    fn every_key_is_read() {
        let query = of(&[
            ("type", "threat_xss,threat_sqli"),
            ("severity", "high"),
            ("category", "security"),
            ("ip", "192.0.2.7"),
            ("user", "alice"),
            ("tenant", "north"),
            ("connection", "c"),
            ("since", "1"),
            ("until", "2"),
            ("text", "script"),
            ("limit", "5"),
            ("after", "x"),
        ])
        .unwrap();
        assert_eq!(query.types, ["threat_xss", "threat_sqli"]);
        assert_eq!((query.severity_min, query.category), (Some(Severity::High), Some(Category::Security)));
        assert_eq!((query.since, query.until, query.limit), (Some(1), Some(2), Some(5)));
        assert_eq!(query.after_id.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_nearest() {
        for (key, value, words) in [
            ("severty", "high", "unknown key `severty`; the nearest is `severity`"),
            ("severity", "hihg", "unknown severity `hihg`; the nearest is `high`"),
            ("type", "threat_xs", "unknown type `threat_xs`; the nearest is `threat_xss`"),
            ("category", "sec", "unknown category `sec`; the nearest is `security`"),
        ] {
            assert_eq!(of(&[(key, value)]).unwrap_err(), words);
        }
        for (key, value) in
            [("ip", "300.1.1.1"), ("since", "yesterday"), ("since", "5hh"), ("since", "h"), ("limit", "-1")]
        {
            assert!(of(&[(key, value)]).unwrap_err().contains(key), "{key}={value}");
        }
        assert!(of(&[("user", "a"), ("user", "b")]).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_time_ago_is_before_the_present_and_never_before_the_epoch() {
        let query = of(&[("since", "24h"), ("until", "0s")]).unwrap();
        let span = query.until.unwrap() - query.since.unwrap();
        assert!((86_400_000..86_401_000).contains(&span), "{span}");
        assert_eq!(of(&[("since", "99999999999999d")]).unwrap().since, Some(0));
    }
}
