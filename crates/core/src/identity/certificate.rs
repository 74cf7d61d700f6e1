//! Client certificates (SPEC 15): whom one speaks of.
//!
//! TLS has verified the chain, its dates and its revocation before; this reads the names (RFC 5280 4.1.2.6, 4.2.1.6) and
//! decides which is the subject. A certificate with no such name, or with two, speaks of nobody: which of them others
//! would read cannot be known. Its id, for revocation, is the SHA-256 of the certificate.

use data_encoding::HEXLOWER;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::cache::digest;
use super::claims::NAME_BYTES_MAX;
use super::principal::{Method, Principal};
use crate::policy::checked::{CertificateName, ClientCertificates};
use crate::time::Now;
use crate::verdict::Reason;

/// Most names of one kind that are read.
const NAMES_MAX: usize = 32;

/// What a certificate says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    common_names: Vec<String>,
    dns: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    fingerprint: String,
    not_before_unix_s: u64,
    not_after_unix_s: u64,
}

impl Certificate {
    /// Reads a certificate (DER) that TLS has verified; `None` where it cannot be read.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let mut read = Self {
            common_names: Vec::new(),
            dns: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            fingerprint: HEXLOWER.encode(&digest(der)),
            not_before_unix_s: u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0),
            not_after_unix_s: u64::try_from(parsed.validity().not_after.timestamp()).ok()?,
        };
        for name in parsed.subject().iter_common_name().take(NAMES_MAX) {
            read.common_names.push(name.as_str().ok()?.to_owned());
        }
        let alternatives = parsed.subject_alternative_name().ok()?;
        for name in alternatives.iter().flat_map(|names| &names.value.general_names).take(NAMES_MAX) {
            match name {
                GeneralName::DNSName(name) => read.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => read.emails.push((*name).to_owned()),
                GeneralName::URI(name) => read.uris.push((*name).to_owned()),
                _ => {}
            }
        }
        Some(read)
    }

    /// SHA-256 of it, hexadecimal: what `revoke --token-id` takes.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whom it proves.
    ///
    /// # Errors
    /// [`Reason::CertificateName`]: it has not exactly one name of the kind that is asked for.
    /// [`Reason::TokenExpired`]: its time is over, though it was not when the connection began.
    pub fn principal(&self, rules: &ClientCertificates, now: Now) -> Result<Principal, Reason> {
        let names = match rules.subject {
            CertificateName::CommonName => &self.common_names,
            CertificateName::Dns => &self.dns,
            CertificateName::Email => &self.emails,
            CertificateName::Uri => &self.uris,
        };
        let [name] = names.as_slice() else { return Err(Reason::CertificateName) };
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Reason::CertificateName);
        }
        if now.unix_seconds() >= self.not_after_unix_s {
            return Err(Reason::TokenExpired);
        }
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        Ok(Principal {
            subject: Some(name.as_str().into()),
            method: Method::Certificate,
            roles: boxed(&rules.roles),
            permissions: boxed(&rules.permissions),
            tenant: rules.tenant.as_deref().map(Into::into),
            token_id: Some(self.fingerprint.as_str().into()),
            issued_at_unix_s: Some(self.not_before_unix_s),
            expires_at_unix_s: Some(self.not_after_unix_s),
            ..Principal::anonymous()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules(subject: CertificateName) -> ClientCertificates {
        ClientCertificates {
            ca: "ca.pem".into(),
            crl: None,
            required: true,
            subject,
            roles: vec!["device".into()],
            permissions: vec!["rows.read".into()],
            tenant: Some("acme".into()),
        }
    }

    fn certificate() -> Certificate {
        Certificate {
            common_names: vec!["pump-7".into()],
            dns: vec!["pump-7.example".into(), "spare.example".into()],
            emails: vec![],
            uris: vec!["spiffe://plant/pump-7".into()],
            fingerprint: "ab".into(),
            not_before_unix_s: 100,
            not_after_unix_s: 900,
        }
    }

    fn at(unix_s: u64) -> Now {
        Now { mono: Duration::ZERO, wall: Duration::from_secs(unix_s) }
    }

    #[test]
    fn exactly_one_name_of_the_kind_asked_for_is_the_subject() {
        for (kind, subject) in [
            (CertificateName::CommonName, Some("pump-7")),
            (CertificateName::Dns, None),
            (CertificateName::Email, None),
            (CertificateName::Uri, Some("spiffe://plant/pump-7")),
        ] {
            let proved = certificate().principal(&rules(kind), at(500));
            assert_eq!(proved.as_ref().ok().and_then(|who| who.subject.as_deref()), subject, "{kind:?}");
            assert_eq!(proved.err(), subject.is_none().then_some(Reason::CertificateName));
        }
    }

    #[test]
    fn it_proves_what_the_policy_grants_until_it_ends() {
        let who = certificate().principal(&rules(CertificateName::CommonName), at(899)).unwrap();
        assert_eq!(
            (who.method, who.tenant.as_deref(), who.token_id.as_deref()),
            (Method::Certificate, Some("acme"), Some("ab"))
        );
        assert_eq!((&*who.roles[0], &*who.permissions[0], who.mfa), ("device", "rows.read", false));
        assert_eq!((who.issued_at_unix_s, who.expires_at_unix_s), (Some(100), Some(900)));
        let late = certificate().principal(&rules(CertificateName::CommonName), at(900));
        assert_eq!(late, Err(Reason::TokenExpired));
    }

    #[test]
    fn odd_names_and_odd_bytes_prove_nobody() {
        for name in ["", "a\nb", &"n".repeat(NAME_BYTES_MAX + 1)] {
            let odd = Certificate { common_names: vec![name.into()], ..certificate() };
            assert_eq!(odd.principal(&rules(CertificateName::CommonName), at(1)), Err(Reason::CertificateName));
        }
        for bytes in [&b""[..], b"\x30\x03\x02\x01\x01", &[0xff; 64]] {
            assert_eq!(Certificate::read(bytes), None);
        }
    }
}
