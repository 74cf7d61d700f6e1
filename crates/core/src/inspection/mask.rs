//! Fields whose values nobody is to read: each becomes `"***"`, whatever it is; `null` and what is missing stay. A
//! step `*` stands for any member or element.
//!
//! It finds nothing to tell: what is masked is what the policy names.

use std::ops::ControlFlow;

use super::{Reading, Scene};
use crate::message::json::ValueKind;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::rewrite::{Edit, splice};
use crate::policy::checked::Messages;

pub(super) const NAME: &str = "mask";

/// What stands for a value; its length is not told.
const STARS: &[u8] = b"***";
const QUOTED_STARS: &[u8] = b"\"***\"";

/// The fields.
#[derive(Debug)]
pub(super) struct Check {
    /// A bit each.
    patterns: u64,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let mut patterns = 0;
        for pattern in &messages.mask {
            patterns |= 1 << pointers.add_each(pattern)?;
        }
        Ok((patterns != 0).then_some(Self { patterns }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.work.reading != Reading::Json {
            return ControlFlow::Continue(());
        }
        let mut edits: Vec<Edit> = Vec::new();
        for mark in scene.work.scan.marks().iter().filter(|mark| self.patterns >> mark.pattern & 1 == 1) {
            let value = mark.value;
            let new = match value.kind {
                ValueKind::Missing | ValueKind::Null => continue,
                ValueKind::String => STARS,
                ValueKind::Number | ValueKind::Boolean | ValueKind::Object | ValueKind::Array => QUOTED_STARS,
            };
            edits.push(Edit { range: value.start as usize..value.end as usize, new: new.into() });
        }
        if !edits.is_empty() {
            scene.rewritten = Some(splice(scene.message.bytes, edits));
        }
        ControlFlow::Continue(())
    }
}
