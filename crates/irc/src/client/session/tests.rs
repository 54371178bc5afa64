//! One connection without a network behind it: time is an argument.

use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{Author, Body, ChatRef, Delivery, DeliveryId, NetworkId, Outcome, Post, Timestamp};

use super::*;
use crate::client::config::IrcClientConfig;
use crate::client::flights::{Flights, Step};
use crate::client::register::Secrets;
use crate::client::relay::Parts;

mod refused;
mod rooms;

/// A relay on a slow network, with these chats linked.
fn relay(chats: &[&str]) -> (Relay, Running) {
    relay_of(&Double::new(), chats)
}

pub(in crate::client) fn relay_of(double: &Double, chats: &[&str]) -> (Relay, Running) {
    let network = NetworkId::new("irc:test");
    double.link(&network, chats);
    // Before all that is said in these tests.
    let (context, running) = double.context(&network, FixedClock::at(1_700_000_000_000));
    let parts = Parts {
        config: IrcClientConfig::new(network.clone(), "127.0.0.1:1", "relay"),
        network,
        far: context.far,
        media: context.media,
        clock: context.clock,
        directory: context.directory,
        orders: context.orders,
        linked: context.linked,
        stop: context.stop,
        seed: context.seed,
    };
    (Relay::new(parts, Flights::default(), std::collections::HashMap::new()), running)
}

/// A connection of it that is ready.
pub(in crate::client) fn session(relay: &mut Relay) -> Session<'_> {
    let puppets = Puppets::new(None, None, None, Instant::now());
    let mut session = Session::new(relay, Registration::new(Secrets::default()), puppets);
    session.phase = Phase::Ready;
    session.link();
    session
}

pub(in crate::client) fn hear(session: &mut Session<'_>, line: &str) {
    session.line(&Message::parse(line).unwrap());
}

/// Something that Ming says.
pub(in crate::client) fn words_of_ming(chat: &str, text: &str) -> Delivery {
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
    Double::new().delivery(&chat.into(), post)
}

/// Something to be said whose note is on disk.
fn clear(session: &mut Session<'_>, chat: &str, text: &str) {
    let mut delivery = words_of_ming(chat, text);
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
pub(in crate::client) fn written(session: &mut Session<'_>) -> Vec<String> {
    let written = String::from_utf8(std::mem::take(&mut session.out)).unwrap();
    written.lines().map(str::to_owned).collect()
}

#[test]
fn strangers_who_write_or_ask_for_as_long_as_they_like_hold_up_nothing_that_is_said() {
    for question in ["hello", "\u{1}VERSION\u{1}"] {
        let double = Double::new();
        let (mut relay, _running) = relay_of(&double, &["#c"]);
        let mut session = session(&mut relay);
        hear(&mut session, ":relay!r@h JOIN #c");
        let mut now = Instant::now();
        let (mut said, mut entered) = (None, None);
        for at in 0..200_u32 {
            // More of them than the network takes answers.
            for twin in 0..4 {
                hear(&mut session, &format!(":nick{at}x{twin}!u@h PRIVMSG relay :{question}"));
            }
            if at == 100 {
                clear(&mut session, "#c", "hi");
                double.link(&NetworkId::new("irc:test"), &["#c", "#d"]);
                session.link();
            }
            now += Duration::from_secs(1);
            session.heard = now;
            session.advance(now);
            let lines = written(&mut session);
            said = said.or(lines.iter().any(|line| line.contains("PRIVMSG #c")).then_some(at));
            entered = entered.or(lines.contains(&"JOIN #d".to_owned()).then_some(at));
            let waiting = session.queue.len() + session.courtesies.len();
            assert!(waiting <= 6, "{waiting} lines wait");
        }
        assert!(entered.is_some_and(|at| (100..110).contains(&at)), "entered after {entered:?}");
        assert!(said.is_some_and(|at| at <= 105), "said after {said:?}, ordered after 100 seconds");
    }
}

/// Time passes, a second at a time.
pub(in crate::client) fn pass(session: &mut Session<'_>, now: &mut Instant, seconds: u32) {
    for _ in 0..seconds {
        *now += Duration::from_secs(1);
        session.heard = *now;
        session.advance(*now);
    }
}

/// A relay that has been in these channels before, on a network that remembers.
fn away_from(double: &Double, chats: &[&str]) -> (Relay, Running) {
    let (mut relay, running) = relay_of(double, chats);
    chats.iter().for_each(|chat| relay.saw(&(*chat).into(), Timestamp(1)));
    (relay, running)
}

fn remembering(relay: &mut Relay) -> Session<'_> {
    let mut session = session(relay);
    session.caps = Caps { history: true, batch: true, tags: true, ..Caps::default() };
    session
}

fn line_of(second: u8, id: &str, nick: &str, channel: &str) -> String {
    format!("@time=2023-11-14T22:14:{second:02}.000Z;msgid={id} :{nick}!u@h PRIVMSG {channel} :{id}")
}

/// What was heard in a channel, in its order.
pub(in crate::client) async fn heard_in(
    session: &mut Session<'_>,
    double: &Double,
    channel: &str,
) -> Vec<String> {
    store(session).await;
    let state = double.state();
    let posts = state.posts.iter().filter(|(_, _, post)| post.chat.chat.as_str() == channel);
    posts.map(|(_, _, post)| post.remote_id.to_string()).collect()
}

#[tokio::test]
async fn the_past_of_many_channels_comes_before_what_is_said_now_however_slow_the_pace() {
    let names: Vec<String> = (0..60).map(|number| format!("#c{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let double = Double::new();
    let (mut relay, _running) = away_from(&double, &names);
    let mut session = remembering(&mut relay);
    let (mut now, mut joins) = (Instant::now(), 0);
    for _ in 0..450 {
        pass(&mut session, &mut now, 1);
        for line in written(&mut session) {
            if let Some(channel) = line.strip_prefix("JOIN ") {
                joins += 1;
                hear(&mut session, &format!(":relay!r@h JOIN {channel}"));
                hear(&mut session, &line_of(9, &format!("live{channel}"), "bob", channel));
            } else if let Some(asked) = line.strip_prefix("CHATHISTORY AFTER ") {
                let channel = asked.split(' ').next().unwrap();
                hear(&mut session, &format!("BATCH +b chathistory {channel}"));
                let past = line_of(1, &format!("past{channel}"), "bob", channel);
                hear(&mut session, &past.replacen('@', "@batch=b;", 1));
                hear(&mut session, "BATCH -b");
            }
        }
    }
    assert_eq!(joins, 60, "each is entered once");
    for name in names {
        let heard = heard_in(&mut session, &double, name).await;
        assert_eq!(heard, [format!("past{name}"), format!("live{name}")]);
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_the_past_all_the_same() {
    let double = Double::new();
    let (mut relay, _running) = away_from(&double, &["#c"]);
    let mut session = remembering(&mut relay);
    session.support.history = Some(2);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 2);
    hear(&mut session, ":relay!r@h JOIN #c");
    pass(&mut session, &mut now, 5);
    assert!(written(&mut session).iter().any(|line| line.starts_with("CHATHISTORY AFTER #c")));
    hear(&mut session, &line_of(9, "live", "bob", "#c"));
    pass(&mut session, &mut now, 61);
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["live"], "it is not waited for any longer");
    // A line of ours is on its way when our own old one comes back.
    clear(&mut session, "#c", "hi");
    session.advance(now);
    hear(&mut session, "BATCH +b chathistory #c");
    for (second, id, nick) in [(1, "past", "bob"), (2, "own", "relay")] {
        hear(&mut session, &line_of(second, id, nick, "#c").replacen('@', "@batch=b;", 1));
    }
    hear(&mut session, "BATCH -b");
    assert!(matches!(session.relay.flights.all[0].step, Step::Sent { .. }));
    assert!(session.relay.flights.all[0].ids.is_empty(), "an old line is taken for the one on its way");
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["live", "past"]);
    written(&mut session);
    pass(&mut session, &mut now, 5);
    let asked = "CHATHISTORY AFTER #c timestamp=2023-11-14T22:14:02.000Z 2";
    assert!(written(&mut session).contains(&asked.to_owned()), "the answer was a full one");
}

#[tokio::test]
async fn a_channel_whose_past_is_refused_gives_up_that_of_no_other() {
    let double = Double::new();
    let (mut relay, _running) = away_from(&double, &["#a", "#b"]);
    let mut session = remembering(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 4);
    hear(&mut session, ":relay!r@h JOIN #a");
    hear(&mut session, ":relay!r@h JOIN #b");
    pass(&mut session, &mut now, 10);
    hear(&mut session, "FAIL CHATHISTORY MESSAGE_ERROR AFTER #a :Messages could not be retrieved");
    for channel in ["#a", "#b"] {
        hear(&mut session, &line_of(9, "live", "bob", channel).replace("live", &format!("live{channel}")));
    }
    assert_eq!(heard_in(&mut session, &double, "#a").await, ["live#a"]);
    assert!(heard_in(&mut session, &double, "#b").await.is_empty(), "its past has not come");
}

#[tokio::test]
async fn what_we_said_ourselves_is_no_news_of_the_past_under_whatever_nick() {
    let double = Double::new();
    let (mut relay, _running) = away_from(&double, &["#c"]);
    // Ming had a connection before this one was lost, and the relay another nick.
    relay.is_called("ming[wx]".to_owned());
    relay.is_called("relay_".to_owned());
    relay.is_called("relay".to_owned());
    let mut session = remembering(&mut relay);
    session.support.take(&["CASEMAPPING=ascii"]);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 2);
    hear(&mut session, ":relay!r@h JOIN #c");
    pass(&mut session, &mut now, 5);
    clear(&mut session, "#c", "hi");
    session.advance(now);
    hear(&mut session, "BATCH +b chathistory #c");
    for (at, nick) in [(1, "Ming[wx]"), (2, "relay_"), (3, "relay"), (4, "bob")] {
        hear(&mut session, &line_of(at, nick, nick, "#c").replacen('@', "@batch=b;", 1));
    }
    let relayed = line_of(5, "relayed", "Anna/wx", "#c");
    hear(&mut session, &relayed.replacen('@', "@batch=b;draft/relaymsg=relay;", 1));
    hear(&mut session, "BATCH -b");
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["bob"]);
    assert!(session.relay.flights.all[0].ids.is_empty(), "an old line is taken for the one on its way");
}

#[tokio::test]
async fn who_speaks_keeps_their_nick_ours() {
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    // Two days ago.
    relay.was_called_before("relay@1699827200000");
    let mut session = session(&mut relay);
    clear(&mut session, "#c", "hi");
    hear(&mut session, ":relay!r@h JOIN #c");
    session.advance(Instant::now());
    store(&mut session).await;
    let state = double.state();
    let note = state.notes.iter().find(|((_, key), _)| key == "called").map(|(_, value)| value.clone());
    assert!(format!("{note:?}").contains("relay@1700000000000"), "{note:?}");
}

/// What the server plays by itself: lines of the evening before, and of now.
fn play(session: &mut Session<'_>, channel: &str, ids: &[(&str, &str)]) {
    hear(session, &format!("BATCH +b chathistory {channel}"));
    for (time, id) in ids {
        hear(session, &format!("@batch=b;time={time};msgid={id} :bob!u@h PRIVMSG {channel} :{id}"));
    }
    hear(session, "BATCH -b");
}

#[tokio::test]
async fn what_was_said_before_the_link_or_between_two_of_them_is_not_told() {
    for has_history in [true, false] {
        let double = Double::new();
        let (mut relay, _running) = relay_of(&double, &["#c"]);
        let mut session = remembering(&mut relay);
        session.caps.history = has_history;
        let (before, later) = ("2023-11-13T20:00:00.000Z", "2023-11-14T22:14:30.000Z");
        hear(&mut session, ":relay!r@h JOIN #c");
        play(&mut session, "#c", &[(before, "old")]);
        hear(&mut session, &line_of(9, "live", "bob", "#c"));
        // The connection is lost, and comes back.
        hear(&mut session, ":relay!r@h PART #c");
        hear(&mut session, ":relay!r@h JOIN #c");
        assert_eq!(session.next_question(Instant::now()).is_some(), has_history);
        play(&mut session, "#c", &[(before, "old"), ("2023-11-14T22:14:09.000Z", "live"), (later, "missed")]);
        assert_eq!(heard_in(&mut session, &double, "#c").await, ["live", "missed"], "{has_history}");
        // Another link of the channel, after a while without one.
        double.link(&NetworkId::new("irc:test"), &[]);
        session.link();
        double.link(&NetworkId::new("irc:test"), &["#c"]);
        session.link();
        session.queue.clear();
        store(&mut session).await;
        assert!(!double.state().notes.keys().any(|(_, key)| key.starts_with("seen/")));
        hear(&mut session, ":relay!r@h JOIN #c");
        assert_eq!(session.next_question(Instant::now()), None, "it asks for what was said without a link");
        play(&mut session, "#c", &[("2023-11-14T22:13:10.000Z", "between")]);
        assert_eq!(heard_in(&mut session, &double, "#c").await, ["live", "missed"], "{has_history}");
    }
}

#[tokio::test]
async fn what_was_said_between_two_links_that_changed_while_we_were_away_is_not_told() {
    let double = Double::new();
    let (mut relay, _running) = away_from(&double, &["#c"]);
    // Now it is in another link, and nobody has seen it without one.
    double.link_since(&NetworkId::new("irc:test"), &["#c"], Timestamp(1_700_000_050_000));
    let mut session = remembering(&mut relay);
    session.queue.clear();
    hear(&mut session, ":relay!r@h JOIN #c");
    let asked = session.next_question(Instant::now()).unwrap();
    assert_eq!(asked, "CHATHISTORY AFTER #c timestamp=2023-11-14T22:14:10.000Z 100");
    play(
        &mut session,
        "#c",
        &[("2023-11-14T22:14:09.000Z", "between"), ("2023-11-14T22:14:11.000Z", "news")],
    );
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["news"]);
}

/// Everything that waits for the store is on disk.
async fn store(session: &mut Session<'_>) {
    while let Some(done) = session.relay.work.next().await {
        session.done(done);
    }
}

#[tokio::test]
async fn a_server_that_is_not_read_is_not_taken_for_silent() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 1);
    hear(&mut session, ":relay!r@h JOIN #c");
    clear(&mut session, "#c", "hi");
    session.advance(now);
    assert!(matches!(session.relay.flights.all[0].step, Step::Sent { .. }));
    // The store does not answer, and people go on.
    for at in 0..6000 {
        hear(&mut session, &format!(":bob!u@h PRIVMSG #c :{at}"));
    }
    assert!(!session.relay.has_room());
    let silence = |session: &mut Session<'_>, now: &mut Instant, seconds: u32| {
        for _ in 0..seconds {
            *now += Duration::from_secs(1);
            session.advance(*now);
        }
    };
    silence(&mut session, &mut now, 1000);
    assert_eq!(session.end, None, "it was not listened to");
    store(&mut session).await;
    assert!(session.relay.has_room());
    silence(&mut session, &mut now, 50);
    assert_eq!(session.end, None, "what lay there is being read");
    silence(&mut session, &mut now, 100);
    assert!(matches!(session.end, Some(End::Lost(_))), "it really is silent: {:?}", session.end);
}

/// What became of the last that was said, when all of the answer has come.
async fn answered(answer: &[&str]) -> Option<Outcome> {
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    let mut session = session(&mut relay);
    session.caps = Caps { labels: true, echo: true, batch: true, tags: true, ..Caps::default() };
    hear(&mut session, ":relay!r@h JOIN #c");
    clear(&mut session, "#c", "hi");
    session.advance(Instant::now());
    session.advance(Instant::now());
    let said = written(&mut session);
    assert!(said.iter().any(|line| line.starts_with("@label=w1 PRIVMSG #c :")), "{said:?}");
    answer.iter().for_each(|line| hear(&mut session, line));
    while let Some(done) = session.relay.work.next().await {
        session.done(done);
    }
    let outcomes = &double.state().outcomes;
    outcomes.last().map(|(_, outcome)| outcome.clone())
}

#[tokio::test]
async fn an_answer_of_several_lines_is_waited_for_to_its_end() {
    let echo = "@batch=a;msgid=m1 :relay!r@h PRIVMSG #c :hi";
    let begin = "@label=w1 :irc.test BATCH +a labeled-response";
    let away = "@batch=a :irc.test 301 relay bob :is away";
    let outcome = answered(&[begin, away, echo]).await;
    assert_eq!(outcome, None, "its end has not come");
    let outcome = answered(&[begin, away, echo, ":irc.test BATCH -a"]).await;
    assert_eq!(outcome, Some(Outcome::Sent { remote_ids: vec!["m1".into()] }));
    let refusal = "@batch=a :irc.test 404 relay #c :Cannot send to channel";
    let outcome = answered(&[begin, away, refusal, ":irc.test BATCH -a"]).await;
    assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{outcome:?}");
}

#[test]
fn a_channel_that_sends_us_on_to_another_is_one_that_does_not_let_us_in() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 1);
    hear(&mut session, ":irc.test 470 relay #c ##c :Forwarding to another channel");
    hear(&mut session, ":relay!r@h JOIN ##c");
    pass(&mut session, &mut now, 300);
    let lines = written(&mut session);
    assert!(lines.contains(&"PART ##c".to_owned()), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("JOIN")).count(), 1, "{lines:?}");
    assert!(matches!(session.health(), Health::Partial { missing: 1, .. }));
}
