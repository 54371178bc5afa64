//! What Modern IRC and IRCv3 say about corners: empty parameters, masks, partial success, batches that fail.

use wxgate_contract::{Body, FeedEvent, PersonKind};

use crate::client::{ACCOUNT, Client, config, numerics, said, serve, world};
use crate::local::{guest, open, two};

#[tokio::test]
async fn an_empty_parameter_is_told_from_none() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    for (line, answers) in [
        ("JOIN :", &[":wx.test 461 anna JOIN :Not enough parameters"][..]),
        ("JOIN ,", &[":wx.test 461 anna JOIN :Not enough parameters"]),
        ("PART :", &[":wx.test 461 anna PART :Not enough parameters"]),
        ("NICK :", &[":wx.test 431 anna :No nickname given"]),
        ("AWAY :", &[":wx.test 305 anna :You are no longer marked as being away"]),
        ("WHOIS :", &[":wx.test 431 anna :No nickname given"]),
        ("WHOWAS :", &[":wx.test 431 anna :No nickname given"]),
        ("KICK #room :", &[":wx.test 461 anna KICK :Not enough parameters"]),
        ("INVITE bob :", &[":wx.test 461 anna INVITE :Not enough parameters"]),
        ("TOPIC #room", &[":wx.test 331 anna #room :No topic is set"]),
        ("TOPIC #room :about", &[":anna!~anna@wxgate TOPIC #room :about"]),
        ("TOPIC #room :", &[":anna!~anna@wxgate TOPIC #room :"]),
        ("TOPIC #room", &[":wx.test 331 anna #room :No topic is set"]),
        ("MODE #room :", &[":wx.test 324 anna #room +nt", ":wx.test 329 anna #room 1700000000"]),
        ("PRIVMSG #room :", &[":wx.test 412 anna :No text to send"]),
        ("PRIVMSG :", &[":wx.test 411 anna :No recipient given (PRIVMSG)"]),
        ("NOTICE #room :", &[]),
        ("KICK #room bob :", &[":anna!~anna@wxgate KICK #room bob :anna"]),
        ("PART #room :", &[":anna!~anna@wxgate PART #room"]),
    ] {
        assert_eq!(ann.ask(line).await, answers, "{line}");
    }
    let told = bob.sync().await;
    assert_eq!(told[told.len() - 1], ":anna!~anna@wxgate KICK #room bob :anna", "{told:#?}");
}

#[tokio::test]
async fn who_quits_without_a_word_leaves_only_that() {
    let served = serve(world(), open()).await;
    let (ann, mut bob) = two(&served, "").await;
    let mut ann = ann;
    ann.send("QUIT").await;
    assert_eq!(ann.rest().await, ["ERROR :Closing link: client quit"]);
    // The space behind it, which the client of these tests does not keep, is what Modern IRC has there.
    assert_eq!(bob.until(" QUIT ").await, [":anna!~anna@wxgate QUIT :Quit:"]);
}

#[tokio::test]
async fn a_server_is_meant_by_a_mask_or_by_whom_it_serves() {
    let served = serve(world(), open()).await;
    let (mut ann, _bob) = two(&served, "").await;
    for target in ["wx.test", "WX.TEST", "wx.*", "*", "bob"] {
        for (command, first) in
            [("TIME", "391"), ("VERSION", "351"), ("ADMIN", "256"), ("INFO", "371"), ("MOTD", "422")]
        {
            let lines = ann.ask(&format!("{command} {target}")).await;
            assert_eq!(numerics(&lines)[0], first, "{command} {target}: {lines:#?}");
        }
    }
    for target in ["other.test", "nobody", "wy.*"] {
        let answer = format!(":wx.test 402 anna {target} :No such server");
        assert_eq!(ann.ask(&format!("TIME {target}")).await, [answer]);
    }
    assert_eq!(
        ann.ask("LINKS").await,
        [
            ":wx.test 364 anna wx.test wx.test :0 a gateway to WeChat",
            ":wx.test 365 anna * :End of /LINKS list"
        ]
    );
}

#[tokio::test]
async fn who_matches_all_that_is_known_of_people() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "").await;
    bob.ask("MODE bob +B").await;
    bob.ask("AWAY :out").await;
    for (mask, count) in [("b*", 1), ("~bo?", 1), ("*real", 2), ("wxg*", 2), ("x*", 0)] {
        let lines = ann.ask(&format!("WHO {mask}")).await;
        assert_eq!(numerics(&lines).len(), count + 1, "{mask}: {lines:#?}");
        assert_eq!(lines.last().unwrap(), &format!(":wx.test 315 anna {mask} :End of WHO list"));
    }
    ann.ask("MODE #room +v bob").await;
    let line = ":wx.test 352 anna #room ~bob wxgate wx.test bob G+B :0 bob real";
    assert_eq!(ann.ask("WHO bob").await[0], line);
    let line = ":wx.test 354 anna 7 #room ~bob 255.255.255.255 wxgate wx.test bob G+B 0 0 0 n/a :bob real";
    assert_eq!(ann.ask("WHO bob %tcuihsnfdlaor,7").await[0], line);
    let mut own = Client::login(&served, "", "").await;
    assert_eq!(numerics(&own.ask("WHO 李*").await), ["352", "315"], "contacts by nick");
    assert_eq!(numerics(&own.ask("WHO u????????").await), ["352", "352", "352", "315"], "and by user");
}

#[tokio::test]
async fn modes_that_exist_are_set_beside_those_that_do_not() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "").await;
    let expected = [":anna!~anna@wxgate MODE anna :+i", ":wx.test 501 anna :Unknown MODE flag"];
    assert_eq!(ann.ask("MODE anna +iZ").await, expected);
    assert_eq!(ann.ask("MODE anna").await, [":wx.test 221 anna +i"]);
    ann.ask("JOIN #room").await;
    let lines = ann.ask("MODE #room +mZs").await;
    assert_eq!(
        lines,
        [":wx.test 472 anna Z :is unknown mode char to me", ":anna!~anna@wxgate MODE #room +ms"]
    );
}

#[tokio::test]
async fn a_real_name_is_refused_aloud_to_who_negotiated_that() {
    let served = serve(world(), open()).await;
    let mut old = guest(&served, "old", "").await;
    let mut new = guest(&served, "new", "setname").await;
    let long = format!("SETNAME :{}", "n".repeat(300));
    for line in [long.as_str(), "SETNAME :", "SETNAME :  "] {
        assert!(old.ask(line).await.is_empty(), "{line}");
        assert_eq!(new.ask(line).await, [":wx.test FAIL SETNAME INVALID_REALNAME :Real name is not valid"]);
    }
    assert!(old.ask("SETNAME :Old One").await.is_empty());
    assert_eq!(new.ask("SETNAME :New One").await, [":new!~new@wxgate SETNAME :New One"]);
    assert!(new.ask("WHOIS old").await[0].ends_with(" * :Old One"));
}

#[tokio::test]
async fn what_the_server_supports_is_well_formed_and_in_a_batch_for_who_wants_that() {
    let served = serve(world(), open()).await;
    let mut client = Client::connect(served.address).await;
    for line in ["CAP REQ :batch draft/extended-isupport", "NICK anna", "USER a 0 * :a", "CAP END"] {
        client.send(line).await;
    }
    let mut welcome = client.until(" 221 ").await;
    welcome.extend(client.sync().await);
    let version = client.ask("VERSION").await;
    let asked = client.ask("ISUPPORT").await;
    for lines in [&welcome, &version, &asked] {
        let from = lines.iter().position(|line| line.ends_with(" draft/isupport")).expect("a batch");
        let reference = lines[from].split(" BATCH +").nth(1).unwrap().split(' ').next().unwrap();
        let to =
            lines.iter().position(|line| line.ends_with(&format!(" BATCH -{reference}"))).expect("its end");
        for (at, line) in lines.iter().enumerate() {
            let is_inside = line.starts_with(&format!("@batch={reference} :wx.test 005 anna "));
            assert_eq!(is_inside, from < at && at < to, "{line}");
        }
    }
    let mut tokens = Vec::new();
    for line in asked.iter().filter(|line| line.contains(" 005 ")) {
        let body = line.split(" 005 anna ").nth(1).unwrap();
        let (list, text) = body.split_once(" :").unwrap();
        assert_eq!(text, "are supported by this server");
        let list: Vec<&str> = list.split(' ').collect();
        assert!(list.len() <= 13 && line.is_ascii(), "{line}");
        tokens.extend(list);
    }
    let keys: Vec<&str> = tokens.iter().map(|token| token.split('=').next().unwrap()).collect();
    for key in [
        "NICKLEN",
        "CHANNELLEN",
        "TOPICLEN",
        "KICKLEN",
        "KEYLEN",
        "AWAYLEN",
        "NAMELEN",
        "USERLEN",
        "WHOX",
        "BOT",
        "UTF8ONLY",
    ] {
        assert_eq!(keys.iter().filter(|known| **known == key).count(), 1, "{key}");
    }
}

#[tokio::test]
async fn an_answer_of_several_lines_is_one_labelled_batch() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "labeled-response batch echo-message message-tags").await;
    let mut bob = guest(&served, "bob", "").await;
    for (line, numerics_inside) in [
        ("JOIN #room", &["353", "366"][..]),
        ("WHO #room", &["352", "315"]),
        ("NAMES #room", &["353", "366"]),
        ("LIST", &["321", "322", "323"]),
        ("MODE #room", &["324", "329"]),
    ] {
        let lines = ann.ask(&format!("@label=x {line}")).await;
        assert!(lines[0].starts_with("@label=x :wx.test BATCH +"), "{line}: {lines:#?}");
        let reference = lines[0].split(" BATCH +").nth(1).unwrap().split(' ').next().unwrap();
        let inside = &lines[1..lines.len() - 1];
        assert!(inside.iter().all(|line| line.starts_with(&format!("@batch={reference}"))), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), &format!(":wx.test BATCH -{reference}"));
        let found: Vec<&str> = inside
            .iter()
            .filter_map(|line| line.split(' ').nth(2))
            .filter(|word| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit()))
            .collect();
        assert_eq!(found, numerics_inside, "{line}");
    }
    bob.ask("JOIN #room").await;
    ann.sync().await;
    // Several echoes are one answer; the other side sees no label.
    let lines = ann.ask("@label=y PRIVMSG #room,bob :hi").await;
    assert!(lines[0].starts_with("@label=y :wx.test BATCH +") && lines.len() == 4, "{lines:#?}");
    assert_eq!(
        bob.sync().await,
        [":anna!~anna@wxgate PRIVMSG #room :hi", ":anna!~anna@wxgate PRIVMSG bob :hi"]
    );
    assert_eq!(ann.ask("@label=z PART #room").await.len(), 1, "one line carries the label itself");
    let long = "l".repeat(65);
    assert_eq!(ann.ask(&format!("@label={long} PONG x")).await, [""; 0], "longer labels are none");
}

#[tokio::test]
async fn who_comes_away_is_away_from_the_first_moment() {
    let served = serve(world(), open()).await;
    let mut bob = guest(&served, "bob", "").await;
    let mut plain = Client::connect(served.address).await;
    plain.send("AWAY :early").await;
    assert_eq!(plain.next().await.unwrap(), ":wx.test 451 * :You have not registered");
    for (nick, text, answer) in [("anna", "lunch", Some(":wx.test 301 bob anna :lunch")), ("auto", "*", None)]
    {
        let mut client = Client::connect(served.address).await;
        client.send("CAP REQ :draft/pre-away").await;
        client.send(&format!("AWAY :{text}")).await;
        client.until(" 306 * :").await;
        for line in [&format!("NICK {nick}"), "USER a 0 * :a", "CAP END"] {
            client.send(line).await;
        }
        client.until(" 221 ").await;
        let told = bob.ask(&format!("PRIVMSG {nick} :there?")).await;
        assert_eq!(told.first().map(String::as_str), answer, "{nick}");
        // That nobody sits in front of it says nothing about where they are.
        client.ask("AWAY").await;
        assert_eq!(numerics(&client.ask("AWAY :*").await), ["306"]);
        assert!(bob.ask(&format!("PRIVMSG {nick} :there?")).await.is_empty(), "{nick}");
    }
}

#[tokio::test]
async fn names_come_only_when_asked_for_to_who_wants_that() {
    let served = serve(world(), open()).await;
    for cap in ["draft/no-implicit-names", "no-implicit-names"] {
        let mut ann = guest(&served, "anna", cap).await;
        assert_eq!(ann.ask("JOIN #room").await, [":anna!~anna@wxgate JOIN #room"]);
        assert_eq!(numerics(&ann.ask("NAMES #room").await), ["353", "366"]);
        ann.send("QUIT").await;
        ann.rest().await;
    }
}

#[tokio::test]
async fn who_turns_out_to_be_an_official_account_has_another_host_from_then_on() {
    let double = world();
    crate::client::add_person(&double, "p-news", "日报", true);
    let served = serve(double, config()).await;
    let mut client = Client::login(&served, "one", "chghost").await;
    let mut watcher = Client::login(&served, "two", "chghost extended-monitor").await;
    let mut plain = Client::login(&served, "three", "").await;
    watcher.ask("MONITOR + 日报").await;
    let turn = |key: &str| {
        let found = (ACCOUNT.into(), key.into());
        served.double.state().people.get_mut(&found).unwrap().kind = PersonKind::Official;
        served.double.tell(FeedEvent::People(ACCOUNT.into(), [key.into()].into()));
        served.double.show(said(key, key, key, Body::text("to be read")));
    };
    turn("p-zhang");
    let lines = client.until("to be read").await;
    let changed: Vec<&String> = lines.iter().filter(|line| line.contains(" CHGHOST ")).collect();
    let words: Vec<&str> = changed[0].split(' ').collect();
    assert_eq!((changed.len(), words[3]), (1, "biz.wechat"), "{lines:#?}");
    assert_eq!(words[0], format!(":张三!{}@wechat", words[2]));
    assert!(lines.last().unwrap().contains("@biz.wechat PRIVMSG "), "{lines:#?}");
    let lines = plain.until("to be read").await;
    assert!(!lines.iter().any(|line| line.contains("CHGHOST")), "{lines:#?}");
    watcher.until("to be read").await;
    // Of who shares no channel with one hears whoever watches them.
    turn("p-news");
    assert!(watcher.until("to be read").await.concat().contains(" CHGHOST "));
    let lines = client.until("to be read").await;
    assert!(!lines.iter().any(|line| line.contains("CHGHOST")), "{lines:#?}");
}
