//! People with connections of their own.

use std::time::Duration;

use wxgate_contract::conformance::Double;
use wxgate_contract::{Author, Body, Job, Order, Outcome};
use wxgate_irc::{Ident, IrcClientConfig, Puppets, SourcePrefix};

use crate::network::{Guest, MODERN, NETWORK, Network, OLD, config, post, text_of};

pub(crate) fn with_puppets(network: &Network, most: usize) -> IrcClientConfig {
    let mut config = config(network);
    let idle = Duration::from_secs(24 * 3600);
    config.puppets = Some(Puppets { most, nick: "{nick}[wx]".to_owned(), idle, from: None });
    config.limits.puppet_pause = Duration::ZERO;
    config
}

/// Says something by somebody until their puppet says it; how often it took.
pub(crate) async fn until_by(guest: &Guest, network: &Network, name: &str, nick: &str) {
    for at in 0..500 {
        let text = format!("try {at} of {name}");
        let id = guest.say(name, &text).await;
        assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
        let said = network.said_by("#c");
        let (by, said) = said.last().unwrap();
        if by == nick {
            assert_eq!(*said, text, "a puppet needs no name in front");
            return;
        }
        assert_eq!((by.as_str(), said.as_str()), ("relay", &*format!("<{name}> {text}")));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{nick} never spoke: {:#?}", network.lines());
}

#[tokio::test]
async fn each_connects_from_an_address_of_its_own() {
    let network = Network::start(OLD).await;
    let mut config = with_puppets(&network, 10);
    let from: SourcePrefix = "127.7.0.0/16".parse().unwrap();
    config.puppets = config.puppets.map(|puppets| Puppets { from: Some(from), ..puppets });
    let guest = Guest::ready(&network, config).await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    until_by(&guest, &network, "Eve", "Eve[wx]").await;
    let peers: Vec<String> = network.peers().iter().map(|peer| peer.ip().to_string()).collect();
    assert_eq!(peers[0], "127.0.0.1", "the relay itself");
    assert!(peers[1].starts_with("127.7.") && peers[2].starts_with("127.7."), "{peers:?}");
    assert_ne!(peers[1], peers[2]);
}

#[tokio::test]
async fn without_that_address_the_relay_speaks() {
    let network = Network::start(OLD).await;
    let mut config = with_puppets(&network, 10);
    // Nobody has these (RFC 5737), and the network has no address of the other family.
    for prefix in ["192.0.2.0/24", "2001:db8::/64"] {
        let from: SourcePrefix = prefix.parse().unwrap();
        config.puppets = config.puppets.map(|puppets| Puppets { from: Some(from), ..puppets });
        let guest = Guest::ready(&network, config.clone()).await;
        for _ in 0..3 {
            let id = guest.say("Ming", prefix).await;
            guest.outcome(id).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        guest.stop().await.unwrap();
    }
    assert_eq!(network.said("#c").len(), 6);
    assert!(network.said("#c").iter().all(|line| line.starts_with("<Ming> ")));
}

#[tokio::test]
async fn who_speaks_gets_a_connection_and_until_then_the_relay_speaks() {
    for caps in [MODERN, OLD] {
        let network = Network::start(caps).await;
        let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
        until_by(&guest, &network, "张三", "zhangsan[wx]").await;
        until_by(&guest, &network, "Eve", "Eve[wx]").await;
        let id = guest.say("张三", "一\n二").await;
        let outcome = guest.outcome(id).await;
        let lines = network.said_by("#c");
        let last: Vec<&str> = lines
            .iter()
            .rev()
            .take(2)
            .map(|(by, text)| {
                assert_eq!(by, "zhangsan[wx]");
                text.as_str()
            })
            .collect();
        assert_eq!(last, ["二", "一"]);
        let Outcome::Sent { remote_ids } = outcome else { unreachable!() };
        assert_eq!(remote_ids.len(), if caps.is_empty() { 0 } else { 2 });
        let user = network.lines().into_iter().find(|line| line.contains("张三 (WeChat, by relay)")).unwrap();
        assert!(user.starts_with("USER u") && user.split(' ').nth(1).unwrap().len() == 9, "{user}");
        guest.stop().await.unwrap();
        network
            .wait("both to leave", |net| {
                (net.lines().iter().filter(|line| line.starts_with("QUIT :wxgate stops")).count() == 3)
                    .then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn what_a_puppet_had_in_hand_when_it_was_killed_comes_again_and_says_so() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    network.change(|manners| manners.is_mute = true);
    let id = guest.say("Ming", "in hand").await;
    network.wait("the line", |net| net.said("#c").contains(&"in hand".to_owned()).then_some(())).await;
    network.change(|manners| manners.is_mute = false);
    network.cut_nick("Ming[wx]");
    assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    let said = network.said_by("#c");
    assert_eq!(said.last().unwrap(), &("relay".to_owned(), "<Ming> [may be repeated] in hand".to_owned()));
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
}

#[tokio::test]
async fn a_line_that_a_puppet_does_not_get_through_is_said_by_the_relay_and_the_next_by_the_puppet() {
    const MANY: &str = ":irc.test 707 Ming[wx] #c :Targets changing too fast, message dropped";
    const FLOOD: &str = ":irc.test NOTICE Ming[wx] :*** Message to #c throttled due to flooding";
    const ECHO: &str = "message-tags echo-message";
    for (caps, told) in [
        (MODERN, MANY),
        (MODERN, FLOOD),
        (MODERN, ""),
        (ECHO, MANY),
        (ECHO, FLOOD),
        (ECHO, ""),
        (OLD, MANY),
        (OLD, FLOOD),
    ] {
        let network = Network::start(caps).await;
        let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
        until_by(&guest, &network, "Ming", "Ming[wx]").await;
        network.change(|manners| manners.drops = Some(("Ming[wx]", told)));
        let id = guest.say("Ming", "dropped").await;
        let outcome = guest.outcome(id).await;
        let ids = if let Outcome::Sent { remote_ids } = &outcome { remote_ids.len() } else { 9 };
        assert_eq!(ids, usize::from(caps != OLD), "{caps} {told}: {outcome:?}");
        network.change(|manners| manners.drops = None);
        let id = guest.say("Ming", "next").await;
        guest.outcome(id).await;
        let said = network.said_by("#c");
        let said: Vec<(&str, &str)> = said.iter().rev().take(3).map(|(by, text)| (&**by, &**text)).collect();
        let wanted = [("Ming[wx]", "next"), ("relay", "<Ming> dropped"), ("Ming[wx]", "dropped")];
        assert_eq!(said, wanted, "{caps} {told}");
        guest.stop().await.unwrap();
    }
}

#[tokio::test]
async fn where_a_puppet_is_not_let_in_the_relay_speaks_and_a_refused_nick_is_written_in_letters() {
    let network = Network::start(MODERN).await;
    network.change(|manners| {
        manners.bad_nick = "[]";
        manners.bars_nick = Some("Annawx".to_owned());
    });
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    until_by(&guest, &network, "Ming", "Mingwx").await;
    for at in 0..30 {
        let id = guest.say("Anna", &format!("{at}")).await;
        guest.outcome(id).await;
    }
    network.wait_line("JOIN #c").await;
    assert!(network.said_by("#c").iter().all(|(by, _)| by != "Annawx"));
}

#[tokio::test]
async fn long_names_are_cut_to_what_the_network_bears_and_keep_their_signs() {
    for refuses_long_nicks in [false, true] {
        let network = Network::start(MODERN).await;
        network.change(|manners| {
            "CASEMAPPING=ascii NICKLEN=16".clone_into(&mut manners.isupport);
            manners.refuses_long_nicks = refuses_long_nicks;
            manners.taken = vec!["Maximiliane[wx]".to_owned()];
        });
        let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
        until_by(&guest, &network, "Christopher Johnson", "Christopher[wx]").await;
        until_by(&guest, &network, "Maximiliane", "Maximilian_2[wx]").await;
        until_by(&guest, &network, "Ming", "Ming[wx]").await;
    }
}

#[tokio::test]
async fn a_template_that_leaves_no_room_says_nothing_about_its_signs() {
    let network = Network::start(MODERN).await;
    network.change(|manners| {
        "CASEMAPPING=ascii NICKLEN=8".clone_into(&mut manners.isupport);
        manners.refuses_long_nicks = true;
    });
    let mut config = with_puppets(&network, 10);
    config.puppets = config.puppets.map(|puppets| Puppets { nick: "{nick}[wechat]".to_owned(), ..puppets });
    let guest = Guest::ready(&network, config).await;
    for at in 0..40 {
        let id = guest.say("Ming", &format!("{at}")).await;
        guest.outcome(id).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let tried: Vec<String> = network.lines().into_iter().filter(|line| line.starts_with("NICK M")).collect();
    assert_eq!(tried, ["NICK M[wechat]"]);
    assert!(!guest.double.state().notes.keys().any(|(_, key)| key.starts_with("puppets/")));
}

#[tokio::test]
async fn nicks_that_the_network_refused_are_not_tried_again_with_the_next_connection_or_start() {
    let network = Network::start(MODERN).await;
    network.change(|manners| manners.bad_nick = "[]");
    let refused = |net: &Network| net.lines().iter().filter(|line| line.contains("NICK Ming[wx]")).count();
    let double = Double::new();
    let guest = Guest::start(&double, with_puppets(&network, 10));
    network.wait_line("MODE #c").await;
    until_by(&guest, &network, "Ming", "Mingwx").await;
    assert_eq!(refused(&network), 1);
    network.cut();
    let modes = |net: &Network| net.lines().iter().filter(|line| *line == "MODE #c").count();
    network.wait("the relay to be back", |net| (modes(net) == 2).then_some(())).await;
    until_by(&guest, &network, "Ming", "Mingwx").await;
    guest.stop().await.unwrap();
    // What a run wrote is on disk when it ends.
    let guest = Guest::start(&double, with_puppets(&network, 10));
    until_by(&guest, &network, "Ming", "Mingwx").await;
    assert_eq!(refused(&network), 1, "{:#?}", network.lines());
    guest.stop().await.unwrap();
    // Another template is another question.
    network.change(|manners| manners.bad_nick = "");
    let mut config = with_puppets(&network, 10);
    config.puppets = config.puppets.map(|puppets| Puppets { nick: "[{nick}]".to_owned(), ..puppets });
    let guest = Guest::start(&double, config);
    until_by(&guest, &network, "Ming", "[Ming]").await;
    assert_eq!(refused(&network), 1);
}

#[tokio::test]
async fn one_whose_nick_is_refused_in_letters_too_keeps_nobody_from_having_one() {
    let network = Network::start(MODERN).await;
    network.change(|manners| manners.bad_nick = "[]Q");
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    for at in 0..40 {
        let id = guest.say("Quin", &format!("{at}")).await;
        guest.outcome(id).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let tried = network.lines().iter().filter(|line| line.starts_with("NICK Quin")).count();
    assert_eq!(tried, 2, "with signs, and in letters");
    until_by(&guest, &network, "Ming", "Mingwx").await;
}

#[tokio::test]
async fn there_are_never_more_than_the_ceiling_lets() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, with_puppets(&network, 2)).await;
    until_by(&guest, &network, "One", "One[wx]").await;
    until_by(&guest, &network, "Two", "Two[wx]").await;
    for at in 0..20 {
        let id = guest.say("Three", &format!("{at}")).await;
        guest.outcome(id).await;
    }
    assert_eq!(network.connections(), 3, "the relay and two people");
    assert_eq!(network.said_by("#c").last().unwrap(), &("relay".to_owned(), "<Three> 19".to_owned()));
}

#[tokio::test]
async fn the_relay_hears_no_puppet_and_people_address_them_by_nick() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    until_by(&guest, &network, "张三", "zhangsan[wx]").await;
    network.line_to("relay", ":zhangsan[wx]!u1@h PRIVMSG #c :what the network shows of it");
    network.line_to("relay", ":bob!b@h PRIVMSG #c :zhangsan[wx]: hello");
    let posts = guest.posts(1).await;
    assert_eq!(text_of(&posts[0]), "zhangsan[wx]: hello");
    assert_eq!(posts[0].mentions.len(), 1);
    assert_eq!(posts[0].mentions[0].person.as_ref().unwrap().as_str(), "wechat:a/p-张三");
}

#[tokio::test]
async fn who_said_something_takes_it_back() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    let id = guest.say("Ming", "oops").await;
    let Outcome::Sent { remote_ids } = guest.outcome(id).await else { panic!("not sent") };
    let line = format!("REDACT #c :{}", remote_ids[0]);
    let mut recall = guest.double.delivery(&"#c".into(), post("Ming", Body::text("")));
    recall.job = Job::Recall { post: wxgate_contract::PostId(1), remote_ids };
    let id = recall.id;
    guest.running.orders.send(Order::Deliver(Box::new(recall))).await.unwrap();
    assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    assert_eq!(network.by(&line), ["Ming[wx]"], "nobody else may");
    // The network tells everybody in the channel, the relay too: it is no recall of somebody's.
    network.line_to("relay", &format!(":Ming[wx]!u1@h {line}"));
    network.line_to("relay", ":bob!b@h PRIVMSG #c :after it");
    let posts = guest.posts(1).await;
    assert_eq!(posts.iter().map(text_of).collect::<Vec<_>>(), ["after it"]);
}

#[tokio::test]
async fn who_is_called_otherwise_from_now_on_is_so_on_the_network_too() {
    let network = Network::start(&format!("{MODERN} setname")).await;
    let double = Double::new();
    let guest = Guest::start(&double, with_puppets(&network, 10));
    double.link(&NETWORK.into(), &["#c", "#d"]);
    network
        .wait("both channels", |net| {
            (net.lines().iter().filter(|line| line.starts_with("MODE #")).count() == 2).then_some(())
        })
        .await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    let say = async |chat: &str, name: &str| {
        let mut delivery = double.delivery(&chat.into(), post("Ming", Body::text("words")));
        let Job::Say(say) = &mut delivery.job else { unreachable!() };
        name.clone_into(&mut say.author_prefix);
        let id = delivery.id;
        guest.running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
        guest.outcome(id).await
    };
    // Another chat may know the same person by another name.
    say("#d", "Ming of D").await;
    say("#c", "Ming").await;
    say("#d", "Ming of D").await;
    let nicks = network.lines().iter().filter(|line| line.starts_with("NICK Ming")).count();
    assert_eq!(nicks, 1, "{:#?}", network.lines());
    say("#c", "Minna").await;
    network.wait_line("SETNAME :Minna (WeChat, by relay)").await;
    network.wait_line("NICK Minna[wx]").await;
}

#[tokio::test]
async fn a_channel_that_is_linked_again_is_entered_again_by_people_too() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    guest.double.link(&NETWORK.into(), &["#d"]);
    let has_left = |net: &Network| net.by("PART #c").contains(&"Ming[wx]".to_owned()).then_some(());
    network.wait("Ming to leave", has_left).await;
    guest.double.link(&NETWORK.into(), &["#c", "#d"]);
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
}

#[tokio::test]
async fn a_query_reaches_the_person_where_it_is_linked_and_else_gets_an_answer() {
    let network = Network::start(MODERN).await;
    let double = Double::new();
    let guest = Guest::start(&double, with_puppets(&network, 10));
    double.link(&NETWORK.into(), &["#c", "carol"]);
    network.wait_line("MODE #c").await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    network.line_to("Ming[wx]", ":bob!b@h PRIVMSG Ming[wx] :psst");
    network.line_to("Ming[wx]", ":bob!b@h PRIVMSG Ming[wx] :psst again");
    network.line_to("Ming[wx]", ":bob!b@h PRIVMSG Ming[wx] :\u{1}VERSION\u{1}");
    network.wait_line("NOTICE bob :\u{1}VERSION wxgate").await;
    let told = network.lines().iter().filter(|line| line.starts_with("NOTICE bob :I am on WeChat")).count();
    assert_eq!(told, 1);
    // Ming speaks in the query that is linked with carol, and carol answers there.
    let id = guest.say_to("carol", "Ming", "hi carol").await;
    guest.outcome(id).await;
    assert_eq!(network.said_by("carol"), [("Ming[wx]".to_owned(), "hi carol".to_owned())]);
    network.line_to("Ming[wx]", ":Carol!c@h PRIVMSG Ming[wx] :hi Ming");
    network.line_to("Ming[wx]", "@account=carrie :Carol!c@h PRIVMSG Ming[wx] :signed in");
    let posts = guest.posts(2).await;
    assert_eq!((posts[0].chat.chat.as_str(), text_of(&posts[0])), ("carol", "hi Ming"));
    assert!(matches!(&posts[0].author, Author::Person { name, .. } if name == "Carol"));
    // One person in the channel and in the query: by the account, which the puppet asks to be told.
    assert!(matches!(&posts[1].author, Author::Person { person, .. } if person.as_str() == "=carrie"));
    let asked =
        network.lines().iter().filter(|line| line.starts_with("CAP REQ ")).cloned().collect::<Vec<_>>();
    assert!(asked.len() > 1 && asked.iter().all(|line| line.contains("account-tag")), "{asked:#?}");
}

#[tokio::test]
async fn a_query_that_reaches_nobody_is_tried_by_the_puppet_and_by_the_relay_once() {
    for caps in [MODERN, OLD] {
        let network = Network::start(caps).await;
        let double = Double::new();
        let guest = Guest::start(&double, with_puppets(&network, 10));
        double.link(&NETWORK.into(), &["#c", "carol"]);
        network.wait_line("MODE #c").await;
        until_by(&guest, &network, "Ming", "Ming[wx]").await;
        network.change(|manners| manners.refuses = Some(("401", "No such nick")));
        let id = guest.say_to("carol", "Ming", "hi carol").await;
        let outcome = guest.outcome(id).await;
        assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("No such nick")), "{outcome:?}");
        let said = network.said_by("carol");
        let said: Vec<(&str, &str)> = said.iter().map(|(by, text)| (by.as_str(), text.as_str())).collect();
        assert_eq!(said, [("Ming[wx]", "hi carol"), ("relay", "<Ming> hi carol")]);
        // Who writes is there again.
        network.change(|manners| manners.refuses = None);
        network.line_to("Ming[wx]", ":carol!c@h PRIVMSG Ming[wx] :hi Ming");
        guest.posts(1).await;
        let id = guest.say_to("carol", "Ming", "there you are").await;
        guest.outcome(id).await;
        assert_eq!(network.said_by("carol")[2], ("Ming[wx]".to_owned(), "there you are".to_owned()));
    }
}

#[tokio::test]
async fn a_network_that_bears_no_more_is_not_pressed() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, with_puppets(&network, 10)).await;
    network.change(|manners| manners.farewell = Some("Closing link: (K-lined)"));
    for at in 0..40 {
        let id = guest.say("Ming", &format!("{at}")).await;
        assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    }
    assert!(network.connections() <= 3, "{}", network.connections());
    assert_eq!(network.said_by("#c").len(), 40);
}

#[tokio::test]
async fn the_ident_server_says_who_is_behind_each_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let network = Network::start(OLD).await;
    let mut config = with_puppets(&network, 10);
    let ident = Ident::default();
    config.ident = Some(ident.clone());
    let guest = Guest::ready(&network, config).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_handle, stop) = wxgate_contract::StopHandle::new();
    tokio::spawn(ident.serve(listener, stop));
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    let our_port = network.address.rsplit_once(':').unwrap().1.to_owned();
    let mut users = Vec::new();
    for peer in network.peers() {
        let mut asking = tokio::net::TcpStream::connect(address).await.unwrap();
        asking.write_all(format!("{}, {our_port}\r\n", peer.port()).as_bytes()).await.unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.unwrap();
        users.push(answer.trim().rsplit_once(" : ").unwrap().1.to_owned());
    }
    assert_eq!(users[0], "relay");
    assert!(users[1].starts_with('u') && users[1].len() == 9, "{users:?}");
}
