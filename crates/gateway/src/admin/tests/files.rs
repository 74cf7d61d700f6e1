//! Lists in the state folder: who is kept out, and API keys.

use portcullis_core::verdict::Reason;
use portcullis_store::Keys;
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
    let recorded = stage.live.recorded.lock().unwrap();
    assert!(recorded.iter().all(|event| event.reason == Reason::AdminAction));
    assert_eq!(recorded.len(), 11, "every attempt is on record");
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
