//! `routes[].authorizer`: an endpoint that has the last word.

use std::time::Duration;

use super::Checking;
use crate::policy::checked::{Authorizer, OnFailure};
use crate::policy::raw;
use crate::policy::tree::KeyPath;

const CACHE_TTL_DEFAULT: Duration = Duration::from_secs(10);

impl Checking<'_> {
    pub(super) fn authorizer(&mut self, at: &KeyPath, raw: &raw::Authorizer) -> Option<Authorizer> {
        let help = "write where it is, as `url: http://127.0.0.1:9000/authorize`";
        let url = self.need(&at.key("url"), raw.url.as_ref(), help);
        let url = url.and_then(|url| self.endpoint_url(&at.key("url"), url, true));
        let token = self.secret(at, "token", raw.token.as_ref(), raw.token_file.as_ref(), raw.token_env.as_ref());
        let asking = self.asking(at, raw.timeout, raw.cache_ttl, CACHE_TTL_DEFAULT, raw.cache_entries_max)?;
        Some(Authorizer {
            url: url?,
            token: token.ok()?,
            timeout: asking.timeout,
            cache_ttl: asking.cache_ttl,
            cache_entries_max: asking.cache_entries_max,
            on_failure: raw.on_failure.unwrap_or(OnFailure::Deny),
        })
    }
}
