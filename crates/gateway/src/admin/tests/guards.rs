//! Who is let in, from where, under which name; what is recorded of it.

use super::*;

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
