//! Puts events into rooms: as the bot, as a ghost, or as a local user.
//!
//! A homeserver that lost something (restored from a backup, a ghost kicked by hand) says so by a
//! refusal; what is missing is mended then and not looked up before every send.

use std::sync::Arc;

use serde_json::Value;
use wxgate_contract::{Post, Timestamp};

use crate::api::Endpoint;
use crate::api::event::Send;
use crate::client::CallError;
use crate::memory::{Ghost, Room};
use crate::names::hex;
use crate::puppet::Puppet;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Characters of a transaction id: 128 bits of a hash.
const TXN_CHARS: usize = 32;

/// In whose name something is said.
#[derive(Clone, Debug)]
pub(crate) enum Speaker {
    Bot,
    Ghost(Arc<Ghost>),
    /// A local user; the ghost speaks where the homeserver does not let us.
    Puppet(Puppet, Arc<Ghost>),
}

/// One event to be said.
#[derive(Clone, Debug)]
pub(crate) struct Utterance {
    pub(crate) kind: &'static str,
    pub(crate) content: Value,
    pub(crate) txn_id: String,
    pub(crate) at: Option<Timestamp>,
}

/// A transaction id that no other event of any ghost has, and that the same event always has: also
/// after this gateway was restored from a backup and counts its deliveries anew.
/// Source: the Matrix notes, section 4, item 1.
pub(crate) fn txn_id(post: &Post, part: &str) -> String {
    let parts = [post.chat.network.as_str(), post.chat.chat.as_str(), post.remote_id.as_str(), part];
    derived_txn_id(&parts)
}

/// A transaction id out of what makes an event the same one.
pub(crate) fn derived_txn_id(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        // With lengths, so that no two lists of parts give one text.
        text.push_str(&format!("{}:{part};", part.len()));
    }
    let mut id = hex(text.as_bytes());
    id.truncate(TXN_CHARS);
    id
}

impl Shared {
    /// Says something in a room that mirrors a chat; returns the event's id and the room it went
    /// into, which is another one when the first was lost.
    pub(crate) async fn say(
        &self,
        room: Arc<Room>,
        speaker: &Speaker,
        what: &Utterance,
    ) -> Result<(String, Arc<Room>), Trouble> {
        let speaker = &self.mouth(&room.room_id, speaker).await?;
        self.bring_newcomer(&room.room_id, speaker).await?;
        let error = match self.try_say(&room.room_id, speaker, what).await {
            Ok(event_id) => return Ok((event_id, room)),
            Err(error) if is_mendable(&error) => error,
            Err(error) => return Err(error.into()),
        };
        if error.code() == "M_UNKNOWN_DEVICE" {
            self.device_is_unknown(speaker).await;
        }
        // How a room is encrypted, and for whom, the bot asks: where it is not in, a ghost that is says nothing either.
        let room = match is_of_the_send(&error) {
            true => room,
            false => self.mend(room, &Speaker::Bot).await?.0,
        };
        let (room, speaker) = self.mend(room, speaker).await?;
        let event_id = self.try_say(&room.room_id, &speaker, what).await?;
        Ok((event_id, room))
    }

    /// In an encrypted room the ghost of an account's owner speaks and not the owner's own user: the gateway holds
    /// no keys that could sign a device of a person.
    async fn mouth(&self, room_id: &str, speaker: &Speaker) -> Result<Speaker, Trouble> {
        Ok(match speaker {
            Speaker::Puppet(_, ghost) if self.seals(room_id).await? => Speaker::Ghost(Arc::clone(ghost)),
            speaker => speaker.clone(),
        })
    }

    /// A ghost that was made for what it says now is not in the room yet: without a refusal to learn it from, and
    /// before a key is handed out for nothing.
    async fn bring_newcomer(&self, room_id: &str, speaker: &Speaker) -> Result<(), Trouble> {
        let Speaker::Ghost(ghost) = speaker else { return Ok(()) };
        if !self.newcomers.has(&ghost.user_id) {
            return Ok(());
        }
        match self.invite_in(room_id, ghost).await {
            // Whatever else is wrong, the send itself will tell.
            Err(trouble) if trouble.is_passing() => Err(trouble),
            _ => Ok(()),
        }
    }

    /// Says something in any room that the bot is in.
    pub(crate) async fn say_as_bot(&self, room_id: &str, what: &Utterance) -> Result<String, CallError> {
        self.try_say(room_id, &Speaker::Bot, what).await
    }

    /// The same for words that no lane keeps: it waits as long as the homeserver asks to.
    pub(crate) async fn say_in_time(&self, room_id: &str, what: &Utterance) -> Result<String, CallError> {
        loop {
            match self.say_as_bot(room_id, what).await {
                Err(CallError::Limited { after, .. }) => tokio::time::sleep(after).await,
                said => return said,
            }
        }
    }

    async fn try_say(&self, room_id: &str, speaker: &Speaker, what: &Utterance) -> Result<String, CallError> {
        let Utterance { kind, content, txn_id, at } = what;
        if let Some(account) = &self.config.account {
            return self.client.noted(account.send(room_id, kind, txn_id, content).await);
        }
        let sealed = self.seal(room_id, speaker, kind, content).await?;
        let (kind, content, speaker) = match &sealed {
            Some(sealed) => (sealed.kind, &sealed.content, &sealed.speaker),
            None => (*kind, content, speaker),
        };
        let send = |content| Send { room_id, kind, txn_id, at: *at, content };
        let said = match speaker {
            Speaker::Bot => self.client.call(self.bot(), &send(content)).await,
            Speaker::Ghost(ghost) => self.client.call(self.as_ghost(ghost), &send(content)).await,
            Speaker::Puppet(puppet, _) => {
                self.client.call(puppet.actor(), &send(&crate::puppet::marked(content))).await
            }
        };
        said.map(|said| said.event_id)
    }

    /// Makes it possible for the speaker to speak.
    async fn mend(&self, room: Arc<Room>, speaker: &Speaker) -> Result<(Arc<Room>, Speaker), Trouble> {
        match speaker {
            Speaker::Bot => {
                self.make_bot().await?;
                let room =
                    if self.is_inside(&room.room_id).await? { room } else { self.reopen(&room).await? };
                Ok((room, Speaker::Bot))
            }
            Speaker::Puppet(puppet, ghost) => {
                if self.puppet_joins(&room.room_id, puppet).await? {
                    return Ok((room, speaker.clone()));
                }
                let ghost = self.mend_ghost(ghost).await?;
                let room = self.mend_membership(room, &ghost).await?;
                Ok((room, Speaker::Ghost(ghost)))
            }
            Speaker::Ghost(ghost) => {
                // Synapse says the same about a user that it does not know and one that is not in.
                match self.invite_in(&room.room_id, ghost).await {
                    Ok(()) => return Ok((room, speaker.clone())),
                    Err(trouble) if trouble.is_passing() => return Err(trouble),
                    Err(_) => {}
                }
                let ghost = self.mend_ghost(ghost).await?;
                let room = self.mend_membership(room, &ghost).await?;
                Ok((room, Speaker::Ghost(ghost)))
            }
        }
    }

    async fn mend_membership(&self, room: Arc<Room>, ghost: &Ghost) -> Result<Arc<Room>, Trouble> {
        match self.invite_in(&room.room_id, ghost).await {
            Ok(()) => return Ok(room),
            Err(Trouble::Call(error)) if !error.is_passing() => {
                self.make_bot().await?;
                if self.is_inside(&room.room_id).await? {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error),
        }
        let room = self.reopen(&room).await?;
        self.bring(&room.room_id, ghost).await?;
        Ok(room)
    }
}

/// Refusals that say that somebody or something is missing.
fn is_mendable(error: &CallError) -> bool {
    matches!(error.code(), "M_FORBIDDEN" | "M_NOT_FOUND" | "M_UNKNOWN_DEVICE")
}

/// True when it was the words that were refused, and not a question from before they were sent.
fn is_of_the_send(error: &CallError) -> bool {
    matches!(error, CallError::Refused { endpoint, .. } if *endpoint == Send::NAME)
}

/// The bot's own words.
pub(crate) fn notice(text: &str) -> Value {
    serde_json::json!({ "msgtype": "m.notice", "body": text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxgate_contract::{Author, Body, ChatRef};

    fn post(chat: &str, remote_id: &str) -> Post {
        Post {
            remote_id: remote_id.into(),
            chat: ChatRef { network: "wechat:alice".into(), chat: chat.into() },
            author: Author::Owner,
            at: Timestamp(0),
            body: Body::text("hi"),
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        }
    }

    #[test]
    fn a_transaction_id_belongs_to_one_event_whoever_says_it() {
        let id = txn_id(&post("a", "1"), "0");
        assert_eq!(id, txn_id(&post("a", "1"), "0"));
        assert_eq!(id.len(), TXN_CHARS);
        assert_ne!(id, txn_id(&post("a", "1"), "1"));
        assert_ne!(id, txn_id(&post("b", "1"), "0"));
        assert_ne!(txn_id(&post("a1", ""), "0"), txn_id(&post("a", "1"), "0"));
    }
}
