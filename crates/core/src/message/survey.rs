//! One look at every byte of a text: where its marks, digits, capitals and escapes stand, a bit a byte.
//!
//! Detection and leaks ask about the same bytes again and again; asked of bits, 64 bytes cost one instruction, and prose
//! is done with before anything is copied. Bytes are told apart by their two halves (`table[low] & table[high]`), which
//! is one shuffle each on any vector unit; which unit there is, is found out once. Shuffles look for the three bytes that
//! begin a word ([`Prints`]) too. What nobody will ask about is not looked for ([`Wanted`]).
//!
//! Input: any bytes. Memory: that of the text, reused. Cost: a twentieth of a nanosecond a byte. Says where to look,
//! never what it means.

mod look;
mod prints;

use std::ops::Range;

use fearless_simd::{Level, dispatch};

use look::{list_present, look};
pub(crate) use prints::Prints;

/// What a byte may be. Some are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// `"`, `\` and control characters: what ends a run inside a string of JSON.
    Edge,
    /// ASCII that plain prose has none of: all but letters, digits, space and `.,?~*}`.
    Mark,
    /// `\`, and what is not ASCII.
    Escape,
    /// The third byte of a word that was asked for, or of what resembles one.
    Word,
    /// `0`–`9`.
    Digit,
    /// `A`–`Z`.
    Capital,
}

/// Room for the classes in a block.
const CLASSES: usize = 8;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'w> {
    /// Edges only.
    Edges,
    /// Edges, marks, escapes, words.
    Prose(&'w Prints),
    /// All classes.
    All(&'w Prints),
}

/// Blocks asked at once whether they have any of a class.
const EIGHT: usize = 8;

/// Bytes in a block.
const BLOCK: usize = 64;

type Block = [u64; CLASSES];

/// What [`Survey::of`] saw in the latest text.
#[derive(Debug)]
pub(crate) struct Survey {
    level: Level,
    blocks: Vec<Block>,
    /// Which classes each block has any of, a bit a class; behind the last block zeros, so that eight are always there.
    present: Vec<u8>,
}

impl Default for Survey {
    fn default() -> Self {
        Self { level: Level::new(), blocks: Vec::new(), present: Vec::new() }
    }
}

impl Survey {
    /// Looks at a text. What was not wanted is as if it had none of it.
    pub(crate) fn of(&mut self, text: &[u8], wanted: Wanted<'_>) {
        let (level, blocks, present) = (self.level, &mut self.blocks, &mut self.present);
        let count = text.len() / BLOCK + 1;
        // What stood there is written over.
        blocks.resize(count, [0; CLASSES]);
        present.resize(count + EIGHT, 0);
        dispatch!(level, simd => {
            look(simd, text, wanted, blocks);
            list_present(simd, blocks, present);
        });
        present.iter_mut().skip(count).for_each(|behind| *behind = 0);
    }

    /// Bytes held.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>() + self.present.capacity()
    }

    /// Forgets the text and gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.blocks.clear();
        self.blocks.shrink_to(bytes / size_of::<Block>());
        self.present.clear();
        self.present.shrink_to(bytes / size_of::<Block>());
    }

    /// The first block from `from` on that has any of a class; past the last one where none has.
    #[inline]
    fn next_block(&self, class: Class, from: usize) -> usize {
        let wanted = 0x0101_0101_0101_0101 << class as u32;
        let mut at = from;
        while let Some(eight) = self.present.get(at..).and_then(|rest| rest.first_chunk::<EIGHT>()) {
            let has = u64::from_le_bytes(*eight) & wanted;
            if has != 0 {
                return at + has.trailing_zeros() as usize / EIGHT;
            }
            at += EIGHT;
        }
        self.blocks.len()
    }

    /// The bits of one block; none past the end.
    #[inline]
    fn bits(&self, block: usize, class: Class) -> u64 {
        self.blocks.get(block).and_then(|block| block.get(class as usize)).copied().unwrap_or(0)
    }

    /// Whether a range holds a byte of a class.
    #[inline]
    pub(crate) fn any(&self, class: Class, range: Range<usize>) -> bool {
        self.each(class, range).next().is_some()
    }

    /// The offsets of a class's bytes within a range, in order.
    #[inline]
    pub(crate) fn each(&self, class: Class, range: Range<usize>) -> Each<'_> {
        let block = range.start / BLOCK;
        let bits = self.bits(block, class) & u64::MAX << (range.start % BLOCK);
        Each { survey: self, class, end: range.end, block, bits }
    }

    /// Bytes from an offset to the first edge, or to the text's end.
    #[inline]
    pub(crate) fn run(&self, start: usize, end: usize) -> usize {
        self.each(Class::Edge, start..end).next().unwrap_or(end) - start
    }

    /// The offsets from `start` on where a row of digits begins that may be a number of note: thirteen or more; four, a
    /// byte and three; three, two and four with a mark between; two after a capital.
    pub(crate) fn numbers(&self, start: usize) -> Numbers<'_> {
        let block = start / BLOCK;
        Numbers { survey: self, block, bits: self.numbers_of(block) & u64::MAX << (start % BLOCK) }
    }

    #[inline]
    fn numbers_of(&self, block: usize) -> u64 {
        if self.bits(block, Class::Digit) == 0 {
            return 0;
        }
        // A block with the next one above it; and the bit of the byte before it.
        let pair = |class| u128::from(self.bits(block + 1, class)) << BLOCK | u128::from(self.bits(block, class));
        let last = |class| block.checked_sub(1).map_or(0, |block| u128::from(self.bits(block, class) >> (BLOCK - 1)));
        let (digits, marks) = (pair(Class::Digit), pair(Class::Mark));
        let two = digits & digits >> 1;
        let (three, four) = (two & digits >> 2, two & two >> 2);
        let begins = digits & !(digits << 1 | last(Class::Digit));
        let after_capital = pair(Class::Capital) << 1 | last(Class::Capital);
        // Times and ids have rows between a group of a card and a whole one.
        let thirteen = four & four >> 4 & four >> 8 & digits >> 12;
        let group = four & !(digits >> 4) & three >> 5;
        let parted = three & marks >> 3 & two >> 4 & marks >> 6 & four >> 7;
        (begins & (thirteen | group | parted | two & after_capital)) as u64
    }
}

/// A text, and where its bits stand in a survey of what it is part of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surveyed<'t> {
    /// Its bytes.
    pub(crate) text: &'t [u8],
    survey: &'t Survey,
    /// Where it begins in the survey.
    at: usize,
}

impl<'t> Surveyed<'t> {
    /// The text that begins at an offset of what was surveyed.
    pub(crate) const fn at(text: &'t [u8], survey: &'t Survey, at: usize) -> Self {
        Self { text, survey, at }
    }

    /// Whether it holds a byte of a class.
    #[inline]
    pub(crate) fn any(self, class: Class) -> bool {
        self.survey.any(class, self.at..self.at + self.text.len())
    }

    /// The offsets of a class's bytes, in order.
    #[inline]
    pub(crate) fn each(self, class: Class) -> impl Iterator<Item = usize> + use<'t> {
        let start = self.at;
        self.survey.each(class, start..start + self.text.len()).map(move |at| at - start)
    }

    /// The same without the bytes that are of another class too. A walk of its own: one for both made the other a tenth slower.
    #[inline]
    pub(crate) fn each_but(self, class: Class, other: Class) -> impl Iterator<Item = usize> + use<'t> {
        let (start, end) = (self.at, self.at + self.text.len());
        let mut block = start / BLOCK;
        let of = move |block| self.survey.bits(block, class) & !self.survey.bits(block, other);
        let mut bits = of(block) & u64::MAX << (start % BLOCK);
        std::iter::from_fn(move || {
            while bits == 0 {
                block = self.survey.next_block(class, block + 1);
                if block * BLOCK >= end {
                    return None;
                }
                bits = of(block);
            }
            let at = block * BLOCK + lowest(&mut bits);
            (at < end).then(|| at - start)
        })
    }
}

/// Takes the lowest bit out; its number.
#[inline]
fn lowest(bits: &mut u64) -> usize {
    let bit = bits.trailing_zeros();
    *bits &= bits.wrapping_sub(1);
    bit as usize
}

/// See [`Survey::each`].
#[derive(Debug)]
pub(crate) struct Each<'s> {
    survey: &'s Survey,
    class: Class,
    end: usize,
    block: usize,
    /// What is left of the block.
    bits: u64,
}

impl Iterator for Each<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            self.block = self.survey.next_block(self.class, self.block + 1);
            if self.block * BLOCK >= self.end {
                return None;
            }
            self.bits = self.survey.bits(self.block, self.class);
            if self.bits == 0 {
                return None;
            }
        }
        let at = self.block * BLOCK + lowest(&mut self.bits);
        (at < self.end).then_some(at)
    }
}

/// See [`Survey::numbers`].
#[derive(Debug)]
pub(crate) struct Numbers<'s> {
    survey: &'s Survey,
    block: usize,
    bits: u64,
}

impl Iterator for Numbers<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.block = self.survey.next_block(Class::Digit, self.block + 1);
            if self.block >= self.survey.blocks.len() {
                return None;
            }
            self.bits = self.survey.numbers_of(self.block);
        }
        Some(self.block * BLOCK + lowest(&mut self.bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Classes that a byte is of whatever stands around it.
    const ALONE: [Class; 5] = [Class::Edge, Class::Mark, Class::Escape, Class::Digit, Class::Capital];

    fn is(class: Class, byte: u8) -> bool {
        match class {
            Class::Edge => matches!(byte, b'"' | b'\\' | 0..=31),
            Class::Mark => byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b" .,?~*}\x7f".contains(&byte),
            Class::Escape => byte == b'\\' || !byte.is_ascii(),
            Class::Word => false,
            Class::Digit => byte.is_ascii_digit(),
            Class::Capital => byte.is_ascii_uppercase(),
        }
    }

    fn prints() -> Prints {
        Prints::any_case(["union", "select", "document."])
    }

    fn survey(text: &[u8]) -> Survey {
        survey_by(Level::new(), text, Wanted::All(&prints()))
    }

    fn survey_by(level: Level, text: &[u8], wanted: Wanted<'_>) -> Survey {
        let mut survey = Survey { level, ..Survey::default() };
        // What an earlier text left is not seen again.
        survey.of(&[b'"'; 1000], Wanted::All(&Prints::exact(["\"\"\""])));
        survey.of(text, wanted);
        survey
    }

    #[test]
    fn every_byte_is_of_its_classes() {
        let text: Vec<u8> = (0..=u8::MAX).collect();
        let prints = prints();
        for (wanted, seen) in [(Wanted::Edges, 1), (Wanted::Prose(&prints), 3), (Wanted::All(&prints), 5)] {
            let survey = survey_by(Level::new(), &text, wanted);
            for (number, class) in ALONE.into_iter().enumerate() {
                let expected: Vec<usize> = (0..=255).filter(|at| number < seen && is(class, *at as u8)).collect();
                assert_eq!(survey.each(class, 0..256).collect::<Vec<_>>(), expected, "{class:?}");
            }
        }
    }

    #[test]
    fn numbers_of_note_are_seen_at_the_edges_of_blocks() {
        for before in 55..70 {
            for (number, seen) in [
                ("4111111111111111", true),
                ("4111 1111", true),
                ("219-09-9999", true),
                ("DE89", true),
                ("219-09 1", false),
            ] {
                let text = format!("{}{number} of it", " ".repeat(before));
                let at = before + if number.starts_with('D') { 2 } else { 0 };
                let numbers: Vec<usize> = survey(text.as_bytes()).numbers(0).collect();
                assert_eq!(numbers.contains(&at), seen, "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn one_class_without_another_is_what_the_bytes_say(
            text in "[a\"'\\\\;]{0,200}", from in 0_usize..200, past in 0_usize..300,
        ) {
            let survey = survey(text.as_bytes());
            let within = text.get(from..).unwrap_or_default().as_bytes();
            let here = Surveyed::at(within, &survey, from.min(text.len()));
            let expected: Vec<usize> = (0..within.len()).filter(|at| matches!(within[*at], b'\'' | b';')).collect();
            prop_assert_eq!(here.each_but(Class::Mark, Class::Edge).collect::<Vec<_>>(), expected);
            prop_assert_eq!(survey.each(Class::Mark, text.len()..past).next(), None);
        }

        #[test]
        fn a_range_holds_what_the_bytes_say(
            text in prop::collection::vec(any::<u8>(), 0..300), from in 0_usize..300, len in 0_usize..300,
        ) {
            let range = from.min(text.len())..(from + len).min(text.len());
            let range = range.start..range.end.max(range.start);
            let survey = survey(&text);
            for class in ALONE {
                let expected: Vec<usize> = range.clone().filter(|at| is(class, text[*at])).collect();
                prop_assert_eq!(survey.any(class, range.clone()), !expected.is_empty());
                prop_assert_eq!(survey.each(class, range.clone()).collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn a_word_is_seen_wherever_it_stands(before in "[ -~]{0,140}", after in "[ -~]{0,140}", upper: bool) {
            let word = if upper { "SELECT" } else { "select" };
            let text = format!("{before}{word}{after}");
            let prints = prints();
            for level in [Level::new(), Level::baseline()] {
                for wanted in [Wanted::Prose(&prints), Wanted::All(&prints)] {
                    let survey = survey_by(level, text.as_bytes(), wanted);
                    let seen: Vec<usize> = survey.each(Class::Word, 0..text.len()).collect();
                    prop_assert!(seen.contains(&(before.len() + 2)), "{:?}", level);
                }
            }
        }

        #[test]
        fn every_vector_unit_sees_the_same(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let none = Prints::exact([]);
            for wanted in [Wanted::Edges, Wanted::Prose(&none), Wanted::All(&none)] {
                let (best, least) = (survey_by(Level::new(), &text, wanted), survey_by(Level::baseline(), &text, wanted));
                prop_assert_eq!(&best.blocks, &least.blocks);
                prop_assert_eq!(&best.present, &least.present);
            }
        }

        #[test]
        fn what_begins_a_word_may_begin_one(tail in "[ -~]{0,8}", upper: bool) {
            let prints = prints();
            let word = if upper { "SELECT" } else { "select" };
            let text = [word, &tail].concat();
            prop_assert!(prints.may_begin(text.as_bytes()));
            prop_assert!(!prints.may_begin(b"se"));
        }

        #[test]
        fn no_number_of_note_is_missed(
            text in "([0-9A-Z -]{0,9}([0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{4}[ -][0-9]{3,6}|[0-9]{12,20})?){0,9}", start in 0_usize..100,
        ) {
            let text = text.as_bytes();
            let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
            let numbers: Vec<usize> = survey(text).numbers(start).collect();
            for at in start..text.len() {
                if !digit(at) || at > 0 && digit(at - 1) {
                    continue;
                }
                let len = (at..).take_while(|at| digit(*at)).count();
                let are_digits = |mut range: Range<usize>| range.all(digit);
                let is_mark = |at: usize| text.get(at) == Some(&b'-');
                let note = len >= 13
                    || len == 4 && are_digits(at + 5..at + 8)
                    || len == 3
                        && is_mark(at + 3)
                        && are_digits(at + 4..at + 6)
                        && is_mark(at + 6)
                        && are_digits(at + 7..at + 11)
                    || len >= 2 && at > 0 && text[at - 1].is_ascii_uppercase();
                prop_assert_eq!(numbers.contains(&at), note, "{}", at);
            }
        }
    }
}
