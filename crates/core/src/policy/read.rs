//! Tree → raw structs, through serde. Decides that every key is known and every value has its type, and
//! collects what is not; the checks between values are [`super::check`].
//!
//! Serde stops at the first error. To report several together, a faulty value is noted, taken out of a copy
//! of the tree, and the rest is read again; every raw field is optional, so what is left still reads.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, Visitor};

use super::nearest::nearest;
use super::report::{ERRORS_MAX, Fault};
use super::tree::{Content, KeyPath, Node};

/// Separates what is wrong from what to do in the words of a leaf's error.
pub(crate) const HELP_MARK: char = '\u{1f}';

/// Reads the tree as far as it can be read, and all that is wrong with it.
pub(crate) fn read<T: DeserializeOwned>(tree: &Node) -> (Option<T>, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut rest = tree.clone();
    let mut unknown = RefCell::new(Vec::new());
    for _ in 0..ERRORS_MAX {
        // Each round sees at least the unknown keys of the one before.
        unknown = RefCell::new(Vec::new());
        let reader = Reader { node: &rest, path: KeyPath::default(), unknown: &unknown };
        match T::deserialize(reader) {
            Ok(value) => {
                faults.append(&mut unknown.into_inner());
                return (Some(value), faults);
            }
            Err(error) => {
                let path = error.path.unwrap_or_default();
                let place = rest.at(&path).map_or_else(|| rest.place_of(&path), |node| node.place);
                let removed = rest.remove(&path);
                faults.push(Fault::new(path, error.message, error.help).at(place));
                if !removed {
                    break;
                }
            }
        }
    }
    faults.append(&mut unknown.into_inner());
    (None, faults)
}

/// What serde says, with the path once it is known.
#[derive(Debug)]
pub(crate) struct ReadError {
    path: Option<KeyPath>,
    message: String,
    help: String,
}

impl ReadError {
    fn at(mut self, path: &KeyPath) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }

    fn wrong_kind(node: &Node, expected: &dyn de::Expected) -> Self {
        let expected = expected.to_string();
        Self {
            path: None,
            message: format!("expected {expected}, found {}", node.kind()),
            help: how_to_write(node, &expected),
        }
    }
}

fn how_to_write(node: &Node, expected: &str) -> String {
    let plain =
        matches!(node.content, Content::Unsigned(_) | Content::Negative(_) | Content::Float(_) | Content::Bool(_));
    if plain && expected.contains("text") {
        return "put quotes around it".to_owned();
    }
    if expected.contains("a list") {
        return "write a list: `[a, b]`, or one `- item` a line".to_owned();
    }
    if expected.contains("a map") {
        return "write keys below it, indented, each as `key: value`".to_owned();
    }
    format!("write {expected}")
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(words: T) -> Self {
        let words = words.to_string();
        let (message, help) = words.split_once(HELP_MARK).unwrap_or((&words, "correct the value"));
        Self { path: None, message: message.to_owned(), help: help.to_owned() }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Bool(_) => "`true` or `false`",
            de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a number",
            de::Unexpected::Float(_) => "a number with a fraction",
            de::Unexpected::Str(_) | de::Unexpected::Char(_) => "text",
            de::Unexpected::Seq => "a list",
            de::Unexpected::Map => "a map",
            _ => "nothing",
        };
        let expected = plain_words(&expected.to_string());
        Self { path: None, help: format!("write {expected}"), message: format!("expected {expected}, found {found}") }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let message = "the number is too small or too large".to_owned();
        Self { path: None, message, help: format!("write {}", plain_words(&expected.to_string())) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let list = expected.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let help = match nearest(variant, expected.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? It may be {list}"),
            None => format!("it may be {list}"),
        };
        Self { path: None, message: format!("`{}` is not known here", clip(variant)), help }
    }
}

/// Serde names Rust types; an operator does not know them.
fn plain_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        words if words.starts_with("struct ") => "a map".to_owned(),
        words => words.to_owned(),
    }
}

/// The first characters of what the operator wrote; enough to recognise it.
pub(crate) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut out: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

struct Reader<'a> {
    node: &'a Node,
    path: KeyPath,
    unknown: &'a RefCell<Vec<Fault>>,
}

impl<'a> Reader<'a> {
    fn below(&self, node: &'a Node, path: KeyPath) -> Self {
        Reader { node, path, unknown: self.unknown }
    }

    fn list<'de, V: Visitor<'de>>(&self, items: &'a [Node], visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_seq(Items { reader: self, items, next: 0 })
    }

    fn map<'de, V: Visitor<'de>>(
        &self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_map(Entries { reader: self, fields, next: 0 })
    }

    fn note_unknown(&self, key: &str, place: super::tree::Place, fields: &'static [&'static str]) {
        let within = if self.path.0.is_empty() { "at the top".to_owned() } else { format!("in `{}`", self.path) };
        let help = match nearest(key, fields.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let list = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
                format!("the keys {within} are {list}")
            }
        };
        let message = format!("unknown key `{}` {within}", clip(key));
        let fault = Fault::new(self.path.key(key), message, help).at(place);
        self.unknown.borrow_mut().push(Fault { may_be_secret: super::mask::holds_secret(fields), ..fault });
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let result = match &self.node.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Unsigned(value) => visitor.visit_u64(*value),
            Content::Negative(value) => visitor.visit_i64(*value),
            Content::Float(value) => visitor.visit_f64(*value),
            Content::Text(value) => visitor.visit_str(value),
            Content::List(items) => self.list(items, visitor),
            Content::Map(_) => self.map(None, visitor),
        };
        result.map_err(|error| error.at(&self.path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.content {
            Content::Bool(value) => visitor.visit_bool(*value),
            _ => Err(ReadError::wrong_kind(self.node, &"`true` or `false`").at(&self.path)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let result = match &self.node.content {
            Content::Unsigned(value) => visitor.visit_u64(*value),
            _ => Err(ReadError::wrong_kind(self.node, &"a whole number")),
        };
        result.map_err(|error| error.at(&self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match (&self.node.content, &self.node.verbatim) {
            (Content::Text(value), _) => visitor.visit_str(value),
            (_, Some(value)) => visitor.visit_str(value),
            _ => Err(ReadError::wrong_kind(self.node, &"text")),
        }
        .map_err(|error: ReadError| error.at(&self.path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.content == Content::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.content {
            Content::List(items) => self.list(items, visitor),
            _ => Err(ReadError::wrong_kind(self.node, &"a list")),
        }
        .map_err(|error| error.at(&self.path))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.content {
            Content::Map(_) => self.map(None, visitor),
            _ => Err(ReadError::wrong_kind(self.node, &"a map")),
        }
        .map_err(|error| error.at(&self.path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.content {
            Content::Map(_) => self.map(Some(fields), visitor),
            _ => Err(ReadError::wrong_kind(self.node, &"a map")),
        }
        .map_err(|error| error.at(&self.path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Content::Text(word) = &self.node.content else {
            let list = variants.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            return Err(ReadError {
                path: Some(self.path),
                message: format!("expected a word, found {}", self.node.kind()),
                help: format!("it may be {list}"),
            });
        };
        visitor.visit_enum(de::value::StrDeserializer::<ReadError>::new(word)).map_err(|error| error.at(&self.path))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_string(visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct ignored_any
    }
}

struct Items<'r, 'a> {
    reader: &'r Reader<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let path = self.reader.path.index(self.next);
        self.next = self.next.saturating_add(1);
        let below = self.reader.below(item, path.clone());
        seed.deserialize(below).map(Some).map_err(|error| error.at(&path))
    }
}

struct Entries<'r, 'a> {
    reader: &'r Reader<'a>,
    /// The keys a struct knows; `None` for a map with keys of the operator's choosing.
    fields: Option<&'static [&'static str]>,
    next: usize,
}

impl<'a> Entries<'_, 'a> {
    fn entry(&self, position: usize) -> Option<&'a super::tree::Entry> {
        match &self.reader.node.content {
            Content::Map(entries) => entries.get(position),
            _ => None,
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        while let Some(entry) = self.entry(self.next) {
            if let Some(fields) = self.fields
                && !fields.contains(&entry.key.as_str())
            {
                self.reader.note_unknown(&entry.key, entry.key_place, fields);
                self.next = self.next.saturating_add(1);
                continue;
            }
            let path = self.reader.path.key(&entry.key);
            return seed
                .deserialize(entry.key.as_str().into_deserializer())
                .map(Some)
                .map_err(|e: ReadError| e.at(&path));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some(entry) = self.entry(self.next) else { return Err(de::Error::custom("a key without a value")) };
        self.next = self.next.saturating_add(1);
        let path = self.reader.path.key(&entry.key);
        let below = self.reader.below(&entry.value, path.clone());
        seed.deserialize(below).map_err(|error| error.at(&path))
    }
}
