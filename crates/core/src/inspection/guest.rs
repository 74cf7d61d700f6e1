//! Guest: may somebody without a credential say, or hear, a message of this type (SPEC 4.7)?
//!
//! A list of types for anonymous callers, beside what their role may. Callers with a credential are not looked at.

use std::ops::ControlFlow;

use super::field::{Field, type_of};
use super::permission::type_at;
use super::{Finding, Scene};
use crate::access::Types;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "guest";

/// The types that are open to all.
#[derive(Debug)]
pub(super) struct Check {
    types: Types,
    number: usize,
    pointer: String,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(types) = &messages.access.guest_types else { return Ok(None) };
        let pointer = type_at(messages).to_owned();
        Ok(Some(Self {
            types: Types::compile(types.iter().map(String::as_str)),
            number: pointers.add(&pointer)?,
            pointer,
            outcome: messages.on_refuse,
        }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if !scene.cx.principal.is_anonymous() {
            return ControlFlow::Continue(());
        }
        let detail = match type_of(scene.work, self.number, scene.message.bytes) {
            Field::Name(name) if self.types.find(name).is_some() => return ControlFlow::Continue(()),
            Field::Name(_) => "the type is not among `guest_types`",
            Field::Missing | Field::Other => "a message without a type is not among `guest_types`",
        };
        scene.refuse(Finding::new(Reason::GuestRefused, NAME, self.outcome, detail.to_owned()).at(&self.pointer))
    }
}
