//! Which environment variables of other programs are understood, and which keys they mean.
//! Decides how a number of seconds becomes a duration or a rate; never whether the value is sound: the checks do.
//! They lie over the file and under `PORTCULLIS__…`, so that whoever means this gateway alone has the last word.

use std::fmt::Write;

use super::Outside;
use super::layers::argument;
use super::report::{Fault, TextKind, Texts};
use super::tree::{Content, KeyPath, Node, Place, TextId};

/// How a variable's text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A whole number, as it stands.
    Count,
    /// A whole number before these words.
    Before(&'static str),
    /// `true` is the first, `false` the second.
    Either(&'static str, &'static str),
    /// Words between commas.
    List,
    /// The rate of the limit `connection`, a second.
    MessageRate,
    /// `true`: everybody is the subject of [`BYPASS_SUBJECT`].
    Bypass,
}

/// A variable: its name, how it is read, and the key it sets.
struct Variable {
    name: &'static str,
    meaning: Meaning,
    key: &'static str,
}

const fn variable(name: &'static str, meaning: Meaning, key: &'static str) -> Variable {
    Variable { name, meaning, key }
}

/// Who everybody is when a bypass is on.
const BYPASS_SUBJECT: &str = "DEV_WS_USER_ID";
/// Unless that says it.
const BYPASS_DEFAULT: &str = "local-dev";

const VARIABLES: &[Variable] = &[
    variable("WS_MAX_CONNECTIONS_PER_IP", Meaning::Before("/min"), "sources.connection_rate"),
    variable("WS_MAX_CONNECTIONS_TOTAL", Meaning::Count, "listen.connections_max"),
    variable("WS_MAX_MESSAGES_PER_SECOND", Meaning::MessageRate, "messages.inbound.limits"),
    variable("WS_MAX_MESSAGE_SIZE", Meaning::Count, "messages.inbound.bytes_max"),
    variable("WS_MAX_QUEUE_SIZE", Meaning::Count, "messages.outbound.queue_max"),
    variable("WS_ALLOWED_MESSAGE_TYPES", Meaning::List, "messages.inbound.envelope.types"),
    variable("WS_REQUIRE_AUTH", Meaning::Either("required", "optional"), "identity.authenticate"),
    variable("WS_AUTH_TIMEOUT", Meaning::Before("s"), "identity.first_message_timeout"),
    variable("WS_TOKEN_CACHE_TTL", Meaning::Before("s"), "identity.cache_ttl"),
    variable("WS_CONNECTION_TIMEOUT", Meaning::Before("s"), "times.lifetime"),
    variable("WS_HEARTBEAT_INTERVAL", Meaning::Before("s"), "times.ping_interval"),
    variable("WS_HEARTBEAT_TIMEOUT", Meaning::Before("s"), "times.dead_after"),
    variable("WS_MAX_FAILED_AUTH", Meaning::Before("/min"), "sources.failed_auth_rate"),
    variable("WS_BLOCK_DURATION", Meaning::Before("s"), "sources.ban_duration"),
    variable("WS_BLOCK_DURATION", Meaning::Before("s"), "reputation.ban_for"),
    variable("WS_SUSPICIOUS_THRESHOLD", Meaning::Count, "reputation.ban"),
    variable("WS_AUTH_BYPASS", Meaning::Bypass, "identity.development_bypass"),
    variable("DEV_WS_AUTH_BYPASS", Meaning::Bypass, "identity.development_bypass"),
    variable("WHITE_LIST_URLS", Meaning::List, "origins.allow"),
];

/// Lays every variable that is set over the tree. An empty one says nothing.
pub(super) fn lay(outside: &dyn Outside, texts: &mut Texts, tree: &mut Node, faults: &mut Vec<Fault>) {
    for Variable { name, meaning, key } in VARIABLES {
        let Some(text) = outside.var(name).filter(|text| !text.trim().is_empty()) else { continue };
        let text = text.trim();
        let id = texts.add(&format!("environment variable {name}"), text, TextKind::Argument);
        let place = Place { text: id, line: 1, column: 1, width: text.chars().count().max(1) };
        let path = KeyPath::parse(key);
        let found = match read(*meaning, text, id, place, outside) {
            Ok(Some(node)) => node,
            Ok(None) => continue,
            Err((message, help)) => {
                faults.push(Fault::new(path, format!("`{name}` {message}"), help).at(place));
                continue;
            }
        };
        let path = if *meaning == Meaning::MessageRate { connection_rate(tree, path, place) } else { path };
        if let Err(why) = tree.put(&path, found) {
            faults.push(Fault::new(path, why, "see the key in the file").at(place));
        }
    }
}

type Wrong = (&'static str, &'static str);

/// The value a variable stands for; nothing where it leaves the key as it is.
fn read(meaning: Meaning, text: &str, id: TextId, place: Place, outside: &dyn Outside) -> Result<Option<Node>, Wrong> {
    let words = |words: String| Ok(Some(Node::new(Content::Text(words), place)));
    match meaning {
        Meaning::Count => whole(text).map(|()| Some(argument(id, text))),
        Meaning::Before(unit) => whole(text).and_then(|()| words(format!("{text}{unit}"))),
        Meaning::MessageRate => whole(text).and_then(|()| words(format!("{text}/s"))),
        Meaning::Either(yes, no) => words(String::from(if truth(text)? { yes } else { no })),
        Meaning::Bypass if truth(text)? => {
            let subject = outside.var(BYPASS_SUBJECT).filter(|subject| !subject.trim().is_empty());
            words(subject.map_or_else(|| BYPASS_DEFAULT.to_owned(), |subject| subject.trim().to_owned()))
        }
        Meaning::Bypass => Ok(None),
        Meaning::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let nodes = items.map(|item| Node::new(Content::Text(item.to_owned()), place)).collect();
            Ok(Some(Node::new(Content::List(nodes), place)))
        }
    }
}

fn whole(text: &str) -> Result<(), Wrong> {
    let digits = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(()).ok_or(("is no whole number", "write digits only, as `30`"))
}

fn truth(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(("is neither true nor false", "write `true` or `false`")),
    }
}

/// Where the rate of the limit `connection` stands; there is one afterwards.
fn connection_rate(tree: &mut Node, limits: KeyPath, place: Place) -> KeyPath {
    let says = |limit: &Node, key: &str| match limit.child(key).map(|node| &node.content) {
        Some(Content::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let known = match tree.at(&limits).map(|node| &node.content) {
        Some(Content::List(known)) => known.as_slice(),
        _ => &[],
    };
    let count = known.len();
    let position = known.iter().position(|limit| match says(limit, "name") {
        Some(name) => name == "connection",
        None => says(limit, "per").is_none_or(|per| per == "connection"),
    });
    let at = limits.index(position.unwrap_or(count));
    if position.is_none() {
        let name = Node::new(Content::Text(String::from("connection")), place);
        // It can only fail where `limits` is no list, and that is told when its rate is put.
        let _ = tree.put(&at.key("name"), name);
    }
    at.key("rate")
}

/// The table of the manual.
pub(super) fn table() -> String {
    let mut out = String::from("| variable | key | written as |\n|---|---|---|\n");
    for Variable { name, meaning, key } in VARIABLES {
        let written = match meaning {
            Meaning::Count => "a number".to_owned(),
            Meaning::Before("s") => "seconds".to_owned(),
            Meaning::Before(unit) => format!("a number: `5` is `5{unit}`"),
            Meaning::Either(yes, no) => format!("`true` is `{yes}`, `false` is `{no}`"),
            Meaning::List => "words between commas".to_owned(),
            Meaning::MessageRate => "a number a second: the `rate` of the limit named `connection`".to_owned(),
            Meaning::Bypass => format!("`true`: everybody is `{BYPASS_SUBJECT}`, or `{BYPASS_DEFAULT}`"),
        };
        let _ = writeln!(out, "| `{name}` | `{key}` | {written} |");
    }
    out
}
