//! The built-in server, driven from outside over sockets; behind it stands the in-memory far end.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "the runtime of a test ends with the test and its tasks")]

#[path = "served/answers.rs"]
mod answers;
#[path = "served/apart.rs"]
mod apart;
#[path = "served/bench.rs"]
mod bench;
#[path = "served/chats.rs"]
mod chats;
#[path = "served/client.rs"]
mod client;
#[path = "served/commands.rs"]
mod commands;
#[path = "served/conformance.rs"]
mod conformance;
#[path = "served/doors.rs"]
mod doors;
#[path = "served/edges.rs"]
mod edges;
#[path = "served/far_behind.rs"]
mod far_behind;
#[path = "served/history.rs"]
mod history;
#[path = "served/ircv3.rs"]
mod ircv3;
#[path = "served/links.rs"]
mod links;
#[path = "served/local.rs"]
mod local;
#[path = "served/login.rs"]
mod login;
#[path = "served/metadata.rs"]
mod metadata;
#[path = "served/metadata_three.rs"]
mod metadata_three;
#[path = "served/modern.rs"]
mod modern;
#[path = "served/operators.rs"]
mod operators;
#[path = "served/other_client.rs"]
mod other_client;
#[path = "served/proxy.rs"]
mod proxy;
#[path = "served/rejoin.rs"]
mod rejoin;
#[path = "served/replay.rs"]
mod replay;
#[path = "served/sasl.rs"]
mod sasl;
#[path = "served/search.rs"]
mod search;
#[path = "served/service.rs"]
mod service;
#[path = "served/tls.rs"]
mod tls;
#[path = "served/trouble.rs"]
mod trouble;
#[path = "served/websocket.rs"]
mod websocket;
