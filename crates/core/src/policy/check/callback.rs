//! `callbacks` of a direction: endpoints that are asked about messages.

use std::sync::Arc;
use std::time::Duration;

use super::Checking;
use crate::policy::checked::{Callback, OnFailure, OnRefuse};
use crate::policy::raw;
use crate::policy::tree::KeyPath;

/// Most endpoints of a direction: a message waits for one after the other.
const CALLBACKS_MAX: usize = 8;
const CONCURRENCY_MAX: u32 = 1024;
const CONCURRENCY_DEFAULT: u32 = 64;
/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;
const NAME: &str = "callback";

impl Checking<'_> {
    pub(super) fn callbacks(
        &mut self,
        at: &KeyPath,
        raw: &raw::Messages,
        on_refuse: Option<OnRefuse>,
        json_off: bool,
    ) -> Option<Vec<Arc<Callback>>> {
        let written = raw.callbacks.as_deref().unwrap_or_default();
        let at = at.key("callbacks");
        if written.len() > CALLBACKS_MAX {
            let message = format!("there are {} callbacks", written.len());
            self.fault(&at, message, format!("keep at most {CALLBACKS_MAX}: a message waits for one after the other"));
            return None;
        }
        self.each(&at, written, |checking, at, raw| checking.callback(at, raw, on_refuse, json_off).map(Arc::new))
    }

    fn callback(
        &mut self,
        at: &KeyPath,
        raw: &raw::Callback,
        on_refuse: Option<OnRefuse>,
        json_off: bool,
    ) -> Option<Callback> {
        let help = "write where it is, as `url: http://127.0.0.1:9000/check`";
        let url = self.need(&at.key("url"), raw.url.as_ref(), help);
        let url = url.and_then(|url| self.endpoint_url(&at.key("url"), url, true));
        let token = self.secret(at, "token", raw.token.as_ref(), raw.token_file.as_ref(), raw.token_env.as_ref());
        let asking = self.asking(at, raw.timeout, None, Duration::ZERO, None);
        let concurrency = raw.concurrency_max.unwrap_or(CONCURRENCY_DEFAULT);
        let concurrency = self.within(&at.key("concurrency_max"), concurrency, 1..=CONCURRENCY_MAX);
        let name = raw.name.clone().unwrap_or_else(|| NAME.to_owned());
        let named = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !named {
            let help = format!("write 1 to {NAME_CHARS_MAX} characters");
            self.fault(&at.key("name"), "the name is empty, too long, or holds what cannot be printed", help);
        }
        let types = match &raw.types {
            None => None,
            Some(types) if types.is_empty() => {
                self.fault(
                    &at.key("types"),
                    "the list of types is empty",
                    "name some, or leave it out to ask about all",
                );
                return None;
            }
            Some(_) if json_off => {
                let help = "set `json.mode` of the direction to `required` or `detect`, or leave the types out";
                self.fault(&at.key("types"), "nobody can read a type while JSON is off", help);
                return None;
            }
            Some(types) => Some(self.type_patterns(&at.key("types"), types)?),
        };
        Some(Callback {
            name: Some(name).filter(|_| named)?,
            url: url?,
            token: token.ok()?,
            types,
            timeout: asking?.timeout,
            concurrency_max: usize::try_from(concurrency?).ok()?,
            on_failure: raw.on_failure.unwrap_or(OnFailure::Deny),
            on_refuse: raw.on_refuse.or(on_refuse)?,
            may_rewrite: raw.may_rewrite.is_some_and(|may| may.0),
        })
    }
}
