//! The words and promises that every network of wxgate shares.
//!
//! A network (a WeChat account, a homeserver, our own IRC server) is an [`Adapter`]: it brings
//! [`Post`]s in by [`FarEnd::commit`] and carries [`Delivery`]s out. Nothing here does input or
//! output; the bridge stands behind the traits of [`context`].
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

pub mod adapter;
pub mod address;
pub mod batch;
pub mod body;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
pub mod control;
pub mod crew;
pub mod delivery;
pub mod directory;
pub mod doors;
pub mod health;
pub mod ids;
pub mod journey;
pub mod loading;
pub mod media;
pub mod profile;
pub mod time;
pub mod words;

pub use adapter::{Adapter, AdapterError, Capabilities, Stopped};
pub use address::household;
pub use batch::{Batch, Committed, Note, Post, PostFate};
pub use body::{Attachment, AttachmentKind, Author, Body, Card, CardKind, GroupEvent, Mention, Quote};
pub use context::{
    AdapterContext, Ask, BoxFuture, FarEnd, FarError, LinkTable, LinkedChats, Order, Stop, StopHandle,
};
pub use control::{
    Answer, Candidate, Choice, Command, CommandError, Control, FriendRequest, Marker, Marking, Question,
    Reply, Request, SignInStep, SignInWatch, Subject, Verdict,
};
pub use crew::Crew;
pub use delivery::{Delivery, Job, Outcome, Report, Say};
pub use directory::{AccountView, Directory, Fate, FeedEvent, HistoryRange, Landmark, Spoken, TimelineItem};
pub use doors::{Credential, ScramVerifier, SecretLink};
pub use health::Health;
pub use ids::{
    ChatKey, ChatRef, DeliveryId, MediaId, NetworkId, PersonKey, PersonRef, PostId, RemoteId, UserName,
};
pub use journey::JOURNEY;
pub use loading::{Loading, LoadingPart, grouped};
pub use media::{
    FILE_NAME_BYTES, MediaError, MediaInfo, MediaOwner, MediaReader, MediaState, MediaVault, MediaWriter,
    PendingMedia, file_name,
};
pub use profile::{ChatKind, ChatProfile, Member, PersonKind, PersonProfile};
pub use time::{Civil, Clock, Timestamp};
pub use words::{POSTER_NAME, map_of};
