//! Encrypted events on their way in: read, or left to wait for their key.

use std::collections::HashMap;

use serde_json::value::RawValue;
use wxgate_contract::{Note, Timestamp};

use super::effects::Effect;
use super::event::Event;
use super::parked::{AT_ONCE, Waiting, session_of};
use super::{Draft, Inbound, REPEATED, message};
use crate::account::is_said;
use crate::crypto::Opened;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Told when the key of something did not come.
pub(super) const NO_KEY: &str = "the key to read it did not come: send it again";
/// Told where everything has to be encrypted.
pub(super) const IN_CLEAR: &str = "this gateway takes encrypted messages only, and it was sent in clear";

/// Why it is worth looking at what waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Keys came.
    Keys,
    /// Somebody may have waited long enough.
    Time,
}

/// What became of something that waits.
enum Look {
    Done,
    Waits,
    /// It can be read, and by now something from before it as well: the key came between the two looks.
    Overtakes,
}

/// What became of looking through all of it.
enum Seen {
    All,
    /// There may be more to see to.
    More,
    /// A key came meanwhile; nothing was taken.
    KeyCame,
}

/// How an event can be read.
pub(super) enum Reading {
    /// It says what it says.
    Clear,
    /// It says something that is nothing when it was encrypted.
    Nothing,
    NoKey,
    /// Why not, as a clause for people.
    Never(String),
}

impl Inbound {
    /// An event of a person that was not seen to yet.
    pub(super) async fn take_new(
        &self,
        mut event: Event,
        raw: &RawValue,
        draft: &mut Draft,
    ) -> Result<(), Trouble> {
        let shared = &self.shared;
        if message::redacted(&event).is_some_and(|target| self.take_out(&event, target, draft)) {
            return Ok(());
        }
        // Of what comes, and not of what it says.
        let session_id = session_of(&event);
        let waits = |event: &Event, draft: &Draft| {
            Waiting::new(event, session_id.clone(), raw, draft.is_asked_for, shared.clock.now())
        };
        // What is said after something that waits for its key waits as well: it must not come before it.
        let is_held = self.parked.holds(&event.room_id)
            || draft.parked.iter().any(|waiting| waiting.room_id == event.room_id);
        if event.state_key.is_none() && is_held && !self.parked.is_full() {
            draft.parked.push(waits(&event, draft));
            return Ok(());
        }
        let reading = shared.decrypted(&mut event, raw).await?;
        let before = self.parked.last_of((&event.room_id, &session_id));
        if let Some(before) = before.filter(|_| !matches!(reading, Reading::NoKey) && !self.parked.is_full())
            && self.can_be_read(before).await?
        {
            // It goes first.
            draft.parked.push(waits(&event, draft));
            return Ok(());
        }
        match reading {
            Reading::Clear => self.read_into(event, draft).await,
            Reading::Nothing => {
                draft.silent.push(event.event_id);
                Ok(())
            }
            Reading::NoKey if !shared.is_spoken_to(&event.room_id).await? => Ok(()),
            Reading::NoKey if !self.parked.is_full() => {
                draft.parked.push(waits(&event, draft));
                Ok(())
            }
            Reading::NoKey => self.give_up(event, NO_KEY, draft).await,
            Reading::Never(why) => self.give_up(event, &why, draft).await,
        }
    }

    /// What was taken back while it waited is never said, nor is that it was taken back. False when nothing of that
    /// id waits.
    fn take_out(&self, redaction: &Event, target: &str, draft: &mut Draft) -> bool {
        let is_it = |waiting: &Waiting| waiting.event_id == target && waiting.room_id == redaction.room_id;
        let before = draft.parked.len();
        draft.parked.retain(|waiting| !is_it(waiting));
        let stored = self.parked.in_order().find(|waiting| is_it(waiting));
        if stored.is_none() && draft.parked.len() == before {
            return false;
        }
        draft.taken_out.extend(stored.cloned());
        draft.silent.extend([target.to_owned(), redaction.event_id.clone()]);
        true
    }

    /// Takes an event that can be read, if it may be.
    async fn read_into(&self, mut event: Event, draft: &mut Draft) -> Result<(), Trouble> {
        if let Some(taken) = event.taken.take() {
            // What was committed before was seen when it was read.
            if draft.taken.iter().any(|other| other.key == taken.key && other.value != taken.value) {
                return self.give_up(event, REPEATED, draft).await;
            }
            draft.taken.push(taken);
        }
        if self.shared.take_step(&event) {
            draft.silent.push(event.event_id);
            return Ok(());
        }
        if self.shared.must_be_sealed(&event) {
            return self.give_up(event, IN_CLEAR, draft).await;
        }
        let left = |draft: &Draft| (draft.said.len(), draft.effects.len() + draft.questions.len());
        let (event_id, before) = (event.event_id.clone(), left(draft));
        self.shared.read_event(event, draft).await?;
        let after = left(draft);
        // What leaves nothing may come again: the same comes of it.
        if before.0 == after.0 && before.1 != after.1 {
            draft.silent.push(event_id);
        }
        Ok(())
    }

    /// An event that will not be read: its sender hears why, where they spoke to us.
    async fn give_up(&self, event: Event, why: &str, draft: &mut Draft) -> Result<(), Trouble> {
        if self.shared.is_spoken_to(&event.room_id).await? {
            self.shared.turn_down(&event, why, draft).await?;
            draft.silent.push(event.event_id);
        }
        Ok(())
    }

    /// Looks at what waits for keys: takes what can be read by now, tells about what is late, gives up what is
    /// hopeless.
    pub(super) async fn try_parked(&mut self, why: Why) {
        self.parked.looked();
        let (mut why, mut stuck) = (why, Vec::new());
        loop {
            match self.look_through(why, &mut stuck).await {
                Seen::All => return,
                Seen::More => {}
                Seen::KeyCame => why = Why::Keys,
            }
        }
    }

    /// One commit of it. A room that is stuck is left for the next time, and is told in `stuck`.
    async fn look_through(&mut self, why: Why, stuck: &mut Vec<String>) -> Seen {
        let now = self.shared.clock.now();
        let (mut draft, mut gone, mut told) = (Draft::default(), Vec::new(), Vec::new());
        let mut held: Vec<String> = stuck.clone();
        // The last that was left to wait for each key, and nothing of its room behind it: a key that reads an earlier one
        // reads it as well.
        let mut passed: HashMap<(&str, &str), &Waiting> = HashMap::new();
        for waiting in self.parked.in_order() {
            let is_idle = waiting.is_told() && why == Why::Time && !waiting.is_hopeless(now);
            if is_idle {
                passed.insert(waiting.session(), waiting);
            }
            if is_idle || held.contains(&waiting.room_id) {
                continue;
            }
            let before = passed.get(&waiting.session()).copied();
            match self.look_at(waiting, before, now, &mut draft).await {
                Ok(Look::Done) => gone.push(waiting.clone()),
                Ok(Look::Overtakes) => return Seen::KeyCame,
                Ok(Look::Waits) if waiting.is_late(now) => {
                    draft.effects.extend(self.shared.tell_of_wait(waiting).await);
                    told.push(waiting.told());
                    passed.insert(waiting.session(), waiting);
                }
                Ok(Look::Waits) if waiting.is_told() => {
                    passed.insert(waiting.session(), waiting);
                }
                Ok(Look::Waits) => held.push(waiting.room_id.clone()),
                Err(error) => {
                    tracing::warn!(%error, room_id = waiting.room_id, "what waits for its key cannot be looked at yet");
                    // What was read so far is read again: a part of this one may be among it.
                    stuck.push(waiting.room_id.clone());
                    return if error.is_of_all() { Seen::All } else { Seen::More };
                }
            }
            if gone.len() + told.len() >= AT_ONCE {
                break;
            }
        }
        let notes: Vec<Note> = gone.iter().map(Waiting::gone).chain(told.iter().map(Waiting::note)).collect();
        let done = notes.len();
        if done == 0 {
            return Seen::All;
        }
        if let Err(error) = self.commit(&mut draft, notes, false).await {
            tracing::warn!(%error, "what waited for its key cannot be stored yet");
            return Seen::All;
        }
        self.parked.settle(&gone, told);
        self.follow(draft).await;
        if done >= AT_ONCE { Seen::More } else { Seen::All }
    }

    /// One event that waits, and the last from before it that needs the same key and was passed over.
    async fn look_at(
        &self,
        waiting: &Waiting,
        before: Option<&Waiting>,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Result<Look, Trouble> {
        let Some((event, reading)) = self.read(waiting).await? else { return Ok(Look::Done) };
        if let Some(before) = before.filter(|_| !matches!(reading, Reading::NoKey))
            && self.can_be_read(before).await?
        {
            return Ok(Look::Overtakes);
        }
        match reading {
            Reading::Clear => {
                draft.is_asked_for = waiting.is_asked_for;
                self.read_into(event, draft).await?;
            }
            Reading::Nothing => draft.silent.push(event.event_id),
            Reading::NoKey if waiting.is_hopeless(now) => self.give_up(event, NO_KEY, draft).await?,
            Reading::NoKey => return Ok(Look::Waits),
            Reading::Never(why) => self.give_up(event, &why, draft).await?,
        }
        Ok(Look::Done)
    }

    /// What waits, as it can be read now; `None` for what is no event.
    async fn read(&self, waiting: &Waiting) -> Result<Option<(Event, Reading)>, Trouble> {
        let Ok(mut event) = serde_json::from_str::<Event>(waiting.event.get()) else { return Ok(None) };
        event.room_id.clone_from(&waiting.room_id);
        let reading = self.shared.decrypted(&mut event, &waiting.event).await?;
        Ok(Some((event, reading)))
    }

    async fn can_be_read(&self, waiting: &Waiting) -> Result<bool, Trouble> {
        Ok(!matches!(self.read(waiting).await?, Some((_, Reading::NoKey))))
    }
}

impl Shared {
    /// What tells the sender of something that it waits for its key, where they are to hear it.
    async fn tell_of_wait(&self, waiting: &Waiting) -> Option<Effect> {
        let mut event = serde_json::from_str::<Event>(waiting.event.get()).ok()?;
        event.room_id.clone_from(&waiting.room_id);
        // What cannot be told now is told: most who speak there have an account.
        let hears = self.hears_why(&event, "it waits for its key").await.unwrap_or(true);
        let (room_id, event_id) = (event.room_id, event.event_id);
        hears.then_some(Effect::Waiting { room_id, event_id })
    }

    /// True for words in clear where everything has to be encrypted.
    pub(super) fn must_be_sealed(&self, event: &Event) -> bool {
        self.config.encryption_required && !event.is_sealed && message::has_words(event)
    }

    /// Puts what an encrypted event says in its place.
    pub(super) async fn decrypted(&self, event: &mut Event, raw: &RawValue) -> Result<Reading, Trouble> {
        // What was redacted has nothing left to read.
        let is_sealed = event.kind == "m.room.encrypted" && event.content.get("algorithm").is_some();
        if !is_sealed || event.state_key.is_some() {
            return Ok(Reading::Clear);
        }
        Ok(match self.unseal(&event.room_id, raw).await? {
            Opened::Read(kind, ..) if !is_said(&kind) => Reading::Nothing,
            Opened::Read(kind, content, taken) => {
                (event.kind, event.content, event.is_sealed) = (kind, content, true);
                event.taken = taken;
                Reading::Clear
            }
            Opened::NoKey => Reading::NoKey,
            Opened::Never(why) => Reading::Never(why),
        })
    }
}
