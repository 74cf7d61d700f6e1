//! `identity.sessions`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Checking;
use super::listen::rate;
use crate::policy::checked::{SameSite, SessionBinding, SessionCookie, Sessions};
use crate::policy::human::OrOff;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
const LIFETIME_MAX: Duration = Duration::from_secs(366 * 86_400);

impl Checking<'_> {
    /// `Some(None)`: there are none.
    #[expect(clippy::option_option, reason = "wrong and absent are two things")]
    pub(super) fn sessions(&mut self, at: &KeyPath, raw: Option<&raw::Sessions>) -> Option<Option<Sessions>> {
        let raw = self.need(at, raw, "write the section")?;
        let enabled = self.set(at, "enabled", raw.enabled);
        let path = self.set(at, "path", raw.path.as_ref());
        let path = path.and_then(|path| self.own_path(&at.key("path"), path));
        let idle_timeout = self.positive(at, "idle_timeout", raw.idle_timeout);
        let lifetime = self.positive(at, "lifetime", raw.lifetime);
        if idle_timeout.is_some_and(|idle| !IDLE.contains(&idle)) {
            let help = "write 1 second to 30 days, as `idle_timeout: 30m`";
            self.fault(&at.key("idle_timeout"), "the time is out of bounds", help);
        }
        if let (Some(idle), Some(lifetime)) = (idle_timeout, lifetime)
            && !(idle..=LIFETIME_MAX).contains(&lifetime)
        {
            let help = "write at least `idle_timeout` and at most a year, as `lifetime: 12h`";
            self.fault(&at.key("lifetime"), "the lifetime is out of bounds", help);
        }
        let max_per_user = self.bounded(at, "max_per_user", raw.max_per_user, 1..=1000);
        let when_full = self.set(at, "when_full", raw.when_full);
        let cookie = self.session_cookie(&at.key("cookie"), raw.cookie.as_ref());
        let bind_to = self.set(at, "bind_to", raw.bind_to.clone());
        let enabled = enabled?.0;
        let bind_to = bind_to?;
        let sessions = Sessions {
            path: path?,
            idle_timeout: idle_timeout?,
            lifetime: lifetime?,
            rate_per_user: raw.rate_per_user.and_then(OrOff::value).map(rate),
            max_per_user: max_per_user?,
            when_full: when_full?,
            cookie: cookie?,
            bind_address: bind_to.contains(&SessionBinding::Address),
            bind_user_agent: bind_to.contains(&SessionBinding::UserAgent),
        };
        Some(enabled.then_some(sessions))
    }

    fn session_cookie(&mut self, at: &KeyPath, raw: Option<&raw::SessionCookie>) -> Option<SessionCookie> {
        let raw = self.need(at, raw, "write the section")?;
        let name = self.token_name(at, "name", raw.name.as_ref());
        let path = self.set(at, "path", raw.path.as_ref());
        let path = path.and_then(|path| self.own_path(&at.key("path"), path));
        let same_site = self.set(at, "same_site", raw.same_site);
        let secure = self.set(at, "secure", raw.secure).map(|secure| secure.0);
        if same_site == Some(SameSite::None) && secure == Some(false) {
            let help = "browsers drop such a cookie: write `secure: on`, or `same_site: strict`";
            self.fault(&at.key("same_site"), "`none` without `secure`", help);
        }
        Some(SessionCookie { name: name?, path: path?, same_site: same_site?, secure: secure? })
    }

    /// A path that the gateway answers itself, or that a cookie is sent to.
    pub(super) fn own_path(&mut self, at: &KeyPath, written: &str) -> Option<String> {
        let odd =
            |c: char| matches!(c, '?' | '#' | '{' | '}' | '%' | ';' | ',') || c.is_control() || !c.is_ascii_graphic();
        if !written.starts_with('/') || written.contains(odd) {
            let message = format!("`{}` is not a path", clip(written));
            self.fault(at, message, "write it as `/auth/session`, without parameters");
            return None;
        }
        Some(written.to_owned())
    }
}
