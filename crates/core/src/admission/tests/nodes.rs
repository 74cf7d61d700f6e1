//! What is asked of other nodes, and what their word does here.

use super::*;
use crate::admission::{Count, Counted, Lease};
use crate::policy::checked::{Secret, SharedState};

fn shared() -> House {
    let mut checked = checked();
    checked.shared_state = Some(SharedState {
        urls: vec![Secret::new(b"redis://h".to_vec())],
        shown: "redis://h".into(),
        sentinel: None,
        ca_pem: None,
        prefix: "p".into(),
        timeout: Duration::from_millis(50),
        lease: Duration::from_secs(15),
        exchange_interval: Duration::from_millis(250),
    });
    checked.identity.tickets =
        Some(crate::policy::checked::Tickets { path: "/ticket".into(), ttl: Duration::from_secs(10) });
    checked.identity.sessions = Some(crate::policy::checked::Sessions {
        path: "/session".into(),
        idle_timeout: Duration::from_secs(60),
        lifetime: Duration::from_secs(600),
        rate_per_user: None,
        max_per_user: 5,
        when_full: crate::policy::checked::WhenFull::OldestLeaves,
        cookie: crate::policy::checked::SessionCookie {
            name: "s".into(),
            path: "/".into(),
            same_site: crate::policy::checked::SameSite::Strict,
            secure: true,
        },
        bind_address: false,
        bind_user_agent: false,
    });
    checked.sources.connection_rate = Some(crate::policy::checked::Rate {
        count: 4,
        per: Duration::from_secs(60),
        burst: 4,
        algorithm: crate::policy::checked::RateAlgorithm::TokenBucket,
    });
    House::of(checked)
}

fn granted(remaining: u32) -> Answer {
    Answer::Counted(Counted::Granted { place: None, remaining: Some(remaining) })
}

fn refused(reason: Reason, seconds: u64) -> Answer {
    Answer::Counted(Counted::Refused { reason, retry_after: Some(Duration::from_secs(seconds)) })
}

fn decided(step: Step) -> Decision {
    match step {
        Step::Done(decision) => *decision,
        Step::Ask(question) => panic!("asked {question:?}"),
    }
}

/// An admission that has been asked to count, and what.
fn arriving(house: &House, client: &str, request: &Request) -> (Admission, Count) {
    let mut admission = house.admission(client);
    match admission.arrive(&request.head(), fixture::now()) {
        Step::Ask(Question::Count(count)) => (admission, count),
        step => panic!("{step:?}"),
    }
}

#[test]
fn an_attempt_is_counted_everywhere_and_the_smaller_rest_is_told() {
    let house = shared();
    let (mut admission, count) = arriving(&house, "198.51.100.1", &Request::to("/open"));
    let Count::Attempt { address, rate: Some(_), failed: Some(_), places_max: Some(5) } = count else {
        panic!("{count:?}")
    };
    assert_eq!(address.to_string(), "198.51.100.1");
    let admitted = admitted(decided(admission.answer(granted(1), fixture::now())));
    assert_eq!(admitted.response_headers["ratelimit"], "\"attempts\";r=1");
    let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/open"));
    let admitted = super::admitted(decided(admission.answer(granted(3), fixture::now())));
    assert_eq!(admitted.response_headers["ratelimit"], "\"attempts\";r=2", "this node has seen more");
}

#[test]
fn what_other_nodes_refuse_is_given_back_here() {
    let house = shared();
    for _ in 0..20 {
        let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/open"));
        let decision = decided(admission.answer(refused(Reason::ConnectionRate, 9), fixture::now()));
        let refusal = refusal(decision);
        assert_eq!((refusal.reason, refusal.retry_after), (Reason::ConnectionRate, Some(Duration::from_secs(9))));
    }
    assert_eq!(house.gate.open_connections(), 0);
}

#[test]
fn without_an_answer_this_node_decides_alone() {
    let house = shared();
    let mut held = Vec::new();
    for _ in 0..4 {
        let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/open"));
        held.push(admitted(decided(admission.answer(Answer::Counted(Counted::Alone(None)), fixture::now()))));
    }
    // Past its own limit nobody is asked.
    let refusal = house.refused("198.51.100.1", &Request::to("/open"));
    assert_eq!(refusal.reason, Reason::ConnectionRate);
}

#[test]
fn a_ban_of_another_node_holds_here_too() {
    let house = shared();
    let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/open"));
    let decision = decided(admission.answer(refused(Reason::SourceBanned, 60), fixture::now()));
    assert_eq!(refusal(decision).reason, Reason::SourceBanned);
    assert_eq!(house.refused("198.51.100.1", &Request::to("/open")).reason, Reason::SourceBanned, "nobody is asked");
}

#[test]
fn a_failed_authentication_is_counted_everywhere_and_its_ban_holds_here() {
    let house = shared();
    let request = Request::to("/ws/u1").bearing("no token");
    let fail = |answer| {
        let (mut admission, _) = arriving(&house, "198.51.100.1", &request);
        match admission.answer(granted(3), fixture::now()) {
            Step::Ask(Question::Count(Count::Failed { ban, .. })) => assert_eq!(ban, Duration::from_secs(300)),
            step => panic!("{step:?}"),
        }
        refusal(decided(admission.answer(answer, fixture::now())))
    };
    assert_eq!(fail(granted(0)).reason, Reason::CredentialInvalid);
    let banned = fail(refused(Reason::SourceBanned, 300));
    assert_eq!(banned.reason, Reason::CredentialInvalid, "how it failed is told, and the next time that it is banned");
    assert!(banned.detail.contains("banned"), "{}", banned.detail);
    assert_eq!(house.refused("198.51.100.1", &request).reason, Reason::SourceBanned);
}

#[test]
fn a_users_connections_are_counted_everywhere_and_a_refusal_gives_the_places_back() {
    struct Guard(Arc<std::sync::atomic::AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let house = shared();
    let dropped = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let place = || Some(Lease::new(Guard(Arc::clone(&dropped))));
    let request = Request::to("/ws/u1").bearing(&token_of("u1"));
    let asked = || {
        let (mut admission, _) = arriving(&house, "198.51.100.1", &request);
        let answer = Answer::Counted(Counted::Granted { place: place(), remaining: None });
        match admission.answer(answer, fixture::now()) {
            Step::Ask(Question::Count(Count::User { route, subject, places_max: 2 })) => {
                assert_eq!((&*route, &*subject), ("ws-user_id", "u1"));
            }
            step => panic!("{step:?}"),
        }
        admission
    };
    let granted = Answer::Counted(Counted::Granted { place: place(), remaining: None });
    let held = admitted(decided(asked().answer(granted, fixture::now())));
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), 0);
    let no = Answer::Counted(Counted::Refused { reason: Reason::ConnectionsPerUser, retry_after: None });
    assert_eq!(refusal(decided(asked().answer(no, fixture::now()))).reason, Reason::ConnectionsPerUser);
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), 1, "the place among the address' connections");
    drop(held);
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(house.gate.open_connections(), 0);
}

#[test]
fn nobody_is_asked_about_whom_no_limit_holds_or_who_is_refused_anyway() {
    let house = shared();
    let open = Request::to("/open");
    assert!(matches!(house.arrive("192.0.2.200", &open, fixture::now()), Step::Done(_)), "on the allow-list");
    assert_eq!(house.refused("198.51.100.1", &Request::to("/nowhere")).reason, Reason::RouteUnknown);
    assert!(matches!(House::new().arrive("198.51.100.1", &open, fixture::now()), Step::Done(_)), "alone");
}

#[test]
fn another_answer_or_a_second_one_admits_nobody() {
    let house = shared();
    for wrong in [Answer::Keys(Ok(())), Answer::FirstMessage(None)] {
        let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/open"));
        let first = refusal(decided(admission.answer(wrong, fixture::now())));
        assert_eq!(first.reason, Reason::HandshakeMalformed);
        let again = refusal(decided(admission.answer(granted(1), fixture::now())));
        assert_eq!(again.reason, Reason::HandshakeMalformed);
    }
}

#[test]
fn a_ticket_of_another_node_is_taken_where_nodes_meet_and_judged_here() {
    use crate::identity::ticket::{Fare, RANDOM_BYTES, name};
    let house = shared();
    let principal = Principal { subject: Some("u1".into()), ..Principal::anonymous() };
    let ip = house.gate.key("198.51.100.1".parse().unwrap());
    let fare = Fare { principal: principal.into(), route: "ws-user_id".into(), ip };
    let (there, now) = (House::new(), fixture::now());
    let tickets = there.gate.tickets();
    let text = tickets.issue(&[7; RANDOM_BYTES], fare, Duration::from_secs(10), now).unwrap();
    let kept = tickets.keep(&text, now).unwrap();
    for (client, answer, outcome) in [
        ("198.51.100.1", Some(kept.clone()), None),
        ("198.51.100.1", None, Some(Reason::TicketInvalid)),
        ("198.51.100.2", Some(kept), Some(Reason::TicketForeign)),
    ] {
        let (mut admission, _) = arriving(&house, client, &Request::to("/ws/u1").bearing(&text));
        match admission.answer(granted(3), now) {
            Step::Ask(Question::Redeem { name: asked }) => assert_eq!(asked, name(&text)),
            step => panic!("{step:?}"),
        }
        // A user's connections, or a failed authentication, are counted then.
        assert!(matches!(admission.answer(Answer::Redeemed(answer), now), Step::Ask(Question::Count(_))));
        match (decided(admission.answer(granted(3), now)), outcome) {
            (Decision::Admit(admitted), None) => assert_eq!(admitted.principal.subject.as_deref(), Some("u1")),
            (decision, Some(reason)) => assert_eq!(refusal(decision).reason, reason),
            (decision, None) => panic!("{decision:?}"),
        }
    }
}

#[test]
fn a_session_of_another_node_is_looked_for_once_and_judged_here() {
    use crate::identity::session::{Order, RANDOM_BYTES, name};
    let house = shared();
    let rules = house.policy.checked.identity.sessions.clone().unwrap();
    let principal = Principal { subject: Some("u1".into()), ..Principal::anonymous() };
    let ip = house.gate.key("198.51.100.1".parse().unwrap());
    let order = Order { principal: principal.into(), ip, user_agent: None, along: None };
    let now = fixture::now();
    let plan = House::new().gate.sessions().plan(&[7; RANDOM_BYTES], &order, &rules, now).unwrap();
    for found in [false, true] {
        let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/ws/u1").bearing(&plan.text));
        match admission.answer(granted(3), now) {
            Step::Ask(Question::Recall { name: asked }) => assert_eq!(asked, name(&plan.text)),
            step => panic!("{step:?}"),
        }
        if found {
            house.gate.sessions().adopt(plan.session.clone());
        }
        assert!(matches!(admission.answer(Answer::Recalled, now), Step::Ask(Question::Count(_))));
        match decided(admission.answer(granted(3), now)) {
            Decision::Admit(admitted) if found => assert_eq!(admitted.principal.subject.as_deref(), Some("u1")),
            decision if !found => assert_eq!(refusal(decision).reason, Reason::SessionInvalid),
            decision => panic!("{decision:?}"),
        }
    }
    // What is known here is asked of nobody.
    let (mut admission, _) = arriving(&house, "198.51.100.1", &Request::to("/ws/u1").bearing(&plan.text));
    assert!(matches!(admission.answer(granted(3), now), Step::Ask(Question::Count(Count::User { .. }))));
}
