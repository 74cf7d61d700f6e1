//! The connection's checks together: their order, what each refusal counts, and that no place is ever leaked.

mod nodes;

use http::{HeaderName, Method, Uri, Version};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::{KeySet, fixture};
use crate::policy::checked::{Algorithm, Checked};
use crate::policy::{Nowhere, Overrides, Source, load};

mod countries;
mod waiting;

const POLICY: &str = "
environment: development
listen: { connections_max: 100 }
sources:
  allow: [192.0.2.200/32]
  deny: [203.0.113.0/24]
  connection_rate: off
  connections_per_ip_max: 5
  failed_auth_rate: 3/min
  ban_duration: 5m
origins: { allow: [https://app.example.com], localhost: off, same_host: off, missing: refuse }
identity:
  keys: [{ algorithm: HS256, secret: 0123456789abcdef0123456789abcdef }]
routes:
  - { path: '/open', upstream: ws://b, authenticate: off, http: pass }
  - { path: '/maybe', upstream: ws://b, authenticate: optional, credentials: [header] }
  - { path: '/ws/{user_id}', upstream: ws://b, authenticate: required, bind: { user_id: subject },
      connections_per_user_max: 2, credentials: [header, query, subprotocol] }
  - { path: '/admin', upstream: ws://b, authenticate: required, roles: [admin], refuse_with: close }
  - { path: '/talk', upstream: ws://b, authenticate: required, credentials: [header, first_message] }
";

fn checked() -> Checked {
    let source = Source { name: "test.yaml", text: POLICY };
    load(Some(source), &Overrides::default(), &Nowhere).unwrap_or_else(|errors| panic!("{errors}")).checked
}

struct House {
    policy: Arc<Policy>,
    gate: Arc<Gate>,
    keys: Arc<KeyRing>,
    cache: Arc<TokenCache>,
}

impl House {
    fn new() -> Self {
        Self::of(checked())
    }

    fn of(checked: Checked) -> Self {
        let keys = Arc::new(KeyRing::new(&checked.identity).unwrap());
        let cache = Arc::new(TokenCache::new(64, Duration::from_secs(300)));
        let policy = Arc::new(Policy::compile(checked).unwrap());
        Self { gate: Gate::new(&policy, [1, 2]), policy, keys, cache }
    }

    fn admission(&self, client: &str) -> Admission {
        let arrival =
            Arrival { client: client.parse().unwrap(), tls: false, connection_id: "c-1".into(), certificate: None };
        let (keys, cache) = (Arc::clone(&self.keys), Arc::clone(&self.cache));
        Admission::new(Arc::clone(&self.policy), Arc::clone(&self.gate), keys, cache, arrival)
    }

    fn arrive(&self, client: &str, request: &Request, now: Now) -> Step {
        self.admission(client).arrive(&request.head(), now)
    }

    fn decide(&self, client: &str, request: &Request) -> Decision {
        self.decide_at(client, request, fixture::now())
    }

    fn decide_at(&self, client: &str, request: &Request, now: Now) -> Decision {
        match self.arrive(client, request, now) {
            Step::Done(decision) => *decision,
            Step::Ask(question) => panic!("asked {question:?}"),
        }
    }

    fn refused(&self, client: &str, request: &Request) -> Refusal {
        refusal(self.decide(client, request))
    }
}

/// A token for a subject, valid for a minute.
fn token_of(subject: &str) -> String {
    fixture::hs256(&json!({"sub": subject, "exp": fixture::NOW_UNIX_S + 60}))
}

fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refuse(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn admitted(decision: Decision) -> Admitted {
    match decision {
        Decision::Admit(admitted) | Decision::PassHttp(admitted) => admitted,
        Decision::Refuse(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[derive(Debug, Clone)]
struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Request {
    fn to(uri: &str) -> Self {
        let mut request = Self { method: Method::GET, uri: uri.parse().unwrap(), headers: HeaderMap::new() };
        for (name, value) in [
            ("host", "gate.example.com"),
            ("origin", "https://app.example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request = request.with(name, value);
        }
        request
    }

    fn plain(uri: &str) -> Self {
        let mut request = Self::to(uri);
        for name in ["upgrade", "connection", "sec-websocket-version", "sec-websocket-key"] {
            request.headers.remove(name);
        }
        request
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    fn bearing(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    fn head(&self) -> Head<'_> {
        Head { method: &self.method, uri: &self.uri, version: Version::HTTP_11, headers: &self.headers }
    }
}

fn later(seconds: u64) -> Now {
    fixture::now().plus(Duration::from_secs(seconds))
}

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

fn active(exp: u64) -> Answer {
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
