//! Stories on Matrix: a real homeserver, people with a client that others wrote, the real program.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod bot;
mod browser;
mod client;
mod crossing;
mod desk;
mod encrypted;
mod first_room;
mod forms;
mod ground;
mod managers;
mod sealing;
mod share;
