//! The service over real sockets, asked as the protocol sheet says, by a client that knows nothing else.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests drive a real server")]

#[path = "it/browser.rs"]
mod browser;
#[path = "it/entry.rs"]
mod entry;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/groups.rs"]
mod groups;
#[path = "it/load.rs"]
mod load;
#[path = "it/media.rs"]
mod media;
#[path = "it/strict.rs"]
mod strict;
#[path = "it/talk.rs"]
mod talk;
