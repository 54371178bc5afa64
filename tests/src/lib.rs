//! Stories told to the real program, and the load bench.
//!
//! Everything here stands outside: it starts the programs as a person would, talks to their sockets
//! and ends only what it started. The simulated service's ledger says what is true.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

pub mod bench;
pub mod browser;
pub mod clock;
pub mod cut;
pub mod dice;
pub mod fault;
pub mod fleet;
pub mod gateway;
pub mod homeserver;
pub mod http;
pub mod irc;
pub mod ircd;
pub mod line;
pub mod matrix;
pub mod people;
pub mod ports;
pub mod postgres;
pub mod power;
pub mod program;
pub mod prompt;
pub mod scratch;
pub mod sim;
pub mod sqlite;
pub mod stage;
pub mod terminal;
pub mod truth;
pub mod wait;
