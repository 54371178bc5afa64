//! Orders to a network, and what became of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Post;
use crate::directory::Fate;
use crate::ids::{ChatKey, DeliveryId, PersonKey, PostId, RemoteId};

/// An order to one network. Complete: the adapter never has to ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The idempotency key wherever the network has one.
    pub id: DeliveryId,
    /// 1 at first; more when the same order comes again.
    pub attempt: u32,
    /// The lane: deliveries of one chat come one at a time, oldest first.
    pub chat: ChatKey,
    /// What to do.
    pub job: Job,
}

/// What a network can be asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Say something in the chat.
    Say(Box<Say>),
    /// Take back what an earlier delivery said.
    Recall {
        /// Our post that is taken back.
        post: PostId,
        /// Its ids on this network, one per piece, oldest first; empty when nothing of it is
        /// known to have arrived here.
        remote_ids: Vec<RemoteId>,
    },
    /// Tell whoever said something on this network what became of it. Only for networks that
    /// mirror (`Capabilities::mirrors`).
    Report(Report),
}

impl Job {
    /// Our id of the post that it is about.
    pub fn post(&self) -> PostId {
        match self {
            Self::Say(say) => say.post_id,
            Self::Recall { post, .. } => *post,
            Self::Report(report) => report.post,
        }
    }

    /// `say`, `recall` or `report`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Say(_) => "say",
            Self::Recall { .. } => "recall",
            Self::Report(_) => "report",
        }
    }
}

/// What became of something that was said through a mirroring network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Our id of the post.
    pub post: PostId,
    /// The post as its network named it.
    pub remote_id: RemoteId,
    /// Whether it stands in the chat it was said in.
    pub fate: Fate,
    /// Its ids on the chat's own network, one per piece, where that told any.
    #[serde(default)]
    pub native_ids: Vec<RemoteId>,
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Say {
    /// Our id of the post.
    pub post_id: PostId,
    /// The post as its own network gave it, already degraded to what this network can carry.
    pub post: Post,
    /// How the author is to be named in front of the text; empty when the author is the owner
    /// of this account and needs no name.
    pub author_prefix: String,
    /// Our id of the quoted post, where we know it.
    #[serde(default)]
    pub quoted: Option<PostId>,
    /// The quoted post's id on this network, where we know one.
    pub quoted_remote_id: Option<RemoteId>,
    /// Who is named, as this network knows them: person and the bytes of the text.
    pub mentions: Vec<(PersonKey, (usize, usize))>,
    /// The post's ids on its chat's own network, one per piece; empty where it has none, or none that is known.
    #[serde(default)]
    pub native_ids: Vec<RemoteId>,
}

/// What became of a delivery. Exactly one per delivery and attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Sent {
        /// The ids it got there, one per piece; may be empty where the network tells none.
        remote_ids: Vec<RemoteId>,
    },
    /// Not done, and never will be.
    Refused {
        /// Why, as a clause for people ("you are not a member of the group").
        why: String,
    },
    /// Not done now.
    TryLater {
        /// When to try again.
        after: Duration,
        /// Why, as a clause for people.
        why: String,
    },
    /// Nobody can tell: it may have arrived.
    Uncertain {
        /// Why, as a clause for people.
        why: String,
    },
}

impl Outcome {
    /// `sent`, `refused`, `later` or `uncertain`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Refused { .. } => "refused",
            Self::TryLater { .. } => "later",
            Self::Uncertain { .. } => "uncertain",
        }
    }
}
