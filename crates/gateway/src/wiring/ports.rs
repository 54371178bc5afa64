//! Addresses to listen on, and what to say when one is taken.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

use crate::failure::Failure;

/// The addresses behind `HOST:PORT` texts.
pub(super) async fn resolve(texts: &[String], key: &str) -> Result<Vec<SocketAddr>, Failure> {
    let mut all = Vec::new();
    for text in texts {
        let found = lookup_host(text.as_str()).await;
        let found = found.map_err(|e| Failure::environment(format!("{key}: cannot look up {text}: {e}")))?;
        for address in found {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    Ok(all)
}

/// Listens.
pub(super) async fn bind(text: &str, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(text).await.map_err(|e| taken(key, text, &e))
}

/// Fails when one of the addresses cannot be listened on.
pub(super) async fn probe(addresses: &[SocketAddr], key: &str) -> Result<(), Failure> {
    for address in addresses {
        TcpListener::bind(address).await.map_err(|e| taken(key, &address.to_string(), &e))?;
    }
    Ok(())
}

/// What to say, and what to do about it.
pub(crate) fn taken(key: &str, address: &str, error: &io::Error) -> Failure {
    let port = address.rsplit(':').next().unwrap_or_default();
    Failure::environment(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address} ({key}): another program uses this port. \
             Find it with: ss -ltnp 'sport = :{port}'; stop it, or set {key} to another port"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "cannot listen on {address} ({key}): ports below 1024 need rights that this user has not; \
             set {key} to a higher port"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "cannot listen on {address} ({key}): this machine has no such address; set {key} to one it has"
            )
        }
        _ => format!("cannot listen on {address} ({key}): {error}"),
    })
}
