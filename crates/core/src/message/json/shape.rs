//! Which keys the texts of late had, in which order: the next one has them as well, as a rule.
//!
//! A key that comes where it was expected costs one comparison: that it is no duplicate, and which pointers it fits, was
//! found out when it came there first. Only keys of the outermost object are learned, short ones without escapes, for each
//! set of pointers apart. What is learned changes no result, only how soon it is known. Memory: [`SHAPES_MAX`] tries of
//! [`NODES_MAX`] keys, whatever comes.

use std::sync::Arc;

use super::pointer::Pointers;

/// Sets of pointers whose keys are known at a time.
const SHAPES_MAX: usize = 8;
/// Keys of one set of pointers; when they are more, all are forgotten.
const NODES_MAX: usize = 64;
/// Keys that are known to come at one place.
const SIBLINGS_MAX: usize = 4;
/// Texts of unknown pointers until one of them takes the place of known ones.
const STRANGERS_MAX: u32 = 64;

/// Keys that are known in all.
#[cfg(test)]
pub(super) const LEARNED_MAX: usize = SHAPES_MAX * NODES_MAX;
/// The longest key that is known, in bytes.
pub(super) const KNOWN_BYTES_MAX: u32 = 15;

/// A key's bytes and the quote after them.
type Quoted = [u8; KNOWN_BYTES_MAX as usize + 1];

/// A key that came at a place: after those on the way to it.
#[derive(Debug, Clone, Copy)]
struct Node {
    quoted: u128,
    mask: u128,
    found: Found,
    /// The first key known to come after it, and another known to come in its place: their numbers plus one, or 0.
    child: u8,
    sibling: u8,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its bytes.
    pub(super) len: u8,
    /// Pointers that end at its value.
    pub(super) hits: u64,
    /// Pointers whose first step it is.
    pub(super) begun: u64,
}

/// A place in a trie: behind one of its keys, or at its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u8);

impl Place {
    /// Before the first key.
    pub(super) const ROOT: Self = Self(0);
}

/// The keys of texts that were read with the same pointers.
#[derive(Debug, Default)]
struct Shape {
    of: Option<Arc<()>>,
    nodes: Vec<Node>,
    /// The first key known to come first.
    first: u8,
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: Vec<Shape>,
    current: usize,
    strangers: u32,
    next_to_go: usize,
}

impl Shapes {
    /// How many keys are known.
    #[cfg(test)]
    pub(super) fn learned(&self) -> usize {
        self.known.iter().map(|shape| shape.nodes.len()).sum()
    }

    /// Turns to the keys of a set of pointers. False where they are not to be known.
    pub(super) fn turn_to(&mut self, pointers: &Pointers) -> bool {
        let is_it = |shape: &Shape| shape.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, pointers.identity()));
        if self.known.get(self.current).is_some_and(is_it) {
            return true;
        }
        if let Some(at) = self.known.iter().position(is_it) {
            self.current = at;
            return true;
        }
        self.meet(pointers)
    }

    #[cold]
    fn meet(&mut self, pointers: &Pointers) -> bool {
        let new = Shape { of: Some(Arc::clone(pointers.identity())), ..Shape::default() };
        if self.known.len() < SHAPES_MAX {
            self.current = self.known.len();
            self.known.push(new);
            return true;
        }
        self.strangers += 1;
        if self.strangers < STRANGERS_MAX {
            return false;
        }
        self.strangers = 0;
        self.current = self.next_to_go;
        self.next_to_go = (self.next_to_go + 1) % SHAPES_MAX;
        if let Some(shape) = self.known.get_mut(self.current) {
            *shape = new;
        }
        true
    }

    /// The key that begins at an offset, if it is known to come here.
    #[inline]
    pub(super) fn find(&self, place: Place, text: &[u8], start: usize) -> Option<(Place, Found)> {
        let shape = self.known.get(self.current)?;
        let bytes = u128::from_le_bytes(*text.get(start..)?.first_chunk()?);
        let mut number = shape.after(place);
        loop {
            let node = shape.nodes.get(usize::from(number).wrapping_sub(1))?;
            if bytes & node.mask == node.quoted {
                return Some((Place(number), node.found));
            }
            number = node.sibling;
        }
    }

    /// Learns that a key came here. The place behind it, where it could be learned.
    #[cold]
    pub(super) fn learn(&mut self, place: Place, name: &[u8], hits: u64, begun: u64) -> Option<Place> {
        let shape = self.known.get_mut(self.current)?;
        if shape.nodes.len() >= NODES_MAX {
            shape.nodes.clear();
            shape.first = 0;
            return None;
        }
        let mut quoted: Quoted = [0; _];
        let mut mask: Quoted = [0; _];
        let len = name.len();
        if len >= quoted.len() || name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=31)) {
            return None;
        }
        quoted.get_mut(..len)?.copy_from_slice(name);
        *quoted.get_mut(len)? = b'"';
        mask.get_mut(..=len)?.fill(0xff);
        let sibling = shape.after(place);
        if shape.siblings(sibling) >= SIBLINGS_MAX {
            return None;
        }
        shape.nodes.push(Node {
            quoted: u128::from_le_bytes(quoted),
            mask: u128::from_le_bytes(mask),
            found: Found { len: u8::try_from(len).ok()?, hits, begun },
            child: 0,
            sibling,
        });
        let number = u8::try_from(shape.nodes.len()).ok()?;
        match shape.nodes.get_mut(usize::from(place.0).wrapping_sub(1)) {
            Some(node) => node.child = number,
            None => shape.first = number,
        }
        Some(Place(number))
    }
}

impl Shape {
    /// The number of the first key known to come after a place.
    #[inline]
    fn after(&self, place: Place) -> u8 {
        self.nodes.get(usize::from(place.0).wrapping_sub(1)).map_or(self.first, |node| node.child)
    }

    fn siblings(&self, mut number: u8) -> usize {
        let mut count = 0;
        while let Some(node) = self.nodes.get(usize::from(number).wrapping_sub(1)) {
            count += 1;
            number = node.sibling;
        }
        count
    }
}
