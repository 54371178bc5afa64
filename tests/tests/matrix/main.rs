//! Stories on Matrix: a real homeserver, people with a client that others wrote, the real program.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod absence;
mod bot;
mod bot_entrance;
mod bot_page;
mod bot_setup;
mod bot_tokens;
mod browser;
mod client;
mod crossing;
mod crowd;
mod desk;
mod encrypted;
mod endings;
mod ends;
mod first_room;
mod forms;
mod ground;
mod left_behind;
mod managers;
mod policy;
mod put_back;
mod sealing;
mod share;
mod twins;
mod verified;
