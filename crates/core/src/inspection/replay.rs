//! Replay: whether a message id was seen before on this connection, or on any of its user's.
//!
//! An id is a string of at most [`ID_BYTES_MAX`] bytes or a whole number; `7` and `"7"` are the same id. A
//! message without one is not looked at: `envelope.required` says whether it may come.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Finding, Reading, Scene};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{ValueKind, decode_into};
use crate::message::replay::Window;
use crate::policy::checked::{Messages, OnRefuse, ReplayPer};
use crate::verdict::Reason;

pub(super) const NAME: &str = "replay";

/// Longest id, decoded bytes: four UUIDs and more.
pub(super) const ID_BYTES_MAX: usize = 256;

/// A silent user's ids are kept so long where no timestamp says when they are worthless.
const KEEP: Duration = Duration::from_secs(3600);

/// Where the id stands and how many are remembered.
#[derive(Debug)]
pub(super) struct Check {
    number: usize,
    pointer: String,
    ids_max: u32,
    per: ReplayPer,
    /// Longer than any message's timestamp is tolerated.
    keep: Duration,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(envelope) = &messages.envelope else { return Ok(None) };
        if envelope.replay_ids_max == 0 {
            return Ok(None);
        }
        let number = pointers.add(&envelope.id_at)?;
        let pointer = envelope.id_at.clone();
        let keep = envelope.timestamp_tolerance.map_or(KEEP, |tolerance| tolerance.saturating_mul(2));
        Ok(Some(Self {
            number,
            pointer,
            ids_max: envelope.replay_ids_max,
            per: envelope.replay_per,
            keep,
            outcome: messages.on_refuse,
        }))
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.work.reading != Reading::Json {
            return ControlFlow::Continue(());
        }
        let value = scene.work.scan.value(self.number);
        let raw = value.raw(scene.message.bytes);
        let id = match value.kind {
            ValueKind::Missing => return ControlFlow::Continue(()),
            ValueKind::String if value.escapes => {
                scene.work.name.clear();
                decode_into(raw, &mut scene.work.name);
                scene.work.name.as_slice()
            }
            ValueKind::String => raw,
            // A number has many spellings; an id has one.
            ValueKind::Number if raw.iter().all(u8::is_ascii_digit) => raw,
            _ => {
                let detail = "the id is neither a string nor a whole number".to_owned();
                return scene.refuse(self.finding(Reason::EnvelopeMissing, detail));
            }
        };
        if id.len() > ID_BYTES_MAX {
            let detail = format!("an id of {} bytes; {ID_BYTES_MAX} are read", id.len());
            return scene.refuse(self.finding(Reason::FieldTooLarge, detail));
        }
        let hash = Window::hash(scene.work.seed, id);
        let (cx, seed) = (scene.cx, scene.work.seed);
        let kept = scene.memory.kept();
        let (fresh, whose) = match cx.principal.subject.as_deref().filter(|_| self.per == ReplayPer::User) {
            Some(subject) => {
                let ids = kept.seen.get_or_insert_with(|| {
                    let tenant = cx.principal.tenant.as_deref().unwrap_or_default();
                    let user = [b"ids ", tenant.as_bytes(), b"\0", subject.as_bytes()].concat();
                    cx.ledger.seen().of(Window::hash(seed, &user), self.ids_max, self.keep, cx.now.mono)
                });
                (ids.remember(hash, cx.now.mono), "user")
            }
            None => (kept.ids.get_or_insert_with(|| Window::new(self.ids_max)).remember(hash), "connection"),
        };
        if fresh {
            return ControlFlow::Continue(());
        }
        let detail = format!("the id was among the last {} of this {whose}", self.ids_max);
        scene.refuse(self.finding(Reason::Replayed, detail))
    }

    fn finding(&self, reason: Reason, detail: String) -> Finding {
        Finding::new(reason, NAME, self.outcome, detail).at(&self.pointer)
    }
}
