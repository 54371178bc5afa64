//! What Web WeChat ("webwx") says, as pure functions and types.
//!
//! Bytes become types and types become bytes; nothing here opens a socket, looks at a clock or
//! draws a random number: time and randomness come in through [`Call`]. One endpoint is one file
//! under [`endpoint`]; [`message::decode`] turns one item of a sync answer into a [`message::Message`].
//!
//! URLs in requests always name the service's own hosts ([`hosts`]); whoever talks to another
//! server instead rewrites them when sending. Parsers are total: whatever comes in, they return a
//! value or a [`ProtoError`], never panic, and their work is bounded by the size of the input.
//!
//! Facts about the service carry a `Source:` line naming the section of the protocol sheet.
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::string_slice
    )
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod call;
pub mod client_msg_id;
pub mod contact;
pub mod emoji;
pub mod endpoint;
pub mod error;
pub mod faces;
mod flex;
pub mod fuzz;
pub mod hosts;
mod json;
pub mod mention;
pub mod message;
pub mod names;
pub mod percent;
pub mod qr;
pub mod quote;
pub mod raw_message;
pub mod ret;
mod script;
pub mod secret;
pub mod special;
pub mod sync_key;
pub mod text;
pub mod upload;
pub mod user_name;
pub mod xml;

pub use call::{Call, Credentials, Profile};
pub use client_msg_id::ClientMsgId;
pub use contact::{Contact, Member, ModContact, ProfileChange, SelfUser};
pub use endpoint::Endpoint;
pub use error::ProtoError;
pub use hosts::Family;
pub use message::{Message, decode};
pub use names::WireText;
pub use raw_message::{MsgId, RawMessage};
pub use ret::{BaseResponse, Reaction, RetCode};
pub use secret::Secret;
pub use sync_key::SyncKey;
pub use user_name::{PermanentId, UserName};
