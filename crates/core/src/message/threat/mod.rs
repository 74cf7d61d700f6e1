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
use crate::message::survey::{Survey, Surveyed, Wanted};
use crate::policy::checked::ThreatClass;
pub use encodings::Encodings;
pub(crate) use rules::named;
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
    /// Of `plain`.
    outer: Survey,
    /// Of what was decoded further.
    inner: Survey,
}

impl Buffers {
    /// Bytes held.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        let texts = [&self.plain, &self.next, &self.low, &self.scratch];
        let surveys = self.outer.capacity_bytes() + self.inner.capacity_bytes();
        texts.iter().map(|text| text.capacity()).sum::<usize>() + surveys
    }

    /// Gives back what is beyond `bytes` in each buffer.
    pub fn shrink_to(&mut self, bytes: usize) {
        for buffer in [&mut self.plain, &mut self.next, &mut self.low, &mut self.scratch] {
            buffer.clear();
            buffer.shrink_to(bytes);
        }
        self.outer.shrink_to(bytes);
        self.inner.shrink_to(bytes);
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
}

impl Detector {
    /// Looks for `classes`, peeling at most `layers_max` encodings (and never more than [`LAYERS_MAX`]).
    #[must_use]
    pub fn new(classes: ClassSet, layers_max: u8) -> Self {
        // Made with the policy, not with the first message.
        prefilter::prepare();
        Self { classes, layers_max: layers_max.min(LAYERS_MAX) }
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
        let mut survey = Survey::default();
        survey_for_threats(&mut survey, raw);
        self.surveyed(Surveyed::at(raw, &survey, 0), escapes, key, wanted, layers_max, buffers)
    }

    /// The same of a string in a message that [`survey_for_threats`] has looked at.
    pub(crate) fn surveyed(
        &self,
        raw: Surveyed<'_>,
        escapes: bool,
        key: bool,
        wanted: ClassSet,
        layers_max: u8,
        buffers: &mut Buffers,
    ) -> Option<Detection> {
        if is_bland(raw.text) || wanted.is_empty() {
            return None;
        }
        let asked = Asked { key, wanted, layers_max: layers_max.min(self.layers_max) };
        if !escapes {
            return layers(raw, asked, buffers);
        }
        let (mut plain, mut survey) = (std::mem::take(&mut buffers.plain), std::mem::take(&mut buffers.outer));
        plain.clear();
        decode_into(raw.text, &mut plain);
        survey_for_threats(&mut survey, &plain);
        let found = layers(Surveyed::at(&plain, &survey, 0), asked, buffers);
        (buffers.plain, buffers.outer) = (plain, survey);
        found
    }
}

/// Whether a string is too short and plain to carry anything.
#[inline]
pub(crate) fn is_bland(text: &[u8]) -> bool {
    prefilter::is_bland(text)
}

/// Looks at a text for what detection asks of it.
pub(crate) fn survey_for_threats(survey: &mut Survey, text: &[u8]) {
    survey.of(text, Wanted::Prose(&prefilter::PRINTS));
}

/// What is asked of one string.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// It is the key of a JSON object.
    key: bool,
    wanted: ClassSet,
    layers_max: u8,
}

/// A string as it stands, the parts of a document in it, and what it is once decoded.
fn layers(text: Surveyed<'_>, asked: Asked, buffers: &mut Buffers) -> Option<Detection> {
    if prefilter::is_uuid(text.text) {
        return None;
    }
    // One long word, such as an id, can only be an attack that is packed.
    let found = if prefilter::is_one_word(text) { None } else { view(text, 0, asked, buffers) };
    if found.is_some() || asked.layers_max == 0 {
        return found;
    }
    if !asked.key && document::is_document(text.text) {
        let mut parts = document::parts(text.text).filter(|part| !prefilter::is_bland(part));
        let found = parts.find_map(|part| peeled(part, asked, buffers));
        if found.is_some() {
            return found;
        }
    }
    if decode::may_peel(text) { decoded(text.text, asked, buffers) } else { None }
}

/// A part of a document: as it stands, then decoded.
fn peeled(part: &[u8], asked: Asked, buffers: &mut Buffers) -> Option<Detection> {
    let asked = Asked { key: false, ..asked };
    newly_viewed(part, 0, asked, buffers).or_else(|| decoded(part, asked, buffers))
}

fn decoded(text: &[u8], asked: Asked, buffers: &mut Buffers) -> Option<Detection> {
    let (mut from, mut to) = (std::mem::take(&mut buffers.next), std::mem::take(&mut buffers.scratch));
    let mut found = None;
    let mut encodings = Encodings::default();
    for layer in 1..=asked.layers_max {
        to.clear();
        let undone = decode::peel(if layer == 1 { text } else { &from }, &mut to);
        if undone.is_empty() {
            break;
        }
        encodings.add(undone);
        found = newly_viewed(&to, layer, asked, buffers);
        if found.is_some() {
            break;
        }
        std::mem::swap(&mut from, &mut to);
    }
    (buffers.next, buffers.scratch) = (from, to);
    found.map(|found| Detection { encodings, ..found })
}

/// [`view`] of a text that no survey has seen.
fn newly_viewed(text: &[u8], layer: u8, asked: Asked, buffers: &mut Buffers) -> Option<Detection> {
    let mut survey = std::mem::take(&mut buffers.inner);
    survey_for_threats(&mut survey, text);
    let found = view(Surveyed::at(text, &survey, 0), layer, asked, buffers);
    buffers.inner = survey;
    found
}

fn view(text: Surveyed<'_>, layers: u8, asked: Asked, buffers: &mut Buffers) -> Option<Detection> {
    let signs = prefilter::signs(text);
    // Nearly all that people write to each other ends here, uncopied.
    if signs.is_none() {
        return None;
    }
    let suspects = signs.classes().and(asked.wanted);
    if suspects.is_empty() {
        return None;
    }
    buffers.low.clear();
    buffers.low.extend_from_slice(text.text);
    buffers.low.make_ascii_lowercase();
    let (class, rule) = judge(&View { low: &buffers.low, key: asked.key, layers, signs }, suspects)?;
    Some(Detection { class, rule, layers, encodings: Encodings::default() })
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
