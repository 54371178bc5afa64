//! What the store promises, on both engines. SQLite always; PostgreSQL when
//! `WXGATE_TEST_POSTGRES` holds the address of a server (`postgres://user@host:port/`) on which
//! databases may be made and dropped.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod crash;
mod group;
mod landmark;
mod media;
mod mirrors;
mod open;
mod people;
mod pipe;
mod profiles;
mod relayed;
mod removal;
mod reseal;
mod setup;
mod snapshot;
mod tls;
