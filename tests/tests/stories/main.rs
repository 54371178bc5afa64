//! Stories told to the real program. Each starts its own service and its own gateway.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod api;
mod backup;
mod bad_answers;
mod bad_lines;
mod data;
mod disk_faults;
mod disk_files;
mod doors;
mod environment;
mod first_path;
mod floor;
mod https;
mod identity;
mod instances;
mod markers;
mod media;
mod outage;
mod pages;
mod people;
mod phone_off;
mod poison;
mod proxy;
mod session_end;
mod states;
mod surroundings;
mod terminal;
mod terminals;
mod traces;
mod web;
mod web_library;
