//! What is said: once, in order, confirmed; and what happens when it cannot be.

use std::time::Duration;

use wxgate_contract::conformance::Double;
use wxgate_contract::{Body, Health, Job, MediaOwner, Order, Outcome, PostId};

use crate::network::{Guest, MODERN, NETWORK, Network, OLD, config, post};

fn ids(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Sent { remote_ids } => remote_ids.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_line_is_confirmed_by_its_echo_or_by_a_barrier() {
    for caps in [MODERN, "message-tags echo-message", OLD] {
        let network = Network::start(caps).await;
        let guest = Guest::ready(&network, config(&network)).await;
        let id = guest.say("张三", "你好 👋").await;
        let ids = ids(&guest.outcome(id).await);
        assert_eq!(network.said("#c"), ["<张三> 你好 👋"]);
        let has_ids = caps.contains("echo-message");
        assert_eq!(ids, if has_ids { vec!["own1"] } else { Vec::new() }, "{caps}");
        let barriers = network.lines().iter().filter(|line| line.starts_with("PING :w")).count();
        assert_eq!(barriers > 0, !caps.contains("labeled-response"), "{caps}");
        guest.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_line_in_flight_comes_again_and_says_so() {
    for caps in [MODERN, OLD] {
        let network = Network::start(caps).await;
        let guest = Guest::ready(&network, config(&network)).await;
        let first = guest.say("Ming", "before").await;
        guest.outcome(first).await;
        network.change(|manners| manners.is_mute = true);
        let id = guest.say("Ming", "one\ntwo\nthree").await;
        network.wait_said("#c", 2).await;
        network.change(|manners| manners.is_mute = false);
        network.cut();
        guest.outcome(id).await;
        let said = network.said("#c");
        let wanted = ["before", "one", "[may be repeated] one", "two", "three"];
        assert_eq!(said, wanted.map(|text| format!("<Ming> {text}")));
    }
}

#[tokio::test]
async fn after_a_crash_nothing_is_lost_and_only_the_line_in_flight_is_repeated() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let mut delivery = guest.double.delivery(&"#c".into(), post("Ming", Body::text("one\ntwo\nthree")));
    let Job::Say(say) = &mut delivery.job else { unreachable!() };
    say.author_prefix = "Ming".to_owned();
    // The first line is confirmed; of the second nobody ever hears.
    network.change(|manners| manners.mute_after = Some(1));
    guest.running.orders.send(Order::Deliver(Box::new(delivery.clone()))).await.unwrap();
    network.wait_said("#c", 2).await;
    // The crash: no farewell, no settling.
    guest.task.abort();
    network.cut();
    network.change(|manners| manners.is_mute = false);
    let next = Guest::start(&guest.double, config(&network));
    next.running.orders.send(Order::Deliver(Box::new(delivery.clone()))).await.unwrap();
    next.outcome(delivery.id).await;
    let wanted = ["one", "two", "[may be repeated] two", "three"];
    assert_eq!(network.said("#c"), wanted.map(|text| format!("<Ming> {text}")));
}

/// Lets us in again, orders the same once more, and waits until it was said.
async fn say_again(network: &Network, guest: &Guest, mut delivery: wxgate_contract::Delivery) {
    let entered = |net: &Network| net.lines().iter().filter(|line| *line == "MODE #c").count();
    let before = entered(network);
    network.change(|manners| manners.bars = None);
    network.wait("us to be in again", |net| (entered(net) > before).then_some(())).await;
    delivery.attempt += 1;
    let id = delivery.id;
    guest.running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
    let is_sent = |state: &mut wxgate_contract::conformance::State| {
        let mut outcomes = state.outcomes.iter();
        outcomes.any(|(of, outcome)| *of == id && matches!(outcome, Outcome::Sent { .. })).then_some(())
    };
    guest.double.wait_for(crate::network::PATIENCE, is_sent).await;
}

/// Something that Ming says, not ordered yet.
fn words_of_ming(guest: &Guest, text: &str) -> wxgate_contract::Delivery {
    let mut delivery = guest.double.delivery(&"#c".into(), post("Ming", Body::text(text)));
    let Job::Say(say) = &mut delivery.job else { unreachable!() };
    say.author_prefix = "Ming".to_owned();
    delivery
}

#[tokio::test]
async fn lines_that_were_said_before_a_kick_are_not_said_again() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, config(&network)).await;
    network.change(|manners| manners.is_mute = true);
    let delivery = words_of_ming(&guest, "one\ntwo\nthree");
    guest.running.orders.send(Order::Deliver(Box::new(delivery.clone()))).await.unwrap();
    network.wait_said("#c", 1).await;
    // The first line is confirmed, and we are thrown out before the second has its note.
    guest.double.state().store_is_down = true;
    let line = network.lines().into_iter().find(|line| line.contains("PRIVMSG #c")).unwrap();
    let (label, words) = line.strip_prefix('@').unwrap().split_once(' ').unwrap();
    network.line(&format!("@{label};msgid=own1 :relay!~u@host.example {words}"));
    network.line(":op!o@h KICK #c relay :out");
    network.change(|manners| (manners.is_mute, manners.bars) = (false, Some("471")));
    network.line("PING :kicked");
    network.wait_line("PONG :kicked").await;
    guest.double.state().store_is_down = false;
    assert!(matches!(guest.outcome(delivery.id).await, Outcome::TryLater { .. }));
    say_again(&network, &guest, delivery).await;
    assert_eq!(network.said("#c"), ["one", "two", "three"].map(|text| format!("<Ming> {text}")));
}

#[tokio::test]
async fn a_line_in_flight_stays_marked_when_the_channel_is_full_after_the_connection_was_lost() {
    for caps in [MODERN, OLD] {
        let network = Network::start(caps).await;
        let guest = Guest::ready(&network, config(&network)).await;
        network.change(|manners| manners.mute_after = Some(1));
        let delivery = words_of_ming(&guest, "one\ntwo\nthree");
        guest.running.orders.send(Order::Deliver(Box::new(delivery.clone()))).await.unwrap();
        network.wait_said("#c", 2).await;
        network.change(|manners| (manners.is_mute, manners.bars) = (false, Some("471")));
        network.cut();
        assert!(matches!(guest.outcome(delivery.id).await, Outcome::TryLater { .. }));
        say_again(&network, &guest, delivery).await;
        let wanted = ["one", "two", "[may be repeated] two", "three"];
        assert_eq!(network.said("#c"), wanted.map(|text| format!("<Ming> {text}")), "{caps}");
    }
}

#[tokio::test]
async fn a_line_in_flight_is_not_called_refused_when_we_are_not_let_in_again() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    network.change(|manners| manners.is_mute = true);
    let id = guest.say("Ming", "one\ntwo").await;
    network.wait_said("#c", 1).await;
    network.change(|manners| (manners.is_mute, manners.bars) = (false, Some("474")));
    network.cut();
    let outcome = guest.outcome(id).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
    // Nor when the repetition is refused.
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    network.change(|manners| manners.is_mute = true);
    let id = guest.say("Ming", "one").await;
    network.wait_said("#c", 1).await;
    network.change(|manners| (manners.is_mute, manners.refuses) = (false, Some(("404", "no"))));
    network.cut();
    let outcome = guest.outcome(id).await;
    assert!(matches!(outcome, Outcome::Uncertain { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_the_network_refuses_is_told() {
    for caps in [MODERN, OLD] {
        let network = Network::start(caps).await;
        let guest = Guest::ready(&network, config(&network)).await;
        network.change(|manners| manners.refuses = Some(("404", "Cannot send to channel (+m)")));
        let id = guest.say("Ming", "hello").await;
        let Outcome::Refused { why } = guest.outcome(id).await else { panic!("not refused") };
        assert_eq!(why, "the network said: Cannot send to channel (+m)");
    }
}

#[tokio::test]
async fn a_chat_that_cannot_be_entered_refuses_and_says_why() {
    let network = Network::start(OLD).await;
    network.change(|manners| manners.bars = Some("474"));
    let guest = Guest::start(&Double::new(), config(&network));
    let id = guest.say("Ming", "hello").await;
    assert!(matches!(guest.outcome(id).await, Outcome::Refused { .. }));
    let health = guest.health(|health| matches!(health, Health::Partial { missing: 1, .. })).await;
    assert_eq!(health.detail(), "not in #c: the network said: Cannot join channel");
    // A full channel is another matter, and one that is not linked any more is none.
    network.change(|manners| manners.bars = Some("471"));
    guest.double.link(&NETWORK.into(), &["#d"]);
    network.wait_line("JOIN #d").await;
    let id = guest.say_to("#d", "Ming", "hello").await;
    assert!(matches!(guest.outcome(id).await, Outcome::TryLater { .. }));
}

#[tokio::test]
async fn an_order_that_overtakes_the_news_of_its_link_is_not_lost() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let mut delivery = guest.double.delivery(&"#new".into(), post("Ming", Body::text("first words")));
    let id = delivery.id;
    guest.running.orders.send(Order::Deliver(Box::new(delivery.clone()))).await.unwrap();
    assert!(matches!(guest.outcome(id).await, Outcome::TryLater { .. }));
    guest.double.link(&NETWORK.into(), &["#c", "#new"]);
    delivery.attempt = 2;
    guest.running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
    let sent = |state: &mut wxgate_contract::conformance::State| {
        state.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Sent { .. })).then_some(())
    };
    guest.double.wait_for(crate::network::PATIENCE, sent).await;
    assert_eq!(network.said("#new"), ["<Ming> first words"]);
}

#[tokio::test]
async fn a_long_message_is_three_lines_and_a_link() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let text = (1..=9).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
    let id = guest.say("Ming", &text).await;
    guest.outcome(id).await;
    let said = network.said("#c");
    assert_eq!(said[..3], ["<Ming> line 1", "<Ming> line 2", "<Ming> line 3"]);
    assert!(said[3].starts_with("<Ming> … all 9 lines: http"), "{said:?}");
    assert_eq!(said.len(), 4);
    // The whole of it goes with the message that it is.
    let media = said[3].rsplit('/').nth(1).unwrap().parse().unwrap();
    // The double's numbers: the delivery's, then the post's.
    assert_eq!(guest.double.media_owner(media), Some(MediaOwner::Post(PostId(id.0 + 1))));
}

#[tokio::test]
async fn every_piece_fits_a_line_as_others_see_it() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let id = guest.say("张三", &"家和万事兴。".repeat(70)).await;
    guest.outcome(id).await;
    let said = network.said("#c");
    assert_eq!(said.concat().replace("<张三> ", ""), "家和万事兴。".repeat(70));
    for piece in &said {
        let seen = format!(":relay!~u@host.example PRIVMSG #c :{piece}\r\n");
        assert!(seen.len() <= 512, "{}: {piece}", seen.len());
    }
    assert_eq!(said.len(), 3);
}

#[tokio::test]
async fn nobody_is_pinged_by_his_own_words_and_formatting_stays_out() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let id = guest.say("Bob", "\x02bold\x02 and \x0304red").await;
    guest.outcome(id).await;
    assert_eq!(network.said("#c"), ["<B\u{200b}ob> bold and red"]);
}

#[tokio::test]
async fn names_are_coloured_where_the_channel_allows_it() {
    let network = Network::start(OLD).await;
    let guest = {
        let mut config = config(&network);
        config.colours = true;
        Guest::ready(&network, config).await
    };
    let id = guest.say("Ming", "hello").await;
    guest.outcome(id).await;
    let said = network.said("#c");
    assert!(said[0].starts_with("<\x03") && said[0].ends_with("Ming\x0f> hello"), "{said:?}");
    network.line(":irc.test 324 relay #c +ntc");
    network.line("PING :seen");
    network.wait_line("PONG :seen").await;
    let id = guest.say("Ming", "plain").await;
    guest.outcome(id).await;
    assert_eq!(network.said("#c")[1], "<Ming> plain");
}

#[tokio::test]
async fn what_was_said_is_taken_back_where_the_network_can() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let id = guest.say("Ming", "oops").await;
    let remote_ids = ids(&guest.outcome(id).await).iter().map(|id| id.as_str().into()).collect();
    let mut recall = guest.double.delivery(&"#c".into(), post("Ming", Body::text("")));
    recall.job = Job::Recall { post: wxgate_contract::PostId(1), remote_ids };
    let id = recall.id;
    guest.running.orders.send(Order::Deliver(Box::new(recall))).await.unwrap();
    guest.outcome(id).await;
    assert!(network.lines().iter().any(|line| line.ends_with("REDACT #c :own1")), "{:?}", network.lines());
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_told_where_that_is_wanted() {
    for is_wanted in [false, true] {
        let network = Network::start(OLD).await;
        let mut config = config(&network);
        config.tell_recalls = is_wanted;
        let guest = Guest::ready(&network, config).await;
        let mut said = guest.double.delivery(&"#c".into(), post("Ming", Body::text("oops")));
        let of = said.job.post();
        if let Job::Say(say) = &mut said.job {
            "Ming".clone_into(&mut say.author_prefix);
        }
        let recall = |of| {
            let mut recall = guest.double.delivery(&"#c".into(), post("Ming", Body::text("")));
            recall.job = Job::Recall { post: of, remote_ids: Vec::new() };
            recall
        };
        // What was not said here is none of this channel's.
        for delivery in [said, recall(of), recall(PostId(99_999))] {
            let id = delivery.id;
            guest.running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
            assert!(ids(&guest.outcome(id).await).is_empty());
        }
        let told: Vec<String> =
            network.lines().into_iter().filter(|line| line.starts_with("NOTICE #c")).collect();
        let wanted = if is_wanted { vec!["NOTICE #c :Ming recalled a message"] } else { vec![] };
        assert_eq!(told, wanted);
    }
}

#[tokio::test]
async fn chats_get_their_turns_and_the_pace_is_kept() {
    let network = Network::start(OLD).await;
    let mut config = config(&network);
    config.limits.rate = Some(wxgate_irc::Rate { burst: 4.0, per_second: 4.0 });
    let double = Double::new();
    let guest = Guest::start(&double, config);
    double.link(&NETWORK.into(), &["#c", "bob"]);
    network.wait_line("MODE #c").await;
    let began = tokio::time::Instant::now();
    let long = guest.say("Ming", "1\n2\n3\n4").await;
    let short = guest.say_to("bob", "Ming", "short").await;
    guest.outcome(short).await;
    assert!(
        !double.state().outcomes.iter().any(|(id, _)| *id == long),
        "a long message holds up another chat"
    );
    guest.outcome(long).await;
    // Five lines and barriers beyond the burst.
    assert!(began.elapsed() > Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!(network.said("#c").len(), 4);
}

#[tokio::test]
async fn words_wait_while_a_netsplit_has_emptied_the_channel() {
    let network = Network::start(OLD).await;
    let mut config = config(&network);
    config.limits.company = Duration::from_secs(60);
    let guest = Guest::ready(&network, config).await;
    network.line(":bob!b@h QUIT :a.test b.test");
    network.line("PING :split");
    network.wait_line("PONG :split").await;
    let id = guest.say("Ming", "is anybody there?").await;
    network.line("PING :later");
    network.wait_line("PONG :later").await;
    assert_eq!(network.said("#c"), Vec::<String>::new());
    network.line(":bob!b@h JOIN #c");
    guest.outcome(id).await;
    assert_eq!(network.said("#c").len(), 1);
}

#[tokio::test]
async fn where_it_may_the_relay_speaks_under_other_names_and_else_under_its_own() {
    let network = Network::start(&format!("{MODERN} draft/relaymsg")).await;
    network.change(|manners| manners.isupport = "CASEMAPPING=rfc8265 NICKLEN=30".to_owned());
    let guest = Guest::ready(&network, config(&network)).await;
    let id = guest.say("张三", "in another name").await;
    assert_eq!(ids(&guest.outcome(id).await), ["own1"]);
    let line = network.wait("RELAYMSG", |net| net.lines().into_iter().find(|l| l.contains("RELAYMSG"))).await;
    assert!(line.ends_with(" RELAYMSG #c 张三/wx :in another name"), "{line}");
    assert_eq!(network.said("#c").len(), 0);
    // A line that is refused says nothing about the next.
    let invalid = "FAIL RELAYMSG INVALID_NICK :Invalid nickname";
    network.change(|manners| manners.refuses_relaymsg = Some(invalid));
    let id = guest.say("Quin", "a name that is not liked").await;
    assert_eq!(ids(&guest.outcome(id).await), ["own2"]);
    assert_eq!(network.said("#c"), ["<Quin> a name that is not liked"], "said by itself");
    network.change(|manners| manners.refuses_relaymsg = None);
    let id = guest.say("李四", "in another name again").await;
    assert_eq!(ids(&guest.outcome(id).await), ["own3"]);
    assert_eq!(network.said("#c").len(), 1);
    let privileged = "FAIL RELAYMSG PRIVS_NEEDED :You need to be an operator";
    network.change(|manners| manners.refuses_relaymsg = Some(privileged));
    let id = guest.say("李四", "refused").await;
    assert_eq!(ids(&guest.outcome(id).await), ["own4"]);
    assert_eq!(network.said("#c").split_off(1), ["<李四> refused"], "said once, by itself");
    let id = guest.say("李四", "and not tried again").await;
    guest.outcome(id).await;
    assert_eq!(network.lines().iter().filter(|line| line.contains("RELAYMSG")).count(), 4);
}

#[tokio::test]
async fn a_name_of_relaymsg_is_one_that_the_network_can_bear() {
    let network = Network::start(&format!("{MODERN} draft/relaymsg")).await;
    network.change(|manners| manners.isupport = "CASEMAPPING=ascii UTF8ONLY NICKLEN=12".to_owned());
    let guest = Guest::ready(&network, config(&network)).await;
    for (name, wanted) in [("张三", "zhangsan/wx"), ("Maximilian Ivanov", "Maximilia/wx")] {
        let id = guest.say(name, "hi").await;
        guest.outcome(id).await;
        let lines = network.lines();
        let line = lines.iter().rfind(|line| line.contains("RELAYMSG")).unwrap();
        assert!(line.ends_with(&format!(" RELAYMSG #c {wanted} :hi")), "{line}");
    }
    // Nothing is left of it in letters: it is said as it is.
    let id = guest.say("👻", "boo").await;
    guest.outcome(id).await;
    let last = network.lines().pop().unwrap();
    assert!(last.contains("boo"), "{last}");
}
