//! `admin.tokens`: each named once, with a secret of its own and permissions that there are.

use super::Checking;
use crate::access::Pattern;
use crate::policy::checked::{ADMIN_PERMISSIONS, AdminToken, Secret};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most tokens: each is compared with what a caller shows.
const TOKENS_MAX: usize = 64;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

impl Checking<'_> {
    pub(super) fn admin_tokens(
        &mut self,
        at: &KeyPath,
        raw: &[raw::AdminToken],
        main: Option<&Secret>,
    ) -> Option<Vec<AdminToken>> {
        if raw.len() > TOKENS_MAX {
            self.fault(at, format!("there are more than {TOKENS_MAX} tokens"), "keep those that are used");
            return None;
        }
        if !raw.is_empty() && main.is_none() {
            let help = "without `admin.token` everybody on this machine may do everything: set `admin.token_file`";
            self.fault(at, "there are tokens for parts, but none for the whole", help);
            return None;
        }
        let tokens = self.each(at, raw, Self::admin_token)?;
        for (position, token) in tokens.iter().enumerate() {
            let earlier = tokens.get(..position).unwrap_or_default();
            if earlier.iter().any(|other| other.name == token.name) {
                let message = format!("the name `{}` stands twice", clip(&token.name));
                self.fault(&at.index(position).key("name"), message, "give each token a name of its own");
            }
            if main == Some(&token.token) || earlier.iter().any(|other| other.token == token.token) {
                let help = "make another one: `openssl rand -base64 48`";
                self.fault(&at.index(position), "the token is the same as another one", help);
            }
        }
        Some(tokens)
    }

    fn admin_token(&mut self, at: &KeyPath, raw: &raw::AdminToken) -> Option<AdminToken> {
        let name = self.need(&at.key("name"), raw.name.as_ref(), "write one for the audit, as `name: monitoring`");
        let name = name.filter(|name| {
            let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
            if !fits {
                self.fault(&at.key("name"), "the name is empty or too long", "write 1 to 64 bytes");
            }
            fits
        });
        let token = self.secret(at, "token", raw.token.as_ref(), raw.token_file.as_ref(), raw.token_env.as_ref());
        if token == Ok(None) && !self.incomplete {
            self.fault(at, "the token is missing", "write `token_file` or `token_env`");
        }
        let written =
            self.need(&at.key("permissions"), raw.permissions.as_ref(), "say what it may, as `[metrics.read]`");
        let permissions = written.and_then(|written| {
            self.each(&at.key("permissions"), written, |checking, at, text| checking.admin_permission(at, text))
        });
        Some(AdminToken { name: name?.clone(), token: token.ok()??, permissions: permissions? })
    }

    /// One that no endpoint asks for is a slip of the pen.
    fn admin_permission(&mut self, at: &KeyPath, written: &str) -> Option<Pattern> {
        let pattern = Pattern::parse(written).ok();
        let known = |pattern: &Pattern| ADMIN_PERMISSIONS.iter().any(|one| pattern.covers(one, None));
        if let Some(pattern) = pattern.filter(known) {
            return Some(pattern);
        }
        let message = format!("`{}` is no permission of the admin listener", clip(written));
        let help = match nearest(written, ADMIN_PERMISSIONS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are `{}`", ADMIN_PERMISSIONS.join("`, `")),
        };
        self.fault(at, message, help);
        None
    }
}
