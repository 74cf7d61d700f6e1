//! A text with pieces replaced. Decides nothing.

use std::borrow::Cow;
use std::ops::Range;

/// A piece of a text and what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Offsets in the text, bytes.
    pub range: Range<usize>,
    /// The new bytes.
    pub new: Cow<'static, [u8]>,
}

/// The text after its edits. Of two that overlap the one that begins first counts, of those the longer.
#[must_use]
pub fn splice(text: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| (edit.range.start, usize::MAX - edit.range.end));
    let mut out = Vec::with_capacity(text.len() + edits.iter().map(|edit| edit.new.len()).sum::<usize>());
    let mut from = 0;
    for edit in &edits {
        if edit.range.start < from {
            continue;
        }
        out.extend_from_slice(text.get(from..edit.range.start).unwrap_or_default());
        out.extend_from_slice(&edit.new);
        from = edit.range.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_where_they_belong_and_an_inner_one_not_at_all() {
        let edit = |range: Range<usize>, new: &'static str| Edit { range, new: new.as_bytes().into() };
        let edits = vec![edit(6..7, "!"), edit(0..5, "x"), edit(0..2, "y"), edit(3..4, "z"), edit(7..7, "?")];
        assert_eq!(splice(b"01234 6", edits), b"x !?");
        assert_eq!(splice(b"abc", Vec::new()), b"abc");
    }
}
