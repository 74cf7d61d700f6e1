//! Callbacks: endpoints of the operator's that are asked about messages (SPEC 8.11).
//!
//! Decides which message concerns which of them, what they are told, and what their answers mean; never asks, the relay
//! does while the message waits. Stands last in the list: they are told what would go on, masked and sealed as it
//! would. What their answers mean is in [`answer`].

mod answer;

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::field::{Field, type_of};
use super::permission::type_at;
use super::subscription::{Change, Topics};
use super::{Direction, Kind, Message, Reading, Scene};
use crate::access::Types;
use crate::identity::Principal;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Callback, Messages};

pub use answer::{ANSWER_BYTES_MAX, Heard, REWRITING_ANSWER_BYTES_MAX, answered};

pub(super) const NAME: &str = "callback";

/// The callbacks of a direction, and the types that concern each.
#[derive(Debug)]
pub(super) struct Check {
    callbacks: Vec<(Arc<Callback>, Option<Types>)>,
    /// Where the type stands, where one is asked for.
    type_number: Option<usize>,
    /// Of a message that one of them puts in another's place.
    bytes_max: u64,
}

/// A message that is to wait for answers.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whom to ask, one after the other.
    pub callbacks: Vec<Arc<Callback>>,
    /// Its type, where it has one.
    pub message_type: Option<String>,
    /// What it says, as a member of a JSON object: its key, a colon and its value.
    said: Vec<u8>,
    form: Form,
    named: Named,
    bytes_max: u64,
    replacement: Option<Vec<u8>>,
    /// What it does to the connection's topics if it goes on.
    change: Option<Change>,
    topics: Option<Topics>,
}

/// What a message is to a callback that may replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    /// It came as bytes.
    Binary,
}

/// What a message's type says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Missing,
    Name(Box<[u8]>),
    Other,
}

impl From<Field<'_>> for Named {
    fn from(field: Field<'_>) -> Self {
        match field {
            Field::Missing => Self::Missing,
            Field::Name(name) => Self::Name(name.into()),
            Field::Other => Self::Other,
        }
    }
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, two): (&Arc<Callback>, &Arc<Callback>)| Arc::ptr_eq(one, two);
        self.said == other.said
            && self.replacement == other.replacement
            && self.message_type == other.message_type
            && self.callbacks.len() == other.callbacks.len()
            && self.callbacks.iter().zip(&other.callbacks).all(same)
    }
}

impl Eq for Ask {}

/// Who says it, and where.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The route's name.
    pub route: &'a str,
    /// Which way the message goes.
    pub direction: Direction,
    /// The client's address.
    pub client: IpAddr,
    /// The connection's id.
    pub connection_id: &'a str,
    /// Whose connection it is.
    pub principal: &'a Principal,
}

#[derive(Serialize)]
struct Told<'a> {
    connection_id: &'a str,
    client_ip: IpAddr,
    route: &'a str,
    direction: &'a str,
    principal: &'a Principal,
    #[serde(rename = "type")]
    message_type: Option<&'a str>,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        if messages.callbacks.is_empty() {
            return Ok(None);
        }
        let compiled = |callback: &Arc<Callback>| {
            let types = callback.types.as_ref().map(|types| Types::compile(types.iter().map(String::as_str)));
            (Arc::clone(callback), types)
        };
        let callbacks: Vec<_> = messages.callbacks.iter().map(compiled).collect();
        let typed = callbacks.iter().any(|(callback, types)| types.is_some() || callback.may_rewrite);
        let type_number = if typed { Some(pointers.add(type_at(messages))?) } else { None };
        Ok(Some(Self { callbacks, type_number, bytes_max: messages.bytes_max }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let message = *scene.message;
        let reading = scene.work.reading;
        let field = self.type_number.map_or(Field::Missing, |number| type_of(scene.work, number, message.bytes));
        // One whose type cannot be told could be of any.
        let concerns = |types: &Types| match field {
            Field::Name(name) => types.find(name).is_some(),
            Field::Missing | Field::Other => true,
        };
        let concerned = self.callbacks.iter().filter(|(_, types)| types.as_ref().is_none_or(concerns));
        let callbacks: Vec<Arc<Callback>> = concerned.map(|(callback, _)| Arc::clone(callback)).collect();
        if !callbacks.is_empty() {
            let form = match (message.kind, reading) {
                (Kind::Text, Reading::Json) => Form::Json,
                (Kind::Text, Reading::Text | Reading::Opaque) => Form::Text,
                (Kind::Binary | Kind::Event, _) => Form::Binary,
            };
            scene.ask = Some(Box::new(Ask {
                callbacks,
                message_type: None,
                said: said(&message, reading),
                form,
                named: Named::from(field),
                bytes_max: self.bytes_max,
                replacement: None,
                change: None,
                topics: None,
            }));
        }
        ControlFlow::Continue(())
    }
}

/// JSON stands as it came, other text as a string, the rest in base64.
fn said(message: &Message<'_>, reading: Reading) -> Vec<u8> {
    use base64::Engine as _;
    let text =
        std::str::from_utf8(message.bytes).ok().filter(|_| message.kind != Kind::Binary || reading != Reading::Opaque);
    match (reading, text) {
        (Reading::Json, Some(text)) => as_message(text.as_bytes()),
        (_, Some(text)) => as_text(text),
        (_, None) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(message.bytes);
            format!(r#""base64":"{encoded}""#).into_bytes()
        }
    }
}

fn as_message(json: &[u8]) -> Vec<u8> {
    [br#""message":"#, json].concat()
}

fn as_text(text: &str) -> Vec<u8> {
    format!(r#""text":{}"#, Value::from(text)).into_bytes()
}

impl Ask {
    /// The question as JSON.
    #[must_use]
    pub fn question(&self, asker: &Asker<'_>) -> Vec<u8> {
        let told = Told {
            connection_id: asker.connection_id,
            client_ip: asker.client,
            route: asker.route,
            direction: asker.direction.label(),
            principal: asker.principal,
            message_type: self.message_type.as_deref(),
        };
        // Texts, numbers and lists of them; serializing those does not fail, and an empty body would be refused.
        let mut body = serde_json::to_vec(&told).unwrap_or_default();
        if body.pop() == Some(b'}') {
            body.push(b',');
            body.extend_from_slice(&self.said);
            body.push(b'}');
        }
        body
    }

    /// Bytes that are kept while the message waits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.said.len() + self.replacement.as_ref().map_or(0, Vec::len)
    }

    /// Notes what the message does to topics, which are `topics`.
    pub(super) fn changes(&mut self, change: Option<Change>, topics: Option<Topics>) {
        self.change = change;
        self.topics = topics;
    }
}
