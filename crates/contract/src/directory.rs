//! What a face that people browse may read: who there is, what was said, what changes.
//!
//! Our own IRC server answers NAMES, LIST, WHOIS and history requests about chats that never
//! spoke since it started; carrying all of that in deliveries would copy every roster into every
//! face. A network that mirrors whole accounts (Matrix) gets what is said as deliveries, and reads
//! here how chats and people are called now (docs/decisions/0006). Other networks never use this.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::batch::Post;
use crate::context::{BoxFuture, FarError};
use crate::health::Health;
use crate::ids::{ChatKey, ChatRef, NetworkId, PersonKey, PersonRef, PostId, RemoteId, UserName};
use crate::profile::{ChatProfile, PersonProfile};
use crate::time::Timestamp;

/// One account as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountView {
    /// Its network.
    pub network: NetworkId,
    /// Whose it is.
    pub owner: UserName,
    /// How it is doing.
    pub health: Health,
    /// The owner's own name on the network; empty before the first sign-in.
    pub own_name: String,
}

/// What became of a post that somebody said through one of our faces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It stands in the chat.
    Said,
    /// It was not delivered to the chat.
    NotDelivered {
        /// Why, as a clause for people.
        why: String,
    },
    /// It may or may not have been delivered.
    MaybeDelivered {
        /// Why, as a clause for people.
        why: String,
    },
}

/// One line of an account's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineItem {
    /// Position: grows by commit order within an account, has gaps, starts above 0.
    pub seq: i64,
    /// Our id of the post.
    pub post_id: PostId,
    /// The network that handed the post over (`irc:local` for what was said through us).
    pub origin: NetworkId,
    /// The post.
    pub post: Post,
    /// What became of it.
    pub fate: Fate,
    /// Our id of the post that it quotes or recalls, when we know that post.
    pub target: Option<PostId>,
    /// Its id on the chat's own network, when it has one.
    pub native_id: Option<RemoteId>,
    /// True when a later post recalled this one.
    pub is_recalled: bool,
}

/// Which part of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryRange {
    /// The oldest `limit` items with `seq` above this.
    After(i64),
    /// The newest `limit` items with `seq` below this (`i64::MAX` for the latest).
    Before(i64),
}

/// A place in a chat's timeline, as somebody outside names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landmark {
    /// This post.
    Post(PostId),
    /// The first item that was said at this time or later.
    Since(Timestamp),
}

/// A chat that spoke, with the newest item of its timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// Which.
    pub chat: ChatKey,
    /// Where the newest item stands.
    pub seq: i64,
    /// When it was said.
    pub at: Timestamp,
}

/// Something that a face may want to show at once. Not durable: a face that lags or restarts
/// reads the timeline from its cursor.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// A timeline got a new item.
    Shown(Arc<TimelineItem>),
    /// Chats of an account are new or changed.
    Chats(NetworkId, Arc<[ChatKey]>),
    /// People of an account are new or changed.
    People(NetworkId, Arc<[PersonKey]>),
    /// An account's health changed.
    Health(NetworkId, Arc<Health>),
    /// The health of a network changed that is nobody's account.
    Face(NetworkId, Arc<Health>),
    /// An account was added for this person, or taken away.
    Accounts(UserName),
    /// Something that opened this person's doors opens them no more; whoever came in with it has to go.
    Doors(UserName),
    /// An account has something to ask of its owner: `Request::Questions` says what.
    Asks(NetworkId),
    /// The owner has read a chat up to this time, on another device or on one of our faces.
    Read(ChatRef, Timestamp),
    /// Something may have become visible or changed that was not told: who follows the feed reads anew, as after
    /// events that were lost.
    Missed,
}

/// The reading side for faces.
pub trait Directory: Send + Sync {
    /// Every account of the instance, by name.
    fn all_accounts(&self) -> BoxFuture<'_, Result<Vec<AccountView>, FarError>>;
    /// How networks are doing that are nobody's account, by name.
    fn faces(&self) -> Vec<(NetworkId, Health)>;
    /// Which person of this instance somebody on a network is; see `Command::Introduce`.
    fn user_of<'a>(&'a self, person: &'a PersonRef) -> BoxFuture<'a, Result<Option<UserName>, FarError>>;
    /// Who a person of this instance is on a network.
    fn person_of<'a>(
        &'a self,
        user: &'a UserName,
        network: &'a NetworkId,
    ) -> BoxFuture<'a, Result<Option<PersonKey>, FarError>>;
    /// The accounts of a person, by name.
    fn accounts<'a>(&'a self, owner: &'a UserName) -> BoxFuture<'a, Result<Vec<AccountView>, FarError>>;
    /// Chats of an account without their members, after `after` in key order, at most `limit`.
    fn chats<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a ChatKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ChatProfile>, FarError>>;
    /// One chat with its members.
    fn chat<'a>(&'a self, chat: &'a ChatRef) -> BoxFuture<'a, Result<Option<ChatProfile>, FarError>>;
    /// These people; unknown ones are left out.
    fn people<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [PersonKey],
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>>;
    /// Contacts of an account (not mere group members), after `after` in key order, at most `limit`.
    fn contacts<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a PersonKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>>;
    /// A part of an account's timeline, or of one chat of it; always oldest first.
    fn history<'a>(
        &'a self,
        network: &'a NetworkId,
        chat: Option<&'a ChatKey>,
        range: HistoryRange,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TimelineItem>, FarError>>;
    /// Where a landmark stands in a chat's timeline; `None` when nothing there fits it. Times are
    /// taken to grow along the timeline: where a network told them out of order, a place next to
    /// the disorder is found.
    fn locate<'a>(
        &'a self,
        chat: &'a ChatRef,
        landmark: Landmark,
    ) -> BoxFuture<'a, Result<Option<i64>, FarError>>;
    /// Chats of an account that spoke, the newest first, at most `limit`.
    fn spoken<'a>(
        &'a self,
        network: &'a NetworkId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Spoken>, FarError>>;
    /// Everything that changes from now on. A receiver that lags is told so and must read.
    fn subscribe(&self) -> broadcast::Receiver<FeedEvent>;
}
