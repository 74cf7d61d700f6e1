//! Tokens for parts of the listener: each endpoint against each permission.

use std::collections::BTreeSet;

use http::{StatusCode, header};
use portcullis_core::access::Pattern;
use portcullis_core::policy::checked::{ADMIN_PERMISSIONS, AdminToken, Secret};

use super::{Access, Ask, ENDPOINTS, LOCAL, Stage, TOKEN, get, real};

const PART: &str = "a token for a part of the listener";
const BEARING: (&str, &str) = ("authorization", "Bearer a token for a part of the listener");

fn stage<'a>(permissions: impl IntoIterator<Item = &'a str>) -> Stage {
    let permissions = permissions.into_iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let part = AdminToken { name: "part".into(), token: Secret::new(PART.into()), permissions };
    Stage::with(Some(TOKEN), "127.0.0.1:8351", None, vec![part])
}

#[test]
fn every_endpoint_names_a_permission_that_there_is_and_each_is_asked_for() {
    let asked: BTreeSet<&str> = ENDPOINTS
        .iter()
        .filter(|(method, path, access, permission)| {
            assert_eq!(*access == Access::Open, permission.is_empty(), "{method} {path}");
            *access != Access::Open
        })
        .map(|(.., permission)| *permission)
        .collect();
    assert_eq!(asked, ADMIN_PERMISSIONS.iter().copied().collect());
}

#[tokio::test]
async fn a_token_opens_what_it_has_the_permission_for_and_nothing_else() {
    for (method, path, access, permission) in ENDPOINTS {
        if *access == Access::Open {
            continue;
        }
        let status = async |stage: Stage| {
            let ask = Ask { method, path: &real(path), headers: &[BEARING], peer: Some(LOCAL), body: "" };
            stage.ask(ask).await.status
        };
        let others = ADMIN_PERMISSIONS.iter().copied().filter(|other| other != permission);
        assert_eq!(status(stage(others)).await, StatusCode::FORBIDDEN, "{method} {path} without `{permission}`");
        for granted in [permission, &*format!("{}.*", permission.split('.').next().unwrap()), "*"] {
            let met = status(stage([granted])).await;
            assert!(
                !matches!(met, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED),
                "{method} {path} {granted}: {met}"
            );
        }
    }
}

#[tokio::test]
async fn a_login_may_what_its_token_may_and_the_audit_says_whose_it_is() {
    let stage = stage(["page.read", "blocks.read"]);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "token=a+token+for+a+part+of+the+listener";
    let answer = stage.ask(Ask { method: "POST", headers: &form, body, ..get("/login") }).await;
    let cookie = answer.header(header::SET_COOKIE).split(';').next().unwrap().to_owned();
    let with = [("cookie", cookie.as_str())];
    for (path, status) in [("/", 200), ("/api/security/blocks", 200), ("/api/security/keys", 403)] {
        assert_eq!(stage.ask(Ask { headers: &with, ..get(path) }).await.status.as_u16(), status, "{path}");
    }
    let refused = stage.ask(Ask { method: "POST", headers: &with, ..get("/api/reload") }).await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.text.contains("config.reload"), "{}", refused.text);
    let recorded: Vec<String> = stage.recorded().into_iter().map(|event| event.detail).collect();
    assert!(recorded.iter().any(|detail| detail.contains("by login `part`")), "{recorded:?}");
    assert!(recorded.iter().any(|detail| detail.contains("lacks the permission")), "{recorded:?}");
    assert!(recorded.iter().all(|detail| !detail.contains(PART)), "{recorded:?}");
}
