//! The network as an adapter: connects, lives, comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use rustls::ClientConfig;
use tokio::time::Instant;
use wxgate_contract::{
    Adapter, AdapterContext, AdapterError, BoxFuture, Capabilities, FarError, Health, NetworkId, Stopped,
};

use super::bound::{self, Bound};
use super::catchup;
use super::config::{IrcClientConfig, Limits};
use super::flights::{Flights, NOTE};
use super::named::{self, Named};
use super::puppets::{self, Puppets};
use super::register::{Registration, Secrets, user_of};
use super::relay::{self, Done, Parts, Relay};
use super::sasl::Account;
use super::session::{End, Session};
use super::stream;

/// Notes read at once.
const NOTES: usize = 500;
/// Longest secret. Chosen: a file that is something else is told from one that holds a password.
const SECRET_BYTES: usize = 512;

/// A network that is joined as a guest.
#[derive(Debug)]
pub struct IrcClientAdapter {
    config: IrcClientConfig,
}

impl IrcClientAdapter {
    /// The network as configured; it connects once it runs.
    pub fn new(config: IrcClientConfig) -> Self {
        Self { config }
    }
}

impl Adapter for IrcClientAdapter {
    fn network(&self) -> &NetworkId {
        &self.config.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            browses: false,
            mirrors: false,
            max_text_chars: 16_000,
            carries_files: false,
            can_recall: true,
            shows_authors: false,
        }
    }

    fn run(&self, ctx: AdapterContext) -> BoxFuture<'_, Result<Stopped, AdapterError>> {
        Box::pin(run(self.config.clone(), ctx))
    }
}

async fn run(config: IrcClientConfig, ctx: AdapterContext) -> Result<Stopped, AdapterError> {
    let fatal = AdapterError::Fatal;
    let secrets = secrets(&config).map_err(fatal)?;
    let tls = Tls::new(&config).map_err(fatal)?;
    let AdapterContext { network, far, media, directory, clock, orders, linked, seed, stop, .. } = ctx;
    let parts = Parts { config, network, far, media, clock, directory, orders, linked, stop, seed };
    let flights = Flights::resume(notes(&parts, NOTE).await?);
    let seen = catchup::read(notes(&parts, catchup::NOTE).await?);
    let refused = notes(&parts, puppets::REFUSED).await?.pop();
    let called = notes(&parts, relay::CALLED).await?.pop();
    let bound = Bound::resume(notes(&parts, bound::NOTE).await?);
    let named = Named::resume(notes(&parts, named::NOTE).await?);
    let mut relay = Relay::new(parts, flights, seen);
    if let Some((_, list)) = called {
        relay.was_called_before(&String::from_utf8_lossy(&list));
    }
    relay.knew(named);
    relay.bound = bound;
    relay.refused = refused.and_then(|(_, template)| String::from_utf8(template.into()).ok());
    let mut pauses = Pauses::new(&relay.config.limits);
    loop {
        let began = Instant::now();
        let (end, was_ready) = once(&mut relay, &secrets, &tls).await;
        if was_ready && began.elapsed() >= relay.config.limits.stable {
            pauses.reset();
        }
        let (why, pause) = match end {
            End::Stopped => return Ok(Stopped),
            End::Fatal(why) => {
                drain(&mut relay, Duration::from_secs(3)).await;
                return Err(AdapterError::Fatal(why));
            }
            End::Barred(why) => {
                drain(&mut relay, Duration::from_secs(3)).await;
                return Err(AdapterError::Barred(why));
            }
            End::Lost(why) => (why, pauses.next()),
            End::Throttled(why) => (why, pauses.throttled()),
        };
        let pause = relay.dice.jitter(pause);
        tracing::warn!(network = %relay.network, %why, pause_ms = pause.as_millis(), "not connected");
        relay.tell_health(Health::Degraded { why });
        if wait(&mut relay, pause).await == Waited::Stopped {
            return Ok(Stopped);
        }
    }
}

/// What the last run wrote down under a prefix.
async fn notes(parts: &Parts, prefix: &str) -> Result<Vec<(String, Bytes)>, AdapterError> {
    let mut notes = Vec::new();
    loop {
        let after = notes.last().map(|(key, _): &(String, _)| key.clone());
        let page = parts.far.notes(&parts.network, prefix, after.as_deref(), NOTES).await;
        let page = page.map_err(|error| match error {
            FarError::Unavailable(why) | FarError::Invalid(why) => AdapterError::Restart(why),
            error @ FarError::Sealed { .. } => AdapterError::Restart(error.to_string()),
            FarError::Stopping => AdapterError::Restart("the gateway is stopping".to_owned()),
        })?;
        if page.is_empty() {
            return Ok(notes);
        }
        notes.extend(page);
    }
}

/// One connection.
async fn once(relay: &mut Relay, secrets: &Secrets, tls: &Tls) -> (End, bool) {
    relay.tell_health(Health::Starting);
    let address = relay.config.address.clone();
    let stop = relay.stop.clone();
    let (ident, user) = (relay.config.ident.clone(), user_of(&relay.config.nick));
    let ident = ident.as_ref().map(|ident| (ident, user.as_str()));
    let connecting = stream::connect(&address, tls.own.as_ref(), ident, None);
    tokio::pin!(connecting);
    let connected = loop {
        tokio::select! {
            () = stop.stopping() => return (End::Stopped, false),
            Some(done) = relay.work.next() => absorb(relay, done),
            connected = &mut connecting => break connected,
        }
    };
    match connected {
        Ok(connection) => {
            let (settings, password) = (relay.config.puppets.clone(), secrets.server.clone());
            let puppets = Puppets::new(settings, tls.plain.clone(), password, Instant::now());
            let session = Session::new(relay, Registration::new(secrets.clone()), puppets);
            Box::pin(session.live(connection)).await
        }
        Err(error) => (End::Lost(format!("cannot connect to {address}: {error}")), false),
    }
}

/// Work that goes on without a connection.
fn absorb(relay: &mut Relay, done: Done) {
    match done {
        Done::Committed { batch, result } => relay.committed(batch, result),
        Done::Settled { id, outcome } => relay.settled(id, outcome),
        // It is looked at again with the next connection.
        Done::Stored { id, .. } | Done::Behind { id, .. } => relay.flights.restart(id),
        Done::Members { chat, home, members } => relay.members_are(&chat, home, members),
    }
}

#[derive(PartialEq)]
enum Waited {
    Over,
    Stopped,
}

/// Waits for the pause to be over, and for room: what a server says could not be read without.
async fn wait(relay: &mut Relay, pause: Duration) -> Waited {
    let stop = relay.stop.clone();
    let deadline = tokio::time::sleep(pause);
    tokio::pin!(deadline);
    let mut is_over = false;
    while !(is_over && relay.has_room()) {
        tokio::select! {
            () = stop.stopping() => return Waited::Stopped,
            Some(done) = relay.work.next() => absorb(relay, done),
            () = &mut deadline, if !is_over => is_over = true,
        }
    }
    Waited::Over
}

/// What was heard is brought to disk before the run ends.
async fn drain(relay: &mut Relay, limit: Duration) {
    let work = async {
        while let Some(done) = relay.work.next().await {
            absorb(relay, done);
        }
    };
    // Whatever is not done then is done by the next run.
    let _ = tokio::time::timeout(limit, work).await;
}

/// TLS for our own connection and for those of people, who do not show our certificate: it is our account.
struct Tls {
    own: Option<Arc<ClientConfig>>,
    plain: Option<Arc<ClientConfig>>,
}

impl Tls {
    fn new(config: &IrcClientConfig) -> Result<Self, String> {
        let Some(tls) = &config.tls else { return Ok(Self { own: None, plain: None }) };
        let own = stream::tls(tls)?;
        let plain = match &tls.own {
            Some(_) => stream::tls(&super::config::Tls { own: None, ..tls.clone() })?,
            None => Arc::clone(&own),
        };
        Ok(Self { own: Some(own), plain: Some(plain) })
    }
}

/// Pauses between connections: each twice the one before.
struct Pauses {
    limits: Limits,
    next: Duration,
}

impl Pauses {
    fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), next: limits.first_pause }
    }

    fn reset(&mut self) {
        self.next = self.limits.first_pause;
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.limits.longest_pause);
        pause
    }

    fn throttled(&mut self) -> Duration {
        self.next = self.next.max(self.limits.throttled_pause);
        self.next()
    }
}

fn secrets(config: &IrcClientConfig) -> Result<Secrets, String> {
    let of = |path: Option<&Path>| path.map(read_secret).transpose();
    let sasl = match &config.sasl {
        None => None,
        Some(sasl) => {
            let password = of(sasl.password_file.as_deref())?;
            Some(password.map(|password| Account { user: sasl.user.clone(), password }))
        }
    };
    Ok(Secrets {
        server: of(config.password_file.as_deref())?,
        sasl,
        nickserv: of(config.nickserv_file.as_deref())?,
    })
}

fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| format!("{shown} cannot be read: {e}"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    let is_odd = secret.is_empty() || secret.len() > SECRET_BYTES || secret.contains(['\0', '\r', '\n']);
    match is_odd {
        true => Err(format!("{shown} does not hold one line with a password")),
        false => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_throttling_starts_at_a_minute() {
        let mut pauses = Pauses::new(&Limits::default());
        let seconds: Vec<u64> = (0..9).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        pauses.reset();
        assert_eq!((pauses.throttled().as_secs(), pauses.next().as_secs()), (60, 120));
    }

    #[test]
    fn a_network_that_is_away_for_an_hour_is_asked_a_dozen_times() {
        let limits = Limits::default();
        // Chance leaves half of a pause or all of it; a server that says nothing takes the time of a registration.
        for (share, silence, most) in
            [(0.5, Duration::ZERO, 18), (1.0, Duration::ZERO, 12), (1.0, limits.registration, 11)]
        {
            let (mut pauses, mut passed, mut asked) = (Pauses::new(&limits), Duration::ZERO, 0);
            while passed < Duration::from_secs(3600) {
                asked += 1;
                passed += silence + pauses.next().mul_f64(share);
            }
            assert!((8..=most).contains(&asked), "{share} {silence:?}: {asked} connections");
        }
    }
}
