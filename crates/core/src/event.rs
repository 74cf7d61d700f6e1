//! What happened: the record of one security-relevant fact (SPEC 10.1).

use std::sync::Arc;

use serde::Serialize;

use crate::verdict::Reason;

/// What was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Let through.
    Allowed,
    /// Let through; the policy observes where it could have refused.
    Observed,
    /// A message was passed on with what was found made unreadable.
    Masked,
    /// A message was passed on without what its HTML may not hold.
    Sanitized,
    /// A message was passed on as a callback wrote it anew.
    Replaced,
    /// A message was dropped in silence.
    Dropped,
    /// A message was dropped and its sender told.
    Replied,
    /// A handshake or request was refused.
    Refused,
    /// A connection was closed.
    Closed,
}

impl Decision {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Allowed,
        Self::Observed,
        Self::Masked,
        Self::Sanitized,
        Self::Replaced,
        Self::Dropped,
        Self::Replied,
        Self::Refused,
        Self::Closed,
    ];

    /// The name in events and searches.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Observed => "observed",
            Self::Masked => "masked",
            Self::Sanitized => "sanitized",
            Self::Replaced => "replaced",
            Self::Dropped => "dropped",
            Self::Replied => "replied",
            Self::Refused => "refused",
            Self::Closed => "closed",
        }
    }
}

/// One event. `id` is a UUID version 7 in its usual text form and is the reference that a client reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// UUID version 7; the reference.
    pub id: String,
    /// Unix milliseconds.
    pub time_unix_ms: u64,
    /// Why; gives `type`, category and severity.
    pub reason: Reason,
    /// What was done.
    pub decision: Decision,
    /// The check that decided: its file's name.
    pub check: &'static str,
    /// Whom it is about.
    #[serde(flatten, serialize_with = "origin")]
    pub origin: Arc<Origin>,
    /// The message's type, where it has one.
    pub message_type: Option<String>,
    /// What was found, in words for operators; bounded, never a payload, token or secret.
    pub detail: String,
    /// More facts, as name and value; bounded.
    pub metadata: Vec<(&'static str, Fact)>,
}

/// Whom an event is about: made once for a connection, whose events share it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The client's address, after trusted proxies.
    pub source_ip: Option<std::net::IpAddr>,
    /// The gateway's id of the connection.
    pub connection: Option<String>,
    /// The principal's session.
    pub session: Option<String>,
    /// The principal's subject.
    pub user: Option<String>,
    /// The principal's tenant.
    pub tenant: Option<String>,
    /// The route's name.
    pub route: Option<String>,
}

fn origin<S: serde::Serializer>(origin: &Arc<Origin>, serializer: S) -> Result<S::Ok, S::Error> {
    origin.serialize(serializer)
}

/// A fact among an event's metadata. Shown and stored as a text, whatever it is: a number becomes one where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A word of ours.
    Word(&'static str),
    /// A count, or a time in the unit that its name says.
    Number(u64),
    /// Any other text.
    Text(String),
}

impl From<&'static str> for Fact {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Serialize for Fact {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word),
            Self::Number(number) => serializer.collect_str(number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// Longest `detail`, bytes.
pub const DETAIL_BYTES_MAX: usize = 512;

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object_and_its_facts_are_texts() {
        let event = Event {
            id: "0190aaaa-0000-7000-8000-000000000001".into(),
            time_unix_ms: 7,
            reason: Reason::ConnectionClosed,
            decision: Decision::Allowed,
            check: "relay",
            origin: Arc::new(Origin {
                source_ip: Some([192, 0, 2, 7].into()),
                user: Some("ada".into()),
                ..Origin::default()
            }),
            message_type: None,
            detail: String::new(),
            metadata: vec![
                ("ended_by", "peers".into()),
                ("age_ms", u64::MAX.into()),
                ("user_agent", Fact::Text("\"x\"".into())),
            ],
        };
        let expected = concat!(
            r#"{"id":"0190aaaa-0000-7000-8000-000000000001","time_unix_ms":7,"reason":"connection_closed","#,
            r#""decision":"allowed","check":"relay","source_ip":"192.0.2.7","connection":null,"session":null,"#,
            r#""user":"ada","tenant":null,"route":null,"message_type":null,"detail":"","metadata":[["ended_by","peers"],"#,
            r#"["age_ms","18446744073709551615"],["user_agent","\"x\""]]}"#,
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }
}
