//! Permission: may this caller say, or hear, a message of this type (SPEC 4.2, 4.6)?
//!
//! The type's rule names the permission; `{/pointer}` in it is the message's own value there. What each rule means
//! for the caller is worked out with the connection's first message and remembered, so that later ones cost a look
//! at the type. A type that no rule names passes for nobody, nor does a message without a type unless the policy
//! says what it asks for.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::field::{Field, read, type_of};
use super::{Finding, Reading, Scene};
use crate::access::{Need, Reach, Resource, Roles, Types, names_resource};
use crate::identity::Principal;
use crate::message::json::pointer::{PointerError, Pointers};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "permission";

/// Where the type of a message stands that has no envelope.
pub(super) const TYPE_AT: &str = "/type";

/// Longest excerpt of a type in a finding's detail, bytes.
const EXCERPT_BYTES_MAX: usize = 64;

/// The rules of one direction.
#[derive(Debug)]
pub(super) struct Check {
    rules: Arc<Rules>,
    type_number: usize,
    type_pointer: String,
    outcome: OnRefuse,
}

#[derive(Debug)]
struct Rules {
    types: Types,
    /// What each pattern of `types` asks for, and last what a message without a type does.
    needs: Vec<Rule>,
    untyped: Option<usize>,
    roles: Arc<Roles>,
}

#[derive(Debug)]
struct Rule {
    need: Need,
    /// Number and text of the pointer to the resource.
    resource: Option<(usize, Box<str>)>,
}

/// What the rules mean for the caller of a connection.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    rules: Option<Arc<Rules>>,
    answers: Box<[Answer]>,
    reaches: Box<[Reach]>,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Yes,
    No,
    /// On the resources of the reach in this place.
    On(usize),
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(permissions) = &messages.access.permissions else { return Ok(None) };
        let type_pointer = type_at(messages).to_owned();
        let mut needs = Vec::new();
        for need in permissions.rules.iter().map(|(_, need)| need).chain(&permissions.untyped) {
            let resource = match need {
                Need::Permission { resource: Some(Resource::Pointer(at)), .. } => Some((pointers.add(at)?, at.clone())),
                _ => None,
            };
            needs.push(Rule { need: need.clone(), resource });
        }
        let rules = Rules {
            types: Types::compile(permissions.rules.iter().map(|(pattern, _)| pattern.as_str())),
            untyped: permissions.untyped.as_ref().map(|_| permissions.rules.len()),
            needs,
            roles: Arc::clone(&permissions.roles),
        };
        Ok(Some(Self {
            rules: Arc::new(rules),
            type_number: pointers.add(&type_pointer)?,
            type_pointer,
            outcome: messages.on_refuse,
        }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let rules = &self.rules;
        let remembered = &mut scene.memory.kept().permission;
        if !remembered.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) {
            *remembered = rules.resolve(scene.cx.principal);
        }
        let bytes = scene.message.bytes;
        let work = &mut *scene.work;
        let place = match type_of(work, self.type_number, bytes) {
            Field::Name(name) => match rules.types.find(name) {
                Some(place) => place,
                None => {
                    let excerpt = name.get(..name.len().min(EXCERPT_BYTES_MAX)).unwrap_or_default().escape_ascii();
                    let detail = format!("no permission is named for the type `{excerpt}`");
                    return scene.refuse(self.finding(detail, &self.type_pointer));
                }
            },
            Field::Missing | Field::Other => match rules.untyped {
                Some(place) => place,
                None => {
                    let detail = "a message without a type, and no permission is named for it".to_owned();
                    return scene.refuse(self.finding(detail, &self.type_pointer));
                }
            },
        };
        // Every place has a rule and an answer.
        let (Some(rule), Some(answer)) = (rules.needs.get(place), remembered.answers.get(place)) else {
            return scene.refuse(self.finding("a rule without an answer".to_owned(), &self.type_pointer));
        };
        let resource = match (answer, &rule.resource) {
            (Answer::Yes, _) => return ControlFlow::Continue(()),
            (Answer::On(at), Some((number, pointer))) if work.reading == Reading::Json => {
                let reach = remembered.reaches.get(*at);
                let value = read(work.scan.value(*number), bytes, &mut work.name);
                match value {
                    Field::Name(name) if names_resource(name) && reach.is_some_and(|reach| reach.holds(name)) => {
                        return ControlFlow::Continue(());
                    }
                    _ => pointer.as_ref(),
                }
            }
            _ => self.type_pointer.as_str(),
        };
        scene.refuse(self.finding(format!("it asks for `{}`", rule.need), resource))
    }

    fn finding(&self, detail: String, pointer: &str) -> Finding {
        Finding::new(Reason::PermissionDenied, NAME, self.outcome, detail).at(pointer)
    }
}

/// Where the type of a message stands.
pub(super) fn type_at(messages: &Messages) -> &str {
    messages.envelope.as_ref().map_or(TYPE_AT, |envelope| &envelope.type_at)
}

impl Rules {
    /// What every rule means for one caller.
    fn resolve(self: &Arc<Self>, principal: &Principal) -> Remembered {
        let standing = self.roles.standing(&principal.roles, &principal.permissions);
        let mut reaches = Vec::new();
        let answers = self.needs.iter().map(|rule| {
            let Need::Permission { path, resource } = &rule.need else { return Answer::Yes };
            let asked = match resource {
                None => None,
                Some(Resource::Fixed(one)) => Some(&**one),
                Some(Resource::Pointer(_)) => {
                    reaches.push(standing.reach(path));
                    return Answer::On(reaches.len() - 1);
                }
                // A message has no path; configuration refuses it.
                Some(Resource::Parameter(_)) => return Answer::No,
            };
            if standing.rule(path, asked).is_allowed() { Answer::Yes } else { Answer::No }
        });
        let answers = answers.collect();
        Remembered { rules: Some(Arc::clone(self)), answers, reaches: reaches.into() }
    }
}
