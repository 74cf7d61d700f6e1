//! What happened: the record of one security-relevant fact (SPEC 10.1).

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
    /// The message's type, where it has one.
    pub message_type: Option<String>,
    /// What was found, in words for operators; bounded, never a payload, token or secret.
    pub detail: String,
    /// More facts, as name and value; bounded.
    pub metadata: Vec<(&'static str, String)>,
}

/// Longest `detail`, bytes.
pub const DETAIL_BYTES_MAX: usize = 512;

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}
