//! JSON: runs the strict scanner where the policy says that text is JSON.
//!
//! A binary message that is well-formed JSON is held to the same rules as text; one that is not is taken as
//! plain text, for a piece of a text file may begin with a brace. It is still refused for a duplicate key and
//! for exceeding a bound.

use std::ops::ControlFlow;

use super::{FIELD_BYTES_MAX, Finding, Kind, Look, Reading, Scene, Workspace};
use crate::message::json::{Bounds, Fault, Pointers, Refusal};
use crate::policy::checked::{JsonMode, Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "json";

/// How strictly text is read.
#[derive(Debug)]
pub(super) struct Check {
    required: bool,
    bounds: Bounds,
    pointers: Pointers,
    outcome: OnRefuse,
    /// What the checks after this one ask of the bytes; looked for at once.
    look: Look,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: Pointers) -> Option<Self> {
        let required = match messages.json.mode {
            JsonMode::Required => true,
            JsonMode::Detect => false,
            JsonMode::Off => return None,
        };
        let look = match (&messages.threats, &messages.leaks) {
            (Some(_), _) => Look::Threats,
            (None, Some(_)) => Look::Leaks,
            (None, None) => Look::Plain,
        };
        Some(Self { required, bounds: Bounds::from(&messages.json), pointers, outcome: messages.on_refuse, look })
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let bytes = scene.message.bytes;
        let binary = scene.message.kind == Kind::Binary;
        if scene.work.reading == Reading::Opaque || ((binary || !self.required) && !looks_like_json(bytes)) {
            return ControlFlow::Continue(());
        }
        let work = &mut *scene.work;
        work.look(bytes, self.look);
        match work.scan.run_surveyed(bytes, &work.survey, &self.bounds, &self.pointers) {
            Ok(()) => {
                scene.work.reading = Reading::Json;
                ControlFlow::Continue(())
            }
            Err(Refusal { fault: Fault::Malformed(_), .. }) if binary => ControlFlow::Continue(()),
            Err(refusal) => {
                let reason = match refusal.fault {
                    Fault::Malformed(_) => Reason::JsonMalformed,
                    Fault::DuplicateKey => Reason::JsonDuplicateKey,
                    Fault::TooDeep => Reason::JsonTooDeep,
                    Fault::TooManyKeys | Fault::TooManyValues => Reason::JsonTooMany,
                    Fault::StringTooLong => Reason::FieldTooLarge,
                };
                let finding = Finding::new(reason, NAME, self.outcome, refusal.words());
                let field = work.scan.refused_at(bytes, &refusal, FIELD_BYTES_MAX);
                scene.refuse(if field.is_empty() { finding } else { finding.at(&field) })
            }
        }
    }

    /// Reads a rewritten text as its message was read. False: it is no longer what it was.
    pub(super) fn read_again(&self, work: &mut Workspace, text: &[u8]) -> bool {
        work.reading != Reading::Json || work.scan.run(text, &self.bounds, &self.pointers).is_ok()
    }

    /// The same of a text that may be any.
    pub(super) fn still_reads(&self, work: &mut Workspace, text: &[u8]) -> bool {
        match work.reading {
            Reading::Json => self.read_again(work, text),
            Reading::Text | Reading::Opaque => !looks_like_json(text),
        }
    }
}

/// The first byte that is not white space opens an object or an array. A byte order mark and the white
/// space that lenient parsers skip do not hide it.
fn looks_like_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c));
    matches!(first, Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::looks_like_json;

    #[test]
    fn what_reads_as_json_to_a_lenient_parser_is_held_to_json() {
        for text in ["{", " [1]", "\n\t{", "\u{feff}{}", "\u{c}{}"] {
            assert!(looks_like_json(text.as_bytes()), "{text:?}");
        }
        for text in ["", "hello {", "1", "\"x\"", "42[\"event\"]"] {
            assert!(!looks_like_json(text.as_bytes()), "{text:?}");
        }
    }
}
