//! Raw → checked: text becomes addresses, times and rules, and every value is within its bounds. Says all
//! that is wrong; never stops at the first. Rules between sections are [`super::refusals`].

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::checked::{Checked, Environment, Secret};
use super::layers::Layered;
use super::raw;
use super::report::{Fault, Texts};
use super::tree::{Content, Entry, KeyPath, Node, Step, TextId};
use super::{Outside, Source};

mod access;
mod admin;
mod asyncapi;
mod authorizer;
mod binary;
mod callback;
mod csrf;
mod defence;
mod endpoint;
mod geo;
mod html;
mod identity;
mod introspection;
mod limit;
mod listen;
mod message;
mod message_access;
mod nodes;
mod origin;
mod provider;
mod renewal;
mod reputation;
mod route;
mod schema;
mod seal;
mod session;
mod statistics;
mod subscription;
mod threat;
mod upstream;
mod user_group;

/// The sections that a route takes over from the whole policy, key by key: the route's name for it, and where it
/// stands.
const INHERITED: &[(&str, &[&str])] = &[
    ("origins", &["origins"]),
    ("times", &["times"]),
    ("notices", &["notices"]),
    ("compression", &["compression"]),
    ("errors", &["errors"]),
    ("inbound", &["messages", "inbound"]),
    ("outbound", &["messages", "outbound"]),
    ("asyncapi", &["messages", "asyncapi"]),
];

/// A secret that was read, for the reviewer's warnings.
pub(crate) struct SecretSeen {
    pub(crate) path: KeyPath,
    pub(crate) bytes: usize,
    pub(crate) inline: bool,
}

/// The state of one check.
pub(crate) struct Checking<'a> {
    layered: &'a Layered,
    tree: &'a Node,
    folder: PathBuf,
    outside: &'a dyn Outside,
    pub(crate) faults: Vec<Fault>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) secrets: Vec<SecretSeen>,
    /// Documents that were read besides the configuration: name and text, for errors that point into them.
    pub(crate) texts: Vec<(String, String)>,
    /// Schemas compiled so far, for routes that share them.
    schemas: schema::Known,
    /// Contracts read so far, the same way.
    contracts: asyncapi::Known,
    /// Who has which permission, once `access` was read.
    roles: Option<std::sync::Arc<crate::access::Roles>>,
    /// How CSRF tokens are issued, once `identity` was read.
    csrf_tokens: Option<super::checked::CsrfTokens>,
    /// What seals and opens fields, once `sealing` was read.
    sealing: crate::message::seal::Keys,
    /// Values that could not be read are missing; that they are has been said.
    pub(crate) incomplete: bool,
}

/// The tree with every route complete: what a route does not say, it takes from the whole policy.
pub(crate) fn expand(merged: &Node) -> Node {
    let mut tree = merged.clone();
    if tree.child("routes").is_none()
        && let Some(upstream) = merged.child("upstream")
    {
        let text = |text: &str| Node::new(Content::Text(text.to_owned()), upstream.place);
        let entry = |key: &str, value| Entry { key: key.to_owned(), key_place: upstream.place, value };
        let route =
            vec![entry("name", text("default")), entry("path", text("/{*rest}")), entry("upstream", upstream.clone())];
        let route = Node::new(Content::Map(route), upstream.place);
        let routes = Node::new(Content::List(vec![route]), upstream.place);
        tree.merge(Node::new(Content::Map(vec![entry("routes", routes)]), tree.place));
        tree.take("upstream");
    }
    if let Some(Content::List(routes)) = tree.child_mut("routes").map(|routes| &mut routes.content) {
        for route in routes {
            complete(route, merged);
        }
    }
    tree
}

fn complete(route: &mut Node, merged: &Node) {
    if !matches!(route.content, Content::Map(_)) {
        return;
    }
    for (name, section) in INHERITED {
        let path = KeyPath(section.iter().map(|key| Step::Key((*key).to_owned())).collect());
        let Some(mut base) = merged.at(&path).cloned() else { continue };
        let key_place = merged.place_of(&path);
        if let Some(own) = route.take(name) {
            base.merge(own);
        }
        if let Content::Map(entries) = &mut route.content {
            entries.push(Entry { key: (*name).to_owned(), key_place, value: base });
        }
    }
}

impl<'a> Checking<'a> {
    pub(crate) fn new(
        layered: &'a Layered,
        tree: &'a Node,
        source: Option<&Source<'_>>,
        outside: &'a dyn Outside,
    ) -> Self {
        let folder =
            source.and_then(|source| Path::new(source.name).parent()).map(Path::to_path_buf).unwrap_or_default();
        Self {
            layered,
            tree,
            folder,
            outside,
            faults: Vec::new(),
            files: Vec::new(),
            secrets: Vec::new(),
            texts: Vec::new(),
            schemas: schema::Known::default(),
            contracts: asyncapi::Known::default(),
            roles: None,
            csrf_tokens: None,
            sealing: crate::message::seal::Keys::default(),
            incomplete: false,
        }
    }

    pub(crate) fn environment(&self) -> Environment {
        self.layered.environment
    }

    pub(crate) fn environment_named(&self) -> bool {
        self.layered.environment_named
    }

    /// Reads a YAML or JSON file that a key names: its tree, whose places point into it.
    fn document_file(&mut self, path: &KeyPath, written: &str) -> Option<Node> {
        let bytes = self.file(path, written)?;
        let Ok(text) = String::from_utf8(bytes) else {
            self.fault(path, format!("`{}` is not UTF-8", super::read::clip(written)), "save it as UTF-8");
            return None;
        };
        let id = TextId(self.layered.texts.count().saturating_add(self.texts.len()));
        let parsed = super::yaml::parse_document(id, &text);
        self.texts.push((self.resolve(path, written).display().to_string(), text));
        match parsed {
            Ok(node) => Some(node),
            Err(fault) => {
                self.faults.push(Fault { path: written_path(&self.layered.tree, path), ..fault });
                None
            }
        }
    }

    fn texts(&self) -> &'a Texts {
        &self.layered.texts
    }

    /// Whether the operator wrote this key, in whatever layer, and not a preset.
    pub(crate) fn is_operators(&self, path: &KeyPath) -> bool {
        self.tree.at(path).is_some_and(|node| self.texts().is_operators(node.place.text))
    }

    /// Notes what is wrong at a key.
    pub(crate) fn fault(&mut self, path: &KeyPath, message: impl Into<String>, help: impl Into<String>) {
        let place = self.tree.place_of(path);
        let path = written_path(&self.layered.tree, path);
        self.faults.push(Fault::new(path, message, help).at(place));
    }

    /// A value that every preset has and only a list item of the operator's may lack.
    fn need<T>(&mut self, path: &KeyPath, value: Option<T>, help: &str) -> Option<T> {
        if value.is_none() && !self.incomplete {
            self.fault(path, format!("`{}` is missing", path.last_key()), help);
        }
        value
    }

    /// A value that a preset gives.
    fn set<T>(&mut self, path: &KeyPath, key: &str, value: Option<T>) -> Option<T> {
        self.need(&path.key(key), value, "give it a value")
    }

    fn within<T: PartialOrd + Display>(&mut self, path: &KeyPath, value: T, bounds: RangeInclusive<T>) -> Option<T> {
        if bounds.contains(&value) {
            return Some(value);
        }
        let (low, high) = (bounds.start(), bounds.end());
        let message = format!("`{value}` is out of bounds");
        let help = format!("write a number from {low} to {high}");
        self.fault(path, message, help);
        None
    }

    /// A number that a preset gives, within its bounds.
    fn bounded<T: PartialOrd + Display>(
        &mut self,
        path: &KeyPath,
        key: &str,
        value: Option<T>,
        bounds: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.set(path, key, value)?;
        self.within(&path.key(key), value, bounds)
    }

    /// A duration that a preset gives, of at least a millisecond.
    fn positive(
        &mut self,
        path: &KeyPath,
        key: &str,
        value: Option<super::human::Span>,
    ) -> Option<std::time::Duration> {
        let value = self.set(path, key, value)?;
        self.more_than_zero(&path.key(key), value)
    }

    fn more_than_zero(&mut self, path: &KeyPath, value: super::human::Span) -> Option<std::time::Duration> {
        if value.0.is_zero() {
            self.fault(path, "the duration is zero", "write a longer one, as `30s`");
            return None;
        }
        Some(value.0)
    }

    /// A path from the configuration: relative to the file's folder where the file says it, else to the working
    /// folder.
    fn resolve(&self, path: &KeyPath, written: &str) -> PathBuf {
        let from_file = self.tree.at(path).is_some_and(|node| Some(node.place.text) == self.layered.file);
        if from_file { self.folder.join(written) } else { PathBuf::from(written) }
    }

    /// Reads a file that a key names, and remembers to watch it.
    fn file(&mut self, path: &KeyPath, written: &str) -> Option<Vec<u8>> {
        let file = self.resolve(path, written);
        match self.outside.read(&file) {
            Ok(bytes) => {
                self.files.push(file);
                Some(bytes)
            }
            Err(why) => {
                let message = format!("cannot read `{}`: {why}", file.display());
                self.fault(path, message, "check the path and its permissions");
                None
            }
        }
    }

    /// A secret from one of `x`, `x_file`, `x_env`. `Ok(None)`: none is given. `Err`: faults were noted.
    fn secret(
        &mut self,
        base: &KeyPath,
        name: &str,
        inline: Option<&String>,
        file: Option<&String>,
        variable: Option<&String>,
    ) -> Result<Option<Secret>, ()> {
        let given = usize::from(inline.is_some()) + usize::from(file.is_some()) + usize::from(variable.is_some());
        if given > 1 {
            let help = format!("keep one of `{name}`, `{name}_file`, `{name}_env`");
            self.fault(base, format!("`{name}` is given more than once"), help);
            return Err(());
        }
        let (path, bytes) = if let Some(text) = inline {
            (base.key(name), text.as_bytes().to_vec())
        } else if let Some(file) = file {
            let path = base.key(&format!("{name}_file"));
            let bytes = self.file(&path, file).ok_or(())?;
            (path, without_line_end(bytes))
        } else if let Some(variable) = variable {
            let path = base.key(&format!("{name}_env"));
            let Some(value) = self.outside.var(variable) else {
                let message = format!("the environment variable `{}` is not set", super::read::clip(variable));
                self.fault(&path, message, "set it for the gateway's process, or use a file");
                return Err(());
            };
            (path, value.into_bytes())
        } else {
            return Ok(None);
        };
        if bytes.is_empty() {
            self.fault(&path, "the secret is empty", "make one: `openssl rand -base64 48`");
            return Err(());
        }
        self.secrets.push(SecretSeen { path, bytes: bytes.len(), inline: inline.is_some() });
        Ok(Some(Secret::new(bytes)))
    }

    /// The whole policy; `None` when something is wrong.
    pub(crate) fn document(&mut self, document: &raw::Document) -> Option<Checked> {
        let root = KeyPath::default();
        let listen = self.listen(&root.key("listen"), document.listen.as_ref());
        let admin = self.admin(&root.key("admin"), document.admin.as_ref());
        let state_dir = self.state(&root.key("state"), document.state.as_ref());
        let shared_state = self.shared_state(&root.key("shared_state"), document.shared_state.as_ref());
        let sources = self.sources(&root.key("sources"), document.sources.as_ref());
        let geo = self.geo(&root.key("geo"), document.geo.as_ref());
        let reputation = self.reputation(document, &root.key("reputation"));
        let anomalies = self.anomalies(&root.key("anomalies"), document.anomalies.as_ref());
        let threat_lists = self.threat_lists(&root.key("threat_lists"), document.threat_lists.as_ref());
        let origins = self.origins(&root.key("origins"), document.origins.as_ref());
        let identity = self.identity(&root.key("identity"), document.identity.as_ref());
        self.csrf_tokens = identity.as_ref().and_then(|identity| identity.csrf.clone());
        let access = self.access(&root.key("access"), document.access.as_ref());
        self.roles.clone_from(&access);
        let audit = self.audit(&root.key("audit"), document.audit.as_ref());
        let defences = self.defences(document);
        self.sealing = self.sealing(&root.key("sealing"), document.sealing.as_ref()).unwrap_or_default();
        let routes = self.routes(document);
        Some(Checked {
            environment: self.environment(),
            listen: listen?,
            admin: admin?,
            state_dir: state_dir?,
            shared_state: shared_state?,
            sources: sources?,
            geo: geo?,
            reputation: reputation?,
            anomalies: anomalies?,
            threat_lists: threat_lists?,
            origins: origins?,
            identity: identity?,
            access: access?,
            audit: audit?,
            defences: defences?,
            routes: routes?,
        })
    }
}

/// Whether a URL leads to this machine.
pub(crate) fn is_loopback_url(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(identity::is_loopback))
}

/// The key as the operator would write it: a value that a route inherits is named where it stands.
pub(crate) fn written_path(merged: &Node, path: &KeyPath) -> KeyPath {
    let [Step::Key(routes), Step::Index(_), Step::Key(section), rest @ ..] = path.0.as_slice() else {
        return path.clone();
    };
    if routes != "routes" || merged.at(path).is_some() {
        return path.clone();
    }
    if merged.child("routes").is_none() && matches!(section.as_str(), "upstream" | "path" | "name") {
        return KeyPath::parse("upstream");
    }
    let Some((_, top)) = INHERITED.iter().find(|(name, _)| name == section) else { return path.clone() };
    let mut inherited: Vec<Step> = top.iter().map(|key| Step::Key((*key).to_owned())).collect();
    inherited.extend_from_slice(rest);
    KeyPath(inherited)
}

fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    bytes
}

/// Whether a text is a JSON Pointer (RFC 6901).
fn is_pointer(text: &str) -> bool {
    let escapes_hold = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes_hold
}

impl Checking<'_> {
    /// A JSON Pointer to something below the root.
    fn pointer(&mut self, path: &KeyPath, text: &str) -> Option<String> {
        if is_pointer(text) && !text.is_empty() {
            return Some(text.to_owned());
        }
        let message = format!("`{}` is not a JSON Pointer (RFC 6901)", super::read::clip(text));
        self.fault(path, message, "begin each step with a slash: `/user/id`");
        None
    }

    /// A list in which every item passes `one`.
    fn each<T, U>(
        &mut self,
        path: &KeyPath,
        items: &[T],
        mut one: impl FnMut(&mut Self, &KeyPath, &T) -> Option<U>,
    ) -> Option<Vec<U>> {
        let checked: Vec<Option<U>> =
            items.iter().enumerate().map(|(position, item)| one(self, &path.index(position), item)).collect();
        checked.into_iter().collect()
    }
}
