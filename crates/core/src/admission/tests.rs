//! The connection's checks together: their order, what each refusal counts, and that no place is ever leaked.

use std::time::Duration;

use http::{HeaderName, Method, Uri, Version};

use serde_json::json;

use super::*;
use crate::identity::fixture;
use crate::policy::checked::{Algorithm, Checked};
use crate::policy::{Nowhere, Overrides, Source, load};

mod addresses;
mod countries;
mod credentials;
mod last_word;
mod limits;
mod nodes;
mod order;
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
