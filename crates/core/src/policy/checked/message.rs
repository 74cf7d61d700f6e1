//! What may be said in one direction.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Binaries, Callback, Csrf, Html, MessageLimit, Offenders, Rate, Schemas, Seal, Subscriptions, Threats, TopicAt,
    Unseal,
};
use crate::message::leak::LeakClass;

/// What may be said in one direction.
#[derive(Debug, Clone)]
pub struct Messages {
    /// Payload of one message after inflating.
    pub bytes_max: u64,
    /// Frames of one message.
    pub fragments_max: u32,
    /// Messages that may wait for a slow reader; `None` counts bytes alone.
    pub queue_max: Option<u32>,
    /// Text messages may pass.
    pub text: bool,
    /// Binary messages may pass.
    pub binary: bool,
    /// What binary messages may be; `None` does not look.
    pub binaries: Option<Binaries>,
    /// Pings and pongs from the peer.
    pub control_rate: Option<Rate>,
    /// Message limits; all apply, the strictest wins.
    pub limits: Vec<MessageLimit>,
    /// The ladder of waits for repeat offenders; `None` is off.
    pub offenders: Option<Offenders>,
    /// JSON.
    pub json: Json,
    /// Fields that a message carries about itself; `None` does not look.
    pub envelope: Option<Envelope>,
    /// What a message of a type must look like; `None` does not look.
    pub schemas: Option<Schemas>,
    /// Who may say what.
    pub access: crate::access::MessageAccess,
    /// Types that demand a token against cross-site request forgery.
    pub csrf: Option<Csrf>,
    /// Of what clients say: what subscribes them to a topic.
    pub subscriptions: Option<Subscriptions>,
    /// Of what clients hear: types that reach only who subscribed to their topic.
    pub subscribed: Vec<TopicAt>,
    /// Threat detection; `None` is off.
    pub threats: Option<Threats>,
    /// Detection of what must not leave; `None` is off.
    pub leaks: Option<Leaks>,
    /// Fields that hold HTML; `None` does not look.
    pub html: Option<Html>,
    /// Pointers of fields whose values are made unreadable.
    pub mask: Vec<String>,
    /// Fields that are sealed.
    pub seal: Option<Seal>,
    /// Fields that are opened.
    pub unseal: Option<Unseal>,
    /// Endpoints that are asked about messages.
    pub callbacks: Vec<std::sync::Arc<Callback>>,
    /// What happens to a refused message unless the check says otherwise.
    pub on_refuse: OnRefuse,
}

/// Strict JSON within bounds of size, and nothing else asked of it: what a program built on the library begins from.
impl Default for Messages {
    fn default() -> Self {
        Self {
            bytes_max: 1 << 20,
            fragments_max: 16,
            queue_max: None,
            text: true,
            binary: false,
            binaries: None,
            csrf: None,
            subscriptions: None,
            subscribed: Vec::new(),
            seal: None,
            unseal: None,
            callbacks: Vec::new(),
            control_rate: None,
            limits: Vec::new(),
            json: Json {
                mode: JsonMode::Required,
                depth_max: 32,
                keys_max: 1000,
                values_max: 1000,
                string_bytes_max: 1 << 20,
            },
            envelope: None,
            access: crate::access::MessageAccess::default(),
            threats: None,
            schemas: None,
            offenders: None,
            leaks: None,
            html: None,
            mask: Vec::new(),
            on_refuse: OnRefuse::Reply,
        }
    }
}

/// Strict JSON (RFC 8259).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json {
    /// Which text messages must be JSON.
    pub mode: JsonMode,
    /// Nesting.
    pub depth_max: u32,
    /// Object keys in one message.
    pub keys_max: u32,
    /// Values in one message.
    pub values_max: u32,
    /// Bytes of one string, decoded.
    pub string_bytes_max: u32,
}

/// Which text messages must be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JsonMode {
    /// Every text message.
    Required,
    /// One whose first non-space byte is `{` or `[` must be well-formed; other text is plain text.
    Detect,
    /// Text is text.
    Off,
}

/// The envelope (SPEC 8.3). Pointers are RFC 6901.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where the type stands.
    pub type_at: String,
    /// Where the id stands.
    pub id_at: String,
    /// Where the timestamp stands.
    pub timestamp_at: String,
    /// Pointers that must be present.
    pub required: Vec<String>,
    /// Types that may pass; `None` allows any.
    pub types: Option<Vec<String>>,
    /// Distance from the wall clock tolerated; `None` does not look.
    pub timestamp_tolerance: Option<Duration>,
    /// What a timestamp counts.
    pub timestamp_unit: TimestampUnit,
    /// Ids remembered; 0 does not look.
    pub replay_ids_max: u32,
    /// Whose are remembered together.
    pub replay_per: ReplayPer,
}

/// Whose message ids are remembered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPer {
    /// Of each connection.
    #[default]
    Connection,
    /// Of a user's connections.
    User,
}

/// What a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// Seconds, a fraction allowed.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// Detection of what must not leave: what happens per class. A class that is not named is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaks {
    /// Class → outcome.
    pub classes: BTreeMap<LeakClass, OnRefuse>,
    /// Different e-mail addresses in one message that are not yet bulk.
    pub records_max: usize,
}

/// What happens to a message that a check refuses (SPEC 8.10).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnRefuse {
    /// Passed on; an event says what would have been done.
    Observe,
    /// Passed on with what was found made unreadable. Of leaks only; written there as `mask`.
    #[serde(skip)]
    #[schemars(skip)]
    Mask,
    /// Passed on without what its HTML may not hold. Of fields under `html`, and of `xss`; written there as `sanitize`.
    #[serde(skip)]
    #[schemars(skip)]
    Sanitize,
    /// Passed on as a callback wrote it anew. Of callbacks that `may_rewrite` only.
    #[serde(skip)]
    #[schemars(skip)]
    Replace,
    /// Dropped in silence; an event says so.
    Drop,
    /// Dropped, and the sender is told.
    Reply,
    /// Dropped, and the connection is closed with the reason's code.
    Close,
}

impl OnRefuse {
    /// Whether the message goes on, as it came or otherwise.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Observe | Self::Mask | Self::Sanitize | Self::Replace)
    }
}
