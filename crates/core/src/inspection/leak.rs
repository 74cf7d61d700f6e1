//! Leaks: a message's bytes against what must not leave (or arrive). What each class is, is in
//! [`crate::message::leak`]. At most one finding a class and message; none repeats what was found.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Finding, Scene};
use crate::message::leak::{self, Leak, LeakClass, LeakSet};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "leak";

/// The classes looked for, and what happens for each.
#[derive(Debug)]
pub(super) struct Check {
    classes: LeakSet,
    outcomes: BTreeMap<LeakClass, OnRefuse>,
    records_max: usize,
}

impl Check {
    pub(super) fn compile(messages: &Messages) -> Option<Self> {
        let leaks = messages.leaks.as_ref().filter(|leaks| !leaks.classes.is_empty())?;
        Some(Self {
            classes: leaks.classes.keys().copied().collect(),
            outcomes: leaks.classes.clone(),
            records_max: leaks.records_max,
        })
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let mut wanted = self.classes;
        while let Some(found) = leak::find(scene.message.bytes, wanted, self.records_max) {
            wanted.remove(found.class);
            scene.refuse(self.finding(&found))?;
        }
        ControlFlow::Continue(())
    }

    fn finding(&self, found: &Leak) -> Finding {
        let outcome = self.outcomes.get(&found.class).copied().unwrap_or(OnRefuse::Drop);
        Finding::new(reason(found.class), NAME, outcome, format!("{} at byte {}", found.what, found.at))
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
