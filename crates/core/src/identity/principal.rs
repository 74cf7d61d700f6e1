//! The caller, as every later rule sees it.

use serde::{Deserialize, Serialize};

/// How a principal proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// It did not; it has the guest role.
    Anonymous,
    /// A signed JSON Web Token (RFC 7519).
    Jwt,
    /// An opaque token that its provider says is active (RFC 7662).
    Introspection,
    /// An API key.
    ApiKey,
    /// A session of the gateway's own.
    Session,
    /// A client certificate of the TLS handshake.
    Certificate,
    /// The development bypass; never outside the development environment.
    DevelopmentBypass,
}

/// Who is calling. Small and immutable; shared by `Arc` for the life of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The subject (`sub` unless mapped); `None` for anonymous callers.
    pub subject: Option<Box<str>>,
    /// How it was proved.
    pub method: Method,
    /// Roles, as the token names them; `["guest"]` for anonymous callers.
    pub roles: Box<[Box<str>]>,
    /// Permissions carried by the token itself.
    pub permissions: Box<[Box<str>]>,
    /// A second factor was passed, as the credential says.
    pub mfa: bool,
    /// Tenant, where the token names one.
    pub tenant: Option<Box<str>>,
    /// Further tenants it belongs to.
    pub tenants: Box<[Box<str>]>,
    /// Session id, where the token names one.
    pub session: Option<Box<str>>,
    /// Token id (`jti`), where there is one.
    pub token_id: Option<Box<str>>,
    /// When the credential was issued (`iat`), Unix seconds.
    pub issued_at_unix_s: Option<u64>,
    /// When the credential ends, Unix seconds.
    pub expires_at_unix_s: Option<u64>,
    /// Of a session: what it was exchanged for.
    pub origin: Option<Box<Origin>>,
}

/// The credential that a session was exchanged for. Its id is the principal's `token_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// How it was proved.
    pub method: Method,
    /// Its session at its issuer.
    pub session: Option<Box<str>>,
}

impl Principal {
    /// A caller without a credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            subject: None,
            method: Method::Anonymous,
            roles: Box::new(["guest".into()]),
            permissions: Box::new([]),
            mfa: false,
            tenant: None,
            tenants: Box::new([]),
            session: None,
            token_id: None,
            issued_at_unix_s: None,
            expires_at_unix_s: None,
            origin: None,
        }
    }

    /// Whether it belongs to the tenant of this name.
    #[must_use]
    pub fn belongs_to(&self, tenant: &[u8]) -> bool {
        self.tenant.iter().chain(&self.tenants).any(|own| own.as_bytes() == tenant)
    }

    /// Whether it was proved by an API key, be it through a session that was exchanged for one.
    #[must_use]
    pub fn rests_on_api_key(&self) -> bool {
        self.method == Method::ApiKey || self.origin.as_ref().is_some_and(|origin| origin.method == Method::ApiKey)
    }

    /// Whether nobody vouched for this caller.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.method == Method::Anonymous
    }
}
