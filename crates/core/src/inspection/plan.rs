//! The list of checks, compiled from policy for one direction of one route. Immutable and shared.

use std::hash::Hasher as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::{Custom, Direction, MESSAGE_TYPE_BYTES_MAX, Reading, Scene, Workspace, cut};
use super::{
    binary, callback, conduct, csrf, custom, envelope, guest, html, json, kind, leak, mask, mfa, permission, rate,
    replay, schema, seal, subscription, tenant, threat,
};
use crate::limits::{Ladder, Limit};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{ValueKind, decode_into};
use crate::policy::checked::{ErrorReplies, JsonMode, MessageLimit, Messages};

/// Why a plan could not be made: the operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A field is not named by a JSON Pointer.
    #[error("in `envelope`, `permissions`, `threats`, `html`, `mask`, `seal` or `unseal`: {0}")]
    Pointer(#[from] PointerError),
    /// An envelope needs JSON.
    #[error("`envelope` needs JSON: set `json.mode` to `required` or `detect`")]
    EnvelopeWithoutJson,
    /// Schemas need JSON.
    #[error("`schemas` needs JSON: set `json.mode` to `required` or `detect`")]
    SchemasWithoutJson,
    /// Rules about types of messages need JSON.
    #[error("rules about types of messages need JSON: set `json.mode` to `required` or `detect`")]
    AccessWithoutJson,
    /// Masked fields and fields of HTML need JSON.
    #[error("`mask`, `html`, `seal` and `unseal` need JSON: set `json.mode` to `required` or `detect`")]
    FieldsWithoutJson,
    /// The template of `errors` does not make JSON.
    #[error("`errors.template` is not JSON once its places are filled: {0}")]
    Template(String),
}

/// The checks of one direction of one route.
#[derive(Debug)]
pub struct Plan {
    pub(super) direction: Direction,
    pub(super) control: Option<Limit>,
    pub(super) list: Vec<Check>,
    pub(super) type_pointer: Option<usize>,
    /// Types of messages are noted, for what is usual of a user.
    notes_types: bool,
    /// Counts refused messages of a sender.
    pub(super) ladder: Option<Arc<Ladder>>,
}

/// One check. Adding one is a file, a line here and a line in [`Plan::compile`].
#[derive(Debug)]
pub(super) enum Check {
    Conduct(conduct::Check),
    Kind(kind::Check),
    Rate(rate::Check),
    Binary(binary::Check),
    Json(json::Check),
    Tenant(tenant::Check),
    Envelope(envelope::Check),
    Guest(guest::Check),
    Mfa(mfa::Check),
    Permission(permission::Check),
    Csrf(csrf::Check),
    Schema(schema::Check),
    Replay(replay::Check),
    Html(html::Check),
    Threat(threat::Check),
    Custom(custom::Check),
    Mask(mask::Check),
    Leak(leak::Check),
    Seal(seal::Check),
    Subscription(subscription::Check),
    Callback(callback::Check),
}

impl Check {
    /// Most are compiled apart (`inline(never)`): a check that is small, and that every plan has, should not pay for the
    /// room that others need.
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        match self {
            Self::Conduct(check) => check.run(scene),
            Self::Kind(check) => check.run(scene),
            Self::Rate(check) => check.run(scene),
            Self::Binary(check) => check.run(scene),
            Self::Json(check) => check.run(scene),
            Self::Tenant(check) => check.run(scene),
            Self::Envelope(check) => check.run(scene),
            Self::Guest(check) => check.run(scene),
            Self::Mfa(check) => check.run(scene),
            Self::Permission(check) => check.run(scene),
            Self::Csrf(check) => check.run(scene),
            Self::Schema(check) => check.run(scene),
            Self::Replay(check) => check.run(scene),
            Self::Html(check) => check.run(scene),
            Self::Threat(check) => check.run(scene),
            Self::Custom(check) => check.run(scene),
            Self::Mask(check) => check.run(scene),
            Self::Leak(check) => check.run(scene),
            Self::Seal(check) => check.run(scene),
            Self::Subscription(check) => check.run(scene),
            Self::Callback(check) => check.run(scene),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Conduct(_) => conduct::NAME,
            Self::Kind(_) => kind::NAME,
            Self::Rate(check) => check.name(),
            Self::Binary(_) => binary::NAME,
            Self::Json(_) => json::NAME,
            Self::Tenant(_) => tenant::NAME,
            Self::Envelope(_) => envelope::NAME,
            Self::Guest(_) => guest::NAME,
            Self::Mfa(_) => mfa::NAME,
            Self::Permission(_) => permission::NAME,
            Self::Csrf(_) => csrf::NAME,
            Self::Schema(_) => schema::NAME,
            Self::Replay(_) => replay::NAME,
            Self::Html(_) => html::NAME,
            Self::Threat(_) => threat::NAME,
            Self::Custom(check) => check.name(),
            Self::Mask(_) => mask::NAME,
            Self::Leak(_) => leak::NAME,
            Self::Seal(check) => check.name(),
            Self::Subscription(_) => subscription::NAME,
            Self::Callback(_) => callback::NAME,
        }
    }
}

impl Plan {
    /// Compiles the checks. With `checks_on` false the list is empty; control frames are limited all the same.
    ///
    /// # Errors
    /// When the policy asks for what cannot be done; see [`PlanError`].
    pub fn compile(
        messages: &Messages,
        errors: &ErrorReplies,
        direction: Direction,
        checks_on: bool,
    ) -> Result<Self, PlanError> {
        super::reply::check_template(&errors.template).map_err(PlanError::Template)?;
        let control = messages.control_rate.map(Limit::compile);
        let mut plan =
            Self { direction, control, list: Vec::new(), type_pointer: None, notes_types: false, ladder: None };
        if !checks_on {
            return Ok(plan);
        }
        if messages.envelope.is_some() && messages.json.mode == JsonMode::Off {
            return Err(PlanError::EnvelopeWithoutJson);
        }
        if messages.schemas.is_some() && messages.json.mode == JsonMode::Off {
            return Err(PlanError::SchemasWithoutJson);
        }
        if !messages.access.is_empty() && messages.json.mode == JsonMode::Off {
            return Err(PlanError::AccessWithoutJson);
        }
        if messages.csrf.is_some() && messages.json.mode == JsonMode::Off {
            return Err(PlanError::AccessWithoutJson);
        }
        if (messages.subscriptions.is_some() || !messages.subscribed.is_empty()) && messages.json.mode == JsonMode::Off
        {
            return Err(PlanError::AccessWithoutJson);
        }
        let fields = !messages.mask.is_empty() || messages.seal.is_some() || messages.unseal.is_some();
        if (fields || messages.html.is_some()) && messages.json.mode == JsonMode::Off {
            return Err(PlanError::FieldsWithoutJson);
        }
        let mut pointers = Pointers::default();
        let tenant = tenant::Check::compile(messages, direction, &mut pointers)?;
        let envelope = envelope::Check::compile(messages, &mut pointers)?;
        let guest = guest::Check::compile(messages, &mut pointers)?;
        let mfa = mfa::Check::compile(messages, &mut pointers)?;
        let permission = permission::Check::compile(messages, &mut pointers)?;
        let csrf = csrf::Check::compile(messages, &mut pointers)?;
        let (seal, unseal) = seal::Check::compile(messages, &mut pointers)?;
        let subscription = subscription::Check::compile(messages, direction, &mut pointers)?;
        let schema = schema::Check::compile(messages, &mut pointers)?;
        let replay = replay::Check::compile(messages, &mut pointers)?;
        let html = html::Check::compile(messages, &mut pointers)?;
        let threat = threat::Check::compile(messages, &mut pointers)?;
        let type_at = permission::type_at(messages);
        let typed = messages.limits.iter().any(MessageLimit::is_typed);
        let typed_number = if typed { Some(pointers.add(type_at)?) } else { None };
        let fan_outs =
            messages.limits.iter().map(|limit| limit.fan_out.as_ref().map(|at| pointers.add(at)).transpose());
        let fan_outs: Vec<Option<usize>> = fan_outs.collect::<Result<_, _>>()?;
        let mask = mask::Check::compile(messages, &mut pointers)?;
        let callback = callback::Check::compile(messages, &mut pointers)?;
        if messages.envelope.is_some()
            || !messages.access.is_empty()
            || messages.csrf.is_some()
            || callback.is_some()
            || subscription.is_some()
        {
            plan.type_pointer = Some(pointers.add(type_at)?);
        } else {
            plan.type_pointer = schema.as_ref().map(schema::Check::type_pointer);
        }
        let conduct = conduct::Check::compile(messages, direction);
        plan.ladder = conduct.as_ref().map(conduct::Check::ladder);
        // Cheapest first.
        plan.list.extend(conduct.map(Check::Conduct));
        plan.list.extend(kind::Check::compile(messages).map(Check::Kind));
        plan.list.extend(rate::Check::compile(messages, direction, None, &fan_outs).map(Check::Rate));
        plan.list.extend(binary::Check::compile(messages).map(Check::Binary));
        plan.list.extend(json::Check::compile(messages, pointers).map(Check::Json));
        plan.list.extend(tenant.map(Check::Tenant));
        if typed_number.is_some() {
            plan.list.extend(rate::Check::compile(messages, direction, typed_number, &fan_outs).map(Check::Rate));
        }
        plan.list.extend(envelope.map(Check::Envelope));
        plan.list.extend(guest.map(Check::Guest));
        plan.list.extend(mfa.map(Check::Mfa));
        plan.list.extend(permission.map(Check::Permission));
        // What nobody asked for is dropped before it is looked at; what is asked for is noted when all agree.
        let (hearing, subscribing) = match direction {
            Direction::Inbound => (None, subscription),
            Direction::Outbound => (subscription, None),
        };
        plan.list.extend(hearing.map(Check::Subscription));
        plan.list.extend(csrf.map(Check::Csrf));
        plan.list.extend(schema.map(Check::Schema));
        plan.list.extend(replay.map(Check::Replay));
        plan.list.extend(html.map(Check::Html));
        plan.list.extend(threat.map(Check::Threat));
        plan.list.extend(mask.map(Check::Mask));
        plan.list.extend(leak::Check::compile(messages).map(Check::Leak));
        plan.list.extend(unseal.map(Check::Seal));
        plan.list.extend(seal.map(Check::Seal));
        plan.list.extend(subscribing.map(Check::Subscription));
        plan.list.extend(callback.map(Check::Callback));
        Ok(plan)
    }

    /// Adds a check of one's own, after all that judge and before those that mask, look for leaks or seal.
    #[must_use]
    pub fn with(mut self, custom: Arc<dyn Custom>) -> Self {
        let changes = |check: &Check| {
            matches!(check, Check::Mask(_) | Check::Leak(_) | Check::Seal(_) | Check::Callback(_))
                || matches!(check, Check::Subscription(_)) && self.direction == Direction::Inbound
        };
        let place = self.list.iter().position(changes).unwrap_or(self.list.len());
        let check = custom::Check { custom, direction: self.direction, type_number: self.type_pointer };
        self.list.insert(place, Check::Custom(check));
        self
    }

    /// Whether every message passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether it looks at topics.
    pub(super) fn tracks_topics(&self) -> bool {
        self.list.iter().any(|check| matches!(check, Check::Subscription(_)))
    }

    /// The names of the checks, in order.
    #[must_use]
    pub fn checks(&self) -> Vec<&'static str> {
        self.list.iter().map(Check::name).collect()
    }

    /// Reads a rewritten text for the checks after the one that wrote it. False: it does not read as its message did.
    pub(super) fn read_again(&self, work: &mut Workspace, text: &[u8]) -> bool {
        self.list.iter().all(|check| match check {
            Check::Json(json) => json.read_again(work, text),
            _ => true,
        })
    }

    /// The same of a text that somebody else wrote: one that was no JSON must not be taken for it.
    pub(super) fn still_reads(&self, work: &mut Workspace, text: &[u8]) -> bool {
        self.list.iter().all(|check| match check {
            Check::Json(json) => json.still_reads(work, text),
            _ => true,
        })
    }

    /// Notes types of messages, so that [`Memory::take_types`](super::Memory::take_types) has them.
    #[must_use]
    pub fn noting_types(self, on: bool) -> Self {
        Self { notes_types: on, ..self }
    }

    /// One bit of 64 for the present message's type; the same over restarts.
    pub(super) fn type_bit(&self, work: &Workspace, bytes: &[u8]) -> u64 {
        let noted = self.type_pointer.filter(|_| self.notes_types && work.reading == Reading::Json);
        let Some(value) = noted.map(|number| work.scan.value(number)).filter(|value| value.kind == ValueKind::String)
        else {
            return 0;
        };
        let raw = value.raw(bytes);
        let mut hasher = SipHasher13::new();
        hasher.write(raw.get(..raw.len().min(MESSAGE_TYPE_BYTES_MAX)).unwrap_or_default());
        1 << (hasher.finish() % 64)
    }

    /// The present message's type, for a finding.
    #[cold]
    pub(super) fn message_type(&self, work: &Workspace, bytes: &[u8]) -> Option<String> {
        if work.reading != Reading::Json {
            return None;
        }
        let value = work.scan.value(self.type_pointer?);
        if value.kind != ValueKind::String {
            return None;
        }
        // Six raw bytes at most become one decoded byte.
        let raw = value.raw(bytes);
        let mut decoded = Vec::new();
        decode_into(raw.get(..raw.len().min(MESSAGE_TYPE_BYTES_MAX * 6)).unwrap_or_default(), &mut decoded);
        let text: String =
            String::from_utf8_lossy(&decoded).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Some(cut(text, MESSAGE_TYPE_BYTES_MAX))
    }
}
