//! SCRAM-SHA-256 and EXTERNAL, from a client's side.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wxgate_contract::conformance::{Double, FixedClock};
use wxgate_contract::{Adapter as _, Credential, ScramVerifier};
use wxgate_irc::IrcServerAdapter;

use crate::client::{Client, NOW_MS, PATIENCE, Served, config, numerics, serve, world};
use crate::tls::certify;

const SALT: &[u8] = b"0123456789abcdef";
const ROUNDS: u32 = 4096;

fn signed(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn salted(password: &str) -> [u8; 32] {
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(ROUNDS).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, SALT, password.as_bytes(), &mut salted);
    salted
}

/// ann's password as a store keeps it.
pub(crate) fn known(double: &Double) {
    let salted = salted("secret");
    let stored_key = digest::digest(&digest::SHA256, &signed(&salted, b"Client Key")).as_ref().to_vec();
    let verifier = ScramVerifier {
        rounds: ROUNDS,
        salt: SALT.to_vec(),
        stored_key,
        server_key: signed(&salted, b"Server Key"),
        credential: Credential::Password("secret".to_owned()),
    };
    double.state().verifiers.insert("ann".into(), verifier);
}

/// Says the client's two messages; gives what the server says to the second, decoded if it is a challenge.
pub(crate) async fn scram(client: &mut Client, login: &str, password: &str) -> (String, String) {
    client.send("AUTHENTICATE SCRAM-SHA-256").await;
    client.until("AUTHENTICATE +").await;
    let bare = format!("n={login},r=clientnonce");
    client.send(&format!("AUTHENTICATE {}", STANDARD.encode(format!("n,,{bare}")))).await;
    let line = client.next().await.unwrap();
    let challenge = line.strip_prefix("AUTHENTICATE ").unwrap_or_else(|| panic!("{line}"));
    let challenge = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
    let nonce = challenge.strip_prefix("r=").unwrap().split(',').next().unwrap();
    assert!(nonce.starts_with("clientnonce") && nonce.len() > 40, "{challenge}");
    let salted = salted(password);
    let client_key = signed(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let without_proof = format!("c=biws,r={nonce}");
    let message = format!("{bare},{challenge},{without_proof}");
    let signature = signed(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let last = format!("{without_proof},p={}", STANDARD.encode(proof));
    client.send(&format!("AUTHENTICATE {}", STANDARD.encode(last))).await;
    let line = client.next().await.unwrap();
    let said = line.strip_prefix("AUTHENTICATE ").map(|text| STANDARD.decode(text).unwrap());
    let expected =
        format!("v={}", STANDARD.encode(signed(&signed(&salted, b"Server Key"), message.as_bytes())));
    (said.map_or(line, |bytes| String::from_utf8(bytes).unwrap()), expected)
}

pub(crate) async fn begun(served: &Served) -> Client {
    let mut client = Client::connect(served.address).await;
    client.send("CAP LS 302").await;
    let lines = client.until(" CAP * LS :").await;
    assert!(lines.iter().any(|line| line.contains("sasl=PLAIN,SCRAM-SHA-256 ")), "{lines:#?}");
    client.send("NICK ann").await;
    client.send("USER ann 0 * :Ann").await;
    client
}

#[tokio::test]
async fn a_password_is_proved_without_being_said() {
    let double = world();
    known(&double);
    let served = serve(double, config()).await;
    let mut client = begun(&served).await;
    let (said, expected) = scram(&mut client, "ann/work@phone", "secret").await;
    assert_eq!(said, expected, "the server proves that it knows the password");
    client.send("AUTHENTICATE +").await;
    assert_eq!(numerics(&client.until(" 903 ").await), ["900", "903"]);
    client.send("CAP END").await;
    client.until(" 221 ").await;
    let lines = client.sync().await;
    assert!(lines.iter().any(|line| line.contains(" JOIN #")), "{lines:#?}");
}

#[tokio::test]
async fn a_wrong_proof_and_a_wrong_name_look_the_same() {
    let double = world();
    known(&double);
    let served = serve(double, config()).await;
    let mut client = begun(&served).await;
    for login in ["ann", "nobody"] {
        let (said, _) = scram(&mut client, login, "wrong").await;
        assert_eq!(said, ":wx.test 904 ann :SASL authentication failed: wrong user or password");
    }
    client.send("AUTHENTICATE SCRAM-SHA-256").await;
    client.until("AUTHENTICATE +").await;
    client.send("AUTHENTICATE AAAA").await;
    assert!(client.rest().await.last().unwrap().starts_with("ERROR :"), "three times is enough");
    let mut client = begun(&served).await;
    client.send("AUTHENTICATE EXTERNAL").await;
    let lines = client.until(" 904 ").await;
    assert_eq!(numerics(&lines), ["908", "904"], "without a certificate there is no EXTERNAL");
}

/// Says these lines over TLS with this certificate of its own; all that came until the end.
async fn over_tls(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    own: &rcgen::CertifiedKey<rcgen::KeyPair>,
    lines: &str,
) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("wx.test").unwrap(), stream).await.unwrap();
    stream.write_all(lines.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn a_certificate_opens_the_door_once_it_was_added() {
    let dir = std::env::temp_dir().join(format!("wxgate-irc-external-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let root = certify(&dir);
    let own = rcgen::generate_simple_self_signed(vec!["ann".to_owned()]).unwrap();
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

    let external = "CAP LS 302\nNICK ann\nUSER ann 0 * :Ann\nAUTHENTICATE EXTERNAL\nAUTHENTICATE +\nQUIT\n";
    let said = over_tls(address, &root, &own, external).await;
    assert!(said.contains("sasl=PLAIN,SCRAM-SHA-256,EXTERNAL "), "{said}");
    assert!(said.contains(" 904 ann :") && said.contains("opens no door"), "{said}");

    let add = "PASS ann:secret\nNICK ann\nUSER ann 0 * :Ann\nPRIVMSG wechat :certificate add\nPRIVMSG wechat :certificate\nWHOIS ann\nQUIT\n";
    let said = over_tls(address, &root, &own, add).await;
    let print: String =
        digest::digest(&digest::SHA256, own.cert.der()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert!(said.contains(":done\r\n") && said.contains(&format!(":{print}\r\n")), "{said}");
    assert!(said.contains(&format!(" 276 ann ann :has client certificate fingerprint {print}")), "{said}");

    let said = over_tls(address, &root, &own, external).await;
    assert!(said.contains(" 900 ann ann!ann@wxgate ann :") && said.contains(" 903 "), "{said}");
    let named = format!(
        "CAP LS 302\nNICK ann\nUSER ann 0 * :Ann\nAUTHENTICATE EXTERNAL\nAUTHENTICATE {}\nCAP END\nQUIT\n",
        STANDARD.encode("ann/work@phone")
    );
    let said = over_tls(address, &root, &own, &named).await;
    assert!(said.contains(" 903 ") && said.contains(" 001 ann "), "{said}");
    let foreign = external.replace("AUTHENTICATE +", &format!("AUTHENTICATE {}", STANDARD.encode("bob")));
    let said = over_tls(address, &root, &own, &foreign).await;
    assert!(said.contains(" 904 "), "{said}");
    let other = rcgen::generate_simple_self_signed(vec!["ann".to_owned()]).unwrap();
    let said = over_tls(address, &root, &other, external).await;
    assert!(said.contains(" 904 "), "another certificate of the same name: {said}");
    task.abort();
    std::fs::remove_dir_all(&dir).unwrap();
}
