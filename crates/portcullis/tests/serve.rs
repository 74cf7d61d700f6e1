//! `serve` and the demo: a real program, real sockets, real signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::live::{Heard, Live, Socket, eventually, get, handshake_status};
use support::{Folder, run};

/// A route that nobody answers behind: 502 when it is known, 404 when it is not.
fn policy(path: &str) -> String {
    format!(
        "environment: development\nstate: {{ dir: state }}\nroutes:\n  - {{ path: {path}, upstream: 'ws://127.0.0.1:1' }}\n"
    )
}

fn demo(folder: &Folder) -> (Live, String) {
    let mut live = Live::start(folder, &["demo", "--state", "demo-state"], "log");
    let token = live.line_with("a token for").split_whitespace().last().unwrap().to_owned();
    (live, token)
}

fn bearer(token: &str) -> String {
    format!("Sec-WebSocket-Protocol: bearer, {token}\r\n")
}

fn chat(id: &str, text: &str) -> String {
    serde_json::json!({ "type": "chat", "id": id, "text": text }).to_string()
}

#[test]
fn the_demo_shows_its_page_lets_honest_words_pass_and_explains_what_it_refuses() {
    let folder = Folder::new();
    let (live, token) = demo(&folder);
    assert!(get(&live.gateway, "/").contains("A chat behind a gate"));
    assert!(get(&live.gateway, "/session.json").contains(&token));

    let mut socket = Socket::open(&live.gateway, "/ws", &bearer(&token))
        .map_err(|status| status.to_string())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(socket.hear_json()["you"], "visitor");
    socket.say(&chat("1", "Shall we select a table from the menu; drop by at 8?"));
    assert_eq!(socket.hear_json()["from"], "visitor");
    socket.say(&chat("2", "../../../../etc/passwd"));
    let refusal = socket.hear_json();
    assert_eq!((refusal["type"].clone(), refusal["code"].clone()), ("error".into(), "threat_traversal".into()));
    socket.say(&chat("3", "still here"));
    assert_eq!(socket.hear_json()["text"], "still here");

    let reference = refusal["reference"].as_str().unwrap();
    eventually("the event is written", || run(&folder, &["explain", reference, "--state", "demo-state"]).code == 0);
    let said = run(&folder, &["explain", reference, "--state", "demo-state"]).ends(0).out;
    assert!(said.contains("threat_traversal") && said.contains("visitor"), "{said}");
}

#[test]
fn the_demos_door_refuses_with_codes_that_a_browser_reads() {
    let folder = Folder::new();
    let (live, token) = demo(&folder);
    let refused =
        |path: &str, headers: &str| Socket::open(&live.gateway, path, headers).ok().map(|mut socket| socket.hear());
    assert_eq!(refused("/ws", ""), Some(Heard::Close(Some(4001))));
    assert_eq!(refused("/ws", &bearer(&token.replace('.', ".A"))), Some(Heard::Close(Some(4001))));
    assert_eq!(refused("/ws/somebody-else", &bearer(&token)), Some(Heard::Close(Some(4003))));
    let mut held: Vec<_> = (0..3).map(|_| Socket::open(&live.gateway, "/ws", &bearer(&token)).ok().unwrap()).collect();
    for socket in &mut held {
        assert_eq!(socket.hear_json()["type"], "welcome");
    }
    assert_eq!(refused("/ws", &bearer(&token)), Some(Heard::Close(Some(4008))));
}

#[test]
fn a_flood_is_refused_beyond_the_burst_and_the_socket_stays() {
    let folder = Folder::new();
    let (live, token) = demo(&folder);
    let mut socket = Socket::open(&live.gateway, "/ws", &bearer(&token)).ok().unwrap();
    socket.hear_json();
    for number in 0..200 {
        socket.say(&chat(&number.to_string(), "flood"));
    }
    let heard: Vec<_> = (0..200).map(|_| socket.hear_json()).collect();
    let refused = heard.iter().filter(|message| message["code"] == "message_rate").count();
    let passed = heard.iter().filter(|message| message["type"] == "chat").count();
    assert!(passed >= 40 && refused >= 100, "{passed} passed, {refused} refused");
}

#[test]
fn a_change_of_the_file_takes_effect_and_a_wrong_one_does_not() {
    let folder = Folder::new();
    let file = folder.file("gate.yaml", &policy("/old"));
    let live = Live::start(&folder, &["serve", "--config", &file], "log");
    assert_eq!((handshake_status(&live.gateway, "/old"), handshake_status(&live.gateway, "/new")), (502, 404));
    folder.file("gate.yaml", &policy("/new"));
    eventually("the new route is in force", || handshake_status(&live.gateway, "/new") == 502);
    assert_eq!(handshake_status(&live.gateway, "/old"), 404);
    folder.file("gate.yaml", "routess: []\n");
    eventually("the mistake is told", || folder.read("log").contains("routess"));
    assert_eq!(handshake_status(&live.gateway, "/new"), 502);
}

#[test]
fn a_hangup_reloads_what_no_file_says() {
    let folder = Folder::new();
    let file = folder.file("gate.yaml", &policy("/old"));
    let live = Live::start(&folder, &["serve", "--config", &file], "log");
    live.signal("HUP");
    eventually("it reloads", || folder.read("log").contains("SIGHUP"));
    assert_eq!(handshake_status(&live.gateway, "/old"), 502);
}

#[test]
fn terminate_drains_and_ends_well() {
    let folder = Folder::new();
    let (mut live, token) = demo(&folder);
    let mut socket = Socket::open(&live.gateway, "/ws", &bearer(&token)).ok().unwrap();
    socket.hear_json();
    live.signal("TERM");
    assert!(matches!(socket.hear(), Heard::Close(Some(1001 | 1012))));
    drop(socket);
    assert_eq!(live.ends(), 0);
    let said = run(&folder, &["audit", "search", "--state", "demo-state", "--type", "stopped"]);
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn a_taken_address_is_told_and_gives_four() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said =
        run(&folder, &["serve", "--upstream", "ws://127.0.0.1:1", "--listen", &address, "--admin", "127.0.0.1:0"])
            .ends(4);
    assert!(said.err.contains(&address), "{}", said.err);
    assert!(said.out.is_empty(), "{}", said.out);
}

#[test]
fn logs_are_json_where_asked_and_hold_no_token() {
    let folder = Folder::new();
    let arguments = ["demo", "--state", "demo-state", "--log-format", "json", "--log-level", "debug"];
    let mut live = Live::start(&folder, &arguments, "log");
    let token = live.line_with("a token for").split_whitespace().last().unwrap().to_owned();
    for (path, headers) in [("/ws", bearer(&token)), (&*format!("/ws?token={token}"), String::new())] {
        let mut socket = Socket::open(&live.gateway, path, &headers).ok().unwrap();
        assert_eq!(socket.hear_json()["type"], "welcome");
    }
    eventually("something is logged", || folder.read("log").contains('\n'));
    let log = folder.read("log");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let signature = token.rsplit('.').next().unwrap();
    assert!(!log.contains(signature), "a token is in the log");
    assert!(get(&live.admin, "/metrics").contains("portcullis_"), "metrics are served");
}
