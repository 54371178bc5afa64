//! IRC: the wire layer, and the built-in IRCv3 server that shows each WeChat account as a network
//! of its own.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod server;
pub mod wire;

pub use server::{
    Bound, Flood, Guests, IrcServerAdapter, IrcServerConfig, Join, Lang, Limits, LocalChannels,
};
