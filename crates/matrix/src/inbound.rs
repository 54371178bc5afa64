//! Transactions → posts. One task takes them, one after the other; the homeserver hears "200" after
//! the commit and never before.
//!
//! What comes again is known by the ids of its events, and by nothing else. The ids of transactions
//! prove nothing: Synapse on SQLite counts them from 1 again when it starts (1.163, seen).
//!
//! What is said in a room of ours is durable and goes through the pipe. Everything else (what is
//! said to the bot, invitations, refusals) is a question to its desk or an [`Effect`], done after the commit
//! by a task of its own ([`todo`]), so that the homeserver is not kept waiting for our own calls to it.

pub(crate) mod bystanders;
pub(crate) mod called;
mod changes;
pub(crate) mod crowds;
pub(crate) mod effects;
pub(crate) mod event;
mod handled;
mod message;
pub(crate) mod moves;
mod parked;
pub(crate) mod relay;
mod retry;
mod sealed;
pub(crate) mod todo;
mod typed;
pub(crate) mod versions;
mod who;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, oneshot};
use wxgate_contract::{Batch, FarError, Note, PendingMedia, Post, PostFate, Stop};

use crate::names::Who;
use crate::puppet;
use crate::shared::Shared;
use crate::trouble::Trouble;
use effects::{Addressed, Effect};
use event::Event;
use handled::Handled;
pub(crate) use message::PREFIX;
use parked::{Parked, Waiting};
use sealed::Why;
use todo::{Task, Todo};
use versions::Versions;

/// Transactions that may wait. A homeserver sends the next one after the answer to the last.
pub(crate) const TRANSACTIONS: usize = 2;
/// Pages of a catch-up that may wait. Whoever catches up waits for each of them.
pub(crate) const PAGES: usize = 1;
/// The note that holds which events were seen to and left no post.
const HANDLED: &str = "handled";
/// Told of something encrypted that was said before under another id.
pub(crate) const REPEATED: &str =
    "it is an earlier message that was handed over once more, and not by whoever wrote it";
/// The note that says up to where everything that happened was handed over.
pub(crate) const POSITION: &str = "position";

/// The note that says whose position that is, where it is an ordinary account's: another one may be configured.
pub(crate) const POSITION_OF: &str = "position-of";

/// One transaction and where its answer goes: true when everything in it is safe.
pub(crate) struct Transaction {
    pub(crate) body: Bytes,
    pub(crate) done: oneshot::Sender<Taken>,
}

/// What the homeserver told when it was asked, of one room, oldest first.
pub(crate) struct Missed {
    pub(crate) room_id: String,
    pub(crate) events: Vec<Box<RawValue>>,
    /// Everything up to here was handed over with this.
    pub(crate) position: Option<String>,
    /// Where the answer goes: how many posts were new, when everything is safe.
    pub(crate) done: Option<oneshot::Sender<Option<usize>>>,
}

impl Missed {
    pub(crate) fn of(room_id: &str, events: Vec<Box<RawValue>>) -> Self {
        Self { room_id: room_id.to_owned(), events, position: None, done: None }
    }
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// On disk, or known.
    Safe,
    /// Not on disk; the homeserver must repeat it.
    Not,
    /// It is no transaction.
    Odd,
}

/// Source: <https://spec.matrix.org/v1.16/application-service-api/#put_matrixappv1transactionstxnid>
#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    ephemeral: Option<Vec<Box<RawValue>>>,
    /// The same from before it became a part of the specification. Synapse sends both at once.
    /// Source: Synapse 1.163, seen in its transactions.
    #[serde(default, rename = "de.sorunome.msc2409.ephemeral")]
    unstable_ephemeral: Vec<Box<RawValue>>,
}

/// One thing said, and the room it was said in.
struct Said {
    room_id: String,
    post: Post,
    media: Vec<PendingMedia>,
}

/// What a transaction turns into.
#[derive(Default)]
struct Draft {
    said: Vec<Said>,
    effects: Vec<Effect>,
    /// The same, as it was committed.
    tasks: Vec<Task>,
    /// What the bot was asked.
    questions: Vec<Addressed>,
    /// Messages that are edited here, by the event that said them first.
    edited: BTreeMap<String, Versions>,
    /// Notes about what was typed in shared rooms.
    typed: Vec<Note>,
    /// Notes of what was encrypted and is taken now.
    taken: Vec<Note>,
    /// Events of people that leave no post.
    silent: Vec<String>,
    /// Events that wait for a key, or behind one that does.
    parked: Vec<Waiting>,
    /// Events that were taken back while they waited.
    taken_out: Vec<Waiting>,
    /// It was asked for, and may be from before a room mirrored anything.
    is_asked_for: bool,
}

/// The taking task.
pub(crate) struct Inbound {
    shared: Arc<Shared>,
    tasks: mpsc::Sender<Task>,
    questions: mpsc::Sender<Addressed>,
    todo: Todo,
    /// Rung when files were announced.
    files: Arc<Notify>,
    handled: Handled,
    parked: Parked,
}

impl Inbound {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tasks: mpsc::Sender<Task>,
        questions: mpsc::Sender<Addressed>,
        files: Arc<Notify>,
    ) -> Self {
        let (todo, handled, parked) = (Todo::default(), Handled::default(), Parked::default());
        Self { shared, tasks, questions, todo, files, handled, parked }
    }

    /// Takes transactions, and what was missed, until the end. `begin` tells where the notes of what is
    /// to be done end.
    pub(crate) async fn run(
        mut self,
        begin: oneshot::Receiver<u64>,
        mut transactions: mpsc::Receiver<Transaction>,
        mut missed: mpsc::Receiver<Missed>,
        stop: Stop,
    ) {
        self.handled = tokio::select! {
            () = stop.stopping() => return,
            found = self.remembered(HANDLED) => found,
        };
        self.parked = tokio::select! {
            () = stop.stopping() => return,
            found = Parked::load(&self.shared) => found,
        };
        self.todo = tokio::select! {
            () = stop.stopping() => return,
            last = begin => Todo::from(last.unwrap_or(0)),
        };
        loop {
            tokio::select! {
                () = stop.stopping() => return,
                transaction = transactions.recv() => {
                    let Some(Transaction { body, done }) = transaction else { return };
                    let taken = self.take(&body).await;
                    // Nobody waits when the homeserver gave up: it will repeat the transaction.
                    let _ = done.send(taken);
                }
                Some(missed) = missed.recv() => {
                    let Missed { room_id, events, position, done } = missed;
                    let taken = self.take_missed(&room_id, &events, position).await;
                    done.map(|done| done.send(taken));
                }
                () = self.shared.crypto.keys_came() => self.try_parked(Why::Keys).await,
                () = self.parked.due(), if !self.parked.is_empty() => self.try_parked(Why::Time).await,
            }
        }
    }

    /// A note of this task as it was last written.
    async fn remembered<T: serde::de::DeserializeOwned + Default>(&self, note: &str) -> T {
        let mut pause = std::time::Duration::from_millis(100);
        loop {
            match self.shared.memory.read(note).await {
                Ok(found) => {
                    return found.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
                }
                Err(error) => tracing::warn!(%error, note, "what was taken last cannot be read yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_secs(10));
        }
    }

    /// What was missed in one room; `None` when it is not on disk. Gives how many posts were new.
    async fn take_missed(
        &mut self,
        room_id: &str,
        events: &[Box<RawValue>],
        position: Option<String>,
    ) -> Option<usize> {
        let mut draft = Draft { is_asked_for: true, ..Draft::default() };
        for raw in events {
            if let Err(trouble) = self.event(raw, room_id, &mut draft).await {
                tracing::warn!(error = %trouble, "what was missed could not be taken; it is asked for again");
                return None;
            }
        }
        let passes = position.is_some();
        let position = position.map(|at| self.position_notes(at)).unwrap_or_default();
        match self.commit(&mut draft, position, passes).await {
            Ok(new) => {
                self.follow(draft).await;
                Some(new)
            }
            Err(error) => {
                tracing::warn!(%error, "what was missed could not be stored; it is asked for again");
                None
            }
        }
    }

    fn position_notes(&self, at: String) -> Vec<Note> {
        let mut notes = vec![note(POSITION, at.into_bytes())];
        if self.shared.config.account.is_some() {
            notes.push(note(POSITION_OF, self.shared.names.bot().as_bytes().to_vec()));
        }
        notes
    }

    async fn take(&mut self, body: &[u8]) -> Taken {
        let Ok(words) = serde_json::from_slice::<Words>(body) else { return Taken::Odd };
        let mut draft = Draft::default();
        for raw in &words.events {
            if let Err(trouble) = self.event(raw, "", &mut draft).await {
                tracing::warn!(error = %trouble, "a transaction could not be taken; the homeserver will repeat it");
                return Taken::Not;
            }
        }
        if let Err(error) = self.commit(&mut draft, Vec::new(), false).await {
            tracing::warn!(%error, "a transaction could not be stored; the homeserver will repeat it");
            return Taken::Not;
        }
        for raw in words.ephemeral.as_ref().unwrap_or(&words.unstable_ephemeral) {
            self.shared.take_receipts(raw, "");
        }
        self.follow(draft).await;
        Taken::Safe
    }

    /// What follows from events that are safe.
    async fn follow(&mut self, draft: Draft) {
        if draft.said.iter().any(|said| !said.media.is_empty()) {
            self.files.notify_one();
        }
        self.parked.add(draft.parked);
        self.parked.settle(&draft.taken_out, Vec::new());
        for (original, versions) in draft.edited {
            self.shared.memory.versions.keep(&original, versions);
        }
        for question in draft.questions {
            // Never waited for: the desk may wait for accounts, and nobody else's words may wait for those.
            if let Err(error) = self.questions.try_send(question) {
                tracing::warn!(%error, "the bot is asked more than it can answer; a question is dropped");
            }
        }
        for task in draft.tasks {
            if self.tasks.send(task).await.is_err() {
                break;
            }
        }
        if self.handled.is_filling() {
            self.shared.catch_up.notify_one();
        }
    }

    /// One event; whatever it is, it does not fail the transaction by itself. An event that names no
    /// room is of `room_id`.
    async fn event(&self, raw: &RawValue, room_id: &str, draft: &mut Draft) -> Result<(), Trouble> {
        let mut event = match serde_json::from_str::<Event>(raw.get()) {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, bytes = raw.get().len(), "an event of the homeserver cannot be read");
                return Ok(());
            }
        };
        if event.room_id.is_empty() {
            event.room_id = room_id.to_owned();
        }
        self.shared.called.follow(&event);
        self.shared.follow_crowd(&event);
        if let Some(key) = &event.state_key {
            self.shared.follow_encryption(&event.room_id, &event.kind, key, &event.content).await?;
        }
        // Our own ghosts' events come back to us, and what was said through puppets as well.
        let memory = &self.shared.memory;
        let is_ours = self.shared.names.who(&event.sender) != Who::Human
            || puppet::is_marked(&event.content)
            || message::redacted(&event).is_some_and(|target| memory.has_taken_back(target));
        let is_known = self.handled.knows(&event.event_id) || self.parked.knows(&event.event_id);
        let is_given_twice = draft.silent.contains(&event.event_id)
            || draft.parked.iter().any(|waiting| waiting.event_id == event.event_id);
        // Whoever takes back what was said before it was asked for wants to hear nothing about it.
        if is_ours || is_known || is_given_twice || event.is_taken_back() {
            return Ok(());
        }
        self.take_new(event, raw, draft).await
    }

    /// Writes what was said, and what has to be known the next time. Gives how many posts were new.
    async fn commit(
        &mut self,
        draft: &mut Draft,
        mut notes: Vec<Note>,
        passes: bool,
    ) -> Result<usize, FarError> {
        let mut handled = self.handled.clone();
        if passes {
            handled.pass();
        }
        draft.silent.drain(..).for_each(|event_id| handled.add(event_id));
        if handled != self.handled {
            notes.push(note(HANDLED, json_of(&handled)));
        }
        notes.extend(self.todo.write(&mut draft.effects, &mut draft.tasks));
        notes.append(&mut draft.typed);
        notes.append(&mut draft.taken);
        let shared = &self.shared;
        notes.extend(self.parked.number(&mut draft.parked));
        notes.extend(draft.taken_out.iter().map(Waiting::gone));
        let edited = draft.edited.iter();
        notes.extend(edited.map(|(original, versions)| shared.memory.versions.note(original, versions)));
        let batch = Batch {
            posts: draft.said.iter().map(|said| said.post.clone()).collect(),
            media: draft.said.iter().flat_map(|said| said.media.clone()).collect(),
            notes: notes.clone(),
            ..Batch::default()
        };
        // Mostly what our own ghosts said: there is nothing to keep of it.
        if batch.is_empty() {
            return Ok(0);
        }
        let is_new = |fate: &&PostFate| matches!(fate, PostFate::Kept(_));
        let new = match shared.far.commit(&shared.network, batch).await {
            Ok(committed) => committed.posts.iter().filter(is_new).count(),
            Err(FarError::Invalid(error)) => {
                tracing::warn!(
                    error,
                    "a transaction cannot be stored whole; its events are stored one by one"
                );
                self.commit_singly(draft).await?;
                notes.extend(self.todo.write(&mut draft.effects, &mut draft.tasks));
                self.shared.memory.save(notes).await?;
                0
            }
            Err(error) => return Err(error),
        };
        self.handled = handled;
        Ok(new)
    }

    /// What cannot be stored at all must not keep the rest from being stored.
    async fn commit_singly(&self, draft: &mut Draft) -> Result<(), FarError> {
        let shared = &self.shared;
        for said in &draft.said {
            let batch =
                Batch { posts: vec![said.post.clone()], media: said.media.clone(), ..Batch::default() };
            match shared.far.commit(&shared.network, batch).await {
                Ok(_) => {}
                Err(FarError::Invalid(error)) => {
                    let event_id = said.post.remote_id.as_str().to_owned();
                    tracing::error!(error, event_id, "an event cannot be stored and is left out");
                    let (room_id, why) = (said.room_id.clone(), "it cannot be stored here".to_owned());
                    draft.effects.push(Effect::Refusal { room_id, event_id, why });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn note(key: &str, value: Vec<u8>) -> Note {
    Note { key: key.to_owned(), value: Some(Bytes::from(value)), is_secret: false }
}

/// Our own types always have a JSON form.
fn json_of(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
