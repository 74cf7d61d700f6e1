//! Time on a connection (SPEC 1.7): heartbeats, dead peers, idle and slow ones, age, the credential's end.
//!
//! One timer a connection, never touched by a message: it sleeps until the earliest time anything could be due,
//! looks at what has been heard since, and sleeps again.

use std::future::Future as _;
use std::task::Context;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use super::side::Side;
use super::{Phase, Relay};

/// The longest sleep: a bound on how late a jump of the wall clock is seen.
const NAP_MAX: Duration = Duration::from_secs(60);
/// Deadlines are met to within this.
const GRAIN: Duration = Duration::from_millis(5);

impl Relay {
    /// Does what is due. True when something was.
    pub(super) fn timely(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        // Armed and far from its time, it has nothing to say to a message.
        if self.timer_armed && now.mono + GRAIN * 2 < self.timer_at {
            return false;
        }
        let mut was_due = false;
        while self.timer.as_mut().poll(cx).is_ready() {
            // What was read came in time.
            self.settle(cx, now);
            self.due(now.mono);
            self.set_timer(now.mono);
            was_due = true;
        }
        self.timer_armed = true;
        was_due
    }

    /// Sleeps until the next time anything could be due.
    pub(super) fn set_timer(&mut self, now: Duration) {
        let next = self.next_due(now).max(now + GRAIN);
        self.reset(next);
    }

    /// Wakes at `at` if the timer would sleep longer.
    pub(super) fn wake_by(&mut self, at: Duration) {
        if at < self.timer_at {
            let now = self.worker.shared.clock.mono();
            self.reset(at.max(now + GRAIN));
        }
    }

    fn reset(&mut self, at: Duration) {
        self.timer_at = at;
        self.timer_armed = false;
        self.timer.as_mut().reset(self.worker.shared.clock.instant(at));
    }

    fn next_due(&self, now: Duration) -> Duration {
        let times = &self.caller.route.spec.times;
        let mut next = now + NAP_MAX;
        let mut consider = |at: Option<Duration>| next = at.map_or(next, |at| at.min(next));
        match self.phase {
            Phase::Handshaking { until } | Phase::Failed { until } => consider(Some(until)),
            Phase::Open => {}
        }
        consider(times.lifetime.map(|age| self.started + age));
        consider(times.idle.map(|idle| self.message_at + idle));
        for side in [&self.client, &self.upstream] {
            consider(times.dead_after.map(|after| side.heard_at + after));
            consider(times.ping_interval.map(|every| side.heard_at.max(side.pinged_at) + every));
            consider(side.stalled_since.map(|since| since + times.write));
            consider(Some(side.memory.paused_until()).filter(|until| *until > now));
        }
        consider(self.credential_ends_in().map(|left| now + left));
        consider(self.session_idles_in().map(|left| now + left));
        consider(self.warns_in().map(|left| now + left));
        next
    }

    pub(super) fn credential_ends_in(&self) -> Option<Duration> {
        let end = Duration::from_secs(self.caller.principal.expires_at_unix_s?);
        Some(end.saturating_sub(self.worker.now().wall))
    }

    /// Until nobody has used the session it came with for too long, on whichever connection.
    fn session_idles_in(&self) -> Option<Duration> {
        let policy = self.worker.policy();
        let rules = policy.checked.identity.sessions.as_ref()?;
        Some(self.session.as_ref()?.idle_left(rules.idle_timeout, self.worker.now()))
    }

    fn due(&mut self, now: Duration) {
        let times = self.caller.route.spec.times;
        for side in [&mut self.client, &mut self.upstream] {
            // Whoever waits for a callback is not read, so it cannot be heard.
            if side.held.is_some() {
                side.heard_at = now;
            }
        }
        match self.phase {
            Phase::Failed { until } | Phase::Handshaking { until } if now >= until => {
                // Whoever has not answered by now will not.
                if matches!(self.phase, Phase::Handshaking { .. })
                    && !(self.client.close_sent && self.upstream.close_sent)
                {
                    self.fail(Reason::HeartbeatLost, now);
                } else {
                    self.client.ended = true;
                    self.upstream.ended = true;
                }
                return;
            }
            Phase::Failed { .. } => return,
            Phase::Open | Phase::Handshaking { .. } => {}
        }
        let past =
            |since: Duration, limit: Option<Duration>| limit.is_some_and(|limit| now.saturating_sub(since) >= limit);
        let slow = |side: &Side| side.stalled_since.is_some_and(|since| past(since, Some(times.write)));
        let verdict = if slow(&self.client) || slow(&self.upstream) {
            Some(Reason::SlowReader)
        } else if past(self.client.heard_at, times.dead_after) {
            Some(Reason::HeartbeatLost)
        } else if past(self.upstream.heard_at, times.dead_after) {
            Some(Reason::UpstreamGone)
        } else if past(self.started, times.lifetime) {
            Some(Reason::LifetimeReached)
        } else if past(self.message_at, times.idle) {
            Some(Reason::IdleTimeout)
        } else if self.credential_ends_in() == Some(Duration::ZERO) {
            Some(if self.session.is_some() { Reason::SessionExpired } else { Reason::TokenExpired })
        } else if self.session_idles_in() == Some(Duration::ZERO) {
            Some(Reason::SessionIdle)
        } else {
            None
        };
        if let Some(reason) = verdict {
            self.time_out(reason, now);
            return;
        }
        if self.warns_in() == Some(Duration::ZERO) {
            self.warn();
        }
        if let Some(every) = times.ping_interval {
            self.heartbeat(every, now);
        }
    }

    #[cold]
    pub(super) fn time_out(&mut self, reason: Reason, now: Duration) {
        self.worker.shard().refused(reason, Decision::Closed);
        let draft = self.caller.draft(reason, Decision::Closed, "timing", reason.row().internal.to_owned());
        let wall = self.worker.shared.clock.now();
        self.worker.record(draft, wall);
        self.fail(reason, now);
        if matches!(reason, Reason::SlowReader | Reason::HeartbeatLost) {
            // It takes nothing, so it will not take a Close frame either.
            if self.client.stalled_since.is_some() {
                self.client.ended = true;
            }
            if self.upstream.stalled_since.is_some() {
                self.upstream.ended = true;
            }
        }
    }

    fn heartbeat(&mut self, every: Duration, now: Duration) {
        let mask = self.worker.mask_key();
        for side in [&mut self.client, &mut self.upstream] {
            let quiet_since = side.heard_at.max(side.pinged_at);
            if now.saturating_sub(quiet_since) >= every && !side.close_sent {
                side.pinged_at = now;
                side.queue_heartbeat(mask);
            }
        }
    }
}
