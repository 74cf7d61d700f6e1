//! What a check says of a message, and what all of them together make of it.

use std::time::Duration;

use super::callback;
use crate::message::threat::{Confidence, Encodings};
use crate::policy::checked::OnRefuse;
use crate::verdict::Reason;

/// Longest JSON Pointer in a finding, bytes.
pub const FIELD_BYTES_MAX: usize = 128;

/// Longest message type in a finding, bytes.
pub const MESSAGE_TYPE_BYTES_MAX: usize = 64;

/// What happens to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It goes on, as the bytes that came.
    Pass,
    /// It goes on with another text: [`Verdict::rewritten`].
    Rewrite,
    /// It is dropped in silence.
    Drop,
    /// It is dropped and its sender told: [`error_reply`].
    Reply,
    /// It is dropped and the connection closed with the reason's code.
    Close,
}

impl From<OnRefuse> for Action {
    fn from(outcome: OnRefuse) -> Self {
        match outcome {
            OnRefuse::Observe => Self::Pass,
            OnRefuse::Mask | OnRefuse::Sanitize | OnRefuse::Replace => Self::Rewrite,
            OnRefuse::Drop => Self::Drop,
            OnRefuse::Reply => Self::Reply,
            OnRefuse::Close => Self::Close,
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub reason: Reason,
    /// The check: its file's name.
    pub check: &'static str,
    /// What the policy says happens.
    pub outcome: OnRefuse,
    /// JSON Pointer of the field, at most [`FIELD_BYTES_MAX`] bytes.
    pub field: Option<String>,
    /// The rule of a schema that was broken, as a JSON Pointer into it, or the name of a threat's or leak's rule; at most
    /// [`FIELD_BYTES_MAX`] bytes.
    pub rule: Option<String>,
    /// Of a threat or leak: where it stands and how it showed.
    pub evidence: Option<Evidence>,
    /// For operators; at most [`crate::event::DETAIL_BYTES_MAX`] bytes, never a whole payload.
    pub detail: String,
    /// The message's type where the envelope has one, at most [`MESSAGE_TYPE_BYTES_MAX`] bytes.
    pub message_type: Option<String>,
    /// When the same message would pass, for limits.
    pub retry_after: Option<Duration>,
}

/// Where a threat or leak stands, and how it showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Of the string: its first byte in the message, and the one after its last. Of a leak in no string, from where it
    /// begins to the message's end.
    pub bytes: (usize, usize),
    /// The encodings undone before it showed.
    pub decoded: Encodings,
    /// How sure it is.
    pub confidence: Confidence,
    /// Where the class is explained, in the manual.
    pub page: &'static str,
}

impl Finding {
    /// A finding about no field; its detail is cut to its bound.
    #[must_use]
    #[cold]
    pub fn new(reason: Reason, check: &'static str, outcome: OnRefuse, detail: String) -> Self {
        let detail = cut(detail, crate::event::DETAIL_BYTES_MAX);
        Self {
            reason,
            check,
            outcome,
            field: None,
            rule: None,
            evidence: None,
            detail,
            message_type: None,
            retry_after: None,
        }
    }

    pub(super) fn at(mut self, field: &str) -> Self {
        self.field = Some(cut(field.to_owned(), FIELD_BYTES_MAX));
        self
    }
}

/// Shortens to at most `bytes_max` bytes, at a character's edge.
pub(super) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// What was decided, and why. A pass without findings holds no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the message.
    pub action: Action,
    /// In the order they were found; the last one decided, unless the message goes on.
    pub findings: Vec<Finding>,
    /// What goes on in the message's place, where the action is to rewrite it and only there.
    pub rewritten: Option<Vec<u8>>,
    /// Who is to be asked before it goes on, where it goes on.
    pub ask: Option<Box<callback::Ask>>,
}
