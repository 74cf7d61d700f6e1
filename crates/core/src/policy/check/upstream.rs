//! Backends of a route: `upstream`, `upstreams`, `balance`, `health`, `upstream_tls`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Checking;
use crate::policy::checked::{Balance, HashOn, HealthCheck, HealthQuestion, Upstream, UpstreamTrust};
use crate::policy::human::Span;
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most backends of a route.
const UPSTREAMS_MAX: usize = 256;
const UPSTREAM_HELP: &str = "write `ws://127.0.0.1:3000` or `wss://backend.example/prefix`";
/// What a caller may be told by, besides a parameter.
const HASH_ON: [&str; 4] = ["ip", "user", "tenant", "session"];
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const IN_A_ROW: RangeInclusive<u32> = 1..=100;
const UNHEALTHY_AFTER: u32 = 3;
const HEALTHY_AFTER: u32 = 2;
/// Most pinned keys of a route.
const PINS_MAX: usize = 16;

impl Checking<'_> {
    fn upstreams(&mut self, at: &KeyPath, raw: &raw::Route) -> Option<Vec<Upstream>> {
        match (&raw.upstream, &raw.upstreams) {
            (Some(one), None) => Some(vec![self.upstream(&at.key("upstream"), one)?]),
            (None, Some(several)) if (1..=UPSTREAMS_MAX).contains(&several.len()) => {
                self.each(&at.key("upstreams"), several, |checking, at, one| checking.upstream(at, one))
            }
            (None, Some(_)) => {
                let help = format!("list 1 to {UPSTREAMS_MAX} backends");
                self.fault(&at.key("upstreams"), "the list of backends is empty or too long", help);
                None
            }
            (Some(_), Some(_)) => {
                self.fault(&at.key("upstream"), "`upstream` and `upstreams` exclude each other", "keep one of the two");
                None
            }
            (None, None) => self.need(&at.key("upstream"), None, UPSTREAM_HELP),
        }
    }

    fn upstream(&mut self, at: &KeyPath, written: &str) -> Option<Upstream> {
        match upstream(written.trim()) {
            Ok(upstream) => Some(upstream),
            Err(why) => {
                self.fault(at, format!("`{}` is not a backend's URL: {why}", without_user(written)), UPSTREAM_HELP);
                None
            }
        }
    }

    /// The route's backends, with whose certificates are believed of them.
    pub(super) fn trusted_upstreams(&mut self, at: &KeyPath, raw: &raw::Route) -> Option<Vec<Upstream>> {
        let upstreams = self.upstreams(at, raw);
        let Some(written) = &raw.upstream_tls else { return upstreams };
        let place = at.key("upstream_tls");
        let ca_pem = written.ca_file.as_ref().map(|file| self.authorities(&place.key("ca_file"), file));
        let pins = written.pins.as_deref().unwrap_or_default();
        if pins.len() > PINS_MAX {
            self.fault(
                &place.key("pins"),
                format!("there are {} pins", pins.len()),
                format!("keep at most {PINS_MAX}"),
            );
            return None;
        }
        let pins = self.each(&place.key("pins"), pins, |checking, at, pin| checking.pin(at, pin));
        let trust = UpstreamTrust { ca_pem: ca_pem.map_or(Some(None), |pem| pem.map(Some))?, pins: pins? };
        let mut upstreams = upstreams?;
        if let Some(plain) = upstreams.iter().find(|upstream| !upstream.tls) {
            let message = format!("`{}` shows no certificate", clip(&plain.host));
            self.fault(&place, message, "write the backends with `wss://`, or leave `upstream_tls` out");
            return None;
        }
        let trust = Arc::new(trust);
        for upstream in &mut upstreams {
            upstream.trust = Some(Arc::clone(&trust));
        }
        Some(upstreams)
    }

    fn pin(&mut self, at: &KeyPath, written: &str) -> Option<[u8; 32]> {
        let pin = written.trim().strip_prefix("sha256/").and_then(|text| STANDARD.decode(text).ok());
        let pin = pin.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        if pin.is_none() {
            let help = "write `sha256/` and 44 characters of base64; docs/upstreams.md has the command that prints it";
            self.fault(at, format!("`{}` is not the pin of a key", clip(written)), help);
        }
        pin
    }

    pub(super) fn balance(&mut self, at: &KeyPath, raw: Option<&raw::Balance>, parameters: &[&str]) -> Option<Balance> {
        let Some(raw) = raw else { return Some(Balance::LeastConnections) };
        let by = raw.by.unwrap_or(raw::BalanceBy::LeastConnections);
        match (by, raw.on.as_deref().map(str::trim)) {
            (raw::BalanceBy::LeastConnections, None) => Some(Balance::LeastConnections),
            (raw::BalanceBy::LeastConnections, Some(_)) => {
                let help = "write `by: consistent_hash`, or leave `on` out";
                self.fault(&at.key("on"), "nothing is hashed where connections are counted", help);
                None
            }
            (raw::BalanceBy::ConsistentHash, on) => {
                self.hash_on(&at.key("on"), on.unwrap_or("ip"), parameters).map(Balance::ConsistentHash)
            }
        }
    }

    fn hash_on(&mut self, at: &KeyPath, on: &str, parameters: &[&str]) -> Option<HashOn> {
        let parameter = on.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        match (on, parameter) {
            ("ip", _) => Some(HashOn::Ip),
            ("user", _) => Some(HashOn::User),
            ("tenant", _) => Some(HashOn::Tenant),
            ("session", _) => Some(HashOn::Session),
            (_, Some(name)) if parameters.contains(&name) => Some(HashOn::Parameter(name.into())),
            (_, Some(name)) => {
                let help = match nearest(name, parameters.iter().copied()) {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => format!("put `{{{}}}` into the path", clip(name)),
                };
                self.fault(at, format!("the path has no parameter `{}`", clip(name)), help);
                None
            }
            (_, None) => {
                let help = match nearest(on, HASH_ON) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        "write `ip`, `user`, `tenant`, `session`, or a parameter of the path as `{room}`".to_owned()
                    }
                };
                self.fault(at, format!("no caller is told by `{}`", clip(on)), help);
                None
            }
        }
    }

    pub(super) fn health(&mut self, at: &KeyPath, raw: &raw::Health) -> Option<HealthCheck> {
        let check = raw.check.unwrap_or(HealthQuestion::Connect);
        let interval =
            self.health_time(&at.key("interval"), raw.interval, INTERVAL_DEFAULT, INTERVAL, "`100ms` to `1h`");
        let usual = TIMEOUT_DEFAULT.min(interval.unwrap_or(TIMEOUT_DEFAULT));
        let timeout = self.health_time(&at.key("timeout"), raw.timeout, usual, TIMEOUT, "`10ms` to `1m`");
        if let (Some(interval), Some(timeout)) = (interval, timeout)
            && timeout > interval
        {
            let help = "make it no longer than `interval`, or `interval` longer";
            self.fault(&at.key("timeout"), "a question would not be over before the next", help);
            return None;
        }
        let unhealthy_after = raw.unhealthy_after.unwrap_or(UNHEALTHY_AFTER);
        let unhealthy_after = self.within(&at.key("unhealthy_after"), unhealthy_after, IN_A_ROW);
        let healthy_after = raw.healthy_after.unwrap_or(HEALTHY_AFTER);
        let healthy_after = self.within(&at.key("healthy_after"), healthy_after, IN_A_ROW);
        let path = self.health_path(&at.key("path"), raw.path.as_deref(), check);
        Some(HealthCheck {
            check,
            path: path?,
            interval: interval?,
            timeout: timeout?,
            unhealthy_after: unhealthy_after?,
            healthy_after: healthy_after?,
        })
    }

    fn health_time(
        &mut self,
        at: &KeyPath,
        raw: Option<Span>,
        usual: Duration,
        bounds: RangeInclusive<Duration>,
        help: &str,
    ) -> Option<Duration> {
        let span = raw.map_or(usual, |span| span.0);
        if !bounds.contains(&span) {
            self.fault(at, "the time is out of bounds", format!("write {help}"));
            return None;
        }
        Some(span)
    }

    fn health_path(&mut self, at: &KeyPath, written: Option<&str>, check: HealthQuestion) -> Option<String> {
        let Some(path) = written else { return Some("/".to_owned()) };
        if check == HealthQuestion::Connect {
            self.fault(
                at,
                "nothing is asked for where only a connection is made",
                "write `check: http` or `handshake`",
            );
            return None;
        }
        let sound = path.starts_with('/') && !path.contains('#') && path.parse::<http::uri::PathAndQuery>().is_ok();
        if !sound {
            self.fault(at, format!("`{}` is not a path", clip(path)), "write one as `/health`");
            return None;
        }
        Some(path.to_owned())
    }
}

fn upstream(text: &str) -> Result<Upstream, &'static str> {
    let uri: http::Uri = text.parse().map_err(|_| "it is malformed")?;
    let (tls, default_port) = match uri.scheme_str() {
        Some("ws" | "http") => (false, 80),
        Some("wss" | "https") => (true, 443),
        Some(_) => return Err("the scheme is not `ws`, `wss`, `http` or `https`"),
        None => return Err("it has no scheme"),
    };
    let authority = uri.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("it carries a user or password");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("it carries a query or fragment");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("it has no host");
    }
    if authority.as_str().ends_with(':')
        || uri.port_u16() == Some(0)
        || (uri.port().is_none() && has_port(authority.as_str()))
    {
        return Err("the port is not a number from 1 to 65535");
    }
    let port = uri.port_u16().unwrap_or(default_port);
    Ok(Upstream {
        tls,
        host: host.to_owned(),
        port,
        path_prefix: uri.path().trim_end_matches('/').to_owned(),
        trust: None,
    })
}

fn has_port(authority: &str) -> bool {
    authority.rsplit(']').next().is_some_and(|tail| tail.contains(':'))
}

/// A URL as it may be shown: a password in it is not.
fn without_user(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let (head, tail) = (url.get(..scheme + 3).unwrap_or_default(), url.get(at..).unwrap_or_default());
            clip(&format!("{head}…{tail}"))
        }
        _ => clip(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_urls_without_secrets() {
        let at = |tls, host: &str, port, prefix: &str| {
            Some(Upstream { tls, host: host.to_owned(), port, path_prefix: prefix.to_owned(), trust: None })
        };
        for (text, meant) in [
            ("ws://127.0.0.1:3000", at(false, "127.0.0.1", 3000, "")),
            ("http://127.0.0.1:3000/", at(false, "127.0.0.1", 3000, "")),
            ("wss://b.example/app/", at(true, "b.example", 443, "/app")),
            ("https://b.example", at(true, "b.example", 443, "")),
            ("ws://[::1]:9000", at(false, "::1", 9000, "")),
            ("ws://", None),
            ("127.0.0.1:3000", None),
            ("ftp://x", None),
            ("ws://u:p@x", None),
            ("ws://x?y=1", None),
            ("ws://x:0", None),
            ("ws://x:99999", None),
            ("ws://x:", None),
        ] {
            assert_eq!(upstream(text).ok(), meant, "{text}");
        }
        assert_eq!(without_user("ws://u:p@host/x"), "ws://…@host/x");
    }
}
