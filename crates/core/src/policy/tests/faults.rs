//! Every fault is told with its place and what to do.

mod keys;
mod limits;
mod routes;
mod values;
mod written;

use super::{PRODUCTION, load_furnished};

/// Text → message, `line:column` (empty where nothing was written), key, a part of the help.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CASES: &[&[Case]] = &[written::CASES, values::CASES, keys::CASES, routes::CASES, limits::CASES];

#[test]
fn each_fault_has_its_place_and_a_way_out() {
    for (text, message, place, key, help) in CASES.iter().copied().flatten() {
        let errors = load_furnished(text).map(|_| ()).expect_err(text);
        let [error] = errors.0.as_slice() else { panic!("one error for {text:?}:\n{errors}") };
        let at = error.location.as_ref().map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
        assert_eq!((error.message.as_str(), at.as_str(), error.key.as_str()), (*message, *place, *key), "{text}");
        assert!(error.help.contains(help), "{text}\n{error}");
    }
}

#[test]
fn several_faults_are_told_together_in_the_order_of_the_text() {
    let text = "\
listn: { address: 1 }
routes:
  - path: /ws/{user_id}
    upstream: ftp://x
    inbound: { bytes_max: -1, json: { mode: abc } }
audit:
  retention: soon
  retenton: 5
";
    let shown = load_furnished(text).map(|_| ()).expect_err("five faults").to_string();
    let expected = "\
error: unknown key `listn` at the top
 --> portcullis.yaml:1:1
  |
1 | listn: { address: 1 }
  | ^^^^^
  = key: listn
  = help: did you mean `listen`?

error: `ftp://x` is not a backend's URL: the scheme is not `ws`, `wss`, `http` or `https`
 --> portcullis.yaml:4:15
  |
4 |     upstream: ftp://x
  |               ^^^^^^^
  = key: routes[0].upstream
  = help: write `ws://127.0.0.1:3000` or `wss://backend.example/prefix`

error: `-1` is not a size
 --> portcullis.yaml:5:27
  |
5 |     inbound: { bytes_max: -1, json: { mode: abc } }
  |                           ^^
  = key: routes[0].inbound.bytes_max
  = help: write a number of bytes, or a number and a unit: `512`, `16KiB`, `1MiB`, `2GiB`

error: `abc` is not known here
 --> portcullis.yaml:5:45
  |
5 |     inbound: { bytes_max: -1, json: { mode: abc } }
  |                                             ^^^
  = key: routes[0].inbound.json.mode
  = help: it may be `required`, `detect`, `off`

error: `soon` is not a duration
 --> portcullis.yaml:7:14
  |
7 |   retention: soon
  |              ^^^^
  = key: audit.retention
  = help: write a whole number and a unit: `250ms`, `30s`, `5m`, `1h`, `90d`

error: unknown key `retenton` in `audit`
 --> portcullis.yaml:8:3
  |
8 |   retenton: 5
  |   ^^^^^^^^
  = key: audit.retenton
  = help: did you mean `retention`?
";
    assert_eq!(shown, expected);
}

#[test]
fn production_says_exactly_what_it_lacks() {
    for name in ["production", "high-security"] {
        let text = format!("environment: {name}\nupstream: ws://127.0.0.1:3000\n");
        let errors = load_furnished(&text).map(|_| ()).expect_err("it lacks two things");
        let shown = errors.to_string();
        assert_eq!(errors.0.len(), 2, "{shown}");
        for part in ["identity.keys", "--set listen.tls_terminated_by_proxy=true", "listen.tls.certificate", "jwks"] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }
    assert!(load_furnished(PRODUCTION).is_ok());
}

#[test]
fn errors_are_data_too() {
    let errors = load_furnished("upstream: ftp://x").map(|_| ()).expect_err("no such scheme");
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(json[0]["location"]["line"], 1);
    assert_eq!(json[0]["location"]["file"], "portcullis.yaml");
    assert_eq!(json[0]["key"], "upstream");
}
