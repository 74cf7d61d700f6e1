//! One pass over a text.

use super::{Frame, Mark, Scan, Value, ValueKind};
use crate::message::json::keys::ObjectKeys;
use crate::message::json::pointer::Pointers;
use crate::message::json::shape::{Found, KNOWN_BYTES_MAX, Place};
use crate::message::json::string::{self, StringSpan, decode_into};
use crate::message::json::{Bounds, Fault, TEXT_BYTES_MAX, number};
use crate::message::survey::Survey;

pub(super) struct Pass<'p> {
    pub(super) text: &'p [u8],
    pub(super) survey: Option<&'p Survey>,
    pub(super) at: usize,
    pub(super) bounds: &'p Bounds,
    pub(super) pointers: &'p Pointers,
    pub(super) scan: &'p mut Scan,
    pub(super) values_seen: u32,
    pub(super) objects: u32,
    /// Pointers that end at the value to come.
    pub(super) hits: u64,
    pub(super) until: u32,
    pub(super) course: Course,
}

/// How the keys of the outermost object come, beside those of texts before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing is known, and nothing learned.
    Unknown,
    /// As they came before.
    Known(Place),
    /// As they came before up to some place; from there they are learned.
    New(Place),
}

/// Something must come, and the text ends.
const EARLY: Fault = Fault::Malformed("the text ends too early");

/// The pass was asked to stop at a string and has reached it.
const REACHED: Fault = Fault::Malformed("reached");

impl Pass<'_> {
    pub(super) fn run(&mut self) -> Result<(), Fault> {
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(Fault::StringTooLong);
        }
        if matches!(self.text, [0xef, 0xbb, 0xbf, ..]) {
            return Err(Fault::Malformed("a byte order mark"));
        }
        self.hits = self.pointers.at_root();
        let mut first = self.first_byte()?;
        loop {
            let opened = self.value(first)?;
            match self.next_value(opened)? {
                Some(next) => first = next,
                None => return Ok(()),
            }
        }
    }

    /// What stands between two values: ends of containers, a comma, a key. The first byte of the next value, on which the
    /// offset then stands; nothing at the end of the text. `opened`: a container has just begun.
    #[inline]
    fn next_value(&mut self, mut opened: bool) -> Result<Option<u8>, Fault> {
        loop {
            let byte = self.next_byte();
            let Some(is_object) = self.scan.frames.last().map(|frame| frame.is_object) else {
                return if byte.is_none() { Ok(None) } else { Err(Fault::Malformed("text after the value")) };
            };
            match (byte.ok_or(EARLY)?, is_object) {
                (b'}', true) | (b']', false) => self.close(),
                (b',', _) if !opened => {
                    self.at += 1;
                    return if is_object { self.key() } else { self.element() }.map(Some);
                }
                (_, true) if opened => return self.key().map(Some),
                (_, false) if opened => return self.element().map(Some),
                (_, true) => return Err(Fault::Malformed("expected `,` or `}`")),
                (_, false) => return Err(Fault::Malformed("expected `,` or `]`")),
            }
            opened = false;
        }
    }

    /// The next byte that is not white space, where one must come.
    #[inline]
    fn first_byte(&mut self) -> Result<u8, Fault> {
        self.next_byte().ok_or(EARLY)
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

    /// A value begins at the offset. True where it is a container, which is open then.
    #[inline]
    fn value(&mut self, first: u8) -> Result<bool, Fault> {
        self.values_seen += 1;
        if self.values_seen > self.bounds.values_max {
            return Err(Fault::TooManyValues);
        }
        let start = self.at;
        let kind = match first {
            b'"' => {
                let span = self.string(false)?;
                self.note(Value { kind: ValueKind::String, start: span.start, end: span.end, escapes: span.escapes });
                return Ok(false);
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
        Ok(false)
    }

    /// An element of an array begins: its first byte.
    fn element(&mut self) -> Result<u8, Fault> {
        let first = self.first_byte()?;
        let depth = self.scan.frames.len();
        // One too many is refused where the one before it stands.
        if self.values_seen < self.bounds.values_max
            && let Some(frame) = self.scan.frames.last_mut()
        {
            let element = frame.elements;
            frame.elements += 1;
            if depth <= self.pointers.depth_max() {
                self.hits = self.pointers.step(&mut self.scan.progress, depth, |step| step.index == Some(element));
            }
        }
        Ok(first)
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
        if let Some(survey) = self.survey {
            let end = start + survey.run(start.min(self.text.len()), self.text.len());
            if self.text.get(end) == Some(&b'"') {
                return self.string_between(start, end, end - start, false, key);
            }
        }
        self.hard_string(start, key)
    }

    /// A string that has escapes, or a fault; or one of a text that was not surveyed.
    #[inline(never)]
    fn hard_string(&mut self, start: usize, key: bool) -> Result<StringSpan, Fault> {
        let bytes = self.text.get(start..).unwrap_or_default();
        let plain_run = |at: usize| match self.survey {
            Some(survey) => survey.run((start + at).min(self.text.len()), self.text.len()),
            None => string::plain_run(bytes.get(at..).unwrap_or_default()),
        };
        let measured = string::measure(bytes, plain_run).map_err(|(fault, offset)| {
            self.at = start + offset;
            fault
        })?;
        self.string_between(start, start + measured.raw_len, measured.decoded_len, measured.escapes, key)
    }

    #[inline]
    fn string_between(
        &mut self,
        start: usize,
        end: usize,
        decoded_len: usize,
        escapes: bool,
        key: bool,
    ) -> Result<StringSpan, Fault> {
        if decoded_len > self.bounds.string_bytes_max as usize {
            return Err(Fault::StringTooLong);
        }
        self.at = end + 1;
        let span = StringSpan { start: narrow(start), end: narrow(end), escapes, key };
        if !key {
            self.emit(span)?;
        }
        Ok(span)
    }

    #[inline]
    fn emit(&mut self, span: StringSpan) -> Result<(), Fault> {
        if span.start == self.until {
            return Err(REACHED);
        }
        self.scan.strings.push(span);
        Ok(())
    }

    /// A key, and the colon after it: the first byte of its value.
    #[inline]
    fn key(&mut self) -> Result<u8, Fault> {
        if self.first_byte()? != b'"' {
            return Err(Fault::Malformed("expected a key"));
        }
        if self.scan.keys.len() + self.scan.expected.len() >= self.bounds.keys_max as usize {
            return Err(Fault::TooManyKeys);
        }
        if let Course::Known(place) = self.course
            && self.scan.frames.len() == 1
        {
            match self.scan.shapes.find(place, self.text, self.at + 1) {
                Some((behind, found)) => self.expected_key(behind, found),
                None => self.unexpected_key()?,
            }
        } else {
            self.any_key()?;
        }
        if self.next_byte() != Some(b':') {
            return Err(Fault::Malformed("expected `:`"));
        }
        self.at += 1;
        self.first_byte()
    }

    /// A key that came where it comes as a rule: it is no duplicate.
    #[inline]
    fn expected_key(&mut self, behind: Place, found: Found) {
        let start = self.at + 1;
        let end = start + usize::from(found.len);
        let span = StringSpan { start: narrow(start), end: narrow(end), escapes: false, key: true };
        self.at = end + 1;
        self.course = Course::Known(behind);
        self.scan.expected.push(span);
        self.scan.strings.push(span);
        self.hits = found.hits;
        if self.pointers.depth_max() > 1 {
            for (number, reached) in self.scan.progress.iter_mut().enumerate() {
                *reached = u16::from(found.begun >> number & 1 == 1);
            }
        }
    }

    /// From here on keys come in another way than before.
    #[cold]
    fn unexpected_key(&mut self) -> Result<(), Fault> {
        self.own_up();
        self.any_key()
    }

    /// Puts the keys that were expected among the others.
    #[cold]
    pub(super) fn own_up(&mut self) {
        if let Course::Known(place) = self.course {
            self.course = Course::New(place);
        }
        let Scan { expected, keys, frames, .. } = &mut *self.scan;
        if let Some(outermost) = frames.first_mut() {
            for span in expected.iter() {
                keys.insert(self.text, *span, span.raw(self.text), &mut outermost.keys);
            }
        }
        expected.clear();
    }

    /// A key of which nothing is known.
    #[inline(never)]
    fn any_key(&mut self) -> Result<(), Fault> {
        let span = match self.string(true) {
            Ok(span) => span,
            Err(fault) => {
                self.scan.at_key = true;
                return Err(fault);
            }
        };
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
        if let (Course::New(place), 1) = (self.course, depth) {
            let begun = |(number, reached): (usize, &u16)| u64::from(*reached == 1) << number;
            let begun = scan.progress.iter().enumerate().map(begun).fold(0, |all, bit| all | bit);
            let behind = scan.shapes.learn(place, name, self.hits, begun);
            self.course = behind.map_or(Course::Unknown, Course::New);
        }
        self.emit(span)
    }

    /// The outermost object begins.
    #[inline]
    fn set_out(&mut self) {
        let to_its_end = self.until == u32::MAX;
        if to_its_end && self.bounds.string_bytes_max >= KNOWN_BYTES_MAX && self.scan.shapes.turn_to(self.pointers) {
            self.course = Course::Known(Place::ROOT);
        }
    }

    fn open(&mut self, is_object: bool) -> Result<bool, Fault> {
        if self.scan.frames.len() >= self.bounds.depth_max as usize {
            return Err(Fault::TooDeep);
        }
        self.objects += 1;
        if self.scan.frames.is_empty() && is_object {
            self.set_out();
        }
        let hits = std::mem::take(&mut self.hits);
        if hits != 0 {
            let kind = if is_object { ValueKind::Object } else { ValueKind::Array };
            self.set(hits, Value { kind, start: narrow(self.at), end: narrow(self.at), escapes: false });
        }
        let keys = ObjectKeys::of(self.objects);
        self.scan.frames.push(Frame { is_object, keys, elements: 0, hits });
        self.at += 1;
        Ok(true)
    }

    fn close(&mut self) {
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
    }

    #[inline]
    fn note(&mut self, value: Value) {
        let hits = std::mem::take(&mut self.hits);
        if hits != 0 {
            self.set(hits, value);
        }
    }

    fn set(&mut self, hits: u64, value: Value) {
        let mut ending = hits;
        while ending != 0 {
            if let Some(slot) = self.scan.values.get_mut(ending.trailing_zeros() as usize) {
                *slot = value;
            }
            ending &= ending - 1;
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
