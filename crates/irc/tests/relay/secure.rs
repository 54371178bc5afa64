//! TLS, and signing in by our certificate; people are not let in by it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use wxgate_contract::Health;
use wxgate_irc::{Puppets, Sasl, Tls};

use crate::network::{Guest, MODERN, Network, config};

/// A directory with a certificate, gone with the test.
struct Pair(PathBuf);

impl Pair {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("wxgate-relay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["irc.test".to_owned()]).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        Self(dir)
    }

    fn files(&self) -> (PathBuf, PathBuf) {
        (self.0.join("cert.pem"), self.0.join("key.pem"))
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.files().0).unwrap()
    }

    fn fingerprint(&self) -> [u8; 32] {
        let hash = ring::digest::digest(&ring::digest::SHA256, &self.der());
        hash.as_ref().try_into().unwrap()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Asks for a certificate and takes any, as IRC servers do.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Who showed which certificate, in order of connections.
type Shown = Arc<Mutex<Vec<Option<CertificateDer<'static>>>>>;

/// TLS in front of a network.
async fn in_front_of(network: &Network, pair: &Pair) -> (SocketAddr, Shown) {
    let key = PrivateKeyDer::from_pem_file(pair.files().1).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anybody))
        .with_single_cert(vec![pair.der()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, behind, shown) =
        (listener.local_addr().unwrap(), network.address.clone(), Shown::default());
    let seen = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let cert = stream.get_ref().1.peer_certificates().and_then(|all| all.first().cloned());
            seen.lock().unwrap().push(cert.map(CertificateDer::into_owned));
            let mut behind = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut behind).await });
        }
    });
    (address, shown)
}

#[tokio::test]
async fn a_certificate_signs_in_and_is_shown_by_nobody_else() {
    let (server, own) = (Pair::new("external-server"), Pair::new("external-own"));
    let network = Network::start(&format!("{MODERN} sasl=EXTERNAL,PLAIN")).await;
    network.change(|manners| manners.lets_in = true);
    let (address, shown) = in_front_of(&network, &server).await;
    let mut config = config(&network);
    config.address = address.to_string();
    config.tls = Some(Tls { fingerprint: Some(server.fingerprint()), own: Some(own.files()) });
    config.sasl = Some(Sasl { user: String::new(), password_file: None });
    config.puppets =
        Some(Puppets { most: 5, nick: "{nick}[wx]".to_owned(), idle: Duration::from_secs(3600), from: None });
    config.limits.puppet_pause = Duration::ZERO;
    let guest = Guest::ready(&network, config).await;
    let lines = network.lines();
    let place = |wanted: &str| lines.iter().position(|line| line == wanted);
    let (asked, empty, end) = (place("AUTHENTICATE EXTERNAL"), place("AUTHENTICATE +"), place("CAP END"));
    assert!(asked.is_some() && asked < empty && empty < end, "{lines:#?}");
    // A person's connection is none of our account's.
    let id = guest.say("Ming", "hello").await;
    guest.outcome(id).await;
    network.wait("the puppet", |net| (net.connections() == 2).then_some(())).await;
    let shown = shown.lock().unwrap().clone();
    assert_eq!(shown, [Some(own.der()), None]);
}

#[tokio::test]
async fn another_certificate_than_the_one_that_was_pinned_is_refused() {
    let (server, other) = (Pair::new("pinned-server"), Pair::new("pinned-other"));
    let network = Network::start(MODERN).await;
    let (address, _) = in_front_of(&network, &server).await;
    let mut config = config(&network);
    config.address = address.to_string();
    config.tls = Some(Tls { fingerprint: Some(other.fingerprint()), own: None });
    let guest = Guest::start(&wxgate_contract::conformance::Double::new(), config);
    let health = guest.health(|health| matches!(health, Health::Degraded { .. })).await;
    assert!(health.detail().contains("another fingerprint"), "{health:?}");
    assert_eq!(network.connections(), 0, "not a word was said");
}
