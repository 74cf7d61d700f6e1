//! `check` and `init`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use support::{Folder, run, run_with_input};

const GOOD: &str = "environment: development\nupstream: ws://127.0.0.1:3000\n";
/// A typed secret that must never be shown.
const HUNTER: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

#[test]
fn a_good_file_passes_and_says_so() {
    let folder = Folder::new();
    let file = folder.file("gate.yaml", GOOD);
    assert!(run(&folder, &["check", &file]).ends(0).out.contains("valid, 1 route"));
    let findings = run(&folder, &["check", &file, "--json"]).ends(0).json();
    assert_eq!(findings["valid"], true);
}

#[test]
fn an_error_names_file_line_column_and_the_nearest_key() {
    let folder = Folder::new();
    let file = folder.file("gate.yaml", &format!("{GOOD}listen:\n  adress: 127.0.0.1:1\n"));
    let said = run(&folder, &["check", &file]).ends(3);
    for part in [&format!("{file}:4:3") as &str, "`adress`", "`address`", "adress: 127.0.0.1:1", "^^^"] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = run(&folder, &["check", &file, "--json"]).ends(3);
    assert_eq!(
        (said.json()["valid"].clone(), said.json()["errors"][0]["location"]["line"].clone()),
        (false.into(), 4.into())
    );
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let folder = Folder::new();
    let file = folder.file("gate.yaml", &format!("{GOOD}origins: {{ allow: ['*'] }}\n"));
    assert!(run(&folder, &["check", &file]).ends(0).out.contains("warning["));
    run(&folder, &["check", &file, "--deny-warnings"]).ends(1);
}

#[test]
fn what_cannot_be_read_is_a_refusal_with_a_reason() {
    let folder = Folder::new();
    assert!(run(&folder, &["check", "missing.yaml"]).ends(3).err.contains("`missing.yaml`"));
    std::fs::write(folder.0.join("latin.yaml"), b"a: \xe9").unwrap();
    assert!(run(&folder, &["check", "latin.yaml"]).ends(3).err.contains("UTF-8"));
    run(&folder, &["check", "."]).ends(3);
}

#[test]
fn a_secret_in_the_file_is_never_shown() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}identity:\n  keys: [{{ algorithm: HS255, secret: {HUNTER} }}]\nadmin:\n  token: {HUNTER}\n  tokn: x\n"
    );
    let file = folder.file("gate.yaml", &text);
    for flags in [vec!["check", &file], vec!["check", &file, "--json"], vec!["serve", "--config", &file]] {
        let said = run(&folder, &flags).ends(3);
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{}{}", said.out, said.err);
    }
}

#[test]
fn production_needs_decisions_and_says_which() {
    let folder = Folder::new();
    let said = run(&folder, &["serve", "--upstream", "ws://127.0.0.1:3000", "--preset", "production"]).ends(3);
    assert!(said.err.contains("identity") && said.err.contains("tls"), "{}", said.err);
}

#[test]
fn what_init_writes_passes_check() {
    let https = ["--proxy", "10.0.0.0/8"];
    let cases: [&[&str]; 5] = [
        &[],
        &[
            "--upstream",
            "wss://chat.internal:443/base",
            "--path",
            "/ws/{user_id}",
            "--path",
            "/live",
            "--origin",
            "https://*.example.com",
        ],
        &["--auth", "none"],
        &["--auth", "jwks", "--jwks-url", "https://id.example.com/jwks.json"],
        &[&["--environment", "production"] as &[&str], &https].concat(),
    ];
    for flags in cases {
        let folder = Folder::new();
        let said = run(&folder, &[&["init"], flags].concat()).ends(0);
        assert!(said.out.contains("wrote portcullis.yaml"), "{flags:?}");
        run(&folder, &["check", "portcullis.yaml"]).ends(0);
    }
}

#[test]
fn init_makes_a_secret_for_its_owner_alone_and_does_not_print_it() {
    let folder = Folder::new();
    let said = run(&folder, &["init"]).ends(0);
    let secret = folder.read("portcullis.secret");
    assert_eq!(secret.len(), 64);
    let mode = std::fs::metadata(folder.0.join("portcullis.secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!said.out.contains(&secret) && !said.err.contains(&secret));
    assert!(!folder.read("portcullis.yaml").contains(&secret));
    run(&folder, &["init", "--force"]).ends(0);
    assert_eq!(folder.read("portcullis.secret"), secret, "a secret is never replaced");
}

#[test]
fn init_keeps_what_is_there_unless_forced() {
    let folder = Folder::new();
    folder.file("portcullis.yaml", "mine");
    assert!(run(&folder, &["init"]).ends(4).err.contains("--force"));
    assert_eq!(folder.read("portcullis.yaml"), "mine");
    run(&folder, &["init", "--force"]).ends(0);
    run(&folder, &["check", "portcullis.yaml"]).ends(0);
}

#[test]
fn init_writes_nothing_when_the_answers_are_wrong() {
    let cases: [(&[&str], i32); 4] = [
        (&["--upstream", "nonsense"], 3),
        (&["--path", "/a/{b", "--auth", "secret"], 3),
        (&["--auth", "jwks"], 2),
        (&["--environment", "production"], 2),
    ];
    for (flags, code) in cases {
        let folder = Folder::new();
        run(&folder, &[&["init"], flags].concat()).ends(code);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "{flags:?}");
    }
}

#[test]
fn init_asks_nothing_where_nobody_can_answer() {
    let folder = Folder::new();
    let said = run_with_input(&folder, &["init", "--json"], "").ends(0);
    assert_eq!(said.json()["file"], "portcullis.yaml");
    assert!(!said.err.contains('?'), "{}", said.err);
}
