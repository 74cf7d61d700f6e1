//! Which layer wins, and that every key can be set from each of them.

use std::path::PathBuf;

use super::super::checked::{Environment, OnRefuse, OriginRule, ThreatClass};
use super::super::layers::{self, VARIABLE_PREFIX};
use super::super::schema::{flow, keys, schema};
use super::super::tree::KeyPath;
use super::super::{Errors, Loaded, Overrides, Source, load, raw, read};
use super::{World, furnished, load_text};

fn with(text: &str, overrides: &Overrides, world: &World) -> Loaded {
    load(Some(Source { name: "portcullis.yaml", text }), overrides, world).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(text: &str, overrides: &Overrides, world: &World) -> Errors {
    load(Some(Source { name: "portcullis.yaml", text }), overrides, world).map(|_| ()).expect_err("it is refused")
}

const UPSTREAM: &str = "upstream: ws://127.0.0.1:3000\n";

#[test]
fn each_layer_wins_over_those_below() {
    let text = format!(
        "{UPSTREAM}environment: staging\nlisten: {{ headers_max: 20, workers: 2 }}\nenvironment_overrides:\n  staging:\n    \
         listen: {{ headers_max: 30 }}\n  production:\n    listen: {{ headers_max: 99 }}\n"
    );
    let none = Overrides::default();
    assert_eq!(with(&text, &none, &World::default()).checked.listen.headers_max, 30);
    let world = World::with(&[("PORTCULLIS__LISTEN__HEADERS_MAX", "40")]);
    let checked = with(&text, &none, &world).checked;
    assert_eq!((checked.listen.headers_max, checked.listen.workers), (40, Some(2)));
    let set = Overrides { set: vec!["listen.headers_max=50".to_owned()], ..Overrides::default() };
    assert_eq!(with(&text, &set, &world).checked.listen.headers_max, 50);
}

#[test]
fn flags_say_where_to_listen_and_where_to_lead() {
    let overrides = Overrides {
        preset: Some(Environment::Staging),
        upstream: Some("wss://backend.example/app".to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        admin: Some("127.0.0.1:1".to_owned()),
        state_dir: Some(PathBuf::from("/var/lib/portcullis")),
        set: vec!["identity.issuers=[a, b]".to_owned(), "routes[0].name=x".to_owned()],
    };
    let errors = load(None, &overrides, &World::default()).map(|_| ()).expect_err("both forms");
    assert!(errors.to_string().contains("exclude each other"), "{errors}");
    let overrides = Overrides { set: vec!["identity.issuers=[a, b]".to_owned()], ..overrides };
    let checked = load(None, &overrides, &World::default()).unwrap_or_else(|errors| panic!("{errors}")).checked;
    assert_eq!(checked.environment, Environment::Staging);
    assert_eq!((checked.listen.address.port(), checked.admin.address.port()), (0, 1));
    assert_eq!(checked.state_dir, PathBuf::from("/var/lib/portcullis"));
    assert_eq!(checked.identity.issuers, ["a", "b"]);
    let upstream = &checked.routes[0].upstreams[0];
    assert!(upstream.tls);
    assert_eq!(
        (upstream.host.as_str(), upstream.port, upstream.path_prefix.as_str()),
        ("backend.example", 443, "/app")
    );
}

#[test]
fn the_environment_is_the_first_that_speaks() {
    let file = format!("{UPSTREAM}environment: prod\n");
    let tls = Overrides {
        set: vec!["listen.tls_terminated_by_proxy=on".to_owned(), "identity.authenticate=off".to_owned()],
        ..Overrides::default()
    };
    let preset = Overrides { preset: Some(Environment::Development), ..tls.clone() };
    let set = Overrides { set: [&tls.set[..], &["environment=stage".to_owned()]].concat(), ..preset.clone() };
    for (text, overrides, variables, environment) in [
        (UPSTREAM, &tls, &[][..], Environment::Development),
        (UPSTREAM, &tls, &[("NODE_ENV", "production")], Environment::Production),
        (UPSTREAM, &tls, &[("NODE_ENV", "production"), ("APP_ENV", "staging")], Environment::Staging),
        (UPSTREAM, &tls, &[("NODE_ENV", "production"), ("ENVIRONMENT", " ")], Environment::Production),
        (&file, &tls, &[("NODE_ENV", "staging")], Environment::Production),
        (&file, &tls, &[("PORTCULLIS_ENV", "staging")], Environment::Staging),
        (&file, &tls, &[("PORTCULLIS_ENV", "staging"), ("PORTCULLIS__ENVIRONMENT", "dev")], Environment::Development),
        (&file, &preset, &[("PORTCULLIS_ENV", "staging")], Environment::Development),
        (&file, &set, &[], Environment::Staging),
    ] {
        assert_eq!(with(text, overrides, &World::with(variables)).checked.environment, environment, "{variables:?}");
    }
    let errors = refused(UPSTREAM, &tls, &World::with(&[("PORTCULLIS_ENV", "prodcution")]));
    assert!(errors.to_string().contains("did you mean `production`?"), "{errors}");
}

#[test]
fn a_null_takes_a_key_back_and_off_turns_it_off() {
    let text = format!(
        "{UPSTREAM}environment: staging\nsources: {{ connection_rate: null, failed_auth_rate: off, ban_duration: null }}\n\
         times: {{ idle: null, lifetime: 1h, ping_interval: off, dead_after: off }}\n"
    );
    let checked = with(&text, &Overrides::default(), &World::default()).checked;
    assert_eq!(checked.sources.connection_rate, None);
    assert_eq!(checked.sources.failed_auth_rate, None);
    assert_eq!(checked.sources.ban_duration.as_secs(), 300);
    let times = checked.routes[0].times;
    assert_eq!((times.ping_interval, times.lifetime.map(|age| age.as_secs())), (None, Some(3600)));
}

#[test]
fn a_route_takes_over_what_it_does_not_say() {
    let text = "
origins: { allow: ['https://*.example.com'] }
messages:
  inbound:
    bytes_max: 8KiB
    envelope: { types: [chat] }
    threats: { mode: block, classes: { sqli: off } }
routes:
  - { path: '/ws/{user_id}', upstream: ws://a, bind: { user_id: subject }, refuse_with: close }
  - path: /open
    upstreams: [ws://a, ws://b]
    origins: { missing: refuse }
    inbound: { bytes_max: 1MiB, envelope: off, threats: { classes: { xss: close } } }
    times: { idle: 1m }
    errors: { detailed: off }
    checks: off
";
    let checked = with(text, &Overrides::default(), &World::default()).checked;
    let [one, two] = checked.routes.as_slice() else { panic!("two routes") };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("ws-user_id", "open"));
    assert_eq!((one.inbound.bytes_max, two.inbound.bytes_max), (8192, 1 << 20));
    assert!(one.inbound.envelope.is_some() && two.inbound.envelope.is_none());
    let (first, second) = (one.inbound.threats.as_ref().unwrap(), two.inbound.threats.as_ref().unwrap());
    assert_eq!(first.classes.get(&ThreatClass::Sqli), None);
    assert_eq!(second.classes.get(&ThreatClass::Sqli), None);
    assert_eq!(first.classes.get(&ThreatClass::Xss), Some(&OnRefuse::Reply));
    assert_eq!(second.classes.get(&ThreatClass::Xss), Some(&OnRefuse::Close));
    let origins = two.origins.as_ref().unwrap();
    assert!(!origins.missing_allowed && origins.localhost);
    assert!(matches!(origins.allow.as_slice(), [OriginRule::Subdomains { .. }]));
    assert_eq!((one.times.idle, two.times.idle.map(|idle| idle.as_secs())), (None, Some(60)));
    assert!(one.errors.detailed && !two.errors.detailed && one.checks && !two.checks);
    assert_eq!(two.upstreams.len(), 2);
}

#[test]
fn a_variable_that_means_text_may_look_like_anything() {
    for (value, address) in [("[::1]:8350", "[::1]:8350"), ("localhost:1", "127.0.0.1:1")] {
        let world = World::with(&[("PORTCULLIS__LISTEN__ADDRESS", value)]);
        assert_eq!(with(UPSTREAM, &Overrides::default(), &world).checked.listen.address.to_string(), address);
    }
    let world = World::with(&[
        ("PORTCULLIS__ORIGINS__ALLOW", "['*']"),
        ("PORTCULLIS__ADMIN__TOKEN", "12345678901234567890123456789012"),
        ("PORTCULLIS__ERRORS__TEMPLATE", r#"{"error":"{message}"}"#),
    ]);
    let checked = with(UPSTREAM, &Overrides::default(), &world).checked;
    assert_eq!(checked.origins.allow, [OriginRule::Any]);
    assert_eq!(checked.admin.token.map(|token| token.expose().len()), Some(32));
    assert_eq!(checked.routes[0].errors.template, r#"{"error":"{message}"}"#);
}

/// A value that a key of this form takes.
fn sample(form: &str) -> String {
    if let Some(items) = form.strip_prefix("list of ") {
        let item = items.trim_start_matches("words: ").trim_end_matches('s');
        return format!("[{}]", sample(if items == "texts" { "text" } else { item }));
    }
    match form.split(" or ").next().unwrap_or(form) {
        "number" => "3".to_owned(),
        "duration" => "5s".to_owned(),
        "size" => "4KiB".to_owned(),
        "rate" => "5/s burst 6".to_owned(),
        "network" => "10.0.0.0/8".to_owned(),
        "autonomous system" => "AS64496".to_owned(),
        "on" => "on".to_owned(),
        "text" => "some text".to_owned(),
        "map to `subject`, `tenant`, `session`" => "{ user_id: tenant }".to_owned(),
        "map to text" => "{ chat: talk }".to_owned(),
        "map to list of texts" => "{ chat: [user] }".to_owned(),
        "factor" => "2".to_owned(),
        "map to number" => "{ search: 3 }".to_owned(),
        "map to factor" => "{ premium: 2 }".to_owned(),
        form if form.starts_with("map to `off`") => "{ sqli: drop }".to_owned(),
        words => words.trim_start_matches('`').split('`').next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn every_key_can_be_set_by_a_variable_and_by_a_flag() {
    let mut tried = 0;
    for key in keys(&schema()).iter().filter(|key| !key.is_section && key.path != "environment_overrides") {
        let value = if key.path.ends_with("leaks.classes") { "{ card: drop }".to_owned() } else { sample(&key.form) };
        let path = key.path.replace("[]", "[0]");
        let variable = path.replace(['[', '.'], "__").replace(']', "").to_uppercase();
        let world = World::with(&[(&format!("{VARIABLE_PREFIX}{variable}"), &value)]);
        let set = Overrides { set: vec![format!("{path}={value}")], ..Overrides::default() };
        for (overrides, world) in [(Overrides::default(), &world), (set, &World::default())] {
            let layered = layers::layer(None, &overrides, world).unwrap_or_else(|errors| panic!("{path}\n{errors}"));
            let (document, faults) = read::read::<raw::Document>(&layered.tree);
            assert!(document.is_some() && faults.is_empty(), "{path} = {value}: {faults:?}");
            let node = layered.tree.at(&KeyPath::parse(&path)).unwrap_or_else(|| panic!("{path} is not there"));
            assert_eq!(flow(node), value, "{path}");
            assert!(layered.texts.is_operators(node.place.text), "{path}");
        }
        tried += 1;
    }
    assert!(tried > 100, "{tried} keys");
}

#[test]
fn a_variable_that_names_no_key_is_an_error_that_names_it() {
    let world = World::with(&[("PORTCULLIS__LISTEN__ADRESS", "127.0.0.1:1"), ("PORTCULLIS__ROUTES__5__PATH", "/x")]);
    let shown = refused(UPSTREAM, &Overrides::default(), &world).to_string();
    assert!(shown.contains("PORTCULLIS__ROUTES__5__PATH"), "{shown}");
    let world = World::with(&[("PORTCULLIS__LISTEN__ADRESS", "127.0.0.1:1")]);
    let shown = refused(UPSTREAM, &Overrides::default(), &world).to_string();
    assert!(shown.contains("environment variable PORTCULLIS__LISTEN__ADRESS:1:1"), "{shown}");
    assert!(shown.contains("did you mean `address`?"), "{shown}");
    for name in ["PORTCULLIS__", "PORTCULLIS__LISTEN__", "PORTCULLIS____LISTEN"] {
        let shown = refused(UPSTREAM, &Overrides::default(), &World::with(&[(name, "1")])).to_string();
        assert!(shown.contains("names no key"), "{shown}");
    }
    let set = Overrides { set: vec!["listen.address".to_owned()], ..Overrides::default() };
    assert!(refused(UPSTREAM, &set, &World::default()).to_string().contains("write `--set key.path=value`"));
}

#[test]
fn files_are_relative_to_the_file_that_names_them() {
    let mut world = furnished();
    world.files.insert("/etc/portcullis/jwt.secret".to_owned(), vec![b'x'; 40]);
    let text = format!("{UPSTREAM}identity: {{ keys: [{{ algorithm: HS256, secret_file: jwt.secret }}] }}\n");
    let source = Source { name: "/etc/portcullis/portcullis.yaml", text: &text };
    let loaded = load(Some(source), &Overrides::default(), &world).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.checked.identity.keys[0].material.expose().len(), 40);
    assert_eq!(loaded.files, [PathBuf::from("/etc/portcullis/jwt.secret")]);
    let set = vec!["identity.keys=[{algorithm: HS256, secret_file: jwt.secret}]".to_owned()];
    let overrides = Overrides { set, ..Overrides::default() };
    let loaded = load(Some(source), &overrides, &world).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.files, [PathBuf::from("jwt.secret")]);
}

#[test]
fn an_override_of_another_environment_is_read_for_its_form_all_the_same() {
    let text = format!("{UPSTREAM}environment_overrides:\n  production:\n    listen: {{ adress: x }}\n  prod: {{}}\n");
    let shown = load_text(&text).map(|_| ()).expect_err("unknown keys").to_string();
    assert!(shown.contains("unknown key `adress` in `environment_overrides.production.listen`"), "{shown}");
    assert!(shown.contains("`prod` is not known here"), "{shown}");
}
