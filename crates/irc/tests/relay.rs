//! The guest on a network, against a network that the tests play; behind it stands the in-memory
//! far end. Real servers are in the stories of the whole program.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "the runtime of a test ends with the test and its tasks")]

#[path = "relay/backlog.rs"]
mod backlog;
#[path = "relay/catchup.rs"]
mod catchup;
#[path = "relay/conformance.rs"]
mod conformance;
#[path = "relay/inbound.rs"]
mod inbound;
#[path = "relay/network.rs"]
mod network;
#[path = "relay/outbound.rs"]
mod outbound;
#[path = "relay/puppets.rs"]
mod puppets;
#[path = "relay/secure.rs"]
mod secure;
#[path = "relay/welcome.rs"]
mod welcome;
#[path = "relay/whole.rs"]
mod whole;
