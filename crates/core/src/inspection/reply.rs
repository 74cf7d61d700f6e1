//! What a client is told: fills the policy's template.
//!
//! Never says more than the policy allows: the generic wording and code are the same for every kind of attack.

use super::Finding;
use crate::policy::checked::ErrorReplies;

/// The reply to a refused message. `{message}`, `{code}`, `{reference}` and `{retry_after_ms}` of the
/// template are replaced once, by values escaped for JSON; other braces stay.
#[must_use]
pub fn error_reply(errors: &ErrorReplies, finding: &Finding, reference: &str) -> String {
    let reason = finding.reason;
    let mut message = reason.words(errors.detailed).to_owned();
    if errors.detailed
        && let Some(field) = &finding.field
    {
        message.push_str(" (at ");
        message.push_str(field);
        message.push(')');
    }
    if errors.detailed
        && let Some(rule) = &finding.rule
    {
        message.push_str(" (rule ");
        message.push_str(rule);
        message.push(')');
    }
    let code = if errors.detailed { reason.label().to_owned() } else { generic_code(reason.row().public) };
    // A client that waits that long has waited long enough: round up.
    let retry_ms = finding.retry_after.map_or(0, |wait| wait.as_nanos().div_ceil(1_000_000));
    fill(
        &errors.template,
        &[
            ("{message}", &message),
            ("{code}", &code),
            ("{reference}", reference),
            ("{retry_after_ms}", &retry_ms.to_string()),
        ],
    )
}

/// `Rate limit exceeded` → `rate_limit_exceeded`.
fn generic_code(public: &str) -> String {
    public.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// Whether a template makes JSON of any values.
pub(super) fn check_template(template: &str) -> Result<(), String> {
    let filled =
        fill(template, &[("{message}", "m"), ("{code}", "c"), ("{reference}", "r"), ("{retry_after_ms}", "1")]);
    serde_json::from_str::<serde::de::IgnoredAny>(&filled).map(|_| ()).map_err(|error| error.to_string())
}

fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 128);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match values.iter().find_map(|(place, value)| Some((from.strip_prefix(place)?, value))) {
            Some((after, value)) => {
                escape_into(value, &mut out);
                rest = after;
            }
            None => {
                out.push('{');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// Escapes for the inside of a JSON string (RFC 8259 section 7).
fn escape_into(value: &str, out: &mut String) {
    use std::fmt::Write as _;
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::checked::OnRefuse;
    use crate::verdict::Reason;
    use std::time::Duration;

    fn errors(detailed: bool) -> ErrorReplies {
        let template = r#"{"e":{"m":"{message}","c":"{code}","r":"{reference}","w":{retry_after_ms},"{x}":{}}}"#;
        ErrorReplies { detailed, template: template.into() }
    }

    #[test]
    fn a_reply_is_json_whatever_stands_in_its_values() {
        let mut finding =
            Finding::new(Reason::ThreatSqli, "threat", OnRefuse::Reply, String::new()).at("/a\"\\\n{code}");
        finding.retry_after = Some(Duration::from_micros(1500));
        let reply: serde_json::Value = serde_json::from_str(&error_reply(&errors(true), &finding, "\"ref")).unwrap();
        assert_eq!(reply["e"]["c"], "threat_sqli");
        assert_eq!(reply["e"]["r"], "\"ref");
        assert_eq!(reply["e"]["w"], 2);
        assert!(reply["e"]["m"].as_str().unwrap().ends_with("(at /a\"\\\n{code})"));
    }

    #[test]
    fn a_generic_reply_does_not_tell_which_check_refused() {
        let of = |reason| {
            error_reply(&errors(false), &Finding::new(reason, "x", OnRefuse::Reply, "secret".into()).at("/f"), "r")
        };
        assert_eq!(of(Reason::ThreatSqli), of(Reason::ThreatXss));
        assert!(of(Reason::ThreatSqli).contains("\"message_refused\""));
        assert!(!of(Reason::ThreatSqli).contains("secret") && !of(Reason::ThreatSqli).contains("/f"));
    }

    #[test]
    fn a_template_that_is_not_json_is_refused() {
        assert!(check_template(r#"{"message":"{message}"}"#).is_ok());
        assert!(check_template(r#"{"message":{message}}"#).is_err());
    }
}
