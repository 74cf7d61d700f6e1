//! Kind and size: text or binary where the route takes it, no larger than it takes.
//!
//! The codec stops a message that is too large while it arrives; this is the same bound for messages that
//! come another way.

use std::ops::ControlFlow;

use super::{Finding, Kind, Reading, Scene};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "kind";

/// Which kinds pass, and how large.
#[derive(Debug)]
pub(super) struct Check {
    text: bool,
    binary: bool,
    bytes_max: u64,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages) -> Option<Self> {
        Some(Self {
            text: messages.text,
            binary: messages.binary,
            bytes_max: messages.bytes_max,
            outcome: messages.on_refuse,
        })
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let (allowed, what) = match scene.message.kind {
            Kind::Text | Kind::Event => (self.text, "text"),
            Kind::Binary => (self.binary, "binary"),
        };
        scene.work.reading = reading(scene.message.kind, scene.message.bytes);
        if !allowed {
            scene.refuse(Finding::new(Reason::KindRefused, NAME, self.outcome, format!("a {what} message")))?;
        }
        let bytes = scene.message.bytes.len() as u64;
        if bytes > self.bytes_max {
            let detail = format!("{bytes} bytes; `bytes_max` is {}", self.bytes_max);
            scene.refuse(Finding::new(Reason::MessageTooLarge, NAME, self.outcome, detail))?;
        }
        ControlFlow::Continue(())
    }
}

/// A binary message that is text is read as text: what a backend parses, the checks see.
fn reading(kind: Kind, bytes: &[u8]) -> Reading {
    let textual = match kind {
        Kind::Text | Kind::Event => true,
        Kind::Binary => memchr::memchr(0, bytes).is_none() && simdutf8::basic::from_utf8(bytes).is_ok(),
    };
    if textual { Reading::Text } else { Reading::Opaque }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_that_is_text_is_read_as_text() {
        assert_eq!(reading(Kind::Binary, b"{\"a\":1}"), Reading::Text);
        assert_eq!(reading(Kind::Binary, b"\x00\x01"), Reading::Opaque);
        assert_eq!(reading(Kind::Binary, b"\xff\xfe"), Reading::Opaque);
        assert_eq!(reading(Kind::Text, b"x"), Reading::Text);
    }
}
