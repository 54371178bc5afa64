//! Encrypted messages whose key has not come, and what was said after them in the same room.
//!
//! Each is a note until it was read or given up, so neither a crash nor a restart loses it. What follows in a
//! room waits for it for a while, because order matters more than a few seconds; then the sender is told, the
//! rest goes on, and the key may still come.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use wxgate_contract::{Note, Timestamp};

use super::event::Event;
use crate::shared::Shared;

/// What the notes' keys begin with.
const PREFIX: &str = "parked/";
/// Notes read at once.
const PAGE: usize = 200;
/// Events that may wait. Chosen: an hour of a lively instance without any key; beyond it senders are told at once.
const MOST: usize = 10_000;
/// How long what follows waits as well, and after which the sender is told. Chosen: clients send the key first,
/// and a homeserver that is well hands it over within a second.
const HOLDS_MS: i64 = 5_000;
/// When a key is not waited for any longer. Chosen: a client that was cut off in the middle is back by then, and
/// whoever wrote still remembers it.
const HOPELESS_MS: i64 = 600_000;
/// How often it is looked at without a reason.
const LOOK: Duration = Duration::from_secs(1);
/// Events that are read in one commit.
pub(super) const AT_ONCE: usize = 100;

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    #[serde(skip)]
    number: u64,
    pub(super) event_id: String,
    pub(super) room_id: String,
    pub(super) is_asked_for: bool,
    /// Whose key it needs; empty where it is not known. Source: client-server API, `m.megolm.v1.aes-sha2`.
    #[serde(default)]
    session_id: String,
    /// Since when, in milliseconds.
    since: i64,
    /// Its sender was told.
    #[serde(default)]
    is_told: bool,
    pub(super) event: Box<RawValue>,
}

impl Waiting {
    pub(super) fn new(
        event: &Event,
        session_id: String,
        raw: &RawValue,
        is_asked_for: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            number: 0,
            event_id: event.event_id.clone(),
            room_id: event.room_id.clone(),
            is_asked_for,
            session_id,
            since: now.ms(),
            is_told: false,
            event: raw.to_owned(),
        }
    }

    fn age(&self, now: Timestamp) -> i64 {
        now.ms().saturating_sub(self.since)
    }

    /// Its sender should hear that it waits.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        !self.is_told && self.age(now) >= HOLDS_MS
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// The same, and its sender was told.
    pub(super) fn told(&self) -> Self {
        Self { is_told: true, ..self.clone() }
    }

    /// Nobody waits for it any longer.
    pub(super) fn is_hopeless(&self, now: Timestamp) -> bool {
        self.age(now) >= HOPELESS_MS
    }

    /// The key that it needs, and for which room.
    pub(super) fn session(&self) -> (&str, &str) {
        (&self.room_id, &self.session_id)
    }

    fn key(&self) -> String {
        format!("{PREFIX}{:020}", self.number)
    }

    pub(super) fn note(&self) -> Note {
        // Our own types always have a JSON form.
        let value = Some(Bytes::from(serde_json::to_vec(self).unwrap_or_default()));
        Note { key: self.key(), value, is_secret: false }
    }

    /// The note that forgets it.
    pub(super) fn gone(&self) -> Note {
        Note { key: self.key(), value: None, is_secret: false }
    }
}

/// The session with whose key an event is encrypted; empty where it names none.
pub(super) fn session_of(event: &Event) -> String {
    event.content.get("session_id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: BTreeMap<u64, Waiting>,
    last: u64,
    /// When it was looked at last.
    looked: Option<Instant>,
}

impl Parked {
    /// What an earlier run left. Time that nobody could spend waiting does not count.
    pub(super) async fn load(shared: &Shared) -> Self {
        let mut pause = Duration::from_millis(100);
        loop {
            match Self::try_load(shared).await {
                Ok(parked) => return parked,
                Err(error) => tracing::warn!(%error, "what waits for its key cannot be read yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn try_load(shared: &Shared) -> Result<Self, wxgate_contract::FarError> {
        let now = shared.clock.now();
        let mut parked = Self::default();
        let mut after: Option<String> = None;
        loop {
            let page = shared.memory.page(PREFIX, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(parked) };
            after = Some(last.clone());
            for (key, bytes) in &page {
                let number =
                    key.strip_prefix(PREFIX).and_then(|number| number.parse().ok()).unwrap_or_default();
                parked.last = parked.last.max(number);
                match serde_json::from_slice::<Waiting>(bytes) {
                    Ok(waiting) => {
                        let waiting = Waiting { number, since: now.ms(), ..waiting };
                        parked.waiting.insert(number, waiting);
                    }
                    Err(error) => tracing::warn!(%error, "something that waits cannot be read any more"),
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    pub(super) fn knows(&self, event_id: &str) -> bool {
        self.waiting.values().any(|waiting| waiting.event_id == event_id)
    }

    /// True when what is said in the room now has to wait behind something.
    pub(super) fn holds(&self, room_id: &str) -> bool {
        self.waiting.values().any(|waiting| waiting.room_id == room_id && !waiting.is_told)
    }

    /// The last that waits for a key, although nothing has to wait behind it any more: a key that reads an earlier one
    /// reads it as well.
    pub(super) fn last_of(&self, session: (&str, &str)) -> Option<&Waiting> {
        let is_it = |waiting: &&Waiting| waiting.is_told && waiting.session() == session;
        self.waiting.values().rev().find(is_it).filter(|_| !session.1.is_empty())
    }

    /// Waits until it is worth looking. Cancel safe.
    pub(super) async fn due(&self) {
        if let Some(looked) = self.looked {
            tokio::time::sleep_until(looked + LOOK).await;
        }
    }

    pub(super) fn looked(&mut self) {
        self.looked = Some(Instant::now());
    }

    /// Gives those that are about to be committed their places; gives their notes.
    pub(super) fn number(&self, parked: &mut [Waiting]) -> Vec<Note> {
        let numbered = parked.iter_mut().zip(self.last + 1..).map(|(waiting, number)| {
            waiting.number = number;
            waiting.note()
        });
        numbered.collect()
    }

    /// They are safe.
    pub(super) fn add(&mut self, parked: Vec<Waiting>) {
        for waiting in parked {
            self.last = self.last.max(waiting.number);
            self.waiting.insert(waiting.number, waiting);
        }
    }

    pub(super) fn in_order(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }

    /// Those wait no longer, these know it.
    pub(super) fn settle(&mut self, gone: &[Waiting], told: Vec<Waiting>) {
        for waiting in gone {
            self.waiting.remove(&waiting.number);
        }
        self.waiting.extend(told.into_iter().map(|waiting| (waiting.number, waiting)));
    }
}
