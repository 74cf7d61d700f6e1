//! Threats: every string of a message, keys included, against the classes of attack that the policy names.
//!
//! What each class looks for is in [`crate::message::threat`]. At most one finding a class, outcome and message. What
//! holds in a field is looked up only for a string in which something was found.

mod fields;

use std::ops::ControlFlow;

use super::html::escaped;
use super::{Evidence, FIELD_BYTES_MAX, Finding, Look, Reading, Scene, Workspace};
use crate::message::html::{Allowed, Cleaned};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{Bounds, StringSpan, decode_into};
use crate::message::rewrite::{Edit, splice};
use crate::message::survey::Surveyed;
use crate::message::threat::{ClassSet, Confidence, Detection, Detector, LAYERS_MAX, is_bland, page};
use crate::policy::checked::{Messages, OnRefuse, ThreatClass, ThreatOutcomes};
use crate::verdict::Reason;
use fields::{Cursor, Fields};

pub(super) const NAME: &str = "threat";

/// The classes looked for, what happens for each, and in which fields something else does.
#[derive(Debug)]
pub(super) struct Check {
    detector: Detector,
    outcomes: ThreatOutcomes,
    fields: Fields,
    /// Class → the most that can happen for it anywhere.
    worst: ThreatOutcomes,
    confidence: Confidence,
    sanitized: Option<Allowed>,
    bounds: Bounds,
}

/// What is known of the present message.
struct Course {
    /// Classes for which nothing worse can come.
    wanted: ClassSet,
    told: Vec<(ThreatClass, OnRefuse)>,
    cursor: Cursor,
    edits: Vec<Edit>,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(threats) = &messages.threats else { return Ok(None) };
        let mut worst = ThreatOutcomes::new();
        for (&class, &outcome) in threats.fields.values().flatten().chain(&threats.classes) {
            let most = worst.entry(class).or_insert(outcome);
            *most = outcome.max(*most);
        }
        if worst.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            detector: Detector::new(worst.keys().copied().collect(), threats.decode_layers_max),
            outcomes: threats.classes.clone(),
            fields: Fields::compile(threats, pointers)?,
            worst,
            confidence: threats.confidence,
            sanitized: threats.sanitized.clone(),
            bounds: Bounds::from(&messages.json),
        }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let mut course =
            Course { wanted: self.detector.classes(), told: Vec::new(), cursor: Cursor::default(), edits: Vec::new() };
        if scene.work.reading != Reading::Opaque {
            scene.work.look(scene.message.bytes, Look::Threats);
        }
        match scene.work.reading {
            Reading::Opaque => {}
            Reading::Text => self.judge(scene, None, &mut course)?,
            Reading::Json => {
                for index in 0..scene.work.scan.strings().len() {
                    let Some(&span) = scene.work.scan.strings().get(index) else { break };
                    // Most keys and ids. Asked here, where it costs no call.
                    if is_bland(span.raw(scene.message.bytes)) {
                        continue;
                    }
                    self.judge(scene, Some(span), &mut course)?;
                }
            }
        }
        if !course.edits.is_empty() {
            scene.rewritten = Some(splice(scene.message.bytes, course.edits));
        }
        ControlFlow::Continue(())
    }

    fn judge(&self, scene: &mut Scene<'_>, span: Option<StringSpan>, course: &mut Course) -> ControlFlow<()> {
        let mut wanted = course.wanted;
        while let Some(found) = self.find(scene, span, wanted) {
            wanted.remove(found.class);
            let Some(mut outcome) = self.outcome(&found, span, scene.work, &mut course.cursor) else { continue };
            if found.confidence() < self.confidence {
                outcome = OnRefuse::Observe;
            }
            if outcome == OnRefuse::Sanitize {
                match span.and_then(|span| self.sanitize(scene, span)) {
                    Some(edit) => course.edits.push(edit),
                    None => outcome = OnRefuse::Reply,
                }
            }
            if self.worst.get(&found.class).is_none_or(|worst| outcome >= *worst && outcome != OnRefuse::Sanitize) {
                course.wanted.remove(found.class);
            }
            if !course.told.contains(&(found.class, outcome)) {
                course.told.push((found.class, outcome));
                let finding = self.finding(&found, outcome, span, scene.message.bytes, scene.work);
                scene.refuse(finding)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The first finding in a string; of a class that shows at several depths of encoding, the surest.
    fn find(&self, scene: &mut Scene<'_>, span: Option<StringSpan>, wanted: ClassSet) -> Option<Detection> {
        let bytes = scene.message.bytes;
        let (survey, buffers) = (&scene.work.survey, &mut scene.work.buffers);
        let (raw, at, escapes, key) = span
            .map_or((bytes, 0, false, false), |span| (span.raw(bytes), span.start as usize, span.escapes, span.key));
        let raw = Surveyed::at(raw, survey, at);
        let found = self.detector.surveyed(raw, escapes, key, wanted, LAYERS_MAX, buffers)?;
        if found.confidence() >= self.confidence {
            return Some(found);
        }
        // A packed decoy does not hide what stands there as it is.
        let only = [found.class].into_iter().collect();
        let surer = self.detector.surveyed(raw, escapes, key, only, self.confidence.layers_max(), buffers);
        Some(surer.unwrap_or(found))
    }

    /// What happens; nothing where the class is off.
    fn outcome(
        &self,
        found: &Detection,
        span: Option<StringSpan>,
        work: &Workspace,
        cursor: &mut Cursor,
    ) -> Option<OnRefuse> {
        let field = span.and_then(|span| self.fields.of(span, work.scan.marks(), cursor));
        field.unwrap_or(&self.outcomes).get(&found.class).copied()
    }

    /// The string without markup that is not allowed, if nothing is found in it then.
    fn sanitize(&self, scene: &mut Scene<'_>, span: StringSpan) -> Option<Edit> {
        let allowed = self.sanitized.as_ref().filter(|_| !span.key)?;
        let raw = span.raw(scene.message.bytes);
        let mut plain = Vec::new();
        if span.escapes {
            decode_into(raw, &mut plain);
        } else {
            plain.extend_from_slice(raw);
        }
        let Cleaned::Changed { text, .. } = allowed.clean(std::str::from_utf8(&plain).ok()?) else { return None };
        let all = self.detector.classes();
        if self.detector.string(text.as_bytes(), false, false, all, &mut scene.work.buffers).is_some() {
            return None;
        }
        Some(Edit { range: span.start as usize..span.end as usize, new: escaped(&text).into() })
    }

    fn finding(
        &self,
        found: &Detection,
        outcome: OnRefuse,
        span: Option<StringSpan>,
        bytes: &[u8],
        work: &mut Workspace,
    ) -> Finding {
        let mut finding = Finding::new(reason(found.class), NAME, outcome, found.words());
        finding.rule = Some(found.rule_name());
        let range = span.map_or(0..bytes.len(), |span| span.start as usize..span.end as usize);
        finding.evidence = Some(Evidence {
            bytes: (range.start, range.end),
            decoded: found.encodings,
            confidence: found.confidence(),
            page: page(found.class),
        });
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
