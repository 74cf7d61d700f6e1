//! What a pass finds, kept from message to message. The pass itself, a small state machine with an explicit stack, is
//! in [`pass`].

mod pass;
#[cfg(test)]
mod tests;

use super::keys::{Keys, ObjectKeys};
use super::pointer::{Pointers, push_step};
use super::shape::Shapes;
use super::string::{StringSpan, decode_into};
use super::{Bounds, Fault, Refusal};
use crate::message::survey::Survey;
use pass::{Course, Pass};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueKind {
    /// The field is not there.
    #[default]
    Missing,
    /// A string.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// A field that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Value {
    /// What it holds.
    pub kind: ValueKind,
    /// First byte; of a string, the one after its quote.
    pub start: u32,
    /// Byte after the last; of a string, its closing quote.
    pub end: u32,
    /// A string with escapes.
    pub escapes: bool,
}

impl Value {
    /// Its bytes in the text, escapes as they stand.
    #[must_use]
    pub fn raw<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A field that fits a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The pattern's number.
    pub pattern: u8,
    /// What stands there.
    pub value: Value,
}

/// The result of the latest pass, and the buffers it took. Reused.
#[derive(Debug, Default)]
pub struct Scan {
    strings: Vec<StringSpan>,
    values: Vec<Value>,
    marks: Vec<Mark>,
    progress: Vec<u16>,
    frames: Vec<Frame>,
    keys: Keys,
    /// Keys that came where they were expected, and are not among `keys`.
    expected: Vec<StringSpan>,
    shapes: Shapes,
    name: Vec<u8>,
    /// The latest pass was refused at a key.
    at_key: bool,
}

/// An open container.
#[derive(Debug, Clone, Copy)]
struct Frame {
    is_object: bool,
    keys: ObjectKeys,
    /// Elements begun, of an array.
    elements: u32,
    /// Pointers that end at this container.
    hits: u64,
}

impl Scan {
    /// Empty; `seed` is the process's, see [`super::keys`].
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { keys: Keys::seeded(seed), ..Self::default() }
    }

    /// Every string of the text, in its order; complete only when the pass succeeded.
    #[must_use]
    pub fn strings(&self) -> &[StringSpan] {
        &self.strings
    }

    /// The field a pointer names, by the pointer's number.
    #[must_use]
    pub fn value(&self, pointer: usize) -> Value {
        self.values.get(pointer).copied().unwrap_or_default()
    }

    /// Every field that fits a pattern, in the order they begin; at most one a value and pattern.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Bytes the buffers hold.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.strings.capacity() * size_of::<StringSpan>()
            + self.marks.capacity() * size_of::<Mark>()
            + self.frames.capacity() * size_of::<Frame>()
            + self.keys.capacity_bytes()
            + self.expected.capacity() * size_of::<StringSpan>()
            + self.name.capacity()
    }

    /// Forgets the latest pass and gives memory past `items` of each buffer back.
    pub fn shrink_to(&mut self, items: usize) {
        self.clear(0);
        self.strings.shrink_to(items);
        self.marks.shrink_to(items);
        self.frames.shrink_to(items);
        self.name.clear();
        self.name.shrink_to(items);
        self.keys.shrink_to(items);
        self.expected.shrink_to(items);
    }

    /// Reads one text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn run(&mut self, text: &[u8], bounds: &Bounds, pointers: &Pointers) -> Result<(), Refusal> {
        self.read(text, None, bounds, pointers)
    }

    /// The same of a text that a survey has looked at.
    pub(crate) fn run_surveyed(
        &mut self,
        text: &[u8],
        survey: &Survey,
        bounds: &Bounds,
        pointers: &Pointers,
    ) -> Result<(), Refusal> {
        self.read(text, Some(survey), bounds, pointers)
    }

    fn read(
        &mut self,
        text: &[u8],
        survey: Option<&Survey>,
        bounds: &Bounds,
        pointers: &Pointers,
    ) -> Result<(), Refusal> {
        self.clear(pointers.len());
        let mut pass = Pass {
            text,
            survey,
            at: 0,
            bounds,
            pointers,
            scan: self,
            values_seen: 0,
            objects: 0,
            hits: 0,
            until: u32::MAX,
            course: Course::Unknown,
        };
        pass.run().map_err(|fault| {
            pass.own_up();
            Refusal { fault, at: pass.at }
        })
    }

    /// The JSON Pointer of the string whose span starts at `start`, as long as it fits `bytes_max`: steps that
    /// do not are left out at the front of the excess. Reads the text again up to there.
    #[must_use]
    pub fn pointer_of(&mut self, text: &[u8], bounds: &Bounds, start: u32, bytes_max: usize) -> String {
        self.clear(0);
        let pointers = Pointers::default();
        let mut pass = Pass {
            text,
            survey: None,
            at: 0,
            bounds,
            pointers: &pointers,
            scan: self,
            values_seen: 0,
            objects: 0,
            hits: 0,
            until: start,
            course: Course::Unknown,
        };
        // It ends early, at the string; the frames then say where that is.
        let _ = pass.run();
        self.pointer(text, self.frames.len(), bytes_max)
    }

    /// The JSON Pointer of the field that the latest pass was refused at, as long as it fits `bytes_max`: of the value
    /// where one is too deep or too long, else of the object or array it stands in. Empty at the root.
    #[must_use]
    pub fn refused_at(&self, text: &[u8], refusal: &Refusal, bytes_max: usize) -> String {
        let depth = self.frames.len();
        let is_value = match refusal.fault {
            Fault::TooDeep => true,
            Fault::StringTooLong => !self.at_key,
            Fault::Malformed(_) | Fault::DuplicateKey | Fault::TooManyKeys | Fault::TooManyValues => false,
        };
        self.pointer(text, if is_value { depth } else { depth.saturating_sub(1) }, bytes_max)
    }

    /// Where the first `steps` of the open containers lead.
    fn pointer(&self, text: &[u8], steps: usize, bytes_max: usize) -> String {
        let mut pointer = String::new();
        let mut name = Vec::new();
        for frame in self.frames.iter().take(steps) {
            let fits = if frame.is_object {
                name.clear();
                let span = self.keys.last_of(&frame.keys);
                decode_into(span.map(|span| span.raw(text)).unwrap_or_default(), &mut name);
                push_step(&mut pointer, &String::from_utf8_lossy(&name), bytes_max)
            } else {
                push_step(&mut pointer, &frame.elements.saturating_sub(1).to_string(), bytes_max)
            };
            if !fits {
                break;
            }
        }
        pointer
    }

    fn clear(&mut self, pointers: usize) {
        self.strings.clear();
        self.marks.clear();
        self.values.clear();
        self.values.resize(pointers, Value::default());
        self.progress.clear();
        self.progress.resize(pointers, 0);
        self.frames.clear();
        self.keys.clear();
        self.expected.clear();
        self.at_key = false;
    }
}
