//! Which backend a caller belongs to, where the route balances by hash (SPEC 1.4): a stable key of the caller, and the
//! weight of each backend for it (rendezvous hashing). The heaviest has the caller; when one goes, only its own callers
//! move, each to the next in its own order. The same on every node and after a restart.
//!
//! The hash has no secret: whoever chooses the text that is hashed may choose the backend, as a client does where a
//! path parameter is hashed that nothing binds to its claims. Tests stand at the end.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::route::Params;
use crate::identity::Principal;
use crate::limits::IpKey;
use crate::policy::checked::{Balance, HashOn};

/// What a caller is hashed by; `None` where the route counts connections instead.
pub(super) fn key(balance: &Balance, principal: &Principal, params: &Params, address: IpKey) -> Option<u64> {
    let Balance::ConsistentHash(on) = balance else { return None };
    let text = match on {
        HashOn::Ip => None,
        HashOn::User => principal.subject.as_deref(),
        HashOn::Tenant => principal.tenant.as_deref(),
        HashOn::Session => principal.session.as_deref(),
        HashOn::Parameter(name) => params.iter().find(|(param, _)| **param == **name).map(|(_, value)| value.as_str()),
    };
    // A caller without it has its address.
    Some(text.map_or_else(|| hash(address.to_string().as_bytes()), |text| hash(text.as_bytes())))
}

/// A stable number of a backend's address.
#[must_use]
pub fn mark(backend: &str) -> u64 {
    hash(backend.as_bytes())
}

/// How much a backend wants a caller.
#[must_use]
pub fn weight(key: u64, mark: u64) -> u64 {
    let mut both = [0; 16];
    let (first, second) = both.split_at_mut(8);
    first.copy_from_slice(&key.to_le_bytes());
    second.copy_from_slice(&mark.to_le_bytes());
    hash(&both)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: Option<&str>) -> Principal {
        Principal { subject: subject.map(Into::into), ..Principal::anonymous() }
    }

    fn first(key: u64, backends: &[&str]) -> usize {
        let weights = backends.iter().map(|backend| weight(key, mark(backend)));
        weights.enumerate().max_by_key(|(_, weight)| *weight).unwrap().0
    }

    #[test]
    fn a_caller_is_hashed_by_what_the_route_says_and_else_by_its_address() {
        let [here, there] = [1, 2].map(|last| IpKey::of([192, 0, 2, last].into(), 64));
        let params = vec![("room".to_owned(), "r1".to_owned())];
        let on = |on, caller: &Principal, address| key(&Balance::ConsistentHash(on), caller, &params, address);
        let (ada, nobody) = (caller(Some("ada")), caller(None));
        assert_eq!(on(HashOn::User, &ada, here), on(HashOn::User, &ada, there));
        assert_eq!(on(HashOn::User, &nobody, here), on(HashOn::Ip, &ada, here));
        assert_ne!(on(HashOn::User, &nobody, here), on(HashOn::User, &nobody, there));
        let room = HashOn::Parameter("room".into());
        assert_eq!(on(room.clone(), &ada, here), on(room, &nobody, there));
        assert_eq!(key(&Balance::LeastConnections, &ada, &params, here), None);
    }

    #[test]
    fn a_backend_that_goes_moves_its_own_callers_and_no_other() {
        let all = ["a:1", "b:1", "c:1", "d:1"];
        let mut held = [0_u32; 4];
        for number in 0..4000_u32 {
            let key = hash(&number.to_le_bytes());
            let before = first(key, &all);
            held[before] += 1;
            let after = first(key, &all[..3]);
            assert!(before == 3 || before == after, "{number} moved from {before} to {after}");
        }
        // Each has its fourth, within a tenth.
        assert!(held.iter().all(|held| (900..=1100).contains(held)), "{held:?}");
    }

    #[test]
    fn the_same_on_every_node_and_after_a_restart() {
        // These numbers may never change: nodes of two versions would send a caller to two backends.
        assert_eq!(mark("127.0.0.1:3000"), MARK);
        assert_eq!(weight(hash(b"ada"), MARK), WEIGHT);
    }

    const MARK: u64 = 0xd461_c09c_eede_aa18;
    const WEIGHT: u64 = 0x2fe9_2bbd_2e2b_f9ac;
}
