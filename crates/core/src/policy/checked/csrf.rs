//! Tokens against cross-site request forgery.

use crate::identity::csrf::Signer;

/// How tokens are issued.
#[derive(Debug, Clone)]
pub struct CsrfTokens {
    /// The path that answers them.
    pub path: String,
    /// What makes them.
    pub signer: Signer,
    /// Each is good once.
    pub single_use: bool,
}

/// Where tokens are demanded.
#[derive(Debug, Clone)]
pub struct Csrf {
    /// Types of messages that need one; `chat.*` stands for several.
    pub types: Vec<String>,
    /// Where the token stands.
    pub at: String,
    /// The route it is bound to.
    pub route: String,
    /// What verifies it.
    pub signer: Signer,
    /// Each is good once.
    pub single_use: bool,
}
