//! To the letter of Modern IRC and IRCv3, among users of the gateway: what one types, what the others see.

use base64::Engine as _;

use crate::client::{Client, Served, numerics, serve, world};
use crate::local::{guest, open, two};

fn tag<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (tags, _) = line.strip_prefix('@')?.split_once(' ')?;
    tags.split(';').find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
}

fn body(line: &str) -> &str {
    line.strip_prefix('@').and_then(|line| line.split_once(' ')).map_or(line, |(_, body)| body)
}

fn bodies(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| body(line)).collect()
}

#[tokio::test]
async fn user_needs_a_name_and_a_real_name() {
    let served = serve(world(), open()).await;
    let mut client = Client::connect(served.address).await;
    client.send("NICK foo").await;
    for line in ["USER u 0 * :", "USER u 0 *", "USER", "USER : 0 * :real"] {
        client.send(line).await;
        assert_eq!(client.next().await.unwrap(), ":wx.test 461 foo USER :Not enough parameters", "{line}");
    }
    client.send("USER u 0 * :real").await;
    client.until(" 221 foo ").await;
}

#[tokio::test]
async fn capabilities_are_negotiated_to_the_letter() {
    let served = serve(world(), open()).await;
    let mut client = Client::connect(served.address).await;
    for (line, answer) in [
        ("CAP LIST", ":wx.test CAP * LIST :"),
        ("CAP REQ :foo qux bar baz qux quux", ":wx.test CAP * NAK :foo qux bar baz qux quux"),
        ("CAP REQ :foo multi-prefix bar", ":wx.test CAP * NAK :foo multi-prefix bar"),
        ("CAP REQ :multi-prefix", ":wx.test CAP * ACK :multi-prefix"),
        ("CAP REQ :-multi-prefix multi-prefix", ":wx.test CAP * ACK :-multi-prefix multi-prefix"),
        ("CAP LIST", ":wx.test CAP * LIST :multi-prefix"),
        ("CAP REQ multi-prefix", ":wx.test CAP * ACK :multi-prefix"),
        ("CAP NOTACOMMAND", ":wx.test 410 * NOTACOMMAND :Invalid CAP command"),
        ("CAP", ":wx.test 461 * CAP :Not enough parameters"),
    ] {
        client.send(line).await;
        assert_eq!(client.next().await.unwrap(), answer, "{line}");
    }
    client.send("NICK foo").await;
    client.send("USER u 0 * :real").await;
    client.send("CAP END").await;
    client.until(" 221 ").await;
    assert_eq!(client.ask("CAP REQ :server-time").await, [":wx.test CAP foo ACK :server-time"]);
    assert_eq!(client.ask("CAP LIST").await, [":wx.test CAP foo LIST :server-time multi-prefix"]);
    assert_eq!(client.ask("CAP REQ :-server-time").await, [":wx.test CAP foo ACK :-server-time"]);
    assert!(client.ask("CAP END").await.is_empty());
}

#[tokio::test]
async fn a_channel_is_given_another_name() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "draft/channel-rename").await;
    let mut old = guest(&served, "old", "").await;
    old.ask("JOIN #room").await;
    ann.ask("TOPIC #room :about").await;
    for client in [&mut bob, &mut old] {
        client.sync().await;
    }
    assert_eq!(
        bob.ask("RENAME #room #hall :x").await,
        [":wx.test 482 bob #room :You're not channel operator"]
    );
    assert_eq!(ann.ask("RENAME #none #hall").await, [":wx.test 403 anna #none :No such channel"]);
    old.ask("JOIN #taken").await;
    let lines = ann.ask("RENAME #room #taken").await;
    assert!(lines[0].starts_with(":wx.test FAIL RENAME CHANNEL_NAME_IN_USE #room #taken :"), "{lines:#?}");
    let lines = ann.ask("RENAME #room nothing").await;
    assert!(lines[0].starts_with(":wx.test FAIL RENAME CANNOT_RENAME #room nothing :"), "{lines:#?}");
    let line = ":anna!~anna@wxgate RENAME #room #Hall :no reason";
    assert_eq!(ann.ask("RENAME #room #Hall :no reason").await, [line]);
    assert_eq!(bob.sync().await, [line]);
    let lines = old.sync().await;
    assert_eq!(lines[0], ":old!~old@wxgate PART #room :no reason");
    assert_eq!(lines[1], ":old!~old@wxgate JOIN #Hall");
    assert_eq!(numerics(&lines[2..]), ["332", "333", "353", "366"]);
    assert_eq!(bob.ask("PRIVMSG #room :x").await, [":wx.test 403 bob #room :No such channel"]);
    bob.ask("PRIVMSG #hall :hi").await;
    for client in [&mut old, &mut ann] {
        assert_eq!(client.sync().await, [":bob!~bob@wxgate PRIVMSG #Hall :hi"]);
    }
    let mut late = guest(&served, "late", "").await;
    assert!(late.ask("JOIN #room").await[0].ends_with(" JOIN #room"), "the old name is free");
    assert_eq!(ann.ask("RENAME #Hall #HALL").await, [":anna!~anna@wxgate RENAME #Hall #HALL :"]);
    assert!(old.sync().await.is_empty(), "only the spelling changed");
    ann.ask("MODE #hall +o old").await;
    old.sync().await;
    let lines = old.ask("RENAME #hall #shed").await;
    assert_eq!(
        lines[..2],
        [":old!~old@wxgate PART #HALL", ":old!~old@wxgate JOIN #shed"],
        "without the capability"
    );
}

#[tokio::test]
async fn keys_are_not_shown_and_have_to_fit() {
    let served = serve(world(), open()).await;
    let (mut ann, _bob) = two(&served, "").await;
    for key in [":two words", ":", "a,b", &"k".repeat(100)] {
        let lines = ann.ask(&format!("MODE #room +k {key}")).await;
        assert_eq!(lines, [":wx.test 696 anna #room k * :Invalid mode parameter"], "{key}");
    }
}

/// What was typed as one line stays one line, of which others see what fits.
#[tokio::test]
async fn a_line_at_the_limit_arrives_as_one() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "message-tags echo-message standard-replies").await;
    let mut whole = guest(&served, "whole", "message-tags batch draft/multiline").await;
    whole.ask("JOIN #room").await;
    for client in [&mut ann, &mut bob] {
        client.sync().await;
    }
    let (fits, over) = ("a".repeat(4081), "a".repeat(4082));
    let text = "b".repeat(496);
    let lines = ann.ask(&format!("@foo=bar;+baz={fits} PRIVMSG #room {text}")).await;
    let [echo, warning] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!(tag(echo, "+baz"), Some(fits.as_str()));
    assert_eq!(tag(echo, "foo"), None);
    assert!(body(warning).starts_with(":wx.test WARN PRIVMSG MESSAGE_TRUNCATED #room :"), "{warning}");
    let relayed = bob.sync().await;
    assert_eq!(relayed, [echo.as_str()], "one line, of 512 bytes");
    assert_eq!(body(echo).len(), 510);
    let lines = whole.sync().await;
    let texts: String = lines.iter().filter_map(|line| Some(line.split_once("#room :")?.1)).collect();
    assert_eq!((lines.len(), texts), (4, text), "nothing is lost to who takes several lines");
    for line in
        [format!("@foo=bar;+baz={over} PRIVMSG #room x"), format!("PRIVMSG #room :{}", "x".repeat(500))]
    {
        assert_eq!(ann.ask(&line).await, [":wx.test 417 anna :Input line was too long"]);
    }
    let lines = ann.ask(&format!("@foo=bar;+baz={fits} TAGMSG #room")).await;
    assert_eq!(tag(&lines[0], "+baz"), Some(fits.as_str()));
    assert_eq!(bob.sync().await, lines);
}

#[tokio::test]
async fn tags_that_last_are_part_of_the_history() {
    let served = serve(world(), open()).await;
    let caps = "message-tags batch server-time draft/chathistory echo-message";
    let mut ann = guest(&served, "anna", &format!("{caps} draft/event-playback")).await;
    let mut bob = guest(&served, "bob", caps).await;
    ann.ask("JOIN #room").await;
    bob.ask("JOIN #room").await;
    ann.sync().await;
    for target in ["#room", "bob"] {
        let echo = ann.ask(&format!("@+draft/react=👍;+draft/reply=x TAGMSG {target}")).await.remove(0);
        ann.ask(&format!("@+typing=active TAGMSG {target}")).await;
        assert_eq!(bob.sync().await[0], echo);
        let lines = ann.ask(&format!("CHATHISTORY LATEST {target} * 10")).await;
        let found: Vec<&String> = lines.iter().filter(|line| line.contains(" TAGMSG ")).collect();
        assert_eq!(found.len(), 1, "typing is over: {lines:#?}");
        assert_eq!(tag(found[0], "msgid"), tag(&echo, "msgid"));
        assert_eq!(tag(found[0], "+draft/react"), Some("👍"));
        let other = if target == "bob" { "anna" } else { target };
        let lines = bob.ask(&format!("CHATHISTORY LATEST {other} * 10")).await;
        assert!(!lines.iter().any(|line| line.contains(" TAGMSG ")), "without event-playback: {lines:#?}");
    }
}

#[tokio::test]
async fn invisible_users_show_shared_channels_only() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "").await;
    let mut bob = guest(&served, "bob", "").await;
    ann.ask("JOIN #room").await;
    assert!(numerics(&bob.ask("WHOIS anna").await).contains(&"319"));
    ann.ask("MODE anna +i").await;
    assert!(!numerics(&bob.ask("WHOIS anna").await).contains(&"319"));
    assert!(numerics(&ann.ask("WHOIS anna").await).contains(&"319"), "of oneself one sees all");
    bob.ask("JOIN #room").await;
    assert!(numerics(&bob.ask("WHOIS anna").await).contains(&"319"));
}

#[tokio::test]
async fn several_are_kicked_in_one_line() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    let mut eve = guest(&served, "eve", "").await;
    eve.ask("JOIN #room").await;
    ann.sync().await;
    let lines = ann.ask("KICK #room,#room bob,eve :bye").await;
    let expected = [":anna!~anna@wxgate KICK #room bob :bye", ":anna!~anna@wxgate KICK #room eve :bye"];
    assert_eq!(lines, expected);
    assert_eq!(bob.sync().await.last().unwrap(), expected[0], "who is gone sees no more");
    assert_eq!(eve.sync().await, expected);
}

#[tokio::test]
async fn a_message_can_be_for_those_of_a_rank() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "echo-message").await;
    assert_eq!(bob.ask("PRIVMSG @#room :help").await, [":bob!~bob@wxgate PRIVMSG @#room :help"]);
    assert_eq!(ann.sync().await, [":bob!~bob@wxgate PRIVMSG @#room :help"]);
    ann.ask("NOTICE @#room :ops only").await;
    assert!(bob.sync().await.is_empty());
    ann.ask("MODE #room +v bob").await;
    bob.sync().await;
    ann.ask("PRIVMSG +#room :voices").await;
    assert_eq!(bob.sync().await, [":anna!~anna@wxgate PRIVMSG +#room :voices"]);
    assert_eq!(bob.ask("PRIVMSG @#none :x").await, [":wx.test 403 bob #none :No such channel"]);
}

/// Ten connections may share an account: those that left do not count.
#[tokio::test]
async fn connections_that_quit_are_forgotten() {
    let served = serve(world(), open()).await;
    let mut stays = Client::login(&served, "stays", "").await;
    for _ in 0..12 {
        let mut client = Client::login(&served, "comes", "").await;
        client.send("QUIT :and goes").await;
        client.rest().await;
    }
    let lines = stays.ask("LUSERS").await;
    assert!(lines.iter().any(|line| line.contains(" 265 ann 1 2 :")), "{lines:#?}");
}

#[tokio::test]
async fn people_are_counted() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "").await;
    let mut bob = guest(&served, "bob", "").await;
    bob.ask("MODE bob +i").await;
    let mut eve = Client::connect(served.address).await;
    eve.send("NICK eve").await;
    eve.send("PING x").await;
    eve.until("PONG").await;
    assert_eq!(
        ann.ask("LUSERS").await,
        [
            ":wx.test 251 anna :There are 1 users and 1 invisible on 1 servers",
            ":wx.test 252 anna 0 :operator(s) online",
            ":wx.test 253 anna 1 :unknown connection(s)",
            ":wx.test 254 anna 0 :channels formed",
            ":wx.test 255 anna :I have 2 clients and 0 servers",
            ":wx.test 265 anna 2 2 :Current local users 2, max 2",
            ":wx.test 266 anna 2 2 :Current global users 2, max 2",
        ]
    );
    bob.send("QUIT").await;
    bob.rest().await;
    let lines = ann.ask("LUSERS").await;
    assert_eq!(lines[5], ":wx.test 265 anna 1 2 :Current local users 1, max 2");
    assert_eq!(lines[6], ":wx.test 266 anna 1 2 :Current global users 1, max 2");
}

async fn log_in(served: &Served, client: &mut Client, password: &str) -> Vec<String> {
    let _ = served;
    let secret = base64::engine::general_purpose::STANDARD.encode(format!("ann\0ann\0{password}"));
    assert_eq!(client.ask("AUTHENTICATE PLAIN").await, ["AUTHENTICATE +"]);
    client.ask(&format!("AUTHENTICATE {secret}")).await
}

#[tokio::test]
async fn a_guest_may_log_in_later() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "account-notify account-tag").await;
    let mut bob = guest(&served, "bob", "account-notify").await;
    let mut far = guest(&served, "far", "account-notify extended-monitor").await;
    ann.ask("JOIN #room").await;
    bob.ask("JOIN #room").await;
    far.ask("MONITOR + bob").await;
    ann.sync().await;
    assert_eq!(numerics(&log_in(&served, &mut bob, "wrong").await), ["904"]);
    assert_eq!(numerics(&bob.ask("AUTHENTICATE NONE").await), ["908", "904"]);
    let lines = log_in(&served, &mut bob, "secret").await;
    assert_eq!(lines[0], ":wx.test 900 bob bob!~bob@wxgate ann :You are now logged in as ann");
    assert_eq!(numerics(&lines)[..2], ["900", "903"]);
    assert!(lines.contains(&":bob!~bob@wxgate ACCOUNT ann".to_owned()), "{lines:#?}");
    for client in [&mut ann, &mut far] {
        assert_eq!(bodies(&client.sync().await), [":bob!~bob@wxgate ACCOUNT ann"]);
    }
    bob.ask("PRIVMSG anna :hi").await;
    assert_eq!(ann.sync().await, ["@account=ann :bob!~bob@wxgate PRIVMSG anna :hi"]);
    assert!(numerics(&ann.ask("WHOIS bob").await).contains(&"330"));
    assert_eq!(numerics(&bob.ask("AUTHENTICATE PLAIN").await), ["907"]);
    for _ in 0..2 {
        log_in(&served, &mut far, "wrong").await;
    }
    far.send("AUTHENTICATE PLAIN").await;
    far.until("AUTHENTICATE +").await;
    far.send("AUTHENTICATE AAAA").await;
    assert!(far.rest().await.last().unwrap().starts_with("ERROR :"));
}

#[tokio::test]
async fn references_of_other_kinds_are_named() {
    let served = serve(world(), open()).await;
    let (mut ann, _bob) = two(&served, "draft/chathistory batch").await;
    for (line, answer) in [
        ("CHATHISTORY", "INVALID_PARAMS * :"),
        ("CHATHISTORY FOO #room * 5", "INVALID_PARAMS FOO :"),
        ("CHATHISTORY LATEST #room *", "INVALID_PARAMS LATEST :"),
        ("CHATHISTORY LATEST #room * x", "INVALID_PARAMS LATEST :"),
        ("CHATHISTORY BEFORE #room nonsense 5", "INVALID_PARAMS BEFORE nonsense :"),
        ("CHATHISTORY BEFORE #room timestamp=nonsense 5", "INVALID_PARAMS BEFORE timestamp=nonsense :"),
        ("CHATHISTORY BEFORE #room seq=5 5", "INVALID_MSGREFTYPE BEFORE #room seq=5 :"),
        ("CHATHISTORY LATEST #nowhere * 5", "INVALID_TARGET LATEST #nowhere :"),
        ("CHATHISTORY TARGETS a b 5", "INVALID_PARAMS TARGETS a :"),
    ] {
        let lines = ann.ask(line).await;
        assert!(
            matches!(lines.as_slice(), [only] if only.starts_with(&format!(":wx.test FAIL CHATHISTORY {answer}"))),
            "{line}: {lines:#?}"
        );
    }
}

#[tokio::test]
async fn marks_are_kept_of_who_is_not_there() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "draft/read-marker").await;
    assert_eq!(ann.ask("MARKREAD nobody").await, [":wx.test MARKREAD nobody *"]);
    let set = "MARKREAD nobody timestamp=2019-01-04T14:33:26.123Z";
    assert_eq!(ann.ask(set).await, [format!(":wx.test {set}")]);
    assert_eq!(
        ann.ask("MARKREAD Nobody timestamp=2018-01-04T14:33:26.123Z").await,
        [":wx.test MARKREAD Nobody timestamp=2019-01-04T14:33:26.123Z"]
    );
    assert_eq!(ann.ask("MARKREAD #nowhere").await, [":wx.test MARKREAD #nowhere *"]);
    let nowhere = "MARKREAD #nowhere timestamp=2019-01-04T14:33:26.123Z";
    for line in [nowhere, "MARKREAD nobody timestamp=x", "MARKREAD nobody x", "MARKREAD nobody *"] {
        assert!(ann.ask(line).await[0].contains(" FAIL MARKREAD INVALID_PARAMS "), "{line}");
    }
    assert!(ann.ask("MARKREAD").await[0].contains(" FAIL MARKREAD NEED_MORE_PARAMS "));
}
