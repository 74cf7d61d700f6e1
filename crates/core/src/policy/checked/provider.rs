//! Identity providers.

/// An OpenID provider: its tokens are verified with its own keys and no others, and its keys verify no other tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The `iss` of its tokens, compared exactly.
    pub issuer: String,
    /// `aud` must be one of these, where any is given.
    pub audiences: Vec<String>,
    /// `azp` must be one of these, where any is given and the claim is present.
    pub authorized_parties: Vec<String>,
    /// It may stand at an address of an inner network.
    pub private_network: bool,
}
