//! What follows from events and must not be lost: a change of a room, a refusal that its sender has to
//! hear. It is a note in the commit that takes the event, and the note goes when it was done. What is
//! done twice after a crash is the same the second time.
//!
//! It is done in the order of the events, but for what is asked of accounts and what is only said: each account has a
//! lane of its own, so that one that does not answer keeps nobody else waiting, and words have one, so that a
//! homeserver that counts them keeps nothing else back.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use wxgate_contract::{BoxFuture, NetworkId, Note, Stop};

use super::changes::Told;
use super::effects::{EFFECTS, Effect};
use crate::client::CallError;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What the notes' keys begin with.
const PREFIX: &str = "todo/";
/// Notes read at once.
const PAGE: usize = 200;
/// Tries of one thing, those aside that found the homeserver away. Chosen: one room that cannot be
/// reached must not hold up what follows from others' events for long.
const TRIES: u32 = 3;
/// Pause before the first further try; doubles.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Changes that may wait for one account. Chosen: what somebody changes by hand while the account thinks; what comes on
/// top is refused, and put right in the room.
const CHANGES: usize = 16;
/// Accounts that are asked at once. Chosen: as many as may be slow together; the others are refused as well.
const ACCOUNTS: usize = 64;
/// Words that may wait where one account says everything. Chosen: at five seconds each they are some minutes old.
const WORDS: usize = 32;

/// Something to do, and the key of the note that keeps it until it is done.
pub(crate) struct Task {
    note: String,
    effect: Effect,
}

/// Numbers the notes.
#[derive(Default)]
pub(super) struct Todo {
    next: u64,
}

impl Todo {
    /// Goes on counting where the notes of earlier runs ended.
    pub(super) fn from(next: u64) -> Self {
        Self { next }
    }

    /// Takes what is to be done out of `effects`; gives what has to be committed for it.
    pub(super) fn write(&mut self, effects: &mut Vec<Effect>, tasks: &mut Vec<Task>) -> Vec<Note> {
        let mut notes = Vec::new();
        for effect in effects.drain(..) {
            self.next += 1;
            let key = key(self.next);
            notes.push(note(&key, &effect));
            tasks.push(Task { note: key, effect });
        }
        notes
    }
}

fn note(key: &str, effect: &Effect) -> Note {
    // Our own types always have a JSON form.
    let value = serde_json::to_vec(effect).unwrap_or_default();
    Note { key: key.to_owned(), value: Some(Bytes::from(value)), is_secret: false }
}

/// In the order of their numbers, as far as anybody counts.
fn key(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

/// Does first what an earlier run left, then what comes, until the end. `begin` hears where counting goes on.
pub(crate) async fn run(
    shared: std::sync::Arc<Shared>,
    (mut tasks, begin): (mpsc::Receiver<Task>, oneshot::Sender<u64>),
    stop: Stop,
) {
    let work = async {
        let (left, last) = shared.left_to_do().await;
        // Whoever waits for it ends only with the run.
        let _ = begin.send(last);
        let mut lanes = Lanes { shared: &shared, waiting: HashMap::new(), busy: FuturesUnordered::new() };
        for task in left {
            lanes.has_room().await;
            lanes.add(task).await;
        }
        loop {
            lanes.has_room().await;
            tokio::select! {
                task = tasks.recv() => match task {
                    Some(task) => lanes.add(task).await,
                    None => return,
                },
                Some(lane) = lanes.busy.next(), if !lanes.busy.is_empty() => lanes.go_on(lane),
            }
        }
    };
    tokio::select! {
        () = stop.stopping() => {}
        () = work => {}
    }
}

/// Where something waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// What is only said to somebody.
    Words,
    /// What is asked of an account.
    Of(NetworkId),
    Rest,
}

/// What is to be done, in lanes; in each of them one thing after the other.
struct Lanes<'a> {
    shared: &'a Shared,
    /// What waits behind the one that is being done.
    waiting: HashMap<Lane, VecDeque<Task>>,
    /// The lanes in which something is done.
    busy: FuturesUnordered<BoxFuture<'a, Lane>>,
}

impl Lanes<'_> {
    /// Waits until the lane of everything that is asked of nobody has room, and that of words where none are dropped.
    async fn has_room(&mut self) {
        while self.has(&Lane::Rest, EFFECTS) || (self.has(&Lane::Words, EFFECTS) && !self.drops_words()) {
            let Some(lane) = self.busy.next().await else { return };
            self.go_on(lane);
        }
    }

    /// True where so many wait in a lane.
    fn has(&self, lane: &Lane, many: usize) -> bool {
        self.waiting.get(lane).is_some_and(|waiting| waiting.len() >= many)
    }

    /// An ordinary account may say little; an application service says all that it has to.
    fn drops_words(&self) -> bool {
        self.shared.config.account.is_some()
    }

    async fn add(&mut self, mut task: Task) {
        let mut lane = self.lane_of(&task.effect).await;
        let is_full = match self.waiting.get(&lane) {
            Some(waiting) => waiting.len() >= CHANGES,
            None => self.waiting.len() > ACCOUNTS + 1,
        };
        if let Effect::Changed(change) = &task.effect
            && matches!(lane, Lane::Of(_))
            && is_full
        {
            let why = "too much is being changed while the account does not answer";
            let told = Told::Refused(why.to_owned());
            (task.effect, lane) = (Effect::Answered { change: change.clone(), told }, Lane::Rest);
        }
        if self.drops_words() && lane == Lane::Words && self.has(&lane, WORDS) {
            tracing::warn!("more is to be told than the homeserver lets the account say; a word is dropped");
            return self.shared.forget_task(task.note).await;
        }
        match self.waiting.get_mut(&lane) {
            Some(waiting) => waiting.push_back(task),
            None => {
                self.waiting.insert(lane.clone(), VecDeque::new());
                self.begin(lane, task);
            }
        }
    }

    /// Where something waits. What is being done goes on meanwhile: it may hold what the lookup needs.
    async fn lane_of(&mut self, effect: &Effect) -> Lane {
        let change = match effect {
            Effect::Changed(change) => change,
            Effect::Refusal { .. } | Effect::Waiting { .. } => return Lane::Words,
            _ => return Lane::Rest,
        };
        let account = self.shared.account_of(change);
        tokio::pin!(account);
        loop {
            tokio::select! {
                account = &mut account => return account.map_or(Lane::Rest, Lane::Of),
                Some(lane) = self.busy.next(), if !self.busy.is_empty() => self.go_on(lane),
            }
        }
    }

    fn begin(&mut self, lane: Lane, task: Task) {
        let shared = self.shared;
        self.busy.push(Box::pin(async move {
            shared.see_through(task).await;
            lane
        }));
    }

    /// The next one of a lane.
    fn go_on(&mut self, lane: Lane) {
        match self.waiting.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(next) => self.begin(lane, next),
            None => drop(self.waiting.remove(&lane)),
        }
    }
}

impl Shared {
    /// What an earlier run left, and the number of the last of it.
    async fn left_to_do(&self) -> (Vec<Task>, u64) {
        let mut pause = PAUSE;
        loop {
            match self.read_todo().await {
                Ok(found) => return found,
                Err(error) => tracing::warn!(%error, "what was left to do cannot be read yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn read_todo(&self) -> Result<(Vec<Task>, u64), Trouble> {
        let (mut left, mut last, mut after) = (Vec::new(), 0, None::<String>);
        loop {
            let page = self.far.notes(&self.network, PREFIX, after.as_deref(), PAGE).await?;
            let Some((newest, _)) = page.last() else { return Ok((left, last)) };
            last = newest.strip_prefix(PREFIX).and_then(|number| number.parse().ok()).unwrap_or(last);
            after = Some(newest.clone());
            for (key, bytes) in page {
                match serde_json::from_slice(&bytes) {
                    Ok(effect) => left.push(Task { note: key, effect }),
                    Err(error) => {
                        tracing::warn!(%error, "something that was left to do cannot be read any more");
                        self.memory.save(vec![Note { key, value: None, is_secret: false }]).await?;
                    }
                }
            }
        }
    }

    /// Does one thing, and forgets it then.
    async fn see_through(&self, task: Task) {
        let Task { note: key, mut effect } = task;
        let mut reach = self.client.reach();
        let (mut pause, mut tries) = (PAUSE, 0);
        loop {
            // An error means that the client is gone, which is the end of the run.
            let _ = reach.wait_for(|is_there| *is_there).await;
            let error = match self.follow_up(&effect).await {
                Ok(None) => break,
                Ok(Some(rest)) => {
                    effect = rest;
                    if let Err(error) = self.memory.save(vec![note(&key, &effect)]).await {
                        tracing::warn!(%error, "what was done of something cannot be written down yet");
                    }
                    continue;
                }
                Err(error) => error,
            };
            if let Trouble::Call(CallError::Limited { after, .. }) = error {
                tracing::info!(after_ms = after.as_millis(), "what follows from an event waits: slow down");
                tokio::time::sleep(after).await;
                continue;
            }
            tries += 1;
            if tries >= TRIES || !error.is_passing() {
                tracing::warn!(%error, "something that follows from an event could not be done");
                break;
            }
            tracing::info!(%error, "something that follows from an event is tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.forget_task(key).await;
    }

    async fn forget_task(&self, key: String) {
        if let Err(error) = self.memory.save(vec![Note { key, value: None, is_secret: false }]).await {
            tracing::warn!(%error, "what was done cannot be forgotten yet; it is done again at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_lost_is_written_in_order_and_can_be_read_again() {
        let (room_id, event_id) = ("!r:x".to_owned(), "$e".to_owned());
        let refusal =
            Effect::Refusal { room_id: room_id.clone(), event_id: event_id.clone(), why: "so".into() };
        let left = Effect::Left { room_id, event_id, user_id: "@a:x".to_owned() };
        let (mut todo, mut tasks) = (Todo::from(9), Vec::new());
        let notes = todo.write(&mut vec![refusal.clone(), left.clone()], &mut tasks);
        let read: Vec<Effect> =
            notes.iter().map(|note| serde_json::from_slice(note.value.as_ref().unwrap()).unwrap()).collect();
        assert_eq!(read, [refusal, left]);
        assert!(notes[0].key < notes[1].key && notes[0].key == key(10));
        assert_eq!(tasks.len(), 2);
    }
}
