//! The gateway without its sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use portcullis_core::admission::{self, Admission, Admitted, Arrival, Decision, Gate, Head, Question, Step};
use portcullis_core::identity::{KeyRing, TokenCache, issue};
use portcullis_core::inspection::{Action, Context, Kind, Memory, Message, Workspace, inspect};
use portcullis_core::limits::Ledger;
use portcullis_core::policy::checked::{Algorithm, Secret};
use portcullis_core::policy::{Nowhere, Overrides, Policy, Source, load};
use portcullis_core::reputation::{Block, Blocklist, Change, Fact, Flood};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use serde_json::json;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const POLICY: &str = "
environment: production
listen: { tls_terminated_by_proxy: on, connections_max: 500000 }
sources: { connections_per_ip_max: 500, tracked_max: 200000 }
identity: { keys: [{ algorithm: HS256, secret: 0123456789abcdef0123456789abcdef }] }
calendars:
  market: { zone: America/New_York, days: [mon-fri], hours: '09:30-16:00' }
messages:
  inbound:
    limits:
      - { name: user, per: user, rate: 60/1m, multipliers: { calendars: { market: 2 } } }
      - { name: address, per: ip, rate: 6000/1m }
    offenders: { after: 10/1m }
routes:
  - { path: '/', upstream: ws://b, authenticate: required, credentials: [header] }
";

/// One open connection.
pub(crate) struct Connection {
    admitted: Admitted,
    memory: Memory,
}

/// What became of a message.
pub(crate) struct Answer {
    pub(crate) passed: bool,
    pub(crate) reason: Option<Reason>,
    pub(crate) retry_after: Option<Duration>,
}

/// The gateway's rules, with what they remember.
pub(crate) struct House {
    policy: Arc<Policy>,
    gate: Arc<Gate>,
    keys: Arc<KeyRing>,
    cache: Arc<TokenCache>,
    ledger: Ledger,
    work: Workspace,
    flood: Flood,
    messages: u64,
    /// Bans that scores have brought.
    pub(crate) scored: Vec<Block>,
    /// Attempts that waited.
    pub(crate) waited: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        let source = Source { name: "simulation.yaml", text: POLICY };
        let loaded = load(Some(source), &Overrides::default(), &Nowhere).unwrap_or_else(|errors| panic!("{errors}"));
        let policy = Arc::new(Policy::compile(loaded.checked).unwrap());
        Self {
            gate: Gate::new(&policy, [1, 2]),
            keys: Arc::new(KeyRing::new(&policy.checked.identity).unwrap()),
            cache: Arc::new(TokenCache::new(10_000, Duration::from_secs(300))),
            ledger: Ledger::new(262_144, [3, 4]),
            work: Workspace::new(5),
            flood: Flood::new(policy.checked.defences.floods.clone()),
            messages: 0,
            scored: Vec::new(),
            waited: 0,
            policy,
        }
    }

    /// A token of a user; `good` or signed by somebody else.
    pub(crate) fn token(user: &str, good: bool, expires_unix_s: u64) -> String {
        let secret = if good { SECRET } else { "not the secret of this gateway!!" };
        let claims = json!({ "sub": user, "exp": expires_unix_s });
        let claims = claims.as_object().unwrap();
        issue::issue(claims, Algorithm::HS256, &Secret::new(secret.as_bytes().to_vec()), None).unwrap()
    }

    pub(crate) fn connect(&mut self, client: IpAddr, token: &str, now: Now) -> Result<Connection, Reason> {
        let arrival = Arrival { client, tls: false, connection_id: String::from("c"), certificate: None };
        let (keys, cache) = (Arc::clone(&self.keys), Arc::clone(&self.cache));
        let mut admission = Admission::new(Arc::clone(&self.policy), Arc::clone(&self.gate), keys, cache, arrival);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "gateway.example"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        let uri = Uri::from_static("/");
        let head = Head { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &headers };
        let mut step = admission.arrive(&head, now);
        if let Step::Ask(Question::Wait { delay }) = step {
            self.waited += 1;
            step = admission.answer(admission::Answer::Waited, now.plus(delay));
        }
        let Step::Done(decision) = step else { panic!("it asks nothing else") };
        match *decision {
            Decision::Admit(admitted) => Ok(Connection { admitted, memory: Memory::new() }),
            Decision::PassHttp(_) => panic!("it was a handshake"),
            Decision::Refuse(refusal) => {
                self.gate.watch().refused(client, refusal.reason);
                if let Some(fact) = Fact::of(refusal.reason) {
                    self.gate.scores().count(fact, client, refusal.subject.as_deref(), now);
                }
                Err(refusal.reason)
            }
        }
    }

    pub(crate) fn say(&mut self, connection: &mut Connection, now: Now) -> Answer {
        self.messages += 1;
        let admitted = &connection.admitted;
        let cx = Context { now, principal: &admitted.principal, ip: &admitted.ip_key, ledger: &self.ledger };
        let message = Message { kind: Kind::Text, bytes: br#"{"type":"say","text":"hello"}"# };
        let verdict = inspect(&admitted.route.inbound, &mut connection.memory, &cx, &mut self.work, &message);
        let decided = verdict.findings.last();
        if let Some(fact) = decided.and_then(|finding| Fact::of(finding.reason)) {
            let subject = admitted.principal.subject.as_deref();
            self.gate.scores().count(fact, admitted.ip_key.address(), subject, now);
        }
        Answer {
            passed: verdict.action == Action::Pass,
            reason: decided.map(|finding| finding.reason),
            retry_after: decided.and_then(|finding| finding.retry_after),
        }
    }

    /// What the gateway does once a second.
    pub(crate) fn second(&mut self, now: Now) -> Option<Change> {
        let ordered = self.gate.scores().take_orders();
        if !ordered.is_empty() {
            self.scored.extend(ordered);
            self.gate.set_blocklist(Blocklist::new(&self.scored).0);
        }
        let observed = self.gate.watch().take();
        let change = self.flood.step(&observed, std::mem::take(&mut self.messages));
        self.ledger.set_conditions(self.policy.checked.conditions(now.wall, self.flood.factor()));
        self.gate.set_pressure(self.flood.factor());
        change
    }

    pub(crate) fn is_banned(&self, client: IpAddr, now: Now) -> bool {
        let key = self.gate.key(client);
        self.gate.bans(now).iter().any(|(banned, _)| *banned == key)
    }
}
