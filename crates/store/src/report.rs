//! What the store tells the bridge about a commit or an outcome, and what it asks it.

use serde::{Deserialize, Serialize};
use wxgate_contract::{
    ChatKey, ChatRef, Committed, DeliveryId, Job, NetworkId, Outcome, PersonKey, Post, PostId, RemoteId,
    TimelineItem, Timestamp, UserName,
};

/// Decides who must hear of a post. Called inside the transaction, once per new post.
///
/// The same call may be made again, when a joint transaction is taken apart or a batch is handed over again, and must
/// say the same then. What an answer is noted for, for later calls, is taken back when [`Route::over`] says so.
pub trait Route: Send + Sync {
    /// The orders that follow from a post.
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)>;

    /// The transaction is over in which the last calls were made.
    fn over(&self, end: End) {
        let _ = end;
    }

    /// The running networks that show what is said in the chats of `network`.
    fn mirrors(&self, network: &NetworkId) -> Vec<NetworkId> {
        let _ = network;
        Vec::new()
    }

    /// True when what people say through `network` comes from a chat that it mirrors, so that it
    /// wants to be told what became of it.
    fn wants_reports(&self, network: &NetworkId) -> bool {
        let _ = network;
        false
    }

    /// What is said, where the post was said, about a delivery of it that came to nothing or may have. It is written
    /// with the outcome, so that nobody waits in vain for a word that a crash took away.
    fn notice(&self, delivery: DeliveryId, failed: &FailedDelivery, at: Timestamp) -> Option<Post> {
        let _ = (delivery, failed, at);
        None
    }
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is on disk, or may be: the connection broke at the commit.
    Kept,
    /// Nothing of it was written.
    Undone,
}

/// All that routing may look at.
#[derive(Debug)]
pub struct RouteInput<'a> {
    /// The network that handed the post over.
    pub origin: &'a NetworkId,
    /// Our id of it.
    pub post_id: PostId,
    /// The post.
    pub post: &'a Post,
    /// The other members of the link of the post's chat, the chat itself when the post came
    /// through a face (`origin` is not the chat's own network), and the lanes that mirror it. A
    /// face's post reaches the mirrors when it has become visible. Never empty.
    pub targets: &'a [ChatRef],
    /// The post that it quotes or recalls, when we know that post.
    pub target: Option<&'a KnownPost>,
    /// How the author is called: by the latest profile, else by the post.
    pub author_name: &'a str,
    /// Its ids on its chat's own network, one per piece, as far as they are known.
    pub native_ids: &'a [RemoteId],
}

/// An earlier post, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPost {
    /// Our id of it.
    pub post_id: PostId,
    /// Its ids, with the chat they are valid in; several per chat when it was said in pieces.
    pub ids: Vec<(ChatRef, RemoteId)>,
}

/// What a commit brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitReport {
    /// The answer for the adapter.
    pub committed: Committed,
    /// What became visible.
    pub shown: Vec<TimelineItem>,
    /// Lanes that got a delivery.
    pub lanes: Vec<ChatRef>,
    /// Chats that really changed.
    pub chats: Vec<ChatKey>,
    /// People who really changed.
    pub people: Vec<PersonKey>,
    /// Posts that it shows to have arrived and that cannot be read: nothing else is said of them.
    pub damaged: Vec<PostId>,
    /// Deliveries that it shows to have arrived, of which the table had no sense in how far they were.
    pub mended: Vec<DeliveryId>,
    /// Links have other members now.
    pub relinked: bool,
}

/// What an outcome brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettleReport {
    /// The delivery's lane; `None` when no such delivery is known to this network.
    pub lane: Option<ChatRef>,
    /// True when this outcome closed the delivery (not when it was closed before).
    pub closed: bool,
    /// What became visible: a face's own post, with its fate, or a word about one that did not arrive.
    pub shown: Vec<TimelineItem>,
    /// Whoever said it may have to be told.
    pub failed: Option<FailedDelivery>,
    /// When the lane may try again.
    pub retry_at: Option<Timestamp>,
    /// Other lanes that got a delivery by it.
    pub lanes: Vec<ChatRef>,
    /// Its post cannot be read, and was said in this chat. The delivery is closed all the same; nothing is shown of it,
    /// and nobody is told.
    pub damaged: Option<(PostId, ChatRef)>,
    /// How far it was made no sense in the table: it was taken for open while it was not closed, and for uncertain
    /// otherwise.
    pub mended: bool,
}

/// A post that did not surely reach one of its targets.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedDelivery {
    /// Our id of the post.
    pub post_id: PostId,
    /// The network that handed it over.
    pub origin: NetworkId,
    /// The post.
    pub post: Post,
    /// Where it did not (surely) arrive.
    pub target: ChatRef,
    /// What became of it.
    pub outcome: Outcome,
}

/// Open deliveries of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStats {
    /// Which network.
    pub network: NetworkId,
    /// How many deliveries are open.
    pub open: u64,
    /// When the oldest of them was ordered.
    pub oldest: Timestamp,
}

/// An account of this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its network.
    pub network: NetworkId,
    /// Whose it is.
    pub owner: UserName,
    /// The owner's own name there; empty before the first sign-in.
    pub own_name: String,
    /// True when it should be kept signed in.
    pub wants_online: bool,
}

/// What changes about an account; `None` leaves a value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The owner's own name there.
    pub own_name: Option<String>,
    /// Whether it should be kept signed in.
    pub wants_online: Option<bool>,
}

/// A person of this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserRow {
    /// The name.
    pub name: UserName,
    /// May see and change everything.
    pub is_admin: bool,
    /// False when only tokens open the door.
    pub has_password: bool,
    /// True when a token was made.
    pub has_token: bool,
    /// How many accounts they may have, where it is not the number that everybody may have.
    pub accounts_max: Option<u32>,
}

/// One link between chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkId(pub i64);

/// A set of chats that mirror each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which.
    pub id: LinkId,
    /// When it was made.
    pub since: Timestamp,
    /// Its members.
    pub members: Vec<ChatRef>,
}

/// What a clean-up removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Messages that were forgotten.
    pub messages: u64,
    /// Settled deliveries that were forgotten.
    pub deliveries: u64,
    /// Attachments that were forgotten.
    pub media: u64,
    /// Files that were deleted.
    pub files: u64,
    /// Their bytes.
    pub freed_bytes: u64,
}

/// What became of the secrets when the seal key was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Secrets that have the new key now.
    pub resealed: u64,
    /// Secrets that no key opens; they are left as they are.
    pub unreadable: u64,
}
