//! A guest on somebody else's IRC network.
//!
//! `run.rs` connects and comes back; a connection is a `session.rs`, which registers
//! (`register.rs`), enters the linked channels (`presence.rs`), hears (`inbound.rs`) and speaks
//! (`outbound.rs`; `answers.rs` reads what is answered, `multiline.rs` is about messages of several
//! lines). What outlives a connection is in `relay.rs`: what was heard and is not on disk yet, and
//! the deliveries on their way (`flights.rs`), who may be meant by a name (`named.rs`), and whose queries are
//! (`bound.rs`). People may have connections of their own
//! (`puppets.rs`, each a `puppet.rs`), which `ident.rs` names to servers.

mod answers;
mod bound;
mod catchup;
mod charset;
mod config;
mod echoes;
mod flights;
mod ident;
mod inbound;
mod isupport;
mod multiline;
mod named;
mod nicks;
mod outbound;
mod own;
mod pace;
mod presence;
mod puppet;
mod puppets;
mod regain;
mod register;
mod relay;
mod rooms;
mod run;
mod sasl;
mod session;
mod source;
mod stream;
mod time;
mod words;

pub use config::{IrcClientConfig, Limits as ClientLimits, Puppets, Rate, Sasl, Tls};
pub use ident::Ident;
pub use run::IrcClientAdapter;
pub use source::SourcePrefix;
