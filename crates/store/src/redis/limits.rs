//! Admission's counts, one step for all nodes (SPEC 6.6): the same steps as core's limits, by the server's own clock.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_core::limits::exchange::{DEBT_MAX, Spent};
use portcullis_core::limits::{Allowance, IpKey, Limit};
use redis::Script;

use super::{Link, LinkError};

/// See the module.
pub struct Limits {
    prefix: String,
    check: Script,
    attempt: Script,
    failed: Script,
    user: Script,
    charge: Script,
}

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It fits; so much is left of the rate, where there is one.
    Granted(Option<u32>),
    /// The address is banned for so long.
    Banned(Duration),
    /// Too many failed authentications.
    Failures(Duration),
    /// Too many attempts.
    Rate(Duration),
    /// Too many connections.
    Places,
}

impl Limits {
    /// The counts of a group of nodes.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        const LIMIT: &str = include_str!("lua/limit.lua");
        const PLACES: &str = include_str!("lua/places.lua");
        let script = |text: &str| Script::new(&[LIMIT, PLACES, text].concat());
        Self {
            prefix: prefix.to_owned(),
            check: script(include_str!("lua/check.lua")),
            attempt: script(include_str!("lua/attempt.lua")),
            failed: script(include_str!("lua/failed.lua")),
            user: script(include_str!("lua/user.lua")),
            charge: script(include_str!("lua/charge.lua")),
        }
    }

    /// A key of an address; all of one address lie in one slot of a cluster.
    fn of_address(&self, address: IpKey, name: &str) -> String {
        format!("{{{}:ip:{}}}:{name}", self.prefix, named(&[address.to_string().as_bytes()]))
    }

    /// Where the connections of an address are counted.
    #[must_use]
    pub fn places_of_address(&self, address: IpKey) -> String {
        self.of_address(address, "places")
    }

    /// Where the connections of a user on a route are counted.
    #[must_use]
    pub fn places_of_user(&self, route: &str, subject: &str) -> String {
        format!("{{{}:user:{}}}:places", self.prefix, named(&[route.as_bytes(), subject.as_bytes()]))
    }

    /// Counts one event of a limit at an instant of the caller's, which is for tests and keeps the state for ever, or
    /// the server's.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn check(
        &self,
        link: &Link,
        key: &str,
        limit: &Limit,
        at: Option<Duration>,
        cost: u32,
        timeout: Duration,
    ) -> Result<Allowance, LinkError> {
        let mut call = self.check.prepare_invoke();
        call.key(format!("{{{}:{}}}", self.prefix, named(&[key.as_bytes()])));
        call.arg(instant(at)).arg(spec(Some(limit))).arg(cost);
        let (fits, wait, left): (u8, u64, u32) = link.ask(timeout, async |to| call.invoke_async(to).await).await?;
        Ok(Allowance { allowed: fits == 1, retry_after: Duration::from_nanos(wait), remaining: left })
    }

    /// Counts an attempt of an address and takes a place for `member`, where `places_max` bounds them.
    ///
    /// # Errors
    /// See [`LinkError`].
    #[expect(clippy::too_many_arguments, reason = "one step on four counts")]
    pub async fn attempt(
        &self,
        link: &Link,
        address: IpKey,
        rate: Option<&Limit>,
        failed: Option<&Limit>,
        places_max: Option<u32>,
        member: &str,
        lease: Duration,
        timeout: Duration,
    ) -> Result<Verdict, LinkError> {
        let mut call = self.attempt.prepare_invoke();
        for name in ["ban", "failed", "rate", "places"] {
            call.key(self.of_address(address, name));
        }
        call.arg("").arg(spec(failed)).arg(spec(rate)).arg(places_max.map_or(String::new(), |max| max.to_string()));
        call.arg(member).arg(millis(lease));
        let (verdict, wait, left): (u8, u64, i64) = link.ask(timeout, async |to| call.invoke_async(to).await).await?;
        let wait = Duration::from_nanos(wait);
        Ok(match verdict {
            1 => Verdict::Banned(wait),
            2 => Verdict::Failures(wait),
            3 => Verdict::Rate(wait),
            4 => Verdict::Places,
            _ => Verdict::Granted(u32::try_from(left).ok()),
        })
    }

    /// Counts a failed authentication. True where it brought a ban.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn failed(
        &self,
        link: &Link,
        address: IpKey,
        limit: &Limit,
        ban: Duration,
        timeout: Duration,
    ) -> Result<bool, LinkError> {
        let mut call = self.failed.prepare_invoke();
        call.key(self.of_address(address, "ban")).key(self.of_address(address, "failed"));
        call.arg("").arg(spec(Some(limit))).arg(millis(ban));
        link.ask(timeout, async |to| call.invoke_async::<u8>(to).await).await.map(|banned| banned == 1)
    }

    /// Takes a place for `member` among the connections of a user; false where there is none.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn user(
        &self,
        link: &Link,
        places: &str,
        places_max: u32,
        member: &str,
        lease: Duration,
        timeout: Duration,
    ) -> Result<bool, LinkError> {
        let mut call = self.user.prepare_invoke();
        call.key(places).arg("").arg(places_max).arg(member).arg(millis(lease));
        link.ask(timeout, async |to| call.invoke_async::<u8>(to).await).await.map(|taken| taken == 1)
    }

    /// Charges what this node let through of a limit on messages, and tells what all nodes have used. At the server's
    /// instant, or the caller's, which is for tests.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn charge(&self, link: &Link, spent: &Spent, at: Option<Duration>) -> Result<u64, LinkError> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let period = nanos(spent.limit.period());
        let what = match spent.limit {
            Limit::Bucket(_) => format!("b {} {}", period.saturating_mul(DEBT_MAX), spent.amount),
            Limit::Window(_) => format!("w {} {}", period.div_ceil(1000).max(1), spent.amount),
        };
        let mut call = self.charge.prepare_invoke();
        call.key(format!("{{{}:spent:{:032x}}}", self.prefix, spent.name)).arg(instant(at)).arg(what);
        link.tend(async |to| call.invoke_async(to).await).await
    }

    /// Keeps a ticket for so long.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn keep_ticket(
        &self,
        link: &Link,
        name: &str,
        kept: &[u8],
        ttl: Duration,
        timeout: Duration,
    ) -> Result<(), LinkError> {
        let mut keep = redis::cmd("SET");
        keep.arg(self.of_ticket(name)).arg(kept).arg("PX").arg(millis(ttl).max(1));
        link.ask(timeout, async |to| keep.query_async::<()>(to).await).await
    }

    /// Takes a ticket; whoever takes it first has it.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn take_ticket(&self, link: &Link, name: &str, timeout: Duration) -> Result<Option<Vec<u8>>, LinkError> {
        let mut take = redis::cmd("GETDEL");
        take.arg(self.of_ticket(name));
        link.ask(timeout, async |to| take.query_async(to).await).await
    }

    fn of_ticket(&self, name: &str) -> String {
        format!("{{{}:ticket:{name}}}", self.prefix)
    }

    /// Forgets the ban of an address, which somebody lifted.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lift(&self, link: &Link, address: IpKey) -> Result<(), LinkError> {
        let mut forget = redis::cmd("DEL");
        forget.arg(self.of_address(address, "ban")).arg(self.of_address(address, "failed"));
        link.tend(async |to| forget.query_async::<u64>(to).await).await.map(drop)
    }
}

/// 128 bits of SHA-256 over parts that cannot run together: keys of one length, without names.
pub(super) fn named(parts: &[&[u8]]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    let digest = digest(&SHA256, &bytes);
    HEXLOWER.encode(digest.as_ref().get(..16).unwrap_or_default())
}

/// As `limit.lua` reads it.
fn spec(limit: Option<&Limit>) -> String {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match limit {
        None => String::from("-"),
        Some(limit @ Limit::Bucket(bucket)) => {
            format!("b {} {} {}", bucket.emission_nanos(), nanos(limit.period()), limit.capacity())
        }
        Some(limit @ Limit::Window(_)) => {
            format!("w {} {}", limit.capacity(), nanos(limit.period()).div_ceil(1000).max(1))
        }
    }
}

fn instant(at: Option<Duration>) -> String {
    at.map_or(String::new(), |at| format!("{} {}", at.as_secs(), at.subsec_nanos()))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_together_and_say_nothing() {
        assert_ne!(named(&[b"ab", b"c"]), named(&[b"a", b"bc"]));
        let limits = Limits::new("p");
        assert_ne!(limits.places_of_user("a", "b"), limits.places_of_user("b", "a"));
        assert!(!limits.places_of_user("chat", "ada@example.com").contains("ada"));
    }
}
