//! One connection without a network behind it: time is an argument.

use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{Delivery, DeliveryId, Job, NetworkId, PostId};

use super::*;
use crate::client::config::IrcClientConfig;
use crate::client::flights::{Flights, Step};
use crate::client::register::Secrets;
use crate::client::relay::Parts;

/// A relay on a slow network, with these chats linked.
fn relay(chats: &[&str]) -> (Relay, Running) {
    let (double, network) = (Double::new(), NetworkId::new("irc:test"));
    double.link(&network, chats);
    let (context, running) = double.context(&network, FixedClock::at(0));
    let parts = Parts {
        config: IrcClientConfig::new(network.clone(), "127.0.0.1:1", "relay"),
        network,
        far: context.far,
        media: context.media,
        clock: context.clock,
        orders: context.orders,
        linked: context.linked,
        stop: context.stop,
        seed: context.seed,
    };
    (Relay::new(parts, Flights::default(), std::collections::HashMap::new()), running)
}

/// A connection of it that is ready.
fn session(relay: &mut Relay) -> Session<'_> {
    let puppets = Puppets::new(None, None, None, Instant::now());
    let mut session = Session::new(relay, Registration::new(Secrets::default()), puppets);
    session.phase = Phase::Ready;
    session.link();
    session
}

fn hear(session: &mut Session<'_>, line: &str) {
    session.line(&Message::parse(line).unwrap());
}

/// Something to be said whose note is on disk.
fn clear(session: &mut Session<'_>, id: i64, chat: &str) {
    let job = Job::Recall { post: PostId(id), remote_ids: vec!["m".into()] };
    session.take(Delivery { id: DeliveryId(id), attempt: 1, chat: chat.into(), job });
    let flight = session.relay.flights.all.last_mut().unwrap();
    (flight.pieces, flight.step) = (vec!["m".to_owned()], Step::Clear);
}

#[test]
fn it_sleeps_while_what_is_to_be_said_waits_for_a_channel() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    clear(&mut session, 1, "#c");
    let now = Instant::now();
    assert!(session.wake() > now + NAP / 2, "nothing can be said outside");
    hear(&mut session, ":relay!r@h JOIN #c");
    session.queue.clear();
    assert!(session.wake() < now + NAP / 2, "now it can");
}
