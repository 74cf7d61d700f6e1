//! The one look: a block of bytes to a bit a byte for each class.

use std::sync::LazyLock;

use fearless_simd::{Simd, prelude::*, u8x64, u64x8};

use super::{BLOCK, Block, Prints};

/// Sets of bytes as two tables of sixteen, each repeated to a block: a byte is in a set when the set's bit is in the
/// entries of both its halves.
#[derive(Debug)]
pub(super) struct Table {
    low: [u8; BLOCK],
    high: [u8; BLOCK],
}

impl Table {
    pub(super) const fn empty() -> Self {
        Self { low: [0; BLOCK], high: [0; BLOCK] }
    }

    /// Puts a byte into the sets of `bits`. A set must be a product: some low halves with some high ones.
    fn insert(&mut self, byte: u8, bits: u8) {
        self.insert_halves(1 << (byte & 15), 1 << (byte >> 4), bits);
    }

    /// Puts the product of some low halves and some high ones, a bit each, into the sets of `bits`.
    pub(super) fn insert_halves(&mut self, low: u16, high: u16, bits: u8) {
        for (table, halves) in [(&mut self.low, low), (&mut self.high, high)] {
            let chosen = table.iter_mut().enumerate().filter(|(at, _)| halves >> (at % 16) & 1 == 1);
            chosen.for_each(|(_, entry)| *entry |= bits);
        }
    }

    fn of(sets: fn(u8) -> u8) -> Self {
        let mut table = Self::empty();
        (0..=u8::MAX).for_each(|byte| table.insert(byte, sets(byte)));
        table
    }
}

/// Marks, by the rows of the ASCII table, and what else may be an edge.
static MARKS: LazyLock<Table> = LazyLock::new(|| {
    Table::of(|byte| match byte {
        0..=31 => CONTROL,
        b'"' => 2 | QUOTE,
        b'\\' => 16 | ESCAPING,
        b'!'..=b')' | b'+' | b'-' | b'/' => 2,
        b':'..=b'>' => 4,
        b'@' | b'`' => 8,
        b'['..=b'_' => 16,
        b'{' | b'|' => 32,
        _ => 0,
    })
});
const ANY_MARK: u8 = 63;
const CONTROL: u8 = 1;
const QUOTE: u8 = 1 << 6;
const ESCAPING: u8 = 1 << 7;

/// The other classes.
static OTHERS: LazyLock<Table> = LazyLock::new(|| {
    Table::of(|byte| match byte {
        b'0'..=b'9' => DIGIT,
        b'A'..=b'O' => CAPITAL_TO_O,
        b'X' => CAPITAL_FROM_P | CROSS,
        b'P'..=b'Z' => CAPITAL_FROM_P,
        b'x' => CROSS,
        b'%' | b'&' => PERCENT,
        b'\\' => BACKSLASH,
        0xef => WIDE,
        _ => 0,
    })
});
const DIGIT: u8 = 1;
const CAPITAL_TO_O: u8 = 1 << 1;
const CAPITAL_FROM_P: u8 = 1 << 2;
const CROSS: u8 = 1 << 3;
const PERCENT: u8 = 1 << 4;
const BACKSLASH: u8 = 1 << 5;
const WIDE: u8 = 1 << 6;

/// The vectors of a table.
struct Loaded<S: Simd> {
    low: u8x64<S>,
    high: u8x64<S>,
}

impl<S: Simd> Loaded<S> {
    #[inline(always)]
    fn of(simd: S, table: &Table) -> Self {
        Self { low: u8x64::from_slice(simd, &table.low), high: u8x64::from_slice(simd, &table.high) }
    }

    /// The sets of each byte, given its halves.
    #[inline(always)]
    fn sets(&self, low: u8x64<S>, high: u8x64<S>) -> u8x64<S> {
        self.low.swizzle_dyn_within_blocks(low) & self.high.swizzle_dyn_within_blocks(high)
    }
}

/// A bit for each byte that is in one of the sets.
#[inline(always)]
fn in_any<S: Simd>(sets: u8x64<S>, bits: u8) -> u64 {
    !(sets & bits).simd_eq(0).to_bitmask()
}

/// What one block leaves to the next.
#[derive(Default)]
struct Before {
    /// Its last byte is a digit, a capital: the lowest bit.
    digit: u64,
    capital: u64,
    /// Two capitals stood side by side in it, or in one before it.
    capitals: u64,
}

/// Whether two capitals stand side by side. Plain loops: what an iterator's closure does is compiled apart, without the vector unit.
#[inline(always)]
pub(super) fn look<S: Simd>(simd: S, text: &[u8], words: Option<&Prints>, out: &mut Vec<Block>) -> bool {
    let (blocks, tail) = text.as_chunks::<BLOCK>();
    let mut last = [b' '; BLOCK];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    let tables = (Loaded::of(simd, &MARKS), Loaded::of(simd, &OTHERS));
    let mut before = Before::default();
    let Some(Prints { tables: [first, second, third], .. }) = words else {
        for block in blocks.iter().chain([&last]) {
            let bytes = u8x64::from_slice(simd, block);
            out.push(classes(&tables, bytes & 15, bytes >> 4, 0, &mut before));
        }
        return before.capitals != 0;
    };
    let (first, second, third) = (Loaded::of(simd, first), Loaded::of(simd, second), Loaded::of(simd, third));
    let (mut before_first, mut before_second) = (u8x64::splat(simd, 0), u8x64::splat(simd, 0));
    for block in blocks.iter().chain([&last]) {
        let bytes = u8x64::from_slice(simd, block);
        let (low, high) = (bytes & 15, bytes >> 4);
        let (firsts, seconds) = (first.sets(low, high), second.sets(low, high));
        let begun = before_first.slide::<62>(firsts) & before_second.slide::<63>(seconds);
        let words = in_any(begun & third.sets(low, high), u8::MAX);
        (before_first, before_second) = (firsts, seconds);
        out.push(classes(&tables, low, high, words, &mut before));
    }
    before.capitals != 0
}

/// The classes each block has any of, a bit a class.
#[inline(always)]
pub(super) fn list_present<S: Simd>(simd: S, blocks: &[Block], out: &mut Vec<u8>) {
    for block in blocks {
        out.push(!u64x8::from_slice(simd, block).simd_eq(0).to_bitmask() as u8);
    }
}

#[inline(always)]
fn classes<S: Simd>(
    (marks, others): &(Loaded<S>, Loaded<S>),
    low: u8x64<S>,
    high: u8x64<S>,
    words: u64,
    before: &mut Before,
) -> Block {
    let (marks, others) = (marks.sets(low, high), others.sets(low, high));
    let (mark, digits) = (in_any(marks, ANY_MARK), in_any(others, DIGIT));
    let escapes = in_any(others, PERCENT | BACKSLASH | WIDE);
    let crosses = in_any(others, CROSS) & (digits << 1 | before.digit);
    let capitals = in_any(others, CAPITAL_TO_O | CAPITAL_FROM_P);
    before.capitals |= capitals & (capitals << 1 | before.capital);
    (before.digit, before.capital) = (digits >> (BLOCK - 1), capitals >> (BLOCK - 1));
    // In the order of `Class`.
    [
        mark,
        digits,
        capitals,
        escapes,
        crosses,
        words,
        mark | escapes | crosses | words,
        in_any(marks, CONTROL | QUOTE | ESCAPING),
    ]
}
