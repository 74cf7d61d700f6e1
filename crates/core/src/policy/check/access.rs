//! `access`: roles and permissions, and the permission that something asks for.

use std::sync::Arc;

use super::Checking;
use crate::access::{Need, Pattern, Resource, RoleError, RoleSpec, Roles};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most roles.
const ROLES_MAX: usize = 256;
/// Most rules of a role, and most permissions written from their side.
const RULES_MAX: usize = 1024;
/// Longest name of a role or tenant, bytes: as long as a credential's may be.
pub(super) const NAME_BYTES_MAX: usize = crate::identity::claims::NAME_BYTES_MAX;
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
        let mfa = raw.mfa.is_some_and(|mfa| mfa.0);
        Some(RoleSpec { name: name.to_owned(), inherits, allow: allow?, deny: deny?, mfa })
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

    pub(super) fn asked(&mut self, at: &KeyPath, text: &str) -> Option<Need> {
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
