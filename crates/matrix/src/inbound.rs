//! Transactions → posts. One task takes them, one after the other; the homeserver hears "200" after
//! the commit and never before.
//!
//! What is said in a room of ours is durable and goes through the pipe. Everything else (what is
//! said to the bot, invitations, refusals) is an [`Effect`], done after the commit by a task of its
//! own, so that the homeserver is not kept waiting for our own calls to it.

pub(crate) mod effects;
mod event;
mod message;
mod who;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, oneshot};
use wxgate_contract::{Batch, FarError, Note, PendingMedia, Post, Stop};

use crate::chores::Chore;
use crate::names::Who;
use crate::shared::Shared;
use crate::trouble::Trouble;
use effects::Effect;
use event::Event;
pub(crate) use message::PREFIX;

/// Transactions that may wait. A homeserver sends the next one after the answer to the last.
pub(crate) const TRANSACTIONS: usize = 2;
/// Transaction ids and event ids that are remembered. Chosen: a repetition comes as the very next
/// transaction; the rest is for homeservers that give an event twice.
const REMEMBERED_TXNS: usize = 32;
const REMEMBERED_EVENTS: usize = 512;
/// The note that holds the last transaction ids.
const NOTE: &str = "transactions";

/// One transaction and where its answer goes: true when everything in it is safe.
pub(crate) struct Transaction {
    pub(crate) id: String,
    pub(crate) body: Bytes,
    pub(crate) done: oneshot::Sender<Taken>,
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

/// Source: https://spec.matrix.org/v1.16/application-service-api/#put_matrixappv1transactionstxnid
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
}

/// The taking task.
pub(crate) struct Inbound {
    shared: Arc<Shared>,
    effects: mpsc::Sender<Effect>,
    /// Rung when files were announced.
    files: Arc<Notify>,
    txns: VecDeque<String>,
    /// Events whose effects were begun.
    events: VecDeque<String>,
}

impl Inbound {
    pub(crate) fn new(shared: Arc<Shared>, effects: mpsc::Sender<Effect>, files: Arc<Notify>) -> Self {
        Self { shared, effects, files, txns: VecDeque::new(), events: VecDeque::new() }
    }

    /// Takes transactions until the end.
    pub(crate) async fn run(mut self, mut transactions: mpsc::Receiver<Transaction>, stop: Stop) {
        let remembered = async {
            let mut pause = std::time::Duration::from_millis(100);
            loop {
                match self.shared.memory.read(NOTE).await {
                    Ok(found) => return found,
                    Err(error) => tracing::warn!(%error, "the last transactions cannot be read yet"),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(std::time::Duration::from_secs(10));
            }
        };
        let found = tokio::select! {
            () = stop.stopping() => return,
            found = remembered => found,
        };
        self.txns = found.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        loop {
            let transaction = tokio::select! {
                () = stop.stopping() => return,
                transaction = transactions.recv() => transaction,
            };
            let Some(Transaction { id, body, done }) = transaction else { return };
            let taken = self.take(&id, &body).await;
            // Nobody waits when the homeserver gave up: it will repeat the transaction.
            let _ = done.send(taken);
        }
    }

    async fn take(&mut self, id: &str, body: &[u8]) -> Taken {
        if self.txns.iter().any(|known| known == id) {
            return Taken::Safe;
        }
        let Ok(words) = serde_json::from_slice::<Words>(body) else { return Taken::Odd };
        let mut draft = Draft::default();
        for raw in &words.events {
            if let Err(trouble) = self.event(raw, &mut draft).await {
                tracing::warn!(error = %trouble, "a transaction could not be taken; the homeserver will repeat it");
                return Taken::Not;
            }
        }
        let mut txns = self.txns.clone();
        txns.push_back(id.to_owned());
        while txns.len() > REMEMBERED_TXNS {
            txns.pop_front();
        }
        if let Err(error) = self.commit(&mut draft, &txns).await {
            tracing::warn!(%error, "a transaction could not be stored; the homeserver will repeat it");
            return Taken::Not;
        }
        self.txns = txns;
        if draft.said.iter().any(|said| !said.media.is_empty()) {
            self.files.notify_one();
        }
        for raw in words.ephemeral.as_ref().unwrap_or(&words.unstable_ephemeral) {
            self.take_receipts(raw);
        }
        for effect in draft.effects {
            if self.is_new(&effect) && self.effects.send(effect).await.is_err() {
                break;
            }
        }
        Taken::Safe
    }

    /// Read marks of people; those of ghosts and the bot are our own.
    fn take_receipts(&self, raw: &RawValue) {
        for chore in effects::receipts(raw) {
            if matches!(&chore, Chore::ReadHere { user_id, .. } if self.shared.names.who(user_id) == Who::Human)
            {
                self.shared.chores.add(chore);
            }
        }
    }

    /// One event; whatever it is, it does not fail the transaction by itself.
    async fn event(&self, raw: &RawValue, draft: &mut Draft) -> Result<(), Trouble> {
        match serde_json::from_str::<Event>(raw.get()) {
            Ok(event) => self.shared.read_event(event, draft).await,
            Err(error) => {
                tracing::warn!(%error, bytes = raw.get().len(), "an event of the homeserver cannot be read");
                Ok(())
            }
        }
    }

    async fn commit(&self, draft: &mut Draft, txns: &VecDeque<String>) -> Result<(), FarError> {
        let value = serde_json::to_vec(txns).map(Bytes::from).ok();
        let note = Note { key: NOTE.to_owned(), value, is_secret: false };
        let shared = &self.shared;
        let batch = Batch {
            posts: draft.said.iter().map(|said| said.post.clone()).collect(),
            media: draft.said.iter().flat_map(|said| said.media.clone()).collect(),
            notes: vec![note.clone()],
            ..Batch::default()
        };
        match shared.far.commit(&shared.network, batch).await {
            Err(FarError::Invalid(error)) => {
                tracing::warn!(
                    error,
                    "a transaction cannot be stored whole; its events are stored one by one"
                );
                self.commit_singly(draft).await?;
                shared.memory.save(vec![note]).await
            }
            other => other.map(drop),
        }
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

    /// False for an event whose effect was begun already.
    fn is_new(&mut self, effect: &Effect) -> bool {
        let Some(event_id) = effect.event_id() else { return true };
        if self.events.iter().any(|known| known == event_id) {
            return false;
        }
        if self.events.len() >= REMEMBERED_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event_id.to_owned());
        true
    }
}
