//! The blocklist as admission asks it: compiled, immutable, swapped whole.
//!
//! A look costs one hash for each prefix length in use and one for each name of the principal. Never holds more than
//! [`BLOCKS_MAX`] entries: what is beyond is told to whoever compiles it.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::block::{Block, Target};
use crate::identity::Principal;
use crate::verdict::Reason;

/// Most entries.
pub const BLOCKS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Term {
    until_unix_ms: u64,
    spares_issued_after_unix_s: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Blocklist {
    networks: HashMap<IpNet, u64>,
    /// Prefix lengths that occur.
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
    users: HashMap<Box<str>, Term>,
    sessions: HashMap<Box<str>, Term>,
    tokens: HashMap<Box<str>, Term>,
    tenants: HashMap<Box<str>, Term>,
    len: usize,
}

impl Blocklist {
    /// Compiles entries, at most [`BLOCKS_MAX`] of them; also how many were left out.
    pub fn new<'b>(blocks: impl IntoIterator<Item = &'b Block>) -> (Self, usize) {
        let (mut list, mut left_out) = (Self::default(), 0);
        for block in blocks {
            if list.len == BLOCKS_MAX {
                left_out += 1;
                continue;
            }
            list.len += 1;
            list.add(block);
        }
        for lengths in [&mut list.lengths_v4, &mut list.lengths_v6] {
            lengths.sort_unstable();
            lengths.dedup();
        }
        (list, left_out)
    }

    fn add(&mut self, block: &Block) {
        let term =
            Term { until_unix_ms: block.until_unix_ms, spares_issued_after_unix_s: block.spares_issued_after_unix_s };
        match &block.target {
            Target::Network(net) => {
                let lengths = if net.addr().is_ipv6() { &mut self.lengths_v6 } else { &mut self.lengths_v4 };
                lengths.push(net.prefix_len());
                self.networks.insert(*net, block.until_unix_ms);
            }
            Target::User(name) => drop(self.users.insert(name.as_str().into(), term)),
            Target::Session(name) => drop(self.sessions.insert(name.as_str().into(), term)),
            Target::Token(name) => drop(self.tokens.insert(name.as_str().into(), term)),
            Target::Tenant(name) => drop(self.tenants.insert(name.as_str().into(), term)),
        }
    }

    /// Entries, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// When the ban of an address ends, Unix milliseconds, if it is banned; of several networks, the last.
    #[must_use]
    pub fn banned_until(&self, ip: IpAddr, now_unix_ms: u64) -> Option<u64> {
        let ip = ip.to_canonical();
        let until = |length: &u8| {
            let net = IpNet::new(ip, *length).ok()?.trunc();
            self.networks.get(&net).copied().filter(|until| *until > now_unix_ms)
        };
        let lengths = if ip.is_ipv6() { &self.lengths_v6 } else { &self.lengths_v4 };
        lengths.iter().filter_map(until).max()
    }

    /// Why a principal is kept out, if it is.
    #[must_use]
    pub fn refuses(&self, principal: &Principal, now_unix_ms: u64) -> Option<Reason> {
        let named = [
            (&self.users, &principal.subject),
            (&self.sessions, &principal.session),
            (&self.sessions, principal.origin.as_ref().map_or(&None, |origin| &origin.session)),
            (&self.tokens, &principal.token_id),
            (&self.tenants, &principal.tenant),
        ];
        let named = named.into_iter().filter_map(|(list, name)| Some((list, name.as_ref()?)));
        for (list, name) in named.chain(principal.tenants.iter().map(|tenant| (&self.tenants, tenant))) {
            let Some(term) = list.get(name) else { continue };
            if term.until_unix_ms <= now_unix_ms {
                continue;
            }
            match term.spares_issued_after_unix_s {
                None => return Some(Reason::PrincipalBanned),
                // A credential that does not say when it was issued cannot show that it is a new one.
                Some(from) if principal.issued_at_unix_s.is_none_or(|at| at <= from) => {
                    return Some(Reason::CredentialRevoked);
                }
                Some(_) => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_000_000;

    fn block(kind: &str, value: &str, until: u64, spares: Option<u64>) -> Block {
        Block {
            target: Target::parse(kind, value).unwrap(),
            until_unix_ms: until,
            made_unix_ms: 0,
            spares_issued_after_unix_s: spares,
            reason: String::new(),
        }
    }

    fn caller(issued: Option<u64>) -> Principal {
        Principal {
            subject: Some("u1".into()),
            session: Some("s1".into()),
            token_id: Some("t1".into()),
            tenant: Some("acme".into()),
            tenants: Box::new(["sister".into()]),
            issued_at_unix_s: issued,
            ..Principal::anonymous()
        }
    }

    #[test]
    fn a_network_is_banned_until_its_time_and_not_after() {
        let (list, _) = Blocklist::new(&[
            block("network", "203.0.113.0/24", NOW + 1, None),
            block("network", "203.0.113.9", NOW + 5, None),
            block("network", "2001:db8::/48", NOW + 1, None),
        ]);
        for (ip, now, until) in [
            ("203.0.113.1", NOW, Some(NOW + 1)),
            ("203.0.113.1", NOW + 1, None),
            ("203.0.113.9", NOW, Some(NOW + 5)),
            ("203.0.113.9", NOW + 1, Some(NOW + 5)),
            ("::ffff:203.0.113.1", NOW, Some(NOW + 1)),
            ("203.0.114.1", NOW, None),
            ("2001:db8:0:9::1", NOW, Some(NOW + 1)),
            ("2001:db8:1::1", NOW, None),
        ] {
            assert_eq!(list.banned_until(ip.parse().unwrap(), now), until, "{ip} {now}");
        }
    }

    #[test]
    fn each_name_of_a_principal_is_looked_up_in_its_own_list() {
        for (kind, value, refused) in [
            ("user", "u1", true),
            ("session", "s1", true),
            ("token", "t1", true),
            ("tenant", "acme", true),
            ("tenant", "sister", true),
            ("user", "s1", false),
            ("tenant", "u1", false),
            ("user", "U1", false),
        ] {
            let (list, _) = Blocklist::new(&[block(kind, value, NOW + 1, None)]);
            assert_eq!(list.refuses(&caller(None), NOW).is_some(), refused, "{kind} {value}");
            assert_eq!(list.refuses(&caller(None), NOW + 1), None, "{kind} {value}: it has ended");
            assert_eq!(list.refuses(&Principal::anonymous(), NOW), None);
        }
    }

    #[test]
    fn a_session_is_also_known_by_the_session_it_was_exchanged_in() {
        let origin = crate::identity::Origin { method: crate::identity::Method::Jwt, session: Some("sid".into()) };
        let caller = Principal { origin: Some(Box::new(origin)), ..caller(None) };
        for (value, refused) in [("sid", true), ("s1", true), ("other", false)] {
            let (list, _) = Blocklist::new(&[block("session", value, NOW + 1, None)]);
            assert_eq!(list.refuses(&caller, NOW).is_some(), refused, "{value}");
        }
    }

    #[test]
    fn a_revocation_spares_what_was_issued_after_it() {
        let (list, _) = Blocklist::new(&[block("user", "u1", NOW + 1, Some(500))]);
        for (issued, refused) in [(None, true), (Some(499), true), (Some(500), true), (Some(501), false)] {
            let reason = refused.then_some(Reason::CredentialRevoked);
            assert_eq!(list.refuses(&caller(issued), NOW), reason, "{issued:?}");
        }
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let one = block("user", "u1", NOW, None);
        let (list, left_out) = Blocklist::new(std::iter::repeat_n(&one, BLOCKS_MAX + 3));
        assert_eq!((list.len(), left_out), (BLOCKS_MAX, 3));
    }

    proptest! {
        #[test]
        fn it_agrees_with_asking_every_network(
            nets in prop::collection::vec((any::<u32>(), 1_u8..=32), 0..30), ip: u32, near in 0_usize..30,
        ) {
            let blocks: Vec<Block> = nets
                .iter()
                .map(|(addr, len)| block("network", &format!("{}/{len}", std::net::Ipv4Addr::from(*addr)), NOW + 1, None))
                .collect();
            let (list, _) = Blocklist::new(&blocks);
            // Half of the time an address that one of them holds.
            let ip = nets.get(near).map_or(ip, |(addr, len)| addr ^ (ip >> len.min(&31)));
            let ip = IpAddr::from(std::net::Ipv4Addr::from(ip));
            let plain = blocks.iter().any(|block| matches!(&block.target, Target::Network(net) if net.contains(&ip)));
            prop_assert_eq!(list.banned_until(ip, NOW).is_some(), plain);
        }
    }
}
