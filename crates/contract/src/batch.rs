//! What an adapter hands over at once. Committed whole or not at all.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::body::{Author, Body, Mention, Quote};
use crate::ids::{ChatKey, ChatRef, DeliveryId, PostId, RemoteId};
use crate::media::PendingMedia;
use crate::profile::{ChatProfile, PersonProfile};
use crate::time::Timestamp;

/// One thing said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// Stable and unique within the network that hands it over.
    pub remote_id: RemoteId,
    /// Where it was said. An adapter names chats of its own network; a face that browses
    /// (`Capabilities::browses`) names the chat it showed, on the network that owns it.
    pub chat: ChatRef,
    /// Who said it.
    pub author: Author,
    /// When, by the network's clock.
    pub at: Timestamp,
    /// What.
    pub body: Body,
    /// What it answers to.
    pub quote: Option<Quote>,
    /// Who is named in it; ranges are in the text of the body.
    pub mentions: Vec<Mention>,
    /// Set when the network showed us our own delivery: intake drops the post and takes
    /// `remote_id` as proof of the delivery.
    pub echo_of: Option<DeliveryId>,
}

/// An adapter's own durable scrap. Secret notes are sealed at rest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Chosen by the adapter; at most 512 bytes.
    pub key: String,
    /// `None` removes the note.
    pub value: Option<Bytes>,
    /// Sealed at rest and never shown.
    pub is_secret: bool,
}

impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Note({}, {:?} bytes)", self.key, self.value.as_ref().map(Bytes::len))
    }
}

/// What an adapter hands over at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// In the network's order.
    pub posts: Vec<Post>,
    /// Conversations that are new or changed.
    pub chats: Vec<ChatProfile>,
    /// People who are new or changed.
    pub people: Vec<PersonProfile>,
    /// The adapter's own state that goes with them (sync key, roster, cursors).
    pub notes: Vec<Note>,
    /// Attachments of these posts whose bytes still have to be fetched.
    pub media: Vec<PendingMedia>,
    /// Chats that the owner read on another device, and up to when. Told to faces once the rest is
    /// on disk, and not kept: the latest wins.
    pub read: Vec<(ChatKey, Timestamp)>,
    /// One of the posts is the first of a chat of which it is not settled who it is: once the rest is on disk faces are
    /// told to ask ([`crate::Request::Questions`]). Not kept: they ask at a start as well.
    pub asks: bool,
    /// Chats that stood for others for the time being: what people linked with the first is linked with the second from
    /// now on.
    #[serde(default)]
    pub follows: Vec<(ChatKey, ChatKey)>,
}

impl Batch {
    /// True when there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.posts.is_empty()
            && self.chats.is_empty()
            && self.people.is_empty()
            && self.notes.is_empty()
            && self.media.is_empty()
            && self.read.is_empty()
            && !self.asks
            && self.follows.is_empty()
    }
}

/// What became of a post at intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostFate {
    /// New; it has this id now.
    Kept(PostId),
    /// Known already: same network and remote id, or an echo of our own delivery.
    Known(PostId),
}

/// The batch is on disk. Only now may the adapter acknowledge it to the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// One per post of the batch, in its order.
    pub posts: Vec<PostFate>,
}
