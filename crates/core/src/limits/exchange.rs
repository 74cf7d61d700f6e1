//! Counts of messages over several nodes (SPEC 6.6): each node decides alone and at once, tells what it let through, and
//! hears what all have used.
//!
//! There is one state of a limit and a party where nodes meet. A node charges to it what it let through since it last
//! did, without being asked whether that fits, and raises its own state to what all have used. So between two exchanges
//! nodes may let the same rest through: with `n` nodes at most `n - 1` times the burst and what the rate brings in the
//! meantime. It is owed: nothing passes anywhere until it is paid back, so over time the rate holds. A sliding window
//! forgets, so that each may be overshot by half as much again as its rate brings between exchanges, for each other node.
//!
//! Never asks on a message's way. Tests: below, with nodes in virtual time; the server's script does the same step
//! (`store/tests/redis.rs`).

use super::{Limit, LimitState};

/// How many times its burst a party may owe: past it, what nodes let through is forgiven.
pub const DEBT_MAX: u64 = 16;

/// What this node let through of one limit for one party, and has not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Names limit and party, the same on every node.
    pub name: u128,
    /// The limit.
    pub limit: Limit,
    /// Of a bucket nanoseconds of credit, of a window cost.
    pub amount: u64,
    pub(super) hash: u128,
}

/// Where nodes meet: charges what one let through, and tells what all have used, in the same units.
pub fn charge(limit: &Limit, state: &mut LimitState, now_nanos: u64, amount: u64) -> u64 {
    match limit {
        Limit::Bucket(bucket) => bucket.charge(state, now_nanos, amount),
        Limit::Window(window) => window.charge(state, now_nanos, amount),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::{Held, Ledger, Party};
    use super::*;
    use crate::policy::checked::{Rate, RateAlgorithm};

    const MILLISECOND: u64 = 1_000_000;
    const EXCHANGE: u64 = 250 * MILLISECOND;

    struct Nodes {
        ledgers: Vec<Ledger>,
        held: Vec<Held>,
        limit: Limit,
        met: HashMap<u128, LimitState>,
    }

    impl Nodes {
        fn new(count: u64, limit: Limit) -> Self {
            let ledgers: Vec<Ledger> = (0..count).map(|node| Ledger::new(64, [node, 7]).named()).collect();
            let held = ledgers.iter().map(|ledger| ledger.open(&limit, 5, Party::User("u"), 0).1).collect();
            Self { ledgers, held, limit, met: HashMap::new() }
        }

        fn send(&self, node: usize, now: u64) -> bool {
            self.held[node].counter.check(&self.limit, now, 1).allowed
        }

        fn exchange(&mut self, node: usize, now: u64) {
            for spent in self.ledgers[node].spent(100) {
                let used = charge(&spent.limit, self.met.entry(spent.name).or_default(), now, spent.amount);
                self.ledgers[node].settle(&spent, used, now);
            }
        }
    }

    fn limit(count: u32, burst: u32, algorithm: RateAlgorithm) -> Limit {
        Limit::compile(Rate { count, per: Duration::from_secs(1), burst, algorithm })
    }

    /// What `count` greedy nodes let through in so many seconds.
    fn greedy(count: u64, limit: Limit, seconds: u64) -> u64 {
        let mut nodes = Nodes::new(count, limit);
        let start = 1_000_000 * MILLISECOND;
        let mut passed = 0;
        for step in 0..seconds * 1000 {
            let now = start + step * MILLISECOND;
            for node in 0..nodes.ledgers.len() {
                passed += u64::from(nodes.send(node, now));
                // Not all at the same moment.
                if (now + node as u64 * 31 * MILLISECOND).is_multiple_of(EXCHANGE) {
                    nodes.exchange(node, now);
                }
            }
        }
        passed
    }

    #[test]
    fn nodes_let_through_what_one_would_and_the_documented_overshoot() {
        for nodes in [1, 2, 3, 10] {
            for (count, burst) in [(20, 20), (20, 5), (100, 30), (8, 80)] {
                let passed = greedy(nodes, limit(count, burst, RateAlgorithm::TokenBucket), 60);
                let (count, burst) = (u64::from(count), u64::from(burst));
                let between = count.div_ceil(4) + 1;
                let most = burst + 60 * count + (nodes - 1) * (burst + between);
                assert!(passed <= most, "{nodes} nodes, {count}/s burst {burst}: {passed} > {most}");
                assert!(passed >= 60 * count * 9 / 10, "{nodes} nodes, {count}/s burst {burst}: only {passed}");
            }
        }
    }

    #[test]
    fn windows_hold_over_nodes_with_a_looser_bound() {
        for nodes in [1, 2, 3, 10] {
            let passed = greedy(nodes, limit(40, 40, RateAlgorithm::SlidingWindow), 60);
            // A window forgets what was owed: each may be overshot by what the rate brings between exchanges, and half.
            let most = 40 + 60 * 40 + (nodes - 1) * (40 + 60 * 15);
            assert!(passed <= most, "{nodes} nodes: {passed} > {most}");
        }
    }

    #[test]
    fn what_could_not_be_told_is_told_later_and_once() {
        let mut nodes = Nodes::new(2, limit(10, 10, RateAlgorithm::TokenBucket));
        let now = 1_000_000 * MILLISECOND;
        (0..10).for_each(|_| assert!(nodes.send(0, now)));
        let first = nodes.ledgers[0].spent(100);
        assert_eq!(nodes.ledgers[0].spent(100), first, "nobody answered");
        nodes.exchange(0, now);
        assert_eq!(nodes.ledgers[0].spent(100), []);
        assert!(nodes.send(1, now), "not heard of so far");
        nodes.exchange(1, now);
        assert!(!nodes.send(1, now) && !nodes.send(0, now));
        assert!(nodes.send(1, now + 1_000 * MILLISECOND));
    }

    #[test]
    fn names_are_the_same_on_every_node_and_differ_by_limit_and_party() {
        let limit = limit(1, 1, RateAlgorithm::TokenBucket);
        let name = |seed, scope, party: Party<'_>| {
            let ledger = Ledger::new(8, [seed, seed]).named();
            let held = ledger.open(&limit, scope, party, 0).1;
            held.counter.check(&limit, 1, 1);
            ledger.spent(9)[0].name
        };
        assert_eq!(name(1, 5, Party::User("u")), name(2, 5, Party::User("u")));
        let others = [(6, Party::User("u")), (5, Party::User("v")), (5, Party::Tenant("u")), (5, Party::All)];
        for (scope, party) in others {
            assert_ne!(name(1, 5, Party::User("u")), name(1, scope, party), "{scope} {party:?}");
        }
    }

    #[test]
    fn a_node_that_is_alone_names_and_tells_nothing() {
        let ledger = Ledger::new(8, [1, 2]);
        let limit = limit(1, 1, RateAlgorithm::TokenBucket);
        ledger.open(&limit, 5, Party::All, 0).1.counter.check(&limit, 1, 1);
        assert_eq!(ledger.spent(9), []);
    }

    proptest! {
        #[test]
        fn whatever_nodes_do_a_bucket_holds_over_time(
            steps in prop::collection::vec((0usize..3, 0u64..60, any::<bool>()), 1..600),
        ) {
            let mut nodes = Nodes::new(3, limit(10, 5, RateAlgorithm::TokenBucket));
            let start = 1_000_000 * MILLISECOND;
            let (mut now, mut passed, mut due) = (start, 0_u64, [start; 3]);
            for (node, wait, burst) in steps {
                now += wait * MILLISECOND;
                for (other, due) in due.iter_mut().enumerate() {
                    if now >= *due {
                        nodes.exchange(other, now);
                        *due = now + EXCHANGE;
                    }
                }
                for _ in 0..if burst { 8 } else { 1 } {
                    passed += u64::from(nodes.send(node, now));
                }
            }
            let elapsed = now - start;
            // Two nodes' bursts, and what the rate brings between exchanges, which here come up to 60 ms late.
            let most = 5 + elapsed / (100 * MILLISECOND) + 2 * (5 + 4);
            prop_assert!(passed <= most, "{} > {} in {} ms", passed, most, elapsed / MILLISECOND);
        }
    }
}
