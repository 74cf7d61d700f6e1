//! What holds in which field: of fields that lie in each other the innermost counts.
//!
//! Strings are asked about in the order they stand, so one walk over the scan's marks serves a whole message: the work is
//! linear, however many strings and marks a client sends.

use crate::message::json::pointer::{POINTERS_MAX, PointerError, Pointers};
use crate::message::json::{Mark, StringSpan, ValueKind};
use crate::policy::checked::{ThreatOutcomes, Threats};

/// The fields that a policy names.
#[derive(Debug, Default)]
pub(super) struct Fields {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: u8,
    /// It holds for a string that stands there, not for what an object there holds.
    only_strings: bool,
    outcomes: ThreatOutcomes,
}

/// How far a walk has come: marks that begin before the latest string, and those of them that have not ended.
#[derive(Debug)]
pub(super) struct Cursor {
    next: usize,
    /// Each pattern is open at most once.
    open: [u32; POINTERS_MAX],
    depth: usize,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { next: 0, open: [0; POINTERS_MAX], depth: 0 }
    }
}

impl Fields {
    pub(super) fn compile(threats: &Threats, pointers: &mut Pointers) -> Result<Self, PointerError> {
        let mut rules = Vec::new();
        let mut add = |pattern: &str, only_strings, outcomes| {
            // A pattern's number is below 64.
            let pattern = u8::try_from(pointers.add_each(pattern)?).unwrap_or(u8::MAX);
            rules.push(Rule { pattern, only_strings, outcomes });
            Ok(())
        };
        for pattern in &threats.skip_fields {
            add(pattern, true, ThreatOutcomes::new())?;
        }
        for (pattern, outcomes) in &threats.fields {
            add(pattern, false, outcomes.clone())?;
        }
        Ok(Self { rules })
    }

    /// The outcomes of the field in which a string stands; `None` where no rule names it. Strings come in their order.
    pub(super) fn of(&self, span: StringSpan, marks: &[Mark], cursor: &mut Cursor) -> Option<&ThreatOutcomes> {
        if self.rules.is_empty() {
            return None;
        }
        cursor.advance(span, marks, |mark| self.rules.iter().any(|rule| rule.pattern == mark.pattern));
        let open = cursor.open.get(..cursor.depth).unwrap_or_default();
        open.iter().rev().filter_map(|&index| marks.get(index as usize)).find_map(|mark| {
            let is_string = mark.value.kind == ValueKind::String;
            self.rules
                .iter()
                .find(|rule| rule.pattern == mark.pattern && (is_string || !rule.only_strings))
                .map(|rule| &rule.outcomes)
        })
    }
}

impl Cursor {
    fn advance(&mut self, span: StringSpan, marks: &[Mark], is_ours: impl Fn(&Mark) -> bool) {
        while let Some(mark) = marks.get(self.next).filter(|mark| mark.value.start <= span.start) {
            self.close(marks, mark.value.start);
            if is_ours(mark)
                && let Some(slot) = self.open.get_mut(self.depth)
            {
                *slot = u32::try_from(self.next).unwrap_or(u32::MAX);
                self.depth += 1;
            }
            self.next += 1;
        }
        self.close(marks, span.start);
    }

    /// Takes away what ended before an offset.
    fn close(&mut self, marks: &[Mark], before: u32) {
        while let Some(last) = self.depth.checked_sub(1)
            && let Some(&index) = self.open.get(last)
            && marks.get(index as usize).is_none_or(|mark| mark.value.end < before)
        {
            self.depth = last;
        }
    }
}
