//! Stories told to the real program, and the load bench.
//!
//! Everything here stands outside: it starts the programs as a person would, talks to their sockets
//! and ends only what it started. The simulated service's ledger says what is true.

pub mod bench;
pub mod clock;
pub mod fleet;
pub mod gateway;
pub mod http;
pub mod irc;
pub mod ports;
pub mod program;
pub mod scratch;
pub mod sim;
pub mod stage;
pub mod truth;
pub mod wait;
