use wxgate_irc::{Guests, IrcServerConfig, LocalChannels};

use crate::client::{Client, Served, config, numerics, serve, world};

pub(crate) fn open() -> IrcServerConfig {
    let mut config = config();
    config.guests = Guests::Loopback;
    config.local_channels = LocalChannels::Hash;
    config
}

/// A guest with these capabilities, welcome read.
pub(crate) async fn guest(served: &Served, nick: &str, caps: &str) -> Client {
    let mut client = Client::connect(served.address).await;
    if !caps.is_empty() {
        client.send(&format!("CAP REQ :{caps}")).await;
    }
    client.send(&format!("NICK {nick}")).await;
    client.send(&format!("USER {nick} 0 * :{nick} real")).await;
    if !caps.is_empty() {
        client.send("CAP END").await;
    }
    client.until(" 221 ").await;
    client.sync().await;
    client
}

/// Two guests in one channel that the first has founded.
pub(crate) async fn two(served: &Served, caps: &str) -> (Client, Client) {
    let mut ann = guest(served, "anna", caps).await;
    let mut bob = guest(served, "bob", caps).await;
    ann.ask("JOIN #room").await;
    bob.ask("JOIN #room").await;
    ann.sync().await;
    (ann, bob)
}

#[tokio::test]
async fn a_nick_is_one_persons() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "").await;
    let mut other = Client::connect(served.address).await;
    other.send("NICK Anna").await;
    other.send("USER x 0 * :x").await;
    assert_eq!(other.next().await.unwrap(), ":wx.test 433 * Anna :Nickname is already in use");
    other.send("NICK bea").await;
    other.until(" 221 ").await;
    assert_eq!(ann.ask("NICK bea").await, [":wx.test 433 anna bea :Nickname is already in use"]);
    other.send("QUIT :off").await;
    other.rest().await;
    assert_eq!(ann.ask("NICK bea").await, [":anna!~anna@wxgate NICK bea"]);
}

#[tokio::test]
async fn joining_tells_in_order() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "").await;
    let lines = ann.ask("JOIN #room").await;
    assert_eq!(
        lines,
        [
            ":anna!~anna@wxgate JOIN #room",
            ":wx.test 353 anna = #room :@anna",
            ":wx.test 366 anna #room :End of /NAMES list"
        ]
    );
    assert_eq!(ann.ask("TOPIC #room :hello there").await, [":anna!~anna@wxgate TOPIC #room :hello there"]);
    let mut bob = guest(&served, "bob", "extended-join").await;
    let lines = bob.ask("JOIN #ROOM").await;
    assert_eq!(lines[0], ":bob!~bob@wxgate JOIN #room * :bob real");
    assert_eq!(
        numerics(&lines),
        ["JOIN"; 0].iter().copied().chain(["332", "333", "353", "366"]).collect::<Vec<_>>()
    );
    assert_eq!(ann.sync().await, [":bob!~bob@wxgate JOIN #room"]);
    assert!(ann.ask("JOIN #room").await.is_empty(), "once is enough");
    assert_eq!(bob.ask("PART #room :bye").await, [":bob!~bob@wxgate PART #room :bye"]);
    assert_eq!(ann.sync().await, [":bob!~bob@wxgate PART #room :bye"]);
    assert_eq!(bob.ask("PART #room").await, [":wx.test 442 bob #room :You're not on that channel"]);
    assert_eq!(bob.ask("JOIN no#sign").await, [":wx.test 403 bob no#sign :No such channel"]);
    ann.ask("JOIN 0").await;
    assert_eq!(
        bob.ask("PART #room").await,
        [":wx.test 403 bob #room :No such channel"],
        "gone with the last"
    );
}

#[tokio::test]
async fn words_reach_the_others_before_the_pong() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    assert!(ann.ask("PRIVMSG #room :hi all").await.is_empty(), "no echo unasked");
    assert_eq!(bob.sync().await, [":anna!~anna@wxgate PRIVMSG #room :hi all"]);
    bob.ask("NOTICE anna :psst").await;
    assert_eq!(ann.sync().await, [":bob!~bob@wxgate NOTICE anna :psst"]);
    bob.ask("AWAY :lunch").await;
    assert_eq!(ann.ask("PRIVMSG bob :there?").await, [":wx.test 301 anna bob :lunch"]);
    assert_eq!(ann.ask("PRIVMSG anna :note").await, [":anna!~anna@wxgate PRIVMSG anna :note"]);
    assert_eq!(ann.ask("PRIVMSG #none :x").await, [":wx.test 403 anna #none :No such channel"]);
    let mut eve = guest(&served, "eve", "").await;
    assert_eq!(eve.ask("PRIVMSG #room :x").await, [":wx.test 404 eve #room :Cannot send to channel"]);
    assert!(eve.ask("NOTICE #room :x").await.is_empty());
    ann.ask("MODE #room -n").await;
    assert!(eve.ask("PRIVMSG #room :from outside").await.is_empty());
    eve.send("QUIT :gone").await;
    bob.sync().await;
    bob.send("QUIT :done").await;
    assert_eq!(bob.rest().await, ["ERROR :Closing link: done"]);
    let lines = ann.until("QUIT").await;
    assert_eq!(lines.last().unwrap(), ":bob!~bob@wxgate QUIT :Quit: done");
}

#[tokio::test]
async fn tags_and_echoes_follow_what_was_negotiated() {
    let served = serve(world(), open()).await;
    let caps = "message-tags echo-message server-time labeled-response batch draft/multiline account-tag";
    let (mut ann, mut bob) = two(&served, caps).await;
    let mut plain = guest(&served, "plain", "").await;
    plain.ask("JOIN #room").await;
    ann.sync().await;
    bob.sync().await;
    let lines = ann.ask("@label=5 PRIVMSG anna :myself").await;
    assert_eq!(lines.len(), 2, "delivered and echoed: {lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("@label=5;")).count(), 1, "{lines:#?}");
    ann.bytes(b"@label=6 PRIVMSG #room :\xaa\r\n").await;
    let lines = ann.sync().await;
    assert!(lines[0].starts_with("@label=6 :wx.test FAIL PRIVMSG INVALID_UTF8 :"), "{lines:#?}");
    let lines = ann.ask("@label=7;+a=1;b=2;+a=3;+draft/reply=x PRIVMSG #room :hi").await;
    assert!(lines[0].starts_with("@label=7;time=2023-11-14T22:13:20.000Z;msgid="), "{lines:#?}");
    assert!(lines[0].contains(";+a=3;+draft/reply=x :anna!~anna@wxgate PRIVMSG #room :hi"), "{lines:#?}");
    let got = bob.sync().await;
    assert_eq!(got[0].split_once(";msgid").unwrap().1, lines[0].split_once(";msgid").unwrap().1);
    assert_eq!(plain.sync().await.last().unwrap(), ":anna!~anna@wxgate PRIVMSG #room :hi");
    ann.ask("@+typing=active TAGMSG #room").await;
    assert!(bob.sync().await[0].ends_with(";+typing=active :anna!~anna@wxgate TAGMSG #room"));
    assert!(plain.sync().await.is_empty());
    assert_eq!(ann.ask("TAGMSG nobody").await, [":wx.test 401 anna nobody :No such nick/channel"]);
    for line in [
        "@label=m BATCH +1 draft/multiline #room",
        "@batch=1 PRIVMSG #room :one",
        "@batch=1 PRIVMSG #room :",
        "@batch=1;draft/multiline-concat PRIVMSG #room :two",
    ] {
        ann.send(line).await;
    }
    let lines = ann.ask("BATCH -1").await;
    assert!(
        lines[0].starts_with("@label=m;time=") && lines[0].ends_with(" draft/multiline #room"),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(bob.sync().await.len(), 5);
    let texts = plain.sync().await;
    assert_eq!(texts.len(), 2, "blank lines are left out: {texts:#?}");
}

#[tokio::test]
async fn modes_are_kept_by_those_who_may() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    assert_eq!(numerics(&ann.ask("MODE #room").await), ["324", "329"]);
    assert_eq!(bob.ask("MODE #room +m").await, [":wx.test 482 bob #room :You're not channel operator"]);
    assert_eq!(bob.ask("TOPIC #room :x").await, [":wx.test 482 bob #room :You're not channel operator"]);
    assert_eq!(ann.ask("MODE #room +m-t+k sesame").await, [":anna!~anna@wxgate MODE #room +m-t+k sesame"]);
    bob.sync().await;
    assert_eq!(ann.ask("MODE #room").await[0], ":wx.test 324 anna #room +kmn sesame");
    assert_eq!(bob.ask("PRIVMSG #room :x").await, [":wx.test 404 bob #room :Cannot send to channel"]);
    assert_eq!(ann.ask("MODE #room +v bob").await, [":anna!~anna@wxgate MODE #room +v bob"]);
    bob.sync().await;
    assert!(bob.ask("PRIVMSG #room :now").await.is_empty());
    for (line, answer) in [
        ("MODE #room +y", ":wx.test 472 anna y :is unknown mode char to me"),
        ("MODE #room +o", ":wx.test 461 anna MODE :Not enough parameters"),
        ("MODE #room +o nobody", ":wx.test 401 anna nobody :No such nick/channel"),
        ("MODE #room +l x", ":wx.test 696 anna #room l x :Invalid mode parameter"),
        ("MODE #room b", ":wx.test 368 anna #room :End of channel ban list"),
        ("MODE #none", ":wx.test 403 anna #none :No such channel"),
        ("MODE bob +i", ":wx.test 502 anna :Cant change mode for other users"),
    ] {
        assert_eq!(ann.ask(line).await.last().unwrap(), answer, "{line}");
    }
    let mut eve = guest(&served, "eve", "").await;
    assert_eq!(numerics(&eve.ask("JOIN #room").await), ["475"]);
    assert_eq!(numerics(&eve.ask("JOIN #other,#room x,wrong").await), ["353", "366", "475"]);
    ann.ask("MODE #room +b eve").await;
    bob.sync().await;
    assert_eq!(ann.ask("MODE #room +b").await.len(), 2);
    assert_eq!(numerics(&eve.ask("JOIN #room sesame").await), ["474"]);
    ann.ask("MODE #room -bk+i eve sesame").await;
    assert_eq!(numerics(&eve.ask("JOIN #room").await), ["473"]);
    assert_eq!(ann.ask("INVITE eve #room").await, [":wx.test 341 anna eve #room"]);
    assert_eq!(eve.sync().await, [":anna!~anna@wxgate INVITE eve #room"]);
    assert_eq!(numerics(&eve.ask("INVITE").await), ["336", "337"]);
    assert!(eve.ask("JOIN #room").await[0].ends_with(" JOIN #room"));
    ann.sync().await;
    ann.ask("MODE #room +l 1").await;
    let mut late = guest(&served, "late", "").await;
    ann.ask("MODE #room -i").await;
    assert_eq!(numerics(&late.ask("JOIN #room").await), ["471"]);
}

#[tokio::test]
async fn kicking_needs_to_be_above() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    assert_eq!(bob.ask("KICK #room anna").await, [":wx.test 482 bob #room :You're not channel operator"]);
    assert_eq!(ann.ask("KICK #room nobody").await, [":wx.test 401 anna nobody :No such nick/channel"]);
    let mut eve = guest(&served, "eve", "").await;
    assert_eq!(ann.ask("KICK #room eve").await, [":wx.test 441 anna eve #room :They aren't on that channel"]);
    assert_eq!(eve.ask("KICK #room bob").await, [":wx.test 442 eve #room :You're not on that channel"]);
    assert_eq!(eve.ask("INVITE bob #room").await, [":wx.test 442 eve #room :You're not on that channel"]);
    assert_eq!(ann.ask("INVITE bob #room").await, [":wx.test 443 anna bob #room :is already on channel"]);
    assert_eq!(ann.ask("KICK #room bob :enough").await, [":anna!~anna@wxgate KICK #room bob :enough"]);
    assert_eq!(bob.sync().await, [":anna!~anna@wxgate KICK #room bob :enough"]);
    assert_eq!(bob.ask("KICK #room anna").await, [":wx.test 442 bob #room :You're not on that channel"]);
    eve.ask("JOIN #room").await;
    bob.ask("JOIN #room").await;
    ann.sync().await;
    assert_eq!(ann.ask("KICK #room bob,eve").await.len(), 2);
}

#[tokio::test]
async fn who_is_there_can_be_asked() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    assert_eq!(
        bob.ask("WHO #room").await,
        [
            ":wx.test 352 bob #room ~anna wxgate wx.test anna H@ :0 anna real",
            ":wx.test 352 bob #room ~bob wxgate wx.test bob H :0 bob real",
            ":wx.test 315 bob #room :End of WHO list"
        ]
    );
    assert_eq!(numerics(&bob.ask("WHO ann*").await), ["352", "315"]);
    assert_eq!(numerics(&bob.ask("WHO *").await), ["352", "352", "315"]);
    assert_eq!(bob.ask("WHO anna %tnua,9").await[0], ":wx.test 354 bob 9 ~anna anna 0");
    let lines = bob.ask("WHOIS anna").await;
    assert_eq!(numerics(&lines), ["311", "319", "312", "317", "318"], "{lines:#?}");
    assert_eq!(lines[0], ":wx.test 311 bob anna ~anna wxgate * :anna real");
    assert_eq!(lines[1], ":wx.test 319 bob anna :@#room");
    assert_eq!(numerics(&bob.ask("WHOIS bob").await), ["311", "319", "312", "317", "378", "318"]);
    assert_eq!(ann.ask("MODE anna +Bi").await, [":anna!~anna@wxgate MODE anna :+Bi"]);
    assert_eq!(ann.ask("MODE anna").await, [":wx.test 221 anna +Bi"]);
    assert!(bob.ask("WHO anna").await[0].contains(" anna H@B :0"));
    assert!(numerics(&bob.ask("WHOIS anna").await).contains(&"335"));
    let mut eve = guest(&served, "eve", "away-notify setname invite-notify").await;
    assert_eq!(numerics(&eve.ask("WHO ann*").await), ["315"], "invisible to masks");
    assert_eq!(numerics(&eve.ask("WHO anna").await), ["352", "315"]);
    assert_eq!(eve.ask("ISON anna nobody").await, [":wx.test 303 eve :anna"]);
    assert_eq!(numerics(&eve.ask("LIST").await), ["321", "322", "323"]);
    assert_eq!(numerics(&eve.ask("NAMES").await), ["353", "366"]);
    assert_eq!(numerics(&eve.ask("LINKS").await), ["364", "365"]);
    ann.ask("MODE #room +s").await;
    bob.sync().await;
    assert_eq!(numerics(&eve.ask("LIST").await), ["321", "323"]);
    assert_eq!(numerics(&eve.ask("NAMES #room").await), ["366"]);
    eve.ask("JOIN #room").await;
    ann.ask("AWAY :gone").await;
    ann.ask("SETNAME :Anna B").await;
    let lines = eve.sync().await;
    assert_eq!(lines, [":anna!~anna@wxgate AWAY :gone", ":anna!~anna@wxgate SETNAME :Anna B"]);
    bob.ask("NICK rob").await;
    bob.send("QUIT").await;
    bob.rest().await;
    assert_eq!(numerics(&eve.ask("WHOWAS bob").await), ["314", "312", "369"]);
    assert_eq!(numerics(&eve.ask("WHOWAS nobody").await), ["406", "369"]);
}

#[tokio::test]
async fn watched_nicks_come_and_go() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "extended-monitor away-notify").await;
    assert_eq!(ann.ask("MONITOR + bob").await, [":wx.test 731 anna :bob"]);
    let mut bob = guest(&served, "bob", "").await;
    assert_eq!(ann.sync().await, [":wx.test 730 anna :bob!~bob@wxgate"]);
    bob.ask("AWAY :x").await;
    assert_eq!(ann.sync().await, [":bob!~bob@wxgate AWAY :x"]);
    bob.ask("NICK rob").await;
    assert_eq!(ann.sync().await, [":wx.test 731 anna :bob"]);
    bob.ask("NICK bob").await;
    ann.sync().await;
    bob.send("QUIT").await;
    bob.rest().await;
    assert_eq!(ann.until(" 731 ").await, [":wx.test 731 anna :bob"]);
}

#[tokio::test]
async fn what_was_said_in_a_channel_can_be_asked_for() {
    let served = serve(world(), open()).await;
    let caps = "draft/chathistory message-tags server-time batch echo-message draft/message-redaction draft/read-marker";
    let (mut ann, mut bob) = two(&served, caps).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let line = ann.ask(&format!("PRIVMSG #room :line {n}")).await.pop().unwrap();
        ids.push(line.split_once("msgid=").unwrap().1.split([' ', ';']).next().unwrap().to_owned());
    }
    bob.sync().await;
    let texts = |lines: &[String]| -> Vec<String> {
        lines[1..lines.len() - 1].iter().map(|line| line.rsplit_once(" :").unwrap().1.to_owned()).collect()
    };
    let got = bob.ask("CHATHISTORY LATEST #room * 2").await;
    assert!(got[0].ends_with(" chathistory #room"), "{got:#?}");
    assert_eq!(texts(&got), ["line 3", "line 4"]);
    assert_eq!(
        texts(&bob.ask(&format!("CHATHISTORY BEFORE #room msgid={} 2", ids[2])).await),
        ["line 0", "line 1"]
    );
    assert_eq!(
        texts(&bob.ask(&format!("CHATHISTORY AROUND #room msgid={} 3", ids[2])).await),
        ["line 1", "line 2", "line 3"]
    );
    let mut eve = guest(&served, "eve", caps).await;
    assert!(
        eve.ask("CHATHISTORY LATEST #room * 2").await[0]
            .contains(" FAIL CHATHISTORY INVALID_TARGET LATEST #room ")
    );
    assert!(
        bob.ask(&format!("REDACT #room {}", ids[1])).await[0]
            .contains(" FAIL REDACT REDACT_FORBIDDEN #room ")
    );
    let line = ann.ask(&format!("REDACT #room {} :typo", ids[1])).await.pop().unwrap();
    assert!(line.ends_with(&format!(":anna!~anna@wxgate REDACT #room {} :typo", ids[1])), "{line}");
    bob.until(" REDACT ").await;
    assert_eq!(
        texts(&bob.ask("CHATHISTORY LATEST #room * 9").await),
        ["line 0", "line 2", "line 3", "line 4"]
    );
    bob.ask("PRIVMSG eve :secret").await;
    eve.sync().await;
    let got = eve.ask("CHATHISTORY LATEST BOB * 9").await;
    assert!(got[0].ends_with(" chathistory BOB"), "as it was asked for: {got:#?}");
    assert_eq!(texts(&got), ["secret"]);
    assert!(ann.ask("CHATHISTORY LATEST bob * 9").await.len() == 2, "other people's queries are theirs");
    assert_eq!(eve.ask("MARKREAD bob timestamp=2023-11-14T22:13:25.000Z").await.len(), 1);
}

#[tokio::test]
async fn guests_are_a_matter_of_configuration() {
    let mut closed = open();
    closed.guests = Guests::Off;
    closed.local_channels = LocalChannels::Ampersand;
    let served = serve(world(), closed).await;
    let mut client = Client::connect(served.address).await;
    client.send("NICK x").await;
    client.send("USER x 0 * :x").await;
    assert_eq!(numerics(&client.rest().await), ["464"]);
    let mut ann = Client::login(&served, "one", "").await;
    assert_eq!(ann.ask("JOIN #nowhere").await, [":wx.test 403 ann #nowhere :No such channel"]);
    let lines = ann.ask("JOIN &lounge").await;
    assert!(lines[0].ends_with("@wxgate JOIN &lounge"), "{lines:#?}");
    let mut two = Client::begin(&served, "two", "").await;
    two.until(" JOIN &lounge").await;
    two.until(" 366 ann &lounge ").await;
    two.sync().await;
    ann.ask("PRIVMSG &lounge :from one").await;
    assert!(two.sync().await[0].ends_with(" PRIVMSG &lounge :from one"), "one's other clients see it");
    assert!(ann.ask("WHOIS ann").await.iter().any(|line| line.contains("#家") && line.contains("@&lounge")));
}

#[tokio::test]
async fn accounts_of_one_person_share_a_nick_by_number() {
    let double = world();
    double.add_account("ann", "secret", "wechat:play");
    double.add_account("bob", "secret", "wechat:bobs");
    let served = serve(double, open()).await;
    let mut one = Client::login(&served, "one", "").await;
    let mut two = Client::connect(served.address).await;
    for line in ["PASS ann/play:secret", "NICK ann", "USER ann 0 * :Ann"] {
        two.send(line).await;
    }
    let lines = two.until(" 221 ").await;
    assert!(lines.iter().any(|line| line.starts_with(":wx.test 001 ann_2 ")), "{lines:#?}");
    one.ask("PRIVMSG ann_2 :hello").await;
    assert!(two.sync().await[0].ends_with(" PRIVMSG ann_2 :hello"));
    let mut bob = Client::connect(served.address).await;
    for line in ["PASS bob:secret", "NICK ann", "USER bob 0 * :Bob"] {
        bob.send(line).await;
    }
    assert_eq!(bob.next().await.unwrap(), ":wx.test 433 * ann :Nickname is already in use");
}

#[tokio::test]
async fn a_guest_sees_nothing_of_wechat() {
    let served = serve(world(), open()).await;
    let mut client = guest(&served, "eve", "").await;
    assert_eq!(numerics(&client.ask("WHOIS 张三").await), ["401", "318"]);
    assert_eq!(numerics(&client.ask("PRIVMSG 张三 :hi").await), ["401"]);
    assert_eq!(numerics(&client.ask("LIST").await), ["321", "323"]);
    client.send("PRIVMSG wechat :accounts").await;
    client.until("you are a guest here").await;
}
