//! Callbacks: endpoints of the operator's that are asked about messages (SPEC 8.11).
//!
//! Decides which message concerns which of them, what they are told, and what their answers mean; never asks, the relay
//! does while the message waits. Stands last in the list: they are told what would go on, masked and sealed as it
//! would. `"allow": true` in a 200 lets the message on; 401, 403 and `"allow": false` refuse it, and so does whatever
//! cannot be understood, for it may be a refusal. Only where there is no answer at all does `on_failure` speak.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::field::{Field, type_of};
use super::permission::type_at;
use super::{Action, Context, Direction, Finding, Kind, Memory, Message, Plan, Reading, Scene, Verdict, conduct};
use crate::access::Types;
use crate::identity::{Principal, strict_json};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Callback, Messages, OnFailure, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "callback";

/// Largest answer read, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest explanation of a refusal kept, characters.
const WHY_CHARS_MAX: usize = 200;

/// The callbacks of a direction, and the types that concern each.
#[derive(Debug)]
pub(super) struct Check {
    callbacks: Vec<(Arc<Callback>, Option<Types>)>,
    /// Where the type stands, where one is asked for.
    type_number: Option<usize>,
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
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, two): (&Arc<Callback>, &Arc<Callback>)| Arc::ptr_eq(one, two);
        self.said == other.said
            && self.message_type == other.message_type
            && self.callbacks.len() == other.callbacks.len()
            && self.callbacks.iter().zip(&other.callbacks).all(same)
    }
}

impl Eq for Ask {}

/// What the shell heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A 200 and its body.
    Body(Vec<u8>),
    /// A 401 or 403.
    Forbidden(u16),
    /// Nothing, or another status; in words.
    Failed(String),
}

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
        let typed = callbacks.iter().any(|(_, types)| types.is_some());
        let type_number = if typed { Some(pointers.add(type_at(messages))?) } else { None };
        Ok(Some(Self { callbacks, type_number }))
    }

    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let message = *scene.message;
        let name = match self.type_number.map(|number| type_of(scene.work, number, message.bytes)) {
            Some(Field::Name(name)) => Some(name),
            _ => None,
        };
        // One whose type cannot be told could be of any.
        let concerns = |types: &Types| name.is_none_or(|name| types.find(name).is_some());
        let concerned = self.callbacks.iter().filter(|(_, types)| types.as_ref().is_none_or(concerns));
        let callbacks: Vec<Arc<Callback>> = concerned.map(|(callback, _)| Arc::clone(callback)).collect();
        if !callbacks.is_empty() {
            let said = said(&message, scene.work.reading);
            scene.ask = Some(Box::new(Ask { callbacks, message_type: None, said }));
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
        (Reading::Json, Some(text)) => [br#""message":"#, text.as_bytes()].concat(),
        (_, Some(text)) => format!(r#""text":{}"#, Value::from(text)).into_bytes(),
        (_, None) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(message.bytes);
            format!(r#""base64":"{encoded}""#).into_bytes()
        }
    }
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
        self.said.len()
    }

    /// What an answer has against the message, if anything. A finding that is only observed lets it on.
    #[must_use]
    pub fn conclude(&self, callback: &Callback, heard: Heard) -> Option<Finding> {
        let finding = |reason, outcome, detail: String| {
            let mut finding = Finding::new(reason, NAME, outcome, detail);
            finding.rule = Some(callback.name.clone());
            finding.message_type.clone_from(&self.message_type);
            Some(finding)
        };
        let refused = |why: String| finding(Reason::CallbackRefused, callback.on_refuse, why);
        let unavailable = |outcome, why: String| finding(Reason::CallbackUnavailable, outcome, why);
        match heard {
            Heard::Forbidden(status) => refused(format!("it answered {status}")),
            Heard::Failed(why) if callback.on_failure == OnFailure::Allow => {
                unavailable(OnRefuse::Observe, format!("{why}; `on_failure` lets it pass"))
            }
            Heard::Failed(why) => unavailable(callback.on_refuse, why),
            Heard::Body(body) => match Answer::read(&body) {
                Some(Answer::Allow) => None,
                Some(Answer::Refuse(why)) => refused(why),
                None => unavailable(callback.on_refuse, "the answer cannot be understood".to_owned()),
            },
        }
    }
}

enum Answer {
    Allow,
    Refuse(String),
}

impl Answer {
    fn read(body: &[u8]) -> Option<Self> {
        let answer = strict_json::object(body)?;
        match answer.get("allow")? {
            Value::Bool(true) => Some(Self::Allow),
            Value::Bool(false) => {
                let reason = answer.get("reason").and_then(Value::as_str).unwrap_or("it gave no reason");
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect();
                Some(Self::Refuse(format!("it says no: {reason}")))
            }
            _ => None,
        }
    }
}

/// What happens to a message after its callbacks were heard. A refusal counts against its sender as any other.
#[must_use]
pub fn answered(plan: &Plan, memory: &mut Memory, cx: &Context<'_>, mut findings: Vec<Finding>) -> Verdict {
    if let Some(ladder) = plan.ladder.as_ref()
        && findings.last().is_some_and(|finding| finding.reason == Reason::CallbackRefused)
    {
        conduct::offence(ladder, memory, cx, &mut findings);
    }
    let worst = findings.iter().map(|finding| Action::from(finding.outcome)).max().unwrap_or(Action::Pass);
    // Callbacks rewrite nothing.
    let action = if worst == Action::Rewrite { Action::Drop } else { worst };
    Verdict { action, findings, rewritten: None, ask: None }
}
