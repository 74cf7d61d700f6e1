//! What admission counts together with other nodes (SPEC 6.6): an address' attempts, failures and connections, a user's
//! connections.
//!
//! Asked after this node's own counts have let a client pass: what one node has seen is part of what all have seen, so
//! whoever is past a limit here is past it everywhere, and a flood of one address asks nobody. Without an answer in time
//! this node's counts decide alone. What another node's count refuses is given back here.
//!
//! Never asks for a source on the allow-list, nor for a handshake that is refused anyway.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::{Admission, Question, Refusal, Step, refuse, tells_by_close};
use crate::identity::Principal;
use crate::limits::{IpKey, Limit};
use crate::time::Now;
use crate::verdict::Reason;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// An attempt of an address; it takes a place among its connections.
    Attempt {
        /// Whose.
        address: IpKey,
        /// Attempts.
        rate: Option<Limit>,
        /// Failed authentications; looked at, not counted.
        failed: Option<Limit>,
        /// Concurrent connections.
        places_max: Option<u32>,
    },
    /// A failed authentication of an address.
    Failed {
        /// Whose.
        address: IpKey,
        /// How many there may be.
        limit: Limit,
        /// How long the last one bans it; zero not at all.
        ban: Duration,
    },
    /// A connection of a user on a route; it takes a place among them.
    User {
        /// The name of the route, or of the group that it counts with.
        route: Box<str>,
        /// The user.
        subject: Box<str>,
        /// Concurrent connections.
        places_max: u32,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum Counted {
    /// Nobody answered in time. The place counts once somebody does.
    Alone(Option<Lease>),
    /// It fits.
    Granted {
        /// A place that was taken.
        place: Option<Lease>,
        /// What is left of the rate.
        remaining: Option<u32>,
    },
    /// It does not; of a failed authentication: it brought a ban.
    Refused {
        /// Why.
        reason: Reason,
        /// When to come back.
        retry_after: Option<Duration>,
    },
}

/// A place among the connections that all nodes count; whoever drops it gives it back.
pub struct Lease(#[expect(dead_code, reason = "held to be dropped")] Box<dyn Send>);

impl Lease {
    /// A place that `guard` gives back when it is dropped.
    #[must_use]
    pub fn new(guard: impl Send + 'static) -> Self {
        Self(Box::new(guard))
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

/// Which answer an admission waits for.
#[derive(Debug, Default)]
pub(super) enum Awaits {
    /// None, or one of the credential's.
    #[default]
    Nothing,
    /// An attempt was counted.
    Attempt,
    /// A failed authentication was counted.
    Failure { reason: Reason, detail: &'static str, banned: bool },
    /// A connection of a user who passed every check but the authorizer's.
    User(Arc<Principal>),
    /// The authorizer's, for whoever passed every check of ours.
    Authorizer(Arc<Principal>),
}

impl Admission {
    /// The head is sound and the route exists.
    pub(super) fn attempt(&mut self, now: Now) -> Step {
        let Some(visit) = &mut self.visit else { return self.pause(now) };
        match self.means.gate.count_attempt(&visit.seat, self.arrival.client) {
            Some(count) => {
                visit.awaits = Awaits::Attempt;
                Step::Ask(Question::Count(count))
            }
            None => self.pause(now),
        }
    }

    /// The other nodes' counts are known.
    pub(super) fn counted(&mut self, awaits: Awaits, counted: Counted, now: Now) -> Step {
        match awaits {
            Awaits::Attempt => self.attempted(counted, now),
            Awaits::Failure { reason, detail, banned } => self.failed(reason, detail, banned, &counted, now),
            Awaits::User(principal) => self.user_counted(principal, counted, now),
            Awaits::Nothing | Awaits::Authorizer(_) => {
                self.refuse_here(Reason::HandshakeMalformed, "admission", "an answer to no question")
            }
        }
    }

    fn attempted(&mut self, counted: Counted, now: Now) -> Step {
        let Some(visit) = &mut self.visit else { return self.pause(now) };
        match counted {
            Counted::Alone(place) => visit.seat.hold(place),
            Counted::Granted { place, remaining } => {
                visit.seat.hold(place);
                visit.seat.at_most(remaining);
            }
            Counted::Refused { reason, retry_after } => {
                visit.seat.give_back();
                if let (Reason::SourceBanned, Some(left)) = (reason, retry_after) {
                    self.means.gate.ban(visit.seat.ip_key(), left, now);
                }
                let closes = visit.websocket && tells_by_close(reason);
                let refusal = Refusal::at(reason, "source", reason.row().internal, Some(&visit.route), closes);
                self.visit = None;
                return refuse(Refusal { retry_after, ..refusal });
            }
        }
        self.pause(now)
    }

    fn failed(&mut self, reason: Reason, detail: &'static str, banned: bool, counted: &Counted, now: Now) -> Step {
        let elsewhere = matches!(counted, Counted::Refused { .. });
        if elsewhere && !banned {
            self.means.gate.ban_failed(self.arrival.client, now);
        }
        self.rejected(reason, detail, banned || elsewhere)
    }

    fn user_counted(&mut self, principal: Arc<Principal>, counted: Counted, now: Now) -> Step {
        let Some(mut visit) = self.visit.take() else { return self.pause(now) };
        match counted {
            Counted::Alone(place) | Counted::Granted { place, .. } => visit.seat.hold(place),
            Counted::Refused { reason, retry_after } => {
                let subject = principal.subject.as_deref().map(str::to_owned);
                return refuse(Refusal {
                    subject,
                    retry_after,
                    ..visit.refusal(reason, "user", reason.row().internal)
                });
            }
        }
        self.seated(visit, principal, now)
    }
}

impl Gate {
    /// A failed authentication, for the other nodes to count; `None` where it is not counted or there are none.
    pub(super) fn count_failed(&self, client: IpAddr) -> Option<Count> {
        let (limit, ban) = self.shares_failures(client)?;
        Some(Count::Failed { address: self.key(client), limit, ban })
    }

    /// A connection of a user, the same way.
    pub(super) fn count_user(&self, route: &str, subject: &str, places_max: u32) -> Option<Count> {
        let count = || Count::User { route: route.into(), subject: subject.into(), places_max };
        self.is_shared().then(count)
    }
}
