//! The built-in IRC server: each WeChat account is a network of its own to its owner.
//!
//! A connection (`connection.rs`) reads lines, registers (`registration.rs`) and then hands its
//! lines to the session of its account (`session.rs`), the one task that owns everything the
//! account's clients share. The session answers (`commands/`), says (`inbound.rs`), shows
//! (`outbound.rs`, `replay.rs`) and writes into each client's queue (`queue.rs`), which the
//! connection's writer empties. `run.rs` listens, and gives the directory's feed to the sessions.

mod answer;
mod asking;
mod bouncer;
mod caps;
mod choices;
mod chosen;
mod client;
mod commands;
mod config;
mod connection;
mod errands;
mod faces;
mod flood;
mod hall;
mod held;
mod history;
mod identity;
mod inbound;
mod isupport;
mod links;
mod local;
mod markers;
mod marks;
mod metadata;
mod multiline;
pub(crate) mod names;
mod outbound;
mod proxy;
mod queue;
mod quote;
mod recalls;
mod redact;
mod registration;
mod registry;
mod rejoin;
mod replay;
mod room;
mod roster;
mod run;
mod sasl;
mod scram;
mod search;
mod service;
mod session;
mod shared;
pub(crate) mod stamp;
mod style;
mod websocket;

pub use config::{
    Bound, Filehost, Flood, Follow, Forwarded, Guests, IrcServerConfig, Limits, Listening, LocalChannels,
    Translate,
};
pub use run::IrcServerAdapter;
