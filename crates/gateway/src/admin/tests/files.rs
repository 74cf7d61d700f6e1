//! Lists in the state folder: who is kept out, API keys, and sessions.

use portcullis_core::identity::Method;
use portcullis_core::identity::session::{Session, Terms};
use portcullis_core::verdict::Reason;
use portcullis_store::{Keys, SessionFile};
use serde_json::{Value, json};

use super::{AUTHORIZED, Ask, Stage, TOKEN, get};

#[tokio::test]
async fn an_operator_bans_revokes_lists_and_lifts() {
    let stage = Stage::new(Some(TOKEN));
    let json = [AUTHORIZED, ("content-type", "application/json")];
    let post = |path, body| stage.ask(Ask { method: "POST", headers: &json, body, ..get(path) });
    for (path, body, status) in [
        ("/api/security/block-ip", r#"{"ip":"203.0.113.9","for":"30m","reason":"scanning"}"#, 201),
        ("/api/security/block", r#"{"kind":"user","value":"u1","revoke":true}"#, 201),
        ("/api/security/block-ip", r#"{"ip":"0.0.0.0/0"}"#, 422),
        ("/api/security/block-ip", r#"{"ip":"203.0.113.9","for":"soon"}"#, 422),
        ("/api/security/block", r#"{"kind":"role","value":"admin"}"#, 422),
        ("/api/security/block", r#"{"kind":"network","value":"203.0.113.9","revoke":true}"#, 422),
        ("/api/security/block", r#"{"kind":"user","value":"u1","until":3}"#, 400),
        ("/api/security/block", "", 400),
        ("/api/security/unblock-ip", r#"{"ip":"203.0.113.9"}"#, 204),
        ("/api/security/unblock-ip", r#"{"ip":"203.0.113.9"}"#, 404),
    ] {
        assert_eq!(post(path, body).await.status.as_u16(), status, "{path} {body}");
    }
    let listed = stage.ask(Ask { headers: &json, ..get("/api/security/blocks") }).await;
    let listed: Value = serde_json::from_str(&listed.text).unwrap();
    assert_eq!(listed["blocks"].as_array().unwrap().len(), 1);
    assert_eq!((&listed["blocks"][0]["kind"], &listed["blocks"][0]["value"]), (&"user".into(), &"u1".into()));
    assert!(listed["blocks"][0]["spares_issued_after_unix_s"].is_u64());
    assert_eq!(listed["earned"][0]["address"], "192.0.2.7");
    let scored = stage.ask(Ask { headers: &json, ..get("/api/security/reputation") }).await;
    let scored: Value = serde_json::from_str(&scored.text).unwrap();
    assert_eq!(scored["sources"][0]["value"], "192.0.2.8");
    assert_eq!(
        (&scored["sources"][0]["standing"], &scored["sources"][0]["facts"][0][0]),
        (&"slowed".into(), &"threat".into())
    );
    let recorded = stage.live.recorded.lock().unwrap();
    assert!(recorded.iter().all(|event| event.reason == Reason::AdminAction));
    assert_eq!(recorded.len(), 12, "every attempt is on record");
}

#[tokio::test]
async fn a_key_is_made_listed_rotated_and_revoked_and_its_text_told_once() {
    let stage = Stage::new(Some(TOKEN));
    let headers = [AUTHORIZED, ("content-type", "application/json")];
    let post = |path, body| stage.ask(Ask { method: "POST", headers: &headers, body, ..get(path) });
    let wish = json!({"name": "import", "subject": "svc", "roles": ["importer"], "expires": "90d"}).to_string();
    let made = post("/api/security/keys", &wish).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(secret.starts_with(&format!("pcl_{id}_")), "{secret}");

    let listed = stage.ask(Ask { headers: &headers, ..get("/api/security/keys") }).await;
    assert!(!listed.text.contains(secret) && !listed.text.contains("digest"), "{}", listed.text);
    let listed: Value = serde_json::from_str(&listed.text).unwrap();
    assert_eq!(listed["keys"][0]["subject"], "svc");
    assert!(listed["keys"][0]["expires_unix_s"].is_u64());

    let rotate = format!("/api/security/keys/{id}/rotate");
    let rotated = post(&rotate, r#"{"keep":"1h"}"#).await;
    assert_eq!(rotated.status, 200);
    let rotated: Value = serde_json::from_str(&rotated.text).unwrap();
    assert_ne!(rotated["secret"], made["secret"]);
    assert!(rotated["key"]["earlier_until_unix_s"].is_u64());

    let path = format!("/api/security/keys/{id}");
    let revoke = || stage.ask(Ask { method: "DELETE", headers: &headers, ..get(&path) });
    assert_eq!(revoke().await.status, 204);
    assert_eq!(revoke().await.status, 404);
    assert_eq!(post(&rotate, "{}").await.status, 404, "it is revoked");
    assert!(Keys::open(&stage.state.api_keys).unwrap().all().unwrap()[0].revoked_unix_s.is_some());
    let recorded = stage.live.recorded.lock().unwrap();
    assert!(recorded.iter().all(|event| event.reason == Reason::AdminAction && !event.detail.contains(secret)));
    assert_eq!(recorded.len(), 6, "every call is on record");
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_with_words() {
    let stage = Stage::new(Some(TOKEN));
    let headers = [AUTHORIZED, ("content-type", "application/json")];
    for (body, status, words) in [
        ("", 400, ""),
        (r#"{"name":"x"}"#, 400, "subject"),
        (r#"{"subject":"s","scope":"*"}"#, 400, "scope"),
        (r#"{"subject":""}"#, 422, "of a key has"),
        (r#"{"subject":"s","expires":"soon"}"#, 422, "duration"),
    ] {
        let answer = stage.ask(Ask { method: "POST", headers: &headers, body, ..get("/api/security/keys") }).await;
        let refused = answer.status.as_u16();
        assert!((refused == status) && answer.text.contains(words), "{body} {}", answer.text);
    }
}

fn session(id: &str, subject: &str, tenant: Option<&str>) -> Session {
    let terms = Terms {
        id: id.into(),
        subject: subject.into(),
        tenant: tenant.map(Into::into),
        tenants: vec![],
        roles: vec![],
        permissions: vec![],
        mfa: false,
        proved_by: Method::Jwt,
        token_id: None,
        provider_session: None,
        issued_unix_s: 100,
        ends_unix_s: 900,
        address: None,
        user_agent: None,
    };
    Session { terms, last_used_unix_s: 100, digest: [7; 32], seal: [9; 32] }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_id_and_by_user() {
    let stage = Stage::new(Some(TOKEN));
    let mut file = SessionFile::open(&stage.state.sessions).unwrap();
    for (id, subject, tenant) in [("a", "u1", None), ("b", "u1", Some("acme")), ("c", "u2", None), ("d", "u1", None)] {
        file.put(&session(id, subject, tenant), &[]).unwrap();
    }
    let headers = [AUTHORIZED, ("content-type", "application/json")];
    let listed = stage.ask(Ask { headers: &headers, ..get("/api/security/sessions?user=u1") }).await;
    assert!(!listed.text.contains("digest") && !listed.text.contains("seal"), "{}", listed.text);
    assert_eq!(listed.json()["sessions"].as_array().unwrap().len(), 3);
    let end = || stage.ask(Ask { method: "DELETE", headers: &headers, ..get("/api/security/sessions/a") });
    assert_eq!(end().await.status, 204);
    assert_eq!(end().await.status, 404);
    let post =
        |body| stage.ask(Ask { method: "POST", headers: &headers, body, ..get("/api/security/sessions/revoke") });
    for (body, status, ended) in [
        (r#"{"user":"u1","tenant":"acme"}"#, 200, Some(1)),
        (r#"{"user":"u1"}"#, 200, Some(1)),
        (r#"{"user":"u1"}"#, 200, Some(0)),
        (r#"{"tenant":"acme"}"#, 400, None),
        (r#"{"user":"u1","all":true}"#, 400, None),
        ("", 400, None),
    ] {
        let answer = post(body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        if let Some(ended) = ended {
            assert_eq!(answer.json()["ended"], ended, "{body}");
        }
    }
    let left: Vec<_> = file.all(None).unwrap().into_iter().map(|session| session.terms.id).collect();
    assert_eq!(left, ["c"]);
    assert!(stage.live.recorded.lock().unwrap().iter().all(|event| event.reason == Reason::AdminAction));
}
