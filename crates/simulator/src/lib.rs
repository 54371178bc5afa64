//! A Web WeChat service that runs on loopback.
//!
//! It is written from the protocol sheet alone and knows none of this workspace's other crates: what it
//! accepts and what it refuses is a second, independent reading of the same facts. Start one with
//! [`serve()`], fill it through [`World`], and ask it afterwards for its ledger and for the violations that
//! it saw.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod account;
mod breach;
mod clock;
mod content;
mod control;
mod endpoint;
mod fault;
mod http;
mod keys;
mod ledger;
mod login;
mod media;
mod message;
mod people;
pub mod scenario;
mod seed;
mod serve;
#[cfg(feature = "tls")]
mod tls;
mod who;
mod wire;
mod world;

pub use account::{AccountSpec, Admission};
pub use breach::Violation;
pub use fault::{Fault, FaultRule};
pub use ledger::{LedgerEntry, Way};
pub use message::Kind;
pub use serve::{ServerHandle, serve, serve_control};
#[cfg(feature = "tls")]
pub use tls::serve_tls;
pub use who::Who;
pub use world::{Change, Heard, LoginView, Redirect, Said, Stats, World, WorldConfig};
