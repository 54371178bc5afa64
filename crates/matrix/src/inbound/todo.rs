//! What follows from events and must not be lost: a change of a room, a refusal that its sender has to
//! hear. It is a note in the commit that takes the event, and the note goes when it was done. What is
//! done twice after a crash is the same the second time.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use wxgate_contract::{Note, Stop};

use super::effects::{Addressed, Effect};
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

/// Something to do, and the note that keeps it until it is done.
pub(crate) struct Task {
    note: Option<String>,
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
            let note = effect.is_lasting().then(|| {
                self.next += 1;
                key(self.next)
            });
            if let Some(key) = &note {
                // Our own types always have a JSON form.
                let value = serde_json::to_vec(&effect).unwrap_or_default();
                notes.push(Note { key: key.clone(), value: Some(Bytes::from(value)), is_secret: false });
            }
            tasks.push(Task { note, effect });
        }
        notes
    }
}

/// In the order of their numbers, as far as anybody counts.
fn key(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

/// Does first what an earlier run left, then what comes, in order, until the end. `begin` hears where
/// counting goes on.
pub(crate) async fn run(
    shared: std::sync::Arc<Shared>,
    (mut tasks, begin): (mpsc::Receiver<Task>, oneshot::Sender<u64>),
    addressed: mpsc::Sender<Addressed>,
    stop: Stop,
) {
    let work = async {
        let (left, last) = shared.left_to_do().await;
        // Whoever waits for it ends only with the run.
        let _ = begin.send(last);
        for task in left {
            shared.see_through(task, &addressed).await;
        }
        while let Some(task) = tasks.recv().await {
            shared.see_through(task, &addressed).await;
        }
    };
    tokio::select! {
        () = stop.stopping() => {}
        () = work => {}
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
                    Ok(effect) => left.push(Task { note: Some(key), effect }),
                    Err(error) => {
                        tracing::warn!(%error, "something that was left to do cannot be read any more");
                        self.memory.save(vec![Note { key, value: None, is_secret: false }]).await?;
                    }
                }
            }
        }
    }

    /// Does one thing, and forgets it then.
    async fn see_through(&self, task: Task, addressed: &mpsc::Sender<Addressed>) {
        let Task { note, effect } = task;
        let mut reach = self.client.reach();
        let (mut pause, mut tries) = (PAUSE, 0);
        loop {
            if note.is_some() {
                // An error means that the client is gone, which is the end of the run.
                let _ = reach.wait_for(|is_there| *is_there).await;
            }
            let done = self.follow_up(&effect, addressed).await;
            let Err(error) = done else { break };
            if let Trouble::Call(CallError::Limited { after, .. }) = error {
                tracing::info!(after_ms = after.as_millis(), "what follows from an event waits: slow down");
                tokio::time::sleep(after).await;
                continue;
            }
            tries += 1;
            if note.is_none() || tries >= TRIES || !error.is_passing() {
                tracing::warn!(%error, "something that follows from an event could not be done");
                break;
            }
            tracing::info!(%error, "something that follows from an event is tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let Some(key) = note else { return };
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
