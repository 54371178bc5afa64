//! The service over TLS, with a certificate of its own making.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::serve::{Face, Greet, ServerHandle, start};
use crate::world::World;

#[derive(Clone)]
struct Tls(TlsAcceptor);

impl Greet for Tls {
    type Stream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

    async fn greet(&self, stream: tokio::net::TcpStream) -> std::io::Result<Self::Stream> {
        self.0.accept(stream).await
    }
}

/// Serves Web WeChat over TLS; also returns the certificate in PEM, for clients that want to trust it.
///
/// # Errors
/// When the certificate cannot be made or the listener has no address.
pub fn serve_tls(world: World, listener: TcpListener) -> std::io::Result<(ServerHandle, String)> {
    let names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "*.qq.com".to_owned(),
        "*.wx.qq.com".to_owned(),
        "*.wx2.qq.com".to_owned(),
        "*.weixin.qq.com".to_owned(),
        "*.wechat.com".to_owned(),
    ];
    let made = rcgen::generate_simple_self_signed(names).map_err(std::io::Error::other)?;
    let pem = made.cert.pem();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(std::io::Error::other)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handle = start(world, listener, Face::Both, Tls(acceptor))?;
    Ok((handle, pem))
}
