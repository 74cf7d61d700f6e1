//! Origin: may this web page open a connection here (SPEC 2.4, cross-site WebSocket hijacking)?
//!
//! Compares scheme, host and port as the browser serialises them (RFC 6454 6.2); never a part of a string, so
//! that prefixes, suffixes and user info win nothing. `null` is no origin that a list can hold.

use http::{HeaderMap, header};
use regex::Regex;

use crate::policy::checked::{OriginRule, Origins};
use crate::verdict::Reason;

/// Longest origin read, bytes.
pub const ORIGIN_BYTES_MAX: usize = 512;

/// An allow-list, compiled.
#[derive(Debug, Clone)]
pub struct OriginCheck {
    spec: Origins,
    patterns: Vec<Regex>,
}

/// Scheme, host and port of an origin.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
}

impl OriginCheck {
    /// Compiles a list; a pattern is made to match the whole origin.
    ///
    /// # Errors
    /// A pattern is no regular expression.
    pub fn compile(spec: &Origins) -> Result<Self, regex::Error> {
        let patterns = spec.allow.iter().filter_map(|rule| match rule {
            OriginRule::Regex(pattern) => Some(Regex::new(&format!("^(?:{pattern})$"))),
            _ => None,
        });
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()?, spec: spec.clone() })
    }

    /// Judges a request. Two Origin headers are refused.
    ///
    /// # Errors
    /// [`Reason::OriginMissing`], [`Reason::OriginRefused`].
    pub fn check(&self, headers: &HeaderMap, needed: bool) -> Result<(), Reason> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else {
            return if self.spec.missing_allowed || !needed { Ok(()) } else { Err(Reason::OriginMissing) };
        };
        let text = value.to_str().map_err(|_| Reason::OriginRefused)?;
        if values.next().is_some() || text.len() > ORIGIN_BYTES_MAX {
            return Err(Reason::OriginRefused);
        }
        if self.spec.allow.contains(&OriginRule::Any) {
            return Ok(());
        }
        let origin = parse(text).ok_or(Reason::OriginRefused)?;
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if self.allows(text, &origin) || self.is_own(&origin, host) { Ok(()) } else { Err(Reason::OriginRefused) }
    }

    fn allows(&self, text: &str, origin: &Parts<'_>) -> bool {
        let local = self.spec.localhost
            && matches!(origin.scheme, "http" | "https")
            && matches!(origin.host, "localhost" | "127.0.0.1" | "[::1]");
        local
            || self.spec.allow.iter().any(|rule| match rule {
                OriginRule::Exact(allowed) => parse(allowed).is_some_and(|allowed| allowed == *origin),
                OriginRule::Subdomains { scheme, suffix, port } => {
                    let below = origin.host.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
                    let wanted = port.or_else(|| default_port(scheme));
                    below.is_some_and(|label| !label.is_empty())
                        && origin.scheme == scheme
                        && Some(origin.port) == wanted
                }
                OriginRule::Any | OriginRule::Regex(_) => false,
            })
            || self.patterns.iter().any(|pattern| pattern.is_match(text))
    }

    /// The page came from this very host: `Host` and origin name the same host and port.
    fn is_own(&self, origin: &Parts<'_>, host: Option<&str>) -> bool {
        let Some(host) = host.filter(|_| self.spec.same_host) else { return false };
        let (name, port) = split_port(host);
        let port = port.map_or_else(|| default_port(origin.scheme), |port| port.parse().ok());
        name == origin.host && port == Some(origin.port)
    }
}

fn parse(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let default = default_port(scheme)?;
    let (host, port) = split_port(rest);
    let port = match port {
        None => default,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
    };
    let plain = |host: &str| host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    let literal = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let sound = !host.is_empty() && !host.ends_with('.') && (plain(host) || literal(host));
    sound.then_some(Parts { scheme, host, port })
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: Vec<OriginRule>, origin: &str) -> bool {
        let spec = Origins { allow: rules, localhost: false, same_host: false, missing_allowed: false };
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        OriginCheck::compile(&spec).unwrap().check(&headers, true).is_ok()
    }

    #[test]
    fn an_exact_origin_is_that_origin_and_no_other() {
        let rule = || vec![OriginRule::Exact("https://app.example.com".into())];
        assert!(check(rule(), "https://app.example.com"));
        assert!(check(rule(), "https://app.example.com:443"));
        for trick in [
            "null",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evilapp.example.com",
            "https://app.example.com@evil.test",
            "https://evil.test#https://app.example.com",
            "https://evil.test/https://app.example.com",
            "https://APP.example.com",
            "https://app.example.com.",
            "https://app.example.com:443x",
            "https://app.example.com:",
            "ftp://app.example.com",
            "",
        ] {
            assert!(!check(rule(), trick), "{trick}");
        }
    }

    #[test]
    fn a_wildcard_needs_a_label_and_takes_no_lookalike() {
        let rule = || vec![OriginRule::Subdomains { scheme: "https".into(), suffix: "example.com".into(), port: None }];
        assert!(check(rule(), "https://a.example.com"));
        assert!(check(rule(), "https://a.b.example.com"));
        for trick in [
            "https://example.com",
            "https://evilexample.com",
            "https://a.example.com.evil.test",
            "https://.example.com",
            "http://a.example.com",
            "https://a.example.com:444",
        ] {
            assert!(!check(rule(), trick), "{trick}");
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_origin() {
        let rule = || vec![OriginRule::Regex(r"https://[a-z]+\.example\.com".into())];
        assert!(check(rule(), "https://a.example.com"));
        assert!(!check(rule(), "https://a.example.com.evil.test"));
    }

    #[test]
    fn two_origins_are_refused_and_a_missing_one_is_the_policys_choice() {
        let spec = Origins { allow: vec![OriginRule::Any], localhost: false, same_host: false, missing_allowed: false };
        let check = OriginCheck::compile(&spec).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(check.check(&headers, true), Err(Reason::OriginMissing));
        assert_eq!(check.check(&headers, false), Ok(()));
        headers.append(header::ORIGIN, "https://a.test".parse().unwrap());
        headers.append(header::ORIGIN, "https://b.test".parse().unwrap());
        assert_eq!(check.check(&headers, true), Err(Reason::OriginRefused));
    }

    #[test]
    fn the_gateways_own_page_may_connect_where_that_is_allowed() {
        let spec = Origins { allow: vec![], localhost: false, same_host: true, missing_allowed: false };
        let check = OriginCheck::compile(&spec).unwrap();
        for (origin, host, ok) in [
            ("http://127.0.0.1:8350", "127.0.0.1:8350", true),
            ("https://example.com", "example.com", true),
            ("http://127.0.0.1:8351", "127.0.0.1:8350", false),
            ("http://evil.test:8350", "127.0.0.1:8350", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(check.check(&headers, true).is_ok(), ok, "{origin} at {host}");
        }
    }
}
