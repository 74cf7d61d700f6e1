//! The one look: a block of bytes to a bit a byte for each class.

use std::sync::LazyLock;

use fearless_simd::{Level, Simd, prelude::*, u8x64, u64x8};

use super::{BLOCK, Block, Prints, Wanted};

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
        b'\\' => 16 | BACKSLASH,
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
const BACKSLASH: u8 = TOP;

/// The bit that is the cheapest to ask for, and that of a byte which is not ASCII.
const TOP: u8 = 1 << 7;

/// Digits and capitals.
static OTHERS: LazyLock<Table> = LazyLock::new(|| {
    Table::of(|byte| match byte {
        b'0'..=b'9' => DIGIT,
        b'A'..=b'O' => CAPITAL_TO_O,
        b'P'..=b'Z' => CAPITAL_FROM_P,
        _ => 0,
    })
});
const CAPITAL_TO_O: u8 = 1;
const CAPITAL_FROM_P: u8 = 1 << 1;
const DIGIT: u8 = TOP;

/// The sets of a byte by its six low bits, which one shuffle looks up where the vector unit has such a one: bytes 64
/// apart are mistaken for one another, and no others.
#[derive(Debug)]
pub(super) struct Folded(pub(super) [u8; BLOCK]);

/// The vectors of a [`Table`].
struct Loaded<S: Simd> {
    low: u8x64<S>,
    high: u8x64<S>,
}

impl<S: Simd> Loaded<S> {
    #[inline(always)]
    fn of(simd: S, table: &Table) -> Self {
        Self { low: u8x64::from_slice(simd, &table.low), high: u8x64::from_slice(simd, &table.high) }
    }

    /// The sets of each byte.
    #[inline(always)]
    fn sets(&self, bytes: u8x64<S>) -> u8x64<S> {
        self.low.swizzle_dyn_within_blocks(bytes & 15) & self.high.swizzle_dyn_within_blocks(bytes >> 4)
    }
}

/// Where three bytes in a row begin a word, as vectors: of one kind of table or the other.
trait Begins<S: Simd>: Sized {
    fn of(simd: S, prints: &Prints) -> Self;

    /// The sets of words whose first three bytes are these.
    fn sets(&self, bytes: Three<S>) -> u8x64<S>;
}

/// What begins two bytes before a block, and one byte; and the block.
type Three<S> = [u8x64<S>; 3];

/// Two shuffles a byte, on any vector unit.
struct ByHalves<S: Simd>([Loaded<S>; 3]);

impl<S: Simd> Begins<S> for ByHalves<S> {
    #[inline(always)]
    fn of(simd: S, Prints { halved: [first, second, third], .. }: &Prints) -> Self {
        Self([Loaded::of(simd, first), Loaded::of(simd, second), Loaded::of(simd, third)])
    }

    #[inline(always)]
    fn sets(&self, [a, b, c]: Three<S>) -> u8x64<S> {
        let Self([first, second, third]) = self;
        first.sets(a) & second.sets(b) & third.sets(c)
    }
}

/// One shuffle a byte.
struct Whole<S: Simd>([u8x64<S>; 3]);

impl<S: Simd> Begins<S> for Whole<S> {
    #[inline(always)]
    fn of(simd: S, Prints { folded: [first, second, third], .. }: &Prints) -> Self {
        Self([u8x64::from_slice(simd, &first.0), u8x64::from_slice(simd, &second.0), u8x64::from_slice(simd, &third.0)])
    }

    #[inline(always)]
    fn sets(&self, [a, b, c]: Three<S>) -> u8x64<S> {
        let Self([first, second, third]) = self;
        first.swizzle_dyn(a & 63) & second.swizzle_dyn(b & 63) & third.swizzle_dyn(c & 63)
    }
}

/// Whether one shuffle of this unit reaches 64 bytes.
#[inline(always)]
fn reaches_a_block<S: Simd>(simd: S) -> bool {
    match simd.level() {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Avx512(_) => true,
        _ => false,
    }
}

/// A bit for each byte that is in one of the sets.
#[inline(always)]
fn in_any<S: Simd>(sets: u8x64<S>, bits: u8) -> u64 {
    !(sets & bits).simd_eq(0).to_bitmask()
}

/// How a block is looked at.
trait Eyes<S: Simd> {
    /// Its bits, in the order of [`Class`](super::Class).
    fn see(&self, bytes: Three<S>) -> Block;
}

/// As [`Wanted::Edges`] says.
struct ForEdges<S: Simd> {
    marks: Loaded<S>,
}

impl<S: Simd> Eyes<S> for ForEdges<S> {
    #[inline(always)]
    fn see(&self, [_, _, here]: Three<S>) -> Block {
        [in_any(self.marks.sets(here), CONTROL | QUOTE | BACKSLASH), 0, 0, 0, 0, 0, 0, 0]
    }
}

/// As [`Wanted::Prose`] says.
struct ForProse<S: Simd, B> {
    marks: Loaded<S>,
    words: B,
}

impl<S: Simd, B: Begins<S>> Eyes<S> for ForProse<S, B> {
    #[inline(always)]
    fn see(&self, bytes: Three<S>) -> Block {
        let [_, _, here] = bytes;
        let marks = self.marks.sets(here);
        let edges = in_any(marks, CONTROL | QUOTE | BACKSLASH);
        let words = in_any(self.words.sets(bytes), u8::MAX);
        [edges, in_any(marks, ANY_MARK), in_any(marks | here, TOP), words, 0, 0, 0, 0]
    }
}

/// As [`Wanted::All`] says.
struct ForAll<S: Simd, B> {
    prose: ForProse<S, B>,
    others: Loaded<S>,
}

impl<S: Simd, B: Begins<S>> Eyes<S> for ForAll<S, B> {
    #[inline(always)]
    fn see(&self, bytes: Three<S>) -> Block {
        let [_, _, here] = bytes;
        let others = self.others.sets(here);
        let [edges, marks, escapes, words, ..] = self.prose.see(bytes);
        [edges, marks, escapes, words, in_any(others, DIGIT), in_any(others, CAPITAL_TO_O | CAPITAL_FROM_P), 0, 0]
    }
}

/// Fills `out`: the bits of each block, and of the rest behind the last whole one.
#[inline(always)]
pub(super) fn look<S: Simd>(simd: S, text: &[u8], wanted: Wanted<'_>, out: &mut [Block]) {
    match wanted {
        Wanted::Edges => each_block(simd, text, &ForEdges { marks: Loaded::of(simd, &MARKS) }, out),
        Wanted::Prose(prints) if reaches_a_block(simd) => {
            each_block(simd, text, &prose::<S, Whole<S>>(simd, prints), out)
        }
        Wanted::Prose(prints) => each_block(simd, text, &prose::<S, ByHalves<S>>(simd, prints), out),
        Wanted::All(prints) if reaches_a_block(simd) => each_block(simd, text, &all::<S, Whole<S>>(simd, prints), out),
        Wanted::All(prints) => each_block(simd, text, &all::<S, ByHalves<S>>(simd, prints), out),
    }
}

#[inline(always)]
fn prose<S: Simd, B: Begins<S>>(simd: S, prints: &Prints) -> ForProse<S, B> {
    ForProse { marks: Loaded::of(simd, &MARKS), words: B::of(simd, prints) }
}

#[inline(always)]
fn all<S: Simd, B: Begins<S>>(simd: S, prints: &Prints) -> ForAll<S, B> {
    ForAll { prose: prose(simd, prints), others: Loaded::of(simd, &OTHERS) }
}

/// Plain loops: what an iterator's closure does is compiled apart, without the vector unit.
#[inline(always)]
fn each_block<S: Simd>(simd: S, text: &[u8], eyes: &impl Eyes<S>, out: &mut [Block]) {
    let (blocks, tail) = text.as_chunks::<BLOCK>();
    // Copied early: to read at once what was just written is slow.
    let mut last = [b' '; BLOCK];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    let Some((of_last, out)) = out.split_last_mut() else { return };
    let mut out = out.iter_mut();
    let mut latest = u8x64::splat(simd, b' ');
    if let (Some(first), Some(to)) = (blocks.first(), out.next()) {
        *to = eyes.see(behind(latest, u8x64::from_slice(simd, first)));
    }
    // The blocks behind the first: to load what begins before them costs less than to slide a vector.
    let from = |bytes: usize| text.get(BLOCK - bytes..).unwrap_or_default().as_chunks::<BLOCK>().0.iter();
    for (((a, b), c), to) in from(2).zip(from(1)).zip(from(0)).zip(out) {
        *to = eyes.see([u8x64::from_slice(simd, a), u8x64::from_slice(simd, b), u8x64::from_slice(simd, c)]);
    }
    if let Some(block) = blocks.last() {
        latest = u8x64::from_slice(simd, block);
    }
    *of_last = eyes.see(behind(latest, u8x64::from_slice(simd, &last)));
}

/// A block that comes behind another.
#[inline(always)]
fn behind<S: Simd>(latest: u8x64<S>, block: u8x64<S>) -> Three<S> {
    [latest.slide::<62>(block), latest.slide::<63>(block), block]
}

/// The classes each block has any of, a bit a class.
#[inline(always)]
pub(super) fn list_present<S: Simd>(simd: S, blocks: &[Block], out: &mut [u8]) {
    for (block, to) in blocks.iter().zip(out) {
        *to = !u64x8::from_slice(simd, block).simd_eq(0).to_bitmask() as u8;
    }
}
