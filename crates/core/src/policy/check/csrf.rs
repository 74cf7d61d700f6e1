//! `identity.csrf`, which issues tokens, and `csrf` of a direction, which demands them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Checking;
use crate::identity::csrf::Signer;
use crate::policy::checked::{Csrf, CsrfTokens};
use crate::policy::raw;
use crate::policy::tree::{Content, KeyPath};

const PATH: &str = "/auth/csrf";
const TTL_DEFAULT: Duration = Duration::from_secs(3600);
const TTL: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);
/// Shortest secret of a token that nobody guesses, bytes: as long as HMAC-SHA256's output.
const SECRET_BYTES_MIN: usize = 32;

impl Checking<'_> {
    pub(super) fn csrf_tokens(&mut self, at: &KeyPath, raw: &raw::CsrfTokens) -> Option<CsrfTokens> {
        let path = self.own_path(&at.key("path"), raw.path.as_deref().unwrap_or(PATH));
        let ttl = raw.ttl.map_or(TTL_DEFAULT, |ttl| ttl.0);
        if !TTL.contains(&ttl) {
            self.fault(&at.key("ttl"), "a token is good for 10 seconds to a day", "write `ttl: 1h`");
            return None;
        }
        let (inline, file, variable) = (raw.secret.as_ref(), raw.secret_file.as_ref(), raw.secret_env.as_ref());
        let Some(secret) = self.secret(at, "secret", inline, file, variable).ok()? else {
            self.fault(at, "tokens need a secret", "add `secret_file`: `openssl rand -base64 48 > csrf.key`");
            return None;
        };
        if secret.expose().len() < SECRET_BYTES_MIN {
            let help = "make one of at least 32 bytes: `openssl rand -base64 48`";
            self.fault(at, format!("the secret has {} bytes and can be guessed", secret.expose().len()), help);
            return None;
        }
        let signer = Signer::new(secret.expose(), ttl);
        Some(CsrfTokens { path: path?, signer, single_use: raw.single_use.is_some_and(|single| single.0) })
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn csrf(&mut self, at: &KeyPath, raw: &raw::Messages, json_off: bool) -> Option<Option<Csrf>> {
        let Some(csrf) = &raw.csrf else { return Some(None) };
        let at = at.key("csrf");
        let written = self.need(&at.key("types"), csrf.types.as_deref(), "name the types, as `types: [transfer]`")?;
        let types = self.type_patterns(&at.key("types"), written)?;
        let pointer = self.pointer(&at.key("at"), csrf.at.as_deref().unwrap_or("/csrf"))?;
        if types.is_empty() {
            return Some(None);
        }
        let Some(tokens) = self.csrf_tokens.clone() else {
            if !self.incomplete {
                self.fault(&at, "nobody issues tokens", "add `identity: { csrf: { secret_file: csrf.key } }`");
            }
            return None;
        };
        if json_off {
            let help = "set `json.mode` of the direction to `required` or `detect`";
            self.fault(&at, "nobody can read a token while JSON is off", help);
            return None;
        }
        // `routes[n].inbound.csrf`: the name stands beside `inbound`.
        let name = KeyPath(at.0.iter().take(2).cloned().collect()).key("name");
        let route = match self.tree.at(&name).map(|node| &node.content) {
            Some(Content::Text(name)) => name.clone(),
            _ => String::new(),
        };
        Some(Some(Csrf { types, at: pointer, route, signer: tokens.signer, single_use: tokens.single_use }))
    }
}
