//! Threats: every string of a message, keys included, against the classes of attack that the policy names.
//!
//! What each class looks for is in [`crate::message::threat`]. At most one finding a class and message.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{FIELD_BYTES_MAX, Finding, Reading, Scene, Workspace};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{Bounds, StringSpan, ValueKind};
use crate::message::threat::{ClassSet, Detection, Detector};
use crate::policy::checked::{Messages, OnRefuse, ThreatClass};
use crate::verdict::Reason;

pub(super) const NAME: &str = "threat";

/// The classes looked for, what happens for each, and the fields left out.
#[derive(Debug)]
pub(super) struct Check {
    detector: Detector,
    outcomes: BTreeMap<ThreatClass, OnRefuse>,
    skipped: Vec<usize>,
    bounds: Bounds,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(threats) = messages.threats.as_ref().filter(|threats| !threats.classes.is_empty()) else {
            return Ok(None);
        };
        let mut skipped = Vec::new();
        for pointer in &threats.skip_fields {
            skipped.push(pointers.add(pointer)?);
        }
        Ok(Some(Self {
            detector: Detector::new(threats.classes.keys().copied().collect(), threats.decode_layers_max),
            outcomes: threats.classes.clone(),
            skipped,
            bounds: Bounds::from(&messages.json),
        }))
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let mut wanted = self.detector.classes();
        match scene.work.reading {
            Reading::Opaque => ControlFlow::Continue(()),
            Reading::Text => self.judge(scene, None, &mut wanted),
            Reading::Json => {
                for index in 0..scene.work.scan.strings().len() {
                    let Some(&span) = scene.work.scan.strings().get(index) else { break };
                    self.judge(scene, Some(span), &mut wanted)?;
                }
                ControlFlow::Continue(())
            }
        }
    }

    fn judge(&self, scene: &mut Scene<'_>, span: Option<StringSpan>, wanted: &mut ClassSet) -> ControlFlow<()> {
        loop {
            let bytes = scene.message.bytes;
            let work = &mut *scene.work;
            let found = match span {
                Some(span) => self.detector.string(span.raw(bytes), span.escapes, span.key, *wanted, &mut work.buffers),
                None => self.detector.string(bytes, false, false, *wanted, &mut work.buffers),
            };
            let Some(found) = found else { return ControlFlow::Continue(()) };
            if span.is_some_and(|span| self.is_skipped(span, work)) {
                return ControlFlow::Continue(());
            }
            wanted.remove(found.class);
            let finding = self.finding(&found, span, bytes, work);
            scene.refuse(finding)?;
        }
    }

    fn is_skipped(&self, span: StringSpan, work: &Workspace) -> bool {
        !span.key
            && self.skipped.iter().any(|&number| {
                let value = work.scan.value(number);
                value.kind == ValueKind::String && value.start == span.start
            })
    }

    fn finding(&self, found: &Detection, span: Option<StringSpan>, bytes: &[u8], work: &mut Workspace) -> Finding {
        let outcome = self.outcomes.get(&found.class).copied().unwrap_or(OnRefuse::Reply);
        let finding = Finding::new(reason(found.class), NAME, outcome, found.words());
        match span {
            Some(span) => finding.at(&work.tracer.pointer_of(bytes, &self.bounds, span.start, FIELD_BYTES_MAX)),
            None => finding,
        }
    }
}

const fn reason(class: ThreatClass) -> Reason {
    match class {
        ThreatClass::Sqli => Reason::ThreatSqli,
        ThreatClass::Nosql => Reason::ThreatNosql,
        ThreatClass::Xss => Reason::ThreatXss,
        ThreatClass::Command => Reason::ThreatCommand,
        ThreatClass::Traversal => Reason::ThreatTraversal,
        ThreatClass::Template => Reason::ThreatTemplate,
        ThreatClass::Ldap => Reason::ThreatLdap,
        ThreatClass::Xxe => Reason::ThreatXxe,
        ThreatClass::Lookup => Reason::ThreatLookup,
    }
}
