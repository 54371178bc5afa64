//! Who is who across logins: every login renames everybody, and here is what is kept to tell.
//!
//! The deciding itself is in the crate `wxgate-identity`. This is its place in the account: what a
//! login shows (`evidence`), what is kept of it in notes (`shelf`), and what happens afterwards,
//! when the owner answers or a message shows a permanent name (`settle`).

pub(crate) mod evidence;
pub(crate) mod marks;
pub(crate) mod refresh;
pub(crate) mod settle;
pub(crate) mod shelf;
pub(crate) mod stand_in;

/// Behind the title of a chat whose identity is open. It lives beside the chats that it may be.
pub const UNCONFIRMED: &str = " (unconfirmed)";
