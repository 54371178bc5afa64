//! Messages of several lines in one, where the network takes them.

use std::time::Duration;

use wxgate_contract::Outcome;
use wxgate_irc::Puppets;

use crate::network::{Guest, MODERN, Network, config, text_of};

async fn network(value: &str) -> Network {
    Network::start(&format!("{MODERN} draft/multiline={value}")).await
}

fn batches(network: &Network) -> usize {
    network.lines().iter().filter(|line| line.contains("BATCH +")).count()
}

#[tokio::test]
async fn what_has_several_lines_is_said_as_one_and_has_one_id() {
    let network = network("max-bytes=4096,max-lines=24").await;
    let guest = Guest::ready(&network, config(&network)).await;
    let id = guest.say("Ming", "one\ntwo\nthree").await;
    assert_eq!(guest.outcome(id).await, Outcome::Sent { remote_ids: vec!["own1".into()] });
    assert_eq!(network.said("#c"), ["one", "two", "three"].map(|text| format!("<Ming> {text}")));
    assert_eq!(batches(&network), 1);
    // A single line needs none, and what is too long goes as three lines and a link.
    let id = guest.say("Ming", "one").await;
    guest.outcome(id).await;
    let id = guest.say("Ming", "1\n2\n3\n4\n5").await;
    guest.outcome(id).await;
    assert_eq!(batches(&network), 2);
    assert_eq!(network.said("#c").len(), 3 + 1 + 4);
}

#[tokio::test]
async fn what_the_network_holds_too_long_goes_line_by_line() {
    for value in ["max-bytes=20,max-lines=24", "max-bytes=4096,max-lines=2", "max-lines=24", ""] {
        let network = network(value).await;
        let guest = Guest::ready(&network, config(&network)).await;
        let id = guest.say("Ming", "one\ntwo\nthree").await;
        let ids = ["own1", "own2", "own3"].map(Into::into).to_vec();
        assert_eq!(guest.outcome(id).await, Outcome::Sent { remote_ids: ids }, "{value}");
        assert_eq!(batches(&network), 0, "{value}");
    }
    // Or says so when it comes.
    let network = network("max-bytes=4096").await;
    network.change(|manners| manners.refuses_batches = true);
    let guest = Guest::ready(&network, config(&network)).await;
    for _ in 0..2 {
        let id = guest.say("Ming", "one\ntwo").await;
        assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    }
    assert_eq!(batches(&network), 1, "it is not tried again");
    // The batch that was refused, and two messages.
    let said = ["one", "two", "one", "two", "one", "two"].map(|text| format!("<Ming> {text}"));
    assert_eq!(network.said("#c"), said);
}

#[tokio::test]
async fn what_was_on_its_way_as_one_comes_again_as_one_with_marks() {
    let network = network("max-bytes=4096").await;
    let guest = Guest::ready(&network, config(&network)).await;
    network.change(|manners| manners.is_mute = true);
    let id = guest.say("Ming", "one\ntwo").await;
    network.wait_said("#c", 2).await;
    network.change(|manners| manners.is_mute = false);
    network.cut();
    assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    let wanted = ["one", "two", "[may be repeated] one", "[may be repeated] two"];
    assert_eq!(network.said("#c"), wanted.map(|text| format!("<Ming> {text}")));
    assert_eq!(batches(&network), 2);
}

#[tokio::test]
async fn people_with_connections_of_their_own_say_long_lines_whole() {
    let network = network("max-bytes=4096").await;
    let mut config = config(&network);
    let idle = Duration::from_secs(24 * 3600);
    config.puppets = Some(Puppets { most: 10, nick: "{nick}[wx]".to_owned(), idle, from: None });
    config.limits.puppet_pause = Duration::ZERO;
    let guest = Guest::ready(&network, config).await;
    crate::puppets::until_by(&guest, &network, "Ming", "Ming[wx]").await;
    let before = network.said("#c").len();
    let text = format!("{}\nshort", "家和万事兴。".repeat(30));
    let id = guest.say("Ming", &text).await;
    let Outcome::Sent { remote_ids } = guest.outcome(id).await else { panic!("not sent") };
    assert_eq!(remote_ids.len(), 1);
    let said = &network.said_by("#c")[before..];
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().all(|(by, _)| by == "Ming[wx]"));
    let concat = network.lines().into_iter().filter(|line| line.contains("draft/multiline-concat")).count();
    assert_eq!(concat, 1, "the long line goes on");
    assert_eq!(format!("{}{}\n{}", said[0].1, said[1].1, said[2].1), text);
    // Where it is refused the person goes on line by line, and stays.
    network.change(|manners| manners.refuses_batches = true);
    let id = guest.say("Ming", "a\nb").await;
    assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    let said = network.said_by("#c");
    let last: Vec<(&str, &str)> = said.iter().rev().take(2).map(|(by, text)| (&**by, &**text)).collect();
    assert_eq!(last, [("Ming[wx]", "b"), ("Ming[wx]", "a")]);
}

#[tokio::test]
async fn what_people_say_in_several_lines_is_one_message() {
    let network = network("max-bytes=4096").await;
    let guest = Guest::ready(&network, config(&network)).await;
    for line in [
        "@msgid=m1;account=bob :bob!b@h BATCH +x draft/multiline #c",
        "@batch=x :bob!b@h PRIVMSG #c :one",
        ":carol!c@h PRIVMSG #c :meanwhile",
        "@batch=x :bob!b@h PRIVMSG #c :",
        "@batch=x :bob!b@h PRIVMSG #c :two, ",
        "@batch=x;draft/multiline-concat :bob!b@h PRIVMSG #c :and more",
        ":irc.test BATCH -x",
        ":carol!c@h PRIVMSG #c :behind",
    ] {
        network.line(line);
    }
    let posts = guest.posts(3).await;
    let texts: Vec<&str> = posts.iter().map(text_of).collect();
    assert_eq!(texts, ["meanwhile", "one\n\ntwo, and more", "behind"]);
    assert_eq!(posts[1].remote_id.as_str(), "m1");
    let wxgate_contract::Author::Person { person, .. } = &posts[1].author else { panic!("nobody") };
    assert_eq!(person.as_str(), "=bob");
    // One without end is not waited for without end.
    network.line("@msgid=m2 :bob!b@h BATCH +y draft/multiline #c");
    for _ in 0..60 {
        network.line(&format!("@batch=y :bob!b@h PRIVMSG #c :{}", "x".repeat(400)));
    }
    let posts = guest.posts(5).await;
    assert_eq!(posts[3].remote_id.as_str(), "m2");
    assert!(text_of(&posts[3]).len() <= 16 * 1024 && text_of(&posts[4]).len() == 400);
}
