//! Tenant: does the message name another tenant than the caller's (SPEC 4.5)?
//!
//! Inbound the connection is closed and nothing forwarded; outbound the message is not delivered. Neither follows
//! `on_refuse`: a crossing is never only observed. A message that names no tenant is the caller's own. One that is no
//! JSON object could name a tenant to a more lenient reader, so it does not pass, binary data included.

use std::ops::ControlFlow;

use super::field::{Field, Place, excerpt};
use super::{Direction, Finding, Reading, Scene};
use crate::message::json::ValueKind;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "tenant";

/// Where a message may name a tenant.
#[derive(Debug)]
pub(super) struct Check {
    places: Vec<Place>,
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
        let places = messages.access.tenant_at.iter().map(|pointer| Place::compile(pointer, pointers));
        let places = places.collect::<Result<_, _>>()?;
        let crossing = match direction {
            Direction::Inbound => OnRefuse::Close,
            Direction::Outbound => OnRefuse::Drop,
        };
        let unreadable = match messages.on_refuse {
            outcome if outcome.passes() => OnRefuse::Drop,
            outcome => outcome,
        };
        Ok(Some(Self { places, root: pointers.add("")?, crossing, unreadable }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let json = scene.work.reading == Reading::Json;
        if !json || scene.work.scan.value(self.root).kind != ValueKind::Object {
            let detail = "it is no JSON object, so its tenant cannot be told".to_owned();
            return scene.refuse(Finding::new(Reason::EnvelopeMissing, NAME, self.unreadable, detail));
        }
        for place in &self.places {
            let detail = match place.read(scene.work, scene.message.bytes) {
                Field::Missing => continue,
                Field::Name(name) if scene.cx.principal.belongs_to(name) => continue,
                Field::Name(name) => format!("it names the tenant `{}`", excerpt(name)),
                Field::Other => "it names a tenant by neither text nor a whole number".to_owned(),
            };
            scene.refuse(Finding::new(Reason::TenantCrossing, NAME, self.crossing, detail).at(&place.pointer))?;
        }
        ControlFlow::Continue(())
    }
}
