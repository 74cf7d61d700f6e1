//! `portcullis access`: the table of the example, kept in the repository, and its flags.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;

use support::{Folder, Said, program, run};

fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"))
}

fn access(arguments: &[&str]) -> Said {
    let mut command = program(examples());
    command.env("JWT_SECRET", "x".repeat(32)).args(["access", "--config", "access.yaml"]).args(arguments);
    command.output().unwrap().into()
}

/// The review of a change of access is the change of this file.
/// To renew it: `PORTCULLIS_RENEW=1 cargo test -p portcullis --test access`.
#[test]
fn the_table_of_the_example_is_the_one_that_was_reviewed() {
    let made = access(&[]).ends(0).out;
    let kept = examples().join("access.matrix.txt");
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        std::fs::write(&kept, &made).unwrap();
    }
    assert_eq!(made, std::fs::read_to_string(&kept).unwrap_or_default(), "examples/access.matrix.txt is out of date");
}

/// The same for the profiles: `profiles/NAME.matrix.txt` beside `profiles/NAME.yaml`.
#[test]
fn the_tables_of_the_profiles_are_the_ones_that_were_reviewed() {
    let (folder, own) = (examples().join("../profiles"), Folder::new());
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|kind| kind == "yaml"));
    assert!(!names.is_empty());
    for config in names {
        let mut command = program(&folder);
        for secret in ["JWT_SECRET", "AUTHORIZER_TOKEN", "CSRF_SECRET", "ADMIN_TOKEN"] {
            command.env(secret, "x".repeat(32));
        }
        command.args(["access", "--config"]).arg(&config);
        if config.ends_with("team-chat.yaml") {
            command.arg("--set").arg(format!("sealing.keys[0].passphrase_file={}", own.file("p", &"x".repeat(32))));
        }
        let made = Said::from(command.output().unwrap()).ends(0).out;
        let kept = config.with_extension("matrix.txt");
        if std::env::var_os("PORTCULLIS_RENEW").is_some() {
            std::fs::write(&kept, &made).unwrap();
        }
        assert_eq!(made, std::fs::read_to_string(&kept).unwrap_or_default(), "{} is out of date", kept.display());
    }
}

#[test]
fn the_manual_shows_what_the_program_prints() {
    let manual = std::fs::read_to_string(examples().join("../docs/access.md")).unwrap();
    let shown = access(&["--route", "room"]).ends(0).out;
    assert!(manual.contains(&shown), "docs/access.md is out of date:\n{shown}");
}

#[test]
fn a_line_of_json_names_the_role_the_decision_and_the_rule() {
    let cells = access(&["--json", "--role", "contractor", "--route", "room"]).ends(0).json();
    let [cell] = cells.as_array().unwrap().as_slice() else { panic!("{cells}") };
    assert_eq!(
        (cell["action"].as_str(), cell["decision"].as_str(), cell["rule"].as_str()),
        (Some("connect"), Some("partly"), Some("user allows room.join:*, but not vault"))
    );
}

#[test]
fn a_name_that_is_not_there_is_answered_with_those_that_are() {
    for (flag, known) in [("--role", "`contractor`"), ("--route", "`lobby`")] {
        let said = access(&[flag, "nobody"]).ends(2);
        assert!(said.err.contains("nobody") && said.err.contains(known), "{}", said.err);
    }
}

#[test]
fn without_a_file_the_usual_one_is_read_and_a_broken_one_is_refused_with_its_place() {
    let folder = Folder::new();
    run(&folder, &["access"]).ends(3);
    folder.file("portcullis.yaml", "upstream: ws://127.0.0.1:3000\n");
    assert!(run(&folder, &["access"]).ends(0).out.starts_with("ROUTE"));
    folder.file("portcullis.yaml", "upstream: ws://127.0.0.1:3000\naccess: { roles: { a: { inherits: [b] } } }\n");
    assert!(run(&folder, &["access"]).ends(3).err.contains("portcullis.yaml:2:"));
}
