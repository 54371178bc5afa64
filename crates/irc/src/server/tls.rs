//! The certificate of the TLS listeners, read again when its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("irc.server.tls_listen is set, but tls_cert or tls_key is not")]
    NotConfigured,
    #[error("cannot read {what} from {path}: {why}")]
    Unreadable { what: &'static str, path: PathBuf, why: String },
    #[error("the certificate in {path} and its key do not work: {why}")]
    Unusable { path: PathBuf, why: String },
}

/// Gives an acceptor with the certificate as it is on disk now.
pub(super) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    changed: Option<SystemTime>,
    acceptor: TlsAcceptor,
}

impl Certificate {
    /// Reads both files. Blocks for as long as that takes; they are small.
    pub(super) fn load(cert: Option<&Path>, key: Option<&Path>) -> Result<Self, TlsError> {
        let (Some(cert), Some(key)) = (cert, key) else { return Err(TlsError::NotConfigured) };
        Ok(Self {
            acceptor: read(cert, key)?,
            changed: changed(cert),
            cert: cert.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The acceptor; a changed certificate that does not work leaves the old one in place.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        let now = changed(&self.cert);
        if now != self.changed {
            match read(&self.cert, &self.key) {
                Ok(acceptor) => {
                    self.acceptor = acceptor;
                    self.changed = now;
                    tracing::info!("the certificate of the IRC server was read again");
                }
                Err(error) => tracing::warn!(%error, "the changed certificate is not used"),
            }
        }
        self.acceptor.clone()
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn read(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let unreadable = |what, path: &Path, why: &dyn std::fmt::Display| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        why: why.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("certificates", cert, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("the key", key, &error))?;
    let unusable =
        |error: rustls::Error| TlsError::Unusable { path: cert.to_owned(), why: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(any)
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// SHA-256 of the certificate that a client showed, in small hex digits.
pub(super) fn fingerprint(stream: &TlsStream<TcpStream>) -> Option<String> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let digest = digest::digest(&digest::SHA256, certificate);
    Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Takes any certificate of a client's, or none: whom it stands for is decided by its fingerprint. That
/// the client has its key is checked here.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
