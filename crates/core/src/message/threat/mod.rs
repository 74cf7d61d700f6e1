//! Attacks inside strings (SPEC 8.5): whether a database, browser, shell, file system, template engine,
//! directory, XML parser or logger would act on a string instead of keeping it.
//!
//! Three steps, each dearer than the one before and run on fewer strings. [`prefilter`] looks at bytes and a
//! few words and says which classes are possible; honest chat ends there. [`decode`] peels encodings, only
//! where there are any, at most `decode_layers_max` times. Then one judge a class asks the question of its
//! grammar: does the string *continue* as SQL, does a tag *execute*. Words alone convict nobody.
//!
//! Linear in the string's length, no recursion, no backtracking; buffers are reused. Input: one string, in
//! any case and encoding. Output: the first [`Detection`], if any. Cases: `tests/attacks/*.jsonl`;
//! rates over a corpus: `portcullis inspect --summary`.

mod code;
mod command;
mod decode;
mod disguise;
mod document;
mod encodings;
mod ldap;
mod lookup;
mod nosql;
mod prefilter;
mod rules;
mod signs;
mod sink;
mod sql;
mod sqli;
mod template;
mod text;
mod traversal;
mod xss;
mod xxe;

use crate::message::json::decode_into;
use crate::policy::checked::ThreatClass;
pub use encodings::Encodings;
pub use rules::{RULES, name as rule_name, page};
use signs::Signs;

/// Layers of encoding that are ever peeled, whatever the policy says.
pub const LAYERS_MAX: u8 = 8;

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassSet(u16);

impl ClassSet {
    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a class is in it.
    #[must_use]
    pub const fn contains(self, class: ThreatClass) -> bool {
        self.0 & 1 << class as u16 != 0
    }

    /// Takes a class out.
    pub const fn remove(&mut self, class: ThreatClass) {
        self.0 &= !(1 << class as u16);
    }

    /// Puts a class in.
    pub const fn insert(&mut self, class: ThreatClass) {
        self.0 |= 1 << class as u16;
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<ThreatClass> for ClassSet {
    fn from_iter<I: IntoIterator<Item = ThreatClass>>(classes: I) -> Self {
        let mut set = Self::default();
        classes.into_iter().for_each(|class| set.insert(class));
        set
    }
}

/// What was found in a string. Nothing of the string itself is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// The class.
    pub class: ThreatClass,
    /// What convicted it, in a few words.
    pub rule: &'static str,
    /// Layers of encoding that were peeled before it showed.
    pub layers: u8,
    /// Which they were.
    pub encodings: Encodings,
}

/// How sure it is that a receiver acts on what was found: every layer of encoding supposes that it decodes once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It showed after two layers of encoding or more.
    #[default]
    Possible,
    /// It showed after one layer.
    Likely,
    /// It stands there as it is.
    Certain,
}

impl Confidence {
    /// The name in findings.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }

    /// Most layers at which something is found with it.
    #[must_use]
    pub const fn layers_max(self) -> u8 {
        match self {
            Self::Possible => LAYERS_MAX,
            Self::Likely => 1,
            Self::Certain => 0,
        }
    }
}

impl Detection {
    /// How sure it is.
    #[must_use]
    pub const fn confidence(&self) -> Confidence {
        match self.layers {
            0 => Confidence::Certain,
            1 => Confidence::Likely,
            _ => Confidence::Possible,
        }
    }

    /// The rule's name, as on its page: `sqli/a-quote-closes-and-a-clause-follows`.
    #[must_use]
    pub fn rule_name(&self) -> String {
        rules::name(self.class, self.rule)
    }

    /// In words, for operators. They go to the audit, so nothing of the string is among them.
    #[must_use]
    pub fn words(&self) -> String {
        match self.layers {
            0 => self.rule.to_owned(),
            1 => format!("{}, after decoding ({})", self.rule, self.encodings),
            n => format!("{}, after decoding {n} times ({})", self.rule, self.encodings),
        }
    }
}

/// Buffers, reused from string to string.
#[derive(Debug, Default)]
pub struct Buffers {
    plain: Vec<u8>,
    next: Vec<u8>,
    low: Vec<u8>,
    scratch: Vec<u8>,
}

impl Buffers {
    /// Bytes held.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.plain.capacity() + self.next.capacity() + self.low.capacity() + self.scratch.capacity()
    }

    /// Gives back what is beyond `bytes` in each buffer.
    pub fn shrink_to(&mut self, bytes: usize) {
        for buffer in [&mut self.plain, &mut self.next, &mut self.low, &mut self.scratch] {
            buffer.clear();
            buffer.shrink_to(bytes);
        }
    }
}

/// One string in one state of decoding, as the judges see it.
#[derive(Debug, Clone, Copy)]
struct View<'v> {
    /// ASCII letters in lower case; same length and offsets as the text.
    low: &'v [u8],
    /// It is the key of a JSON object.
    key: bool,
    /// Layers of encoding peeled so far.
    layers: u8,
    /// What the prefilter saw.
    signs: Signs,
}

/// Judges strings for a set of classes. Small; shared by all connections.
#[derive(Debug)]
pub struct Detector {
    classes: ClassSet,
    layers_max: u8,
    prefilter: prefilter::Prefilter,
}

impl Detector {
    /// Looks for `classes`, peeling at most `layers_max` encodings (and never more than [`LAYERS_MAX`]).
    #[must_use]
    pub fn new(classes: ClassSet, layers_max: u8) -> Self {
        Self { classes, layers_max: layers_max.min(LAYERS_MAX), prefilter: prefilter::Prefilter::new() }
    }

    /// The classes it looks for.
    #[must_use]
    pub fn classes(&self) -> ClassSet {
        self.classes
    }

    /// Judges one string of a JSON text (`escapes`: it has some) or plain text, for the classes in `wanted`.
    pub fn string(
        &self,
        raw: &[u8],
        escapes: bool,
        key: bool,
        wanted: ClassSet,
        buffers: &mut Buffers,
    ) -> Option<Detection> {
        self.string_within(raw, escapes, key, wanted, self.layers_max, buffers)
    }

    /// The same, peeling at most `layers_max` encodings.
    pub fn string_within(
        &self,
        raw: &[u8],
        escapes: bool,
        key: bool,
        wanted: ClassSet,
        layers_max: u8,
        buffers: &mut Buffers,
    ) -> Option<Detection> {
        let layers_max = layers_max.min(self.layers_max);
        if prefilter::is_bland(raw) || wanted.is_empty() {
            return None;
        }
        if !escapes {
            return self.layers(raw, key, wanted, layers_max, buffers);
        }
        let mut plain = std::mem::take(&mut buffers.plain);
        plain.clear();
        decode_into(raw, &mut plain);
        let found = self.layers(&plain, key, wanted, layers_max, buffers);
        buffers.plain = plain;
        found
    }

    fn layers(
        &self,
        text: &[u8],
        key: bool,
        wanted: ClassSet,
        layers_max: u8,
        buffers: &mut Buffers,
    ) -> Option<Detection> {
        // One long word, such as an id, can only be an attack that is packed.
        let found = if prefilter::is_one_word(text) { None } else { self.view(text, key, 0, wanted, buffers) };
        if found.is_some() || self.layers_max == 0 {
            return found;
        }
        if !key && document::is_document(text) {
            let parts = document::parts(text);
            let found = parts
                .filter(|part| !prefilter::is_bland(part))
                .find_map(|part| self.peeled(part, wanted, layers_max, buffers));
            if found.is_some() {
                return found;
            }
        }
        self.decoded(text, key, wanted, layers_max, buffers)
    }

    /// A part of a document: as it stands, then decoded.
    fn peeled(&self, part: &[u8], wanted: ClassSet, layers_max: u8, buffers: &mut Buffers) -> Option<Detection> {
        self.view(part, false, 0, wanted, buffers).or_else(|| self.decoded(part, false, wanted, layers_max, buffers))
    }

    fn decoded(
        &self,
        text: &[u8],
        key: bool,
        wanted: ClassSet,
        layers_max: u8,
        buffers: &mut Buffers,
    ) -> Option<Detection> {
        let (mut from, mut to) = (std::mem::take(&mut buffers.next), std::mem::take(&mut buffers.scratch));
        let mut found = None;
        let mut encodings = Encodings::default();
        for layer in 1..=layers_max {
            to.clear();
            let undone = decode::peel(if layer == 1 { text } else { &from }, &mut to);
            if undone.is_empty() {
                break;
            }
            encodings.add(undone);
            found = self.view(&to, key, layer, wanted, buffers);
            if found.is_some() {
                break;
            }
            std::mem::swap(&mut from, &mut to);
        }
        (buffers.next, buffers.scratch) = (from, to);
        found.map(|found| Detection { encodings, ..found })
    }

    fn view(&self, text: &[u8], key: bool, layers: u8, wanted: ClassSet, buffers: &mut Buffers) -> Option<Detection> {
        buffers.low.clear();
        buffers.low.extend_from_slice(text);
        buffers.low.make_ascii_lowercase();
        let mut view = View { low: &buffers.low, key, layers, signs: Signs::default() };
        let (signs, suspects) = self.prefilter.suspects(&view);
        let suspects = suspects.and(wanted);
        if suspects.is_empty() {
            return None;
        }
        view.signs = signs;
        let (class, rule) = judge(&view, suspects)?;
        Some(Detection { class, rule, layers, encodings: Encodings::default() })
    }
}

/// A judge: the rule that convicts, if one does.
type Judge = fn(&View<'_>) -> Option<&'static str>;

/// In order of harm, then of cost.
const JUDGES: &[(ThreatClass, Judge)] = &[
    (ThreatClass::Lookup, lookup::judge),
    (ThreatClass::Xxe, xxe::judge),
    (ThreatClass::Nosql, nosql::judge),
    (ThreatClass::Template, template::judge),
    (ThreatClass::Ldap, ldap::judge),
    (ThreatClass::Traversal, traversal::judge),
    (ThreatClass::Xss, xss::judge),
    (ThreatClass::Sqli, sqli::judge),
    (ThreatClass::Command, command::judge),
];

fn judge(view: &View<'_>, suspects: ClassSet) -> Option<(ThreatClass, &'static str)> {
    JUDGES
        .iter()
        .filter(|(class, _)| suspects.contains(*class))
        .find_map(|(class, judge)| judge(view).map(|rule| (*class, rule)))
}
