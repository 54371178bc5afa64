//! Deliveries → events. One outcome each; the lane repeats what did not work.

mod ask_back;
mod recall;
mod render;
mod split;
pub(crate) mod voice;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use wxgate_contract::{Author, Body, ChatRef, Delivery, Job, Outcome, PersonRef, RemoteId, Say};

use crate::account::{Opening, may_be_sealed};
use crate::api::event::Newest;
use crate::media::Showing;
use crate::memory::Room;
use crate::names::Who;
use crate::puppet::is_marked;
use crate::shared::Shared;
use crate::speak::{Speaker, Utterance, txn_id};
use crate::trouble::Trouble;
use render::Rendered;

/// Holds the transaction id in the content of what is said, for when the homeserver has forgotten it.
pub(crate) const MARK: &str = "wxgate.txn";
/// Events among which an earlier attempt is looked for. Chosen: a lane goes on with the delivery that
/// it broke off, so what stands behind it was said by others meanwhile.
const LATELY: u32 = 100;

impl Shared {
    /// Carries out one delivery.
    pub(crate) async fn carry_out(&self, delivery: &Delivery) -> Outcome {
        let Some(chat) = ChatRef::mirrored_by(&delivery.chat) else {
            let why = "the delivery names no chat of an account".to_owned();
            return Outcome::Refused { why };
        };
        if let Some(after) = self.client.pause() {
            // Others were told to slow down: asking again would only be told the same.
            return Outcome::TryLater { after, why: "the homeserver asks to slow down".to_owned() };
        }
        let done = match &delivery.job {
            Job::Say(say) => self.deliver(&chat, say, delivery.attempt).await,
            Job::Recall { remote_ids, .. } => self.recall(&chat, remote_ids).await,
            Job::Report(report) => self.report(&chat, report).await.map(|()| Vec::new()),
        };
        match done {
            Ok(remote_ids) => Outcome::Sent { remote_ids },
            Err(trouble) => trouble.outcome(delivery.attempt),
        }
    }

    async fn deliver(&self, chat: &ChatRef, say: &Say, attempt: u32) -> Result<Vec<RemoteId>, Trouble> {
        if let Body::FriendRequest { name, greeting } = &say.post.body {
            return self.show_request(chat, say, (name, greeting)).await;
        }
        let room = self.room(chat).await?;
        if room.owner_left {
            self.ask_back(&room).await?;
        }
        if let Some(sharing) = self.sharing(&room).await? {
            return Box::pin(self.deliver_shared(&sharing, room, say, attempt)).await;
        }
        let speaker = self.speaker(&say.post.author, chat).await?;
        self.say_post(room, &speaker, say, attempt).await
    }

    /// Says a post in a room.
    pub(crate) async fn say_post(
        &self,
        room: Arc<Room>,
        speaker: &Speaker,
        say: &Say,
        attempt: u32,
    ) -> Result<Vec<RemoteId>, Trouble> {
        let showing = Showing { attempt, is_sealed: self.seals(&room.room_id).await? };
        let contents = self.render(&room.chat, say, showing).await?;
        let txn = |n: usize| txn_id(&say.post, &n.to_string());
        let events = self.say_parts(room, speaker, contents, txn, (say, attempt > 1)).await?;
        Ok(events.into_iter().map(RemoteId::new).collect())
    }

    /// Says the parts of a post; one that was said in an earlier attempt is found and not said again.
    pub(crate) async fn say_parts(
        &self,
        mut room: Arc<Room>,
        speaker: &Speaker,
        contents: Vec<Rendered>,
        txn: impl Fn(usize) -> String,
        (say, is_repeated): (&Say, bool),
    ) -> Result<Vec<String>, Trouble> {
        let said = if is_repeated { self.said_lately(&room).await? } else { BTreeMap::new() };
        let voice = self.voice(&say.post.author, &room.chat).await?;
        let mut events = Vec::with_capacity(contents.len());
        for (n, mut rendered) in contents.into_iter().enumerate() {
            let txn_id = txn(n);
            if let Some(event_id) = said.get(&txn_id) {
                events.push(event_id.clone());
                continue;
            }
            if let Some(voice) = &voice {
                voice.give(&mut rendered);
            }
            let (kind, mut content) = rendered;
            content[MARK] = txn_id.as_str().into();
            let what = Utterance { kind, content, txn_id, at: Some(say.post.at) };
            let (event_id, now) = self.say(room, speaker, &what).await?;
            room = now;
            events.push(event_id);
        }
        Ok(events)
    }

    /// What of ours stands in a room already, by transaction id. A homeserver forgets those sooner
    /// (memory alone) or later (a day); what it was asked before a long pause may have been done.
    async fn said_lately(&self, room: &Room) -> Result<BTreeMap<String, String>, Trouble> {
        let newest = Newest { room_id: &room.room_id, limit: LATELY };
        let events = match self.client.call(self.bot(), &newest).await {
            Ok(newest) => newest.chunk,
            Err(error) if error.is_passing() => return Err(error.into()),
            // The room is lost, which the send itself will see.
            Err(_) => return Ok(BTreeMap::new()),
        };
        let mut said = BTreeMap::new();
        for event in events {
            said.extend(self.mark_of(&self.opened(&room.room_id, event).await));
        }
        Ok(said)
    }

    /// An event of a room as it was meant.
    pub(crate) async fn opened(&self, room_id: &str, event: Value) -> Value {
        let Some(account) = &self.config.account else { return event };
        let Ok(raw) = serde_json::value::to_raw_value(&event) else { return event };
        let is_sealed = event.get("type").is_some_and(|kind| kind == "m.room.encrypted");
        let Opening::Read(opened) = account.open_event(room_id, raw).await else { return event };
        match is_sealed && !may_be_sealed(&opened) {
            true => event,
            false => serde_json::from_str(opened.get()).unwrap_or(event),
        }
    }

    /// The transaction id in an event of ours, and the event's id.
    pub(crate) fn mark_of(&self, event: &Value) -> Option<(String, String)> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let content = event.get("content")?;
        // Anybody could write such a mark.
        let is_ours = self.names.who(event.get("sender")?.as_str()?) != Who::Human || is_marked(content);
        let (mark, event_id) = (content.get(MARK).and_then(word)?, event.get("event_id").and_then(word)?);
        is_ours.then_some((mark, event_id))
    }

    /// Who says it in the room.
    pub(crate) async fn speaker(&self, author: &Author, chat: &ChatRef) -> Result<Speaker, Trouble> {
        Ok(match author {
            _ if !self.names.has_ghosts() => Speaker::Bot,
            Author::Network | Author::Gateway => Speaker::Bot,
            Author::Owner => self.speaker_of_owner(&chat.network).await?,
            Author::Person { person, name } => {
                let person = PersonRef { network: chat.network.clone(), person: person.clone() };
                Speaker::Ghost(self.ghost(&person, name).await?)
            }
        })
    }
}
