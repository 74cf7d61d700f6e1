//! Guests in all, and guesses at one subject from many addresses.

use serde_json::json;

use super::*;
use crate::policy::checked::{Rate, RateAlgorithm};

fn guarded() -> House {
    let mut checked = checked();
    let per = Duration::from_secs(60);
    let rate = Rate { count: 3, per, burst: 3, algorithm: RateAlgorithm::TokenBucket };
    checked.sources.failed_auth_rate_per_subject = Some(rate);
    House::of(checked)
}

fn forged(subject: &str) -> String {
    let mut token = token_of(subject);
    token.truncate(token.len() - 4);
    token + "AAAA"
}

#[test]
fn guesses_at_a_subject_from_many_addresses_make_what_names_it_wait() {
    let house = guarded();
    let known = token_of("u1");
    admitted(house.decide("198.51.100.99", &Request::to("/ws/u1").bearing(&known)));
    for at in 0..3 {
        let refused = house.refused(&format!("198.51.100.{at}"), &Request::to("/ws/u1").bearing(&forged("u1")));
        assert_eq!(refused.reason, Reason::TokenSignature);
    }
    let fresh = fixture::hs256(&json!({"sub": "u1", "exp": fixture::NOW_UNIX_S + 61}));
    for token in [&forged("u1"), &fresh] {
        let refused = house.refused("198.51.100.7", &Request::to("/ws/u1").bearing(token));
        assert_eq!((refused.reason, refused.check), (Reason::SubjectRate, "token"), "whoever it is");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(20)));
        assert!(refused.detail.contains("`u1`") && refused.subject.is_none(), "a claim is no subject: {refused:?}");
    }
    admitted(house.decide("198.51.100.7", &Request::to("/ws/u1").bearing(&known)));
    admitted(house.decide("198.51.100.7", &Request::to("/ws/u2").bearing(&token_of("u2"))));
    assert!(house.gate.bans(later(0)).is_empty());
    admitted(house.decide_at("198.51.100.7", &Request::to("/ws/u1").bearing(&fresh), later(20)));
}

#[test]
fn attempts_that_had_to_wait_do_not_count_against_their_address_nor_their_subject() {
    let house = guarded();
    for at in 0..3 {
        house.refused(&format!("198.51.100.{at}"), &Request::to("/ws/u1").bearing(&forged("u1")));
    }
    for _ in 0..9 {
        let refused = house.refused("198.51.100.8", &Request::to("/ws/u1").bearing(&token_of("u1")));
        assert_eq!(refused.reason, Reason::SubjectRate);
    }
    admitted(house.decide_at("198.51.100.8", &Request::to("/ws/u1").bearing(&token_of("u1")), later(20)));
}

#[test]
fn inventing_subjects_stays_within_the_bound_and_frees_no_penalty() {
    let mut checked = checked();
    checked.sources.tracked_max = 16;
    checked.sources.failed_auth_rate = None;
    checked.sources.failed_auth_rate_per_subject =
        Some(Rate { count: 1, per: Duration::from_secs(60), burst: 1, algorithm: RateAlgorithm::TokenBucket });
    let house = House::of(checked);
    house.refused("198.51.100.1", &Request::to("/ws/u1").bearing(&forged("u1")));
    for invented in 0..500 {
        house.refused("198.51.100.1", &Request::to("/ws/u1").bearing(&forged(&format!("x{invented}"))));
    }
    assert!(house.gate.tracked_subjects() <= 16, "{}", house.gate.tracked_subjects());
    let refused = house.refused("198.51.100.2", &Request::to("/ws/u1").bearing(&token_of("u1")));
    assert_eq!(refused.reason, Reason::SubjectRate);
}

#[test]
fn guests_are_capped_in_all_and_callers_who_are_known_are_not_concerned() {
    let mut checked = checked();
    checked.sources.anonymous_connections_max = Some(2);
    let house = House::of(checked);
    let first = admitted(house.decide("198.51.100.1", &Request::to("/open")));
    let second = admitted(house.decide("198.51.100.2", &Request::to("/maybe")));
    let refused = house.refused("198.51.100.3", &Request::to("/open"));
    assert_eq!((refused.reason, refused.check), (Reason::AnonymousFull, "anonymous"));
    let known = admitted(house.decide("198.51.100.3", &Request::to("/maybe").bearing(&token_of("u1"))));
    let page = admitted(house.decide("198.51.100.3", &Request::plain("/open")));
    assert_eq!(house.gate.anonymous_connections(), 2);
    drop(first);
    let third = admitted(house.decide("198.51.100.3", &Request::to("/open")));
    drop((second, third, known, page));
    assert_eq!(house.gate.anonymous_connections(), 0);
}
