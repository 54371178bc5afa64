//! TLS with the server of a database.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use wxgate_store::*;

use crate::setup::fresh_dir;

/// Asks whether there is TLS. Source: PostgreSQL documentation, "Message Formats", SSLRequest.
const SSL_REQUEST: [u8; 8] = 80_877_103_u64.wrapping_add(8 << 32).to_be_bytes();
/// The version of the protocol, as a session begins with it. Source: the same, StartupMessage.
const VERSION_3: [u8; 4] = 196_608_u32.to_be_bytes();

/// A server that offers TLS and ends every session as soon as it has begun; how it began.
async fn begun(listener: &TcpListener, acceptor: &TlsAcceptor) -> io::Result<(&'static str, [u8; 4])> {
    let (mut stream, _) = listener.accept().await?;
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    if head != SSL_REQUEST {
        return Ok(("in clear", head[4..].try_into().unwrap()));
    }
    stream.write_all(b"S").await?;
    let mut stream = acceptor.accept(stream).await?;
    stream.read_exact(&mut head).await?;
    Ok(("over TLS", head[4..].try_into().unwrap()))
}

#[tokio::test]
async fn a_server_that_offers_tls_is_spoken_to_over_it_and_judged_where_that_is_asked_for() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let dir = fresh_dir();
    let pem = dir.join("server.pem");
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("postgres://me@{}/wx", listener.local_addr().unwrap());
    let known = format!("?sslmode=verify-full&sslrootcert={}", pem.display());
    for (asked, is_taken) in
        [("", true), ("?sslmode=require", true), ("?sslmode=verify-full", false), (&*known, true)]
    {
        let url: StoreUrl = format!("{address}{asked}").parse().unwrap();
        let (found, begun) = tokio::join!(inspect(&url, &dir, None), begun(&listener, &acceptor));
        let found = std::error::Error::source(&found.unwrap_err()).unwrap().to_string();
        match is_taken {
            true => assert_eq!(begun.unwrap(), ("over TLS", VERSION_3), "{asked}: {found}"),
            false => assert!(begun.is_err() && found.contains("certificate"), "{asked}: {found}"),
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
