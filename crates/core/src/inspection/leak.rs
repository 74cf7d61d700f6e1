//! Leaks: a message's bytes against what must not leave (or arrive). What each class is, is in
//! [`crate::message::leak`]. At most one finding a class and message; none repeats what was found. Where a finding stands
//! is looked up when there is one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Evidence, FIELD_BYTES_MAX, Finding, Look, Reading, Scene};
use crate::message::json::{Bounds, Fault, Pointers, StringSpan};
use crate::message::leak::{self, Leak, LeakClass, LeakSet, Unmaskable};
use crate::message::survey::Class;
use crate::message::threat::{Confidence, Encodings};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "leak";

/// The classes looked for, and what happens for each.
#[derive(Debug)]
pub(super) struct Check {
    classes: LeakSet,
    outcomes: BTreeMap<LeakClass, OnRefuse>,
    records_max: usize,
    bounds: Bounds,
}

impl Check {
    pub(super) fn compile(messages: &Messages) -> Option<Self> {
        let leaks = messages.leaks.as_ref().filter(|leaks| !leaks.classes.is_empty())?;
        leak::prepare();
        Some(Self {
            classes: leaks.classes.keys().copied().collect(),
            outcomes: leaks.classes.clone(),
            records_max: leaks.records_max,
            bounds: Bounds::from(&messages.json),
        })
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let mut wanted = self.classes;
        let mut to_mask = LeakSet::default();
        let mut masked = Vec::new();
        let bytes = scene.message.bytes;
        scene.work.look(bytes, Look::Leaks);
        while let Some(found) = leak::find_in(bytes, &scene.work.survey, wanted, self.records_max) {
            wanted.remove(found.class);
            let finding = self.finding(&found, scene);
            if finding.outcome == OnRefuse::Mask {
                to_mask.insert(found.class);
                masked.push(finding);
            } else {
                scene.refuse(finding)?;
            }
        }
        self.behind_escapes(scene, wanted)?;
        if masked.is_empty() {
            return ControlFlow::Continue(());
        }
        self.mask(scene, to_mask, masked)
    }

    /// The same in what a reader of JSON makes of `\/` and `\u0041`, where there are any. What shows only there has no
    /// place in the text that could be masked.
    fn behind_escapes(&self, scene: &mut Scene<'_>, mut wanted: LeakSet) -> ControlFlow<()> {
        let bytes = scene.message.bytes;
        if !scene.work.survey.any(Class::Escape, 0..bytes.len()) {
            return ControlFlow::Continue(());
        }
        let Some(text) = leak::without_escapes(bytes) else { return ControlFlow::Continue(()) };
        while let Some(found) = leak::find(&text, wanted, self.records_max) {
            wanted.remove(found.class);
            let mut finding = self.named(&found, format!("{}, behind escapes", found.what));
            finding.evidence = Some(Evidence {
                bytes: (0, bytes.len()),
                decoded: Encodings::BACKSLASH,
                confidence: Confidence::Likely,
                page: found.class.page(),
            });
            if finding.outcome == OnRefuse::Mask {
                finding.outcome = OnRefuse::Drop;
                finding.detail = format!("{}, which cannot be masked", finding.detail);
            }
            scene.refuse(finding)?;
        }
        ControlFlow::Continue(())
    }

    /// The message goes on without what was found, or not at all.
    fn mask(&self, scene: &mut Scene<'_>, wanted: LeakSet, findings: Vec<Finding>) -> ControlFlow<()> {
        let bytes = scene.message.bytes;
        // What a backend says may be JSON that no check has read.
        let read = match scene.work.reading {
            Reading::Json => Ok(true),
            _ => match scene.work.tracer.run(bytes, &self.bounds, &Pointers::default()) {
                Ok(()) => Ok(false),
                Err(refusal) => Err(refusal.fault),
            },
        };
        let text = match read {
            Ok(true) => leak::mask(bytes, wanted, self.records_max, Some(scene.work.scan.strings())),
            Ok(false) => leak::mask(bytes, wanted, self.records_max, Some(scene.work.tracer.strings())),
            Err(Fault::Malformed(_)) => leak::mask(bytes, wanted, self.records_max, None),
            Err(_) => Err(Unmaskable::Left),
        };
        match text {
            Ok(text) => {
                scene.findings.extend(findings);
                scene.rewritten = Some(text);
                ControlFlow::Continue(())
            }
            Err(why) => {
                for mut finding in findings {
                    finding.outcome = OnRefuse::Drop;
                    finding.detail = format!("{}; {}", finding.detail, why.words());
                    scene.findings.push(finding);
                }
                ControlFlow::Break(())
            }
        }
    }

    fn finding(&self, found: &Leak, scene: &mut Scene<'_>) -> Finding {
        let mut finding = self.named(found, format!("{} at byte {}", found.what, found.at));
        let bytes = scene.message.bytes;
        let span = self.string_at(found.at, scene);
        let range = span.map_or((found.at, bytes.len()), |span| (span.start as usize, span.end as usize));
        finding.evidence = Some(Evidence {
            bytes: range,
            decoded: Encodings::default(),
            confidence: Confidence::Certain,
            page: found.class.page(),
        });
        match span {
            Some(span) => {
                let tracer = &mut scene.work.tracer;
                finding.at(&tracer.pointer_of(bytes, &self.bounds, span.start, FIELD_BYTES_MAX))
            }
            None => finding,
        }
    }

    /// The string of JSON in which a byte stands.
    fn string_at(&self, at: usize, scene: &mut Scene<'_>) -> Option<StringSpan> {
        let work = &mut *scene.work;
        let strings = match work.reading {
            Reading::Json => work.scan.strings(),
            // What a backend says may be JSON that no check has read.
            Reading::Text | Reading::Opaque => {
                work.tracer.run(scene.message.bytes, &self.bounds, &Pointers::default()).ok()?;
                work.tracer.strings()
            }
        };
        let before = strings.partition_point(|span| span.start as usize <= at);
        strings.get(before.checked_sub(1)?).copied().filter(|span| at < span.end as usize)
    }

    fn named(&self, found: &Leak, detail: String) -> Finding {
        let outcome = self.outcomes.get(&found.class).copied().unwrap_or(OnRefuse::Drop);
        let mut finding = Finding::new(reason(found.class), NAME, outcome, detail);
        finding.rule = Some(found.rule_name());
        finding
    }
}

const fn reason(class: LeakClass) -> Reason {
    match class {
        LeakClass::Credential => Reason::LeakCredential,
        LeakClass::Card => Reason::LeakCard,
        LeakClass::Personal => Reason::LeakPersonal,
        LeakClass::Error => Reason::LeakError,
        LeakClass::Bulk => Reason::LeakBulk,
    }
}
