//! The whole way: text → policy or words.

mod access;
mod faults;
mod layering;
mod nodes;
mod robust;
mod schemas;
mod sessions;
mod statistics;
mod variables;
mod warned;

use std::collections::BTreeMap;
use std::path::Path;

use super::checked::{Authenticate, Environment, Floods, OnRefuse, Reputation};
use super::{Errors, Loaded, Outside, Overrides, Source, load};

/// A world of a few variables and files.
#[derive(Default)]
pub(super) struct World {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl World {
    pub(super) fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { variables, files: BTreeMap::new() }
    }
}

impl Outside for World {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn vars(&self) -> Vec<(String, String)> {
        self.variables.clone().into_iter().collect()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.files.get(&path.to_string_lossy().into_owned()).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

pub(super) fn load_text(text: &str) -> Result<Loaded, Errors> {
    load(Some(Source { name: "portcullis.yaml", text }), &Overrides::default(), &World::default())
}

fn upstream() -> Overrides {
    Overrides { upstream: Some("ws://127.0.0.1:3000".to_owned()), ..Overrides::default() }
}

#[test]
fn one_flag_is_a_whole_configuration() {
    let loaded = load(None, &upstream(), &World::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let checked = loaded.checked;
    assert_eq!(checked.environment, Environment::Development);
    assert_eq!(checked.listen.address.to_string(), "127.0.0.1:8350");
    assert_eq!(checked.admin.address.to_string(), "127.0.0.1:8351");
    assert_eq!(checked.routes.len(), 1);
    let route = &checked.routes[0];
    assert_eq!((route.name.as_str(), route.path.as_str()), ("default", "/{*rest}"));
    assert_eq!(route.upstreams[0].port, 3000);
    assert_eq!(route.authenticate, Authenticate::Optional);
    let threats = route.inbound.threats.as_ref().expect("detection is on");
    assert!(threats.classes.values().all(|outcome| *outcome == OnRefuse::Observe));
    assert_eq!(threats.classes.len(), 9);
    assert!(checked.audit.enabled);
    assert!(route.compression.enabled && !route.compression.context_takeover);
}

#[test]
fn the_manual_says_what_the_program_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let made = super::reference_markdown();
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(held == made, "docs/configuration.md is not current: run this test with PORTCULLIS_BLESS=1");
}

/// A production file that starts.
pub(super) const PRODUCTION: &str = "\
environment: production
listen: { tls_terminated_by_proxy: on }
identity:
  keys: [{ id: k1, algorithm: HS256, secret_file: jwt.secret }]
upstream: ws://127.0.0.1:3000
";

/// A world in which [`PRODUCTION`] finds its secret.
pub(super) fn furnished() -> World {
    let files = [
        ("jwt.secret", &b"0123456789abcdef0123456789abcdef\n"[..]),
        ("short.secret", b"hunter2"),
        ("empty.secret", b"\n"),
        ("public.pem", b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"),
        ("private.pem", b"-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n"),
        ("chain.pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("set.json", b"{\"keys\":[]}"),
    ];
    let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    World { variables: BTreeMap::new(), files }
}

pub(super) fn load_furnished(text: &str) -> Result<Loaded, Errors> {
    load(Some(Source { name: "portcullis.yaml", text }), &Overrides::default(), &furnished())
}

#[test]
fn every_preset_starts_with_a_key_and_a_decision_about_tls_and_warns_of_nothing() {
    for name in ["development", "staging", "production", "high-security"] {
        let text = PRODUCTION.replace("environment: production", &format!("environment: {name}"));
        let loaded = load_furnished(&text).unwrap_or_else(|errors| panic!("{name}\n{errors}"));
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        assert_eq!(loaded.files, [Path::new("jwt.secret")]);
    }
}

#[test]
fn presets_have_the_figures_they_promise() {
    for (name, rate, days, required, detailed, deflate) in [
        ("development", 1000, 7, false, true, true),
        ("staging", 300, 30, true, true, true),
        ("production", 100, 90, true, false, true),
        ("high-security", 50, 365, true, false, false),
    ] {
        let text = PRODUCTION.replace("environment: production", &format!("environment: {name}"));
        let checked = load_furnished(&text).unwrap_or_else(|errors| panic!("{name}\n{errors}")).checked;
        let route = &checked.routes[0];
        let limit = &route.inbound.limits[0].rate;
        assert_eq!((limit.count, limit.per.as_secs(), limit.burst), (rate, 1, rate), "{name}");
        assert_eq!(checked.audit.retention.as_secs(), days * 86_400, "{name}");
        assert_eq!(route.authenticate == Authenticate::Required, required, "{name}");
        assert_eq!(route.errors.detailed, detailed, "{name}");
        assert_eq!(route.compression.enabled, deflate, "{name}");
        assert!(!route.compression.context_takeover, "{name}");
    }
}

#[test]
fn defences_that_are_not_configured_have_the_figures_of_production() {
    let checked = load_furnished(PRODUCTION).unwrap_or_else(|errors| panic!("{errors}")).checked;
    assert_eq!(checked.reputation, Reputation::default());
    assert_eq!(checked.defences.floods, Floods::default());
}

#[test]
fn a_secret_is_read_without_its_line_end_and_never_printed() {
    let checked = load_furnished(PRODUCTION).unwrap_or_else(|errors| panic!("{errors}")).checked;
    assert_eq!(checked.identity.keys[0].material.expose().len(), 32);
    assert!(!format!("{checked:?}").contains("0123456789abcdef"));
}
