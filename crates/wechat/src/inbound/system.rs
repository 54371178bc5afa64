//! What the service itself says: events of a group, recalls, and what the web cannot show.

use wechat_proto::message::{Actor, Revoke, SystemEvent, SystemText, body::Unsupported};
use wxgate_contract::{
    Author, Body, Card, CardKind, ChatKey, FarError, Fate, GroupEvent, HistoryRange, Post, RemoteId,
};

use super::Inbound;
use crate::roster::Draft;
use crate::session::live::Own;

/// Posts of a chat that are looked through for our last one. Chosen: it was said within two minutes.
const LOOKED_AT: usize = 50;

pub(super) fn content(said: &SystemText, own: &Own) -> Body {
    let name = |actor: &Actor| match actor {
        Actor::Own => own.nickname.clone(),
        Actor::Named(name) => name.clone(),
    };
    let event = match &said.event {
        SystemEvent::Invited { by, names } => GroupEvent::Joined { names: names.clone(), by: name(by) },
        SystemEvent::JoinedByQr { name: who, by } => {
            GroupEvent::Joined { names: vec![who.clone()], by: name(by) }
        }
        SystemEvent::WeWereInvited { by } => {
            GroupEvent::Joined { names: vec![own.nickname.clone()], by: by.clone() }
        }
        SystemEvent::Removed { name } => {
            GroupEvent::Removed { names: vec![name.clone()], by: own.nickname.clone() }
        }
        SystemEvent::WeWereRemoved { .. } => GroupEvent::OwnerGone,
        SystemEvent::Renamed { by, topic } => GroupEvent::Renamed { title: topic.clone(), by: name(by) },
        SystemEvent::RedPacket { .. } => {
            return Body::Card(Card {
                kind: CardKind::RedPacket,
                title: said.text.clone(),
                detail: String::new(),
                url: String::new(),
                place: None,
                source: String::new(),
            });
        }
        SystemEvent::BecameFriends { .. }
        | SystemEvent::LocationSharingEnded
        | SystemEvent::Tickled
        | SystemEvent::NotFriends
        | SystemEvent::Other => GroupEvent::Notice,
    };
    Body::Event { event, text: said.text.clone() }
}

pub(super) fn recall(revoke: &Revoke) -> Body {
    Body::Recall {
        target: revoke.target.as_ref().map(|id| RemoteId::from(id.as_str())),
        notice: revoke.replacement.clone(),
    }
}

impl Inbound {
    /// What is taken back where the service does not name it: our last message in the chat.
    /// Source: the protocol sheet, section 4.14 (`msgid` 0).
    pub(super) async fn last_own(&self, chat: &str, draft: &Draft) -> Result<Option<RemoteId>, FarError> {
        let chat = ChatKey::from(chat);
        let is_own = |post: &Post| post.author == Author::Owner && !matches!(post.body, Body::Recall { .. });
        let mut drafted = draft.batch.posts.iter().rev();
        if let Some(post) = drafted.find(|post| post.chat.chat == chat && is_own(post)) {
            return Ok(Some(post.remote_id.clone()));
        }
        let range = HistoryRange::Before(i64::MAX);
        let said = self.directory.history(&self.network, Some(&chat), range, LOOKED_AT).await?;
        let last = said
            .into_iter()
            .rev()
            .find(|item| matches!(item.fate, Fate::Said) && !item.is_recalled && is_own(&item.post));
        Ok(last.and_then(|item| match item.origin == self.network {
            true => Some(item.post.remote_id),
            false => item.native_id,
        }))
    }
}

pub(super) fn unsupported(what: &Unsupported) -> Body {
    let text: String = what.text.replace('\n', " ").chars().take(200).collect();
    let kind = match what.app_msg_type {
        0 => what.msg_type.to_string(),
        app => format!("{}/{app}", what.msg_type),
    };
    let summary = match text.as_str() {
        _ if what.is_prompt => "a message that only the phone can show".to_owned(),
        "" => format!("unsupported message (type {kind}): view it on the phone"),
        text => format!("unsupported message (type {kind}): {text}"),
    };
    Body::Unsupported { summary }
}
