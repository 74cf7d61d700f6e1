//! The whole way: text → policy or words.

use std::collections::BTreeMap;
use std::path::Path;

use super::checked::{Authenticate, Environment, OnRefuse};
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
