//! `token issue|decode|verify`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::{Folder, program, run, run_with_input};

const SECRET: &str = "an-honest-secret-of-32-bytes-or-more";

fn issue(folder: &Folder, flags: &[&str]) -> String {
    let secret = folder.file("jwt.secret", &format!("{SECRET}\n"));
    let said = run(folder, &[&["token", "issue", "--secret-file", &secret, "--subject", "u1"], flags].concat()).ends(0);
    assert!(!said.out.contains(SECRET) && said.err.is_empty());
    said.out.trim().to_owned()
}

#[test]
fn an_issued_token_says_what_was_asked_and_verifies() {
    let folder = Folder::new();
    let flags = [
        "--role", "user", "--role", "admin", "--tenant", "acme", "--ttl", "2h", "--claim", "plan=pro", "--claim",
        "level=3", "--key-id", "k1",
    ];
    let token = issue(&folder, &flags);
    let decoded = run(&folder, &["token", "decode", &token, "--json"]).ends(0).json();
    let claims = &decoded["claims"];
    assert_eq!(decoded["header"]["kid"], "k1");
    assert_eq!(decoded["verified"], false);
    assert_eq!(
        (claims["sub"].as_str(), claims["tenant"].as_str(), claims["plan"].as_str()),
        (Some("u1"), Some("acme"), Some("pro"))
    );
    assert_eq!((claims["roles"].clone(), claims["level"].clone()), (serde_json::json!(["user", "admin"]), 3.into()));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 7200);
    let verified = run(&folder, &["token", "verify", &token, "--secret-file", "jwt.secret", "--json"]).ends(0).json();
    assert_eq!((verified["valid"].clone(), verified["principal"]["subject"].clone()), (true.into(), "u1".into()));
}

#[test]
fn text_output_reads_and_never_claims_to_have_verified() {
    let folder = Folder::new();
    let token = issue(&folder, &[]);
    let said = run_with_input(&folder, &["token", "decode"], &format!("{token}\n")).ends(0).out;
    assert!(said.contains("(not verified)") && said.contains("expires"), "{said}");
    let said = run_with_input(&folder, &["token", "verify", "-", "--secret-file", "jwt.secret"], &token).ends(0).out;
    assert!(said.starts_with("valid\n") && said.contains("u1"), "{said}");
}

#[test]
fn a_token_that_does_not_verify_gives_one_and_the_reason() {
    let folder = Folder::new();
    let token = issue(&folder, &[]);
    let other = folder.file("other.secret", "another-secret-of-thirty-two-bytes!");
    let said = run(&folder, &["token", "verify", &token, "--secret-file", &other, "--json"]).ends(1);
    assert_eq!((said.json()["valid"].clone(), said.json()["reason"].clone()), (false.into(), "token_signature".into()));
    let cases = [
        (vec!["token", "verify", "abc", "--secret-file", "jwt.secret"], "credential_invalid"),
        (vec!["token", "verify", &token, "--secret-file", "jwt.secret", "--algorithm", "HS512"], "token_algorithm"),
    ];
    for (arguments, reason) in cases {
        assert!(run(&folder, &arguments).ends(1).err.contains(reason), "{arguments:?}");
    }
    run(&folder, &["token", "decode", "abc"]).ends(1);
}

#[test]
fn a_configuration_verifies_as_the_gateway_would() {
    let folder = Folder::new();
    let config = "environment: development\nupstream: ws://127.0.0.1:1\nidentity:\n  keys: [{ algorithm: HS256, secret_file: jwt.secret }]\n  audiences: [here]\n";
    folder.file("gate.yaml", config);
    let (here, there) = (issue(&folder, &["--audience", "here"]), issue(&folder, &["--audience", "there"]));
    run(&folder, &["token", "verify", &here, "--config", "gate.yaml"]).ends(0);
    assert!(run(&folder, &["token", "verify", &there, "--config", "gate.yaml"]).ends(1).err.contains("token_audience"));
}

#[test]
fn a_secret_may_come_from_the_environment() {
    let folder = Folder::new();
    let mut command = program(&folder.0);
    let output =
        command.args(["token", "issue", "--secret-env", "JWT", "--subject", "u"]).env("JWT", SECRET).output().unwrap();
    let said = support::Said::from(output).ends(0);
    assert_eq!(said.out.trim().split('.').count(), 3);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let folder = Folder::new();
    folder.file("jwt.secret", SECRET);
    folder.file("short.secret", "short");
    folder.file("weak.secret", "weak-but-sixteen");
    let issue = |more: &[&str]| run(&folder, &[&["token", "issue", "--subject", "u"], more].concat());
    assert!(issue(&[]).ends(2).err.contains("--secret-file"));
    issue(&["--secret-file", "missing"]).ends(4);
    issue(&["--secret-env", "NOT_SET"]).ends(4);
    assert!(issue(&["--secret-file", "short.secret"]).ends(2).err.contains("16"));
    let weak = issue(&["--secret-file", "weak.secret"]);
    assert_eq!(weak.code, 0);
    assert!(weak.err.contains("warning") && !weak.err.contains("weak-but"), "{}", weak.err);
    issue(&["--secret-file", "jwt.secret", "--algorithm", "ES256"]).ends(2);
    issue(&["--secret-file", "jwt.secret", "--claim", "sub=other"]).ends(2);
    issue(&["--secret-file", "jwt.secret", "--claim", "nothing"]).ends(2);
    issue(&["--secret-file", "jwt.secret", "--secret-env", "X"]).ends(2);
    run(&folder, &["token", "verify", "a.b.c"]).ends(2);
}
