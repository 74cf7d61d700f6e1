//! HTML in named fields: what the policy does not allow is taken out, and the message goes on without it. What is allowed
//! is judged by [`crate::message::html`]. Stands before `threat`, which judges what is left.

use std::ops::ControlFlow;

use super::{Finding, Reading, Scene};
use crate::message::html::{Allowed, Cleaned, HTML_BYTES_MAX, MARKUP_MAX};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{Mark, ValueKind, decode_into};
use crate::message::rewrite::{Edit, splice};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "html";

/// The fields, and what they may hold.
#[derive(Debug)]
pub(super) struct Check {
    fields: Vec<(usize, String)>,
    allowed: Allowed,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(html) = &messages.html else { return Ok(None) };
        let mut fields = Vec::new();
        for pointer in &html.fields {
            fields.push((pointers.add_each(pointer)?, pointer.clone()));
        }
        Ok(Some(Self { fields, allowed: html.allowed.clone(), outcome: messages.on_refuse }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.work.reading != Reading::Json {
            return ControlFlow::Continue(());
        }
        let mut edits = Vec::new();
        for index in 0..scene.work.scan.marks().len() {
            let Some(&Mark { pattern, value }) = scene.work.scan.marks().get(index) else { break };
            let Some((_, pointer)) = self.fields.iter().find(|(number, _)| *number == usize::from(pattern)) else {
                continue;
            };
            let raw = value.raw(scene.message.bytes);
            // `<` may be written as an escape.
            let may_hold_markup = value.escapes || memchr::memchr(b'<', raw).is_some();
            if value.kind != ValueKind::String || !may_hold_markup {
                continue;
            }
            let text = if value.escapes {
                scene.work.name.clear();
                decode_into(raw, &mut scene.work.name);
                scene.work.name.as_slice()
            } else {
                raw
            };
            let Ok(text) = std::str::from_utf8(text) else {
                let detail = "the field is not UTF-8".to_owned();
                scene.refuse(Finding::new(Reason::JsonMalformed, NAME, self.outcome, detail).at(pointer))?;
                continue;
            };
            match self.allowed.clean(text) {
                Cleaned::Same => {}
                Cleaned::Changed { text, removed, only_escaped } => {
                    if !only_escaped {
                        let finding = Finding::new(Reason::HtmlSanitized, NAME, OnRefuse::Sanitize, detail(&removed));
                        scene.refuse(finding.at(pointer))?;
                    }
                    edits.push(Edit { range: value.start as usize..value.end as usize, new: escaped(&text).into() });
                }
                Cleaned::TooMuch => {
                    let detail = format!("more HTML than {HTML_BYTES_MAX} bytes or {MARKUP_MAX} tags");
                    scene.refuse(Finding::new(Reason::FieldTooLarge, NAME, self.outcome, detail).at(pointer))?;
                }
            }
        }
        if !edits.is_empty() {
            scene.rewritten = Some(splice(scene.message.bytes, edits));
        }
        ControlFlow::Continue(())
    }
}

fn detail(removed: &[String]) -> String {
    if removed.is_empty() {
        return "broken markup, or an address that may not stand there".to_owned();
    }
    format!("taken out: {}", removed.join(", "))
}

/// A text as it stands between the quotes of a JSON string.
pub(super) fn escaped(text: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or_default().as_bytes().to_vec()
}
