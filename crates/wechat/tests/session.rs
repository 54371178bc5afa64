//! One account against the simulated service, with the far end in memory.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "session/changes.rs"]
mod changes;
#[path = "session/conformance.rs"]
mod conformance;
#[path = "session/every_endpoint.rs"]
mod every_endpoint;
#[path = "session/faults.rs"]
mod faults;
#[path = "session/identity.rs"]
mod identity;
#[path = "session/inbound.rs"]
mod inbound;
#[path = "session/life.rs"]
mod life;
#[path = "session/markers.rs"]
mod markers;
#[path = "session/outbound.rs"]
mod outbound;
#[path = "session/stage.rs"]
mod stage;
