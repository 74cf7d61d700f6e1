//! Credentials: where they stand, and what has to be asked about them.

use serde_json::json;

use super::*;
use crate::identity::KeySet;

#[test]
fn a_token_is_verified_stripped_and_told_upstream() {
    let house = House::new();
    let token =
        fixture::hs256(&json!({"sub": "u1", "roles": ["user"], "tenant": "acme", "exp": fixture::NOW_UNIX_S + 60}));
    let requests = [
        Request::to("/ws/u1?room=1").bearing(&token),
        Request::to(&format!("/ws/u1?token={token}&room=1")),
        Request::to("/ws/u1?room=1").with("sec-websocket-protocol", &format!("chat, bearer, {token}")),
    ];
    for request in requests {
        let request = request.with("x-portcullis-subject", "root");
        let admitted = admitted(house.decide("198.51.100.1", &request));
        assert_eq!(admitted.upstream_uri_path, "/ws/u1?room=1");
        let told = format!("{:?} {:?}", admitted.upstream_headers, admitted.offered_protocols);
        assert!(!told.contains(&token), "{told}");
        assert_eq!(admitted.upstream_headers["x-portcullis-subject"], "u1");
        assert_eq!(admitted.upstream_headers["x-portcullis-tenant"], "acme");
    }
    assert_eq!(house.cache.len(), 1);
}

#[test]
fn an_optional_credential_is_refused_when_it_is_bad() {
    let house = House::new();
    assert!(admitted(house.decide("198.51.100.1", &Request::to("/maybe"))).principal.is_anonymous());
    let known = admitted(house.decide("198.51.100.1", &Request::to("/maybe").bearing(&token_of("u1"))));
    assert_eq!(known.principal.subject.as_deref(), Some("u1"));
    let bad = house.refused("198.51.100.1", &Request::to("/maybe").bearing("x"));
    assert_eq!(bad.reason, Reason::CredentialInvalid);
}

#[test]
fn a_first_message_brings_the_credential() {
    let house = House::new();
    let asked = || {
        let mut admission = house.admission("198.51.100.1");
        let step = admission.arrive(&Request::to("/talk").head(), fixture::now());
        assert!(matches!(step, Step::Ask(Question::FirstMessage { .. })), "{step:?}");
        admission
    };
    let answered = |message: Option<&str>| {
        let message = message.map(|text| text.as_bytes().to_vec());
        match asked().answer(Answer::FirstMessage(message), fixture::now()) {
            Step::Done(decision) => *decision,
            Step::Ask(question) => panic!("asked {question:?}"),
        }
    };
    let good = format!(r#"{{"type":"auth","token":"{}"}}"#, token_of("u1"));
    assert_eq!(admitted(answered(Some(&good))).principal.subject.as_deref(), Some("u1"));
    assert_eq!(refusal(answered(None)).reason, Reason::AuthenticationTimeout);
    assert_eq!(refusal(answered(Some("hello"))).reason, Reason::CredentialInvalid);
    let waiting = asked();
    assert_eq!(house.gate.open_connections(), 1, "a client that is waited for holds a place");
    drop(waiting);
    assert_eq!(house.gate.open_connections(), 0);
}

/// A house whose provider is asked about opaque tokens, and a request that bears one.
fn with_introspection() -> (House, Request) {
    let mut checked = checked();
    let identity = &mut checked.identity;
    identity.introspection = Some(crate::policy::checked::Introspection {
        url: "https://idp.example/introspect".into(),
        client_id: "gate".into(),
        client_secret: crate::policy::checked::Secret::new(b"s".to_vec()),
        issuer: None,
        audiences: Vec::new(),
        claims: identity.claims.clone(),
        timeout: Duration::from_secs(2),
        cache_ttl: Duration::from_secs(30),
        cache_entries_max: 100,
        private_network: false,
    });
    (House::of(checked), Request::to("/ws/u1").bearing("opaque-token"))
}

pub(super) fn active(exp: u64) -> Answer {
    Answer::Introspected(Ok(json!({"active": true, "sub": "u1", "exp": exp}).to_string().into_bytes()))
}

fn asks_about(step: &Step) -> bool {
    matches!(step, Step::Ask(Question::Introspect { token }) if token.0 == "opaque-token")
}

#[test]
fn an_opaque_token_is_asked_about_once_and_remembered_no_longer_than_it_lives() {
    let (house, request) = with_introspection();
    let now = fixture::now();
    let mut admission = house.admission("198.51.100.1");
    assert!(asks_about(&admission.arrive(&request.head(), now)));
    match admission.answer(active(fixture::NOW_UNIX_S + 10), now) {
        Step::Done(decision) => assert_eq!(admitted(*decision).principal.subject.as_deref(), Some("u1")),
        step @ Step::Ask(_) => panic!("{step:?}"),
    }
    let after =
        |seconds| Now { mono: now.mono + Duration::from_secs(seconds), wall: now.wall + Duration::from_secs(seconds) };
    admitted(house.decide_at("198.51.100.1", &request, after(9)));
    assert!(asks_about(&house.arrive("198.51.100.1", &request, after(10))), "its `exp` ends what is remembered");
    // A JWT is verified here and never sent anywhere.
    admitted(house.decide("198.51.100.2", &Request::to("/ws/u1").bearing(&token_of("u1"))));
}

#[test]
fn an_inactive_token_is_the_clients_fault_and_a_silent_endpoint_is_not() {
    let (house, request) = with_introspection();
    let verdict = |answer: Result<&str, &str>| {
        let mut admission = house.admission("198.51.100.7");
        assert!(asks_about(&admission.arrive(&request.head(), fixture::now())));
        let answer = answer.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned);
        match admission.answer(Answer::Introspected(answer), fixture::now()) {
            Step::Done(decision) => refusal(*decision).reason,
            Step::Ask(question) => panic!("asked {question:?}"),
        }
    };
    for _ in 0..5 {
        assert_eq!(verdict(Err("connection refused")), Reason::IntrospectionUnavailable, "and no ban comes of it");
        assert_eq!(verdict(Ok("<html>")), Reason::IntrospectionUnavailable);
    }
    for _ in 0..3 {
        assert_eq!(verdict(Ok(r#"{"active":false}"#)), Reason::TokenInactive);
    }
    assert_eq!(house.refused("198.51.100.7", &request).reason, Reason::SourceBanned);
}

/// A house with two key sets, none of them read yet, and a token of the second one's key.
fn with_key_sets() -> (House, Request, Arc<KeySet>) {
    let mut checked = checked();
    let source = crate::policy::checked::JwksSource {
        location: crate::policy::checked::JwksLocation::Url("https://idp.example/keys".into()),
        algorithms: vec![Algorithm::ES256],
        refresh: Duration::from_secs(300),
        bytes_max: 65536,
        keys_max: 8,
        provider: None,
    };
    checked.identity.jwks = vec![source.clone(), source.clone()];
    let signer = fixture::signer(Algorithm::ES256);
    let set = format!(r#"{{"keys":[{}]}}"#, signer.jwk("new"));
    let claims = json!({"sub": "u1", "exp": fixture::NOW_UNIX_S + 60});
    let token = signer.token(&json!({"alg": "ES256", "kid": "new"}), &claims);
    let set = KeySet::parse(set.as_bytes(), &source).unwrap();
    (House::of(checked), Request::to("/ws/u1").bearing(&token), Arc::new(set))
}

fn source_asked(step: &Step) -> Option<usize> {
    match step {
        Step::Ask(Question::RefreshKeys { source, kid }) => {
            assert_eq!(kid.as_deref(), Some("new"));
            Some(*source)
        }
        _ => None,
    }
}

#[test]
fn an_unknown_key_is_asked_for_once_at_each_source() {
    let (house, request, set) = with_key_sets();
    let mut admission = house.admission("198.51.100.1");
    assert_eq!(source_asked(&admission.arrive(&request.head(), fixture::now())), Some(0));
    assert_eq!(source_asked(&admission.answer(Answer::Keys(Err(())), fixture::now())), Some(1));
    house.keys.replace(1, set);
    match admission.answer(Answer::Keys(Ok(())), fixture::now()) {
        Step::Done(decision) => assert_eq!(admitted(*decision).principal.subject.as_deref(), Some("u1")),
        step @ Step::Ask(_) => panic!("{step:?}"),
    }
}

#[test]
fn keys_that_cannot_be_had_are_our_fault_and_keys_that_are_not_there_the_clients() {
    let (house, request, set) = with_key_sets();
    let refused = |request: &Request| {
        let mut admission = house.admission("198.51.100.1");
        let mut step = admission.arrive(&request.head(), fixture::now());
        while source_asked(&step).is_some() {
            step = admission.answer(Answer::Keys(Err(())), fixture::now());
        }
        match step {
            Step::Done(decision) => refusal(*decision).reason,
            Step::Ask(question) => panic!("asked {question:?}"),
        }
    };
    for _ in 0..5 {
        assert_eq!(refused(&request), Reason::KeysUnavailable, "and no ban comes of it");
    }
    house.keys.replace(0, set);
    let other = fixture::signer(Algorithm::ES256).token(&json!({"alg": "ES256", "kid": "new"}), &json!({"sub": "u1"}));
    house.refused("198.51.100.2", &Request::to("/ws/u1").bearing(&other));
    let cut = request.headers["authorization"].to_str().unwrap().replace("eyJhbGciOi", "eyJ4eHgiOi");
    assert_eq!(
        house.refused("198.51.100.3", &request.clone().with("authorization", &cut)).reason,
        Reason::CredentialInvalid
    );
}
