//! Each warning appears when it should, with its place, and not otherwise.

use std::collections::BTreeSet;

use super::super::warnings::CODES;
use super::super::{Loaded, Overrides, Source, load};
use super::{PRODUCTION, World, furnished, load_furnished};

/// Text put after [`PRODUCTION`] without its own `identity`, and the codes it earns.
const CASES: &[(&str, &[&str])] = &[
    ("identity: { keys: [{ algorithm: HS256, secret_file: short.secret }] }", &["W001"]),
    ("identity: { keys: [{ algorithm: HS256, secret: 0123456789abcdef0123456789abcdefg }] }", &["W002"]),
    ("identity: { keys: [{ algorithm: HS256, secret_file: jwt.secret }] }\norigins: { allow: ['*'] }", &["W003"]),
    ("identity: { authenticate: off }", &["W005"]),
    ("identity: { authenticate: optional, issuers: [x] }", &["W005", "W009"]),
    ("identity: { authenticate: off, audiences: [x] }", &["W005", "W009"]),
    (
        "identity: { keys: [{ algorithm: HS256, secret_file: jwt.secret }], sessions: { enabled: on, cookie: { secure: off } } }",
        &["W027"],
    ),
    ("identity: { keys: [{ algorithm: HS256, secret_file: jwt.secret }], sessions: { cookie: { secure: off } } }", &[]),
    ("audit: { retention: 89d }", &["W006"]),
    ("audit: { retention: 90d }", &[]),
    ("audit: { enabled: off }", &["W014"]),
    ("sources: { connections_per_ip_max: 10001 }", &["W007"]),
    ("sources: { connections_per_ip_max: 10000 }", &[]),
    ("sources: { connection_rate: 10/min burst 101 }", &["W007"]),
    ("sources: { connection_rate: 10/min burst 100 }", &[]),
    ("messages: { inbound: { bytes_max: 1KiB, json: { string_bytes_max: 1025 } } }", &["W007"]),
    ("messages: { inbound: { bytes_max: 1KiB, json: { string_bytes_max: 1024 } } }", &[]),
    ("messages: { inbound: { limits: [{ rate: 50/s }, { per: user, rate: 40/s }] } }", &["W007"]),
    ("messages: { inbound: { limits: [{ rate: 50/s }, { per: user, rate: 60/s }] } }", &[]),
    ("messages: { inbound: { limits: [{ rate: 5/s }, { name: again, rate: 5/s }] } }", &["W007"]),
    ("messages: { inbound: { limits: [{ per: global, rate: 5/s }, { per: tenant, rate: 5/s }] } }", &["W007"]),
    ("messages: { inbound: { limits: [{ rate: 5/s, types: [a] }, { per: user, rate: 5/s }] } }", &[]),
    ("messages: { inbound: { limits: [{ of: bytes, rate: 900KiB/s }] } }", &["W024"]),
    ("messages: { inbound: { limits: [{ of: bytes, rate: 100KiB/s burst 1MiB }] } }", &["W007"]),
    ("messages: { inbound: { limits: [{ of: bytes, rate: 500KiB/s burst 1MiB }] } }", &[]),
    ("messages: { inbound: { weights: { a: 9 }, limits: [{ of: cost, rate: 8/s }] } }", &["W024"]),
    ("messages: { inbound: { weights: { a: 9 }, limits: [{ of: cost, rate: 9/s }] } }", &[]),
    ("messages: { inbound: { limits: [] } }", &["W021"]),
    ("messages: { inbound: { threats: { mode: off } } }", &["W011"]),
    ("messages: { inbound: { threats: { mode: observe } } }", &["W011"]),
    ("messages: { inbound: { threats: { mode: observe, classes: { xss: block } } } }", &[]),
    ("shared_state: { url: 'redis://cache:6379' }", &["W026"]),
    ("shared_state: { url: 'redis://127.0.0.1:6379' }", &[]),
    ("shared_state: { url: 'rediss://cache:6379' }", &[]),
    ("errors: { detailed: on }", &["W013"]),
    ("compression: { context_takeover: on }", &["W020"]),
    ("sources: { allow: [0.0.0.0/0] }", &["W018"]),
    ("identity: { jwks: [{ url: 'http://127.0.0.1/jwks' }], audiences: [me] }", &["W010"]),
    ("identity: { jwks: [{ url: 'https://issuer.example/jwks' }] }", &["W022"]),
    ("identity: { providers: [{ issuer: 'https://issuer.example' }] }", &["W022"]),
    ("identity: { providers: [{ issuer: 'http://127.0.0.1', audiences: [me] }] }", &["W010"]),
    ("identity: { jwks: [{ file: set.json }], authorized_parties: [me], require_expiry: off }", &["W015"]),
    ("identity: { keys: [{ algorithm: HS256, secret_file: jwt.secret }], credentials: [query] }", &["W016"]),
];

/// Whole files, and the codes they earn about pins.
#[test]
fn a_lone_pin_is_asked_about_and_two_are_not() {
    let pin = |letter: &str| format!("sha256/{}=", letter.repeat(43));
    for (pins, wanted) in [(vec![pin("A")], true), (vec![pin("A"), pin("E")], false), (vec![], false)] {
        let text =
            format!("routes: [{{ path: /, upstream: wss://x, upstream_tls: {{ pins: [{}] }} }}]", pins.join(", "));
        let loaded = load_furnished(&text).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(codes(&loaded).contains(&"W030"), wanted, "{text}");
    }
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.warnings.iter().map(|warning| warning.code).collect()
}

fn production_with(extra: &str) -> String {
    let mut base = PRODUCTION.to_owned();
    if extra.starts_with("identity") {
        let (head, rest) = base.split_once("identity:\n").expect("it has keys");
        let (_, tail) = rest.split_once('\n').expect("and an upstream");
        base = format!("{head}{tail}");
    }
    format!("{base}{extra}\n")
}

#[test]
fn each_warning_appears_when_it_should_and_alone() {
    for (extra, expected) in CASES {
        let loaded = load_furnished(&production_with(extra)).unwrap_or_else(|errors| panic!("{extra}\n{errors}"));
        assert_eq!(codes(&loaded), *expected, "{extra}\n{:#?}", loaded.warnings);
        for warning in loaded.warnings.iter().filter(|warning| warning.code != "W021") {
            assert!(warning.location.is_some(), "{warning}");
        }
    }
}

const ROUTES: &str = "\
environment: production
listen: { address: '0.0.0.0:80', trusted_proxies: [0.0.0.0/0], client_address: x_forwarded_for, tls_terminated_by_proxy: on }
identity: { keys: [{ algorithm: HS256, secret_file: jwt.secret }] }
routes:
  - { path: '/a/{x}', upstream: ws://b, connections_per_user_max: 10001, checks: on }
  - { path: '/{y}/b', upstream: ws://b, checks: off }
";

#[test]
fn warnings_of_routes_and_listeners() {
    let loaded = load_furnished(ROUTES).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(codes(&loaded), ["W007", "W008", "W012", "W019"]);
    let text = "environment: staging\nlisten: { address: '0.0.0.0:80' }\nupstream: ws://b\n\
                identity: { keys: [{ algorithm: HS256, secret_file: jwt.secret }] }\n";
    assert_eq!(codes(&load_furnished(text).unwrap_or_else(|errors| panic!("{errors}"))), ["W004"]);
    let mut world = World::with(&[("NODE_ENV", "banana")]);
    world.files = furnished().files;
    let source = Source { name: "portcullis.yaml", text: "upstream: ws://b\n" };
    let loaded = load(Some(source), &Overrides::default(), &world).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(codes(&loaded), ["W017"]);
}

#[test]
fn a_permission_that_nobody_has_is_asked_about() {
    let with = |allow: &str, permission: &str| {
        let base = PRODUCTION.replace("upstream: ws://127.0.0.1:3000\n", "");
        let text = format!(
            "{base}access: {{ roles: {{ user: {{ allow: [{allow}] }} }} }}\n\
             routes: [{{ path: '/r/{{room}}', upstream: ws://b, permission: '{permission}' }}]\n"
        );
        codes(&load_furnished(&text).unwrap_or_else(|errors| panic!("{errors}")))
    };
    assert_eq!(with("chat.join", "chat.jion"), ["W023"]);
    assert_eq!(with("chat.join", "chat.join:7"), ["W023"]);
    for (allow, permission) in
        [("chat.join", "chat.join"), ("chat.*", "chat.join:7"), ("chat.join", "room.join:{room}"), ("", "chat.join")]
    {
        assert!(with(allow, permission).is_empty(), "{allow} {permission}");
    }
}

#[test]
fn an_authorizer_elsewhere_is_asked_over_tls() {
    let with = |url: &str| {
        let base = PRODUCTION.replace("upstream: ws://127.0.0.1:3000\n", "");
        let text = format!("{base}routes: [{{ path: /r, upstream: ws://b, authorizer: {{ url: '{url}' }} }}]\n");
        codes(&load_furnished(&text).unwrap_or_else(|errors| panic!("{errors}")))
    };
    assert_eq!(with("http://authz.example/"), ["W025"]);
    assert!(with("https://authz.example/").is_empty() && with("http://127.0.0.1:9000/").is_empty());
}

#[test]
fn a_callback_is_asked_over_tls_and_refuses_while_it_is_silent() {
    let with = |callback: &str| {
        let text = production_with(&format!("messages: {{ inbound: {{ callbacks: [{{ {callback} }}] }} }}"));
        codes(&load_furnished(&text).unwrap_or_else(|errors| panic!("{errors}")))
    };
    assert_eq!(with("url: 'http://checks.example/'"), ["W029"]);
    assert_eq!(with("url: 'https://checks.example/', on_failure: allow"), ["W028"]);
    assert!(with("url: 'https://checks.example/'").is_empty() && with("url: 'http://127.0.0.1:9000/'").is_empty());
}

#[test]
fn every_warning_has_a_case() {
    let mut tried: BTreeSet<&str> = CASES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    tried.extend(["W004", "W008", "W012", "W017", "W019", "W023", "W025", "W028", "W029", "W030"]);
    assert_eq!(tried, CODES.iter().map(|code| code.code).collect());
}

#[test]
fn a_warning_reads_like_a_compilers() {
    let text = production_with("audit:\n  retention: 30d");
    let loaded = load_furnished(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let shown: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = "\
warning[W006 short-retention]: events are kept for 30 days
 --> portcullis.yaml:7:14
  |
7 |   retention: 30d
  |              ^^^
  = key: audit.retention
  = help: keep them for at least `90d`
";
    assert_eq!(shown, [expected]);
}

#[test]
fn a_warning_about_an_inline_secret_does_not_show_it() {
    let text = production_with("identity: { keys: [{ algorithm: HS256, secret: hunter2 }] }");
    let loaded = load_furnished(&text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(codes(&loaded), ["W001", "W002"]);
    for warning in &loaded.warnings {
        assert!(!warning.to_string().contains("hunter2"), "{warning}");
    }
}
