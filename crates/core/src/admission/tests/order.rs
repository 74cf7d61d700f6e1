//! The order of checks, and how a refusal is told.

use serde_json::json;

use super::*;
use crate::policy::checked::RefuseWith;

#[test]
fn checks_run_in_their_order_and_the_first_refusal_stands() {
    let house = House::new();
    // Everything is wrong with it; one thing after another is put right.
    let mut request = Request::to("/nowhere").with("origin", "null").with("sec-websocket-version", "8").bearing("x");
    let from = "198.51.100.1";
    let next = |client: &str, request: &Request, want: Reason, check: &str| {
        let refusal = house.refused(client, request);
        assert_eq!((refusal.reason, refusal.check), (want, check));
        assert_eq!(house.gate.open_connections(), 0, "nothing is held after {want:?}");
    };
    next("203.0.113.9", &request, Reason::SourceDenied, "source");
    next(from, &request, Reason::OriginRefused, "origin");
    request = request.with("origin", "https://app.example.com");
    next(from, &request, Reason::HandshakeVersion, "handshake");
    request = request.with("sec-websocket-version", "13");
    next(from, &request, Reason::RouteUnknown, "route");
    request.uri = Uri::from_static("/admin");
    next(from, &request, Reason::CredentialInvalid, "token");
    request = request.bearing(&token_of("u1"));
    next(from, &request, Reason::RoleMissing, "role");
    request.uri = Uri::from_static("/ws/u2");
    next(from, &request, Reason::PathBinding, "binding");
    request.uri = Uri::from_static("/ws/u1");
    let held: Vec<_> = (0..2).map(|_| admitted(house.decide(from, &request))).collect();
    let refused = house.refused(from, &request);
    assert_eq!((refused.reason, refused.subject.as_deref()), (Reason::ConnectionsPerUser, Some("u1")));
    drop(held);
    assert_eq!(house.gate.open_connections(), 0);
    admitted(house.decide(from, &request));
}

#[test]
fn failed_authentications_look_alike() {
    let house = House::new();
    let expired = fixture::hs256(&json!({"sub": "u1", "exp": 1}));
    let nobody = fixture::hs256(&json!({"exp": fixture::NOW_UNIX_S + 60}));
    let good = token_of("u1");
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, "A".repeat(43));
    let mut seen = std::collections::BTreeSet::new();
    for (at, token) in [expired.as_str(), &nobody, &forged, "x", "a.b.c", ""].into_iter().enumerate() {
        let refusal = house.refused(&format!("198.51.100.{at}"), &Request::to("/ws/u1").bearing(token));
        let row = refusal.reason.row();
        seen.insert((row.public, row.close_code, row.http_status, refusal.headers.len(), refusal.retry_after));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_refusal_closes_only_what_was_a_true_handshake() {
    let house = House::new();
    let told = |request: &Request| house.refused("198.51.100.1", request).refuse_with;
    assert_eq!(told(&Request::to("/admin")), RefuseWith::Close);
    assert_eq!(told(&Request::to("/admin").with("origin", "https://evil.test")), RefuseWith::Close);
    assert_eq!(told(&Request::to("/ws/u1")), RefuseWith::Status);
    assert_eq!(told(&Request::to("/nowhere")), RefuseWith::Status);
    assert_eq!(told(&Request::plain("/admin")), RefuseWith::Status);
    assert_eq!(told(&Request::to("/admin").with("sec-websocket-key", "x")), RefuseWith::Status);
    assert_eq!(told(&Request::to("/admin").with("origin", "null").with("content-length", "9")), RefuseWith::Status);
}

#[test]
fn plain_http_passes_where_the_route_says_so() {
    let house = House::new();
    let mut page = Request::plain("/open?token=mine");
    page.headers.remove("origin");
    let Decision::PassHttp(passed) = house.decide("198.51.100.1", &page) else { panic!("not passed") };
    assert_eq!(passed.upstream_uri_path, "/open?token=mine", "a route that looks at no credentials keeps them");
    assert_eq!(house.refused("198.51.100.1", &Request::plain("/ws/u1")).reason, Reason::HttpBlocked);
    let foreign = Request::plain("/open").with("origin", "https://evil.test");
    assert_eq!(house.refused("198.51.100.1", &foreign).reason, Reason::OriginRefused);
    let mut post = page.clone();
    post.method = Method::POST;
    assert_eq!(house.refused("198.51.100.1", &post).reason, Reason::OriginMissing);
    let mut smuggled = Request::plain("/open");
    smuggled.headers.append("host", "other.example.com".parse().unwrap());
    assert_eq!(house.refused("198.51.100.1", &smuggled).reason, Reason::HandshakeMalformed);
}

#[test]
fn nothing_is_decided_twice() {
    let house = House::new();
    let mut admission = house.admission("198.51.100.1");
    let first = admission.arrive(&Request::to("/admin").bearing(&token_of("u1")).head(), fixture::now());
    assert!(matches!(first, Step::Done(_)));
    assert_eq!(house.gate.open_connections(), 0, "the refused holds nothing while it is told");
    let good = format!(r#"{{"type":"auth","token":"{}"}}"#, token_of("u1"));
    let answers = [Answer::FirstMessage(Some(good.into_bytes())), Answer::FirstMessage(None), Answer::Keys(Ok(()))];
    for answer in answers {
        match admission.answer(answer, fixture::now()) {
            Step::Done(decision) => assert_eq!(refusal(*decision).reason, Reason::HandshakeMalformed),
            Step::Ask(question) => panic!("asked {question:?}"),
        }
    }
}

#[test]
fn in_a_lockdown_only_callers_who_prove_themselves_come_in() {
    let house = House::new();
    let signed = token_of("u1");
    let start = later(0);
    let ask = |path: &str, token: Option<&str>| {
        let request = Request::to(path);
        match token {
            Some(token) => request.with("authorization", &format!("Bearer {token}")),
            None => request,
        }
    };
    let decide = |path: &str, token: Option<&str>| house.decide("198.51.100.1", &ask(path, token));
    assert!(admitted(decide("/maybe", None)).principal.is_anonymous());
    house.gate.set_lockdown(Some(start.unix_millis() + 60_000));
    let told = refusal(decide("/maybe", None));
    assert_eq!((told.reason, told.check), (Reason::Lockdown, "lockdown"));
    assert_eq!(told.retry_after, Some(Duration::from_secs(60)));
    assert!(!admitted(decide("/maybe", Some(&signed))).principal.is_anonymous());
    // A bad credential is still told apart, and still counts against its address.
    assert_ne!(refusal(decide("/maybe", Some("a.b.c"))).reason, Reason::Lockdown);
    let end = start.plus(Duration::from_secs(60));
    let (anonymous, somebody) = (
        Principal::anonymous(),
        Principal { method: crate::identity::principal::Method::Jwt, ..Principal::anonymous() },
    );
    let client = "198.51.100.1".parse().unwrap();
    assert_eq!(house.gate.blocked(client, &anonymous, start), Some(Reason::Lockdown), "open connections, too");
    assert_eq!(house.gate.blocked(client, &somebody, start), None);
    assert_eq!(house.gate.blocked(client, &anonymous, end), None, "it ends by itself");
    house.gate.set_lockdown(None);
    assert!(admitted(decide("/maybe", None)).principal.is_anonymous());
}
