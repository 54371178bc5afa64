use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wxgate_contract::Adapter as _;
use wxgate_contract::conformance::FixedClock;
use wxgate_irc::IrcServerAdapter;

use crate::client::{NOW_MS, PATIENCE, config, world};

/// Writes a fresh certificate and its key; gives the certificate.
pub(crate) fn certify(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["wx.test".to_owned()]).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// Logs in over TLS, trusting only `root`; gives all that came until the end.
async fn login(address: SocketAddr, root: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("wx.test").unwrap(), stream).await?;
    stream.write_all(b"PASS ann:secret\r\nNICK ann\r\nUSER ann 0 * :Ann\r\nWHOIS ann\r\nQUIT\r\n").await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

#[tokio::test]
async fn tls_is_spoken_with_the_certificate_as_it_is_on_disk_now() {
    let dir = std::env::temp_dir().join(format!("wxgate-irc-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let first = certify(&dir);
    let bound: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let seen = Arc::clone(&bound);
    let mut config = config();
    config.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.tls_cert = Some(dir.join("cert.pem"));
    config.tls_key = Some(dir.join("key.pem"));
    config.on_bound = Some(Arc::new(move |bound| seen.lock().unwrap().extend(&bound.tls)));
    let double = world();
    let (context, _running) = double.context(&"irc:local".into(), FixedClock::at(NOW_MS));
    let adapter = IrcServerAdapter::new(config);
    let task = tokio::spawn(async move { adapter.run(context).await });
    double.wait_for(PATIENCE, |state| state.health.remove(&"irc:local".into())).await;
    let address = bound.lock().unwrap()[0];

    let said = login(address, &first).await.unwrap();
    assert!(
        said.contains(" 001 ann ") && said.contains(" 671 ann ann :is using a secure connection"),
        "{said}"
    );

    let second = certify(&dir);
    // Two files written within one tick of the file system's clock would look unchanged.
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    std::fs::File::options().append(true).open(dir.join("cert.pem")).unwrap().set_modified(later).unwrap();
    assert!(login(address, &second).await.unwrap().contains(" 001 ann "));
    assert!(login(address, &first).await.is_err(), "the old certificate is no longer shown");

    // A file that is no certificate leaves the last good one in place.
    std::fs::write(dir.join("cert.pem"), "nonsense").unwrap();
    assert!(login(address, &second).await.unwrap().contains(" 001 ann "));
    task.abort();
    std::fs::remove_dir_all(&dir).unwrap();
}
