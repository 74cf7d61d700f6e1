//! Scores of many sources: who answers for what, what follows, and that memory is bounded.

use super::*;
use std::time::Duration;

fn spec() -> Reputation {
    Reputation { subnet_times: Some(3), tracked_max: 1000, ..Reputation::default() }
}

fn scores() -> Scores {
    Scores::new(&spec(), Vec::new(), [1, 2])
}

fn at(seconds: u64) -> Now {
    Now { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_700_000_000 + seconds) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn where_the_policy_says_so_the_address_of_a_user_answers_with_it() {
    let policy = Reputation { addresses_of_users: true, ..spec() };
    let scores = Scores::new(&policy, vec!["198.51.100.0/24".parse().unwrap()], [1, 2]);
    let (home, office) = (ip("203.0.113.9"), ip("198.51.100.7"));
    for client in [home, office] {
        for _ in 0..3 {
            scores.count(Fact::Threat, client, Some("mallory"), at(1));
        }
    }
    assert_eq!(scores.standing(home, None, at(1)), Standing::Slowed);
    assert_eq!(scores.standing(office, None, at(1)), Standing::Clear, "the operator vouches for it");
    assert_eq!(scores.standing(ip("192.0.2.1"), Some("mallory"), at(1)), Standing::Banned);
    let targets: Vec<String> = scores.take_orders().iter().map(|order| order.target.to_string()).collect();
    assert_eq!(targets.len(), 1, "{targets:?}");
    for _ in 0..2 {
        scores.count(Fact::Threat, home, Some("eve"), at(1));
    }
    assert_eq!(scores.standing(home, None, at(1)), Standing::Banned);
    assert_eq!(scores.take_orders()[0].target, Target::Network("203.0.113.9/32".parse().unwrap()));
}

#[test]
fn a_score_leads_from_suspicion_over_slowing_to_a_ban_with_its_reasons() {
    let scores = scores();
    let mut risen = Vec::new();
    for second in 0..5 {
        risen.extend(scores.count(Fact::Threat, ip("203.0.113.9"), None, at(second)));
        scores.count(Fact::FailedAuthentication, ip("203.0.113.9"), None, at(second));
    }
    risen.retain(|risen| risen.target.value() == "203.0.113.9");
    let steps: Vec<Standing> = risen.iter().map(|risen| risen.to).collect();
    assert_eq!(steps, [Standing::Suspicious, Standing::Slowed, Standing::Banned]);
    let last = risen.last().unwrap();
    assert_eq!(last.target, Target::parse("network", "203.0.113.9").unwrap());
    assert_eq!(last.detail, "score 58 of 50: attacks 50, failed authentications 8");
    let orders = scores.take_orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].reason, last.detail);
    assert_eq!(orders[0].until_unix_ms, at(4 + 900).unix_millis());
    assert!(scores.take_orders().is_empty(), "ordered once");
    scores.count(Fact::Threat, ip("203.0.113.9"), None, at(6));
    assert!(scores.take_orders().is_empty(), "while the ban lasts");
    assert_eq!(scores.standing(ip("203.0.113.9"), None, at(6)), Standing::Banned);
    assert_eq!(scores.standing(ip("203.0.114.9"), None, at(6)), Standing::Clear, "another is not answerable");
    assert_eq!(scores.standing(ip("203.0.113.9"), None, at(3600)), Standing::Clear, "it fades");
}

#[test]
fn a_user_answers_for_itself_and_not_for_its_address() {
    let scores = scores();
    for second in 0..6 {
        scores.count(Fact::Threat, ip("203.0.113.9"), Some("mallory"), at(second));
    }
    assert_eq!(scores.take_orders()[0].target, Target::User("mallory".into()));
    assert_eq!(scores.standing(ip("203.0.113.9"), None, at(6)), Standing::Clear);
    assert_eq!(scores.standing(ip("203.0.113.9"), Some("ada"), at(6)), Standing::Clear);
    assert_eq!(scores.standing(ip("198.51.100.1"), Some("mallory"), at(6)), Standing::Banned, "wherever it is");
}

#[test]
fn many_addresses_of_a_subnet_are_seen_together() {
    let scores = scores();
    for host in 1..=16 {
        scores.count(Fact::Threat, ip(&format!("203.0.113.{host}")), None, at(1));
    }
    let banned: Vec<String> = scores.take_orders().iter().map(|block| block.target.value()).collect();
    assert_eq!(banned, ["203.0.113.0/24"], "none of them alone, all of them together");
    assert_eq!(scores.standing(ip("203.0.113.77"), None, at(1)), Standing::Banned);
    let v6 = Scores::new(&spec(), Vec::new(), [1, 2]);
    for host in 1..=16 {
        v6.count(Fact::Threat, ip(&format!("2001:db8:7:{host}::1")), None, at(1));
    }
    assert_eq!(v6.take_orders()[0].target.value(), "2001:db8:7::/48");
}

#[test]
fn addresses_of_one_client_have_one_score() {
    let scores = scores();
    for host in 1..=5 {
        scores.count(Fact::Threat, ip(&format!("2001:db8:7:1:aaaa:bbbb:cccc:{host}")), None, at(1));
    }
    assert_eq!(scores.take_orders()[0].target.value(), "2001:db8:7:1::/64", "privacy addresses");
    for form in ["203.0.113.9", "::ffff:203.0.113.9", "203.0.113.9", "::ffff:203.0.113.9", "203.0.113.9"] {
        scores.count(Fact::Threat, ip(form), None, at(1));
    }
    assert_eq!(scores.take_orders()[0].target.value(), "203.0.113.9", "IPv4 in both forms");
}

#[test]
fn an_address_that_the_operator_vouches_for_has_no_score_and_shields_its_subnet() {
    let scores = Scores::new(&spec(), vec!["203.0.113.9/32".parse().unwrap()], [1, 2]);
    for host in 1..=200 {
        scores.count(Fact::Threat, ip("203.0.113.9"), None, at(1));
        scores.count(Fact::RefusedHandshake, ip(&format!("203.0.113.{host}")), None, at(1));
    }
    assert!(scores.take_orders().is_empty());
    assert_eq!(scores.standing(ip("203.0.113.9"), None, at(1)), Standing::Clear);
}

#[test]
fn a_burst_over_a_limit_is_one_fact_a_second() {
    let scores = scores();
    for n in 0..10_000 {
        let now = Now { mono: Duration::from_micros(1_000_000 + n * 100), ..at(1) };
        scores.count(Fact::LimitExceeded, ip("203.0.113.9"), None, now);
    }
    assert_eq!(scores.standing(ip("203.0.113.9"), None, at(2)), Standing::Clear);
    for second in 10..80 {
        scores.count(Fact::LimitExceeded, ip("203.0.113.9"), None, at(second));
    }
    assert_eq!(scores.take_orders().len(), 1, "a minute of it is a ban");
}

#[test]
fn what_an_operator_lifts_is_forgiven() {
    let scores = scores();
    for second in 0..6 {
        scores.count(Fact::Threat, ip("203.0.113.9"), None, at(second));
    }
    let banned = scores.take_orders().remove(0).target;
    scores.forgive(&banned);
    assert_eq!(scores.standing(ip("203.0.113.9"), None, at(6)), Standing::Clear);
    scores.count(Fact::Threat, ip("203.0.113.9"), None, at(7));
    assert!(scores.take_orders().is_empty(), "it begins anew");
}

#[test]
fn who_has_a_standing_is_listed_with_the_facts() {
    let scores = scores();
    for second in 0..3 {
        scores.count(Fact::Threat, ip("203.0.113.9"), None, at(second));
        scores.count(Fact::FailedAuthentication, ip("198.51.100.1"), None, at(second));
    }
    let listed = scores.scored(at(3));
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].standing, listed[0].facts[0].0), (Standing::Slowed, "threat"));
    assert!(scores.scored(at(7200)).is_empty(), "it has faded");
}

#[test]
fn inventing_sources_takes_no_memory_past_the_bound_and_frees_nobody() {
    let scores = scores();
    for second in 0..3 {
        scores.count(Fact::Threat, ip("203.0.113.9"), Some("mallory"), at(second));
    }
    for n in 0..100_000_u32 {
        scores.count(Fact::RefusedHandshake, ip("198.51.100.1"), Some(&format!("invented {n}")), at(3));
        assert!(n % 1000 > 0 || scores.tracked() <= 1000);
    }
    assert_eq!(scores.standing(ip("203.0.113.9"), Some("mallory"), at(3)), Standing::Slowed);
    assert!(lock(&scores.named).len() <= NAMED_MAX);
}

#[test]
fn turned_off_it_counts_nothing() {
    let scores = Scores::new(&Reputation { enabled: false, ..spec() }, Vec::new(), [1, 2]);
    for second in 0..60 {
        scores.count(Fact::Threat, ip("203.0.113.9"), None, at(second));
    }
    assert!(scores.take_orders().is_empty() && scores.tracked() == 0);
    let noting = Scores::new(&Reputation { slow: None, ban: None, ..spec() }, Vec::new(), [1, 2]);
    let risen: Vec<_> = (0..60).flat_map(|s| noting.count(Fact::Threat, ip("203.0.113.9"), None, at(s))).collect();
    assert_eq!(risen.len(), 2, "noted once for the address, once for its subnet: {risen:?}");
    assert!(noting.take_orders().is_empty());
}
