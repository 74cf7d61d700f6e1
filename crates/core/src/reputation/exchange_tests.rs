//! Nodes that meet in virtual time: what is spread over them is seen as one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::reputation::{Fact, Standing};

fn spec() -> Reputation {
    Reputation { subnet_times: Some(3), tracked_max: 1000, ..Reputation::default() }
}

fn at(seconds: u64) -> Now {
    Now { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_700_000_000 + seconds) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Nodes, each with a seed and a clock of its own, and where they meet.
struct Nodes {
    nodes: Vec<Scores>,
    met: HashMap<u128, Score>,
}

impl Nodes {
    fn new(count: u64) -> Self {
        let node = |number| Scores::new(&spec(), Vec::new(), [number, 7]).in_common();
        Self { nodes: (0..count).map(node).collect(), met: HashMap::new() }
    }

    fn take(&mut self, told: &[Told], now: Now) {
        for told in told {
            let held = self.met.entry(told.name).or_default();
            let mut points = held.at(spec().half_life, millis(now)).parts().0;
            let each = points.iter_mut();
            match told.act {
                Act::Add(more) => each.zip(more).for_each(|(held, more)| *held += more),
                Act::Raise(most) => each.zip(most).for_each(|(held, most)| *held = held.max(most)),
                Act::Forget => points = [0.0; FACTS],
            }
            *held = Score::from_parts(points, millis(now));
        }
    }

    fn heard(&self, now: Now) -> Vec<Heard> {
        let heard = |(name, score): (&u128, &Score)| Heard {
            name: *name,
            points: score.at(spec().half_life, millis(now)).parts().0,
        };
        self.met.iter().map(heard).collect()
    }

    fn exchange(&mut self, node: usize, now: Now) -> Vec<Risen> {
        let told = self.nodes[node].tell(100, now);
        self.take(&told, now);
        let heard = self.heard(now);
        self.nodes[node].settle(told, &heard, now)
    }

    fn all_exchange(&mut self, now: Now) -> Vec<Risen> {
        (0..self.nodes.len()).flat_map(|node| self.exchange(node, now)).collect()
    }
}

#[test]
fn a_source_that_spreads_its_attacks_over_three_nodes_is_banned_by_their_sum() {
    for (client, subject) in [("203.0.113.9", None), ("2001:db8::9", None), ("203.0.113.9", Some("mallory"))] {
        let mut nodes = Nodes::new(3);
        let mut risen = Vec::new();
        for attack in 0..5 {
            nodes.nodes[attack % 3].count(Fact::Threat, ip(client), subject, at(5));
            if attack % 3 == 2 || attack == 4 {
                risen.extend(nodes.all_exchange(at(5)));
                nodes.all_exchange(at(5));
            }
        }
        let bans: Vec<_> = risen.iter().filter(|risen| risen.to == Standing::Banned).collect();
        assert_eq!(bans.len(), 1, "one node speaks for all: {risen:?}");
        assert!(bans[0].detail.contains("score 50 of 50: attacks 50"), "{}", bans[0].detail);
        let orders: usize = nodes.nodes.iter().map(|node| node.take_orders().len()).sum();
        assert_eq!(orders, 1);
        for node in &nodes.nodes {
            assert_eq!(node.standing(ip(client), subject, at(5)), Standing::Banned, "{client} on every node");
        }
    }
}

#[test]
fn a_node_slows_whom_it_never_saw_and_admits_the_honest() {
    let mut nodes = Nodes::new(2);
    for _ in 0..3 {
        nodes.nodes[0].count(Fact::Threat, ip("203.0.113.9"), None, at(1));
    }
    nodes.nodes[0].count(Fact::FailedAuthentication, ip("198.51.100.7"), None, at(1));
    nodes.exchange(0, at(1));
    nodes.exchange(1, at(1));
    assert_eq!(nodes.nodes[1].standing(ip("203.0.113.9"), None, at(1)), Standing::Slowed);
    assert_eq!(nodes.nodes[1].standing(ip("198.51.100.7"), None, at(1)), Standing::Clear);
    // Two points are not worth a place in another node's memory; 30 of an address and of its subnet are.
    assert_eq!(nodes.nodes[1].tracked(), 2);
}

#[test]
fn what_was_told_is_told_once_and_what_failed_to_arrive_again() {
    let mut nodes = Nodes::new(1);
    nodes.nodes[0].count(Fact::Threat, ip("203.0.113.9"), Some("u"), at(1));
    let told = nodes.nodes[0].tell(100, at(1));
    assert_eq!(told.len(), 1);
    assert_eq!(nodes.nodes[0].tell(100, at(1)), told, "nobody answered");
    // Counted while the word was on its way.
    nodes.take(&told, at(1));
    nodes.nodes[0].count(Fact::Threat, ip("203.0.113.9"), Some("u"), at(1));
    let heard = nodes.heard(at(1));
    nodes.nodes[0].settle(told, &heard, at(1));
    assert_eq!(nodes.nodes[0].scored(at(1))[0].score, 20.0, "neither lost nor twice");
    nodes.exchange(0, at(1));
    assert_eq!(nodes.nodes[0].scored(at(1))[0].score, 20.0);
    assert_eq!(nodes.heard(at(1))[0].points.iter().sum::<f32>(), 20.0);
    assert!(nodes.nodes[0].tell(100, at(2)).is_empty());
}

#[test]
fn a_sum_that_was_lost_comes_back_and_is_not_doubled() {
    let mut nodes = Nodes::new(3);
    for node in 0..3 {
        nodes.nodes[node].count(Fact::Threat, ip("203.0.113.9"), Some("u"), at(1));
        nodes.exchange(node, at(1));
    }
    nodes.all_exchange(at(1));
    nodes.met.clear();
    for node in 0..3 {
        let all = nodes.nodes[node].tell_all(100, at(2));
        nodes.take(&all, at(2));
    }
    let sum: f32 = nodes.heard(at(2))[0].points.iter().sum();
    assert!((sum - 30.0).abs() < 0.1, "{sum}");
}

#[test]
fn a_lifted_ban_is_forgiven_on_every_node_and_where_they_meet() {
    let mut nodes = Nodes::new(2);
    for target in [Target::Network("203.0.113.9/32".parse().unwrap()), Target::User("u".into())] {
        let subject = matches!(target, Target::User(_)).then_some("u");
        for _ in 0..5 {
            nodes.nodes[0].count(Fact::Threat, ip("203.0.113.9"), subject, at(1));
        }
        nodes.all_exchange(at(1));
        assert_eq!(nodes.nodes[1].standing(ip("203.0.113.9"), subject, at(1)), Standing::Banned);
        // The second has never seen it, and knows it all the same.
        nodes.nodes[1].forgive(&target);
        nodes.nodes[0].forgive(&target);
        nodes.all_exchange(at(1));
        nodes.all_exchange(at(1));
        for node in &nodes.nodes {
            assert!(node.standing(ip("203.0.113.9"), subject, at(1)) <= Standing::Suspicious, "{target}");
        }
    }
}

#[test]
fn what_waits_to_be_told_is_bounded_and_told_later() {
    let spec = Reputation { tracked_max: 40_000, subnet_times: None, ..spec() };
    let scores = Scores::new(&spec, Vec::new(), [1, 2]).in_common();
    let source = |n: usize| IpAddr::from(std::net::Ipv4Addr::from(u32::try_from(n).unwrap() * 256));
    for n in 0..TELLING_MAX + 50 {
        scores.count(Fact::Threat, source(n), None, at(1));
    }
    let told = scores.tell(usize::MAX, at(1));
    assert_eq!(told.len(), TELLING_MAX);
    scores.settle(told, &[], at(1));
    scores.count(Fact::Threat, source(TELLING_MAX + 1), None, at(1));
    let told = scores.tell(usize::MAX, at(1));
    assert_eq!(told.len(), 1);
    assert!(matches!(told[0].act, Act::Add(points) if points.iter().sum::<f32>() == 20.0), "both facts");
}

#[test]
fn a_node_that_is_alone_tells_nothing() {
    let scores = Scores::new(&spec(), Vec::new(), [1, 2]);
    scores.count(Fact::Threat, ip("203.0.113.9"), None, at(1));
    assert!(scores.tell(100, at(1)).is_empty() && scores.tell_all(100, at(1)).is_empty());
}
