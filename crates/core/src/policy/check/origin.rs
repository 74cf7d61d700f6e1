//! `origins`: one line of an allow-list → a rule. Decides that a rule can only mean what it seems to
//! mean; matching is admission's.

use super::Checking;
use crate::policy::checked::{Environment, OriginRule, Origins};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Longest rule, bytes; a regular expression is compiled once, and may not grow without end.
const RULE_BYTES_MAX: usize = 512;
/// What marks a regular expression.
const REGEX_MARK: &str = "regex:";
const HELP: &str = "write `https://app.example.com`, `https://*.example.com`, `regex:…` or `*`";

impl Checking<'_> {
    pub(super) fn origins(&mut self, at: &KeyPath, raw: Option<&raw::Origins>) -> Option<Origins> {
        let raw = self.need(at, raw, "write the section")?;
        let allow = self.set(at, "allow", raw.allow.as_ref());
        let allow =
            allow.and_then(|allow| self.each(&at.key("allow"), allow, |checking, at, text| checking.origin(at, text)));
        let localhost = self.set(at, "localhost", raw.localhost);
        if localhost.is_some_and(|on| on.0) && self.environment() != Environment::Development {
            let help = "turn it off, or list the origins you mean in `allow`";
            self.fault(&at.key("localhost"), "origins on localhost are for the development environment only", help);
        }
        let same_host = self.set(at, "same_host", raw.same_host);
        let missing = self.set(at, "missing", raw.missing);
        Some(Origins {
            allow: allow?,
            localhost: localhost?.0,
            same_host: same_host?.0,
            missing_allowed: matches!(missing?, raw::MissingOrigin::Allow),
        })
    }

    fn origin(&mut self, at: &KeyPath, written: &str) -> Option<OriginRule> {
        match rule(written.trim()) {
            Ok(rule) => Some(rule),
            Err(why) => {
                self.fault(at, format!("`{}` is not an origin: {why}", clip(written)), HELP);
                None
            }
        }
    }
}

/// One line → a rule, or in words why not.
fn rule(text: &str) -> Result<OriginRule, &'static str> {
    if text.len() > RULE_BYTES_MAX {
        return Err("it is longer than 512 bytes");
    }
    if text == "*" {
        return Ok(OriginRule::Any);
    }
    if let Some(pattern) = text.strip_prefix(REGEX_MARK) {
        let anchored = format!("^(?:{pattern})$");
        let built = regex::RegexBuilder::new(&anchored).size_limit(1 << 20).build();
        return match built {
            Ok(_) if !pattern.is_empty() => Ok(OriginRule::Regex(pattern.to_owned())),
            Ok(_) => Err("the regular expression is empty"),
            Err(_) => Err("the regular expression does not compile"),
        };
    }
    if text == "null" {
        return Err("`null` is what sandboxed pages of any site send");
    }
    let (scheme, host) = text.split_once("://").ok_or("it has no scheme")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        return Err("the scheme is not one");
    }
    if host.contains(['/', '?', '#', '@', '\\']) {
        return Err("an origin is scheme, host and port, without path or user");
    }
    let (host, port) = host_and_port(host)?;
    match host.strip_prefix("*.") {
        Some(suffix) if is_host(suffix) => {
            Ok(OriginRule::Subdomains { scheme, suffix: suffix.to_ascii_lowercase(), port })
        }
        Some(_) => Err("the domain after `*.` is not one"),
        None if host.contains('*') => Err("a `*` may stand for whole labels at the beginning only, as `*.example.com`"),
        None if is_host(host) || is_ipv6(host) => {
            let host = host.to_ascii_lowercase();
            let port = port.filter(|port| Some(*port) != default_port(&scheme)).map(|port| format!(":{port}"));
            Ok(OriginRule::Exact(format!("{scheme}://{host}{}", port.unwrap_or_default())))
        }
        None => Err("the host is not one"),
    }
}

/// Browsers leave the scheme's own port out of an origin (RFC 6454 6.2).
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let end = text.rfind(']').map_or(0, |bracket| bracket.saturating_add(1));
    let tail = text.get(end..).unwrap_or_default();
    match tail.rfind(':') {
        None => Ok((text, None)),
        Some(colon) => {
            let host = text.get(..end.saturating_add(colon)).unwrap_or_default();
            let port = tail.get(colon.saturating_add(1)..).unwrap_or_default();
            let port = port.parse().ok().filter(|port| *port > 0).ok_or("the port is not a number from 1 to 65535")?;
            Ok((host, Some(port)))
        }
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        })
}

fn is_ipv6(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|a| a.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_means_one_rule_or_none() {
        let exact = |text: &str| Ok(OriginRule::Exact(text.to_owned()));
        let below = |scheme: &str, suffix: &str, port| {
            Ok(OriginRule::Subdomains { scheme: scheme.to_owned(), suffix: suffix.to_owned(), port })
        };
        for (text, meant) in [
            ("https://App.Example.com", exact("https://app.example.com")),
            ("https://app.example.com:443", exact("https://app.example.com")),
            ("http://localhost:5173", exact("http://localhost:5173")),
            ("http://[::1]:3000", exact("http://[::1]:3000")),
            ("chrome-extension://abcdef", exact("chrome-extension://abcdef")),
            ("https://*.example.com", below("https", "example.com", None)),
            ("https://*.example.com:8443", below("https", "example.com", Some(8443))),
            ("*", Ok(OriginRule::Any)),
            (r"regex:https://pr-\d+\.x\.io", Ok(OriginRule::Regex(r"https://pr-\d+\.x\.io".to_owned()))),
        ] {
            assert_eq!(rule(text), meant, "{text}");
        }
        for text in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://*",
            "https://*example.com",
            "https://a.*.com",
            "https://app.example.com/",
            "https://user@app.example.com",
            "https://app.example.com:0",
            "https://app.example.com:99999",
            "https://app..example.com",
            "regex:",
            "regex:(",
        ] {
            assert!(rule(text).is_err(), "{text}");
        }
        assert!(rule(&format!("https://{}", "a".repeat(RULE_BYTES_MAX))).is_err());
    }
}
