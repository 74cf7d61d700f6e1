//! Origin: may this web page open a connection here (SPEC 2.4, cross-site WebSocket hijacking)?
//!
//! Compares scheme, host and port as the browser serialises them (RFC 6454 6.2); never a part of a string, so
//! that prefixes, suffixes and user info win nothing. `null` is no origin that a list can hold. That the page came
//! from the gateway's own host is the weakest rule: it holds against other sites, not against a name server that
//! answers with the gateway's address (DNS rebinding), for there Origin and Host agree.

use http::{HeaderMap, header};
use regex::Regex;

use crate::policy::checked::{OriginRule, Origins};
use crate::verdict::Reason;

/// Longest origin read, bytes.
pub const ORIGIN_BYTES_MAX: usize = 512;

/// An allow-list, compiled.
#[derive(Debug, Clone)]
pub struct OriginCheck {
    any: bool,
    exact: Vec<String>,
    subdomains: Vec<Subdomains>,
    patterns: Vec<Regex>,
    localhost: bool,
    same_host: bool,
    missing_allowed: bool,
}

#[derive(Debug, Clone)]
struct Subdomains {
    scheme: String,
    /// With the dot before it.
    suffix: String,
    port: Option<u16>,
}

/// Scheme, host and port of an origin; the scheme's own port where it names none, none where the scheme has none.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl Parts<'_> {
    /// As a browser writes it: the scheme's own port is left out.
    fn serialised(&self) -> String {
        match self.port.filter(|_| self.port != default_port(self.scheme)) {
            Some(port) => format!("{}://{}:{port}", self.scheme, self.host),
            None => format!("{}://{}", self.scheme, self.host),
        }
    }
}

impl OriginCheck {
    /// Compiles a list; a pattern is made to match the whole origin.
    ///
    /// # Errors
    /// A pattern is no regular expression.
    pub fn compile(spec: &Origins) -> Result<Self, regex::Error> {
        let mut check = Self {
            any: false,
            exact: Vec::new(),
            subdomains: Vec::new(),
            patterns: Vec::new(),
            localhost: spec.localhost,
            same_host: spec.same_host,
            missing_allowed: spec.missing_allowed,
        };
        for rule in &spec.allow {
            match rule {
                OriginRule::Any => check.any = true,
                // A rule that is no origin matches nothing.
                OriginRule::Exact(origin) => check.exact.extend(parse(origin).map(|parts| parts.serialised())),
                OriginRule::Subdomains { scheme, suffix, port } => check.subdomains.push(Subdomains {
                    scheme: scheme.clone(),
                    suffix: format!(".{suffix}"),
                    port: port.or_else(|| default_port(scheme)),
                }),
                OriginRule::Regex(pattern) => check.patterns.push(Regex::new(&format!("^(?:{pattern})$"))?),
            }
        }
        Ok(check)
    }

    /// Judges a request; `tls` says whether it came over TLS. Two Origin headers are refused.
    ///
    /// # Errors
    /// [`Reason::OriginMissing`], [`Reason::OriginRefused`].
    pub fn check(&self, headers: &HeaderMap, tls: bool, needed: bool) -> Result<(), Reason> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else {
            return if self.missing_allowed || !needed { Ok(()) } else { Err(Reason::OriginMissing) };
        };
        let text = value.to_str().map_err(|_| Reason::OriginRefused)?;
        if values.next().is_some() || text.len() > ORIGIN_BYTES_MAX {
            return Err(Reason::OriginRefused);
        }
        if self.any {
            return Ok(());
        }
        let origin = parse(text).ok_or(Reason::OriginRefused)?;
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if self.allows(&origin) || self.is_own(&origin, host, tls) { Ok(()) } else { Err(Reason::OriginRefused) }
    }

    fn allows(&self, origin: &Parts<'_>) -> bool {
        let text = origin.serialised();
        let local =
            matches!(origin.scheme, "http" | "https") && matches!(origin.host, "localhost" | "127.0.0.1" | "[::1]");
        let below = |rule: &Subdomains| {
            let labels = origin.host.strip_suffix(rule.suffix.as_str());
            labels.is_some_and(|labels| !labels.is_empty()) && origin.scheme == rule.scheme && origin.port == rule.port
        };
        (self.localhost && local)
            || self.exact.contains(&text)
            || self.subdomains.iter().any(below)
            || self.patterns.iter().any(|pattern| pattern.is_match(&text))
    }

    /// The page came from this very host: `Host` and origin name the same host and port. Over TLS a page that
    /// came without it is another's.
    fn is_own(&self, origin: &Parts<'_>, host: Option<&str>, tls: bool) -> bool {
        let Some(host) = host.filter(|_| self.same_host && (!tls || origin.scheme == "https")) else { return false };
        let Some((name, port)) = split_port(host) else { return false };
        name.eq_ignore_ascii_case(origin.host) && port.or_else(|| default_port(origin.scheme)) == origin.port
    }
}

/// An origin as RFC 6454 6.2 serialises it: lower case, no path, no user, no trailing dot.
fn parse(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, port) = split_port(rest)?;
    let named = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c);
    let plain = |host: &str| {
        host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        })
    };
    let literal = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let sound = scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(named);
    let port = port.or_else(|| default_port(scheme));
    (sound && (plain(host) || literal(host))).then_some(Parts { scheme, host, port })
}

/// Host and port; `None` when what stands after the last colon is no port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            Some((host, Some(port.parse().ok().filter(|_| digits)?)))
        }
        _ => Some((authority, None)),
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
        OriginCheck::compile(&spec).unwrap().check(&headers, false, true).is_ok()
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
            "https://app.example.com:+443",
            "https://app.example.com:99999",
            "https://app.example.com:",
            "https://app.example.com/",
            "https://app.example.com?",
            "https://app.example.com ",
            "https://user:password@app.example.com",
            "https://app%2eexample.com",
            "https://xn--pp-yia.example.com",
            "https:///app.example.com",
            "https:app.example.com",
            "//app.example.com",
            "app.example.com",
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
            "https://a..example.com",
            "https://a.example.com.",
            "http://a.example.com",
            "https://a.example.com:444",
        ] {
            assert!(!check(rule(), trick), "{trick}");
        }
    }

    #[test]
    fn an_app_has_an_origin_of_its_own_scheme() {
        let rule = || vec![OriginRule::Exact("capacitor://localhost".into())];
        assert!(check(rule(), "capacitor://localhost"));
        for trick in
            ["http://localhost", "capacitor://localhost:80", "capacitor://localhost.evil.test", "ionic://localhost"]
        {
            assert!(!check(rule(), trick), "{trick}");
        }
    }

    #[test]
    fn letters_outside_ascii_are_no_origin() {
        let spec = Origins { allow: vec![], localhost: true, same_host: true, missing_allowed: true };
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, http::HeaderValue::from_bytes("https://bücher.example".as_bytes()).unwrap());
        let refused = OriginCheck::compile(&spec).unwrap().check(&headers, false, true);
        assert_eq!(refused, Err(Reason::OriginRefused));
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
        assert_eq!(check.check(&headers, false, true), Err(Reason::OriginMissing));
        assert_eq!(check.check(&headers, false, false), Ok(()));
        headers.append(header::ORIGIN, "https://a.test".parse().unwrap());
        headers.append(header::ORIGIN, "https://b.test".parse().unwrap());
        assert_eq!(check.check(&headers, false, true), Err(Reason::OriginRefused));
    }

    #[test]
    fn the_gateways_own_page_may_connect_where_that_is_allowed() {
        let spec = Origins { allow: vec![], localhost: false, same_host: true, missing_allowed: false };
        let check = OriginCheck::compile(&spec).unwrap();
        for (origin, host, tls, ok) in [
            ("http://127.0.0.1:8350", "127.0.0.1:8350", false, true),
            ("https://example.com", "example.com", false, true),
            ("https://example.com", "Example.com:443", true, true),
            ("http://example.com", "example.com", true, false),
            ("http://example.com", "example.com", false, true),
            ("http://127.0.0.1:8351", "127.0.0.1:8350", false, false),
            ("http://evil.test:8350", "127.0.0.1:8350", false, false),
            ("http://127.0.0.1:8350", "127.0.0.1:8350x", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(check.check(&headers, tls, true).is_ok(), ok, "{origin} at {host}");
        }
    }
}
