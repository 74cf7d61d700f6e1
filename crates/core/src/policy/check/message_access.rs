//! Who may say what: permissions by type, types for guests and for those with a second factor, tenants.

use super::Checking;
use super::access::NAME_BYTES_MAX;
use crate::access::{MessageAccess, Need, Permissions, Resource, TYPE_BYTES_MAX, is_type_pattern};
use crate::identity::SecondFactor;
use crate::policy::checked::Authenticate;
use crate::policy::human::OrOff;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most rules about types in one direction: a connection remembers an answer to each.
const MESSAGE_RULES_MAX: usize = 512;
/// Most places where a message may name a tenant: each is looked at for every message.
const TENANT_FIELDS_MAX: usize = 8;
/// Most values of a claim that show a second factor.
const FACTORS_MAX: usize = 64;

impl Checking<'_> {
    /// What a direction asks of those who speak there.
    pub(super) fn message_access(
        &mut self,
        at: &KeyPath,
        raw: &raw::Messages,
        json_off: bool,
    ) -> Option<MessageAccess> {
        let permissions = self.permissions(at, raw);
        let tenant_at = self.tenant_at(&at.key("envelope").key("tenant"), raw);
        let guest_types = match &raw.guest_types {
            Some(written) => self.type_patterns(&at.key("guest_types"), written).map(Some),
            None => Some(None),
        };
        let mfa_types = self.type_patterns(&at.key("mfa_types"), raw.mfa_types.as_deref().unwrap_or_default());
        let access = MessageAccess {
            permissions: permissions?,
            guest_types: guest_types?,
            mfa_types: mfa_types?,
            tenant_at: tenant_at?,
        };
        if json_off && !access.is_empty() {
            let asks = match &access {
                MessageAccess { permissions: Some(_), .. } => at.key("permissions"),
                MessageAccess { guest_types: Some(_), .. } => at.key("guest_types"),
                access if !access.mfa_types.is_empty() => at.key("mfa_types"),
                _ => at.key("envelope"),
            };
            let help = "set `json.mode` of the direction to `required` or `detect`";
            self.fault(&asks, "nobody can read a field of a message while JSON is off", help);
            return None;
        }
        Some(access)
    }

    pub(super) fn type_patterns(&mut self, at: &KeyPath, written: &[String]) -> Option<Vec<String>> {
        if written.len() > MESSAGE_RULES_MAX {
            self.fault(at, format!("there are {} types", written.len()), format!("keep at most {MESSAGE_RULES_MAX}"));
            return None;
        }
        self.each(at, written, |checking, at, pattern| checking.type_pattern(at, pattern))
    }

    /// How a token shows a second factor.
    pub(super) fn second_factor(&mut self, at: &KeyPath, raw: Option<&raw::Mfa>) -> Option<SecondFactor> {
        let raw = self.need(at, raw, "write the section")?;
        let claim = match &raw.claim {
            Some(pointer) => Some(self.pointer(&at.key("claim"), pointer)?),
            None => None,
        };
        let (amr, acr) = (raw.amr.clone().unwrap_or_default(), raw.acr.clone().unwrap_or_default());
        for (key, values) in [("amr", &amr), ("acr", &acr)] {
            if values.len() > FACTORS_MAX || values.iter().any(String::is_empty) {
                self.fault(
                    &at.key(key),
                    "a value is empty, or there are too many",
                    format!("keep at most {FACTORS_MAX}"),
                );
                return None;
            }
        }
        Some(SecondFactor { amr, acr, claim })
    }

    fn tenant_at(&mut self, at: &KeyPath, raw: &raw::Messages) -> Option<Vec<String>> {
        let Some(OrOff::On(envelope)) = &raw.envelope else { return Some(Vec::new()) };
        let written = envelope.tenant.as_deref().unwrap_or_default();
        if written.len() > TENANT_FIELDS_MAX {
            self.fault(at, format!("there are {} places", written.len()), format!("keep at most {TENANT_FIELDS_MAX}"));
            return None;
        }
        self.each(at, written, |checking, at, text| checking.pointer(at, text))
    }

    /// The tenant of a route; where nobody has a tenant, nobody could enter.
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is there")]
    pub(super) fn route_tenant(
        &mut self,
        at: &KeyPath,
        written: Option<&String>,
        authenticate: Option<Authenticate>,
    ) -> Option<Option<String>> {
        let Some(tenant) = written else { return Some(None) };
        if tenant.is_empty() || tenant.len() > NAME_BYTES_MAX || tenant.chars().any(char::is_control) {
            let help = format!("write it as tokens do, 1 to {NAME_BYTES_MAX} bytes");
            self.fault(at, "this cannot be the name of a tenant", help);
            return None;
        }
        if authenticate == Some(Authenticate::Off) {
            let message = "nobody could enter: without a credential a caller has no tenant";
            self.fault(at, message, "write `authenticate: required` on the route");
            return None;
        }
        Some(Some(tenant.clone()))
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is there")]
    fn permissions(&mut self, at: &KeyPath, raw: &raw::Messages) -> Option<Option<Permissions>> {
        let untyped = match &raw.untyped_permission {
            Some(text) => Some(self.message_need(&at.key("untyped_permission"), text)?),
            None => None,
        };
        let Some(written) = raw.permissions.as_ref().filter(|written| !written.is_empty()) else {
            if untyped.is_some() {
                let help = "name the permissions of types in `permissions`, or take it out";
                self.fault(&at.key("untyped_permission"), "it says nothing without `permissions`", help);
                return None;
            }
            return Some(None);
        };
        let at = at.key("permissions");
        if written.len() > MESSAGE_RULES_MAX {
            let help = format!("keep at most {MESSAGE_RULES_MAX}; a pattern as `chat.*` stands for many");
            self.fault(&at, format!("there are {} types", written.len()), help);
            return None;
        }
        let rules: Vec<Option<(String, Need)>> = written
            .iter()
            .map(|(pattern, need)| {
                let at = at.key(pattern);
                let need = self.message_need(&at, need);
                Some((self.type_pattern(&at, pattern)?, need?))
            })
            .collect();
        let rules = rules.into_iter().collect::<Option<_>>()?;
        Some(Some(Permissions { rules, untyped, roles: self.roles.clone()? }))
    }

    pub(super) fn type_pattern(&mut self, at: &KeyPath, pattern: &str) -> Option<String> {
        if is_type_pattern(pattern) {
            return Some(pattern.to_owned());
        }
        let message = format!("`{}` stands for no type of message", clip(pattern));
        let help = format!("write `chat.send`, `chat.*` or `*`, at most {TYPE_BYTES_MAX} bytes; `*` stands at the end");
        self.fault(at, message, help);
        None
    }

    fn message_need(&mut self, at: &KeyPath, text: &str) -> Option<Need> {
        let need = self.asked(at, text)?;
        match &need {
            Need::Permission { resource: Some(Resource::Parameter(name)), .. } => {
                let message = format!("`{}` reads the path, and a message has none", clip(text));
                self.fault(at, message, format!("name a place in the message: `{{/{}}}`", clip(name)));
                None
            }
            Need::Permission { resource: Some(Resource::Pointer(pointer)), .. } => {
                self.pointer(at, pointer)?;
                Some(need)
            }
            _ => Some(need),
        }
    }
}
