//! One event: whose it is, what it is about, and what follows from it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use wxgate_contract::{Body, ChatRef, Post, Quote, RemoteId, Timestamp};

use super::effects::Effect;
use super::message::{self, Heard};
use super::{Draft, Said};
use crate::config::Level;
use crate::names::Who;
use crate::puppet;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What a bridge needs of an event. Source: client-server API, "Room event format".
#[derive(Deserialize)]
pub(super) struct Event {
    pub(super) event_id: String,
    pub(super) room_id: String,
    pub(super) sender: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) state_key: Option<String>,
    #[serde(default)]
    pub(super) origin_server_ts: i64,
    #[serde(default)]
    pub(super) content: Value,
    /// The redacted event, in rooms before version 11.
    #[serde(default)]
    pub(super) redacts: Option<String>,
}

impl Shared {
    /// Reads one event into the draft.
    pub(super) async fn read_event(&self, event: Event, draft: &mut Draft) -> Result<(), Trouble> {
        // Our own ghosts' events come back to us, and what was said through puppets as well.
        if self.names.who(&event.sender) != Who::Human || puppet::is_marked(&event.content) {
            return Ok(());
        }
        if event.state_key.is_some() {
            draft.effects.extend(Effect::of_state(self, &event));
            return Ok(());
        }
        match self.chat_of(&event.room_id).await? {
            Some(chat) => self.read_said(event, &chat, draft).await,
            None => {
                draft.effects.extend(addressed(&event));
                Ok(())
            }
        }
    }

    /// Something said in a room that mirrors a chat.
    async fn read_said(&self, event: Event, chat: &Arc<ChatRef>, draft: &mut Draft) -> Result<(), Trouble> {
        if message::command(&event).is_some() {
            draft.effects.extend(addressed(&event));
            return Ok(());
        }
        let heard = match message::hear(&event) {
            Heard::Nothing => return Ok(()),
            Heard::NotHere(why) => {
                draft.effects.push(refusal(&event, why));
                return Ok(());
            }
            Heard::Said(heard) => *heard,
        };
        if self.config.permissions.of(&event.sender) == Level::Nobody {
            draft.effects.push(refusal(&event, "you have no permission to use this gateway"));
            return Ok(());
        }
        let Some(author) = self.author(&event.sender, chat).await? else {
            draft.effects.push(refusal(&event, "only the owner of the account can speak here"));
            return Ok(());
        };
        let post = Post {
            remote_id: RemoteId::new(event.event_id),
            chat: (**chat).clone(),
            author,
            at: Timestamp(event.origin_server_ts),
            quote: heard.reply_to.map(|target| Quote {
                target: Some(RemoteId::new(target)),
                author_name: String::new(),
                excerpt: heard.excerpt,
            }),
            body: heard.body,
            mentions: heard.mentions,
            echo_of: None,
        };
        if matches!(&post.body, Body::Text { text } | Body::Action { text } if text.trim().is_empty()) {
            return Ok(());
        }
        draft.said.push(Said { room_id: event.room_id, post, media: heard.media });
        Ok(())
    }
}

fn refusal(event: &Event, why: &str) -> Effect {
    let (room_id, event_id) = (event.room_id.clone(), event.event_id.clone());
    Effect::Refusal { room_id, event_id, why: why.to_owned() }
}

/// Text that is meant for the bot.
fn addressed(event: &Event) -> Option<Effect> {
    let text = match message::command(event) {
        Some(command) => command.to_owned(),
        None => message::plain_text(event)?.to_owned(),
    };
    Some(Effect::Addressed(super::effects::Addressed {
        room_id: event.room_id.clone(),
        event_id: event.event_id.clone(),
        sender: event.sender.clone(),
        text,
        reply_to: message::reply_to(&event.content).map(str::to_owned),
    }))
}
