//! Which layer speaks: preset < file < `environment_overrides` < environment variables < flags < `--set`.
//! Decides the environment and builds the one merged tree; never gives a value a meaning.

use super::checked::Environment;
use super::nearest::nearest;
use super::report::{Errors, Fault, TextKind, Texts};
use super::tree::{Content, KeyPath, Node, Place, Step, TextId};
use super::{Outside, Overrides, Source, yaml};

/// What a name of an environment variable must begin with to set a key.
pub(crate) const VARIABLE_PREFIX: &str = "PORTCULLIS__";
/// Names the environment; wins over the file.
pub(crate) const OWN_VARIABLE: &str = "PORTCULLIS_ENV";
/// Asked in this order when neither a flag, [`OWN_VARIABLE`] nor the file names the environment.
pub(crate) const OTHERS_VARIABLES: &[&str] = &[
    "ENVIRONMENT",
    "APP_ENV",
    "NODE_ENV",
    "RAILS_ENV",
    "RACK_ENV",
    "DJANGO_ENV",
    "FLASK_ENV",
    "ASPNETCORE_ENVIRONMENT",
    "GO_ENV",
];

/// Where Redis or Valkey is, when no key says it.
pub(crate) const REDIS_VARIABLE: &str = "REDIS_URL";

const COMMON: &str = include_str!("../../../../presets/common.yaml");

/// The text of a preset.
pub(crate) const fn preset_text(environment: Environment) -> &'static str {
    match environment {
        Environment::Development => include_str!("../../../../presets/development.yaml"),
        Environment::Staging => include_str!("../../../../presets/staging.yaml"),
        Environment::Production => include_str!("../../../../presets/production.yaml"),
        Environment::HighSecurity => include_str!("../../../../presets/high-security.yaml"),
    }
}

/// Every environment, mildest first.
pub(crate) const ENVIRONMENTS: [Environment; 4] =
    [Environment::Development, Environment::Staging, Environment::Production, Environment::HighSecurity];

/// The name of an environment as the configuration writes it.
pub(crate) const fn environment_name(environment: Environment) -> &'static str {
    match environment {
        Environment::Development => "development",
        Environment::Staging => "staging",
        Environment::Production => "production",
        Environment::HighSecurity => "high-security",
    }
}

/// The environment that a word means, in the words that frameworks use.
pub(crate) fn environment_named(word: &str) -> Option<Environment> {
    match word.trim().to_ascii_lowercase().replace('_', "-").as_str() {
        "development" | "dev" | "local" | "test" | "testing" => Some(Environment::Development),
        "staging" | "stage" | "preprod" | "preproduction" | "pre-production" | "qa" | "uat" => {
            Some(Environment::Staging)
        }
        "production" | "prod" | "live" => Some(Environment::Production),
        "high-security" | "highsecurity" => Some(Environment::HighSecurity),
        _ => None,
    }
}

/// The merged configuration.
pub(crate) struct Layered {
    pub(crate) tree: Node,
    pub(crate) texts: Texts,
    pub(crate) environment: Environment,
    /// Somebody named the environment; it is not the fallback.
    pub(crate) environment_named: bool,
    /// The operator's file, where there is one.
    pub(crate) file: Option<TextId>,
    /// A variable that should name the environment but does not: its name and value.
    pub(crate) unclear: Option<(String, String)>,
}

/// Builds it, or says what cannot be read at all.
pub(crate) fn layer(
    source: Option<&Source<'_>>,
    overrides: &Overrides,
    outside: &dyn Outside,
) -> Result<Layered, Errors> {
    let mut texts = Texts::default();
    let mut faults = Vec::new();
    let common = texts.add("presets/common.yaml", COMMON, TextKind::Preset);
    let mut tree = read_preset(common, COMMON, &mut faults);

    let (file, mut written) = read_file(source, &mut texts, &mut faults);
    let mut arguments = Vec::new();
    read_variables(outside, &mut texts, &mut faults, &mut arguments);
    read_flags(overrides, &mut texts, &mut arguments);
    read_sets(&overrides.set, &mut texts, &mut faults, &mut arguments);

    let own = tree.clone();
    let chosen = choose(overrides, outside, &arguments, &written, &mut texts);
    let chosen = chosen.unwrap_or_else(|fault| {
        faults.push(fault);
        Chosen { environment: Environment::Production, named: true, unclear: None }
    });
    let text = preset_text(chosen.environment);
    let name = format!("presets/{}.yaml", environment_name(chosen.environment));
    let preset = texts.add(&name, text, TextKind::Preset);
    tree.merge(read_preset(preset, text, &mut faults));

    let overlays = written.child("environment_overrides").cloned();
    let overlay = overlays.as_ref().and_then(|all| all.child(environment_name(chosen.environment))).cloned();
    tree.merge(std::mem::replace(&mut written, Node::empty_map(own.place)));
    if let Some(overlay) = overlay
        && matches!(overlay.content, Content::Map(_))
    {
        tree.merge(overlay);
    }
    super::variables::lay(outside, &mut texts, &mut tree, &mut faults);
    for (path, value) in arguments {
        let place = value.place;
        if let Err(why) = tree.put(&path, value) {
            faults.push(Fault::new(path, why, "name an existing key, or the next position of a list").at(place));
        }
    }
    read_redis_url(outside, &mut texts, &mut tree);
    restore(&mut tree, own);
    if let Some(node) = tree.child_mut("environment") {
        // `prod` and its like are read as what they mean.
        node.content = Content::Text(environment_name(chosen.environment).to_owned());
    }
    if faults.is_empty() {
        let (environment, environment_named) = (chosen.environment, chosen.named);
        Ok(Layered { tree, texts, environment, environment_named, file, unclear: chosen.unclear })
    } else {
        Err(texts.errors(&tree, faults))
    }
}

/// `REDIS_URL`, where no key says which server is meant.
fn read_redis_url(outside: &dyn Outside, texts: &mut Texts, tree: &mut Node) {
    let said = |key: &str| {
        let path = KeyPath::parse("shared_state").key(key);
        tree.at(&path).is_some_and(|node| node.content != Content::Null)
    };
    if ["url", "url_file", "url_env"].into_iter().any(said) {
        return;
    }
    if outside.var(REDIS_VARIABLE).is_none_or(|url| url.trim().is_empty()) {
        return;
    }
    let id = texts.add(&format!("environment variable {REDIS_VARIABLE}"), REDIS_VARIABLE, TextKind::Argument);
    let place = Place { text: id, line: 1, column: 1, width: 1 };
    // It can only fail where `shared_state` is no map, and that is told as such.
    let _ = tree.put(
        &KeyPath::parse("shared_state").key("url_env"),
        Node::new(Content::Text(REDIS_VARIABLE.to_owned()), place),
    );
}

/// A null takes a key back: what is left is laid over the common defaults once more.
fn restore(tree: &mut Node, mut common: Node) {
    let mut upper = std::mem::replace(tree, Node::empty_map(common.place));
    upper.drop_nulls();
    common.merge(upper);
    *tree = common;
}

fn read_preset(id: TextId, text: &str, faults: &mut Vec<Fault>) -> Node {
    yaml::parse(id, text).unwrap_or_else(|fault| {
        let place = Place { text: id, line: 1, column: 1, width: 1 };
        faults.push(fault);
        Node::empty_map(place)
    })
}

fn read_file(source: Option<&Source<'_>>, texts: &mut Texts, faults: &mut Vec<Fault>) -> (Option<TextId>, Node) {
    let nowhere = Place { text: TextId(0), line: 1, column: 1, width: 1 };
    let Some(source) = source else { return (None, Node::empty_map(nowhere)) };
    let id = texts.add(source.name, source.text, TextKind::File);
    let start = Place { text: id, ..nowhere };
    let node = match yaml::parse(id, source.text) {
        Ok(node) if matches!(node.content, Content::Map(_)) => node,
        Ok(node) => {
            let message = format!("expected a map of keys, found {}", node.kind());
            faults.push(Fault::new(KeyPath::default(), message, "write `key: value` lines").at(node.place));
            Node::empty_map(start)
        }
        Err(fault) => {
            faults.push(fault);
            Node::empty_map(start)
        }
    };
    (Some(id), node)
}

/// A value from a variable or flag: YAML where it is YAML, else text.
pub(super) fn argument(id: TextId, text: &str) -> Node {
    let width = text.chars().count().max(1);
    let place = Place { text: id, line: 1, column: 1, width };
    let mut node = yaml::parse(id, text).unwrap_or_else(|_| Node::new(Content::Text(text.to_owned()), place));
    if text.trim().is_empty() || text.trim_start().starts_with('#') {
        node.content = Content::Text(text.to_owned());
    }
    node.place.width = node.place.width.max(1);
    node.verbatim = Some(text.into());
    node
}

fn read_variables(
    outside: &dyn Outside,
    texts: &mut Texts,
    faults: &mut Vec<Fault>,
    arguments: &mut Vec<(KeyPath, Node)>,
) {
    let mut variables = outside.vars();
    variables.sort();
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
        let id = texts.add(&format!("environment variable {name}"), &value, TextKind::Argument);
        let node = argument(id, &value);
        let path = variable_path(key);
        if path.0.is_empty() || key.split("__").any(str::is_empty) {
            let help = format!("write `{VARIABLE_PREFIX}SECTION__KEY`, as `{VARIABLE_PREFIX}LISTEN__ADDRESS`");
            faults.push(Fault::new(KeyPath::default(), format!("`{name}` names no key"), help).at(node.place));
            continue;
        }
        arguments.push((path, node));
    }
}

/// `ROUTES__0__PATH` → `routes[0].path`.
fn variable_path(key: &str) -> KeyPath {
    let steps = key.split("__").filter(|part| !part.is_empty()).map(|part| {
        let part = part.to_ascii_lowercase();
        match part.parse() {
            Ok(index) => Step::Index(index),
            // Environments are the only keys with a dash, which a variable's name cannot hold.
            Err(_) if part == "high_security" => Step::Key("high-security".to_owned()),
            Err(_) => Step::Key(part),
        }
    });
    KeyPath(steps.collect())
}

fn read_flags(overrides: &Overrides, texts: &mut Texts, arguments: &mut Vec<(KeyPath, Node)>) {
    let state = overrides.state_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    let preset = overrides.preset.map(|preset| environment_name(preset).to_owned());
    for (flag, key, value) in [
        ("--preset", "environment", preset.as_ref()),
        ("--upstream", "upstream", overrides.upstream.as_ref()),
        ("--listen", "listen.address", overrides.listen.as_ref()),
        ("--admin", "admin.address", overrides.admin.as_ref()),
        ("--state", "state.dir", state.as_ref()),
    ] {
        let Some(value) = value else { continue };
        let id = texts.add(flag, value, TextKind::Argument);
        let width = value.chars().count().max(1);
        let place = Place { text: id, line: 1, column: 1, width };
        arguments.push((KeyPath::parse(key), Node::new(Content::Text(value.clone()), place)));
    }
}

fn read_sets(sets: &[String], texts: &mut Texts, faults: &mut Vec<Fault>, arguments: &mut Vec<(KeyPath, Node)>) {
    for set in sets {
        let (key, value) = set.split_once('=').map_or((set.trim(), None), |(key, value)| (key.trim(), Some(value)));
        let id = texts.add(&format!("--set {key}"), value.unwrap_or(set), TextKind::Argument);
        let path = KeyPath::parse(key);
        let node = argument(id, value.unwrap_or(set));
        match value {
            Some(_) if !path.0.is_empty() => arguments.push((path, node)),
            _ => {
                let help = "write `--set key.path=value`, as `--set listen.address=0.0.0.0:443`";
                faults.push(Fault::new(KeyPath::default(), "`--set` names no key or no value", help).at(node.place));
            }
        }
    }
}

struct Chosen {
    environment: Environment,
    named: bool,
    unclear: Option<(String, String)>,
}

fn choose(
    overrides: &Overrides,
    outside: &dyn Outside,
    arguments: &[(KeyPath, Node)],
    written: &Node,
    texts: &mut Texts,
) -> Result<Chosen, Fault> {
    let named = |environment| Ok(Chosen { environment, named: true, unclear: None });
    let key = KeyPath::parse("environment");
    if let Some((_, node)) = arguments.iter().rev().find(|(path, _)| *path == key) {
        return named(word_of(node)?);
    }
    if let Some(preset) = overrides.preset {
        return named(preset);
    }
    if let Some(word) = outside.var(OWN_VARIABLE).filter(|word| !word.trim().is_empty()) {
        let id = texts.add(&format!("environment variable {OWN_VARIABLE}"), &word, TextKind::Argument);
        return named(word_of(&argument(id, &word))?);
    }
    if let Some(node) = written.child("environment").filter(|node| node.content != Content::Null) {
        return named(word_of(node)?);
    }
    let mut unclear = None;
    for name in OTHERS_VARIABLES {
        let Some(word) = outside.var(name).filter(|word| !word.trim().is_empty()) else { continue };
        match environment_named(&word) {
            Some(environment) => return Ok(Chosen { environment, named: true, unclear }),
            None => unclear = unclear.or(Some(((*name).to_owned(), word))),
        }
    }
    Ok(Chosen { environment: Environment::Development, named: false, unclear })
}

fn word_of(node: &Node) -> Result<Environment, Fault> {
    let path = KeyPath::parse("environment");
    let names = ENVIRONMENTS.map(environment_name);
    let word = match (&node.content, &node.verbatim) {
        (Content::Text(word), _) => word.as_str(),
        (_, Some(word)) => word,
        _ => "",
    };
    environment_named(word).ok_or_else(|| {
        let list = names.map(|name| format!("`{name}`")).join(", ");
        let help = match nearest(word, names) {
            Some(near) => format!("did you mean `{near}`? It may be {list}"),
            None => format!("it may be {list}"),
        };
        Fault::new(path, format!("`{}` is not an environment", super::read::clip(word)), help).at(node.place)
    })
}

/// A preset laid over the common defaults, for the manual and tests.
pub(crate) fn preset_tree(environment: Environment) -> Node {
    let mut faults = Vec::new();
    let mut tree = read_preset(TextId(0), COMMON, &mut faults);
    tree.merge(read_preset(TextId(1), preset_text(environment), &mut faults));
    tree
}
