//! One event: whose it is, what it is about, and what follows from it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use wxgate_contract::{Author, Body, ChatRef, Note, PendingMedia, Post, RemoteId, Timestamp};

use super::effects::{Addressed, Effect};
use super::message::{self, EditForm, FileHeard, Heard, Sentence};
use super::relay::Echo;
use super::retry;
use super::{Draft, Said};
use crate::choices::{Edits, Reactions};
use crate::config::Level;
use crate::media::Source;
use crate::shared::Shared;
use crate::status::EARLIER;
use crate::trouble::Trouble;

/// What a bridge needs of an event. Source: client-server API, "Room event format".
#[derive(Deserialize)]
pub(crate) struct Event {
    pub(crate) event_id: String,
    /// What is asked for of one room does not name it.
    #[serde(default)]
    pub(crate) room_id: String,
    pub(crate) sender: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) state_key: Option<String>,
    #[serde(default)]
    pub(crate) origin_server_ts: i64,
    #[serde(default)]
    pub(crate) content: Value,
    /// The redacted event, in rooms before version 11.
    #[serde(default)]
    pub(crate) redacts: Option<String>,
    /// It was encrypted.
    #[serde(skip)]
    pub(crate) is_sealed: bool,
    /// The note that it was taken, for something encrypted that was not before.
    #[serde(skip)]
    pub(crate) taken: Option<Note>,
}

impl Event {
    /// It was taken back: nothing of what it said is left. A redaction in rooms before version 11 has no content
    /// either. Source: client-server API, "Redactions".
    pub(super) fn is_taken_back(&self) -> bool {
        let is_empty = self.content.as_object().is_none_or(serde_json::Map::is_empty);
        is_empty && self.state_key.is_none() && self.redacts.is_none()
    }
}

impl Shared {
    /// Reads one event into the draft.
    pub(super) async fn read_event(&self, event: Event, draft: &mut Draft) -> Result<(), Trouble> {
        if event.state_key.is_some() {
            if let Some(effect) = Effect::of_state(self, &event)
                && self.matters(&effect).await?
            {
                draft.effects.push(effect);
            }
            return Ok(());
        }
        match self.chat_for(&event.room_id, &event.sender).await? {
            // What was said in a room before it was handed over was said to others.
            Some(chat) if draft.is_asked_for && self.is_before(&event, &chat).await? => Ok(()),
            Some(chat) => self.read_said(event, &chat, draft).await,
            None => {
                if let Some(question) = addressed(&event)
                    && (question.has_prefix || self.may_be_asked(&event.room_id).await)
                {
                    draft.questions.push(question);
                }
                Ok(())
            }
        }
    }

    /// True for what was said in a room before it mirrored the chat.
    async fn is_before(&self, event: &Event, chat: &ChatRef) -> Result<bool, Trouble> {
        let room = self.memory.room_of(chat).await?;
        Ok(room.is_some_and(|room| event.origin_server_ts < room.since))
    }

    /// Something said in a room that mirrors a chat.
    async fn read_said(&self, event: Event, chat: &Arc<ChatRef>, draft: &mut Draft) -> Result<(), Trouble> {
        let event = match message::command(&event) {
            None => event,
            Some(command) if retry::is_meant(command) => match self.said_again(&event).await {
                Ok(mut again) => {
                    draft.taken.extend(again.taken.take());
                    again
                }
                Err(why) => return self.turn_down(&event, &why, draft).await,
            },
            Some(_) => {
                draft.questions.extend(addressed(&event));
                return Ok(());
            }
        };
        let choices = self.choices_of_owner(&chat.network).await?;
        if event.kind == "m.reaction" && choices.reactions == Reactions::Drop {
            return Ok(());
        }
        let replaces = match message::edits(&event) {
            Some(target) if choices.edits == Edits::Replace => self.can_still_recall(&event, target).await,
            _ => false,
        };
        let form = if replaces { EditForm::New } else { EditForm::Answer };
        let heard = match message::hear(&event, form) {
            Heard::Nothing => return Ok(()),
            Heard::NotHere(why) => return self.turn_down(&event, why, draft).await,
            Heard::Said(heard) => *heard,
        };
        if matches!(&heard.body, Body::Text { text } | Body::Action { text } if text.trim().is_empty()) {
            return Ok(());
        }
        if self.config.permissions.of(&event.sender) == Level::Nobody {
            return self.turn_down(&event, "you have no permission to use this gateway", draft).await;
        }
        let limit = self.config.max_media_bytes;
        if heard.file.as_ref().is_some_and(|file| file.bytes > limit) {
            let why = format!("it is larger than the limit of {} MiB", limit >> 20);
            return self.turn_down(&event, &why, draft).await;
        }
        let Some(author) = self.author(&event.room_id, &event.sender, chat).await? else {
            return self.turn_down(&event, "only the owner of the account can speak here", draft).await;
        };
        if author != Author::Owner && self.goes_round(&event, &heard.body, draft).await? {
            return Ok(());
        }
        if replaces && let Some(target) = message::edits(&event) {
            let target = self.replaced_by(&event, target, draft).await?;
            draft.said.push(earlier(&event, chat, author.clone(), &target));
        }
        let Sentence { mut body, reply_to, pills, everybody, file } = heard;
        if let Body::Recall { target: Some(target), .. } = &mut body {
            if let Some(now) = self.version_of(target.as_str(), draft).await? {
                *target = RemoteId::new(now);
            }
            *target = self.known_as(&event.room_id, target.as_str(), chat, None).await?;
        } else if let Some(sharing) = self.sharing_in(chat, &event.room_id).await? {
            draft.typed.push(self.typed_note(&sharing, chat, &event.event_id, &body));
        }
        let quote = match reply_to {
            Some(target) => Some(self.quote(&event.room_id, target, chat).await?),
            None => None,
        };
        let mut mentions = self.mentions(pills, everybody, chat).await?;
        self.add_typed(&body, chat, &mut mentions).await?;
        let post = Post {
            remote_id: RemoteId::new(event.event_id),
            chat: (**chat).clone(),
            author,
            at: Timestamp(event.origin_server_ts),
            mentions,
            body,
            quote,
            echo_of: None,
        };
        let media = file.map(|file| pending(file, &event.room_id)).into_iter().collect();
        draft.said.push(Said { room_id: event.room_id, post, media });
        Ok(())
    }
}

impl Shared {
    /// True for words that two bridges say to each other again and again; a relay does not join in.
    async fn goes_round(&self, event: &Event, body: &Body, draft: &mut Draft) -> Result<bool, Trouble> {
        let (Body::Text { text } | Body::Action { text }) = body else { return Ok(false) };
        match self.relayed.round(&event.room_id, text, self.clock.now()) {
            Echo::No => return Ok(false),
            Echo::Begins => {
                let why = "your words came back here again and again, with one more name each time: is there another bridge in this room?";
                self.turn_down(event, why, draft).await?;
            }
            // One that is told each time would be answered each time.
            Echo::GoesOn => {}
        }
        Ok(true)
    }
}

/// How long WeChat lets one recall what one said.
/// Source: the protocol sheet, section 2.26 (two minutes).
const RECALL_MS: i64 = 120_000;

impl Shared {
    /// Whether what an edit changes was said by the same person shortly before it.
    /// Source: client-server API, "Validity of replacement events".
    async fn can_still_recall(&self, event: &Event, target: &str) -> bool {
        // Whatever the homeserver says: an edit whose original is not to be had is an answer to it.
        let original = self.event_of(&event.room_id, target).await.unwrap_or_default();
        // Clients pass over an edit of somebody else's words; whoever sends one must not take them back.
        if original.get("sender").and_then(Value::as_str) != Some(event.sender.as_str()) {
            return false;
        }
        let said_at = original.get("origin_server_ts").and_then(Value::as_i64);
        said_at.is_some_and(|at| (0..RECALL_MS).contains(&(event.origin_server_ts - at)))
    }
}

/// The recall of what an edit takes the place of.
fn earlier(event: &Event, chat: &ChatRef, author: Author, target: &str) -> Said {
    let post = Post {
        remote_id: RemoteId::new(format!("{}{EARLIER}", event.event_id)),
        chat: chat.clone(),
        author,
        at: Timestamp(event.origin_server_ts),
        mentions: Vec::new(),
        body: Body::Recall { target: Some(RemoteId::new(target)), notice: String::new() },
        quote: None,
        echo_of: None,
    };
    Said { room_id: event.room_id.clone(), post, media: Vec::new() }
}

/// The announcement of a file.
fn pending(file: FileHeard, room_id: &str) -> PendingMedia {
    let source = Source { url: file.url, file: file.file, room_id: room_id.to_owned() };
    // Our own type always has a JSON form.
    let source = serde_json::to_vec(&source).unwrap_or_default();
    PendingMedia { media: file.media, source: source.into(), name: file.name, mime: file.mime }
}

impl Shared {
    /// Something does not cross: its sender is to hear why.
    pub(super) async fn turn_down(&self, event: &Event, why: &str, draft: &mut Draft) -> Result<(), Trouble> {
        if self.hears_why(event, why).await? {
            let (room_id, event_id) = (event.room_id.clone(), event.event_id.clone());
            draft.effects.push(Effect::Refusal { room_id, event_id, why: why.to_owned() });
        }
        Ok(())
    }
}

/// Text that is meant for the bot.
fn addressed(event: &Event) -> Option<Addressed> {
    let command = message::command(event);
    let text = command.or_else(|| message::plain_text(event))?.to_owned();
    Some(Addressed {
        room_id: event.room_id.clone(),
        event_id: event.event_id.clone(),
        sender: event.sender.clone(),
        text,
        has_prefix: command.is_some(),
        reply_to: message::reply_to(&event.content).map(str::to_owned),
    })
}
