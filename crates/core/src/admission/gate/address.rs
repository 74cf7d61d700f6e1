//! What is remembered of an address: its rates, its open connections, its ban, its waiting attempts.

use std::time::Duration;

use super::Full;
use super::settings::Settings;
use crate::limits::table::{Table, Tracked};
use crate::limits::{Allowance, IpKey, Limit, LimitState, nanos};
use crate::policy::checked::{AttemptDelay, Factor};
use crate::verdict::Reason;

/// A shard of the addresses.
pub(super) struct Addresses {
    pub(super) table: Table<Entry>,
    pub(super) overflow: Entry,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Entry {
    pub(super) key: Option<IpKey>,
    pub(super) rate: LimitState,
    pub(super) failed: LimitState,
    pub(super) open: u32,
    pub(super) handshaking: u32,
    pub(super) banned_until: u64,
    pub(super) idle_at: u64,
    pub(super) penalty_until: u64,
    /// Attempts that wait: when their backlog is gone.
    pub(super) attempts_until: u64,
}

impl Tracked for Entry {
    fn idle_at(&self, _: u64) -> u64 {
        self.idle_at.max(self.banned_until).max(self.attempts_until)
    }

    fn is_protected(&self, now: u64) -> bool {
        self.open > 0 || self.handshaking > 0 || self.banned_until > now || self.penalty_until > now
    }
}

impl Entry {
    /// Brings what the table reads in line with the rates.
    pub(super) fn settle(&mut self, settings: &Settings) {
        let limits = [(&settings.rate, &self.rate), (&settings.failed, &self.failed)];
        let states = || limits.iter().filter_map(|(limit, state)| Some((limit.as_ref()?, *state)));
        let idle_at = states().map(|(limit, state)| limit.idle_at(state)).max();
        let penalty_until = states().map(|(limit, state)| limit.penalty_until(state)).max();
        self.idle_at = idle_at.unwrap_or_default();
        self.penalty_until = penalty_until.unwrap_or_default();
    }
}

/// Where an address is counted: its hash, and whether it has an entry of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) hash: u128,
    pub(super) own: bool,
}

impl Addresses {
    /// The entry of an address, and whether it is its own.
    pub(super) fn entry(&mut self, hash: u128, key: IpKey, now: u64) -> (&mut Entry, bool) {
        match self.table.find_or_admit(hash, now) {
            Some(entry) => {
                entry.key = Some(key);
                (entry, true)
            }
            None => (&mut self.overflow, false),
        }
    }

    /// The entry that was counted in; it cannot have left, for an open connection protects it.
    pub(super) fn counted(&mut self, place: Place) -> &mut Entry {
        match self.table.find(place.hash).filter(|_| place.own) {
            Some(entry) => entry,
            None => &mut self.overflow,
        }
    }
}

impl Entry {
    /// How long an attempt waits: nothing up to the rate, then twice as long each time. Idle, the backlog goes as the
    /// rate says.
    pub(super) fn delay(&mut self, spec: &AttemptDelay, now: u64) -> Duration {
        let step = nanos(spec.after.per).max(1) / u64::from(spec.after.count.max(1));
        let free = step.saturating_mul(u64::from(spec.after.burst));
        // Past 32 doublings a wait is at its longest; more is not remembered, and a clock that goes back is forgiven.
        let most = now.saturating_add(free).saturating_add(step.saturating_mul(32));
        self.attempts_until = self.attempts_until.max(now).saturating_add(step).min(most);
        let over = (self.attempts_until - now).saturating_sub(free).div_ceil(step.max(1));
        match u32::try_from(over).unwrap_or(u32::MAX).checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => {
                spec.first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(spec.max)
            }
        }
    }

    /// Judges and counts an attempt; tells what is left of the rate, and its limit.
    pub(super) fn attempt(
        &mut self,
        settings: &Settings,
        pressure: Factor,
        now: u64,
    ) -> Result<Option<(Limit, Allowance)>, Full> {
        if self.banned_until > now {
            return Err((Reason::SourceBanned, Some(Duration::from_nanos(self.banned_until - now))));
        }
        if let Some(limit) = &settings.failed {
            let mut untouched = self.failed;
            let allowance = limit.check(&mut untouched, now, 1);
            if !allowance.allowed {
                return Err((Reason::AuthenticationRate, Some(allowance.retry_after)));
            }
        }
        let mut rate = None;
        if let Some(limit) = settings.rate.map(|limit| limit.scaled(pressure)) {
            let allowance = limit.check(&mut self.rate, now, 1);
            self.settle(settings);
            if !allowance.allowed {
                return Err((Reason::ConnectionRate, Some(allowance.retry_after)));
            }
            rate = Some((limit, allowance));
        }
        if settings.per_ip_max.is_some_and(|max| self.open >= max) {
            return Err((Reason::ConnectionsPerIp, None));
        }
        Ok(rate)
    }
}
