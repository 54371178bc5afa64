//! One connection without a network behind it: time is an argument.

use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{Author, Body, ChatRef, DeliveryId, NetworkId, Post, Timestamp};

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
fn clear(session: &mut Session<'_>, chat: &str, text: &str) {
    let post = Post {
        remote_id: "1".into(),
        chat: ChatRef { network: "wechat:a".into(), chat: "g".into() },
        author: Author::Person { person: "p".into(), name: "Ming".to_owned() },
        at: Timestamp(1),
        body: Body::text(text),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    };
    let mut delivery = Double::new().delivery(&chat.into(), post);
    let count = i64::try_from(session.relay.flights.all.len()).unwrap();
    delivery.id = DeliveryId(count);
    session.take(delivery);
    let flight = session.relay.flights.all.last_mut().unwrap();
    (flight.pieces, flight.step) = (vec![text.to_owned()], Step::Clear);
}

#[test]
fn it_sleeps_while_what_is_to_be_said_waits_for_a_channel() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    clear(&mut session, "#c", "hi");
    let now = Instant::now();
    assert!(session.wake() > now + NAP / 2, "nothing can be said outside");
    hear(&mut session, ":relay!r@h JOIN #c");
    session.queue.clear();
    assert!(session.wake() < now + NAP / 2, "now it can");
}

/// What was written since the last look.
fn written(session: &mut Session<'_>) -> Vec<String> {
    let written = String::from_utf8(std::mem::take(&mut session.out)).unwrap();
    written.lines().map(str::to_owned).collect()
}

#[test]
fn strangers_who_write_or_ask_for_as_long_as_they_like_hold_up_nothing_that_is_said() {
    for question in ["hello", "\u{1}VERSION\u{1}"] {
        let (mut relay, _running) = relay(&["#c"]);
        let mut session = session(&mut relay);
        hear(&mut session, ":relay!r@h JOIN #c");
        let mut now = Instant::now();
        let mut said = None;
        for at in 0..200_u32 {
            // More of them than the network takes answers.
            for twin in 0..4 {
                hear(&mut session, &format!(":nick{at}x{twin}!u@h PRIVMSG relay :{question}"));
            }
            if at == 100 {
                clear(&mut session, "#c", "hi");
            }
            now += Duration::from_secs(1);
            session.heard = now;
            session.advance(now);
            said = said.or(written(&mut session).iter().any(|line| line.contains("PRIVMSG #c")).then_some(at));
            assert!(session.queue.len() <= 5, "{} answers wait", session.queue.len());
        }
        assert!(said.is_some_and(|at| at <= 105), "said after {said:?}, ordered after 100 seconds");
    }
}
