//! A line to a server that can be cut and mended, as when a house loses its network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The line. Ends with the value.
#[derive(Debug)]
pub struct NetLine {
    /// Where clients connect, `127.0.0.1:port`.
    pub address: String,
    is_whole: watch::Sender<bool>,
    attempts: Arc<AtomicU32>,
    _task: JoinSet<()>,
}

impl NetLine {
    /// A whole line to `server`, `127.0.0.1:port`.
    pub async fn lay(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for the line")?;
        let address = listener.local_addr()?.to_string();
        let (is_whole, whole) = watch::channel(true);
        let attempts = Arc::new(AtomicU32::new(0));
        let mut task = JoinSet::new();
        task.spawn(carry(listener, server.to_owned(), whole, Arc::clone(&attempts)));
        Ok(Self { address, is_whole, attempts, _task: task })
    }

    /// Ends every connection; new ones end at once.
    pub fn cut(&self) {
        self.attempts.store(0, Ordering::Relaxed);
        self.is_whole.send_replace(false);
    }

    /// From now on connections are carried again; how many were tried since the cut.
    pub fn mend(&self) -> u32 {
        self.is_whole.send_replace(true);
        self.attempts.load(Ordering::Relaxed)
    }
}

async fn carry(
    listener: TcpListener,
    server: String,
    whole: watch::Receiver<bool>,
    attempts: Arc<AtomicU32>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((mut near, _)) = accepted else { return };
                attempts.fetch_add(1, Ordering::Relaxed);
                let (mut whole, server) = (whole.clone(), server.clone());
                connections.spawn(async move {
                    if !*whole.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = whole.wait_for(|whole| !whole) => {}
                    }
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
