//! The application service against a homeserver that behaves like Synapse where it matters.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "appservice/busy.rs"]
mod busy;
#[path = "appservice/catch_up.rs"]
mod catch_up;
#[path = "appservice/changes.rs"]
mod changes;
#[path = "appservice/conformance.rs"]
mod conformance;
#[path = "appservice/desk.rs"]
mod desk;
#[path = "appservice/ends.rs"]
mod ends;
#[path = "appservice/furnish.rs"]
mod furnish;
#[path = "appservice/handed_over.rs"]
mod handed_over;
#[path = "appservice/hazards.rs"]
mod hazards;
#[path = "appservice/managers.rs"]
mod managers;
#[path = "appservice/messages.rs"]
mod messages;
#[path = "appservice/moves.rs"]
mod moves;
#[path = "appservice/ordinary.rs"]
mod ordinary;
#[path = "appservice/rooms.rs"]
mod rooms;
#[path = "appservice/scene.rs"]
mod scene;
#[path = "appservice/sealed.rs"]
mod sealed;
#[path = "appservice/share.rs"]
mod share;
#[path = "appservice/stub.rs"]
mod stub;
#[path = "appservice/tidings.rs"]
mod tidings;
