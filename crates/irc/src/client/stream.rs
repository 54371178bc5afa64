//! A connection: TCP, and TLS when it is wanted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::config::Tls;
use super::ident::{Ident, Known};

/// How long one address may take to answer. Chosen: a person's patience with a dead route.
const CONNECT: Duration = Duration::from_secs(15);

/// Both directions of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, and who is behind it for servers that ask.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Duplex>,
    pub(super) ident: Option<Known>,
}

/// Connects to the first of the name's addresses that answers, as a user whom the ident server knows, and from an
/// address of ours where one is given.
pub(super) async fn connect(
    address: &str,
    tls: Option<&Arc<ClientConfig>>,
    ident: Option<(&Ident, &str)>,
    from: Option<IpAddr>,
) -> io::Result<Connection> {
    let none = match from {
        Some(from) => format!("{address} has no address that {from} can connect to"),
        None => format!("{address} has no address"),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, none);
    let is_reached = |far: &SocketAddr| from.is_none_or(|from| from.is_ipv4() == far.is_ipv4());
    for far in lookup_host(address).await?.filter(is_reached) {
        match tokio::time::timeout(CONNECT, open(address, far, tls, ident, from)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{far} does not answer")),
        }
    }
    Err(last)
}

async fn open(
    address: &str,
    far: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    ident: Option<(&Ident, &str)>,
    from: Option<IpAddr>,
) -> io::Result<Connection> {
    let _called = ident.map(|(ident, _)| ident.call(far));
    let tcp = match from {
        Some(from) => {
            let socket = if far.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            let why = |error: io::Error| io::Error::new(error.kind(), format!("not from {from}: {error}"));
            socket.bind(SocketAddr::new(from, 0)).map_err(why)?;
            socket.connect(far).await?
        }
        None => TcpStream::connect(far).await?,
    };
    tcp.set_nodelay(true)?;
    let ident = ident.and_then(|(ident, user)| ident.tell(&tcp, user));
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(tcp),
        Some(config) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?)
        }
    };
    Ok(Connection { stream, ident })
}

impl Tls {
    /// Connects to `address` (`HOST:PORT`) as the relay does, and leaves without a word. Waits for at most 15
    /// seconds for each address of the host.
    ///
    /// # Errors
    /// When nobody takes the connection, or the certificate is not to be taken.
    pub async fn greet(&self, address: &str) -> io::Result<()> {
        let config = tls(self).map_err(io::Error::other)?;
        connect(address, Some(&config), None, None).await.map(|_| ())
    }
}

/// The TLS side, made once per run. Reads files; they are small.
pub(super) fn tls(wanted: &Tls) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?;
    let builder = match wanted.fingerprint {
        Some(sha256) => {
            let pinned = Arc::new(Pinned { sha256, provider });
            builder.dangerous().with_custom_certificate_verifier(pinned)
        }
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this machine has no certificate authorities (ca-certificates); install them, \
                            or set tls_fingerprint"
                    .to_owned());
            }
            builder.with_root_certificates(roots)
        }
    };
    let config = match &wanted.own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let unreadable = |path: &std::path::Path, e: rustls::pki_types::pem::Error| {
                format!("{} cannot be read: {e}", path.display())
            };
            let chain = CertificateDer::pem_file_iter(cert)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|e| unreadable(cert, e))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, e))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|e| format!("the certificate in {} does not serve: {e}", cert.display()))?
        }
    };
    Ok(Arc::new(config))
}

/// Takes one certificate and no other, whoever signed it: for networks with their own.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = digest::digest(&digest::SHA256, end_entity);
        match shown.as_ref() == self.sha256 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General(format!(
                "the server's certificate has another fingerprint: {}",
                hex(shown.as_ref())
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
