//! Subscriptions: which types of messages begin, end and speak of a topic.

/// A type of messages, and where its topic stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicAt {
    /// The type, or a pattern of types.
    pub pattern: String,
    /// JSON Pointer of the topic.
    pub pointer: String,
}

/// What subscribes a connection to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriptions {
    /// Messages that subscribe.
    pub begin: Vec<TopicAt>,
    /// Messages that unsubscribe.
    pub end: Vec<TopicAt>,
    /// Most topics of a connection.
    pub max: u32,
}
