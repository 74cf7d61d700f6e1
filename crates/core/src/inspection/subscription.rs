//! Subscription: which topics did this client ask for, and does it hear of no others (SPEC 4.6)?
//!
//! Inbound the last check but callbacks, which are asked later. A message that subscribes or unsubscribes is noted when
//! every check and every callback has let it pass, and as it goes on where a callback wrote it anew. A connection has as many topics as the policy says; one more is refused. Outbound a message of
//! a listed type whose topic is not among them is not delivered, whatever `on_refuse` says; nor is one that names no
//! topic. Both directions of a connection share the topics: [`Memory::pair`](super::Memory::pair).

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::field::{Field, Place, excerpt, type_of};
use super::permission::type_at;
use super::{Direction, Finding, Scene};
use crate::access::Types;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Messages, OnRefuse, TopicAt};
use crate::verdict::Reason;

pub(super) const NAME: &str = "subscription";

/// Longest topic, bytes.
pub const TOPIC_BYTES_MAX: usize = 256;

/// The topics of one connection. Only its own worker looks, so nobody waits for the lock.
#[derive(Debug, Clone, Default)]
pub(super) struct Topics(Arc<Mutex<HashSet<Box<[u8]>>>>);

impl Topics {
    fn lock(&self) -> MutexGuard<'_, HashSet<Box<[u8]>>> {
        // Whole after every statement, so a poisoned one is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message does to the topics, made when it goes on for good.
#[derive(Debug, Clone)]
pub(super) struct Change {
    topics: Topics,
    topic: Box<[u8]>,
    /// Most topics afterwards; `None` where it ends one.
    begins: Option<usize>,
}

impl Change {
    pub(super) fn make(self) {
        let mut topics = self.topics.lock();
        match self.begins {
            Some(max) if topics.len() < max => drop(topics.insert(self.topic)),
            Some(_) => {}
            None => drop(topics.remove(&self.topic)),
        }
    }
}

/// What a message of a type does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Begin,
    End,
    Speak,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Check {
    types: Types,
    /// What each pattern of `types` does, and where its topic stands.
    rules: Vec<(Does, Place)>,
    type_number: usize,
    max: usize,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(
        messages: &Messages,
        direction: Direction,
        pointers: &mut Pointers,
    ) -> Result<Option<Self>, PointerError> {
        let (listed, max): (Vec<(Does, &TopicAt)>, u32) = match (direction, &messages.subscriptions) {
            (Direction::Inbound, Some(rules)) => {
                let begin = rules.begin.iter().map(|at| (Does::Begin, at));
                (begin.chain(rules.end.iter().map(|at| (Does::End, at))).collect(), rules.max)
            }
            (Direction::Inbound, None) => (Vec::new(), 0),
            (Direction::Outbound, _) => (messages.subscribed.iter().map(|at| (Does::Speak, at)).collect(), 0),
        };
        if listed.is_empty() {
            return Ok(None);
        }
        let outcome = match (direction, messages.on_refuse) {
            (Direction::Outbound, _) => OnRefuse::Drop,
            // What passes untracked would never be answered.
            (Direction::Inbound, outcome) if outcome.passes() => OnRefuse::Reply,
            (Direction::Inbound, outcome) => outcome,
        };
        let mut rules = Vec::new();
        for (does, TopicAt { pointer, .. }) in &listed {
            rules.push((*does, Place::compile(pointer, pointers)?));
        }
        Ok(Some(Self {
            types: Types::compile(listed.iter().map(|(_, at)| at.pattern.as_str())),
            rules,
            type_number: pointers.add(type_at(messages))?,
            max: usize::try_from(max).unwrap_or(usize::MAX),
            outcome,
        }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let bytes = scene.message.bytes;
        let rule = match type_of(scene.work, self.type_number, bytes) {
            Field::Name(name) => self.types.find(name),
            Field::Missing | Field::Other => None,
        };
        let Some((does, place)) = rule.and_then(|rule| self.rules.get(rule)) else {
            return ControlFlow::Continue(());
        };
        let pointer = &place.pointer;
        let topic = match place.read(scene.work, bytes) {
            Field::Name(topic) if !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX => topic,
            Field::Name(_) | Field::Missing | Field::Other => {
                let detail = format!("it names no topic of 1 to {TOPIC_BYTES_MAX} bytes");
                return self.refuse(scene, Reason::SubscriptionUnclear, detail, pointer);
            }
        };
        let known = scene.memory.kept.as_ref().and_then(|kept| kept.topics.as_ref());
        let heard = known.is_some_and(|topics| topics.lock().contains(topic));
        match does {
            Does::Speak if heard => ControlFlow::Continue(()),
            Does::Speak => {
                let detail = format!("nobody here subscribed to `{}`", excerpt(topic));
                self.refuse(scene, Reason::NotSubscribed, detail, pointer)
            }
            Does::Begin if heard => ControlFlow::Continue(()),
            Does::Begin => {
                let topic = Box::from(topic);
                let topics = scene.memory.kept().topics.get_or_insert_default().clone();
                if topics.lock().len() < self.max {
                    scene.change = Some(Change { topics, topic, begins: Some(self.max) });
                    return ControlFlow::Continue(());
                }
                let detail = format!("it would be one more than {}", self.max);
                self.refuse(scene, Reason::SubscriptionsFull, detail, pointer)
            }
            Does::End => {
                if let Some(topics) = known.filter(|_| heard) {
                    scene.change = Some(Change { topics: topics.clone(), topic: topic.into(), begins: None });
                }
                ControlFlow::Continue(())
            }
        }
    }

    fn refuse(&self, scene: &mut Scene<'_>, reason: Reason, detail: String, pointer: &str) -> ControlFlow<()> {
        scene.refuse(Finding::new(reason, NAME, self.outcome, detail).at(pointer))
    }
}
