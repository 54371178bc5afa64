//! `wxgate run`

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use wxgate_contract::StopHandle;

use crate::config::{Loaded, Settings};
use crate::failure::Failure;
use crate::wiring::Gateway;
use crate::{telemetry, traces, wiring};

/// How long a start that is told to stop may take. Chosen: runs of accounts have ten seconds to end.
const TO_STOP: Duration = Duration::from_secs(15);

/// Runs the gateway until a signal; a second signal ends it at once.
pub(super) async fn run(loaded: Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let (traces, listener) = traces::start(&settings.data_dir)?;
    telemetry::start(settings.log.format, &settings.log.filter, listener);
    traces.announce();
    let ran = until_a_signal(&loaded).await;
    traces.end().await;
    ran
}

async fn until_a_signal(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let file =
        loaded.file.as_ref().map_or("none, built-in defaults".to_owned(), |file| file.display().to_string());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %file, "starting");
    for (key, fault) in loaded.open_passwords() {
        tracing::warn!("{key} holds a password, and {fault}");
    }
    let mut signals = Signals::new(Hangup::IsTold)?;
    let Some(gateway) = started(settings, &mut signals).await? else { return Ok(()) };
    tokio::select! {
        () = signals.next() => {}
        // At once and not in order: what is in hand here is another gateway's by now, or cannot be put away.
        failure = gateway.failed() => return Err(failure),
    }
    tracing::info!("stopping; a second signal ends at once");
    tokio::select! {
        () = gateway.stop() => Ok(()),
        () = signals.next() => Err(Failure::asked("ended at once, as asked; what was committed is kept")),
    }
}

/// Starts, which takes as long as another instance has the database; `None` when a signal came first. What runs here by
/// then comes to its end in order, unless a second signal comes.
async fn started(settings: &Settings, signals: &mut Signals) -> Result<Option<Gateway>, Failure> {
    let (stop, until) = StopHandle::new();
    let mut start = std::pin::pin!(wiring::start(settings, &until));
    tokio::select! {
        started = &mut start => return started,
        () = signals.next() => stop.stop(),
    }
    let in_order = async {
        match start.await? {
            // The database was free in this very moment.
            Some(gateway) => gateway.stop().await,
            None => tracing::info!("stopped"),
        }
        Ok(None)
    };
    tokio::select! {
        ended = tokio::time::timeout(TO_STOP, in_order) => ended.unwrap_or(Ok(None)),
        () = signals.next() => Ok(None),
    }
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The terminal is gone, and with it whoever looked.
    Ends,
    /// Somebody asks for changes to be read. A gateway goes on: certificates are read by themselves, all else at a
    /// start.
    IsTold,
}

/// SIGTERM and SIGINT, and SIGHUP.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    hangup: Hangup,
}

impl Signals {
    pub(crate) fn new(hangup: Hangup) -> Result<Self, Failure> {
        let on =
            |kind| signal(kind).map_err(|e| Failure::environment(format!("cannot listen to signals: {e}")));
        let (term, int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        Ok(Self { term, int, hup: on(SignalKind::hangup())?, hangup })
    }

    /// Waits for one that ends the program.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => {}
            }
            match self.hangup {
                Hangup::Ends => return,
                Hangup::IsTold => tracing::info!(
                    "SIGHUP: certificates are read again by themselves when their files change; the rest of the \
                     configuration is read at a start"
                ),
            }
        }
    }
}
