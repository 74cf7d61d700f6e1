//! The admin listener, driven as a browser, a script or an attacker would. Each endpoint has a denial.

mod files;
mod guards;
mod pages;
mod permissions;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use portcullis_core::event::{Decision, Event, Origin};
use portcullis_core::policy::checked::Secret;
use portcullis_core::reputation::{Block, Lockdown, Scored, Standing, Target};
use portcullis_core::verdict::Reason;
use portcullis_store::{AuditLog, Settings, StoreError};
use tokio::sync::broadcast;
use tower::ServiceExt as _;

use super::guard::{Bearer, Denials, event};
use super::login::{LOGINS_MAX, Logins};
use super::stream::{EVENTS_A_TICK_MAX, History, RECENT_MAX, SAMPLES_MAX, WATCHERS_MAX, drain};
use super::{Access, AdminState, Blocked, ConnectionInfo, ENDPOINTS, Live, router};
use crate::metrics::{Gauges, Metrics};

const TOKEN: &str = "an admin token of thirty-two bytes";
const LOCAL: &str = "127.0.0.1:50000";
const REMOTE: &str = "192.0.2.9:50000";

/// A gateway that remembers what it was asked.
#[derive(Default)]
struct Fake {
    lockdown: Mutex<Option<Lockdown>>,
    recorded: Mutex<Vec<Event>>,
    blocks: Mutex<Vec<Block>>,
    reloads: AtomicU32,
    draining: AtomicBool,
}

impl Live for Fake {
    fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        assert!(limit > 0);
        vec![ConnectionInfo {
            id: "c1".into(),
            client: [192, 0, 2, 1].into(),
            user: Some("alice".into()),
            route: "chat".into(),
            opened_unix_ms: 1,
            messages_in: 2,
            messages_out: 3,
        }]
    }

    fn disconnect(&self, id: &str) -> bool {
        id == "c1"
    }

    fn blocked(&self) -> Result<Blocked, StoreError> {
        let earned = vec![("192.0.2.7".parse().unwrap(), 9)];
        Ok(Blocked { blocks: self.blocks.lock().unwrap().clone(), earned })
    }

    fn scored(&self) -> Vec<Scored> {
        let target = Target::parse("network", "192.0.2.8").unwrap();
        vec![Scored { target, standing: Standing::Slowed, score: 30.0, facts: vec![("threat", 30.0)] }]
    }

    fn block(&self, block: &Block) -> Result<(), StoreError> {
        self.blocks.lock().unwrap().push(block.clone());
        Ok(())
    }

    fn unblock(&self, target: &Target) -> Result<bool, StoreError> {
        let mut blocks = self.blocks.lock().unwrap();
        let before = blocks.len();
        blocks.retain(|block| block.target != *target);
        Ok(blocks.len() < before)
    }

    fn lockdown(&self) -> Result<Option<Lockdown>, StoreError> {
        Ok(self.lockdown.lock().unwrap().clone())
    }

    fn lock_down(&self, lockdown: &Lockdown) -> Result<(), StoreError> {
        *self.lockdown.lock().unwrap() = Some(lockdown.clone());
        Ok(())
    }

    fn end_lockdown(&self) -> Result<bool, StoreError> {
        Ok(self.lockdown.lock().unwrap().take().is_some())
    }

    fn gauges(&self) -> Gauges {
        Gauges { open_connections: 1, ..Gauges::default() }
    }

    fn reload(&self) -> Result<(), String> {
        let times = self.reloads.fetch_add(1, Ordering::Relaxed);
        if times == 0 { Ok(()) } else { Err("portcullis.yaml:3:5: unknown key `rout`".into()) }
    }

    fn policy_json(&self) -> serde_json::Value {
        serde_json::json!({ "routes": [] })
    }

    fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    fn record(&self, event: Event) {
        self.recorded.lock().unwrap().push(event);
    }
}

/// A router around a fake gateway.
struct Stage {
    live: Arc<Fake>,
    state: AdminState,
    router: axum::Router,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(token: Option<&str>) -> Self {
        Self::at(token, "127.0.0.1:8351", None)
    }

    fn at(token: Option<&str>, address: &str, reader: Option<std::path::PathBuf>) -> Self {
        Self::with(token, address, reader, Vec::new())
    }

    fn with(
        token: Option<&str>,
        address: &str,
        reader: Option<std::path::PathBuf>,
        tokens: Vec<portcullis_core::policy::checked::AdminToken>,
    ) -> Self {
        let live = Arc::new(Fake::default());
        let folder = tempfile::tempdir().unwrap();
        let state = AdminState {
            metrics: Metrics::new(1, vec!["chat".into()]),
            events: broadcast::Sender::new(64),
            reader,
            api_keys: folder.path().join("keys.db"),
            sessions: folder.path().join("sessions.db"),
            live: Arc::clone(&live) as Arc<dyn Live>,
            token: token.map(|token| Secret::new(token.into())),
            tokens,
            address: address.parse().unwrap(),
        };
        Self { live, router: router(state.clone()), state, _folder: folder }
    }

    async fn ask(&self, ask: Ask<'_>) -> Answer {
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        for (name, value) in [("host", "127.0.0.1:8351")].iter().chain(ask.headers) {
            if *name == "host" {
                request.headers_mut().unwrap().remove("host");
            }
            if !value.is_empty() {
                request = request.header(*name, *value);
            }
        }
        if let Some(peer) = ask.peer {
            request = request.extension(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        }
        let response =
            self.router.clone().oneshot(request.body(Body::from(ask.body.to_owned())).unwrap()).await.unwrap();
        Answer::new(response, ask.path == "/live").await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Ask { headers: &[AUTHORIZED], ..get(path) }).await
    }

    fn recorded(&self) -> Vec<Event> {
        std::mem::take(&mut self.live.recorded.lock().unwrap())
    }
}

const AUTHORIZED: (&str, &str) = ("authorization", "Bearer an admin token of thirty-two bytes");

#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    peer: Option<&'a str>,
    body: &'a str,
}

fn get(path: &str) -> Ask<'_> {
    Ask { method: "GET", path, headers: &[], peer: Some(LOCAL), body: "" }
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    /// Reads the body, unless it never ends.
    async fn new(response: Response, endless: bool) -> Self {
        let (parts, body) = response.into_parts();
        let endless = endless && parts.status.is_success();
        let text = if endless {
            String::new()
        } else {
            String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap()
        };
        Self { status: parts.status, headers: parts.headers, text }
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

fn real(path: &str) -> String {
    path.replace("{id}", "c1")
}

/// The table, as a caller with the right headers meets it.
async fn with_table(
    stage: &Stage,
    headers: &[(&str, &str)],
    peer: Option<&str>,
) -> Vec<(&'static str, &'static str, Access, StatusCode)> {
    let mut met = Vec::new();
    for (method, path, access, _) in ENDPOINTS {
        let answer = stage.ask(Ask { method, path: &real(path), headers, peer, body: "" }).await;
        met.push((*method, *path, *access, answer.status));
    }
    met
}

#[tokio::test]
async fn a_refused_reload_tells_why() {
    let stage = Stage::new(Some(TOKEN));
    let ask = Ask { method: "POST", headers: &[AUTHORIZED], ..get("/api/reload") };
    assert_eq!(stage.ask(ask).await.status, StatusCode::NO_CONTENT);
    let answer = stage.ask(ask).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.json()["detail"], "portcullis.yaml:3:5: unknown key `rout`");
    assert_eq!(answer.json()["status"], 422);
}

#[tokio::test]
async fn readiness_ends_while_draining_and_liveness_does_not() {
    let stage = Stage::new(Some(TOKEN));
    assert_eq!(stage.ask(get("/ready")).await.status, StatusCode::OK);
    stage.live.draining.store(true, Ordering::Relaxed);
    assert_eq!(stage.ask(get("/ready")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stage.ask(get("/health")).await.status, StatusCode::OK);
    let health = stage.get("/api/security/health").await.json();
    assert_eq!(health["status"], "degraded");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let stage = Stage::new(Some(TOKEN));
    stage.state.metrics.shard(0).refused(Reason::ThreatXss, Decision::Replied);
    let classic = stage.get("/metrics").await;
    assert_eq!(classic.header(header::CONTENT_TYPE), "text/plain; version=0.0.4; charset=utf-8");
    assert!(classic.text.contains("portcullis_refusals_total{reason=\"threat_xss\",decision=\"replied\"} 1\n"));
    let accept = ("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let open = stage.ask(Ask { headers: &[AUTHORIZED, accept], ..get("/metrics") }).await;
    assert!(open.header(header::CONTENT_TYPE).starts_with("application/openmetrics-text"));
    assert!(open.text.ends_with("# EOF\n"));
    let json = stage.get("/api/security/metrics").await.json();
    assert_eq!(json["refusals"]["by_reason"]["threat_xss"], 1);
    assert_eq!(json["connections"]["by_route"]["chat"], 0);
    let listed = stage.get("/api/connections").await.json();
    assert_eq!(listed["connections"][0]["client"], "192.0.2.1");
}

#[tokio::test]
async fn the_audit_is_searched_page_by_page_and_a_wrong_key_names_the_nearest() {
    let folder = std::env::temp_dir().join(format!("portcullis-admin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("audit.db");
    let log = AuditLog::open(&file, &Settings::default()).unwrap();
    for n in 0..3 {
        log.record_durably(event(Reason::ThreatXss, Decision::Replied, None, format!("finding {n}"))).unwrap();
    }
    let stage = Stage::at(Some(TOKEN), "127.0.0.1:8351", Some(file));
    let first = stage.get("/api/security/audit-logs?type=threat_xss&severity=high&limit=2&text=finding").await.json();
    assert_eq!(first["events"].as_array().unwrap().len(), 2);
    assert_eq!(first["events"][0]["detail"], "finding 2");
    assert_eq!(first["events"][0]["type"], "threat_xss");
    let next = format!("/api/security/audit-logs?limit=2&after={}", first["next"].as_str().unwrap());
    let second = stage.get(&next).await.json();
    assert_eq!((second["events"][0]["detail"].as_str(), second["next"].is_null()), (Some("finding 0"), true));
    assert_eq!(stage.get("/api/security/health").await.json()["status"], "ok");
    for (query, words) in [
        ("severty=high", "unknown key `severty`; the nearest is `severity`"),
        ("limit=1001", "`limit` is 1 to 1000, not 1001"),
        ("limit=1&limit=2", "`limit` is given twice"),
    ] {
        let answer = stage.get(&format!("/api/security/audit-logs?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["detail"], words);
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn an_operator_locks_down_looks_and_ends_it() {
    let stage = Stage::new(Some(TOKEN));
    let json = [AUTHORIZED, ("content-type", "application/json")];
    let at = "/api/security/lockdown";
    let ask = |method, body| stage.ask(Ask { method, headers: &json, body, ..get(at) });
    for (method, body, status) in [
        ("DELETE", "", 404),
        ("PUT", r#"{"for":"soon"}"#, 422),
        ("PUT", r#"{"for":"31d"}"#, 422),
        ("PUT", r#"{"until":"tomorrow"}"#, 400),
        ("PUT", r#"{"for":"20m","reason":"flood"}"#, 200),
        ("GET", "", 200),
    ] {
        assert_eq!(ask(method, body).await.status.as_u16(), status, "{method} {body}");
    }
    let shown: serde_json::Value = serde_json::from_str(&ask("GET", "").await.text).unwrap();
    let lockdown = &shown["lockdown"];
    assert_eq!((&lockdown["reason"], &lockdown["automatic"]), (&"flood".into(), &false.into()));
    let lasts = lockdown["until_unix_ms"].as_u64().unwrap() - lockdown["made_unix_ms"].as_u64().unwrap();
    assert_eq!(lasts, 20 * 60 * 1000);
    assert_eq!(ask("DELETE", "").await.status.as_u16(), 204);
    assert_eq!(stage.live.recorded.lock().unwrap().len(), 8, "every attempt is on record");
}
