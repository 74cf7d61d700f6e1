//! What admission asks of the shell, and what the shell answers.

use std::time::Duration;

use super::authorizer;
use super::decision::Decision;
use super::nodes::{Count, Counted};
use crate::identity::introspection::Opaque;

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// Something from outside is needed.
    Ask(Question),
    /// Decided.
    Done(Box<Decision>),
}

/// What admission cannot know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A token names a key that no set holds: read this source (its place in `identity.jwks`) again, put the set
    /// into the ring, and answer [`Answer::Keys`].
    RefreshKeys {
        /// Place in `identity.jwks`.
        source: usize,
        /// The key's id, as the unverified token says.
        kid: Option<String>,
    },
    /// Ask the introspection endpoint about a token, and answer [`Answer::Introspected`].
    Introspect {
        /// The token.
        token: Opaque,
    },
    /// Ask the authorizer of a route, and answer [`Answer::Authorized`].
    Authorize {
        /// The name of the route.
        route: Box<str>,
        /// What it is told: JSON.
        body: Vec<u8>,
    },
    /// Let the client wait, and answer [`Answer::Waited`].
    Wait {
        /// How long.
        delay: Duration,
    },
    /// Take a ticket from where nodes meet, so that nobody else has it, and answer [`Answer::Redeemed`].
    Redeem {
        /// What it is kept under.
        name: String,
    },
    /// Look where nodes meet for a session, put it in force, and answer [`Answer::Recalled`].
    Recall {
        /// What it is known by there.
        name: String,
    },
    /// Count it together with the other nodes, and answer [`Answer::Counted`].
    Count(Count),
    /// Accept the handshake and answer with the client's first message.
    FirstMessage {
        /// How long to wait for it.
        timeout: Duration,
    },
}

/// What the shell answers.
#[derive(Debug)]
pub enum Answer {
    /// Whether new keys came.
    Keys(Result<(), ()>),
    /// What the introspection endpoint answered with 200, at most
    /// [`ANSWER_BYTES_MAX`](crate::identity::introspection::ANSWER_BYTES_MAX) bytes, or in words why it did not.
    Introspected(Result<Vec<u8>, String>),
    /// What the authorizer answered.
    Authorized(authorizer::Reply),
    /// It has waited.
    Waited,
    /// A ticket as it was kept; `None` where there is none, or nobody answered in time.
    Redeemed(Option<Vec<u8>>),
    /// The session was looked for; whether it was found, the next step tells.
    Recalled,
    /// What the other nodes' counts say.
    Counted(Counted),
    /// The first message; `None` where none came in time.
    FirstMessage(Option<Vec<u8>>),
}
