//! Client certificates: who vouches for them, and what they prove.

use std::path::PathBuf;

/// Certificates that clients show in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities that may have issued them, PEM.
    pub ca: PathBuf,
    /// What they revoked, PEM.
    pub crl: Option<PathBuf>,
    /// Whoever shows none gets no TLS at all.
    pub required: bool,
    /// Which name is the subject.
    pub subject: CertificateName,
    /// Roles of whoever shows one.
    pub roles: Vec<String>,
    /// Permissions of whoever shows one.
    pub permissions: Vec<String>,
    /// The tenant of whoever shows one.
    pub tenant: Option<String>,
}

/// A name in a certificate (RFC 5280 4.1.2.6, 4.2.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateName {
    /// `CN` of the subject.
    CommonName,
    /// `dNSName` among the alternative names.
    Dns,
    /// `rfc822Name` among them.
    Email,
    /// `uniformResourceIdentifier` among them, as SPIFFE uses it.
    Uri,
}
