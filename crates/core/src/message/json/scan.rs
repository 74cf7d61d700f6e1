//! The pass itself: a small state machine with an explicit stack.

use super::keys::{Keys, ObjectKeys};
use super::pointer::{Pointers, push_step};
use super::string::{self, StringSpan, decode_into};
use super::{Bounds, Fault, Refusal, TEXT_BYTES_MAX, number};
use crate::message::survey::Survey;

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
    name: Vec<u8>,
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

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
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
        };
        pass.run().map_err(|fault| Refusal { fault, at: pass.at })
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
        };
        // It ends early, at the string; the frames then say where that is.
        let _ = pass.run();
        let mut pointer = String::new();
        let mut name = Vec::new();
        for frame in &self.frames {
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
    }
}

struct Pass<'p> {
    text: &'p [u8],
    survey: Option<&'p Survey>,
    at: usize,
    bounds: &'p Bounds,
    pointers: &'p Pointers,
    scan: &'p mut Scan,
    values_seen: u32,
    objects: u32,
    /// Pointers that end at the value to come.
    hits: u64,
    until: u32,
}

/// The pass was asked to stop at a string and has reached it.
const REACHED: Fault = Fault::Malformed("reached");

impl Pass<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(Fault::StringTooLong);
        }
        if self.text.starts_with(b"\xef\xbb\xbf") {
            return Err(Fault::Malformed("a byte order mark"));
        }
        self.hits = self.pointers.at_root();
        let mut expect = Expect::Value;
        loop {
            let byte = self.next_byte();
            expect =
                match (expect, byte) {
                    (Expect::Value | Expect::ValueOrEnd, Some(byte)) => {
                        if expect == Expect::ValueOrEnd && byte == b']' { self.close()? } else { self.value(byte)? }
                    }
                    (Expect::Key | Expect::KeyOrEnd, Some(b'"')) => self.key()?,
                    (Expect::KeyOrEnd, Some(b'}')) => self.close()?,
                    (Expect::CommaOrEnd, byte) => match (self.scan.frames.last().map(|frame| frame.is_object), byte) {
                        (None, None) => return Ok(()),
                        (None, Some(_)) => return Err(Fault::Malformed("text after the value")),
                        (Some(true), Some(b',')) => {
                            self.at += 1;
                            Expect::Key
                        }
                        (Some(false), Some(b',')) => {
                            self.at += 1;
                            Expect::Value
                        }
                        (Some(true), Some(b'}')) | (Some(false), Some(b']')) => self.close()?,
                        (Some(_), None) => return Err(Fault::Malformed("the text ends too early")),
                        (Some(true), _) => return Err(Fault::Malformed("expected `,` or `}`")),
                        (Some(false), _) => return Err(Fault::Malformed("expected `,` or `]`")),
                    },
                    (Expect::Key | Expect::KeyOrEnd, Some(_)) => return Err(Fault::Malformed("expected a key")),
                    (_, None) => return Err(Fault::Malformed("the text ends too early")),
                };
        }
    }

    /// The next byte that is not white space; the offset stands on it.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// A value begins at the offset.
    #[inline]
    fn value(&mut self, first: u8) -> Result<Expect, Fault> {
        self.values_seen += 1;
        if self.values_seen > self.bounds.values_max {
            return Err(Fault::TooManyValues);
        }
        if let Some(frame) = self.scan.frames.last_mut()
            && !frame.is_object
        {
            let element = frame.elements;
            frame.elements += 1;
            let depth = self.scan.frames.len();
            if depth <= self.pointers.depth_max() {
                self.hits = self.pointers.step(&mut self.scan.progress, depth, |step| step.index == Some(element));
            }
        }
        let start = self.at;
        let kind = match first {
            b'"' => {
                let span = self.string(false)?;
                self.note(Value { kind: ValueKind::String, start: span.start, end: span.end, escapes: span.escapes });
                return Ok(Expect::CommaOrEnd);
            }
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b't' => self.literal(b"true", ValueKind::Boolean)?,
            b'f' => self.literal(b"false", ValueKind::Boolean)?,
            b'n' => self.literal(b"null", ValueKind::Null)?,
            b'-' | b'0'..=b'9' => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                self.at += number::length(rest).ok_or(Fault::Malformed("a broken number"))?;
                ValueKind::Number
            }
            _ => return Err(Fault::Malformed("expected a value")),
        };
        self.note(Value { kind, start: narrow(start), end: narrow(self.at), escapes: false });
        Ok(Expect::CommaOrEnd)
    }

    fn literal(&mut self, word: &[u8], kind: ValueKind) -> Result<ValueKind, Fault> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Fault::Malformed("expected a value"));
        }
        self.at += word.len();
        Ok(kind)
    }

    #[inline]
    fn string(&mut self, key: bool) -> Result<StringSpan, Fault> {
        let start = self.at + 1;
        let bytes = self.text.get(start..).unwrap_or_default();
        let plain = match self.survey {
            Some(survey) => survey.run(start.min(self.text.len()), self.text.len()),
            None => string::plain_run(bytes),
        };
        let measured = string::measure(bytes, plain).map_err(|(fault, offset)| {
            self.at = start + offset;
            fault
        })?;
        if measured.decoded_len > self.bounds.string_bytes_max as usize {
            return Err(Fault::StringTooLong);
        }
        let end = start + measured.raw_len;
        self.at = end + 1;
        let span = StringSpan { start: narrow(start), end: narrow(end), escapes: measured.escapes, key };
        if !key {
            self.emit(span)?;
        }
        Ok(span)
    }

    fn emit(&mut self, span: StringSpan) -> Result<(), Fault> {
        if span.start == self.until {
            return Err(REACHED);
        }
        self.scan.strings.push(span);
        Ok(())
    }

    /// A key, and the colon after it.
    #[inline]
    fn key(&mut self) -> Result<Expect, Fault> {
        if self.scan.keys.len() >= self.bounds.keys_max as usize {
            return Err(Fault::TooManyKeys);
        }
        let span = self.string(true)?;
        let depth = self.scan.frames.len();
        let scan = &mut *self.scan;
        let name = if span.escapes {
            scan.name.clear();
            decode_into(span.raw(self.text), &mut scan.name);
            scan.name.as_slice()
        } else {
            span.raw(self.text)
        };
        let Some(frame) = scan.frames.last_mut() else { return Err(Fault::Malformed("expected a value")) };
        if !scan.keys.insert(self.text, span, name, &mut frame.keys) {
            self.at = span.start as usize - 1;
            return Err(Fault::DuplicateKey);
        }
        if depth <= self.pointers.depth_max() {
            self.hits = self.pointers.step(&mut scan.progress, depth, |step| step.name == name);
        }
        self.emit(span)?;
        if self.next_byte() != Some(b':') {
            return Err(Fault::Malformed("expected `:`"));
        }
        self.at += 1;
        Ok(Expect::Value)
    }

    fn open(&mut self, is_object: bool) -> Result<Expect, Fault> {
        if self.scan.frames.len() >= self.bounds.depth_max as usize {
            return Err(Fault::TooDeep);
        }
        self.objects += 1;
        let hits = std::mem::take(&mut self.hits);
        if hits != 0 {
            let kind = if is_object { ValueKind::Object } else { ValueKind::Array };
            self.set(hits, Value { kind, start: narrow(self.at), end: narrow(self.at), escapes: false });
        }
        let keys = ObjectKeys::of(self.objects);
        self.scan.frames.push(Frame { is_object, keys, elements: 0, hits });
        self.at += 1;
        Ok(if is_object { Expect::KeyOrEnd } else { Expect::ValueOrEnd })
    }

    fn close(&mut self) -> Result<Expect, Fault> {
        self.at += 1;
        if let Some(frame) = self.scan.frames.pop()
            && frame.hits != 0
        {
            let end = narrow(self.at);
            for (number, value) in self.scan.values.iter_mut().enumerate() {
                if frame.hits >> number & 1 == 1 {
                    value.end = end;
                }
            }
            let each = frame.hits & self.pointers.each();
            if each != 0 {
                self.end_marks(each, end);
            }
        }
        Ok(Expect::CommaOrEnd)
    }

    #[inline]
    fn note(&mut self, value: Value) {
        let hits = std::mem::take(&mut self.hits);
        if hits != 0 {
            self.set(hits, value);
        }
    }

    fn set(&mut self, hits: u64, value: Value) {
        for (number, slot) in self.scan.values.iter_mut().enumerate() {
            if hits >> number & 1 == 1 {
                *slot = value;
            }
        }
        let mut each = hits & self.pointers.each();
        while each != 0 {
            // At most 63.
            let pattern = each.trailing_zeros() as u8;
            self.scan.marks.push(Mark { pattern, value });
            each &= each - 1;
        }
    }

    /// A container ends: the latest mark of each pattern that ends at it is its.
    fn end_marks(&mut self, mut patterns: u64, end: u32) {
        for mark in self.scan.marks.iter_mut().rev() {
            let bit = 1 << mark.pattern;
            if patterns & bit != 0 {
                mark.value.end = end;
                patterns &= !bit;
            }
            if patterns == 0 {
                break;
            }
        }
    }
}

/// An offset; texts are shorter than 2³² bytes ([`TEXT_BYTES_MAX`]).
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { depth_max: 4, keys_max: 20, values_max: 30, string_bytes_max: 40 };

    fn fault(text: &str) -> Option<Fault> {
        Scan::seeded(7).run(text.as_bytes(), &BOUNDS, &Pointers::default()).err().map(|refusal| refusal.fault)
    }

    #[test]
    fn each_bound_holds_at_its_edge() {
        assert_eq!(fault("[[[[1]]]]"), None);
        assert_eq!(fault("[[[[[1]]]]]"), Some(Fault::TooDeep));
        let keys = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(","));
        assert_eq!(fault(&keys(20)), None);
        assert_eq!(fault(&keys(21)), Some(Fault::TooManyKeys));
        let values = |n: usize| format!("[{}]", vec!["0"; n - 1].join(","));
        assert_eq!(fault(&values(30)), None);
        assert_eq!(fault(&values(31)), Some(Fault::TooManyValues));
        assert_eq!(fault(&format!("\"{}\"", "x".repeat(40))), None);
        assert_eq!(fault(&format!("\"{}\"", "x".repeat(41))), Some(Fault::StringTooLong));
        assert_eq!(fault(&format!("\"{}\"", "\\u00e9".repeat(20))), None, "counted decoded");
        assert_eq!(fault(&format!("\"{}\"", "\\u00e9".repeat(21))), Some(Fault::StringTooLong));
    }

    #[test]
    fn a_key_twice_is_refused_however_it_is_written() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"\u0061":1,"a":2}"#,
            r#"{"\n":1,"\u000a":2}"#,
            r#"{"":1,"":2}"#,
            r#"[{"x":{"a":1,"b":{"a":2},"a":3}}]"#,
            r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"c":1}"#,
            r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"\u006a":1}"#,
        ] {
            assert_eq!(fault(text), Some(Fault::DuplicateKey), "{text}");
        }
        for text in [r#"{"a":{"a":{"a":1}}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":1,"A":2}"#, r#"{"a":1,"a\u0000":2}"#] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn thousands_of_keys_are_told_apart() {
        let bounds = Bounds { keys_max: 100_000, values_max: 100_000, ..BOUNDS };
        let mut scan = Scan::seeded(3);
        let members: Vec<String> = (0..5000).map(|i| format!("\"k{i}\":{{\"k{i}\":0}}")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert_eq!(scan.run(text.as_bytes(), &bounds, &Pointers::default()), Ok(()));
        let text = format!("{{{},\"k4321\":0}}", members.join(","));
        assert_eq!(
            scan.run(text.as_bytes(), &bounds, &Pointers::default()).map_err(|r| r.fault),
            Err(Fault::DuplicateKey)
        );
    }

    #[test]
    fn fields_are_found_by_their_pointers() {
        let mut pointers = Pointers::default();
        let asked = ["/type", "/meta/id", "/list/1", "/list/1/x", "/none", "/meta", "", "/a~1b", "/esc"];
        for pointer in asked {
            pointers.add(pointer).unwrap();
        }
        let text = r#"{"other":{"type":"no","meta":{"id":9}}, "type" : "chat","meta":{"skip":[1,2],"id":12.5},
            "list":[{"x":1},{"x":null}],"a/b":true,"\u0065sc":"\n"}"#;
        let mut scan = Scan::seeded(1);
        let bounds = Bounds { values_max: 50, ..BOUNDS };
        scan.run(text.as_bytes(), &bounds, &pointers).unwrap();
        let found: Vec<(ValueKind, &str)> = (0..asked.len())
            .map(|n| (scan.value(n).kind, std::str::from_utf8(scan.value(n).raw(text.as_bytes())).unwrap()))
            .collect();
        assert_eq!(found[0], (ValueKind::String, "chat"));
        assert_eq!(found[1], (ValueKind::Number, "12.5"));
        assert_eq!(found[2], (ValueKind::Object, r#"{"x":null}"#));
        assert_eq!(found[3], (ValueKind::Null, "null"));
        assert_eq!(found[4].0, ValueKind::Missing);
        assert_eq!(found[5].0, ValueKind::Object);
        assert_eq!(found[6], (ValueKind::Object, text));
        assert_eq!(found[7], (ValueKind::Boolean, "true"));
        assert_eq!(found[8], (ValueKind::String, r"\n"));
        assert!(scan.value(8).escapes);
    }

    #[test]
    fn a_star_stands_for_any_member_or_element() {
        let mut pointers = Pointers::default();
        let asked = ["/items/*/note", "/items/*", "/*/*", "/a", "/items/1/*"];
        for pattern in asked {
            pointers.add_each(pattern).unwrap();
        }
        assert_eq!(pointers.add("/*/*"), Ok(5), "a member that is called so is another thing");
        let text = r#"{"a":{"items":1},"items":[{"note":"x"},{"note":[2],"n":{}},3],"*":{"*":"s"}}"#;
        let mut scan = Scan::seeded(1);
        let bounds = Bounds { values_max: 50, ..BOUNDS };
        scan.run(text.as_bytes(), &bounds, &pointers).unwrap();
        let mut found: Vec<(u8, &str)> = scan
            .marks()
            .iter()
            .map(|mark| (mark.pattern, std::str::from_utf8(mark.value.raw(text.as_bytes())).unwrap()))
            .collect();
        assert!(scan.marks().is_sorted_by_key(|mark| mark.value.start));
        found.sort_unstable();
        let second = r#"{"note":[2],"n":{}}"#;
        assert_eq!(
            found,
            [
                (0, "[2]"),
                (0, "x"),
                (1, "3"),
                (1, r#"{"note":"x"}"#),
                (1, second),
                (2, "1"),
                (2, "3"),
                (2, "s"),
                (2, r#"{"note":"x"}"#),
                (2, second),
                (3, r#"{"items":1}"#),
                (4, "[2]"),
                (4, "{}"),
            ]
        );
        assert_eq!(scan.value(5).raw(text.as_bytes()), b"s");
    }

    #[test]
    fn a_string_finds_its_way_back_to_its_pointer() {
        let text = r#"{"a":[1,{"b/c":"x"},"y"],"\u0064":{"e":"z"}}"#;
        let mut scan = Scan::seeded(1);
        scan.run(text.as_bytes(), &BOUNDS, &Pointers::default()).unwrap();
        let spans = scan.strings().to_vec();
        let bound = |scan: &mut Scan, max| -> Vec<String> {
            spans.iter().map(|span| scan.pointer_of(text.as_bytes(), &BOUNDS, span.start, max)).collect()
        };
        assert_eq!(bound(&mut scan, 128), ["/a", "/a/1/b~1c", "/a/1/b~1c", "/a/2", "/d", "/d/e", "/d/e"]);
        assert_eq!(bound(&mut scan, 4), ["/a", "/a/1", "/a/1", "/a/2", "/d", "/d/e", "/d/e"]);
    }
}
