//! Who may have a session, in which place a credential may stand, and what a session opens afterwards.

use http::{HeaderMap, HeaderName, Method, Uri, Version};
use serde_json::json;

use super::*;
use crate::admission::{Admission, Admitted, Decision, Step};
use crate::identity::fixture;
use crate::identity::session::RANDOM_BYTES;
use crate::policy::{Nowhere, Overrides, Source, load};
use crate::reputation::{Block, Blocklist, Target};

const POLICY: &str = "
environment: development
sources: { failed_auth_rate: 2/min, connection_rate: off }
origins: { allow: [https://app.example.com], localhost: off, same_host: off, missing: refuse }
identity:
  keys: [{ algorithm: HS256, secret: 0123456789abcdef0123456789abcdef }]
  sessions: { enabled: on, path: /session, cookie: { name: sid } }
routes:
  - { name: room, path: '/ws/{user}', upstream: ws://b, authenticate: required, bind: { user: subject } }
  - { name: bare, path: '/bare', upstream: ws://b, authenticate: required, credentials: [header] }
";

struct House {
    policy: Arc<Policy>,
    gate: Arc<Gate>,
    keys: Arc<KeyRing>,
    cache: Arc<TokenCache>,
}

impl House {
    fn new() -> Self {
        let source = Source { name: "test.yaml", text: POLICY };
        let checked = load(Some(source), &Overrides::default(), &Nowhere).unwrap_or_else(|e| panic!("{e}")).checked;
        let keys = Arc::new(KeyRing::new(&checked.identity).unwrap());
        let cache = Arc::new(TokenCache::new(64, std::time::Duration::from_secs(300)));
        let policy = Arc::new(Policy::compile(checked).unwrap());
        Self { gate: Gate::new(&policy, [1, 2]), policy, keys, cache }
    }

    fn exchange(&self, headers: &[(&str, &str)]) -> Result<Box<Exchanged>, Reason> {
        let mut exchange = Exchange::new(
            Arc::clone(&self.policy),
            Arc::clone(&self.gate),
            Arc::clone(&self.keys),
            Arc::clone(&self.cache),
            arrival(),
        );
        let (uri, headers) = (Uri::from_static("/session"), map(headers));
        let head = Head { method: &Method::POST, uri: &uri, version: Version::HTTP_11, headers: &headers };
        match exchange.arrive(&head, fixture::now()) {
            ExchangeStep::Done(outcome) => outcome.map_err(|refusal| refusal.reason),
            ExchangeStep::Ask(question) => panic!("asked {question:?}"),
        }
    }

    /// The text of a session that is in force.
    fn session(&self, headers: &[(&str, &str)], seed: u8) -> String {
        let order = self.exchange(headers).unwrap().order;
        let rules = self.policy.checked.identity.sessions.as_ref().unwrap();
        let plan = self.gate.sessions().plan(&[seed; RANDOM_BYTES], &order, rules, fixture::now()).unwrap();
        self.gate.sessions().commit(&plan);
        plan.text
    }

    fn connect(&self, path: &str, headers: &[(&str, &str)]) -> Result<Admitted, Reason> {
        let mut admission = Admission::new(
            Arc::clone(&self.policy),
            Arc::clone(&self.gate),
            Arc::clone(&self.keys),
            Arc::clone(&self.cache),
            arrival(),
        );
        let (uri, mut headers) = (path.parse().unwrap(), map(headers));
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let head = Head { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &headers };
        match admission.arrive(&head, fixture::now()) {
            Step::Done(decision) => match *decision {
                Decision::Admit(admitted) => Ok(admitted),
                Decision::Refuse(refusal) => Err(refusal.reason),
                Decision::PassHttp(_) => panic!("it is an upgrade"),
            },
            Step::Ask(question) => panic!("asked {question:?}"),
        }
    }
}

fn arrival() -> Arrival {
    Arrival { client: "192.0.2.7".parse().unwrap(), tls: true, connection_id: "c-1".into(), certificate: None }
}

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("host", "gate.example.com".parse().unwrap());
    headers.insert("origin", "https://app.example.com".parse().unwrap());
    for (name, value) in pairs {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn bearer(subject: &str) -> String {
    format!("Bearer {}", fixture::hs256(&json!({"sub": subject, "sid": "s-1", "exp": fixture::NOW_UNIX_S + 60})))
}

#[test]
fn a_credential_is_exchanged_and_the_session_opens_connections_by_header_query_and_cookie() {
    let house = House::new();
    let text = house.session(&[("authorization", &bearer("ada"))], 1);
    for (path, headers) in [
        ("/ws/ada", [("authorization", format!("Bearer {text}"))]),
        ("/ws/ada", [("cookie", format!("theme=dark; sid={text}"))]),
        ("/ws/ada", [("sec-websocket-protocol", format!("bearer, {text}"))]),
        (&*format!("/ws/ada?token={text}"), [("x-other", String::from("1"))]),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let admitted = house.connect(path, &headers).unwrap();
        assert_eq!(
            (admitted.principal.subject.as_deref(), admitted.principal.method),
            (Some("ada"), crate::identity::Method::Session)
        );
        let sent = format!("{:?} {}", admitted.upstream_headers, admitted.upstream_uri_path);
        assert!(!sent.contains(&text), "the backend never sees it: {sent}");
    }
    assert_eq!(
        house.connect("/ws/bob", &[("authorization", &format!("Bearer {text}"))]).err(),
        Some(Reason::PathBinding)
    );
    assert_eq!(house.connect("/bare", &[("cookie", &format!("sid={text}"))]).err(), Some(Reason::CredentialMissing));
}

#[test]
fn a_session_cookie_gives_way_to_a_credential_that_was_put_there_on_purpose() {
    let house = House::new();
    let text = house.session(&[("authorization", &bearer("ada"))], 1);
    let cookie = format!("sid={text}");
    let both = [("authorization", &*bearer("bob")), ("cookie", &*cookie)];
    assert_eq!(house.connect("/ws/bob", &both).unwrap().principal.subject.as_deref(), Some("bob"));
    let exchanged = house.exchange(&both).unwrap();
    assert_eq!((exchanged.order.along.as_deref(), exchanged.by_cookie), (Some(&*text), false));
    let rotated = house.exchange(&[("cookie", &cookie)]).unwrap();
    assert_eq!((rotated.order.along.as_deref(), rotated.by_cookie), (None, true));
    assert!(rotated.session().is_some());
    let other = house.connect("/ws/ada", &[("cookie", "sid=of-another-application")]);
    assert_eq!(other.err(), Some(Reason::CredentialMissing), "it is not formed like ours");
}

#[test]
fn nobody_without_a_valid_credential_gets_one() {
    let house = House::new();
    assert_eq!(house.exchange(&[]).err(), Some(Reason::CredentialMissing));
    assert_eq!(house.exchange(&[("authorization", "Bearer pcs_chosen")]).err(), Some(Reason::SessionInvalid));
    assert_eq!(
        house.exchange(&[("authorization", &bearer("ada")), ("origin", "https://evil.example")]).err(),
        Some(Reason::OriginRefused)
    );
    let (list, _) = Blocklist::new(&[Block::revocation(
        Target::parse("session", "s-1").unwrap(),
        std::time::Duration::from_secs(60),
        "",
        fixture::now().unix_millis(),
    )
    .unwrap()]);
    let before = house.session(&[("authorization", &bearer("ada"))], 1);
    house.gate.set_blocklist(list);
    assert_eq!(house.exchange(&[("authorization", &bearer("ada"))]).err(), Some(Reason::CredentialRevoked));
    let revoked = house.connect("/ws/ada", &[("authorization", &format!("Bearer {before}"))]);
    assert_eq!(revoked.err(), Some(Reason::CredentialRevoked), "the session it was exchanged in was revoked");
    assert_eq!(house.gate.open_connections(), 0, "nothing is held");
}

#[test]
fn failed_exchanges_count_as_failed_authentications() {
    let house = House::new();
    for _ in 0..2 {
        assert_eq!(house.exchange(&[("authorization", "Bearer pcs_guess")]).err(), Some(Reason::SessionInvalid));
    }
    assert_eq!(house.exchange(&[("authorization", &bearer("ada"))]).err(), Some(Reason::SourceBanned));
}
