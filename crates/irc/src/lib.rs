//! IRC: the wire layer, the built-in IRCv3 server that shows each WeChat account as a network of its
//! own, and the client that joins existing networks as a guest.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod client;
mod server;
pub mod wire;

pub use client::{
    ClientLimits, Ident, IrcClientAdapter, IrcClientConfig, Puppets, Rate, Sasl, SourcePrefix, Tls,
};
pub use encoding_rs::Encoding;
pub use server::{
    Bound, Filehost, Flood, Follow, Forwarded, Guests, IrcServerAdapter, IrcServerConfig, Limits, Listening,
    LocalChannels, Translate,
};
