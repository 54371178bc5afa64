//! What is heard.

use wxgate_contract::conformance::Double;
use wxgate_contract::{Author, Body, ChatKind, ChatProfile, Member, Outcome, Post, Timestamp};

use crate::network::{Guest, MODERN, NETWORK, Network, OLD, config, text_of};

#[tokio::test]
async fn what_people_say_becomes_posts() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, config(&network)).await;
    network
        .line("@msgid=a1;time=2024-02-29T12:34:56.700Z;account=Bobby :bob!b@h PRIVMSG #C :\x02hi\x02 there");
    network.line("@msgid=a2;+draft/reply=a1 :eve!e@h PRIVMSG #c :\x01ACTION waves\x01");
    network.line("@msgid=a3 :eve!e@h NOTICE #c :noticed");
    network.line(":bob!b@h REDACT #c a1 :typo");
    let posts = guest.posts(4).await;
    assert_eq!((text_of(&posts[0]), posts[0].at), ("hi there", Timestamp(1_709_210_096_700)));
    assert_eq!(posts[0].chat.chat.as_str(), "#c");
    assert_eq!(posts[0].author, Author::Person { person: "=Bobby".into(), name: "bob".to_owned() });
    assert_eq!(posts[0].remote_id.as_str(), "a1");
    assert_eq!(posts[1].body, Body::Action { text: "waves".to_owned() });
    assert_eq!(posts[1].quote.as_ref().unwrap().target, Some("a1".into()));
    assert_eq!(text_of(&posts[2]), "noticed");
    assert!(matches!(&posts[3].body, Body::Recall { target: Some(id), .. } if id.as_str() == "a1"));
    let chats = guest.double.state().chats.clone();
    let profile = chats.get(&(NETWORK.into(), "#c".into())).unwrap();
    assert_eq!((&*profile.title, &*profile.topic), ("#c", "the topic"));
}

#[tokio::test]
async fn lines_that_are_not_utf8_are_read_and_end_nothing() {
    let network = Network::start(OLD).await;
    let mut config = config(&network);
    config.charset = wxgate_irc::Encoding::for_label(b"gb18030").unwrap();
    let guest = Guest::ready(&network, config).await;
    network.bytes(b":bob!b@h PRIVMSG #c :\xc4\xe3\xba\xc3");
    network.bytes(b":bob!b@h PRIVMSG #c :\xff\xfe broken");
    network.bytes("：".as_bytes());
    network.bytes(b"\0\0:");
    network.line(":bob!b@h PRIVMSG #c :你好 utf8");
    let posts = guest.posts(3).await;
    assert_eq!(text_of(&posts[0]), "你好");
    assert_eq!(text_of(&posts[2]), "你好 utf8");
    assert_eq!(network.connections(), 1);
}

#[tokio::test]
async fn what_we_said_ourselves_and_what_bots_say_is_not_heard() {
    let network = Network::start(MODERN).await;
    let guest = Guest::ready(&network, config(&network)).await;
    network.line("@msgid=b1 :relay!~u@host.example PRIVMSG #c :<Ming> echo of another client");
    network.line("@msgid=b2;bot :robot!r@h PRIVMSG #c :beep");
    network.line(":irc.test NOTICE #c :server words");
    network.line("@msgid=b3 :bob!b@h PRIVMSG #other :not linked");
    network.line("@msgid=b4 :bob!b@h PRIVMSG #c :a person");
    let posts = guest.posts(1).await;
    assert_eq!(posts.iter().map(text_of).collect::<Vec<_>>(), ["a person"]);
}

#[tokio::test]
async fn a_name_that_was_shown_can_be_addressed() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let id = guest.say("张三", "hello").await;
    guest.outcome(id).await;
    network.line(":bob!b@h PRIVMSG #c :张三: welcome");
    network.line(":bob!b@h PRIVMSG #c :relay: thanks @张三!");
    network.line(":bob!b@h PRIVMSG #c :李四: who is that");
    let posts = guest.posts(3).await;
    let named = |at: usize| {
        let mentions = &posts[at].mentions;
        mentions.iter().map(|m| (m.person.clone().unwrap().to_string(), m.range)).collect::<Vec<_>>()
    };
    assert_eq!(named(0), [("wechat:a/p-张三".to_owned(), (0, 6))]);
    assert_eq!(
        (text_of(&posts[1]), named(1)),
        ("thanks @张三!", vec![("wechat:a/p-张三".to_owned(), (7, 14))])
    );
    assert_eq!(named(2), []);
}

#[tokio::test]
async fn members_can_be_addressed_before_they_speak_and_after_a_restart() {
    let network = Network::start(OLD).await;
    let double = Double::new();
    let member = |key: &str, name: &str| Member {
        person: key.into(),
        name: name.to_owned(),
        is_self: key == "me",
        is_contact: false,
    };
    let group = ChatProfile {
        chat: "g".into(),
        kind: ChatKind::Group,
        title: "g".to_owned(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: Some(vec![member("me", "me"), member("p-anna", "安娜"), member("p-bo", "Bo")]),
        is_gone: false,
    };
    double.state().chats.insert(("wechat:a".into(), "g".into()), group);
    let guest = Guest::start(&double, config(&network));
    network.wait_line("MODE #c").await;
    let id = guest.say("张三", "hello").await;
    guest.outcome(id).await;
    network.line("@msgid=m1 :bob!b@h PRIVMSG #c :安娜: hi");
    network.line("@msgid=m2 :bob!b@h PRIVMSG #c :me: hi");
    let named = |post: &Post| post.mentions.iter().map(|m| m.person.clone().unwrap().to_string()).collect();
    let all: Vec<Vec<String>> = guest.posts(2).await.iter().map(named).collect();
    assert_eq!(all, [vec!["wechat:a/p-anna".to_owned()], vec![]]);
    guest.stop().await.unwrap();

    let guest = Guest::start(&double, config(&network));
    let is_in = |line: &String| line.starts_with("MODE #c");
    network.wait("a second MODE", |net| net.lines().into_iter().filter(is_in).nth(1)).await;
    network.line("@msgid=m3 :bob!b@h PRIVMSG #c :hi @张三 and @安娜");
    let posts = guest.posts(3).await;
    let named: Vec<String> = named(&posts[2]);
    assert_eq!(named, ["wechat:a/p-张三", "wechat:a/p-anna"]);
}

#[tokio::test]
async fn queries_are_linked_answered_or_told_that_nobody_reads() {
    let network = Network::start(OLD).await;
    let double = Double::new();
    let guest = Guest::start(&double, config(&network));
    double.link(&NETWORK.into(), &["#c", "friend"]);
    network.wait_line("MODE #c").await;
    network.line(":Friend!f@h PRIVMSG relay :for the link");
    network.line(":eve!e@h PRIVMSG relay :anybody?");
    network.line(":eve!e@h PRIVMSG relay :hello?");
    network.line(":eve!e@h PRIVMSG relay :\x01VERSION\x01");
    network.line(":eve!e@h PRIVMSG relay :\x01DCC SEND x 2130706433 1 1\x01");
    network.line(":eve!e@h NOTICE relay :\x01VERSION other\x01");
    let posts = guest.posts(1).await;
    assert_eq!((posts[0].chat.chat.as_str(), text_of(&posts[0])), ("friend", "for the link"));
    network.wait_line("NOTICE eve :\x01ERRMSG DCC").await;
    network.wait_line("NOTICE eve :\x01VERSION wxgate").await;
    let notices = network.lines().iter().filter(|line| line.starts_with("NOTICE eve :I am a relay")).count();
    assert_eq!(notices, 1);
}

#[tokio::test]
async fn a_linked_query_is_with_the_account_that_spoke_there_first() {
    let network = Network::start(MODERN).await;
    let double = Double::new();
    let guest = Guest::start(&double, config(&network));
    double.link(&NETWORK.into(), &["#c", "friend"]);
    network.wait_line("MODE #c").await;
    network.line("@msgid=q1 :friend!f@h PRIVMSG relay :nobody is signed in yet");
    network.line("@msgid=q2;account=Carol :Friend!f@h PRIVMSG relay :it is me");
    network.line("@msgid=q3 :friend!x@h PRIVMSG relay :so am I");
    network.line("@msgid=q4;account=mallory :friend!x@h PRIVMSG relay :and I");
    network.wait_line("NOTICE friend :This query is linked").await;
    let told = guest.posts(2).await;
    assert_eq!(told.iter().map(text_of).collect::<Vec<_>>(), ["nobody is signed in yet", "it is me"]);
    // Nor is anything said to them.
    let id = guest.say_to("friend", "Ming", "a secret").await;
    let Outcome::Refused { why } = guest.outcome(id).await else { panic!("it was said") };
    assert_eq!(why, "nobody who is signed in as Carol has this nick now");
    network.line("@msgid=q5;account=Carol :friend!f@h PRIVMSG relay :back again");
    guest.posts(3).await;
    let id = guest.say_to("friend", "Ming", "welcome").await;
    guest.outcome(id).await;
    guest.stop().await.unwrap();

    // After a restart nobody knows who has the nick.
    let guest = Guest::start(&double, config(&network));
    double.link(&NETWORK.into(), &["#c", "friend"]);
    let id = guest.say_to("friend", "Ming", "are you there?").await;
    network.wait_line("WHOIS friend").await;
    network.line(":irc.test 330 relay friend carol :is logged in as");
    network.line(":irc.test 318 relay friend :End of /WHOIS list.");
    assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
    assert_eq!(network.said("friend"), ["<Ming> welcome", "<Ming> are you there?"]);
    guest.stop().await.unwrap();
    let guest = Guest::start(&double, config(&network));
    double.link(&NETWORK.into(), &["#c", "friend"]);
    let id = guest.say_to("friend", "Ming", "and now?").await;
    let asked = |line: &String| line.starts_with("WHOIS friend");
    network.wait("another WHOIS", |net| net.lines().into_iter().filter(asked).nth(1)).await;
    network.line(":irc.test 401 relay friend :No such nick/channel");
    assert!(matches!(guest.outcome(id).await, Outcome::Refused { .. }));
}

#[tokio::test]
async fn who_comes_and_goes_is_told_only_when_it_is_wanted() {
    for wanted in [false, true] {
        let network = Network::start(OLD).await;
        let mut config = config(&network);
        config.show_joins = wanted;
        let guest = Guest::ready(&network, config).await;
        network.line(":eve!e@h JOIN #c");
        network.line(":eve!e@h QUIT :bye");
        network.line(":bob!b@h PRIVMSG #c :words");
        let posts = guest.posts(if wanted { 3 } else { 1 }).await;
        let texts: Vec<&str> = posts.iter().map(text_of).collect();
        assert_eq!(texts, if wanted { vec!["eve joined", "eve left", "words"] } else { vec!["words"] });
    }
}
