//! What a socket, an attempt and a failed authentication count.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::address::Place;
use super::settings::Settings;
use super::{Full, Gate, HANDSHAKES_PER_IP_MAX, Pending, Seat, lock, pick, within};
use crate::admission::nodes::Count;
use crate::limits::{IpKey, Limit, LimitState, nanos};
use crate::policy::checked::Factor;
use crate::reputation::Standing;
use crate::time::Now;
use crate::verdict::Reason;

impl Gate {
    /// Counts a socket before it has said anything: capacity, deny-list, bans, handshakes of one address. A
    /// trusted proxy's own address is counted in the total alone.
    pub(in crate::admission) fn socket(self: &Arc<Self>, peer: IpAddr, now: Now) -> Result<Pending, Reason> {
        let settings = self.settings.load();
        let mut place = None;
        if !within(&settings.trusted, peer) {
            settings.denied(peer)?;
            if self.banned_for(peer, now).is_some() {
                return Err(Reason::SourceBanned);
            }
            if !within(&settings.allow, peer) {
                self.provenance.judge(&settings.geo, peer)?;
                place = Some(self.handshaking(&settings, peer, now.mono_nanos())?);
            }
        }
        let pending = Pending { gate: Arc::clone(self), place, lent: false };
        // Counted first and looked at then: two that come at once cannot both have the last place. Dropping
        // `pending` gives it back.
        if self.total.fetch_add(1, Ordering::Relaxed) >= settings.total_max {
            return Err(Reason::ServerFull);
        }
        Ok(pending)
    }

    fn handshaking(&self, settings: &Settings, peer: IpAddr, now: u64) -> Result<Place, Reason> {
        let key = IpKey::of(peer, settings.ipv6_prefix);
        let hash = self.hash(key);
        let mut shard = lock(pick(&self.addresses, hash));
        let (entry, own) = shard.entry(hash, key, now);
        if entry.banned_until > now {
            return Err(Reason::SourceBanned);
        }
        if entry.handshaking >= settings.per_ip_max.unwrap_or(HANDSHAKES_PER_IP_MAX).max(1) {
            return Err(Reason::ConnectionsPerIp);
        }
        entry.handshaking += 1;
        Ok(Place { hash, own })
    }

    /// Counts an attempt of a client: deny-list, ban, failed authentications, rate, concurrency.
    pub(in crate::admission) fn seat(self: &Arc<Self>, client: IpAddr, now: Now) -> Result<Seat, Full> {
        self.watch.attempt();
        self.provenance.attempt(client);
        let settings = self.settings.load();
        settings.denied(client).map_err(|reason| (reason, None))?;
        if let Some(left) = self.banned_for(client, now) {
            return Err((Reason::SourceBanned, Some(left)));
        }
        let exempt = within(&settings.allow, client);
        if !exempt {
            self.provenance.judge(&settings.geo, client).map_err(|reason| (reason, None))?;
        }
        let key = IpKey::of(client, settings.ipv6_prefix);
        let hash = self.hash(key);
        let slowed = !exempt && self.scores.standing(client, None, now) >= Standing::Slowed;
        // Where all and a country are raised the stricter one holds.
        let all = self.pressure.load(Ordering::Relaxed);
        let pressure = Factor::from_permille(all.min(self.provenance.pressure(client).permille()));
        let mut delay = if slowed { settings.slowed_delay } else { Duration::ZERO };
        let now = now.mono_nanos();
        let mut shard = lock(pick(&self.addresses, hash));
        let (entry, own) = shard.entry(hash, key, now);
        let mut rate = None;
        if !exempt {
            delay = delay.max(settings.attempt_delay.map_or(Duration::ZERO, |spec| entry.delay(&spec, now)));
            rate = entry.attempt(&settings, pressure, now)?;
        }
        entry.open += 1;
        drop(shard);
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Seat {
            gate: Arc::clone(self),
            key,
            place: Place { hash, own },
            user: None,
            anonymous: false,
            rate,
            delay,
            leases: Vec::new(),
        })
    }

    /// Counts a failed authentication. True when it brought a ban.
    pub(in crate::admission) fn failed(&self, client: IpAddr, now: Now) -> bool {
        let settings = self.settings.load();
        let Some(limit) = &settings.failed else { return false };
        if within(&settings.allow, client) {
            return false;
        }
        let key = IpKey::of(client, settings.ipv6_prefix);
        let hash = self.hash(key);
        let now = now.mono_nanos();
        let mut shard = lock(pick(&self.addresses, hash));
        let (entry, own) = shard.entry(hash, key, now);
        let allowance = limit.check(&mut entry.failed, now, 1);
        // The last one that the rate allows brings the ban: five a minute means that the fifth is the last. When
        // the ban ends the count begins anew. Without a ban, `attempt` refuses until the rate has refilled.
        let bans = allowance.remaining == 0 && own && !settings.ban.is_zero();
        if bans {
            entry.banned_until = now.saturating_add(nanos(settings.ban));
            entry.failed = LimitState::default();
        }
        entry.settle(&settings);
        bans
    }

    /// Bans an address whose failures other nodes counted too.
    pub(in crate::admission) fn ban_failed(&self, client: IpAddr, now: Now) {
        let ban = self.settings.load().ban;
        self.ban(self.key(client), ban, now);
    }

    pub(in crate::admission) fn is_shared(&self) -> bool {
        self.settings.load().shared
    }

    /// An attempt as other nodes should count it; `None` where there are none, or nothing to count.
    pub(in crate::admission) fn count_attempt(&self, seat: &Seat, client: IpAddr) -> Option<Count> {
        let settings = self.settings.load();
        let rate = seat.rate.map(|(limit, _)| limit);
        let (failed, places_max) = (settings.failed, settings.per_ip_max);
        let counts = rate.is_some() || failed.is_some() || places_max.is_some();
        let asks = settings.shared && counts && !within(&settings.allow, client);
        asks.then_some(Count::Attempt { address: seat.key, rate, failed, places_max })
    }

    /// How failed authentications of a client are counted by all nodes.
    pub(in crate::admission) fn shares_failures(&self, client: IpAddr) -> Option<(Limit, Duration)> {
        let settings = self.settings.load();
        let limit = settings.failed.filter(|_| settings.shared && !within(&settings.allow, client))?;
        Some((limit, settings.ban))
    }
}
