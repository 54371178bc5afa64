//! Several gateways that share the accounts of one PostgreSQL: what the one that has the database does for the others, and
//! what they do until it is gone (docs/decisions/0027).

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wxgate_bridge::AdapterFactory;
use wxgate_contract::{BoxFuture, NetworkId, Stop, StopHandle};
use wxgate_instances::{Leader, LeaderConfig, Lent, LineKey, Parted, Worker, WorkerConfig};
use wxgate_store::{LeaderRow, SealKey, Store};

use super::{accounts, certificate, converter, files, ports, store, store_failure};
use crate::clock;
use crate::config::Settings;
use crate::failure::Failure;
use crate::metrics::{self, Counters};
use crate::web::serve::{self, Served};

/// What the key of the lines is for, in the seal key's terms.
const PURPOSE: &str = "lines between instances";
/// Before a leader is tried again that could not be reached; doubles up to the cap. Chosen: the database is looked at
/// each second in any case.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The name of an instance that was given none, the same for the life of the process: the machine's, and what tells two on
/// one machine apart.
static OWN_NAME: LazyLock<String> = LazyLock::new(|| {
    let host = wxgate_store::host_name();
    let random = clock::random::<2>().map(u16::from_le_bytes);
    let part = random.unwrap_or_else(|_| u16::try_from(std::process::id() & 0xffff).unwrap_or_default());
    format!("{}-{part:04x}", if host.is_empty() { "wxgate" } else { &host })
});

/// How this instance is called among those that share a database.
fn own_name(settings: &Settings) -> String {
    match settings.instance.name.as_str() {
        "" => OWN_NAME.clone(),
        name => name.to_owned(),
    }
}

/// An instance, as pages and commands show it.
pub(crate) use wxgate_instances::InstanceView;

/// The key of lines, out of the seal key's file as it is at that moment: `wxgate key rotate` replaces it.
fn key(settings: &Settings) -> LineKey {
    let file = settings.seal_key_file();
    Arc::new(move || SealKey::derived(&file, PURPOSE).map_err(|error| error.to_string()))
}

/// This instance as the one that has the database.
pub(crate) struct Lead {
    leader: Arc<Leader>,
    listener: std::sync::Mutex<Option<TcpListener>>,
    serving: StopHandle,
    stop: Stop,
}

/// Keeps for a next leader that accounts are lent.
struct Kept(Store);

impl Lent for Kept {
    fn lent(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.0.keep_lent(true).await.map_err(|error| error.to_string()) })
    }
}

/// Listens for other instances, and says in the database where. `None` where the store is a file.
pub(super) async fn lead(settings: &Settings, store: &Store) -> Result<Option<Lead>, Failure> {
    if !store.is_shared() {
        return Ok(None);
    }
    let listener = ports::bind(&settings.instance.listen, "instance.listen").await?;
    let bound = listener.local_addr().map_err(|e| Failure::environment(format!("instance.listen: {e}")))?;
    let name = own_name(settings);
    let row = LeaderRow { name: name.clone(), address: address(&settings.instance.address, bound) };
    let lease = settings.lease();
    let wait = store.lead(row.clone(), lease).await.map_err(store_failure)?;
    if !wait.is_zero() {
        tracing::info!(
            seconds = wait.as_secs(),
            "accounts wait until the leases of an earlier instance are over"
        );
    }
    tracing::info!(name, address = row.address, "other instances may take part");
    let leader = Leader::new(LeaderConfig {
        name,
        key: key(settings),
        lease,
        version: env!("CARGO_PKG_VERSION"),
        wait,
        lent: Arc::new(Kept(store.clone())),
        leads: {
            let store = store.clone();
            Arc::new(move || store.has_database())
        },
        clock: Arc::new(clock::now),
    });
    let (serving, stop) = StopHandle::new();
    Ok(Some(Lead { leader, listener: std::sync::Mutex::new(Some(listener)), serving, stop }))
}

/// How others reach what listens on `bound`.
fn address(said: &str, bound: SocketAddr) -> String {
    match said {
        "" if bound.ip().is_unspecified() => format!("{}:{}", wxgate_store::host_name(), bound.port()),
        "" => bound.to_string(),
        said => said.to_owned(),
    }
}

impl Lead {
    /// Accounts at whichever instance has their lease.
    pub(super) fn share(&self, factory: AdapterFactory) -> AdapterFactory {
        let leader = Arc::clone(&self.leader);
        Arc::new(move |row| leader.share(factory(row)))
    }

    /// Takes the others in, until [`Lead::end`].
    pub(super) fn serve(&self) -> impl Future<Output = ()> + Send + use<> {
        let listener = self.listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let (leader, stop) = (Arc::clone(&self.leader), self.stop.clone());
        async move {
            if let Some(listener) = listener {
                leader.serve(listener, stop).await;
            }
        }
    }

    /// Lets the others go, when no account runs any more.
    pub(super) async fn end(&self, store: &Store) {
        if self.leader.is_clear()
            && let Err(error) = store.keep_lent(false).await
        {
            tracing::warn!(%error, "the next start waits for leases although there are none");
        }
        self.serving.stop();
    }

    /// Waits until another instance may have the database, and says so.
    pub(crate) async fn cut_off(&self) -> String {
        self.leader.cut_off().await;
        "the database could not be reached for the whole of instance.lease_seconds, and another instance may have it"
            .to_owned()
    }

    /// All instances, this one first.
    pub(crate) fn all(&self) -> Vec<InstanceView> {
        self.leader.instances()
    }

    /// Which instance runs an account; `None` while none does.
    pub(crate) fn of(&self, network: &NetworkId) -> Option<String> {
        self.leader.instance_of(network)
    }
}

/// This instance as one that does not have the database: it runs what it is lent, and answers only how it is.
pub(super) struct Standby {
    worker: Worker,
    state: Arc<Answers>,
    tasks: JoinSet<()>,
    stop: StopHandle,
    pause: Duration,
    next: Instant,
}

/// What is answered meanwhile.
struct Answers {
    /// Why it answers people not.
    why: watch::Sender<String>,
    accounts: watch::Receiver<Option<(String, usize)>>,
    counters: Arc<Counters>,
}

impl Standby {
    /// Begins to answer how it is.
    pub(super) async fn new(settings: &Settings, why: &str) -> Result<Self, Failure> {
        tracing::info!(why, "this instance takes part without the database");
        let counters = Arc::<Counters>::default();
        let make = accounts(settings, converter(settings)?, &counters)?;
        let worker = Worker::new(WorkerConfig {
            name: own_name(settings),
            instance: u64::from_le_bytes(clock::random()?),
            key: key(settings),
            version: env!("CARGO_PKG_VERSION"),
            factory: make,
            clock: Arc::new(clock::now),
        });
        let state = Answers { why: watch::channel(why.to_owned()).0, accounts: worker.state(), counters };
        let state = Arc::new(state);
        let router = || {
            Router::new()
                .route("/healthz", get(|| async { "ok\n" }))
                .route("/metrics", get(measures))
                .fallback(elsewhere)
                .with_state(Arc::clone(&state))
        };
        let (stop, token) = StopHandle::new();
        let mut tasks = JoinSet::new();
        let web = ports::bind(&settings.web.listen, "web.listen").await?;
        let served = |router| Served { router, proxies: Arc::default() };
        tasks.spawn(serve::serve(web, served(router()), certificate(settings)?, token.clone()));
        let socket = files::control_socket(settings)?;
        tasks.spawn(serve::serve(socket, served(router()), None, token));
        Ok(Self { worker, state, tasks, stop, pause: FIRST_PAUSE, next: Instant::now() })
    }

    /// Runs accounts for whoever has the database, until that is worth another look.
    pub(super) async fn work(&mut self, settings: &Settings, why: &str, stop: &Stop) -> Result<(), Failure> {
        let _held = wxgate_store::hold_data_dir(&settings.data_dir).map_err(store_failure)?;
        self.state.why.send_replace(why.to_owned());
        if Instant::now() >= self.next {
            let url = store::store_url(settings)?;
            match wxgate_store::leader(&url, &settings.data_dir).await {
                Ok(Some(row)) if !row.address.is_empty() => self.attend(&row, stop).await,
                Ok(_) => tracing::info!(why, "waits for the database"),
                Err(error) => tracing::warn!(%error, "the instance that has the database cannot be found"),
            }
            self.next = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        tokio::select! {
            () = stop.stopping() => {}
            () = tokio::time::sleep(store::LOOK_AGAIN) => {}
        }
        Ok(())
    }

    async fn attend(&mut self, row: &LeaderRow, stop: &Stop) {
        let began = Instant::now();
        let told = match self.worker.work(&row.address, stop).await {
            Parted::Stopped => return,
            Parted::Refused(why) => format!("{} takes this instance not in: {why}", row.name),
            Parted::Lost(why) => format!("no line to {}: {why}", row.name),
        };
        tracing::warn!(told, "this instance runs no accounts");
        self.state.why.send_replace(told);
        if began.elapsed() > LONGEST_PAUSE {
            self.pause = FIRST_PAUSE;
        }
    }

    /// Answers no more.
    pub(super) async fn end(mut self, settings: &Settings) {
        self.stop.stop();
        let _ = std::fs::remove_file(settings.socket());
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Answers {
    fn words(&self) -> String {
        match &*self.accounts.borrow() {
            Some((leader, 1)) => format!("this instance runs 1 account for {leader}, which answers people"),
            Some((leader, count)) => {
                format!("this instance runs {count} accounts for {leader}, which answers people")
            }
            None => self.why.borrow().clone(),
        }
    }
}

async fn measures(State(state): State<Arc<Answers>>) -> Response {
    let count = state.accounts.borrow().as_ref().map(|(_, count)| *count);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::standby(&state.counters, count)).into_response()
}

/// Everything else: whoever asks is told who answers. `/readyz` in the form that it has elsewhere, so that what shares
/// out connections sends nobody here.
async fn elsewhere(State(state): State<Arc<Answers>>) -> Response {
    let words = state.words();
    let body = json!({ "ready": false, "reasons": [words], "error": words }).to_string();
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_an_address_that_leads_somewhere() {
        let bound = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(address("", bound("127.0.0.1:41")), "127.0.0.1:41");
        assert_eq!(address("db2.example:8490", bound("0.0.0.0:8490")), "db2.example:8490");
        let named = address("", bound("[::]:8490"));
        assert!(named.ends_with(":8490") && !named.starts_with('['), "{named}");
    }
}
