//! `inspect`: messages through a policy, a verdict a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::{Folder, run, run_with_input};

const LINES: &str = r#"{"id":"m1","class":"benign","payload":"see you at 5, O'Brien"}
{"id":"m2","class":"sqli","payload":"x' or 1=1 --"}
{"id":"m3","class":"xss","payload":"<img src=x onerror=alert(1)>"}
"#;

fn verdicts(out: &str) -> Vec<serde_json::Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn payloads_are_judged_by_the_production_preset_and_named_by_their_id() {
    let folder = Folder::new();
    let file = folder.file("corpus.jsonl", LINES);
    let said = run(&folder, &["inspect", "--field", "payload", "--id", "id", "--summary", &file]).ends(0);
    let found: Vec<_> = verdicts(&said.out)
        .iter()
        .map(|line| (line["id"].as_str().unwrap().to_owned(), line["blocked"].as_bool().unwrap()))
        .collect();
    assert_eq!(found, [("m1".into(), false), ("m2".into(), true), ("m3".into(), true)]);
    let second = &verdicts(&said.out)[1]["findings"][0];
    assert_eq!((&second["reason"], &second["field"]), (&"threat_sqli".into(), &"/text".into()));
    assert!(said.err.contains("3 messages, 2 blocked") && said.err.contains("false positives"), "{}", said.err);
}

#[test]
fn a_line_that_is_the_message_itself_is_judged_as_the_gateway_would() {
    let folder = Folder::new();
    let input = "{\"a\":1}\n{\"a\":1,\"a\":2}\n{\"a\":\nhello\n";
    let said = run_with_input(&folder, &["inspect"], input).ends(0);
    let found: Vec<_> = verdicts(&said.out).iter().map(|line| line["blocked"].as_bool().unwrap()).collect();
    assert_eq!(found, [false, true, true, false], "an object, a duplicate key, a broken object, plain text");
    assert_eq!(verdicts(&said.out)[1]["id"], 2, "the line's number");
}

#[test]
fn a_policy_decides_and_what_is_only_observed_is_not_blocked() {
    let folder = Folder::new();
    let policy = "upstream: ws://127.0.0.1:9\nenvironment: development\n\
                  messages: { inbound: { envelope: { required: [/type], types: [chat], timestamp_tolerance: 5s } } }\n";
    let file = folder.file("portcullis.yaml", policy);
    let input = "{\"type\":\"chat\",\"text\":\"x' or 1=1 --\"}\n{\"type\":\"other\"}\n";
    let said = run_with_input(&folder, &["inspect", "--config", &file], input).ends(0);
    let [observed, refused] = &verdicts(&said.out)[..] else { panic!("{}", said.out) };
    assert_eq!((&observed["blocked"], &observed["findings"][0]["outcome"]), (&false.into(), &"observe".into()));
    assert_eq!((&refused["blocked"], &refused["findings"][0]["reason"]), (&true.into(), &"type_refused".into()));
}

#[test]
fn what_cannot_be_read_is_named_by_its_line_and_ends_with_one() {
    let folder = Folder::new();
    let input = "{\"p\":\"fine\"}\n{broken\n{\"q\":1}\n";
    let said = run_with_input(&folder, &["inspect", "--field", "p"], input).ends(1);
    assert_eq!(verdicts(&said.out).len(), 1, "the other lines are judged");
    assert!(said.err.contains("-:2:2: not JSON: key must be a string\n"), "{}", said.err);
    assert!(said.err.contains("-:3: the line has no `p`"), "{}", said.err);
    let said = run_with_input(&folder, &["inspect", "--id", "id"], "  {\"id\": nul}\n").ends(1);
    assert!(said.err.contains("-:1:13: not JSON: expected ident\n"), "{}", said.err);
    run(&folder, &["inspect", "nowhere.jsonl"]).ends(4);
    let said = run_with_input(&folder, &["inspect", "--route", "nope"], "").ends(2);
    assert!(said.err.contains("no route is named `nope`"), "{}", said.err);
}

#[test]
fn a_folder_is_judged_file_by_file_and_its_table_covers_both_directions() {
    let folder = Folder::new();
    let corpus = folder.0.join("corpus");
    std::fs::create_dir(&corpus).unwrap();
    let outbound = r#"{"id":"m4","class":"exfil","payload":"AKIAIOSFODNN7EXAMPL2"}"#;
    for (name, text) in [("b.jsonl", LINES), ("a.ndjson", outbound), ("README.md", "not lines")] {
        std::fs::write(corpus.join(name), text).unwrap();
    }
    let told = ["inspect", "--field", "payload", "--id", "id", "--summary", "--outbound-class", "exfil", "corpus"];
    let said = run(&folder, &told).ends(0);
    let found: Vec<_> = verdicts(&said.out).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, ["m4", "m1", "m2", "m3"]);
    assert!(said.err.contains("true positives, all                          1.0000"), "{}", said.err);
    let leak = &verdicts(&said.out)[0]["findings"][0];
    assert_eq!((&leak["field"], &leak["rule"]), (&"/text".into(), &"credential/an-aws-access-key".into()));
    assert_eq!(leak["bytes"], serde_json::json!([23, 43]));
    assert_eq!(leak["page"], "docs/threats.md#credential");
    std::fs::create_dir(folder.0.join("empty")).unwrap();
    let said = run(&folder, &["inspect", "empty"]).ends(4);
    assert!(said.err.contains("the folder `empty` holds no file `*.jsonl`"), "{}", said.err);
}

#[test]
fn a_message_past_the_policys_size_is_refused_as_the_codec_would() {
    let folder = Folder::new();
    let input = format!("{{\"text\":\"{}\"}}\n", "a".repeat(100));
    let said = run_with_input(&folder, &["inspect", "--set", "messages.inbound.bytes_max=100"], &input).ends(0);
    let line = &verdicts(&said.out)[0];
    assert_eq!((&line["blocked"], &line["findings"][0]["reason"]), (&true.into(), &"message_too_large".into()));
}

#[test]
fn a_caller_has_the_roles_and_permissions_that_the_flags_say() {
    let folder = Folder::new();
    let policy = "upstream: ws://127.0.0.1:9\naccess: { roles: { user: { allow: [chat.write] } } }\n\
                  messages: { inbound: { permissions: { chat.send: chat.write } } }\n";
    let file = folder.file("portcullis.yaml", policy);
    for (flags, blocked) in [
        (&[][..], true),
        (&["--role", "guest"], true),
        (&["--role", "guest", "--role", "admin"], false),
        (&["--permission", "chat.*"], false),
    ] {
        let told = [&["inspect", "--config", &file], flags].concat();
        let said = run_with_input(&folder, &told, "{\"type\":\"chat.send\"}\n").ends(0);
        assert_eq!(verdicts(&said.out)[0]["blocked"], blocked, "{flags:?}: {}", said.out);
        assert_eq!(said.out.contains("permission_denied"), blocked, "{flags:?}: {}", said.out);
    }
}

#[test]
fn a_guest_a_user_and_one_with_a_second_factor_are_three_callers() {
    let folder = Folder::new();
    let policy = "upstream: ws://127.0.0.1:9\n\
                  messages: { inbound: { guest_types: [ping], mfa_types: [pay] } }\n";
    let file = folder.file("portcullis.yaml", policy);
    let input = "{\"type\":\"ping\"}\n{\"type\":\"chat\"}\n{\"type\":\"pay\"}\n";
    for (flags, blocked) in
        [(&[][..], [false, true, true]), (&["--role", "user"], [false, false, true]), (&["--mfa"], [false; 3])]
    {
        let told = [&["inspect", "--config", &file], flags].concat();
        let said = run_with_input(&folder, &told, input).ends(0);
        let found: Vec<_> = verdicts(&said.out).iter().map(|line| line["blocked"].as_bool().unwrap()).collect();
        assert_eq!(found, blocked, "{flags:?}: {}", said.out);
    }
}

#[test]
fn a_caller_of_one_tenant_sends_nothing_to_another() {
    let folder = Folder::new();
    let policy = "upstream: ws://127.0.0.1:9\nmessages: { inbound: { envelope: { tenant: [/tenant] } } }\n";
    let file = folder.file("portcullis.yaml", policy);
    let input = "{\"tenant\":\"acme\"}\n{\"tenant\":\"other\"}\n";
    let said = run_with_input(&folder, &["inspect", "--config", &file, "--tenant", "acme"], input).ends(0);
    let [own, other] = &verdicts(&said.out)[..] else { panic!("{}", said.out) };
    assert_eq!(own["blocked"], false);
    assert_eq!(
        (&other["findings"][0]["reason"], &other["findings"][0]["outcome"]),
        (&"tenant_crossing".into(), &"close".into())
    );
}

#[test]
fn each_message_is_judged_alone_however_many_were_refused_before_it() {
    let folder = Folder::new();
    for preset in ["production", "high-security"] {
        let attack = |n: usize| format!("{{\"id\":{n},\"payload\":\"x' or 1=1 --\"}}\n");
        let input: String =
            (0..300).map(attack).chain(["{\"id\":300,\"payload\":\"good morning\"}\n".into()]).collect();
        let said =
            run_with_input(&folder, &["inspect", "--preset", preset, "--field", "payload", "--id", "id"], &input);
        let verdicts = verdicts(&said.ends(0).out);
        assert_eq!(verdicts.last().unwrap()["blocked"], false, "{preset}: {}", verdicts.last().unwrap());
        assert!(verdicts[..300].iter().all(|line| line["findings"][0]["reason"] == "threat_sqli"), "{preset}");
    }
}
