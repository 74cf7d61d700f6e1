//! Checks of one's own (SPEC 8.11): whoever builds on this library adds them to a [`Plan`](super::Plan).
//!
//! A check sees what every other check has let pass, before fields are masked or sealed; MessagePack and CBOR as JSON. It
//! decides at once: it must not wait, and is asked once for each message. `examples/custom_check.rs` has one.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::field::{Field, type_of};
use super::{Direction, Finding, Reading, Scene};
use crate::identity::Principal;
use crate::policy::checked::OnRefuse;
use crate::time::Now;
use crate::verdict::Reason;

/// A check.
pub trait Custom: fmt::Debug + Send + Sync {
    /// Its name in findings and events.
    fn name(&self) -> &'static str;

    /// What it has against a message, if anything.
    fn judge(&self, said: &Said<'_>) -> Option<Objection>;
}

/// A message, as a check of one's own sees it.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Who sends or receives it.
    pub principal: &'a Principal,
    /// The present.
    pub now: Now,
    /// Its type, where it is JSON and a policy says where types stand.
    pub message_type: Option<&'a str>,
    /// Its bytes; of MessagePack and CBOR the JSON that they say.
    pub bytes: &'a [u8],
    /// They are well-formed JSON within the bounds of the policy.
    pub is_json: bool,
}

/// What a check has against a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What happens to it. A check of one's own changes nothing: `Mask` and `Sanitize` drop it.
    pub outcome: OnRefuse,
    /// JSON Pointer of the field.
    pub field: Option<String>,
    /// For operators, never for clients; nothing secret.
    pub detail: String,
}

/// A check in the list.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) custom: Arc<dyn Custom>,
    pub(super) direction: Direction,
    pub(super) type_number: Option<usize>,
}

impl Check {
    pub(super) fn name(&self) -> &'static str {
        self.custom.name()
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let (bytes, is_json) = (scene.message.bytes, scene.work.reading == Reading::Json);
        let message_type = match self.type_number.map(|number| type_of(scene.work, number, bytes)) {
            Some(Field::Name(name)) => std::str::from_utf8(name).ok(),
            _ => None,
        };
        let (principal, now) = (scene.cx.principal, scene.cx.now);
        let said = Said { direction: self.direction, principal, now, message_type, bytes, is_json };
        let Some(objection) = self.custom.judge(&said) else { return ControlFlow::Continue(()) };
        let outcome = match objection.outcome {
            OnRefuse::Mask | OnRefuse::Sanitize | OnRefuse::Replace => OnRefuse::Drop,
            outcome => outcome,
        };
        let finding = Finding::new(Reason::CustomRefused, self.custom.name(), outcome, objection.detail);
        scene.refuse(match objection.field {
            Some(field) => finding.at(&field),
            None => finding,
        })
    }
}
