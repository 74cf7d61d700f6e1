//! `identity.renewal`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::human::Span;

/// Tokens that the gateway renews itself: `{"type":"auth.renew","token":"…"}` on a connection with `notices.refresh` is
/// answered with a fresh token of the same claims.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renewal {
    /// The `id` of the key in `keys` that signed them and signs the fresh ones: HS256, HS384 or HS512.
    pub(crate) key: Option<String>,
    /// How long a fresh token lasts, 10 seconds to a day. Default 15m.
    pub(crate) ttl: Option<Span>,
    /// How long after the first one (its `iat`, kept as `orig_iat`) the last one ends; up to a year. Default 12h.
    pub(crate) life_max: Option<Span>,
}
