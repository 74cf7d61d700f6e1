//! CSRF: does a message of this type carry a token that was issued for it (SPEC 8.7)?
//!
//! What a token is bound to is in [`crate::identity::csrf`]. A message whose type cannot be told could be of any, so it is
//! asked for one too, and none fits.

use std::ops::ControlFlow;

use super::field::{Field, read, type_of};
use super::permission::type_at;
use super::{Finding, Scene};
use crate::access::Types;
use crate::identity::csrf::{Fault, Purpose};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::replay::Window;
use crate::policy::checked::{Csrf, Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "csrf";

/// The latest uses that are remembered of a user, where a token is good once.
const USED_MAX: u32 = 1024;

/// The types that demand a token, and where it stands.
#[derive(Debug)]
pub(super) struct Check {
    policy: Csrf,
    types: Types,
    type_number: usize,
    token_number: usize,
    outcome: OnRefuse,
}

impl Check {
    pub(super) fn compile(messages: &Messages, pointers: &mut Pointers) -> Result<Option<Self>, PointerError> {
        let Some(policy) = messages.csrf.clone() else { return Ok(None) };
        Ok(Some(Self {
            types: Types::compile(policy.types.iter().map(String::as_str)),
            type_number: pointers.add(type_at(messages))?,
            token_number: pointers.add(&policy.at)?,
            policy,
            outcome: messages.on_refuse,
        }))
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        let bytes = scene.message.bytes;
        let operation = match type_of(scene.work, self.type_number, bytes) {
            Field::Name(name) if self.types.find(name).is_none() => return ControlFlow::Continue(()),
            Field::Name(name) => name.to_vec(),
            Field::Missing | Field::Other => {
                return self.refuse(
                    scene,
                    Reason::CsrfMissing,
                    "a message without a type could be one of `csrf.types`",
                );
            }
        };
        let principal = scene.cx.principal;
        let purpose = Purpose { route: &self.policy.route, principal, operation: &operation };
        let token = match read(scene.work.scan.value(self.token_number), bytes, &mut scene.work.name) {
            Field::Name(token) => token,
            Field::Missing | Field::Other => return self.refuse(scene, Reason::CsrfMissing, "there is no token"),
        };
        match self.policy.signer.verify(&purpose, token, scene.cx.now.unix_seconds()) {
            Err(Fault::Foreign) => {
                let detail = "the token is not one of ours, or is bound to another session, caller, route or type";
                self.refuse(scene, Reason::CsrfInvalid, detail)
            }
            Err(Fault::Ended) => self.refuse(scene, Reason::CsrfInvalid, "the token's time is over"),
            Ok(random) if self.policy.single_use && !self.is_first_use(scene, &random) => {
                self.refuse(scene, Reason::CsrfInvalid, "the token was used before")
            }
            Ok(_) => ControlFlow::Continue(()),
        }
    }

    fn is_first_use(&self, scene: &mut Scene<'_>, random: &[u8]) -> bool {
        let (cx, seed) = (scene.cx, scene.work.seed);
        // By subject alone: a token counts for one session, whichever connection brings it.
        let user = [b"csrf ", cx.principal.subject.as_deref().unwrap_or_default().as_bytes()].concat();
        let keep = self.policy.signer.ttl();
        let ids = scene
            .memory
            .kept()
            .tokens
            .get_or_insert_with(|| cx.ledger.seen().of(Window::hash(seed, &user), USED_MAX, keep, cx.now.mono));
        ids.remember(Window::hash(seed, random), cx.now.mono)
    }

    fn refuse(&self, scene: &mut Scene<'_>, reason: Reason, detail: &str) -> ControlFlow<()> {
        scene.refuse(Finding::new(reason, NAME, self.outcome, detail.to_owned()).at(&self.policy.at))
    }
}
