//! One signed-in WeChat account, as an adapter.
//!
//! The session (`session`) polls, fetches, commits and only then acknowledges; `inbound` turns what
//! came into posts, `outbound` turns deliveries into sends; `roster` and `identity` know who is who
//! across logins; `asked` answers questions. `transport` is the only file that does HTTP, and `jar` keeps the cookies.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod asked;
mod chinese;
mod config;
mod identity;
mod inbound;
mod jar;
mod outbound;
mod own;
mod proxy;
mod roster;
mod run;
mod session;
mod transport;

pub use chinese::in_chinese;
pub use config::{OnSynced, Timings, WechatConfig};
pub use identity::UNCONFIRMED;
pub use own::{OwnError, SendRate};
pub use proxy::WayOut;
pub use run::WechatAdapter;
pub use transport::{Way, WayError, Ways};
