//! What is counted by address: attempts, failures, bans, open connections.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn an_address_that_fails_too_often_is_banned_and_the_ban_ends() {
    let house = House::new();
    let (bad, good) = (Request::to("/ws/u1").bearing("x"), Request::to("/open"));
    let from = "198.51.100.1";
    for _ in 0..3 {
        assert_eq!(house.refused(from, &bad).reason, Reason::CredentialInvalid);
    }
    let refused = house.refused(from, &good);
    assert_eq!((refused.reason, refused.retry_after), (Reason::SourceBanned, Some(Duration::from_secs(300))));
    assert_eq!(on_accept(&house.gate, from.parse().unwrap(), later(299)).err(), Some(Reason::SourceBanned));
    assert_eq!(house.gate.bans(later(1)), [(house.gate.key(from.parse().unwrap()), Duration::from_secs(299))]);
    admitted(house.decide("198.51.100.2", &good));
    admitted(house.decide_at(from, &good, later(300)));
    assert!(house.gate.bans(later(300)).is_empty());
    // The count began anew with the ban.
    for _ in 0..2 {
        assert_eq!(refusal(house.decide_at(from, &bad, later(301))).reason, Reason::CredentialInvalid);
    }
    admitted(house.decide_at(from, &good, later(301)));
}

#[test]
fn what_was_not_tried_does_not_count_against_an_address() {
    let house = House::new();
    for _ in 0..10 {
        assert_eq!(house.refused("198.51.100.1", &Request::to("/ws/u1")).reason, Reason::CredentialMissing);
    }
    for _ in 0..10 {
        let bad = Request::to("/ws/u1").bearing("x");
        assert_eq!(house.refused("192.0.2.200", &bad).reason, Reason::CredentialInvalid, "on the allow-list");
    }
    admitted(house.decide("198.51.100.1", &Request::to("/open")));
}

#[test]
fn without_a_ban_failures_are_slowed_down() {
    let mut checked = checked();
    checked.sources.ban_duration = Duration::ZERO;
    let house = House::of(checked);
    for _ in 0..3 {
        house.refused("198.51.100.1", &Request::to("/ws/u1").bearing("x"));
    }
    let refused = house.refused("198.51.100.1", &Request::to("/open"));
    assert_eq!(refused.reason, Reason::AuthenticationRate);
    let wait = refused.retry_after.unwrap();
    let now = fixture::now().plus(wait);
    admitted(house.decide_at("198.51.100.1", &Request::to("/open"), now));
}

#[test]
fn an_operator_bans_and_unbans() {
    let house = House::new();
    let key = house.gate.key("198.51.100.1".parse().unwrap());
    assert!(house.gate.ban(key, Duration::from_secs(60), fixture::now()));
    assert_eq!(house.refused("198.51.100.1", &Request::to("/open")).reason, Reason::SourceBanned);
    assert!(house.gate.ban(key, Duration::ZERO, fixture::now()));
    admitted(house.decide("198.51.100.1", &Request::to("/open")));
}

#[test]
fn the_deny_list_wins_over_the_allow_list() {
    let mut checked = checked();
    checked.sources.allow.push("203.0.113.7/32".parse().unwrap());
    let house = House::of(checked);
    assert_eq!(house.refused("203.0.113.7", &Request::to("/open")).reason, Reason::SourceDenied);
    assert_eq!(house.refused("::ffff:203.0.113.7", &Request::to("/open")).reason, Reason::SourceDenied);
    let socket = on_accept(&house.gate, "203.0.113.7".parse().unwrap(), fixture::now());
    assert_eq!(socket.err(), Some(Reason::SourceDenied));
}

#[test]
fn connections_of_one_address_end_at_their_number_and_ipv6_counts_by_network() {
    for addresses in [
        ["198.51.100.1"; 6],
        ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5", "2001:db8::6"],
    ] {
        let house = House::new();
        let open = Request::to("/open");
        let mut held: Vec<_> = addresses[..5].iter().map(|from| admitted(house.decide(from, &open))).collect();
        assert_eq!(house.refused(addresses[5], &open).reason, Reason::ConnectionsPerIp);
        held.pop();
        held.push(admitted(house.decide(addresses[5], &open)));
        admitted(house.decide("2001:db8:0:1::1", &open));
    }
}

#[test]
fn attempts_are_counted_and_the_client_is_told() {
    let mut checked = checked();
    let rate = crate::policy::checked::Rate {
        count: 2,
        per: Duration::from_secs(60),
        burst: 2,
        algorithm: crate::policy::checked::RateAlgorithm::SlidingWindow,
    };
    checked.sources.connection_rate = Some(rate);
    let house = House::of(checked);
    let open = Request::to("/open");
    let first = admitted(house.decide("198.51.100.1", &open)).response_headers;
    assert_eq!(first["ratelimit-policy"], "\"attempts\";q=2;w=60");
    assert_eq!(first["ratelimit"], "\"attempts\";r=1");
    admitted(house.decide("198.51.100.1", &open));
    let refused = house.refused("198.51.100.1", &open);
    assert_eq!(refused.reason, Reason::ConnectionRate);
    assert_eq!(refused.headers["ratelimit-policy"], "\"attempts\";q=2;w=60");
    assert_eq!(refused.headers["ratelimit"], "\"attempts\";r=0");
    let then = fixture::now().plus(refused.retry_after.unwrap());
    admitted(house.decide_at("198.51.100.1", &open, then));
}

#[test]
fn sockets_are_counted_before_they_say_anything() {
    let mut checked = checked();
    checked.listen.connections_max = 7;
    let house = House::of(checked);
    let from = |ip: &str| on_accept(&house.gate, ip.parse().unwrap(), fixture::now());
    let held: Vec<_> = (0..5).map(|_| from("198.51.100.1").unwrap()).collect();
    assert_eq!(from("198.51.100.1").err(), Some(Reason::ConnectionsPerIp), "as many handshakes as connections");
    let more: Vec<_> = ["198.51.100.2", "198.51.100.3"].map(|ip| from(ip).unwrap()).into();
    assert_eq!(from("198.51.100.4").err(), Some(Reason::ServerFull));
    assert_eq!(house.gate.open_connections(), 7);
    drop((held, more));
    assert_eq!(house.gate.open_connections(), 0);
    assert!(from("198.51.100.1").is_ok());
}

#[test]
fn inventing_addresses_frees_no_penalty_and_costs_only_the_inventors() {
    let mut checked = checked();
    checked.sources.tracked_max = 16;
    checked.sources.connection_rate = None;
    let house = House::of(checked);
    let banned = house.gate.key("198.51.100.1".parse().unwrap());
    assert!(house.gate.ban(banned, Duration::from_secs(300), fixture::now()));
    // One entry a shard: invented addresses fill the others with open connections.
    let open = Request::to("/open");
    let mut held = Vec::new();
    let mut refused = 0;
    for i in 0..2000u32 {
        let from = std::net::Ipv4Addr::from(0x0a00_0000 + i).to_string();
        match house.decide(&from, &open) {
            Decision::Refuse(refusal) => {
                assert_eq!(refusal.reason, Reason::ConnectionsPerIp);
                refused += 1;
            }
            decision => held.push(admitted(decision)),
        }
    }
    assert!(house.gate.tracked() <= 16);
    assert!(refused > 1800 && held.len() <= 16 + 16 * 5, "strangers share {} places", held.len());
    assert_eq!(house.refused("198.51.100.1", &open).reason, Reason::SourceBanned);
    drop(held);
    assert_eq!(house.gate.open_connections(), 0);
    // What was counted in a shared entry was given back there, though entries became free meanwhile.
    for i in 0..200u32 {
        let from = std::net::Ipv4Addr::from(0x0b00_0000 + i).to_string();
        let held: Vec<_> = (0..5)
            .filter_map(|_| match house.decide(&from, &open) {
                Decision::Refuse(_) => None,
                decision => Some(admitted(decision)),
            })
            .collect();
        assert_eq!(held.len(), 5, "{from}");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Socket(u8),
    Arrive(u8, u8),
    Answer(u8, bool),
    Leave(u8),
    Wait(u16),
    Ban(u8, bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<u8>().prop_map(Act::Socket),
        (any::<u8>(), any::<u8>()).prop_map(|(who, what)| Act::Arrive(who, what)),
        (any::<u8>(), any::<u8>()).prop_map(|(who, what)| Act::Arrive(who, what)),
        (any::<u8>(), any::<bool>()).prop_map(|(which, good)| Act::Answer(which, good)),
        any::<u8>().prop_map(Act::Leave),
        any::<u16>().prop_map(Act::Wait),
        (any::<u8>(), any::<bool>()).prop_map(|(who, on)| Act::Ban(who, on)),
    ]
}

/// Whatever a client may hold.
enum Held {
    Pending(#[expect(dead_code, reason = "held for its drop")] Pending),
    Asked(Box<Admission>),
    Admitted(Box<Admitted>),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn counts_return_to_zero_whatever_happens(acts in prop::collection::vec(act(), 1..120), tracked in 1usize..64) {
        let mut checked = checked();
        checked.sources.tracked_max = tracked;
        let house = House::of(checked);
        let address = |who: u8| format!("198.51.100.{}", who % 24);
        let mut held: Vec<Held> = Vec::new();
        let mut now = fixture::now();
        for act in acts {
            match act {
                Act::Socket(who) => {
                    held.extend(on_accept(&house.gate, address(who).parse().unwrap(), now).map(Held::Pending));
                }
                Act::Arrive(who, what) => {
                    let token = token_of("u1");
                    let request = match what % 7 {
                        0 => Request::to("/open"),
                        1 => Request::to("/talk"),
                        2 => Request::to("/ws/u1").bearing(&token),
                        3 => Request::to("/ws/u1").bearing("x"),
                        4 => Request::to("/admin").bearing(&token),
                        5 => Request::plain("/open"),
                        _ => Request::to("/open").with("origin", "null"),
                    };
                    let mut admission = house.admission(&address(who));
                    match admission.arrive(&request.head(), now) {
                        Step::Ask(_) => held.push(Held::Asked(Box::new(admission))),
                        Step::Done(decision) => if let Decision::Admit(a) | Decision::PassHttp(a) = *decision {
                            held.push(Held::Admitted(Box::new(a)));
                        },
                    }
                }
                Act::Answer(which, good) => {
                    let asked = held.iter().position(|held| matches!(held, Held::Asked(_)));
                    if let Some(Held::Asked(mut admission)) = asked.map(|at| held.swap_remove(at)) {
                        let token = if good { token_of("u1") } else { which.to_string() };
                        let message = format!(r#"{{"type":"auth","token":"{token}"}}"#).into_bytes();
                        if let Step::Done(decision) = admission.answer(Answer::FirstMessage(Some(message)), now)
                            && let Decision::Admit(a) = *decision
                        {
                            held.push(Held::Admitted(Box::new(a)));
                        }
                    }
                }
                Act::Leave(which) => if !held.is_empty() {
                    let at = usize::from(which) % held.len();
                    drop(held.swap_remove(at));
                },
                Act::Wait(seconds) => now = now.plus(Duration::from_secs(u64::from(seconds % 400))),
                Act::Ban(who, on) => {
                    let key = house.gate.key(address(who).parse().unwrap());
                    let how_long = if on { Duration::from_secs(100) } else { Duration::ZERO };
                    house.gate.ban(key, how_long, now);
                }
            }
            prop_assert_eq!(house.gate.open_connections(), held.len());
            prop_assert!(house.gate.tracked() <= tracked.max(16));
            let of_u1 = held.iter().filter(|held| match held {
                Held::Admitted(a) => &*a.route.spec.path == "/ws/{user_id}",
                _ => false,
            });
            prop_assert!(of_u1.count() <= 2);
        }
        drop(held);
        prop_assert_eq!(house.gate.open_connections(), 0);
        // Every place is free again: a new client gets all of its own.
        let now = now.plus(Duration::from_secs(1000));
        let mut again = Vec::new();
        for _ in 0..5 {
            again.push(admitted(house.decide_at("192.0.2.1", &Request::to("/open"), now)));
        }
        let user = Request::to("/ws/u1").bearing(&fixture::hs256(&json!({"sub": "u1", "exp": 1_900_000_000})));
        for _ in 0..2 {
            again.push(admitted(house.decide_at("192.0.2.2", &user, now)));
        }
    }
}

#[test]
fn a_connection_within_its_handshake_counts_once_in_the_total() {
    let mut checked = checked();
    checked.listen.connections_max = 2;
    let house = House::of(checked);
    let from = |ip: &str| on_accept(&house.gate, ip.parse().unwrap(), fixture::now());
    let mut socket = from("198.51.100.1").unwrap();
    let seat = admitted(house.decide("198.51.100.1", &Request::to("/open")));
    socket.lend();
    socket.lend();
    assert_eq!(house.gate.open_connections(), 1, "its backend is dialled");
    let other = from("198.51.100.2").unwrap();
    assert_eq!(from("198.51.100.3").err(), Some(Reason::ServerFull));
    drop((seat, other));
    socket.take_back();
    socket.take_back();
    assert_eq!(house.gate.open_connections(), 1, "the backend refused, and the socket stays for another request");
    drop(socket);
    let mut socket = from("198.51.100.1").unwrap();
    let seat = admitted(house.decide("198.51.100.1", &Request::to("/open")));
    socket.lend();
    drop(socket);
    assert_eq!(house.gate.open_connections(), 1, "the relay has it");
    drop(seat);
    assert_eq!(house.gate.open_connections(), 0);
}
