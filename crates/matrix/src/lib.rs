//! Matrix: a homeserver's application service that shows whole WeChat accounts, each chat a room.
//!
//! `api` holds the words, `client` says them and is the only file that does, `listen` is where the
//! homeserver calls. `inbound` turns its transactions into posts, `outbound` deliveries into events;
//! `ghosts`, `rooms` and `puppet` see to it that somebody can speak somewhere.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod account;
mod api;
mod bridged;
mod catch_up;
mod choices;
mod chores;
mod client;
mod config;
#[cfg(feature = "encryption")]
mod crypto;
#[cfg(not(feature = "encryption"))]
#[path = "crypto_absent.rs"]
mod crypto;
mod format;
mod furnish;
mod ghosts;
mod greet;
mod inbound;
mod language;
mod listen;
mod making;
mod management;
mod media;
mod memory;
mod mirror;
mod names;
mod newcomers;
mod outbound;
mod owners;
mod powers;
mod probe;
mod provisioning;
mod puppet;
mod puppets;
mod read;
mod registration;
mod removed;
mod rooms;
mod run;
mod secret;
mod share;
mod shared;
mod speak;
mod states;
mod status;
mod trouble;
mod web_sign_in;

pub use account::{
    Account, AccountError, Happened, InRoom, Keep, Opened, Opening, Verification, is_step, may_be_sealed,
};
pub use client::CallError;
pub use config::{
    Bound, Encryption, Level, MatrixConfig, Permissions, Previews, Receipts, SettingError, Timings,
};
pub use language::Translate;
pub use probe::{ProbeError, probe};
pub use registration::Registration;
pub use run::MatrixAdapter;
pub use secret::Secret;
pub use web_sign_in::WebSignIn;
