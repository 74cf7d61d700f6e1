//! `identity.sessions`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::checked::{SameSite, SessionBinding, WhenFull};
use crate::policy::human::{OrOff, RateText, Span, Switch};

/// Sessions: `POST <path>` with a credential answers one, or sets it as a cookie; `DELETE <path>` ends it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sessions {
    /// They are issued, and are credentials wherever a token may stand.
    pub(crate) enabled: Option<Switch>,
    /// The path they are exchanged, rotated and ended at; it wins over a route with the same path.
    pub(crate) path: Option<String>,
    /// A session that nobody used for so long has ended, 1 second to 30 days. Connecting and sending use it.
    pub(crate) idle_timeout: Option<Span>,
    /// A session so old has ended, whatever happens; up to a year. Rotation does not make it younger.
    pub(crate) lifetime: Option<Span>,
    /// How often a user may ask for one, as `20/h`, or `off`. Rotation counts too.
    pub(crate) rate_per_user: Option<OrOff<RateText>>,
    /// Most sessions of one user (subject and tenant), 1 to 1000.
    pub(crate) max_per_user: Option<u32>,
    /// Then: `oldest_leaves`, or `refuse` the new one.
    pub(crate) when_full: Option<WhenFull>,
    /// The cookie that carries one to a browser. It is always `HttpOnly`.
    pub(crate) cookie: Option<SessionCookie>,
    /// What a session is bound to besides its user: `address` (of IPv6, its network), `user_agent`.
    pub(crate) bind_to: Option<Vec<SessionBinding>>,
}

/// The cookie of a session.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionCookie {
    /// Its name.
    pub(crate) name: Option<String>,
    /// The paths it is sent to.
    pub(crate) path: Option<String>,
    /// When pages of other sites may make a browser send it: `strict` never, `lax` for links, `none` always.
    pub(crate) same_site: Option<SameSite>,
    /// Sent over TLS only. Off outside development means that whoever listens on the way has it.
    pub(crate) secure: Option<Switch>,
}
