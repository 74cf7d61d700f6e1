//! YAML text → a tree with places. Decides that the text is one well-formed YAML 1.2 document with no key
//! written twice, of bounded size; never looks at what a key means.
//!
//! Words such as `on`, `off`, `yes` are text (YAML 1.2), which the keys that take them read themselves.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use super::report::Fault;
use super::tree::{Content, Entry, KeyPath, Node, Place, TextId};

/// Largest configuration text, bytes: a thousand routes of a kilobyte each.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting; the deepest key of the configuration stands at 8.
pub(crate) const DEPTH_MAX: usize = 32;
/// Most values, aliases expanded.
pub(crate) const NODES_MAX: usize = 200_000;

/// What a value looks like before its place is attached.
struct Loose(Content);

/// Deepest nesting of a schema or a description of messages: each level of its objects takes two.
pub(crate) const DOCUMENT_DEPTH_MAX: usize = 128;

/// Reads one configuration.
pub(crate) fn parse(id: TextId, text: &str) -> Result<Node, Fault> {
    read(id, text, DEPTH_MAX)
}

/// Reads one document that a configuration names: YAML, or JSON, which is YAML too.
pub(crate) fn parse_document(id: TextId, text: &str) -> Result<Node, Fault> {
    read(id, text, DOCUMENT_DEPTH_MAX)
}

fn read(id: TextId, text: &str, depth_max: usize) -> Result<Node, Fault> {
    let start = Place { text: id, line: 1, column: 1, width: 1 };
    if text.len() > TEXT_BYTES_MAX {
        return Err(Fault::new(
            KeyPath::default(),
            format!("the text has {} bytes", text.len()),
            format!("keep it below {TEXT_BYTES_MAX} bytes"),
        )
        .at(start));
    }
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node::empty_map(start));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: depth_max,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Loose>>(text, options) {
        Ok(spanned) => Ok(place_all(id, spanned)),
        Err(error) => Err(syntax_fault(id, &error, depth_max)),
    }
}

fn syntax_fault(id: TextId, error: &Error, depth_max: usize) -> Fault {
    let error = error.without_snippet();
    let (message, help) = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key `{key}` is written twice in the same map"), "remove one of the two".to_owned())
        }
        Error::DuplicateMappingKey { key: None, .. } => {
            ("a key is written twice in the same map".to_owned(), "remove one of the two".to_owned())
        }
        Error::MultipleDocuments { .. } => {
            ("there is more than one YAML document".to_owned(), "keep one, without a second `---`".to_owned())
        }
        Error::Budget { .. } => (
            "the YAML is larger or nests deeper than it may".to_owned(),
            format!("keep it below {depth_max} levels and {NODES_MAX} values"),
        ),
        other => {
            let words = UserMessageFormatter.format_message(other);
            let words = words.lines().next().unwrap_or_default();
            (
                format!("this is not YAML: {words}"),
                "check indentation, quotes and the space after each colon".to_owned(),
            )
        }
    };
    let place = error.location().map_or(Place { text: id, line: 1, column: 1, width: 1 }, |at| place(id, at));
    Fault::new(KeyPath::default(), message, help).at(place)
}

fn place(text: TextId, at: Location) -> Place {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).max(1);
    Place { text, line: number(at.line()), column: number(at.column()), width: number(at.span().len()) }
}

fn place_all(id: TextId, spanned: Spanned<Loose>) -> Node {
    let mut node = Node::new(spanned.value.0, place(id, spanned.referenced));
    name_text(id, &mut node);
    node
}

/// The deserializer does not know which text it reads; this writes it into every place.
fn name_text(id: TextId, node: &mut Node) {
    node.place.text = id;
    match &mut node.content {
        Content::List(items) => items.iter_mut().for_each(|item| name_text(id, item)),
        Content::Map(entries) => {
            for entry in entries {
                entry.key_place.text = id;
                name_text(id, &mut entry.value);
            }
        }
        _ => {}
    }
}

/// The text id used until [`name_text`] has run.
const UNNAMED: TextId = TextId(0);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor).map(Self)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(u64::try_from(value).map_or(Content::Negative(value), Content::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Content, E> {
        Ok(Content::Text(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Content, E> {
        Ok(Content::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Loose>>()? {
            items.push(Node::new(item.value.0, place(UNNAMED, item.referenced)));
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Spanned<Loose>>()?;
            entries.push(Entry {
                key_place: place(UNNAMED, key.referenced),
                key: key.value,
                value: Node::new(value.value.0, place(UNNAMED, value.referenced)),
            });
        }
        Ok(Content::Map(entries))
    }
}
