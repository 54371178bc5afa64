//! What an adapter has for a context when it runs on a worker: every question goes over the line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot};
use wxgate_contract::{
    AccountView, Batch, BoxFuture, ChatKey, ChatProfile, ChatRef, Command, CommandError, Committed, Control,
    Delivery, DeliveryId, Directory, FarEnd, FarError, FeedEvent, Health, HistoryRange, Landmark, Loading,
    MediaError, MediaId, MediaInfo, MediaOwner, MediaReader, MediaVault, MediaWriter, NetworkId, Outcome,
    PendingMedia, PersonKey, PersonProfile, PersonRef, Reply as CommandReply, SignInStep, Spoken,
    TimelineItem, UserName,
};

use crate::leader::CALLS;
use crate::words::{Call, Reply, RunId, ToLeader};

/// Questions that are on their way, all runs' of a worker.
pub(crate) struct Calls {
    open: Mutex<Open>,
    /// For as many as the leader answers at once.
    room: Semaphore,
}

impl Default for Calls {
    fn default() -> Self {
        Self { open: Mutex::default(), room: Semaphore::new(CALLS) }
    }
}

#[derive(Default)]
struct Open {
    next: u64,
    waiting: HashMap<u64, (RunId, oneshot::Sender<Reply>)>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, run: RunId) -> (u64, oneshot::Receiver<Reply>) {
        let (tx, rx) = oneshot::channel();
        let mut open = self.lock();
        open.next += 1;
        let number = open.next;
        open.waiting.insert(number, (run, tx));
        (number, rx)
    }

    /// The leader has answered. Whoever asked may be gone: a file that was opened for them is to be closed, which is said
    /// in the word that comes back.
    pub(crate) fn answered(&self, call: u64, reply: Reply) -> Option<ToLeader> {
        let (run, waiting) = self.lock().waiting.remove(&call)?;
        self.room.add_permits(1);
        match waiting.send(reply) {
            Err(Reply::Opened(Ok(file))) => Some(closing(run, file)),
            _ => None,
        }
    }
}

/// What a run tells without waiting: the latest of each, until somebody has carried it to the line.
#[derive(Default)]
pub(crate) struct News {
    told: Mutex<Told>,
    changed: Notify,
}

#[derive(Default)]
struct Told {
    health: Option<Health>,
    step: Option<SignInStep>,
    loading: Option<Option<Loading>>,
    closed: Vec<u64>,
}

impl News {
    fn tell(&self, what: impl FnOnce(&mut Told)) {
        what(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }
}

/// One run's way to the leader.
#[derive(Clone)]
pub(crate) struct Remote {
    run: RunId,
    out: mpsc::Sender<ToLeader>,
    calls: Arc<Calls>,
    news: Arc<News>,
}

/// Nobody waits for the answer, which comes under a number that nobody has.
fn closing(run: RunId, file: u64) -> ToLeader {
    ToLeader::Call { run, call: 0, what: Box::new(Call::Close { file }) }
}

impl Remote {
    pub(crate) fn new(run: RunId, out: mpsc::Sender<ToLeader>, calls: Arc<Calls>) -> Self {
        Self { run, out, calls, news: Arc::default() }
    }

    async fn ask(&self, what: Call) -> Result<Reply, String> {
        const GONE: &str = "the instance that writes cannot be reached";
        // Room on the line first: from here on it is surely asked, and surely answered while the line lives.
        let room = self.calls.room.acquire().await.map_err(|_| GONE.to_owned())?;
        let place = self.out.reserve().await.map_err(|_| GONE.to_owned())?;
        // Given back with the answer.
        room.forget();
        let (call, reply) = self.calls.begin(self.run);
        place.send(ToLeader::Call { run: self.run, call, what: Box::new(what) });
        match reply.await {
            Ok(Reply::Impossible(why)) => Err(why),
            Ok(reply) => Ok(reply),
            Err(_) => Err(GONE.to_owned()),
        }
    }

    /// Carries what the run tells to the line, for as long as it is polled.
    pub(crate) async fn carry_news(&self) {
        loop {
            self.news.changed.notified().await;
            self.flush_news().await;
        }
    }

    /// Carries what was told up to now.
    pub(crate) async fn flush_news(&self) {
        let told = std::mem::take(&mut *self.news.told.lock().unwrap_or_else(PoisonError::into_inner));
        let run = self.run;
        let health = told.health.map(|health| ToLeader::Health { run, health });
        let step = told.step.map(|step| ToLeader::Step { run, step });
        let loading = told.loading.map(|how| ToLeader::Loading { run, how });
        let close = |file| closing(run, file);
        let states = step.into_iter().chain(health).chain(loading);
        for word in states.chain(told.closed.into_iter().map(close)) {
            if self.out.send(word).await.is_err() {
                return;
            }
        }
    }
}

/// Asks, and takes the one kind of answer that fits.
macro_rules! ask {
    ($way:expr, $error:expr, $call:expr, $kind:ident) => {
        match $way.ask($call).await {
            Ok(Reply::$kind(answer)) => answer,
            Ok(_) => Err($error("the instance that writes answered something else".to_owned())),
            Err(why) => Err($error(why)),
        }
    };
}

impl FarEnd for Remote {
    fn commit<'a>(&'a self, _: &'a NetworkId, batch: Batch) -> BoxFuture<'a, Result<Committed, FarError>> {
        Box::pin(async move { ask!(self, FarError::Unavailable, Call::Commit(Box::new(batch)), Committed) })
    }

    fn settle<'a>(
        &'a self,
        _: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>> {
        Box::pin(async move { ask!(self, FarError::Unavailable, Call::Settle(delivery, outcome), Done) })
    }

    fn behind<'a>(
        &'a self,
        _: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>> {
        let call = Call::Behind(Box::new(delivery.clone()), limit);
        Box::pin(async move { ask!(self, FarError::Unavailable, call, Deliveries) })
    }

    fn note<'a>(&'a self, _: &'a NetworkId, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
        Box::pin(async move { ask!(self, FarError::Unavailable, Call::Note(key.to_owned()), Note) })
    }

    fn notes_of<'a>(
        &'a self,
        _: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move { ask!(self, FarError::Unavailable, Call::NotesOf(keys.to_vec()), Notes) })
    }

    fn notes<'a>(
        &'a self,
        _: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        let call = Call::Notes { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit };
        Box::pin(async move { ask!(self, FarError::Unavailable, call, Notes) })
    }

    fn health(&self, _: &NetworkId, health: Health) {
        self.news.tell(|told| told.health = Some(health));
    }

    fn sign_in(&self, _: &NetworkId, step: SignInStep) {
        self.news.tell(|told| told.step = Some(step));
    }

    fn loading(&self, _: &NetworkId, how: Option<Loading>) {
        self.news.tell(|told| told.loading = Some(how));
    }
}

struct RemoteFile {
    remote: Remote,
    file: u64,
    is_open: bool,
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        if self.is_open {
            self.remote.news.tell(|told| told.closed.push(self.file));
        }
    }
}

impl MediaWriter for RemoteFile {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), MediaError>> {
        let call = Call::Put { file: self.file, piece };
        Box::pin(async move { ask!(self.remote, MediaError::Vault, call, Stored) })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<MediaInfo, MediaError>> {
        Box::pin(async move {
            let call = Call::Finish { file: self.file };
            let info: Result<Option<MediaInfo>, MediaError> =
                ask!(self.remote, MediaError::Vault, call, Info);
            self.is_open = false;
            info?.ok_or_else(|| MediaError::Vault("the file is nowhere".to_owned()))
        })
    }
}

impl MediaReader for RemoteFile {
    fn read(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, MediaError>> {
        let call = Call::Get { file: self.file };
        Box::pin(async move { ask!(self.remote, MediaError::Vault, call, Piece) })
    }
}

impl MediaVault for Remote {
    fn writer(
        &self,
        media: MediaId,
        name: &str,
        mime: &str,
        owner: MediaOwner,
    ) -> BoxFuture<'_, Result<Box<dyn MediaWriter>, MediaError>> {
        let call = Call::Write { media, name: name.to_owned(), mime: mime.to_owned(), owner };
        Box::pin(async move {
            let file: Result<u64, MediaError> = ask!(self, MediaError::Vault, call, Opened);
            let file = RemoteFile { remote: self.clone(), file: file?, is_open: true };
            Ok(Box::new(file) as Box<dyn MediaWriter>)
        })
    }

    fn reader(&self, media: MediaId, offset: u64) -> BoxFuture<'_, Result<Box<dyn MediaReader>, MediaError>> {
        Box::pin(async move {
            let file: Result<u64, MediaError> =
                ask!(self, MediaError::Vault, Call::Read { media, offset }, Opened);
            let file = RemoteFile { remote: self.clone(), file: file?, is_open: true };
            Ok(Box::new(file) as Box<dyn MediaReader>)
        })
    }

    fn info(&self, media: MediaId) -> BoxFuture<'_, Result<Option<MediaInfo>, MediaError>> {
        Box::pin(async move { ask!(self, MediaError::Vault, Call::Info(media), Info) })
    }

    fn fail(&self, media: MediaId, why: &str) -> BoxFuture<'_, Result<(), MediaError>> {
        let call = Call::Fail(media, why.to_owned());
        Box::pin(async move { ask!(self, MediaError::Vault, call, Stored) })
    }

    fn pending(
        &self,
        network: &NetworkId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<PendingMedia>, MediaError>> {
        let call = Call::Pending(network.clone(), limit);
        Box::pin(async move { ask!(self, MediaError::Vault, call, Pending) })
    }

    /// Links are written by the instance that serves them.
    fn link(&self, _: MediaId, _: &str) -> Option<String> {
        None
    }
}

/// An account asks its directory for what `Call` carries. What only faces ask is answered where faces are.
fn elsewhere<T: Send + 'static>() -> BoxFuture<'static, Result<T, FarError>> {
    let why = "this is asked of the instance that has the faces".to_owned();
    Box::pin(std::future::ready(Err(FarError::Unavailable(why))))
}

impl Directory for Remote {
    fn all_accounts(&self) -> BoxFuture<'_, Result<Vec<AccountView>, FarError>> {
        elsewhere()
    }

    fn faces(&self) -> Vec<(NetworkId, Health)> {
        Vec::new()
    }

    fn user_of<'a>(&'a self, _: &'a PersonRef) -> BoxFuture<'a, Result<Option<UserName>, FarError>> {
        elsewhere()
    }

    fn person_of<'a>(
        &'a self,
        _: &'a UserName,
        _: &'a NetworkId,
    ) -> BoxFuture<'a, Result<Option<PersonKey>, FarError>> {
        elsewhere()
    }

    fn accounts<'a>(&'a self, _: &'a UserName) -> BoxFuture<'a, Result<Vec<AccountView>, FarError>> {
        elsewhere()
    }

    fn chats<'a>(
        &'a self,
        _: &'a NetworkId,
        _: Option<&'a ChatKey>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<ChatProfile>, FarError>> {
        elsewhere()
    }

    fn chat<'a>(&'a self, chat: &'a ChatRef) -> BoxFuture<'a, Result<Option<ChatProfile>, FarError>> {
        Box::pin(async move { ask!(self, FarError::Unavailable, Call::Chat(chat.clone()), Chat) })
    }

    fn people<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [PersonKey],
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        let call = Call::People(network.clone(), keys.to_vec());
        Box::pin(async move { ask!(self, FarError::Unavailable, call, People) })
    }

    fn contacts<'a>(
        &'a self,
        _: &'a NetworkId,
        _: Option<&'a PersonKey>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        elsewhere()
    }

    fn history<'a>(
        &'a self,
        network: &'a NetworkId,
        chat: Option<&'a ChatKey>,
        range: HistoryRange,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TimelineItem>, FarError>> {
        let call = Call::History { network: network.clone(), chat: chat.cloned(), range, limit };
        Box::pin(async move { ask!(self, FarError::Unavailable, call, History) })
    }

    fn locate<'a>(&'a self, _: &'a ChatRef, _: Landmark) -> BoxFuture<'a, Result<Option<i64>, FarError>> {
        elsewhere()
    }

    fn spoken<'a>(
        &'a self,
        network: &'a NetworkId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Spoken>, FarError>> {
        let call = Call::Spoken(network.clone(), limit);
        Box::pin(async move { ask!(self, FarError::Unavailable, call, Spoken) })
    }

    /// Never says anything: its sender is gone.
    fn subscribe(&self) -> broadcast::Receiver<FeedEvent> {
        broadcast::channel(1).1
    }
}

impl Control for Remote {
    fn run(
        &self,
        _: Option<UserName>,
        command: Command,
    ) -> BoxFuture<'_, Result<CommandReply, CommandError>> {
        let why = format!("{command:?} is asked of the instance that has the database");
        Box::pin(std::future::ready(Err(CommandError::Failed(why))))
    }
}
