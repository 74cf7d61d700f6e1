//! Who has the last word, and the places of a user.

use super::credentials::active;
use super::*;

/// A house whose route `/ws/{user_id}` has an authorizer.
fn with_authorizer() -> (House, Request) {
    let mut checked = checked();
    for route in checked.routes.iter_mut().filter(|route| route.connections_per_user_max.is_some()) {
        route.authorizer = Some(crate::policy::checked::Authorizer {
            url: "http://authz.example/".into(),
            token: None,
            timeout: Duration::from_secs(2),
            cache_ttl: Duration::ZERO,
            cache_entries_max: 16,
            on_failure: crate::policy::checked::OnFailure::Deny,
        });
    }
    (House::of(checked), Request::to("/ws/u1").bearing(&token_of("u1")))
}

#[test]
fn the_authorizer_has_the_last_word_and_a_denial_gives_the_users_place_back() {
    let (house, request) = with_authorizer();
    let now = fixture::now();
    assert_eq!(
        house.refused("198.51.100.1", &Request::to("/ws/u2").bearing(&token_of("u1"))).reason,
        Reason::PathBinding
    );
    let mut held = Vec::new();
    for (allow, wanted) in [(false, false), (false, false), (true, true), (true, true)] {
        let mut admission = house.admission("198.51.100.1");
        let step = admission.arrive(&request.head(), now);
        assert!(matches!(&step, Step::Ask(Question::Authorize { body, .. }) if !body.is_empty()), "{step:?}");
        let body = json!({"allow": allow, "roles": ["owner"]}).to_string().into_bytes();
        match admission.answer(Answer::Authorized(authorizer::Reply::Body(body)), now) {
            Step::Done(decision) if wanted => held.push(admitted(*decision)),
            Step::Done(decision) => assert_eq!(refusal(*decision).reason, Reason::AuthorizerDenied),
            step @ Step::Ask(_) => panic!("{step:?}"),
        }
    }
    assert!(held.iter().all(|one| one.principal.roles.iter().any(|role| **role == *"owner")));
    // Two are open, as many as the route allows: the third is refused before anybody is asked.
    assert_eq!(house.refused("198.51.100.1", &request).reason, Reason::ConnectionsPerUser);
}

#[test]
fn routes_of_a_group_count_a_users_connections_together_and_get_their_places_back() {
    let mut checked = checked();
    let template = checked.routes.iter().find(|route| route.connections_per_user_max.is_some()).cloned().unwrap();
    for (name, group, max) in [("red", Some("both"), 2), ("blue", Some("both"), 3), ("green", None, 2)] {
        let mut route = template.clone();
        route.name = name.to_owned();
        route.path = format!("/{name}/{{user_id}}");
        route.connections_per_user_group = group.map(str::to_owned);
        route.connections_per_user_max = Some(max);
        checked.routes.push(route);
    }
    let house = House::of(checked);
    let come = |name: &str, user: &str| Request::to(&format!("/{name}/{user}")).bearing(&token_of(user));
    // Each from an address of its own: what an address may open is counted elsewhere.
    let last = std::cell::Cell::new(0);
    let address = || format!("198.51.100.{}", last.replace(last.get() + 1));
    let open = |name: &str, user: &str| admitted(house.decide(&address(), &come(name, user)));
    let refused = |name: &str| house.refused(&address(), &come(name, "u1"));
    let held = vec![open("red", "u1"), open("blue", "u1")];
    assert_eq!((refused("red").reason, refused("red").check), (Reason::ConnectionsPerUser, "user"));
    // Each route holds its own number against the sum.
    let third = open("blue", "u1");
    assert_eq!(refused("blue").reason, Reason::ConnectionsPerUser);
    // Neither another user nor a route without the group is concerned.
    let others = (open("red", "u2"), open("green", "u1"), open("ws", "u1"));
    drop(third);
    assert_eq!(refused("red").reason, Reason::ConnectionsPerUser);
    drop(held);
    let _again = (open("red", "u1"), open("red", "u1"));
    assert_eq!(refused("red").reason, Reason::ConnectionsPerUser);
    drop(others);
}

#[test]
fn an_answer_to_another_question_is_no_authorization() {
    for wrong in [Answer::Keys(Ok(())), Answer::FirstMessage(None), active(fixture::NOW_UNIX_S + 60)] {
        let (house, request) = with_authorizer();
        let mut admission = house.admission("198.51.100.1");
        assert!(matches!(admission.arrive(&request.head(), fixture::now()), Step::Ask(Question::Authorize { .. })));
        for answer in [wrong, Answer::Authorized(authorizer::Reply::Body(br#"{"allow":true}"#.to_vec()))] {
            match admission.answer(answer, fixture::now()) {
                Step::Done(decision) => assert_eq!(refusal(*decision).reason, Reason::HandshakeMalformed),
                Step::Ask(question) => panic!("asked {question:?}"),
            }
        }
    }
}
