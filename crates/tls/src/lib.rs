//! The certificate of TLS listeners, read again when its file changes.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod clients;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

pub use clients::fingerprint;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, not ours to read, or no PEM.
    #[error("cannot read {what} from {path}: {why}")]
    Unreadable {
        /// `certificates` or `the key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system or the reader says.
        why: String,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("the certificate in {path} and its key do not work: {why}")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// IRC clients, which may show a certificate of their own: any is taken, and who it stands for is decided by its
    /// [`fingerprint`].
    Irc,
    /// Browsers and scripts, which speak HTTP/1.1 and are not asked for one.
    Web,
}

impl Use {
    fn word(self) -> &'static str {
        match self {
            Self::Irc => "IRC server",
            Self::Web => "web listener",
        }
    }
}

/// Gives an acceptor with the certificate as it is on disk now.
pub struct Certificate {
    serves: Use,
    cert: PathBuf,
    key: PathBuf,
    changed: Option<SystemTime>,
    acceptor: TlsAcceptor,
}

impl Certificate {
    /// Reads both files (PEM). Blocks for as long as that takes; they are small.
    ///
    /// # Errors
    /// When one cannot be read, or both do not work together.
    pub fn load(serves: Use, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            serves,
            acceptor: read(serves, cert, key)?,
            changed: changed(cert),
            cert: cert.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The acceptor; a changed certificate that does not work leaves the old one in place.
    pub fn acceptor(&mut self) -> TlsAcceptor {
        let now = changed(&self.cert);
        if now != self.changed {
            match read(self.serves, &self.cert, &self.key) {
                Ok(acceptor) => {
                    self.acceptor = acceptor;
                    self.changed = now;
                    tracing::info!("the certificate of the {} was read again", self.serves.word());
                }
                Err(error) => {
                    let serves = self.serves.word();
                    tracing::warn!(%error, "the changed certificate of the {serves} is not used");
                }
            }
        }
        self.acceptor.clone()
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn read(serves: Use, cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
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
    let any = Arc::new(clients::AnyCertificate(provider.signature_verification_algorithms));
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match serves {
        Use::Irc => builder.with_client_cert_verifier(any),
        Use::Web => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, private).map_err(unusable)?;
    if serves == Use::Web {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}
