//! Attempts that wait before they are looked at: repeated ones longer each time, those of a slowed address always.

use super::*;
use crate::policy::checked::{AttemptDelay, Rate, RateAlgorithm};
use crate::reputation::Fact;

const CLIENT: &str = "198.51.100.7";

fn house() -> House {
    let mut checked = checked();
    let after = Rate { count: 3, per: Duration::from_secs(60), burst: 3, algorithm: RateAlgorithm::TokenBucket };
    let delay = AttemptDelay { after, first: Duration::from_millis(250), max: Duration::from_secs(2) };
    checked.sources.attempt_delay = Some(delay);
    checked.sources.connections_per_ip_max = Some(100);
    checked.reputation.slow = Some(25);
    House::of(checked)
}

/// How long the next attempt waits, milliseconds.
fn waits(house: &House, client: &str, now: Now) -> u128 {
    let mut admission = house.admission(client);
    match admission.arrive(&Request::to("/open").head(), now) {
        Step::Ask(Question::Wait { delay }) => {
            assert!(matches!(admission.answer(Answer::Waited, now), Step::Done(_)), "it goes on after the wait");
            delay.as_millis()
        }
        Step::Done(_) => 0,
        Step::Ask(question) => panic!("asked {question:?}"),
    }
}

#[test]
fn each_attempt_past_the_rate_waits_twice_as_long_and_patience_is_rewarded() {
    let (house, now) = (house(), fixture::now());
    let waited: Vec<u128> = (0..8).map(|_| waits(&house, CLIENT, now)).collect();
    assert_eq!(waited, [0, 0, 0, 250, 500, 1000, 2000, 2000]);
    assert_eq!(waits(&house, "198.51.100.8", now), 0, "another address is not made to wait");
    assert_eq!(waits(&house, "192.0.2.200", now), 0, "nor one of the allow-list");
    assert_eq!(waits(&house, CLIENT, now.plus(Duration::from_secs(3600))), 0, "an hour later it is forgotten");
}

#[test]
fn a_clock_that_goes_back_keeps_nobody_waiting_for_longer_than_the_longest_wait() {
    let (house, now) = (house(), fixture::now());
    for _ in 0..100 {
        waits(&house, CLIENT, now.plus(Duration::from_secs(1_000_000)));
    }
    assert_eq!(waits(&house, CLIENT, now), 2000);
    assert_eq!(waits(&house, CLIENT, now.plus(Duration::from_secs(3600))), 0);
}

#[test]
fn a_slowed_address_waits_at_every_attempt() {
    let (house, now) = (house(), fixture::now());
    for _ in 0..3 {
        house.gate.scores().count(Fact::Threat, CLIENT.parse().unwrap(), None, now);
    }
    assert_eq!(waits(&house, CLIENT, now), 2000);
    assert_eq!(waits(&house, "198.51.101.1", now), 0);
}

#[test]
fn nothing_runs_and_nothing_is_leaked_when_the_wait_is_not_answered() {
    let (house, now) = (house(), fixture::now());
    for _ in 0..4 {
        let _ = house.admission(CLIENT).arrive(&Request::to("/open").head(), now);
    }
    assert_eq!(house.gate.open_connections(), 0);
}
