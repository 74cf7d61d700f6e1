//! One-time tickets (SPEC 3.1): a credential good for seconds, once, so that no token stands in a URL.
//!
//! Decides whether a ticket is known, in time, and meant for this route and address. A ticket is gone the moment anybody
//! shows it, whether it fits or not. Kept in memory as SHA-256; bounded in all and for each subject.
//!
//! Where there are other nodes a ticket is kept where they meet, under its SHA-256, and whoever takes it first has it. It
//! is in one place only: here a mark stays, so that the bounds hold.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::cache::digest;
use super::principal::Principal;
use crate::limits::IpKey;
use crate::time::Now;
use crate::verdict::Reason;

/// What every ticket begins with.
pub const PREFIX: &str = "pct_";
/// Random bytes that make a ticket.
pub const RANDOM_BYTES: usize = 32;
/// Most tickets that wait to be used.
pub const TICKETS_MAX: usize = 100_000;
/// Most tickets of one subject that wait to be used.
pub const TICKETS_PER_SUBJECT_MAX: u32 = 16;

/// What a ticket is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fare {
    /// Who may use it.
    pub principal: Arc<Principal>,
    /// The name of the route.
    pub route: Box<str>,
    /// From which address.
    pub ip: IpKey,
}

#[derive(Debug)]
struct Ticket {
    fare: Fare,
    until: Duration,
    /// It is kept where nodes meet.
    elsewhere: bool,
}

/// A ticket as it is kept where nodes meet.
#[derive(Serialize, Deserialize)]
struct Kept {
    principal: Principal,
    route: Box<str>,
    ip: IpAddr,
    until_unix_ms: u64,
}

/// The tickets that wait to be used.
#[derive(Default)]
pub struct Tickets(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    tickets: HashMap<[u8; 32], Ticket>,
    /// Oldest first; those that were used are still here until they end.
    order: VecDeque<(Duration, [u8; 32])>,
    of_subject: HashMap<Box<str>, u32>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(…)")
    }
}

/// Whether a credential is meant to be a ticket; no other token begins like one.
#[must_use]
pub fn is_ticket(text: &str) -> bool {
    text.starts_with(PREFIX)
}

impl Tickets {
    /// A ticket, good for `ttl`. `None` where too many wait: in all, or of its subject.
    pub fn issue(&self, random: &[u8; RANDOM_BYTES], fare: Fare, ttl: Duration, now: Now) -> Option<String> {
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let subject = fare.principal.subject.clone()?;
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.sweep(now.mono);
        if waiting.order.len() >= TICKETS_MAX {
            return None;
        }
        let of_subject = waiting.of_subject.entry(subject).or_default();
        if *of_subject >= TICKETS_PER_SUBJECT_MAX {
            return None;
        }
        *of_subject += 1;
        let (key, until) = (digest(text.as_bytes()), now.mono + ttl);
        waiting.order.push_back((until, key));
        waiting.tickets.insert(key, Ticket { fare, until, elsewhere: false });
        Some(text)
    }

    /// Whose ticket it is. Whatever the answer, the ticket is gone.
    ///
    /// # Errors
    /// It is unknown, used or at its end, or meant for another route or address.
    pub fn redeem(&self, text: &str, route: &str, ip: IpKey, now: Now) -> Result<Arc<Principal>, Reason> {
        let key = digest(text.as_bytes());
        let ticket = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let ticket = waiting.tickets.remove(&key);
            if let Some(ticket) = &ticket {
                waiting.give_back(ticket);
            }
            ticket
        };
        let Some(Ticket { fare, .. }) = ticket.filter(|ticket| now.mono < ticket.until && !ticket.elsewhere) else {
            return Err(Reason::TicketInvalid);
        };
        fare.admits(route, ip, now)
    }

    /// How a ticket that was just issued is kept where nodes meet.
    #[must_use]
    pub fn keep(&self, text: &str, now: Now) -> Option<Vec<u8>> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ticket { fare, until, .. } = waiting.tickets.get(&digest(text.as_bytes()))?;
        let left = u64::try_from(until.saturating_sub(now.mono).as_millis()).unwrap_or(u64::MAX);
        let kept = Kept {
            principal: Principal::clone(&fare.principal),
            route: fare.route.clone(),
            ip: fare.ip.address(),
            until_unix_ms: now.unix_millis().saturating_add(left),
        };
        serde_json::to_vec(&kept).ok()
    }

    /// It is kept there, and good there alone.
    pub fn moved(&self, text: &str) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticket) = waiting.tickets.get_mut(&digest(text.as_bytes())) {
            ticket.elsewhere = true;
        }
    }
}

/// What a ticket is kept under where nodes meet.
#[must_use]
pub fn name(text: &str) -> String {
    HEXLOWER.encode(&digest(text.as_bytes()))
}

/// Whose ticket it is that was taken from where nodes meet.
///
/// # Errors
/// As of [`Tickets::redeem`].
pub fn redeem_kept(kept: &[u8], route: &str, ip: IpKey, now: Now) -> Result<Arc<Principal>, Reason> {
    let kept: Kept = serde_json::from_slice(kept).map_err(|_| Reason::TicketInvalid)?;
    if now.unix_millis() >= kept.until_unix_ms {
        return Err(Reason::TicketInvalid);
    }
    // A key is made anew of its own first address, and stays what it was.
    let fare = Fare { principal: Arc::new(kept.principal), route: kept.route, ip: IpKey::of(kept.ip, 128) };
    fare.admits(route, ip, now)
}

impl Fare {
    fn admits(self, route: &str, ip: IpKey, now: Now) -> Result<Arc<Principal>, Reason> {
        let ended = self.principal.expires_at_unix_s.is_some_and(|until| now.unix_seconds() >= until);
        match &*self.route == route && self.ip == ip {
            true if ended => Err(Reason::TokenExpired),
            true => Ok(self.principal),
            false => Err(Reason::TicketForeign),
        }
    }
}

impl Waiting {
    /// Forgets what has ended.
    fn sweep(&mut self, now: Duration) {
        while let Some((until, key)) = self.order.front().copied() {
            if now < until {
                break;
            }
            self.order.pop_front();
            if let Some(ticket) = self.tickets.remove(&key) {
                self.give_back(&ticket);
            }
        }
    }

    fn give_back(&mut self, ticket: &Ticket) {
        let Some(subject) = &ticket.fare.principal.subject else { return };
        if let Some(count) = self.of_subject.get_mut(subject) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_subject.remove(subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_000 + seconds) }
    }

    fn ip(last: u8) -> IpKey {
        IpKey::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 64)
    }

    fn fare(subject: &str) -> Fare {
        let principal = Principal { subject: Some(subject.into()), ..Principal::anonymous() };
        Fare { principal: principal.into(), route: "chat".into(), ip: ip(1) }
    }

    fn random(n: u32) -> [u8; RANDOM_BYTES] {
        let mut bytes = [7; RANDOM_BYTES];
        bytes.iter_mut().zip(n.to_le_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    #[test]
    fn a_ticket_that_other_nodes_know_is_no_good_here_and_keeps_its_place() {
        let tickets = Tickets::default();
        let issue = |n| tickets.issue(&random(n), fare("u1"), TTL, at(1));
        let text = issue(1).unwrap();
        let kept = tickets.keep(&text, at(1)).unwrap();
        tickets.moved(&text);
        for (route, address, seconds, outcome) in [
            ("chat", ip(1), 10, Ok(fare("u1").principal)),
            ("chat", ip(1), 11, Err(Reason::TicketInvalid)),
            ("admin", ip(1), 2, Err(Reason::TicketForeign)),
            ("chat", ip(2), 2, Err(Reason::TicketForeign)),
        ] {
            assert_eq!(redeem_kept(&kept, route, address, at(seconds)), outcome, "{route} {seconds}");
        }
        assert_eq!(redeem_kept(b"{}", "chat", ip(1), at(2)), Err(Reason::TicketInvalid));
        for n in 2..=TICKETS_PER_SUBJECT_MAX {
            assert!(issue(n).is_some(), "{n}");
        }
        assert!(issue(99).is_none(), "it counts among its subject's");
        assert_eq!(tickets.redeem(&text, "chat", ip(1), at(2)), Err(Reason::TicketInvalid));
        assert!(!String::from_utf8(kept).unwrap().contains(&text) && !name(&text).contains(&text));
    }

    #[test]
    fn a_ticket_opens_once_and_in_time() {
        let tickets = Tickets::default();
        let text = tickets.issue(&random(1), fare("ada"), TTL, at(0)).unwrap();
        assert!(is_ticket(&text));
        assert_eq!(tickets.redeem(&text, "chat", ip(1), at(9)).unwrap().subject.as_deref(), Some("ada"));
        assert_eq!(tickets.redeem(&text, "chat", ip(1), at(9)), Err(Reason::TicketInvalid), "used");
        let text = tickets.issue(&random(2), fare("ada"), TTL, at(10)).unwrap();
        assert_eq!(tickets.redeem(&text, "chat", ip(1), at(20)), Err(Reason::TicketInvalid), "late");
        assert_eq!(tickets.redeem("pct_nonsense", "chat", ip(1), at(20)), Err(Reason::TicketInvalid));
    }

    #[test]
    fn a_ticket_for_elsewhere_is_refused_and_gone() {
        let tickets = Tickets::default();
        for (route, from) in [("admin", ip(1)), ("chat", ip(2))] {
            let text = tickets.issue(&random(1), fare("ada"), TTL, at(0)).unwrap();
            assert_eq!(tickets.redeem(&text, route, from, at(1)), Err(Reason::TicketForeign));
            assert_eq!(tickets.redeem(&text, "chat", ip(1), at(1)), Err(Reason::TicketInvalid));
        }
    }

    #[test]
    fn a_ticket_does_not_outlive_the_credential_it_was_bought_with() {
        let tickets = Tickets::default();
        let mut fare = fare("ada");
        fare.principal = Principal { expires_at_unix_s: Some(1_005), ..(*fare.principal).clone() }.into();
        let text = tickets.issue(&random(1), fare, TTL, at(0)).unwrap();
        assert_eq!(tickets.redeem(&text, "chat", ip(1), at(5)), Err(Reason::TokenExpired));
    }

    #[test]
    fn tickets_are_bounded_for_each_subject_and_in_all() {
        let tickets = Tickets::default();
        for n in 0..TICKETS_PER_SUBJECT_MAX {
            assert!(tickets.issue(&random(n), fare("ada"), TTL, at(0)).is_some());
        }
        assert_eq!(tickets.issue(&random(u32::MAX), fare("ada"), TTL, at(9)), None);
        assert!(tickets.issue(&random(u32::MAX), fare("ada"), TTL, at(10)).is_some(), "the others have ended");
        let mut issued = 0;
        for n in 0..TICKETS_MAX as u32 + 10 {
            issued += usize::from(tickets.issue(&random(n), fare(&format!("user {n}")), TTL, at(11)).is_some());
        }
        assert_eq!(issued, TICKETS_MAX - 1);
        assert!(tickets.issue(&random(0), fare("later"), TTL, at(21)).is_some());
        let waiting = tickets.0.lock().unwrap();
        assert_eq!((waiting.tickets.len(), waiting.order.len(), waiting.of_subject.len()), (1, 1, 1));
    }
}
