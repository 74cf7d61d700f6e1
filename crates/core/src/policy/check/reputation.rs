//! `reputation` and `sources.attempt_delay`: thresholds in their order, times that a handshake can wait.

use std::time::Duration;

use super::Checking;
use super::listen::rate;
use crate::policy::checked::{Anomalies, AttemptDelay, Reputation};
use crate::policy::human::OrOff;
use crate::policy::raw;
use crate::policy::tree::KeyPath;

/// Longest wait of a handshake: a socket is held for it.
const DELAY_MAX: Duration = Duration::from_secs(30);
const HALF_LIFE_MIN: Duration = Duration::from_secs(1);
const HALF_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const POINTS_MAX: u32 = 1000;
const THRESHOLD_MAX: u32 = 100_000;
const TRACKED_MAX: u32 = 10_000_000;

impl Checking<'_> {
    pub(super) fn reputation(&mut self, document: &raw::Document, at: &KeyPath) -> Option<Reputation> {
        let raw = self.need(at, document.reputation.as_ref(), "write the section")?;
        let enabled = self.set(at, "enabled", raw.enabled);
        let half_life = self.positive(at, "half_life", raw.half_life).and_then(|span| {
            let fits = (HALF_LIFE_MIN..=HALF_LIFE_MAX).contains(&span);
            if !fits {
                self.fault(&at.key("half_life"), "the time is too short or too long", "write `1s` to `7d`");
            }
            fits.then_some(span)
        });
        let points = self.points(&at.key("points"), raw.points.as_ref());
        let suspicious = self.bounded(at, "suspicious", raw.suspicious, 1..=THRESHOLD_MAX);
        let slow = self.threshold(at, "slow", raw.slow);
        let ban = self.threshold(at, "ban", raw.ban);
        let ban_for = self.positive(at, "ban_for", raw.ban_for);
        let delay = self.wait(at, "delay", raw.delay);
        let subnet_times = match raw.subnet_times.and_then(OrOff::value) {
            Some(times) => self.within(&at.key("subnet_times"), times, 1..=1000).map(Some),
            None => Some(None),
        };
        let addresses_of_users = self.set(at, "addresses_of_users", raw.addresses_of_users);
        let tracked_max = self.bounded(at, "tracked_max", raw.tracked_max, 1000..=TRACKED_MAX);
        let (slow, ban) = (slow?, ban?);
        let suspicious = suspicious?;
        let rising = [Some(suspicious), slow, ban];
        if !rising.iter().flatten().is_sorted() {
            let help = "write them rising: `suspicious: 10`, `slow: 25`, `ban: 50`";
            self.fault(at, "`suspicious`, `slow` and `ban` are not in this order", help);
            return None;
        }
        Some(Reputation {
            enabled: enabled?.0,
            half_life: half_life?,
            points: points?,
            suspicious,
            slow,
            ban,
            ban_for: ban_for?,
            delay: delay?,
            subnet_times: subnet_times?,
            addresses_of_users: addresses_of_users?.0,
            tracked_max: usize::try_from(tracked_max?).ok()?,
            ipv6_prefix: document.listen.as_ref().and_then(|listen| listen.ipv6_prefix).unwrap_or(64),
        })
    }

    pub(super) fn anomalies(&mut self, at: &KeyPath, raw: Option<&raw::Anomalies>) -> Option<Anomalies> {
        let raw = self.need(at, raw, "write the section")?;
        let learn = self.bounded(at, "learn", raw.learn, 1..=10_000);
        let over = self.bounded(at, "over", raw.over, 2..=10_000);
        let threshold = self.bounded(at, "threshold", raw.threshold, 1..=10);
        let tracked_max = self.bounded(at, "tracked_max", raw.tracked_max, 1000..=TRACKED_MAX);
        Some(Anomalies {
            action: raw.action.and_then(OrOff::value),
            learn: learn?,
            over: over?,
            threshold: threshold?,
            tracked_max: usize::try_from(tracked_max?).ok()?,
        })
    }

    fn points(&mut self, at: &KeyPath, raw: Option<&raw::FactPoints>) -> Option<[u32; 8]> {
        let raw = self.need(at, raw, "write the section")?;
        // In the order of `Fact::ALL`.
        let written = [
            ("failed_authentication", raw.failed_authentication),
            ("refused_handshake", raw.refused_handshake),
            ("refused_message", raw.refused_message),
            ("limit_exceeded", raw.limit_exceeded),
            ("threat", raw.threat),
            ("protocol_violation", raw.protocol_violation),
            ("crossing", raw.crossing),
            ("anomaly", raw.anomaly),
        ];
        let read: Vec<Option<u32>> =
            written.into_iter().map(|(key, points)| self.bounded(at, key, points, 0..=POINTS_MAX)).collect();
        let read: Option<Vec<u32>> = read.into_iter().collect();
        <[u32; 8]>::try_from(read?).ok()
    }

    #[expect(clippy::option_option, reason = "outside: whether it could be read; inside: whether there is one")]
    fn threshold(&mut self, at: &KeyPath, key: &str, written: Option<OrOff<u32>>) -> Option<Option<u32>> {
        match written.and_then(OrOff::value) {
            Some(points) => self.within(&at.key(key), points, 1..=THRESHOLD_MAX).map(Some),
            None => Some(None),
        }
    }

    fn wait(&mut self, at: &KeyPath, key: &str, written: Option<crate::policy::human::Span>) -> Option<Duration> {
        let wait = self.positive(at, key, written)?;
        if wait > DELAY_MAX {
            let message = format!("a handshake waits at most {} s", DELAY_MAX.as_secs());
            self.fault(&at.key(key), message, "write a shorter time, as `5s`");
            return None;
        }
        Some(wait)
    }

    #[expect(clippy::option_option, reason = "outside: whether it could be read; inside: whether there is one")]
    pub(super) fn attempt_delay(
        &mut self,
        at: &KeyPath,
        written: Option<OrOff<raw::AttemptDelay>>,
    ) -> Option<Option<AttemptDelay>> {
        let Some(raw) = written.and_then(OrOff::value) else { return Some(None) };
        let after = self.need(&at.key("after"), raw.after, "write a rate, as `10/min`");
        let first = self.wait(at, "first", raw.first);
        let max = self.wait(at, "max", raw.max);
        let (first, max) = (first?, max?);
        if max < first {
            self.fault(&at.key("max"), "the longest wait is shorter than the first", "write a longer one, as `5s`");
            return None;
        }
        Some(Some(AttemptDelay { after: rate(after?), first, max }))
    }
}
