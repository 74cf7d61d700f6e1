//! Variables of other programs: what each means, who wins over it, and what is refused.

use super::World;
use crate::policy::checked::Checked;
use crate::policy::{Errors, Overrides, Source, load};

const FILE: &str = "environment: development\nupstream: ws://127.0.0.1:3000\n";

fn try_with(text: &str, variables: &[(&str, &str)]) -> Result<Checked, Errors> {
    let source = Source { name: "portcullis.yaml", text };
    load(Some(source), &Overrides::default(), &World::with(variables)).map(|loaded| loaded.checked)
}

fn with(text: &str, variables: &[(&str, &str)]) -> Checked {
    try_with(text, variables).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    try_with(text, variables).map(|_| ()).unwrap_err().to_string()
}

/// The variables mean what these keys mean.
#[track_caller]
fn means(variables: &[(&str, &str)], keys: &str) {
    let written = with(&format!("{FILE}{keys}"), &[]);
    assert_eq!(format!("{:?}", with(FILE, variables)), format!("{written:?}"), "{variables:?}");
}

#[test]
fn each_means_its_key() {
    let before = format!("{:?}", with(FILE, &[]));
    for (name, value, keys) in [
        ("WS_MAX_CONNECTIONS_PER_IP", "10", "sources: { connection_rate: 10/min }"),
        ("WS_MAX_CONNECTIONS_TOTAL", "900", "listen: { connections_max: 900 }"),
        ("WS_MAX_MESSAGES_PER_SECOND", "50", "messages: { inbound: { limits: [{ name: connection, rate: 50/s }] } }"),
        ("WS_MAX_MESSAGE_SIZE", "1048575", "messages: { inbound: { bytes_max: 1048575 } }"),
        ("WS_MAX_QUEUE_SIZE", "999", "messages: { outbound: { queue_max: 999 } }"),
        ("WS_ALLOWED_MESSAGE_TYPES", "a, b,,c.d ", "messages: { inbound: { envelope: { types: [a, b, c.d] } } }"),
        ("WS_REQUIRE_AUTH", "True", "identity: { authenticate: required }"),
        ("WS_AUTH_TIMEOUT", "31", "identity: { first_message_timeout: 31s }"),
        ("WS_TOKEN_CACHE_TTL", " 301 ", "identity: { cache_ttl: 301s }"),
        ("WS_CONNECTION_TIMEOUT", "3600", "times: { lifetime: 1h }"),
        ("WS_HEARTBEAT_INTERVAL", "20", "times: { ping_interval: 20s }"),
        ("WS_HEARTBEAT_TIMEOUT", "80", "times: { dead_after: 80s }"),
        ("WS_MAX_FAILED_AUTH", "4", "sources: { failed_auth_rate: 4/min }"),
        ("WS_BLOCK_DURATION", "299", "sources: { ban_duration: 299s }\nreputation: { ban_for: 299s }"),
        ("WS_SUSPICIOUS_THRESHOLD", "51", "reputation: { ban: 51 }"),
        ("WS_AUTH_BYPASS", "true", "identity: { development_bypass: local-dev }"),
        ("DEV_WS_AUTH_BYPASS", "1", "identity: { development_bypass: local-dev }"),
        (
            "WHITE_LIST_URLS",
            "https://a.example,https://b.example:8443",
            "origins: { allow: [https://a.example, 'https://b.example:8443'] }",
        ),
    ] {
        means(&[(name, value)], keys);
        assert_ne!(format!("{:?}", with(FILE, &[(name, value)])), before, "{name} changed nothing");
        assert_eq!(format!("{:?}", with(FILE, &[(name, "  ")])), before, "{name} says nothing when it is empty");
    }
    means(&[("WS_AUTH_BYPASS", "true"), ("DEV_WS_USER_ID", "ada")], "identity: { development_bypass: ada }");
    means(&[("WS_AUTH_BYPASS", "false"), ("DEV_WS_USER_ID", "ada")], "");
    means(&[("WS_REQUIRE_AUTH", "true"), ("WS_AUTH_BYPASS", "no")], "identity: { authenticate: required }");
}

#[test]
fn they_win_over_the_file_and_a_variable_of_our_own_over_them() {
    let file = format!(
        "{FILE}listen: {{ connections_max: 7 }}\nmessages: {{ inbound: {{ limits: [{{ per: ip, rate: 9/s }}] }} }}\n"
    );
    let theirs = [("WS_MAX_CONNECTIONS_TOTAL", "8"), ("WS_MAX_MESSAGES_PER_SECOND", "50")];
    let checked = with(&file, &theirs);
    assert_eq!(checked.listen.connections_max, 8);
    // The file's own limit stays; theirs is one more.
    assert_eq!(checked.routes[0].inbound.limits.len(), 2);
    let both = [theirs[0], ("PORTCULLIS__LISTEN__CONNECTIONS_MAX", "9")];
    assert_eq!(with(&file, &both).listen.connections_max, 9);
}

#[test]
fn a_bypass_is_refused_outside_development_whoever_switches_it_on() {
    for environment in ["staging", "production", "high-security"] {
        let file = format!(
            "environment: {environment}\nupstream: ws://127.0.0.1:3000\nlisten: {{ tls_terminated_by_proxy: on }}\n\
             identity: {{ keys: [{{ algorithm: HS256, secret: {} }}] }}\n",
            "x".repeat(32)
        );
        assert!(try_with(&file, &[("WS_AUTH_BYPASS", "false")]).is_ok(), "{environment}");
        for name in ["WS_AUTH_BYPASS", "DEV_WS_AUTH_BYPASS"] {
            let errors = refused(&file, &[(name, "true")]);
            assert!(errors.contains("development") && errors.contains(name), "{environment}: {errors}");
        }
    }
}

#[test]
fn what_is_no_number_is_refused_with_the_name_of_its_variable() {
    for (name, value) in [
        ("WS_AUTH_TIMEOUT", "30s"),
        ("WS_MAX_MESSAGE_SIZE", "-1"),
        ("WS_MAX_CONNECTIONS_PER_IP", "1e3"),
        ("WS_MAX_MESSAGES_PER_SECOND", "ten"),
        ("WS_REQUIRE_AUTH", "maybe"),
        ("WS_MAX_FAILED_AUTH", "9999999999999"),
        ("WS_MAX_MESSAGES_PER_SECOND", "0"),
    ] {
        let errors = refused(FILE, &[(name, value)]);
        assert!(errors.contains(&format!("environment variable {name}")) && errors.contains(value), "{errors}");
    }
}
