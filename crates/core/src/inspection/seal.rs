//! Sealing: fields that a backend is not to read are sealed on the way in, and opened on the way back for those who may.
//!
//! Both stand last: every other check judges what a client wrote, and nobody gets more open than leaks and masks leave.
//! What a sealed text is, is in [`crate::message::seal`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::field::{Field, type_of};
use super::permission::type_at;
use super::{Context, Finding, Reading, Scene, Workspace};
use crate::access::{Need, Roles};
use crate::message::json::pointer::{PointerError, Pointers};
use crate::message::json::{Value, ValueKind, decode_into};
use crate::message::rewrite::{Edit, splice};
use crate::message::seal::{Keys, PREFIX, Place, RANDOM_BYTES};
use crate::policy::checked::{Messages, OnRefuse};
use crate::verdict::Reason;

pub(super) const NAME: &str = "seal";
pub(super) const NAME_OPEN: &str = "unseal";

/// The fields of one direction, and what happens to them.
#[derive(Debug)]
pub(super) struct Check {
    /// Number and name of each pattern.
    fields: Vec<(usize, String)>,
    keys: Keys,
    /// Who may read; sealing asks nobody.
    opens: Option<(Need, Arc<Roles>)>,
    type_number: usize,
    outcome: OnRefuse,
}

impl Check {
    /// What is sealed, and what is opened.
    pub(super) fn compile(
        messages: &Messages,
        pointers: &mut Pointers,
    ) -> Result<(Option<Self>, Option<Self>), PointerError> {
        let type_number = match (&messages.seal, &messages.unseal) {
            (None, None) => return Ok((None, None)),
            _ => pointers.add(type_at(messages))?,
        };
        let mut fields = |named: &BTreeMap<String, String>| -> Result<Vec<(usize, String)>, PointerError> {
            named.iter().map(|(pattern, name)| Ok((pointers.add_each(pattern)?, name.clone()))).collect()
        };
        let outcome = messages.on_refuse;
        let seal = match &messages.seal {
            None => None,
            Some(seal) => {
                let (fields, keys) = (fields(&seal.fields)?, seal.keys.clone());
                Some(Self { fields, keys, opens: None, type_number, outcome })
            }
        };
        let unseal = match &messages.unseal {
            None => None,
            Some(unseal) => {
                let opens = Some((unseal.permission.clone(), Arc::clone(&unseal.roles)));
                Some(Self { fields: fields(&unseal.fields)?, keys: unseal.keys.clone(), opens, type_number, outcome })
            }
        };
        Ok((seal, unseal))
    }

    pub(super) fn name(&self) -> &'static str {
        if self.opens.is_some() { NAME_OPEN } else { NAME }
    }

    #[inline(never)]
    pub(super) fn run(&self, scene: &mut Scene<'_>) -> ControlFlow<()> {
        if scene.work.reading != Reading::Json {
            return ControlFlow::Continue(());
        }
        let mut edits = Vec::new();
        for index in 0..scene.work.scan.marks().len() {
            let Some(&mark) = scene.work.scan.marks().get(index) else { break };
            let number = usize::from(mark.pattern);
            let Some((_, name)) = self.fields.iter().find(|(field, _)| *field == number) else { continue };
            let edit = match &self.opens {
                None => self.seal(scene, name, mark.value),
                Some((need, roles)) => self.open(scene, name, mark.value, need, roles),
            };
            match edit {
                Ok(edit) => edits.extend(edit),
                Err(finding) => scene.refuse(*finding)?,
            }
        }
        if !edits.is_empty() {
            scene.rewritten = Some(splice(scene.message.bytes, edits));
        }
        ControlFlow::Continue(())
    }

    /// The text with what this seals open, where it was sealed before: a callback was told it so.
    pub(super) fn opened(&self, cx: &Context<'_>, work: &Workspace, text: &[u8]) -> Option<Vec<u8>> {
        if self.opens.is_some() || work.reading != Reading::Json {
            return None;
        }
        let mut edits = Vec::new();
        for mark in work.scan.marks() {
            let number = usize::from(mark.pattern);
            let Some((_, name)) = self.fields.iter().find(|(field, _)| *field == number) else { continue };
            // What was sealed has no escapes.
            let raw = mark.value.raw(text);
            if mark.value.kind != ValueKind::String || !raw.starts_with(PREFIX.as_bytes()) {
                continue;
            }
            let place = Place { name, tenant: cx.principal.tenant.as_deref().unwrap_or_default() };
            if let Some(Ok(plain)) = self.keys.open(&place, raw) {
                edits.push(Edit { range: whole(mark.value), new: plain.into() });
            }
        }
        (!edits.is_empty()).then(|| splice(text, edits))
    }

    fn seal(&self, scene: &mut Scene<'_>, name: &str, value: Value) -> Result<Option<Edit>, Box<Finding>> {
        let bytes = scene.message.bytes;
        if matches!(value.kind, ValueKind::Missing | ValueKind::Null) {
            return Ok(None);
        }
        let kind = match type_of(scene.work, self.type_number, bytes) {
            Field::Name(kind) => kind.to_vec(),
            Field::Missing | Field::Other => Vec::new(),
        };
        let range = whole(value);
        let place = Place { name, tenant: scene.cx.principal.tenant.as_deref().unwrap_or_default() };
        let mut random = [0; RANDOM_BYTES];
        let drawn = (scene.work.random)(&mut random);
        let plain = bytes.get(range.clone()).unwrap_or_default();
        let sealed = drawn.then(|| self.keys.seal(&place, &kind, plain, random)).flatten();
        // What cannot be sealed does not go on open, not even where refusals are observed.
        let Some(sealed) = sealed else {
            let detail = format!("the field `{name}` could not be sealed");
            return Err(Box::new(Finding::new(Reason::SealFailed, NAME, self.outcome.max(OnRefuse::Drop), detail)));
        };
        Ok(Some(Edit { range, new: format!("\"{sealed}\"").into_bytes().into() }))
    }

    fn open(
        &self,
        scene: &mut Scene<'_>,
        name: &str,
        value: Value,
        need: &Need,
        roles: &Roles,
    ) -> Result<Option<Edit>, Box<Finding>> {
        let mut decoded = Vec::new();
        let raw = value.raw(scene.message.bytes);
        let text = if value.escapes {
            decode_into(raw, &mut decoded);
            decoded.as_slice()
        } else {
            raw
        };
        let is_sealed = value.kind == ValueKind::String && text.starts_with(PREFIX.as_bytes());
        if !is_sealed || !may_open(scene, need, roles) {
            return Ok(None);
        }
        let place = Place { name, tenant: scene.cx.principal.tenant.as_deref().unwrap_or_default() };
        match self.keys.open(&place, text) {
            None => Ok(None),
            Some(Ok(plain)) => Ok(Some(Edit { range: whole(value), new: plain.into() })),
            Some(Err(fault)) => {
                let detail = format!("the field `{name}`: {}", fault.words());
                Err(Box::new(Finding::new(Reason::SealBroken, NAME_OPEN, self.outcome, detail)))
            }
        }
    }
}

/// Whether the receiver has the permission; worked out once for a caller.
fn may_open(scene: &mut Scene<'_>, need: &Need, roles: &Roles) -> bool {
    let principal = scene.cx.principal;
    *scene.memory.kept().may_open.get_or_insert_with(|| match need {
        Need::Anyone => true,
        Need::Permission { path, resource: None } => {
            roles.standing(&principal.roles, &principal.permissions).rule(path, None).is_allowed()
        }
        // Configuration refuses it.
        Need::Permission { .. } => false,
    })
}

/// The value with its quotes, where it has some.
fn whole(value: Value) -> std::ops::Range<usize> {
    let (start, end) = (value.start as usize, value.end as usize);
    if value.kind == ValueKind::String { start.saturating_sub(1)..end + 1 } else { start..end }
}
