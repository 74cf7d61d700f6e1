//! What every endpoint that is asked about callers has in common: a URL, a timeout, a cache.

use std::time::Duration;

use super::Checking;
use super::identity::is_loopback;
use crate::policy::human::Span;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(30);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const CACHE_TTL_MAX: Duration = Duration::from_secs(3600);
const CACHE_ENTRIES_MAX: u32 = 1_000_000;
const CACHE_ENTRIES_DEFAULT: u32 = 10_000;

/// How long an endpoint may take and what is remembered of its answers.
pub(super) struct Asking {
    pub(super) timeout: Duration,
    pub(super) cache_ttl: Duration,
    pub(super) cache_entries_max: usize,
}

impl Checking<'_> {
    pub(super) fn asking(
        &mut self,
        at: &KeyPath,
        timeout: Option<Span>,
        cache_ttl: Option<Span>,
        cache_ttl_default: Duration,
        cache_entries_max: Option<u32>,
    ) -> Option<Asking> {
        let timeout = timeout.map_or(TIMEOUT_DEFAULT, |timeout| timeout.0);
        let timely = TIMEOUT.contains(&timeout);
        if !timely {
            self.fault(&at.key("timeout"), "the timeout is out of bounds", "write `50ms` to `30s`");
        }
        let cache_ttl = cache_ttl.map_or(cache_ttl_default, |ttl| ttl.0);
        let fresh = cache_ttl <= CACHE_TTL_MAX;
        if !fresh {
            let help = "write at most `1h`: what is taken back there is still accepted here for so long";
            self.fault(&at.key("cache_ttl"), "answers are remembered for too long", help);
        }
        let entries = cache_entries_max.unwrap_or(CACHE_ENTRIES_DEFAULT);
        let entries = self.within(&at.key("cache_entries_max"), entries, 1..=CACHE_ENTRIES_MAX)?;
        (timely && fresh).then_some(Asking { timeout, cache_ttl, cache_entries_max: usize::try_from(entries).ok()? })
    }

    /// A URL that is asked. `plain`: it may be plain HTTP to any host, not to loopback alone.
    pub(super) fn endpoint_url(&mut self, at: &KeyPath, written: &str, plain: bool) -> Option<String> {
        let parsed: Option<http::Uri> = written.parse().ok();
        let authority = parsed.as_ref().and_then(http::Uri::authority);
        let host = authority.map(http::uri::Authority::host).unwrap_or_default();
        let sound = !host.is_empty()
            && authority.is_some_and(|authority| !authority.as_str().contains('@'))
            && !written.contains('#');
        match parsed.as_ref().and_then(http::Uri::scheme_str) {
            Some("https") if sound => Some(written.to_owned()),
            Some("http") if sound && (plain || is_loopback(host)) => Some(written.to_owned()),
            Some("http") if sound => {
                let help = "use `https://`; whoever stands on the way could read the secret and forge answers";
                self.fault(at, "an endpoint over plain `http://` is for loopback only", help);
                None
            }
            _ => {
                // A user and a password may stand in it.
                let shown = if written.contains('@') { "the text".to_owned() } else { format!("`{}`", clip(written)) };
                self.fault(at, format!("{shown} is not a URL to ask"), "write `https://host.example/path`");
                None
            }
        }
    }
}
