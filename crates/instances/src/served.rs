//! What the leader does for a run elsewhere: answers its questions out of the context that the supervisor made for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use wxgate_contract::{
    Answer, CommandError, Directory, FarEnd, MediaError, MediaReader, MediaVault, MediaWriter, NetworkId,
};

use crate::words::{Call, Reply};

/// Questions of people that one run may have at once. Chosen: an account answers sixteen at a time.
const ASKS: usize = 48;
/// Files that one run may have open at once. Chosen: an account fetches a few at a time and hands over two.
const FILES: usize = 64;

/// A file that is open on behalf of a run. Its lock is held while a piece of it is on its way.
#[derive(Clone)]
enum File {
    Written(Arc<tokio::sync::Mutex<Option<Box<dyn MediaWriter>>>>),
    Read(Arc<tokio::sync::Mutex<Box<dyn MediaReader>>>),
}

/// Who waits for the answer to a question.
type Asker = mpsc::Sender<Result<Answer, CommandError>>;

/// The leader's side of one run.
pub(crate) struct Served {
    pub(crate) network: NetworkId,
    pub(crate) far: Arc<dyn FarEnd>,
    media: Arc<dyn MediaVault>,
    directory: Arc<dyn Directory>,
    hands: Mutex<Hands>,
}

/// What a run writes, one after the other.
#[derive(Default)]
struct Writes {
    is_busy: bool,
    waiting: VecDeque<(u64, Call)>,
}

#[derive(Default)]
struct Hands {
    writes: Writes,
    next: u64,
    files: HashMap<u64, File>,
    asks: HashMap<u64, Asker>,
}

impl Served {
    pub(crate) fn new(
        network: NetworkId,
        far: Arc<dyn FarEnd>,
        media: Arc<dyn MediaVault>,
        directory: Arc<dyn Directory>,
    ) -> Self {
        Self { network, far, media, directory, hands: Mutex::default() }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps who asked until the run has answered, or is over; `None` when too many wait already, and they were told so.
    pub(crate) fn asked(&self, asker: Asker) -> Option<u64> {
        let mut hands = self.hands();
        if hands.asks.len() >= ASKS {
            let busy = CommandError::Failed(format!("{} is busy; ask again in a moment", self.network));
            let _ = asker.try_send(Err(busy));
            return None;
        }
        hands.next += 1;
        let number = hands.next;
        hands.asks.insert(number, asker);
        Some(number)
    }

    pub(crate) fn answered(&self, ask: u64, answer: Result<Answer, CommandError>) {
        if let Some(asker) = self.hands().asks.remove(&ask) {
            // There is room for the one answer; a closed channel means that nobody waits.
            let _ = asker.try_send(answer);
        }
    }

    /// Takes a question; what is to be carried out now is given back. What writes waits for what the run wrote before.
    pub(crate) fn begin(&self, call: u64, what: Call) -> Option<(u64, Call)> {
        if !what.writes() {
            return Some((call, what));
        }
        let mut hands = self.hands();
        let writes = &mut hands.writes;
        if writes.is_busy {
            writes.waiting.push_back((call, what));
            return None;
        }
        writes.is_busy = true;
        Some((call, what))
    }

    /// What is written next, when something was written.
    pub(crate) fn next(&self) -> Option<(u64, Call)> {
        let mut hands = self.hands();
        let writes = &mut hands.writes;
        let next = writes.waiting.pop_front();
        writes.is_busy = next.is_some();
        next
    }

    pub(crate) async fn answer(&self, call: Call) -> Reply {
        let (far, network) = (&self.far, &self.network);
        match call {
            Call::Commit(batch) => Reply::Committed(far.commit(network, *batch).await),
            Call::Settle(delivery, outcome) => Reply::Done(far.settle(network, delivery, outcome).await),
            Call::Behind(delivery, limit) => Reply::Deliveries(far.behind(network, &delivery, limit).await),
            Call::Note(key) => Reply::Note(far.note(network, &key).await),
            Call::NotesOf(keys) => Reply::Notes(far.notes_of(network, &keys).await),
            Call::Notes { prefix, after, limit } => {
                Reply::Notes(far.notes(network, &prefix, after.as_deref(), limit).await)
            }
            Call::People(of, keys) => Reply::People(self.directory.people(&of, &keys).await),
            Call::Chat(chat) => Reply::Chat(self.directory.chat(&chat).await),
            Call::History { network, chat, range, limit } => {
                Reply::History(self.directory.history(&network, chat.as_ref(), range, limit).await)
            }
            Call::Spoken(of, limit) => Reply::Spoken(self.directory.spoken(&of, limit).await),
            file => self.attachment(file).await,
        }
    }

    async fn attachment(&self, call: Call) -> Reply {
        match call {
            Call::Write { media, name, mime, owner } => {
                let writer = self.media.writer(media, &name, &mime, owner).await;
                let file = |writer| File::Written(Arc::new(tokio::sync::Mutex::new(Some(writer))));
                Reply::Opened(writer.map(file).and_then(|file| self.open(file)))
            }
            Call::Read { media, offset } => {
                let reader = self.media.reader(media, offset).await;
                let file = |reader| File::Read(Arc::new(tokio::sync::Mutex::new(reader)));
                Reply::Opened(reader.map(file).and_then(|file| self.open(file)))
            }
            Call::Put { file, piece } => Reply::Stored(self.put(file, piece).await),
            Call::Get { file } => Reply::Piece(match self.file(file) {
                Some(File::Read(reader)) => reader.lock().await.read().await,
                _ => Err(no_such_file()),
            }),
            Call::Finish { file } => Reply::Info(match self.closed(file) {
                Some(File::Written(writer)) => match writer.lock().await.take() {
                    Some(writer) => writer.finish().await.map(Some),
                    None => Err(no_such_file()),
                },
                _ => Err(no_such_file()),
            }),
            Call::Close { file } => {
                drop(self.closed(file));
                Reply::Stored(Ok(()))
            }
            Call::Info(media) => Reply::Info(self.media.info(media).await),
            Call::Fail(media, why) => Reply::Stored(self.media.fail(media, &why).await),
            Call::Pending(of, limit) => Reply::Pending(self.media.pending(&of, limit).await),
            // The other half is answered above.
            _ => Reply::Impossible("that is no question about a file".to_owned()),
        }
    }

    async fn put(&self, file: u64, piece: Bytes) -> Result<(), MediaError> {
        let Some(File::Written(writer)) = self.file(file) else { return Err(no_such_file()) };
        let mut writer = writer.lock().await;
        writer.as_mut().ok_or_else(no_such_file)?.write(piece).await
    }

    fn open(&self, file: File) -> Result<u64, MediaError> {
        let mut hands = self.hands();
        if hands.files.len() >= FILES {
            return Err(MediaError::Vault("too many files of this account are open".to_owned()));
        }
        hands.next += 1;
        let number = hands.next;
        hands.files.insert(number, file);
        Ok(number)
    }

    fn file(&self, file: u64) -> Option<File> {
        self.hands().files.get(&file).cloned()
    }

    fn closed(&self, file: u64) -> Option<File> {
        self.hands().files.remove(&file)
    }
}

fn no_such_file() -> MediaError {
    MediaError::Vault("that file is not open".to_owned())
}
