//! `access`: roles and permissions, and the permission that something asks for.

use std::sync::Arc;

use super::Checking;
use crate::access::{
    MessageAccess, Need, Pattern, Permissions, Resource, RoleError, RoleSpec, Roles, TYPE_BYTES_MAX, is_type_pattern,
};
use crate::policy::checked::Authenticate;
use crate::policy::human::OrOff;
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most roles.
const ROLES_MAX: usize = 256;
/// Most rules of a role, and most permissions written from their side.
const RULES_MAX: usize = 1024;
/// Most rules about types in one direction: a connection remembers an answer to each.
const MESSAGE_RULES_MAX: usize = 512;
/// Most places where a message may name a tenant: each is looked at for every message.
const TENANT_FIELDS_MAX: usize = 8;
/// Longest name of a role or tenant, bytes: as long as a credential's may be.
const NAME_BYTES_MAX: usize = crate::identity::claims::NAME_BYTES_MAX;
const PATTERN_HELP: &str = "write it as `chat.send`, `chat.*`, `conversation.read:42`, `conversation.read:*` or `*`";
const NEED_HELP: &str = "write it as `chat.send` or `conversation.read:42`";

impl Checking<'_> {
    pub(super) fn access(&mut self, at: &KeyPath, raw: Option<&raw::Access>) -> Option<Arc<Roles>> {
        let raw = self.need(at, raw, "write the section")?;
        let (roles_at, permissions_at) = (at.key("roles"), at.key("permissions"));
        let written = raw.roles.clone().unwrap_or_default();
        let specs: Vec<_> = written.iter().map(|(name, role)| self.role(&roles_at.key(name), name, role)).collect();
        let mut specs: Vec<RoleSpec> = specs.into_iter().collect::<Option<_>>()?;
        if specs.len() > ROLES_MAX {
            self.fault(&roles_at, format!("there are {} roles", specs.len()), format!("keep at most {ROLES_MAX}"));
            return None;
        }
        let permissions = raw.permissions.clone().unwrap_or_default();
        if permissions.len() > RULES_MAX {
            let message = format!("there are {} permissions", permissions.len());
            self.fault(&permissions_at, message, format!("keep at most {RULES_MAX}"));
            return None;
        }
        let mut sound = true;
        for (permission, holders) in &permissions {
            let at = permissions_at.key(permission);
            let pattern = self.pattern(&at, permission);
            sound &= pattern.is_some();
            for (item, holder) in holders.iter().enumerate() {
                match (specs.iter_mut().find(|spec| spec.name == *holder), &pattern) {
                    (Some(spec), Some(pattern)) => spec.allow.push(pattern.clone()),
                    (Some(_), None) => {}
                    (None, _) => {
                        sound = false;
                        self.no_role(&at.index(item), holder, specs.iter().map(|spec| spec.name.as_str()));
                    }
                }
            }
        }
        match Roles::compile(specs) {
            Ok(roles) => sound.then(|| Arc::new(roles)),
            Err(errors) => {
                self.broken_roles(&roles_at, &errors, written.keys().map(String::as_str));
                None
            }
        }
    }

    fn role(&mut self, at: &KeyPath, name: &str, raw: &raw::Role) -> Option<RoleSpec> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(|c| c.is_control() || c == ' ') {
            let help = format!("give it a name of 1 to {NAME_BYTES_MAX} bytes without spaces");
            self.fault(at, "this cannot be the name of a role", help);
            return None;
        }
        let allow = self.patterns(&at.key("allow"), raw.allow.as_deref());
        let deny = self.patterns(&at.key("deny"), raw.deny.as_deref());
        let inherits = raw.inherits.clone().unwrap_or_default();
        if inherits.len() > ROLES_MAX {
            self.fault(&at.key("inherits"), "the list of roles is too long", format!("keep at most {ROLES_MAX}"));
            return None;
        }
        Some(RoleSpec { name: name.to_owned(), inherits, allow: allow?, deny: deny? })
    }

    fn patterns(&mut self, at: &KeyPath, written: Option<&[String]>) -> Option<Vec<Pattern>> {
        let written = written.unwrap_or_default();
        if written.len() > RULES_MAX {
            self.fault(at, "the list of permissions is too long", format!("keep at most {RULES_MAX}"));
            return None;
        }
        self.each(at, written, |checking, at, text| checking.pattern(at, text))
    }

    fn pattern(&mut self, at: &KeyPath, text: &str) -> Option<Pattern> {
        Pattern::parse(text)
            .map_err(|why| self.fault(at, format!("`{}` is not a permission: {why}", clip(text)), PATTERN_HELP))
            .ok()
    }

    /// The permission that a route asks for; a parameter in it must stand in the route's path.
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is there")]
    pub(super) fn route_permission(
        &mut self,
        at: &KeyPath,
        written: Option<&String>,
        parameters: &[&str],
    ) -> Option<Option<Need>> {
        let Some(text) = written else { return Some(None) };
        let need = self.asked(at, text)?;
        match &need {
            Need::Permission { resource: Some(Resource::Pointer(_)), .. } => {
                let message = format!("`{}` reads a message, and there is none yet", clip(text));
                self.fault(at, message, "name a parameter of the path: `room.join:{room}`");
                None
            }
            Need::Permission { resource: Some(Resource::Parameter(name)), .. } if !parameters.contains(&&**name) => {
                let message = format!("the path has no parameter `{}`", clip(name));
                let help = match nearest(name, parameters.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("put `{{{}}}` into the path", clip(name)),
                };
                self.fault(at, message, help);
                None
            }
            _ => Some(Some(need)),
        }
    }

    /// What a direction asks of those who speak there.
    pub(super) fn message_access(
        &mut self,
        at: &KeyPath,
        raw: &raw::Messages,
        json_off: bool,
    ) -> Option<MessageAccess> {
        let permissions = self.permissions(at, raw);
        let tenant_at = self.tenant_at(&at.key("envelope").key("tenant"), raw);
        let access = MessageAccess { permissions: permissions?, tenant_at: tenant_at? };
        if json_off && !access.is_empty() {
            let asks = if access.permissions.is_some() { at.key("permissions") } else { at.key("envelope") };
            let help = "set `json.mode` of the direction to `required` or `detect`";
            self.fault(&asks, "nobody can read a field of a message while JSON is off", help);
            return None;
        }
        Some(access)
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

    fn type_pattern(&mut self, at: &KeyPath, pattern: &str) -> Option<String> {
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

    fn asked(&mut self, at: &KeyPath, text: &str) -> Option<Need> {
        Need::parse(text)
            .map_err(|why| {
                self.fault(at, format!("`{}` cannot be asked for: {why}", clip(text)), NEED_HELP);
            })
            .ok()
    }

    fn broken_roles<'n>(&mut self, at: &KeyPath, errors: &[RoleError], names: impl Iterator<Item = &'n str> + Clone) {
        for error in errors {
            match error {
                RoleError::Unknown { role, item, inherits, .. } => {
                    self.no_role(&at.key(role).key("inherits").index(*item), inherits, names.clone());
                }
                RoleError::Cycle { role, way, .. } => {
                    let shown: Vec<String> = way.iter().map(|name| clip(name)).collect();
                    let message = format!("the role `{}` inherits itself: {}", clip(role), shown.join(" → "));
                    // Where a preset and the operator make a circle together, the operator's part is shown.
                    let inherits = |name: &String| at.key(name).key("inherits");
                    let own = way.iter().map(inherits).find(|at| self.is_operators(at));
                    let at = own.unwrap_or_else(|| inherits(role));
                    self.fault(&at, message, "take one of them out of `inherits`");
                }
            }
        }
    }

    fn no_role<'n>(&mut self, at: &KeyPath, name: &str, names: impl Iterator<Item = &'n str>) {
        let help = match nearest(name, names) {
            Some(near) => format!("did you mean `{}`?", clip(near)),
            None => format!("define it: `access: {{roles: {{{}: {{allow: […]}}}}}}`", clip(name)),
        };
        self.fault(at, format!("`{}` is not a role", clip(name)), help);
    }
}
