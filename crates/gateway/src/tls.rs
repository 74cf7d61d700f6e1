//! TLS of the listener and towards upstreams (SPEC 15): rustls, TLS 1.2 and 1.3, hybrid key exchange first.

use std::path::Path;
use std::sync::Arc;

use portcullis_core::policy::checked::{ClientCertificates, TlsFiles};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of use.
    #[error("cannot read `{path}` as PEM: {source}")]
    Pem {
        /// The file.
        path: String,
        /// Why.
        source: tokio_rustls::rustls::pki_types::pem::Error,
    },
    /// The files hold no certificate.
    #[error("`{0}` holds no certificate")]
    Empty(String),
    /// Certificate and key do not fit, or are unusable.
    #[error("the certificate and key cannot be used: {0}")]
    Unusable(#[from] tokio_rustls::rustls::Error),
    /// The authorities of client certificates, or their lists, are unusable.
    #[error("`listen.tls.client_certificates` cannot be used: {0}")]
    Clients(#[from] VerifierBuilderError),
}

/// The listener's side.
pub(crate) fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path| {
        let path = path.display().to_string();
        move |source| TlsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(pem(&files.certificate))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.display().to_string()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_certificates {
        Some(clients) => builder.with_client_cert_verifier(verifier(clients)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Verifies the certificates of clients: chain, dates, purpose, and what their authorities revoked.
fn verifier(clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let pem = |path: &Path| {
        let path = path.display().to_string();
        move |source| TlsError::Pem { path, source }
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&clients.ca).map_err(pem(&clients.ca))? {
        roots.add(certificate.map_err(pem(&clients.ca))?)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty(clients.ca.display().to_string()));
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if let Some(path) = &clients.crl {
        let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(pem(path))?;
        let lists = lists.collect::<Result<Vec<_>, _>>().map_err(pem(path))?;
        // Intermediates without a list of their own are not refused for that; the certificate itself is looked up.
        builder = builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
    }
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    Ok(builder.build()?)
}

/// The client's side, towards upstreams and key sets: the system's roots.
pub(crate) fn client() -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("a root certificate of the system cannot be read: {error}");
    }
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!("{ignored} root certificates of the system cannot be used");
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Named here and nowhere taken from a process-wide default, which panics when two crates disagree.
fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}
