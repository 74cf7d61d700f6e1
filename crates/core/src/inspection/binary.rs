//! Binary messages: their kinds, sizes and rate, and MessagePack and CBOR read as JSON for the checks that follow.
//!
//! What is read so is held to every rule of text; what goes on are the bytes that came. Where a message is changed (masked,
//! cleaned, sealed), only the changed values are written anew; what cannot be written is dropped.

use std::ops::ControlFlow;

use super::{Finding, Kind, Reading, Scene};
use crate::limits::Limit;
use crate::message::binary::{self, Format, kind_of};
use crate::message::json::{Bounds, Fault};
use crate::policy::checked::{Binaries, Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "binary";

/// A message read as JSON.
#[derive(Debug)]
pub(super) struct View {
    pub(super) format: Format,
    pub(super) buffers: binary::Buffers,
    pub(super) bounds: Bounds,
}

/// A change that cannot be said in the format: the message goes nowhere.
pub(super) fn unwritable(format: Format, fault: &Fault) -> Finding {
    let detail = format!("what was to be changed cannot be written as {}: {}", format.label(), fault.words());
    Finding::new(Reason::BinaryRewritten, NAME, OnRefuse::Drop, detail)
}

/// What binary messages may be.
#[derive(Debug)]
pub(super) struct Check {
    policy: Binaries,
    rate: Option<Limit>,
    bounds: Bounds,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages) -> Option<Self> {
        let policy = messages.binaries.clone().filter(|_| messages.binary)?;
        let rate = policy.rate.map(Limit::compile);
        Some(Self { policy, rate, bounds: Bounds::from(&messages.json), outcome: messages.on_refuse })
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.message.kind != Kind::Binary {
            return ControlFlow::Continue(());
        }
        let bytes = scene.message.bytes;
        if let Some(limit) = &self.rate {
            let allowance = limit.check(&mut scene.memory.kept().binary, scene.cx.now.mono_nanos(), 1);
            if !allowance.allowed {
                let mut finding = self.finding(Reason::MessageRate, "more binary messages than `binaries.rate`".into());
                finding.retry_after = Some(allowance.retry_after);
                scene.refuse(finding)?;
            }
        }
        if self.policy.bytes_max.is_some_and(|max| bytes.len() as u64 > max) {
            let detail = format!("{} binary bytes are more than `binaries.bytes_max`", bytes.len());
            scene.refuse(self.finding(Reason::MessageTooLarge, detail))?;
        }
        let kind = kind_of(bytes, scene.work.reading == Reading::Text);
        match self.policy.read_as {
            Some(format) if !self.passes_as_file(kind) => self.read(format, scene),
            _ if self.allows(kind) => ControlFlow::Continue(()),
            _ => self.refuse_kind(kind, scene),
        }
    }

    /// Beside a format that is read, a file passes only where the policy names its kind.
    fn passes_as_file(&self, kind: &str) -> bool {
        self.policy.kinds.as_ref().is_some_and(|kinds| kinds.contains(kind))
    }

    fn allows(&self, kind: &str) -> bool {
        self.policy.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    fn refuse_kind(&self, kind: &str, scene: &mut Scene<'_>) -> ControlFlow<()> {
        scene.refuse(self.finding(Reason::BinaryKind, format!("it begins as `{kind}`")))
    }

    fn read(&self, format: Format, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if !self.allows(format.label()) {
            return self.refuse_kind(format.label(), scene);
        }
        let mut view = std::mem::take(&mut scene.work.binary);
        let outcome = binary::read(format, scene.message.bytes, &self.bounds, &mut view);
        if outcome.is_ok() {
            scene.work.reading = Reading::Text;
            scene.view = Some(View { format, buffers: view, bounds: self.bounds });
            return ControlFlow::Continue(());
        }
        scene.work.binary = view;
        let Err(refusal) = outcome else { return ControlFlow::Continue(()) };
        let reason = match refusal.fault {
            Fault::Malformed(_) => Reason::BinaryMalformed,
            Fault::DuplicateKey => Reason::JsonDuplicateKey,
            Fault::TooDeep => Reason::JsonTooDeep,
            Fault::TooManyKeys | Fault::TooManyValues => Reason::JsonTooMany,
            Fault::StringTooLong => Reason::FieldTooLarge,
        };
        // What could not be read is looked at by nothing that follows.
        scene.work.reading = Reading::Opaque;
        scene.refuse(self.finding(reason, format!("{}: {}", format.label(), refusal.words())))
    }

    fn finding(&self, reason: Reason, detail: String) -> Finding {
        Finding::new(reason, NAME, self.outcome, detail)
    }
}
