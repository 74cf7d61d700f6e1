//! Tenant: does the message name another tenant than the caller's (SPEC 4.5)?
//!
//! Inbound the connection is closed and nothing forwarded; outbound the message is not delivered. Neither follows
//! `on_refuse`: a crossing is never only observed. A message that names no tenant is the caller's own. One that is no
//! JSON object could name a tenant to a more lenient reader, so it does not pass, binary data included.

use std::ops::ControlFlow;

use super::field::{Field, read};
use super::{Direction, Finding, Reading, Scene};
use crate::message::json::ValueKind;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "tenant";

/// Longest excerpt of a tenant in a finding's detail, bytes.
const EXCERPT_BYTES_MAX: usize = 64;

/// Where a message may name a tenant.
#[derive(Debug)]
pub(super) struct Check {
    fields: Vec<(usize, String)>,
    root: usize,
    crossing: OnRefuse,
    unreadable: OnRefuse,
}

impl Check {
    pub(super) fn compile(
        messages: &Messages,
        direction: Direction,
        pointers: &mut Pointers,
    ) -> Result<Option<Self>, PointerError> {
        if messages.access.tenant_at.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::new();
        for pointer in &messages.access.tenant_at {
            fields.push((pointers.add(pointer)?, pointer.clone()));
        }
        let crossing = match direction {
            Direction::Inbound => OnRefuse::Close,
            Direction::Outbound => OnRefuse::Drop,
        };
        let unreadable = match messages.on_refuse {
            outcome if outcome.passes() => OnRefuse::Drop,
            outcome => outcome,
        };
        Ok(Some(Self { fields, root: pointers.add("")?, crossing, unreadable }))
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let json = scene.work.reading == Reading::Json;
        if !json || scene.work.scan.value(self.root).kind != ValueKind::Object {
            let detail = "it is no JSON object, so its tenant cannot be told".to_owned();
            return scene.refuse(Finding::new(Reason::EnvelopeMissing, NAME, self.unreadable, detail));
        }
        for (number, pointer) in &self.fields {
            let work = &mut *scene.work;
            let detail = match read(work.scan.value(*number), scene.message.bytes, &mut work.name) {
                Field::Missing => continue,
                Field::Name(name) if scene.cx.principal.belongs_to(name) => continue,
                Field::Name(name) => {
                    let excerpt = name.get(..name.len().min(EXCERPT_BYTES_MAX)).unwrap_or_default().escape_ascii();
                    format!("it names the tenant `{excerpt}`")
                }
                Field::Other => "it names a tenant by neither text nor a whole number".to_owned(),
            };
            scene.refuse(Finding::new(Reason::TenantCrossing, NAME, self.crossing, detail).at(pointer))?;
        }
        ControlFlow::Continue(())
    }
}
