//! What the program says about itself, and the manual pages made from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;

use portcullis_core::verdict::Reason;
use support::{Folder, run};

const COMMANDS: [&str; 10] =
    ["serve", "demo", "check", "access", "init", "token", "audit", "explain", "verdicts", "completions"];

#[test]
fn help_teaches_with_examples_and_exit_codes() {
    let folder = Folder::new();
    let help = run(&folder, &["--help"]).ends(0).out;
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    for command in COMMANDS {
        assert!(help.contains(command), "{command}");
        run(&folder, &[command, "--help"]).ends(0);
    }
    for command in [
        vec!["serve"],
        vec!["check"],
        vec!["access"],
        vec!["init"],
        vec!["token", "issue"],
        vec!["token", "verify"],
        vec!["audit", "search"],
        vec!["explain"],
    ] {
        let help = run(&folder, &[command.as_slice(), &["--help"]].concat()).ends(0).out;
        assert!(help.contains("Examples:"), "{command:?}");
    }
}

#[test]
fn a_wrong_command_line_gives_two() {
    let folder = Folder::new();
    for wrong in [
        vec!["servee"],
        vec!["serve", "--listen", "nowhere"],
        vec!["serve", "--preset", "prod1"],
        vec!["audit", "search", "--severity", "awful"],
        vec!["audit", "search", "--type", "nothing"],
        vec!["token", "issue", "--subject", "u", "--ttl", "soon"],
        vec!["completions", "cmd"],
        vec!["check"],
    ] {
        let said = run(&folder, &wrong).ends(2);
        assert!(said.out.is_empty(), "{wrong:?}");
    }
}

#[test]
fn the_version_is_the_crates() {
    let said = run(&Folder::new(), &["--version"]).ends(0);
    assert_eq!(said.out.trim(), format!("portcullis {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn verdicts_print_every_reason() {
    let folder = Folder::new();
    assert_eq!(run(&folder, &["verdicts"]).ends(0).out, Reason::table_as_markdown());
    let rows = run(&folder, &["verdicts", "--json"]).ends(0).json();
    assert_eq!(rows.as_array().unwrap().len(), Reason::ALL.len());
}

#[test]
fn the_schema_is_json_and_names_the_sections() {
    let schema = run(&Folder::new(), &["schema"]).ends(0).json();
    for section in ["listen", "identity", "routes", "messages", "audit"] {
        assert!(schema["properties"].get(section).is_some(), "{section}");
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&folder, &["completions", shell]).ends(0).out.contains("verdicts"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = Folder::new();
    let mut child = support::program(&folder.0);
    let mut child = child
        .arg("verdicts")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// To renew the page after a change of the table: `PORTCULLIS_RENEW=1 cargo test -p portcullis --test manual`.
#[test]
fn the_page_of_refusals_is_the_verdict_table() {
    const HEAD: &str = "# Refusals

Why Portcullis refused, closed or noted something. This page is the verdict table of the program
(`portcullis verdicts`), the only place where a reason becomes a close code, a status and words; a test keeps
both equal. `portcullis explain REFERENCE` says which row applied to one refusal, and what was found.

- **close**: the code of the WebSocket Close frame, where the outcome is to close the connection. **4001** not
  authenticated, **4003** forbidden, **4008** too many; the others are those of RFC 6455 7.4.1.
- **HTTP**: the status, where there is no WebSocket yet.
- **a client reads**: the words in production. Where `errors.detailed` is on, clients read what it means.

";
    let page = format!("{HEAD}{}", Reason::table_as_markdown());
    let path = root().join("docs/refusals.md");
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == page, "docs/refusals.md is out of date; see this test");
}

/// Renewed as the page of refusals is.
#[test]
fn the_page_of_threats_names_every_rule() {
    const HEAD: &str = "# Threats

What `threats` looks for in the strings of a message, by class, and what `leaks` does. A finding names its class, its rule (`sqli/a-database-call`),
the field, the string's bytes in the message, the encodings that were undone before it showed, and how sure it is:
`certain` (it stands there as it is), `likely` (after one layer of decoding), `possible` (after more). It never repeats
the string. `portcullis inspect` and `portcullis explain REFERENCE` show all of it. A test keeps this page equal to the
program.

A rule that convicts honest messages is answered where they come from, strictest first: name the field under
`threats.fields` with the class on `observe`; put the field under `skip_fields`; put the class on `observe`.

";
    let mut page = HEAD.to_owned();
    for (class, rules) in portcullis_core::message::threat::RULES {
        let reason = Reason::from_label(&format!("threat_{}", class.label())).unwrap();
        page.push_str(&format!(
            "## {}\n\nConvicts where {}. Reason: `{}`.\n\n",
            class.label(),
            reason.row().internal,
            reason.label()
        ));
        for rule in *rules {
            page.push_str(&format!("- `{}`: {rule}\n", portcullis_core::message::threat::rule_name(*class, rule)));
        }
        page.push('\n');
    }
    for class in portcullis_core::message::leak::LeakClass::ALL {
        let reason = Reason::from_label(&format!("leak_{}", class.label())).unwrap();
        assert_eq!(class.page(), format!("docs/threats.md#{}", class.label()));
        page.push_str(&format!(
            "## {}\n\nOf `leaks`: {}. Reason: `{}`. Each rule, what it finds (the numbers are the least), and a text like it that passes:\n\n",
            class.label(),
            reason.row().internal,
            reason.label(),
        ));
        for rule in portcullis_core::message::leak::rules().iter().filter(|rule| rule.class == class) {
            page.push_str(&format!("- `{}`: {}. Passes: `{}`\n", rule.name(), rule.finds, rule.passes));
        }
        page.push('\n');
    }
    let path = root().join("docs/threats.md");
    // What was measured is written by hand.
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let measured = old.find("\n## How much it sees").and_then(|at| old.get(at..)).unwrap_or_default();
    let page = format!("{}\n{measured}", page.trim_end());
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/threats.md is out of date; see this test"
    );
}

#[test]
fn the_page_of_commands_names_every_command() {
    let page = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    for command in COMMANDS.iter().chain(&["schema"]) {
        assert!(page.contains(&format!("portcullis {command}")), "{command}");
    }
}

#[test]
fn the_example_configuration_passes_check() {
    let folder = Folder::new();
    std::fs::copy(root().join("examples/portcullis.yaml"), folder.0.join("portcullis.yaml")).unwrap();
    let checked = support::program(&folder.0)
        .args(["check", "portcullis.yaml", "--deny-warnings"])
        .env("JWT_SECRET", "x".repeat(32))
        .output()
        .unwrap();
    support::Said::from(checked).ends(0);
}
