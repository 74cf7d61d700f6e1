//! One entry of the blocklist: who is kept out, until when, and why.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

/// Longest user, session, token id or tenant, bytes: as long as a claim may be.
pub const VALUE_BYTES_MAX: usize = crate::identity::claims::NAME_BYTES_MAX;

/// Longest reason given, bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// Who is kept out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Target {
    /// An address or a network.
    Network(#[serde(serialize_with = "bare")] IpNet),
    /// A subject.
    User(String),
    /// A session id.
    Session(String),
    /// A token id (`jti`).
    Token(String),
    /// A tenant.
    Tenant(String),
}

/// Why a text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an address.
    #[error("`{0}` is neither an IP address nor a network such as `203.0.113.0/24` or `2001:db8::/48`")]
    Network(String),
    /// Empty, too long or with control characters.
    #[error("a {0} is 1 to {VALUE_BYTES_MAX} bytes without control characters")]
    Value(&'static str),
    /// No such kind.
    #[error("`{0}` is no kind of target; there are `network`, `user`, `session`, `token` and `tenant`")]
    Kind(String),
    /// Too long.
    #[error("a reason is at most {REASON_BYTES_MAX} bytes without control characters")]
    Reason,
    /// Zero.
    #[error("a ban lasts for some time; write it as `30m`, `24h` or `7d`")]
    NoTime,
    /// Not between nothing and a month.
    #[error("a lockdown lasts for some time, at most 30 days; write it as `30m` or `2h`")]
    LockdownTime,
    /// A network has no credentials.
    #[error("a network has no credentials to revoke; ban it")]
    Unrevocable,
}

impl Target {
    /// A target of a kind, as [`kind`](Self::kind) names it.
    ///
    /// # Errors
    /// The kind is unknown, or the value does not name one.
    pub fn parse(kind: &str, value: &str) -> Result<Self, TargetError> {
        let named = |make: fn(String) -> Self, what| {
            let fits = !value.is_empty() && value.len() <= VALUE_BYTES_MAX && !value.chars().any(char::is_control);
            if fits { Ok(make(value.to_owned())) } else { Err(TargetError::Value(what)) }
        };
        match kind {
            "network" => network(value),
            "user" => named(Self::User, "user"),
            "session" => named(Self::Session, "session"),
            "token" => named(Self::Token, "token id"),
            "tenant" => named(Self::Tenant, "tenant"),
            other => Err(TargetError::Kind(other.chars().take(64).collect())),
        }
    }

    /// Its kind: `network`, `user`, `session`, `token` or `tenant`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Network(_) => "network",
            Self::User(_) => "user",
            Self::Session(_) => "session",
            Self::Token(_) => "token",
            Self::Tenant(_) => "tenant",
        }
    }

    /// What it names; a single address without its `/32` or `/128`.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Network(net) => shown(net),
            Self::User(text) | Self::Session(text) | Self::Token(text) | Self::Tenant(text) => text.clone(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.value())
    }
}

/// A single address without its prefix length.
fn shown(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn bare<S: serde::Serializer>(net: &IpNet, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&shown(net))
}

/// An address in IPv4-mapped form is the IPv4 address; host bits of a network are dropped.
fn network(text: &str) -> Result<Target, TargetError> {
    let wrong = || TargetError::Network(text.chars().take(64).collect());
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Target::Network(IpNet::from(ip.to_canonical())));
    }
    let net: IpNet = text.parse().map_err(|_| wrong())?;
    // All of the Internet is shut out by a lockdown, not by a slip of the pen.
    if net.prefix_len() == 0 { Err(wrong()) } else { Ok(Target::Network(net.trunc())) }
}

/// An entry of the blocklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// Who.
    #[serde(flatten)]
    pub target: Target,
    /// When it ends, Unix milliseconds.
    pub until_unix_ms: u64,
    /// When it was made, Unix milliseconds.
    pub made_unix_ms: u64,
    /// A revocation spares credentials issued after this, Unix seconds: whoever signs in again is let in. `None` keeps
    /// out whatever the credential.
    pub spares_issued_after_unix_s: Option<u64>,
    /// Why, in an operator's words; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

impl Block {
    /// Keeps a target out for so long, whatever its credential.
    ///
    /// # Errors
    /// The reason is longer than [`REASON_BYTES_MAX`] bytes or has control characters, or the time is zero.
    pub fn ban(target: Target, how_long: Duration, reason: &str, now_unix_ms: u64) -> Result<Self, TargetError> {
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(TargetError::Reason);
        }
        let how_long = u64::try_from(how_long.as_millis()).unwrap_or(u64::MAX);
        if how_long == 0 {
            return Err(TargetError::NoTime);
        }
        Ok(Self {
            target,
            until_unix_ms: now_unix_ms.saturating_add(how_long),
            made_unix_ms: now_unix_ms,
            spares_issued_after_unix_s: None,
            reason: reason.to_owned(),
        })
    }

    /// Refuses the credentials of a target that exist now: a user or tenant may sign in anew, a session or token id
    /// is at its end.
    ///
    /// # Errors
    /// As [`ban`](Self::ban), and [`TargetError::Unrevocable`] for a network.
    pub fn revocation(target: Target, how_long: Duration, reason: &str, now_unix_ms: u64) -> Result<Self, TargetError> {
        let spares = match target {
            Target::Network(_) => return Err(TargetError::Unrevocable),
            Target::User(_) | Target::Tenant(_) => now_unix_ms / 1000,
            Target::Session(_) | Target::Token(_) => u64::MAX,
        };
        Ok(Self { spares_issued_after_unix_s: Some(spares), ..Self::ban(target, how_long, reason, now_unix_ms)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_read_in_every_form() {
        for (text, value) in [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9/24", "203.0.113.0/24"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::1/48", "2001:db8::/48"),
        ] {
            assert_eq!(Target::parse("network", text).unwrap().value(), value, "{text}");
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let long = "u".repeat(VALUE_BYTES_MAX + 1);
        for (kind, value) in [
            ("network", "203.0.113"),
            ("network", "0.0.0.0/0"),
            ("network", "::/0"),
            ("network", ""),
            ("user", ""),
            ("user", long.as_str()),
            ("session", "a\nb"),
            ("role", "admin"),
        ] {
            assert!(Target::parse(kind, value).is_err(), "{kind} {value}");
        }
        assert!(Target::parse("user", &long[1..]).is_ok());
    }

    #[test]
    fn a_target_is_read_back_from_its_kind_and_value() {
        for (kind, value) in [("network", "203.0.113.0/24"), ("network", "2001:db8::1"), ("tenant", "acme")] {
            let target = Target::parse(kind, value).unwrap();
            assert_eq!(Target::parse(target.kind(), &target.value()).unwrap(), target);
        }
    }

    #[test]
    fn a_revocation_spares_new_credentials_of_users_and_tenants_only() {
        let made = |kind, value| {
            let target = Target::parse(kind, value).unwrap();
            Block::revocation(target, Duration::from_secs(9), "", 5_000)
        };
        for (kind, spares) in [("user", 5), ("tenant", 5), ("session", u64::MAX), ("token", u64::MAX)] {
            let block = made(kind, "x").unwrap();
            assert_eq!((block.spares_issued_after_unix_s, block.until_unix_ms), (Some(spares), 14_000), "{kind}");
        }
        assert_eq!(made("network", "203.0.113.9"), Err(TargetError::Unrevocable));
    }

    #[test]
    fn a_ban_has_a_time_and_a_bounded_reason() {
        let ban = |how_long, reason: &str| {
            Block::ban(Target::parse("user", "u").unwrap(), Duration::from_secs(how_long), reason, 0)
        };
        assert!(ban(1, &"r".repeat(REASON_BYTES_MAX)).is_ok());
        assert_eq!(ban(1, &"r".repeat(REASON_BYTES_MAX + 1)), Err(TargetError::Reason));
        assert_eq!(ban(1, "a\u{1b}[2J"), Err(TargetError::Reason));
        assert_eq!(ban(0, ""), Err(TargetError::NoTime));
    }
}
