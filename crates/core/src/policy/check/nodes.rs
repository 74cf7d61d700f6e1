//! `shared_state`: where nodes meet, and how long they wait for each other.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Checking, SecretSeen};
use crate::policy::checked::{Secret, Sentinel, SharedState};
use crate::policy::human::Span;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1);
const LEASE: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(300);
const EXCHANGE: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(10);
/// Longest prefix, bytes.
const PREFIX_BYTES_MAX: usize = 64;
/// Most nodes of a cluster that may be named; the others are found through them.
const URLS_MAX: usize = 64;

/// A URL's parts that matter here.
struct Server<'a> {
    /// As the client library reads it.
    url: String,
    shown: String,
    password: Option<&'a str>,
    database: bool,
    /// With TLS.
    encrypted: bool,
}

impl Checking<'_> {
    /// `Some(None)`: this gateway is alone.
    pub(super) fn shared_state(&mut self, at: &KeyPath, raw: Option<&raw::SharedState>) -> Option<Option<SharedState>> {
        let raw = self.need(at, raw, "write the section")?;
        if !self.set(at, "enabled", raw.enabled)?.0 {
            return Some(None);
        }
        let seen = self.secrets.len();
        let (inline, file, variable) = (raw.url.as_ref(), raw.url_file.as_ref(), raw.url_env.as_ref());
        let secret = self.secret(at, "url", inline, file, variable);
        // A URL is no secret; the password in it is.
        let path = self.secrets.drain(seen..).next().map_or_else(|| at.clone(), |seen| seen.path);
        let prefix = self.prefix(at, raw.prefix.as_deref());
        let timeout = self.span(at, "timeout", raw.timeout, TIMEOUT, "`5ms` to `1s`");
        let lease = self.span(at, "lease", raw.lease, LEASE, "`3s` to `5m`");
        let exchange = self.span(at, "exchange_interval", raw.exchange_interval, EXCHANGE, "`50ms` to `10s`");
        let sentinel = self.sentinel(at, raw);
        let ca_pem = raw.ca_file.as_ref().map(|file| self.authorities(&at.key("ca_file"), file));
        let Some(secret) = secret.ok()? else { return Some(None) };
        let watched = sentinel.as_ref().is_some_and(Option::is_some);
        let servers = self.servers(&path, &secret, inline.is_some(), watched);
        let (urls, shown, encrypted) = servers?;
        if raw.ca_file.is_some() && !encrypted {
            let help = "write `rediss://` for TLS, or leave `ca_file` out";
            self.fault(&at.key("ca_file"), "no certificate is verified without TLS", help);
            return None;
        }
        Some(Some(SharedState {
            urls,
            shown,
            sentinel: sentinel?,
            ca_pem: ca_pem.map_or(Some(None), |pem| pem.map(Some))?,
            prefix: prefix?,
            timeout: timeout?,
            lease: lease?,
            exchange_interval: exchange?,
        }))
    }

    fn sentinel(&mut self, at: &KeyPath, raw: &raw::SharedState) -> Option<Option<Sentinel>> {
        let (inline, file) = (raw.sentinel_password.as_ref(), raw.sentinel_password_file.as_ref());
        let password = self.secret(at, "sentinel_password", inline, file, raw.sentinel_password_env.as_ref()).ok()?;
        let Some(master) = &raw.sentinel_master else {
            if password.is_some() {
                let help = "name the master that the Sentinels watch: `sentinel_master: mymaster`";
                self.fault(at, "`sentinel_password` is given without `sentinel_master`", help);
                return None;
            }
            return Some(None);
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if master.is_empty() || master.len() > PREFIX_BYTES_MAX || !master.chars().all(fits) {
            let help =
                format!("write 1 to {PREFIX_BYTES_MAX} letters, digits, `.`, `-` or `_`, as in `sentinel monitor`");
            self.fault(&at.key("sentinel_master"), "no Sentinel takes this name of a master", help);
            return None;
        }
        Some(Some(Sentinel { master: master.clone(), password }))
    }

    /// PEM of authorities, from a file.
    pub(super) fn authorities(&mut self, at: &KeyPath, file: &str) -> Option<Vec<u8>> {
        let bytes = self.file(at, file)?;
        if !String::from_utf8_lossy(&bytes).lines().any(|line| line.starts_with("-----BEGIN CERTIFICATE")) {
            let message = format!("`{}` holds no PEM block `CERTIFICATE`", clip(file));
            self.fault(at, message, "convert it to PEM: the file has a line `-----BEGIN CERTIFICATE-----`");
            return None;
        }
        Some(bytes)
    }

    /// URLs, the same for people, and whether they are with TLS.
    fn servers(
        &mut self,
        at: &KeyPath,
        secret: &Secret,
        inline: bool,
        watched: bool,
    ) -> Option<(Vec<Secret>, String, bool)> {
        let text = std::str::from_utf8(secret.expose()).unwrap_or_default();
        let read: Option<Vec<Server<'_>>> =
            text.split(',').map(|url| server(url.trim(), if watched { 26_379 } else { 6379 })).collect();
        // The text is not shown: a password may stand in it.
        let Some(servers) = read.filter(|servers| servers.len() <= URLS_MAX) else {
            let help = "write `redis://host:6379` or `rediss://user:password@host:6379/0`; a cluster's nodes with commas between them";
            self.fault(at, "this is no address of Redis or Valkey", help);
            return None;
        };
        if !watched && servers.len() > 1 && servers.iter().any(|server| server.database) {
            self.fault(at, "a cluster has no numbered databases", "leave the number at the end out");
            return None;
        }
        let encrypted = servers.iter().any(|server| server.encrypted);
        if watched && servers.iter().any(|server| server.encrypted != encrypted) {
            let help = "the servers are spoken to as the Sentinels are: write `rediss://` for all of them, or for none";
            self.fault(at, "some Sentinels are asked with TLS and some without", help);
            return None;
        }
        if let Some(password) = servers.iter().find_map(|server| server.password) {
            self.secrets.push(SecretSeen { path: at.clone(), bytes: password.len(), inline });
        }
        let shown = servers.iter().map(|server| server.shown.as_str()).collect::<Vec<_>>().join(",");
        Some((servers.into_iter().map(|server| Secret::new(server.url.into_bytes())).collect(), shown, encrypted))
    }

    fn prefix(&mut self, at: &KeyPath, raw: Option<&str>) -> Option<String> {
        let prefix = self.set(at, "prefix", raw)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.chars().all(fits) {
            let help = format!("write 1 to {PREFIX_BYTES_MAX} letters, digits, `-`, `_`, `.` or `:`");
            self.fault(&at.key("prefix"), "the prefix cannot begin a key", help);
            return None;
        }
        Some(prefix.to_owned())
    }

    fn span(
        &mut self,
        at: &KeyPath,
        key: &str,
        raw: Option<Span>,
        bounds: RangeInclusive<Duration>,
        help: &str,
    ) -> Option<Duration> {
        let span = self.set(at, key, raw)?.0;
        if !bounds.contains(&span) {
            self.fault(&at.key(key), "the time is out of bounds", format!("write {help}"));
            return None;
        }
        Some(span)
    }
}

/// Reads `redis://user:password@host:port/database`; a query or a fragment would turn protections off.
fn server(text: &str, port: u16) -> Option<Server<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme {
        "redis" | "valkey" => "redis",
        "rediss" | "valkeys" => "rediss",
        _ => return None,
    };
    if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_control() || c == ' ') {
        return None;
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return None;
    }
    let (account, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let parsed: http::uri::Authority = place.parse().ok()?;
    if parsed.host().is_empty() || (place.contains(':') && parsed.port().is_some_and(|port| port.as_u16() == 0)) {
        return None;
    }
    let end = if database.is_empty() { String::new() } else { format!("/{database}") };
    let port = if parsed.port().is_some() { String::new() } else { format!(":{port}") };
    let user = account.map_or(String::new(), |account| format!("{account}@"));
    Some(Server {
        url: format!("{scheme}://{user}{place}{port}{end}"),
        shown: format!("{scheme}://{place}{port}{end}"),
        password: account.and_then(|account| account.split_once(':')).map(|(_, password)| password),
        database: !matches!(database, "" | "0"),
        encrypted: scheme == "rediss",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_account() {
        for (text, shown) in [
            ("redis://h", "redis://h:6379"),
            ("valkey://h:1", "redis://h:1"),
            ("rediss://user:pa%2Fss@h:1/2", "rediss://h:1/2"),
            ("valkeys://:p@[::1]:7000", "rediss://[::1]:7000"),
        ] {
            assert_eq!(server(text, 6379).map(|server| server.shown).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "h:6379",
            "http://h",
            "redis://",
            "redis://h/x",
            "rediss://h#insecure",
            "redis://h?protocol=3",
            "redis://h h",
            "redis://a:p@",
        ] {
            assert!(server(text, 6379).is_none(), "{text}");
        }
    }
}
