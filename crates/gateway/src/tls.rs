//! TLS of the listener and towards upstreams (SPEC 15): rustls, TLS 1.2 and 1.3, hybrid key exchange first.

use std::path::Path;
use std::sync::Arc;

use portcullis_core::policy::checked::{ClientCertificates, TlsFiles, UpstreamTrust, written_pin};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, ServerConfig,
    SignatureScheme, crypto,
};

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
    /// The authorities of backends are unusable.
    #[error("`upstream_tls` cannot be used: {0}")]
    Upstreams(#[source] VerifierBuilderError),
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

/// Towards backends whose authorities or keys the policy names.
pub(crate) fn towards(trust: &Arc<UpstreamTrust>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match &trust.ca_pem {
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        Some(pem) => {
            let told = |source| TlsError::Pem { path: String::from("upstream_tls.ca_file"), source };
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(told)?)?;
            }
        }
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let chain = chain.map_err(TlsError::Upstreams)?;
    let verifier = Arc::new(Pinned { chain, trust: Arc::clone(trust) });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        // Adds to what is verified and takes nothing away.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Verifies a backend's certificate as usual, and then that its own key is one of the pinned. Certificates above it are not
/// looked at: a stranger may send any of them along.
#[derive(Debug)]
struct Pinned {
    chain: Arc<WebPkiServerVerifier>,
    trust: Arc<UpstreamTrust>,
}

/// A key that is not among the pinned.
#[derive(Debug, thiserror::Error)]
#[error("its key, `{0}`, is not pinned")]
struct NotPinned(String);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        if self.trust.pinned(&key) {
            return Ok(verified);
        }
        let why = OtherError(Arc::new(NotPinned(written_pin(&key))));
        Err(Error::InvalidCertificate(CertificateError::Other(why)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Why a backend's certificate is not believed, where that is why a dial failed.
pub(crate) fn untrusted(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(other)) => Some(other.0.to_string()),
        Error::InvalidCertificate(why) => Some(format!("its certificate is not believed: {why}")),
        _ => None,
    }
}

/// Named here and nowhere taken from a process-wide default, which panics when two crates disagree.
fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}
