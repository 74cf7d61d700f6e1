//! The configuration as a tree that remembers where each value was written.
//!
//! Decides nothing: it merges layers (maps by key, everything else replaced), finds a value by its path,
//! and says which file, line and column it came from. It never gives a value a meaning; [`super::read`] does.

use std::fmt;

/// The key whose entries replace each other as a whole: two schemas of a type laid over each other would be a third.
pub(crate) const SCHEMAS: &str = "schemas";
/// The key of a schema that stands in the configuration itself.
pub(crate) const INLINE: &str = "inline";

/// Which of the texts a value came from: an index into [`super::report::Texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextId(pub(crate) usize);

/// Where a value stands. Lines and columns count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The text.
    pub(crate) text: TextId,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column, from 1.
    pub(crate) column: usize,
    /// Characters to underline, at least 1.
    pub(crate) width: usize,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// What.
    pub(crate) content: Content,
    /// Where.
    pub(crate) place: Place,
    /// The text as it was given, kept for a variable or `--set` whose value may be meant as plain text.
    pub(crate) verbatim: Option<Box<str>>,
}

/// The value itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// Nothing: takes back what a lower layer says.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number from zero.
    Unsigned(u64),
    /// A whole number below zero.
    Negative(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written.
    Map(Vec<Entry>),
}

/// One key of a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_place: Place,
    /// Its value.
    pub(crate) value: Node,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Where a value stands in the tree; printed as `routes[0].inbound.bytes_max`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyPath(pub(crate) Vec<Step>);

impl KeyPath {
    /// The path of a key below this one.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The path of an item below this one.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Reads `routes[0].path` or `routes.0.path`; a number is an index.
    pub(crate) fn parse(text: &str) -> Self {
        let steps = text.split(['.', '[', ']']).filter(|part| !part.is_empty()).map(|part| match part.parse() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Key(part.to_owned()),
        });
        Self(steps.collect())
    }

    /// The last key on the way, which names the value.
    pub(crate) fn last_key(&self) -> &str {
        self.0
            .iter()
            .rev()
            .find_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None })
            .unwrap_or("")
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Node {
    /// A value without a verbatim text.
    pub(crate) fn new(content: Content, place: Place) -> Self {
        Self { content, place, verbatim: None }
    }

    /// An empty map.
    pub(crate) fn empty_map(place: Place) -> Self {
        Self::new(Content::Map(Vec::new()), place)
    }

    /// What kind of value it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "`true` or `false`",
            Content::Unsigned(_) | Content::Negative(_) => "a number",
            Content::Float(_) => "a number with a fraction",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// The value of a key, where this is a map that has it.
    pub(crate) fn child(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key, to change it.
    pub(crate) fn child_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.content {
            Content::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
            _ => None,
        }
    }

    /// The entry of a key, where this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (step, &self.content) {
            (Step::Key(key), _) => self.child(key),
            (Step::Index(index), Content::List(items)) => items.get(*index),
            (Step::Index(index), _) => self.child(&index.to_string()),
        }
    }

    /// The value at a path.
    pub(crate) fn at(&self, path: &KeyPath) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, step| node.step(step))
    }

    /// Where to point for a path: the value; for a map or list the key that holds it; for what is absent
    /// the nearest that is there.
    pub(crate) fn place_of(&self, path: &KeyPath) -> Place {
        let mut node = self;
        let mut place = self.place;
        for step in &path.0 {
            let Some(next) = node.step(step) else { break };
            let holder = match step {
                Step::Key(key) => node.entry(key).map(|entry| entry.key_place),
                Step::Index(_) => None,
            };
            place = match (&next.content, holder) {
                (Content::Map(_) | Content::List(_), Some(key)) => key,
                _ => next.place,
            };
            node = next;
        }
        place
    }

    /// Lays `upper` over this: maps are merged key by key, everything else is replaced, a null takes a
    /// key back.
    pub(crate) fn merge(&mut self, upper: Self) {
        let Content::Map(mine) = &mut self.content else {
            *self = upper;
            return;
        };
        let Content::Map(theirs) = upper.content else {
            *self = upper;
            return;
        };
        self.place = upper.place;
        for entry in theirs {
            match mine.iter_mut().find(|known| known.key == entry.key) {
                Some(known) => {
                    known.key_place = entry.key_place;
                    if entry.key == SCHEMAS {
                        known.value.replace_each(entry.value);
                    } else {
                        known.value.merge(entry.value);
                    }
                }
                None => mine.push(entry),
            }
        }
    }

    /// Lays `upper` over this map, each key's value replaced as a whole.
    fn replace_each(&mut self, upper: Self) {
        match (&mut self.content, upper.content) {
            (Content::Map(mine), Content::Map(theirs)) => {
                mine.retain(|known| theirs.iter().all(|entry| entry.key != known.key));
                mine.extend(theirs);
                self.place = upper.place;
            }
            (mine, theirs) => {
                *mine = theirs;
                self.place = upper.place;
            }
        }
    }

    /// Removes every key whose value is null, so that the layer below speaks. A schema that is written out is
    /// data: `const: null` stays.
    pub(crate) fn drop_nulls(&mut self) {
        match &mut self.content {
            Content::Map(entries) => {
                entries.retain(|entry| entry.value.content != Content::Null);
                let others = entries.iter_mut().filter(|entry| entry.key != INLINE);
                others.for_each(|entry| entry.value.drop_nulls());
            }
            Content::List(items) => items.iter_mut().for_each(Self::drop_nulls),
            _ => {}
        }
    }

    /// Takes a key out of this map.
    pub(crate) fn take(&mut self, key: &str) -> Option<Self> {
        let Content::Map(entries) = &mut self.content else { return None };
        let position = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(position).value)
    }

    /// Removes what stands at a path; whether anything did.
    pub(crate) fn remove(&mut self, path: &KeyPath) -> bool {
        let Some((last, way)) = path.0.split_last() else { return false };
        let mut node = self;
        for step in way {
            let Some(next) = node.step_mut(step) else { return false };
            node = next;
        }
        match (last, &mut node.content) {
            (Step::Key(key), _) => node.take(key).is_some(),
            (Step::Index(index), Content::List(items)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }

    fn step_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match step {
            Step::Key(key) => self.child_mut(key),
            Step::Index(index) => match &mut self.content {
                Content::List(items) => items.get_mut(*index),
                _ => None,
            },
        }
    }

    /// Puts a value at a path, making the maps and the next list item on the way. The error says in words
    /// why it cannot stand there.
    pub(crate) fn put(&mut self, path: &KeyPath, value: Self) -> Result<(), String> {
        let place = value.place;
        let mut node = self;
        for step in &path.0 {
            node = node.open(step, place)?;
        }
        if let (Content::Map(_), Content::Map(_)) = (&node.content, &value.content) {
            node.merge(value);
        } else {
            *node = value;
        }
        Ok(())
    }

    fn open(&mut self, step: &Step, place: Place) -> Result<&mut Self, String> {
        if matches!(self.content, Content::Null) {
            self.content = match step {
                Step::Key(_) => Content::Map(Vec::new()),
                Step::Index(_) => Content::List(Vec::new()),
            };
            self.place = place;
        }
        let kind = self.kind();
        match (step, &mut self.content) {
            (Step::Index(index), Content::List(items)) => {
                let held = items.len();
                if *index == held {
                    items.push(Self::new(Content::Null, place));
                }
                items.get_mut(*index).ok_or_else(|| format!("the list has {held} items, so the next is number {held}"))
            }
            (step, Content::Map(entries)) => {
                let key = match step {
                    Step::Key(key) => key.clone(),
                    Step::Index(index) => index.to_string(),
                };
                let position = match entries.iter().position(|entry| entry.key == key) {
                    Some(position) => position,
                    None => {
                        let value = Self::new(Content::Null, place);
                        entries.push(Entry { key, key_place: place, value });
                        entries.len().saturating_sub(1)
                    }
                };
                entries.get_mut(position).map(|entry| &mut entry.value).ok_or_else(|| "the map is empty".to_owned())
            }
            (Step::Key(key), Content::List(_)) => Err(format!("`{key}` is not a position in a list: write a number")),
            (step, _) => {
                let step = match step {
                    Step::Key(key) => key.clone(),
                    Step::Index(index) => index.to_string(),
                };
                Err(format!("`{step}` cannot stand below {kind}"))
            }
        }
    }
}
