//! Where nodes meet: whose word counts, and what is never shown.

use super::{World, load_text};
use crate::policy::{Loaded, Overrides, Source, load};

fn with(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let text = format!("upstream: ws://x\n{text}");
    load(Some(Source { name: "portcullis.yaml", text: &text }), &Overrides::default(), &World::with(variables))
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn shown(text: &str, variables: &[(&str, &str)]) -> Option<String> {
    with(text, variables).checked.shared_state.map(|shared| shared.shown)
}

#[test]
fn a_gateway_is_alone_until_somebody_names_a_server() {
    assert_eq!(shown("", &[]), None);
    assert_eq!(shown("", &[("REDIS_URL", "  ")]), None);
    assert_eq!(shown("shared_state: { prefix: mine }", &[]), None);
}

#[test]
fn the_files_word_wins_over_redis_url_and_off_turns_both_down() {
    let variable = [("REDIS_URL", "redis://:hunter2@one"), ("OTHER", "redis://three")];
    assert_eq!(shown("", &variable).as_deref(), Some("redis://one:6379"));
    assert_eq!(shown("shared_state: { url: redis://two }", &variable).as_deref(), Some("redis://two:6379"));
    assert_eq!(shown("shared_state: { url_env: OTHER }", &variable).as_deref(), Some("redis://three:6379"));
    assert_eq!(shown("shared_state: { enabled: off }", &variable), None);
    assert_eq!(shown("shared_state: { enabled: off, url: redis://two }", &[]), None);
}

#[test]
fn commas_make_a_cluster() {
    let shared = with("shared_state: { url: 'redis://a:7000, redis://b:7001' }", &[]).checked.shared_state.unwrap();
    assert!(shared.is_cluster());
    assert_eq!(shared.shown, "redis://a:7000,redis://b:7001");
}

#[test]
fn sentinels_are_no_cluster_and_their_password_is_never_shown() {
    let text = "shared_state: { url: 'redis://:hunter2@a:26379/3, redis://b', sentinel_master: mymaster, sentinel_password: hunter3 }";
    let shared = with(text, &[]).checked.shared_state.unwrap();
    assert!(!shared.is_cluster());
    assert_eq!(shared.shown, "redis://a:26379/3,redis://b:26379");
    assert_eq!(shared.sentinel.as_ref().map(|sentinel| sentinel.master.as_str()), Some("mymaster"));
    assert!(!format!("{shared:?}").contains("hunter"));
}

#[test]
fn a_password_is_warned_about_and_never_shown() {
    let loaded = with("shared_state: { url: 'redis://user:hunter2@cache' }", &[]);
    let codes: Vec<_> = loaded.warnings.iter().map(|warning| warning.code).collect();
    assert!(codes.contains(&"W001") && codes.contains(&"W002"), "{codes:?}");
    let shared = loaded.checked.shared_state.unwrap();
    assert!(!format!("{shared:?}").contains("hunter2"));
    for text in [
        "upstream: ws://x\nshared_state: { url: 'redis://user:hunter2@ca che' }",
        "upstream: ws://x\nshared_state:\n  url: redis://user:hunter2@cache/x",
        "upstream: ws://x\nshared_state: { url: 'rediss://:hunter2@cache', timeout: 9h }",
    ] {
        let errors = load_text(text).unwrap_err().to_string();
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    let overrides = Overrides::default();
    let errors =
        load(None, &overrides, &World::with(&[("REDIS_URL", "http://:hunter2@cache")])).unwrap_err().to_string();
    assert!(errors.contains("no address") && !errors.contains("hunter2"), "{errors}");
}
