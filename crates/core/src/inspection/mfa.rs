//! Second factor: does a message of this type demand one that the caller has not passed (SPEC 3.6)?
//!
//! A message whose type cannot be told could be of any, so it passes for those alone who passed one.

use std::ops::ControlFlow;

use super::field::{Field, type_of};
use super::permission::type_at;
use super::{Finding, Scene};
use crate::access::Types;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "mfa";

/// The types that demand it.
#[derive(Debug)]
pub(super) struct Check {
    types: Types,
    number: usize,
    pointer: String,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        if messages.access.mfa_types.is_empty() {
            return Ok(None);
        }
        let pointer = type_at(messages).to_owned();
        Ok(Some(Self {
            types: Types::compile(messages.access.mfa_types.iter().map(String::as_str)),
            number: pointers.add(&pointer)?,
            pointer,
            outcome: messages.on_refuse,
        }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.cx.principal.mfa {
            return ControlFlow::Continue(());
        }
        let detail = match type_of(scene.work, self.number, scene.message.bytes) {
            Field::Name(name) if self.types.find(name).is_none() => return ControlFlow::Continue(()),
            Field::Name(_) => "the type is among `mfa_types`",
            Field::Missing | Field::Other => "a message without a type could be one of `mfa_types`",
        };
        scene.refuse(Finding::new(Reason::MfaRequired, NAME, self.outcome, detail.to_owned()).at(&self.pointer))
    }
}
