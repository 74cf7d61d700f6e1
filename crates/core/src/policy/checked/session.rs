//! Sessions: how long, how many, and how they are carried.

use std::time::Duration;

use super::Rate;

/// Sessions issued by the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// The path they are exchanged, rotated and ended at.
    pub path: String,
    /// One that nobody used for so long has ended.
    pub idle_timeout: Duration,
    /// One so old has ended.
    pub lifetime: Duration,
    /// How often a user may ask for one.
    pub rate_per_user: Option<Rate>,
    /// Most of one user.
    pub max_per_user: u32,
    /// What happens when a user has as many and wants another.
    pub when_full: WhenFull,
    /// The cookie that carries one to a browser.
    pub cookie: SessionCookie,
    /// Good only from the address it was issued to.
    pub bind_address: bool,
    /// Good only from the user agent it was issued to.
    pub bind_user_agent: bool,
}

/// The cookie of a session. It is always `HttpOnly`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCookie {
    /// Its name.
    pub name: String,
    /// Its `Path`.
    pub path: String,
    /// Its `SameSite`.
    pub same_site: SameSite,
    /// `Secure`: sent over TLS only.
    pub secure: bool,
}

/// What happens when a user has as many sessions as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest ends.
    OldestLeaves,
    /// The new one is refused.
    Refuse,
}

/// `SameSite` of a cookie (RFC 6265bis 4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Sent on requests of the own site only.
    Strict,
    /// Sent when a link is followed, too.
    Lax,
    /// Sent always; needs `Secure`.
    None,
}

impl SameSite {
    /// As the cookie says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// What a session may be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionBinding {
    /// The client's address (of IPv6, its network).
    Address,
    /// The client's `User-Agent`.
    UserAgent,
}
