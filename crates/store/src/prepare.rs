//! A batch made ready for the writer: checked, sealed and written out. All of this happens in the
//! task of whoever commits, so that the one writer has little left to do.

use wxgate_contract::{Batch, ChatRef, NetworkId, Post, RemoteId};

use crate::error::StoreError;
use crate::limits::{POST_BYTES, check_batch, check_network};
use crate::names::Names;
use crate::rows::{chat_json, json, members_json, person_json};
use crate::seal::{Place, SealKey};

/// A batch as the writer takes it.
pub(crate) struct Ready {
    pub(crate) network: NetworkId,
    pub(crate) number: i64,
    pub(crate) posts: Vec<ReadyPost>,
    pub(crate) notes: Vec<ReadyNote>,
    pub(crate) chats: Vec<ReadyChat>,
    pub(crate) people: Vec<ReadyPerson>,
    pub(crate) media: Vec<ReadyMedia>,
    /// Chats whose links others take over.
    pub(crate) follows: Vec<(String, String)>,
    /// Bytes of all of it, roughly.
    pub(crate) bytes: usize,
}

pub(crate) struct ReadyPost {
    pub(crate) post: Post,
    /// The number of the network of its chat.
    pub(crate) chat_network: i64,
    pub(crate) json: String,
}

pub(crate) struct ReadyNote {
    pub(crate) key: String,
    /// Sealed when it is secret; `None` removes it.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) is_secret: bool,
}

pub(crate) struct ReadyChat {
    pub(crate) key: String,
    pub(crate) profile: String,
    pub(crate) members: Option<String>,
}

pub(crate) struct ReadyPerson {
    pub(crate) key: String,
    pub(crate) is_contact: bool,
    pub(crate) profile: String,
}

pub(crate) struct ReadyMedia {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mime: String,
    pub(crate) source: Vec<u8>,
}

impl Ready {
    pub(crate) fn rows(&self) -> usize {
        let said = self.posts.len() + self.notes.len() + self.media.len();
        said + self.chats.len() + self.people.len() + self.follows.len()
    }
}

impl ReadyPost {
    /// True when it came through a face: somebody else's network owns the chat.
    pub(crate) fn is_from_face(&self, origin: i64) -> bool {
        self.chat_network != origin
    }

    /// The post that this one quotes or recalls, as its network names it.
    pub(crate) fn target(&self) -> Option<&RemoteId> {
        match &self.post.body {
            wxgate_contract::Body::Recall { target, .. } => target.as_ref(),
            _ => self.post.quote.as_ref().and_then(|quote| quote.target.as_ref()),
        }
    }
}

pub(crate) fn is_recall(post: &Post) -> bool {
    matches!(post.body, wxgate_contract::Body::Recall { .. })
}

/// The networks that must have a number before this batch can be made ready.
pub(crate) fn networks<'a>(network: &'a NetworkId, batch: &'a Batch) -> impl Iterator<Item = &'a NetworkId> {
    std::iter::once(network)
        .chain(batch.posts.iter().map(|post| &post.chat.network).filter(move |n| *n != network))
}

/// Checks a batch without looking at the store.
pub(crate) fn check(network: &NetworkId, batch: &Batch) -> Result<(), StoreError> {
    check_network(network)?;
    check_batch(batch)
}

pub(crate) fn prepare(
    network: &NetworkId,
    batch: Batch,
    names: &Names,
    key: &SealKey,
) -> Result<Ready, StoreError> {
    let number_of = |name: &NetworkId| {
        names.known(name).ok_or_else(|| StoreError::invalid(format!("network {name} has no number")))
    };
    let number = number_of(network)?;
    let mut bytes = 0;
    let mut posts = Vec::with_capacity(batch.posts.len());
    for post in batch.posts {
        let json = json(&post)?;
        if json.len() > POST_BYTES {
            let (id, length) = (&post.remote_id, json.len());
            return Err(StoreError::invalid(format!(
                "post {id} has {length} bytes, the limit is {POST_BYTES}"
            )));
        }
        bytes += json.len();
        let chat_network =
            if post.chat.network == *network { number } else { number_of(&post.chat.network)? };
        posts.push(ReadyPost { post, chat_network, json });
    }
    let mut notes = Vec::with_capacity(batch.notes.len());
    for note in batch.notes {
        let value = match note.value {
            Some(plain) if note.is_secret => {
                Some(key.seal(&Place::Note { network: network.as_str(), key: &note.key }, &plain)?)
            }
            Some(plain) => Some(plain.to_vec()),
            None => None,
        };
        bytes += value.as_ref().map_or(0, Vec::len);
        notes.push(ReadyNote { key: note.key, value, is_secret: note.is_secret });
    }
    let mut chats = Vec::with_capacity(batch.chats.len());
    for chat in &batch.chats {
        let members = chat.members.as_deref().map(members_json).transpose()?;
        let profile = chat_json(chat)?;
        bytes += profile.len() + members.as_ref().map_or(0, String::len);
        chats.push(ReadyChat { key: chat.chat.as_str().to_owned(), profile, members });
    }
    let mut people = Vec::with_capacity(batch.people.len());
    for person in &batch.people {
        let profile = person_json(person)?;
        bytes += profile.len();
        let key = person.person.as_str().to_owned();
        people.push(ReadyPerson { key, is_contact: person.is_contact, profile });
    }
    let mut media = Vec::with_capacity(batch.media.len());
    for pending in batch.media {
        let id = pending.media.to_string();
        let source = key.seal(&Place::Media { network: network.as_str(), media: &id }, &pending.source)?;
        bytes += source.len();
        media.push(ReadyMedia { id, name: pending.name, mime: pending.mime, source });
    }
    let follows =
        batch.follows.into_iter().map(|(from, to)| (from.as_str().to_owned(), to.as_str().to_owned()));
    let follows = follows.collect();
    Ok(Ready { network: network.clone(), number, posts, notes, chats, people, media, follows, bytes })
}

/// A lane or chat by number, as rows have it.
pub(crate) type ChatPlace = (i64, String);

pub(crate) fn chat_ref(network: NetworkId, chat: String) -> ChatRef {
    ChatRef { network, chat: chat.into() }
}
