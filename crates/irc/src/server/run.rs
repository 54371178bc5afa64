//! Listens, gives the directory's feed to the sessions, and ends in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, BoxFuture, Capabilities, Command, Crew, FeedEvent, Health,
    NetworkId, Order, Outcome, Request, Stop, Stopped,
};
use wxgate_tls::{Certificate, Use};

use super::caps::Sts;
use super::config::{IrcServerConfig, Listening};
use super::connection::{self, Way};
use super::shared::{Parts, ReadMark, Shared};
use super::{chosen, held};

/// Events taken from the feed at once.
const FEED_CHUNK: usize = 512;
/// Read marks that may wait; what does not fit is told with the next one. Chosen.
const MARKS: usize = 64;
/// How long clients have to take their farewell.
const GRACE: Duration = Duration::from_secs(2);
/// Pause after an accept that failed (no descriptors left): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The built-in IRC server as a network.
#[derive(Debug)]
pub struct IrcServerAdapter {
    config: IrcServerConfig,
}

impl IrcServerAdapter {
    /// The server as configured; it listens once it runs.
    pub fn new(config: IrcServerConfig) -> Self {
        Self { config }
    }
}

impl Adapter for IrcServerAdapter {
    fn network(&self) -> &NetworkId {
        &self.config.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: true,
            mirrors: false,
            max_text_chars: 16_000,
            carries_files: false,
            can_recall: true,
            shows_authors: true,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(run(self.config.clone(), ctx))
    }
}

fn certificate(config: &IrcServerConfig) -> Result<Certificate, String> {
    let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        return Err("irc.server.tls_listen is set, but tls_cert or tls_key is not".to_owned());
    };
    Certificate::load(Use::Irc, cert, key).map_err(|error| error.to_string())
}

async fn run(config: IrcServerConfig, ctx: AdapterContext) -> Result<Stopped, AdapterError> {
    let mut tls = match config.tls_listen.is_empty() {
        true => None,
        false => Some(certificate(&config).map_err(AdapterError::Fatal)?),
    };
    let (plain, plain_bound) = bind(&config.listen).await?;
    let (secure, secure_bound) = bind(&config.tls_listen).await?;
    let (web, web_bound) = bind(&config.websocket_listen).await?;
    let listening = Listening { plain: plain_bound, tls: secure_bound, websocket: web_bound };
    // Before anybody can attach: what happens from here on is seen.
    let feed = ctx.directory.subscribe();
    if let Some(on_bound) = &config.on_bound {
        on_bound(&listening);
    }
    for address in listening.plain.iter().chain(&listening.tls).chain(&listening.websocket) {
        tracing::info!(%address, "the IRC server listens");
    }
    // Before anybody can type: what was typed last before a crash comes first.
    let left_over = held::say_left_over(&*ctx.far, &ctx.network).await;
    match left_over
        .map_err(|error| AdapterError::Restart(format!("cannot read what was typed last: {error}")))?
    {
        0 => {}
        lines => tracing::info!(lines, "lines that were typed just before the last end are said now"),
    }
    let AdapterContext { network, far, media, directory, control, orders, clock, seed, stop, .. } = ctx;
    let (marks, marked) = mpsc::channel(MARKS);
    let sts = Sts::new(tls_port(&listening.tls), config.sts_seconds);
    let parts = Parts {
        config,
        sts,
        network,
        far,
        media,
        directory,
        control,
        clock,
        stop: stop.clone(),
        seed,
        marks,
    };
    let shared = Arc::new(Shared::new(parts));
    let _sessions = Sessions(Arc::clone(&shared));
    shared.far.health(&shared.network, Health::Up);

    let mut crew = Crew::new(stop.clone());
    let (accepted_tx, mut accepted) = mpsc::channel(16);
    for (listeners, entrance) in
        [(plain, Entrance::Plain), (secure, Entrance::Tls), (web, Entrance::WebSocket)]
    {
        for listener in listeners {
            crew.spawn("a listener", accept(listener, entrance, accepted_tx.clone(), stop.clone()));
        }
    }
    // Kept: without a listener nobody arrives, which is no end.
    let _accepted_tx = accepted_tx;
    crew.spawn("what tells clients", distribute(Arc::clone(&shared), feed));
    crew.spawn("what refuses orders", take_orders(Arc::clone(&shared), orders));
    crew.spawn("what tells read marks", tell_marks(Arc::clone(&shared), marked));

    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.stopping() => break,
            // Clients see their connections end with the run, and come again.
            error = crew.broke() => return Err(error),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Some((stream, address, entrance)) = accepted.recv() => {
                let way = match entrance {
                    Entrance::Plain => Way::Plain,
                    // Without a certificate nothing listens there.
                    Entrance::Tls => match tls.as_mut() {
                        Some(tls) => Way::Tls(tls.acceptor()),
                        None => continue,
                    },
                    Entrance::WebSocket => Way::WebSocket,
                };
                connections.spawn(connection::serve(Arc::clone(&shared), stream, address, way));
            }
        }
    }
    let ended = async {
        shared.registry.finish().await;
        while connections.join_next().await.is_some() {}
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::debug!("some IRC clients did not take their farewell in time");
    }
    crew.end().await;
    Ok(Stopped)
}

/// Where clients from elsewhere find TLS: at the first listener that they reach. Where there is none, something on this
/// machine carries them to one that they do not.
fn tls_port(listening: &[SocketAddr]) -> Option<u16> {
    let outer = listening.iter().find(|address| !address.ip().to_canonical().is_loopback());
    outer.or_else(|| listening.first()).map(SocketAddr::port)
}

/// The sessions of a run, which end with it however it ends: they hold what holds them.
struct Sessions(Arc<Shared>);

impl Drop for Sessions {
    fn drop(&mut self) {
        self.0.registry.abandon();
    }
}

/// What a listener speaks.
#[derive(Clone, Copy)]
enum Entrance {
    Plain,
    Tls,
    WebSocket,
}

async fn bind(addresses: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), AdapterError> {
    let (mut listeners, mut bound) = (Vec::new(), Vec::new());
    for address in addresses {
        let fatal =
            |error| AdapterError::Fatal(format!("the IRC server cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(fatal)?;
        bound.push(listener.local_addr().map_err(fatal)?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

async fn accept(
    listener: TcpListener,
    entrance: Entrance,
    accepted: mpsc::Sender<(TcpStream, SocketAddr, Entrance)>,
    stop: Stop,
) {
    loop {
        let arrived = tokio::select! {
            () = stop.stopping() => return,
            arrived = listener.accept() => arrived,
        };
        match arrived {
            Ok((stream, address)) => {
                // Lines are short and people wait for them.
                let _ = stream.set_nodelay(true);
                if accepted.send((stream, address, entrance)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the IRC server could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One subscription for all sessions: a thousand of them would each be woken by every event.
async fn distribute(shared: Arc<Shared>, mut feed: broadcast::Receiver<FeedEvent>) {
    let mut chunk = Vec::with_capacity(FEED_CHUNK);
    loop {
        match feed.recv().await {
            Ok(event) => chunk.push(event),
            Err(RecvError::Lagged(_)) => shared.registry.lagged(),
            Err(RecvError::Closed) => return,
        }
        while chunk.len() < FEED_CHUNK {
            match feed.try_recv() {
                Ok(event) => chunk.push(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => shared.registry.lagged(),
                Err(_) => break,
            }
        }
        shared.registry.feed(&chunk);
        chunk.clear();
    }
}

/// Tells accounts how far their owners have read. A courtesy to the phone: an account that is not
/// online hears nothing of it.
async fn tell_marks(shared: Arc<Shared>, mut marked: mpsc::Receiver<ReadMark>) {
    while let Some(ReadMark { account, chat, at }) = marked.recv().await {
        let command = Command::Ask { account, request: Request::Read { chat, at } };
        if let Err(error) = shared.control.run(None, command).await {
            tracing::debug!(%error, "an account was not told what was read");
        }
    }
}

/// A face that browses gets no deliveries; one that comes all the same is told so, not lost. What is asked is answered.
async fn take_orders(shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Deliver(delivery) => {
                let why = "the built-in IRC server reads timelines and takes no deliveries".to_owned();
                let outcome = Outcome::Refused { why };
                if let Err(error) = shared.far.settle(&shared.network, delivery.id, outcome).await {
                    tracing::warn!(%error, delivery = %delivery.id, "a delivery could not be settled");
                }
            }
            Order::Ask(ask) => {
                // Nobody waiting any more is no trouble.
                let _ = ask.answer.try_send(chosen::answer(&shared, ask.request).await);
            }
            // There is nobody to sign in or out.
            Order::SignIn | Order::SignOut => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hear_of_a_listener_that_they_reach() {
        for (listening, port) in [
            (vec![], None),
            (vec!["127.0.0.1:6698"], Some(6698)),
            (vec!["127.0.0.1:6698", "[::]:6697"], Some(6697)),
            (vec!["[::1]:1", "[::ffff:127.0.0.1]:2", "192.0.2.1:3", "0.0.0.0:4"], Some(3)),
        ] {
            let addresses: Vec<SocketAddr> = listening.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(tls_port(&addresses), port, "{listening:?}");
        }
    }
}
