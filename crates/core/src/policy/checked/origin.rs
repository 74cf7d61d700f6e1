//! Which web pages may connect.

/// Origin allow-list (CSWSH).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// Who may.
    pub allow: Vec<OriginRule>,
    /// `http://localhost:*`, `http://127.0.0.1:*`, `http://[::1]:*` as well; development only.
    pub localhost: bool,
    /// The gateway's own host as origin (`Origin` host equals `Host`).
    pub same_host: bool,
    /// A request without an Origin header (not a browser) may connect.
    pub missing_allowed: bool,
}

/// One line of an origin allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// Any origin; warned about.
    Any,
    /// Scheme, host and port, exactly.
    Exact(String),
    /// `https://*.example.com`: one or more labels below the suffix, never the bare domain.
    Subdomains {
        /// `https`.
        scheme: String,
        /// `example.com`.
        suffix: String,
        /// Only this port; `None` is the scheme's default.
        port: Option<u16>,
    },
    /// A regular expression that must match the whole origin.
    Regex(String),
}
