//! The admin listener, driven as a browser, a script or an attacker would. Each endpoint has a denial.

mod files;
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
async fn every_endpoint_denies_who_shows_no_token_or_a_wrong_one() {
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Basic YTpi")],
        &[("cookie", "portcullis_admin=00")],
    ] {
        let stage = Stage::new(Some(TOKEN));
        for (method, path, access, status) in with_table(&stage, headers, Some(LOCAL)).await {
            let bare = !headers.iter().any(|(name, _)| *name == "authorization");
            match access {
                Access::Open => assert_ne!(
                    (status, path == "/login" && method == "POST"),
                    (StatusCode::UNAUTHORIZED, false),
                    "{path}"
                ),
                Access::Read if path == "/" && bare => assert_eq!(status, StatusCode::SEE_OTHER),
                _ => assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {headers:?}"),
            }
        }
        assert_eq!(stage.live.reloads.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn every_endpoint_denies_a_request_under_another_name() {
    let stage = Stage::new(None);
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8351", ""] {
        for (method, path, _, status) in with_table(&stage, &[("host", host)], Some(LOCAL)).await {
            assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{method} {path} {host}");
        }
    }
    for host in ["localhost:8351", "LOCALHOST", "127.0.0.1:8351", "[::1]:8351", "10.1.2.3"] {
        assert_eq!(
            stage.ask(Ask { headers: &[("host", host)], ..get("/health") }).await.status,
            StatusCode::OK,
            "{host}"
        );
    }
}

#[tokio::test]
async fn whatever_changes_something_denies_other_origins() {
    let stage = Stage::new(Some(TOKEN));
    let foreign: [&[(&str, &str)]; 6] = [
        &[AUTHORIZED, ("origin", "https://evil.example")],
        &[AUTHORIZED, ("origin", "null")],
        &[AUTHORIZED, ("origin", "http://127.0.0.1:8351.evil.example")],
        &[AUTHORIZED, ("origin", "http://127.0.0.1:9999")],
        &[AUTHORIZED, ("sec-fetch-site", "cross-site")],
        &[AUTHORIZED, ("sec-fetch-site", "same-site")],
    ];
    let changing = || ENDPOINTS.iter().filter(|(method, ..)| *method != "GET");
    assert!(changing().count() >= 4);
    for headers in foreign {
        for (method, path, ..) in changing() {
            let answer = stage.ask(Ask { method, headers, ..get(&real(path)) }).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {headers:?}");
        }
    }
    assert_eq!(stage.live.reloads.load(Ordering::Relaxed), 0);
    let own = [AUTHORIZED, ("origin", "http://127.0.0.1:8351"), ("sec-fetch-site", "same-origin")];
    let answer = stage.ask(Ask { method: "POST", headers: &own, ..get("/api/reload") }).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn without_a_token_only_peers_on_this_machine_are_answered() {
    let here = Stage::new(None);
    let public = Stage::at(None, "0.0.0.0:8351", None);
    for (stage, peer) in [(&here, Some(REMOTE)), (&here, None), (&public, Some(LOCAL)), (&public, Some(REMOTE))] {
        for (method, path, access, status) in with_table(stage, &[], peer).await {
            if access != Access::Open {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {peer:?}");
            }
        }
    }
    for peer in [LOCAL, "[::1]:5", "[::ffff:127.0.0.1]:5"] {
        assert_eq!(
            here.ask(Ask { peer: Some(peer), ..get("/api/connections") }).await.status,
            StatusCode::OK,
            "{peer}"
        );
    }
}

#[tokio::test]
async fn the_token_opens_every_endpoint_from_anywhere_and_under_any_name() {
    let stage = Stage::at(Some(TOKEN), "0.0.0.0:8351", None);
    for (method, path, _, status) in
        with_table(&stage, &[AUTHORIZED, ("host", "portcullis-admin:8351")], Some(REMOTE)).await
    {
        let expected = match (method, path) {
            ("POST", "/login") => StatusCode::UNAUTHORIZED,
            // Nothing is stored here.
            (_, "/api/security/audit-logs") => StatusCode::NOT_FOUND,
            // There are no keys and no sessions.
            (_, "/api/security/keys/{id}/rotate" | "/api/security/keys/{id}" | "/api/security/sessions/{id}") => {
                StatusCode::NOT_FOUND
            }
            // Nobody is named.
            ("POST", path) if path.starts_with("/api/security/") => StatusCode::BAD_REQUEST,
            // No lockdown is described, and none is in force.
            ("PUT", "/api/security/lockdown") => StatusCode::BAD_REQUEST,
            ("DELETE", "/api/security/lockdown") => StatusCode::NOT_FOUND,
            ("POST" | "DELETE", _) => StatusCode::NO_CONTENT,
            _ => StatusCode::OK,
        };
        assert_eq!(status, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn paths_outside_the_table_do_not_exist_and_other_methods_are_refused() {
    let stage = Stage::new(Some(TOKEN));
    for path in ["/admin", "/api", "/assets/../metrics", "/api/connections/", "/api/connections/a/b", "//metrics"] {
        assert_eq!(stage.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for (method, path) in
        [("POST", "/metrics"), ("PUT", "/api/security/config"), ("GET", "/api/reload"), ("TRACE", "/")]
    {
        let answer = stage.ask(Ask { method, headers: &[AUTHORIZED], ..get(path) }).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let stage = Stage::new(Some(TOKEN));
    for (method, path, ..) in ENDPOINTS {
        for headers in [&[][..], &[AUTHORIZED]] {
            let answer = stage.ask(Ask { method, headers, ..get(&real(path)) }).await;
            let policy = answer.header(header::CONTENT_SECURITY_POLICY);
            for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'"] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
            let form = if *path == "/login" && answer.status != StatusCode::SEE_OTHER {
                "form-action 'self'"
            } else {
                "form-action 'none'"
            };
            assert!(policy.contains(form), "{method} {path}: {policy}");
            assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(answer.header(header::X_FRAME_OPTIONS), "DENY");
            assert_eq!(answer.header(header::REFERRER_POLICY), "no-referrer");
            assert!(answer.header(header::CACHE_CONTROL).contains("no-"), "{path}");
            assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        }
    }
}

#[tokio::test]
async fn a_login_is_a_cookie_that_no_script_reads_and_it_ends() {
    let stage = Stage::new(Some(TOKEN));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let wrong = stage.ask(Ask { method: "POST", headers: &form, body: "token=guess", ..get("/login") }).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.header(header::SET_COOKIE).is_empty());
    let right = "token=an+admin+token+of+thirty-two+bytes";
    let answer = stage.ask(Ask { method: "POST", headers: &form, body: right, ..get("/login") }).await;
    assert_eq!((answer.status, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/"));
    let cookie = answer.header(header::SET_COOKIE);
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("thirty"), "{cookie}");
    let pair = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(pair.len(), "portcullis_admin=".len() + 64);

    let with = [("cookie", pair.as_str())];
    let page = stage.ask(Ask { headers: &with, ..get("/") }).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Log out"));
    let out = stage.ask(Ask { method: "POST", headers: &with, ..get("/logout") }).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(stage.ask(Ask { headers: &with, ..get("/api/connections") }).await.status, StatusCode::UNAUTHORIZED);
}

#[test]
fn one_login_too_many_ends_the_oldest_and_time_ends_all() {
    let (logins, now) = (Logins::default(), Instant::now());
    let ids: Vec<String> = (0..LOGINS_MAX).map(|_| logins.begin(Bearer::Whole, now).unwrap()).collect();
    assert!(ids.iter().all(|id| logins.holds(id, now) == Some(Bearer::Whole)));
    let one_more = logins.begin(Bearer::Whole, now).unwrap();
    let holds = |id: &str, now| logins.holds(id, now).is_some();
    assert!(!holds(&ids[0], now) && holds(&ids[1], now) && holds(&one_more, now));
    assert!(!holds(&one_more, now + Duration::from_secs(12 * 3600)));
    assert!(!holds("", now));
}

#[tokio::test]
async fn actions_disclosures_and_denials_are_recorded_without_the_token() {
    let stage = Stage::new(Some(TOKEN));
    let delete = Ask { method: "DELETE", headers: &[AUTHORIZED], ..get("/api/connections/c1") };
    assert_eq!(stage.ask(delete).await.status, StatusCode::NO_CONTENT);
    let gone = stage.ask(Ask { path: "/api/connections/none", ..delete }).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    stage.get("/api/security/config").await;
    stage.ask(Ask { headers: &[("authorization", "Bearer a guess")], ..get("/metrics") }).await;
    stage.get("/metrics").await;
    let recorded = stage.recorded();
    let told: Vec<_> = recorded.iter().map(|event| (event.reason, event.decision, event.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            (Reason::AdminAction, Decision::Allowed, "DELETE /api/connections/c1 by token: 204"),
            (Reason::AdminAction, Decision::Refused, "DELETE /api/connections/none by token: 404"),
            (Reason::AdminAction, Decision::Allowed, "GET /api/security/config by token: 200"),
            (Reason::AdminDenied, Decision::Refused, "GET /metrics: the token is wrong"),
        ]
    );
    assert!(recorded.iter().all(|event| event.origin.source_ip == Some([127, 0, 0, 1].into())));
}

#[test]
fn a_flood_of_denials_is_recorded_in_samples_and_counted() {
    let (denials, now) = (Denials::default(), Instant::now());
    assert_eq!((0..100).filter(|_| denials.admit(now).is_some()).count(), 10);
    assert_eq!(denials.admit(now + Duration::from_secs(59)), None);
    assert_eq!(denials.admit(now + Duration::from_secs(60)), Some(91));
    assert_eq!(denials.admit(now + Duration::from_secs(61)), Some(0));
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
async fn what_a_client_said_stands_on_the_page_as_text() {
    let stage = Stage::new(None);
    let hostile = "</td><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let mut sent = event(Reason::ThreatXss, Decision::Replied, None, hostile.into());
    sent.origin = Arc::new(Origin { user: Some(hostile.into()), route: Some(hostile.into()), ..Origin::default() });
    stage.state.metrics.route_index(hostile);
    let _ = stage.state.events.send(Arc::new(sent));
    // The sampler's task closes the second in which the event came.
    let page = loop {
        let page = stage.ask(get("/")).await;
        if page.text.contains("alert(1)&lt;/script") && page.text.contains("threat_xss") {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert!(!page.text.contains("<script>alert") && !page.text.contains("<img"), "{}", page.text);
    assert_eq!(page.text.matches("<script").count(), 1);
    assert!(page.text.contains("<script type=\"module\" src=\"/assets/live.js\">"));
    assert!(!page.text.contains(" style=") && !page.text.contains("onclick"));
}

#[tokio::test]
async fn the_page_is_built_for_keyboards_readers_and_phones() {
    let stage = Stage::new(None);
    let page = stage.ask(get("/")).await;
    for part in [
        "<html lang=\"en\">",
        "name=\"viewport\"",
        "<h1>",
        "class=\"skip\"",
        "aria-live=\"polite\"",
        "role=\"img\"",
        "scope=\"col\"",
        "<noscript>",
    ] {
        assert!(page.text.contains(part), "{part}");
    }
    assert_eq!(page.text.matches("<table").count(), page.text.matches("<caption").count());
    let script = stage.ask(get("/assets/live.js")).await;
    assert!(script.header(header::CONTENT_TYPE).starts_with("text/javascript"));
    for forbidden in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.text.contains(forbidden), "{forbidden}");
    }
    let style = stage.ask(get("/assets/style.css")).await;
    assert!(style.text.contains("prefers-color-scheme: dark"));
}

#[test]
fn text_stands_out_from_its_ground_in_both_schemes() {
    let style = include_str!("../assets/style.css");
    let schemes: Vec<&str> = style.split("@media").take(2).collect();
    for scheme in schemes {
        let colour = |name: &str| luminance(scheme.split(&format!("--{name}: #")).nth(1).unwrap());
        for ground in ["ground", "panel"] {
            for ink in ["ink", "quiet", "line", "high", "critical"] {
                let (a, b) = (colour(ink), colour(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                // WCAG 2.2, 1.4.3, level AA.
                assert!(contrast >= 4.5, "{ink} on {ground}: {contrast:.2}");
            }
        }
    }
}

/// Relative luminance of a colour in six hexadecimal digits (WCAG 2.2).
fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

#[tokio::test]
async fn a_tick_brings_the_second_and_its_events_to_who_watches() {
    let stage = Stage::new(None);
    let request = Request::get("/live")
        .header("host", "localhost")
        .extension(ConnectInfo::<SocketAddr>(LOCAL.parse().unwrap()))
        .body(Body::empty())
        .unwrap();
    let response = stage.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    stage.state.metrics.shard(0).connection_opened(0);
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&frame).unwrap();
    let tick: serde_json::Value = serde_json::from_str(text.split_once("data: ").unwrap().1.trim()).unwrap();
    assert!(text.starts_with("event: tick\n"), "{text}");
    assert_eq!(tick["open"], 1);
    assert_eq!(tick["routes"][0][0], "chat");
}

#[tokio::test]
async fn one_watcher_too_many_is_turned_away_and_a_place_given_back_is_taken() {
    let stage = Stage::new(None);
    let watch = || {
        let request = Request::get("/live")
            .header("host", "localhost")
            .extension(ConnectInfo::<SocketAddr>(LOCAL.parse().unwrap()))
            .body(Body::empty())
            .unwrap();
        stage.router.clone().oneshot(request)
    };
    let mut watching = Vec::new();
    for _ in 0..WATCHERS_MAX {
        let response = watch().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        watching.push(response);
    }
    assert_eq!(watch().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    watching.pop();
    assert_eq!(watch().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_flood_of_events_is_named_in_part_and_counted_in_full() {
    let (sender, mut receiver) = broadcast::channel(64);
    let one = Arc::new(event(Reason::ThreatXss, Decision::Replied, None, "x".into()));
    for _ in 0..200 {
        let _ = sender.send(Arc::clone(&one));
    }
    let (named, more) = drain(&mut receiver);
    assert_eq!((named.len(), more), (EVENTS_A_TICK_MAX, 200 - EVENTS_A_TICK_MAX as u64));
    assert_eq!(drain(&mut receiver).0.len(), 0);
}

#[tokio::test]
async fn history_keeps_five_minutes_and_the_newest_events() {
    let stage = Stage::new(None);
    let history = History::new(&stage.state);
    for second in 0..SAMPLES_MAX + 10 {
        stage.state.metrics.shard(0).refused(Reason::ThreatXss, Decision::Replied);
        let one = Arc::new(event(Reason::ThreatXss, Decision::Replied, None, format!("second {second}")));
        history.advance(&stage.state, &[one], 0);
    }
    assert_eq!(history.last().refusals, 1);
    let tick = history.present(&stage.state);
    assert_eq!(tick.events.len(), RECENT_MAX);
    assert_eq!(tick.events[0].detail, format!("second {}", SAMPLES_MAX + 9));
    assert_eq!(tick.refusals_path.matches(['M', 'L']).count(), SAMPLES_MAX);
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
