use wxgate_contract::{
    Answer, Ask, Body, Card, CardKind, Command, CommandError, Fate, FeedEvent, GroupEvent, Health, Order,
    PersonKind, PersonRef, Question, Request, SignInStep, Verdict,
};

use crate::client::{ACCOUNT, Client, PATIENCE, config, said, serve, world};

#[tokio::test]
async fn the_service_signs_in_with_a_code_of_half_blocks() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    client.send("PRIVMSG wechat :login").await;
    client.until("signing work in").await;
    served
        .double
        .set_sign_in(SignInStep::ShowQr { text: "https://login.weixin.qq.com/l/abc".to_owned(), number: 1 });
    let lines = client.until("or open it as a picture from: https://login.weixin.qq.com/l/abc").await;
    assert!(lines[0].contains("(code 1)"), "{lines:#?}");
    let code: Vec<&String> = lines.iter().filter(|line| line.contains('█')).collect();
    assert!(
        code.len() > 12 && code.iter().all(|line| line.starts_with(":wechat!wechat@wx.test NOTICE ann :"))
    );
    served.double.set_sign_in(SignInStep::ConfirmOnPhone { is_push: false, picture: None });
    client.until("scanned; now confirm on the phone").await;
    served.double.set_sign_in(SignInStep::Loading);
    client.until("contacts are being loaded").await;
    served.double.set_sign_in(SignInStep::Done);
    client.until("work is online").await;
}

#[tokio::test]
async fn the_service_makes_groups() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    for (line, expected) in [
        ("create-group", "say: create-group <title>: <nick>, <nick>"),
        ("create-group Tea: 张三", "a group needs two others at least"),
        ("create-group Tea: 张三, 张三", "a group needs two others at least"),
        ("create-group Tea: 张三, somebody", "nobody of your contacts is called somebody"),
        ("create-group Tea: 张三, 李四", "the group was not made: the test gave no answer"),
    ] {
        client.send(&format!("PRIVMSG wechat :{line}")).await;
        client.until(expected).await;
    }
    served.double.state().answer = Some(Answer::Chat("g-home".into()));
    client.send("PRIVMSG wechat :create-group 周末喝茶：张三、李四").await;
    client.until("the group is made; join #家 when it appears").await;
    let asked = served.double.state().commands.last().cloned();
    let request =
        Request::Gather { people: vec!["p-zhang".into(), "p-li".into()], title: "周末喝茶".to_owned() };
    assert_eq!(asked, Some(Command::Ask { account: "wechat:work".into(), request }));
}

#[tokio::test]
async fn the_service_answers_in_plain_words() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    for (line, expected) in [
        ("help", "this list"),
        ("status", "work is online; 2 contacts, 2 groups, 1 connected clients"),
        ("accounts", "work (ann) is online; log in as ann/work"),
        ("chats 测试", "#测试群: 测试群"),
        ("chats nothing-like-that", "nothing has that name"),
        ("more #nowhere", "there is no chat #nowhere"),
        ("more #家", "nothing was said there yet"),
        ("login play", "you have no account play"),
        ("logout", "work is being signed out"),
        ("add", "say: add <name>"),
        ("add play", "play was added; say \"login play\""),
        ("login", "signing work in"),
        ("dance", "I do not know that command"),
    ] {
        client.send(&format!("PRIVMSG wechat :{line}")).await;
        let lines = client.until(expected).await;
        assert!(
            lines.iter().all(|line| line.starts_with(":wechat!wechat@wx.test NOTICE ann :")),
            "{lines:#?}"
        );
        client.sync().await;
    }
    let commands = served.double.wait_for(PATIENCE, |state| Some(state.commands.clone())).await;
    assert!(commands.contains(&Command::SignOut { account: "wechat:work".into() }));
    assert!(commands.contains(&Command::AddAccount { owner: "ann".into(), name: "play".to_owned() }));
}

#[tokio::test]
async fn accounts_are_networks_that_a_client_binds() {
    const CAPS: &str = "sasl batch message-tags soju.im/bouncer-networks soju.im/bouncer-networks-notify";
    let double = world();
    double.add_account("ann", "secret", "wechat:play");
    let served = serve(double, config()).await;
    let login = async |bind: &[&str]| {
        let mut client = Client::connect(served.address).await;
        client.send(&format!("CAP REQ :{CAPS}")).await;
        client.send("NICK ann").await;
        client.send("USER ann 0 * :Ann").await;
        client.send("AUTHENTICATE PLAIN").await;
        client.send("AUTHENTICATE AGFubgBzZWNyZXQ=").await;
        client.until(" 903 ").await;
        for line in bind {
            client.send(line).await;
        }
        client.send("CAP END").await;
        client
    };
    let mut list = login(&["BOUNCER BIND nonsense"]).await;
    let lines = list.until(" 221 ").await;
    assert!(lines[0].starts_with(":wx.test FAIL BOUNCER INVALID_NETID BIND nonsense :"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("BOUNCER_NETID")), "{lines:#?}");
    list.sync().await;
    let lines = list.ask("BOUNCER LISTNETWORKS").await;
    assert!(lines[0].ends_with(" soju.im/bouncer-networks"), "{lines:#?}");
    assert!(lines[1].ends_with(" BOUNCER NETWORK work name=work;state=connected;nickname=ann"), "{lines:#?}");
    assert_eq!(lines.len(), 4);
    let mut bound = login(&["BOUNCER BIND work"]).await;
    let lines = bound.until(" 366 ").await;
    assert!(lines.iter().any(|line| line.contains(" 005 ann BOUNCER_NETID=work :")), "{lines:#?}");
    assert!(
        bound
            .ask("BOUNCER BIND play")
            .await
            .last()
            .unwrap()
            .contains(" FAIL BOUNCER REGISTRATION_IS_COMPLETED BIND :")
    );
    let down = Health::Down { why: "gone".to_owned() };
    served.double.state().accounts[1].health = down.clone();
    served.double.tell(FeedEvent::Health("wechat:play".into(), down.into()));
    let line = list.until("BOUNCER NETWORK play").await.pop().unwrap();
    assert!(line.contains(";state=disconnected;") && line.ends_with(";error=gone"), "{line}");
    let lines = list.ask("BOUNCER ADDNETWORK name=third").await;
    assert!(lines.iter().any(|line| line == ":wx.test BOUNCER ADDNETWORK third"), "{lines:#?}");
    assert!(
        list.ask("BOUNCER ADDNETWORK host=x")
            .await
            .last()
            .unwrap()
            .contains(" NEED_ATTRIBUTE ADDNETWORK name :")
    );
    assert!(
        list.ask("BOUNCER DELNETWORK no").await.last().unwrap().contains(" INVALID_NETID DELNETWORK no :")
    );
}

#[tokio::test]
async fn a_friend_request_is_answered_by_its_number() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let body = Body::FriendRequest { name: "新".to_owned(), greeting: "hi".to_owned() };
    let item = served.double.show(said("fmessage", "p-new", "f1", body));
    let number = item.post_id;
    client
        .until(&format!("新 asks to become your contact: hi (say: accept {number}, or: decline {number})"))
        .await;
    client.send("PRIVMSG wechat :accept 99999").await;
    client.until("there is no request 99999").await;
    served.double.state().answer = Some(Answer::Done);
    client.send(&format!("PRIVMSG wechat :accept {number}")).await;
    client.until("新 is your contact now").await;
    let request = Request::Befriend { request: "f1".into(), verdict: Verdict::Accept };
    let wanted = Command::Ask { account: "wechat:work".into(), request };
    assert!(served.double.state().commands.contains(&wanted));
    served.double.state().answer = None;
    client.send(&format!("PRIVMSG wechat :decline {number}")).await;
    client.until("the request of 新 was not answered: ").await;
}

#[tokio::test]
async fn groups_are_changed_by_those_who_may() {
    let double = world();
    if let Some(group) = double.state().chats.get_mut(&("wechat:work".into(), "g-test".into())) {
        group.is_owned = true;
    }
    let served = serve(double, config()).await;
    let mut client = Client::login(&served, "one", "standard-replies labeled-response batch").await;
    let mut plain = Client::login(&served, "two", "").await;
    served.double.state().answer = Some(Answer::Done);
    client.send("@label=i INVITE 李四 #测试群").await;
    assert_eq!(client.until(" 341 ").await, ["@label=i :wx.test 341 ann 李四 #测试群"]);
    served.double.state().answer = Some(Answer::Invited);
    client.send("INVITE 李四 #测试群").await;
    let lines = client.until(" NOTE ").await;
    assert!(lines.last().unwrap().starts_with(":wx.test NOTE INVITE PENDING 李四 #测试群 :"), "{lines:#?}");
    plain.send("INVITE 李四 #测试群").await;
    plain.until("INVITE 李四 #测试群: They were invited").await;
    client.send("KICK #测试群 王五 :enough").await;
    assert!(client.until(" KICK ").await[0].ends_with("@wxgate KICK #测试群 王五 :enough"));
    plain.until(" KICK #测试群 王五 :enough").await;
    assert!(!client.ask("NAMES #测试群").await[0].contains("王五"));
    client.ask("TOPIC #测试群 :新题").await;
    let request = Request::Retitle { group: "g-test".into(), title: "新题".to_owned() };
    let wanted = Command::Ask { account: "wechat:work".into(), request };
    served.double.wait_for(PATIENCE, |state| state.commands.contains(&wanted).then_some(())).await;
    served.double.state().answer = None;
    client.send("INVITE 李四 #测试群").await;
    client.until(":wx.test FAIL INVITE CANNOT_INVITE 李四 #测试群 :").await;
    client.send("KICK #测试群 张三").await;
    client.until(" 482 ann #测试群 :").await;
    assert_eq!(client.ask("KICK #家 李四").await, [":wx.test 482 ann #家 :You're not channel operator"]);
}

#[tokio::test]
async fn official_accounts_are_silent_when_their_reader_wants_it() {
    let double = world();
    crate::client::add_person(&double, "p-news", "日报", true);
    if let Some(news) = double.state().people.get_mut(&("wechat:work".into(), "p-news".into())) {
        news.kind = PersonKind::Official;
    }
    let served = serve(double, config()).await;
    let mut client = Client::login(&served, "one", "batch draft/chathistory server-time message-tags").await;
    let mut away = Client::login(&served, "two", "").await;
    assert!(client.ask("PRIVMSG wechat :officials").await[0].contains("show: "));
    assert!(client.ask("PRIVMSG wechat :officials mute").await[0].contains("opens no window"));
    served.double.show(said("p-news", "p-news", "n1", Body::text("head line")));
    served.double.show(said("p-li", "p-li", "n2", Body::text("are you there?")));
    let lines = client.until("are you there?").await;
    assert!(!lines.iter().any(|line| line.contains("head line")), "{lines:#?}");
    // What one says there oneself is shown, and a history is given to whoever asks.
    served.double.show(said("p-news", "owner", "n3", Body::text("subscribe")));
    assert!(client.until("subscribe").await.last().unwrap().contains("日报"));
    let lines = client.ask("CHATHISTORY LATEST 日报 * 10").await;
    assert!(lines.iter().any(|line| line.contains("head line")), "{lines:#?}");
    let targets = "CHATHISTORY TARGETS timestamp=2000-01-01T00:00:00Z timestamp=2100-01-01T00:00:00Z 9";
    let lines = client.ask(targets).await;
    assert!(lines.iter().any(|line| line.contains("TARGETS 李四")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("日报")), "{lines:#?}");
    away.until("subscribe").await;
    away.sync().await;
    drop(away);
    // Nor does it come with what was missed, until they are heard again.
    served.double.show(said("p-news", "p-news", "n4", Body::text("evening edition")));
    let mut away = Client::begin(&served, "two", "").await;
    away.until(" 221 ").await;
    let lines = away.sync().await;
    assert!(!lines.iter().any(|line| line.contains("evening edition")), "{lines:#?}");
    let lines = away.ask("PRIVMSG wechat :more 日报").await;
    assert!(lines.iter().any(|line| line.contains("evening edition")), "{lines:#?}");
    away.ask("PRIVMSG wechat :officials show").await;
    served.double.show(said("p-news", "p-news", "n5", Body::text("late edition")));
    away.until("late edition").await;
}

#[tokio::test]
async fn a_group_is_left_for_good_only_when_its_member_is_sure() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "one", "").await;
    let mut other = Client::login(&served, "two", "").await;
    let ask = "PRIVMSG wechat :leave";
    let lines = client.ask(&format!("{ask} #测试群")).await;
    assert!(lines.concat().contains("say: leave #测试群 yes."), "{lines:#?}");
    assert!(client.ask(&format!("{ask} #nowhere yes")).await[0].contains("there is no group #nowhere"));
    assert!(client.ask(ask).await[0].contains("say: leave <#group>"));
    assert!(client.ask(&format!("{ask} #测试群 no")).await[0].contains("say: leave <#group>"));
    let request = Request::Leave { group: "g-test".into() };
    let wanted = Command::Ask { account: "wechat:work".into(), request };
    assert!(!served.double.state().commands.contains(&wanted), "nobody was sure");

    client.send(&format!("{ask} #测试群 yes")).await;
    client.until("you did not leave #测试群: ").await;
    assert!(client.ask("NAMES #测试群").await[0].contains(" 353 "), "it stays");

    served.double.state().answer = Some(Answer::Done);
    client.send(&format!("{ask} #测试群 yes")).await;
    let lines = client.until("you left #测试群").await;
    assert!(lines.iter().any(|line| line.contains("!ann@wxgate PART #测试群 :")), "{lines:#?}");
    other.until("!ann@wxgate PART #测试群 :").await;
    assert!(served.double.state().commands.contains(&wanted));
}

#[tokio::test]
async fn names_are_written_in_letters_when_their_owner_wants_it() {
    let double = world();
    crate::client::add_person(&double, "p-zhang2", "张三", true);
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "", "draft/channel-rename").await;
    let lines = client.ask("PRIVMSG wechat :names pinyin").await;
    let has = |wanted: &str| assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:#?}");
    for wanted in [" NICK zhangsan", " NICK lisi", " NICK wangwu", "RENAME #家 #jia :"] {
        has(wanted);
    }
    has("names are written in pinyin from now on");
    // Of two with one name who share no channel with us the second has a number, as ever.
    assert_eq!(client.ask("ISON zhangsan_2").await, [":wx.test 303 ann :zhangsan_2"]);
    served.double.show(said("g-test", "p-wang", "1", Body::text("你好")));
    assert!(client.until("你好").await.pop().unwrap().starts_with(":wangwu!"));
    // What somebody was called still reaches them, and a restart changes nothing.
    assert!(client.ask("PRIVMSG 李四 :hi").await.iter().any(|line| line.contains("lisi")));
    served.running.stop.stop();
    assert!(served.task.await.unwrap().is_ok());
    let served = serve(double, config()).await;
    let mut client = Client::begin(&served, "", "").await;
    let lines = client.until("#jia :End of /NAMES").await;
    assert!(lines.iter().any(|line| line.contains(" 353 ann = #jia :ann +lisi")), "{lines:#?}");
    client.sync().await;
    let lines = client.ask("PRIVMSG wechat :names utf8").await;
    // Everybody gets their own name back, not a number behind it.
    for wanted in [" NICK 李四", " NICK 王五", " NICK 张三", ":ann!ann@wxgate JOIN #家"] {
        assert!(lines.iter().any(|line| line.ends_with(wanted)), "{wanted}: {lines:#?}");
    }
    assert!(client.ask("PRIVMSG wechat :names klingon").await[0].contains("say: names pinyin"));
}

#[tokio::test]
async fn groups_are_joined_and_words_added_as_their_owner_chooses() {
    let double = world();
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let ask = "PRIVMSG wechat :";
    assert!(client.ask(&format!("{ask}join")).await[0].contains("auto: groups with traffic are joined"));
    assert!(
        client.ask(&format!("{ask}join none")).await[0].contains("say join and one of: auto, all, manual")
    );
    assert!(client.ask(&format!("{ask}join manual")).await[0].contains("no group is joined for you"));
    assert!(client.ask(&format!("{ask}language chinese")).await[0].contains("[图片]"));
    let card = |id: &str| {
        let packet = Card {
            kind: CardKind::RedPacket,
            title: "恭喜".to_owned(),
            detail: String::new(),
            url: String::new(),
            place: None,
            source: String::new(),
        };
        said("g-home", "p-li", id, Body::Card(packet))
    };
    served.double.show(card("1"));
    let lines = client.until("恭喜").await;
    assert!(lines.iter().any(|line| line.contains("[红包] 恭喜 (请在手机上查看)")), "{lines:#?}");
    served.running.stop.stop();
    assert!(served.task.await.unwrap().is_ok());
    // Another run knows it still: nothing is joined, and nothing is shown of what is said meanwhile.
    let served = serve(double, config()).await;
    let mut client = Client::begin(&served, "", "").await;
    client.sync().await;
    served.double.show(card("2"));
    let lines = client.ask(&format!("{ask}join all")).await;
    assert!(!lines.iter().any(|line| line.contains("恭喜")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(" JOIN #家")), "{lines:#?}");
    served.double.show(card("3"));
    client.until("恭喜").await;
}

#[tokio::test]
async fn what_happens_to_an_account_is_told_in_the_language_that_was_chosen_for_it() {
    let mut config = config();
    config.in_chinese = |sentence| match sentence {
        "the phone signed this account out" => Some("手机已将此账号退出登录".to_owned()),
        "it goes on elsewhere" => Some("在别处继续".to_owned()),
        "not a member" => Some("不是成员".to_owned()),
        _ => None,
    };
    let double = world();
    double.state().says_at_once = false;
    let served = serve(double, config).await;
    let mut client = Client::login(&served, "", "").await;
    let notice = |id: &str, text: &str| {
        said("g-home", "p-li", id, Body::Event { event: GroupEvent::Notice, text: text.to_owned() })
    };
    served.double.show(notice("1", "it goes on elsewhere"));
    client.until("it goes on elsewhere").await;
    client.ask("PRIVMSG wechat :language chinese").await;
    served.double.show(notice("2", "it goes on elsewhere"));
    client.until("在别处继续").await;
    served.double.show(notice("3", "李四 said so"));
    client.until("李四 said so").await;
    client.send("PRIVMSG 张三 :lost words").await;
    let id = served.double.wait_for(PATIENCE, |state| state.posts.get(3).map(|post| post.0)).await;
    served.double.decide(id, Fate::NotDelivered { why: "not a member".to_owned() });
    client.until("[网关] \"lost words\" 未送达：不是成员").await;
    let ended = Health::signed_out(Some("the phone signed this account out"));
    served.double.tell(FeedEvent::Health(ACCOUNT.into(), ended.into()));
    client.until("work 已退出登录：手机已将此账号退出登录；输入“login work”登录").await;
}

#[tokio::test]
async fn an_end_is_told_once_to_whoever_is_there_and_to_whoever_comes() {
    let served = serve(world(), config()).await;
    served.double.add_account("ann", "secret", "wechat:play");
    served.double.add_account("bob", "secret", "wechat:bobs");
    let mut here = Client::login(&served, "", "").await;
    let mut list = Client::connect(served.address).await;
    for line in ["PASS ann:secret", "NICK ann", "USER ann 0 * :Ann"] {
        list.send(line).await;
    }
    list.until("log in as user/account").await;
    let tell = |account: &str, health: &Health| {
        for view in served.double.state().accounts.iter_mut().filter(|view| view.network.as_str() == account)
        {
            view.health = health.clone();
        }
        served.double.tell(FeedEvent::Health(account.into(), health.clone().into()));
    };
    // What came of it is told, and not that it was on its way; the same again is no news.
    let ended = Health::signed_out(Some("the phone signed this account out"));
    let step = Health::NeedsHuman { step: "scan the code with the phone".to_owned() };
    for health in [&Health::Starting, &ended, &ended, &step, &ended] {
        tell("wechat:work", health);
    }
    tell("wechat:bobs", &ended);
    tell("wechat:play", &Health::Down { why: "WeChat refused: 1203".to_owned() });
    let words = "work is signed out: the phone signed this account out; say \"login work\" to sign in, until then its \
                 messages wait at WeChat";
    for (client, also) in [(&mut here, None), (&mut list, Some("play is down: WeChat refused: 1203; say"))] {
        let mut lines = match also {
            Some(also) => client.until(also).await,
            None => client.until(words).await,
        };
        lines.extend(client.sync().await);
        let told: Vec<&String> = lines.iter().filter(|line| line.contains(" NOTICE ")).collect();
        assert_eq!(told.len(), 1 + usize::from(also.is_some()), "{told:#?}");
        assert!(told[0].ends_with(words), "{told:#?}");
    }
    // Who was away hears how it stands when they come, once, and then that it is back.
    let mut late = Client::begin(&served, "phone", "").await;
    let lines = late.until(words).await;
    assert_eq!(lines.iter().filter(|line| line.contains("work is")).count(), 1, "{lines:#?}");
    tell("wechat:work", &Health::Up);
    for client in [&mut here, &mut list, &mut late] {
        let lines = client.until("work is online").await;
        assert!(lines.iter().all(|line| !line.contains("signed out")), "{lines:#?}");
    }
    // Trouble as well, though what is said is taken.
    tell("wechat:work", &Health::Degraded { why: "WeChat cannot be reached; still trying".to_owned() });
    here.until("work is in trouble: WeChat cannot be reached; still trying").await;
    let mut later = Client::begin(&served, "laptop", "").await;
    later.until("work is in trouble: WeChat cannot be reached; still trying").await;
}

#[tokio::test]
async fn a_slow_account_keeps_no_line_and_no_ping_waiting() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    served.double.state().is_silent = true;
    served.double.state().answer = Some(Answer::Questions(Vec::new()));
    for line in ["identity", "help", "why #家", "same 1 1"] {
        client.send(&format!("PRIVMSG wechat :{line}")).await;
    }
    // The session answers, and shows what is said meanwhile.
    assert!(client.sync().await.is_empty(), "the service answers in the order of the questions");
    served.double.show(said("g-home", "p-li", "1", Body::text("meanwhile")));
    client.until("meanwhile").await;
    served.double.state().is_silent = false;
    served.double.changed();
    let lines = client.until("the account gave no answer").await;
    let at = |words: &str| lines.iter().position(|line| line.contains(words));
    assert!(at("there is nothing to settle") < at("this list"), "{lines:#?}");
    client.until("there is no question 1").await;
}

#[tokio::test]
async fn who_asks_the_service_without_end_is_told_to_wait() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    served.double.state().is_silent = true;
    for _ in 0..17 {
        client.send("PRIVMSG wechat :identity").await;
    }
    assert!(client.sync().await.is_empty());
    client.send("PRIVMSG wechat :identity").await;
    client.until("I am still waiting for an answer").await;
}

#[tokio::test]
async fn a_network_that_needs_somebody_is_told_of_where_its_people_are_as_well() {
    let served = serve(world(), config()).await;
    // Of two accounts he names none.
    served.double.add_account("bob", "secret", "wechat:bobs");
    served.double.add_account("bob", "secret", "wechat:other");
    let here_too = PersonRef { network: "matrix".into(), person: "@ann:test".into() };
    served.double.state().persons.insert(here_too, "ann".into());
    let tell = |health: &Health| {
        served.double.state().faces = vec![("matrix".into(), health.clone())];
        served.double.tell(FeedEvent::Face("matrix".into(), health.clone().into()));
    };
    let mut here = Client::login(&served, "", "").await;
    let mut bob = Client::connect(served.address).await;
    for line in ["PASS bob:secret", "NICK bob", "USER bob 0 * :Bob"] {
        bob.send(line).await;
    }
    bob.until("log in as user/account").await;
    let ill = Health::NeedsHuman { step: "look at password_file and restart the gateway".to_owned() };
    for health in [&Health::Degraded { why: "it does not answer".to_owned() }, &ill, &ill] {
        tell(health);
    }
    let words = "matrix needs somebody: look at password_file and restart the gateway";
    let mut lines = here.until(words).await;
    lines.extend(here.sync().await);
    assert_eq!(lines.iter().filter(|line| line.contains("matrix needs somebody")).count(), 1, "{lines:#?}");
    let mut late = Client::begin(&served, "phone", "").await;
    late.until(words).await;
    tell(&Health::Starting);
    tell(&Health::Up);
    for client in [&mut here, &mut late] {
        client.until("matrix works again").await;
    }
    let lines = bob.sync().await;
    assert!(!lines.iter().any(|line| line.contains("matrix")), "he is not there: {lines:#?}");
    let mut later = Client::begin(&served, "laptop", "").await;
    let lines = later.sync().await;
    assert!(!lines.iter().any(|line| line.contains("matrix")), "{lines:#?}");
}

#[tokio::test]
async fn the_owner_is_told_once_of_each_chat_of_which_it_is_not_settled_who_it_is() {
    let served = serve(world(), config()).await;
    let open = |chat: &str| Question { chat: chat.into(), title: chat.to_owned(), candidates: Vec::new() };
    let asks = || served.double.tell(FeedEvent::Asks("wechat:work".into()));
    served.double.state().answer = Some(Answer::Questions(Vec::new()));
    let mut client = Client::login(&served, "", "").await;
    let words = "it is not settled who \"a\" is since the last sign-in; say \"identity\"";
    served.double.state().answer = Some(Answer::Questions(vec![open("a")]));
    asks();
    client.until(words).await;
    // The same again is no news; another one is.
    asks();
    served.double.state().answer = Some(Answer::Questions(vec![open("b"), open("a")]));
    asks();
    let lines = client.until("\"b\" and 1 more are").await;
    assert!(!lines.iter().any(|line| line.contains(words)), "told again: {lines:#?}");
    // Nor is it after all clients were gone, and for those who come.
    drop(client);
    served.double.state().answer = Some(Answer::Questions(vec![open("b")]));
    let mut late = Client::login(&served, "phone", "").await;
    served.double.tell(FeedEvent::Health("wechat:work".into(), Health::Up.into()));
    served.double.state().answer = Some(Answer::Questions(vec![open("c")]));
    asks();
    let lines = late.until("not settled who \"c\" is").await;
    assert_eq!(lines.iter().filter(|line| line.contains("not settled")).count(), 1, "{lines:#?}");
}

/// What the web pages ask and order.
#[tokio::test]
async fn what_is_chosen_elsewhere_is_in_force_at_once_and_listed_there() {
    let served = serve(world(), config()).await;
    let ask = async |request: Request| {
        let (answer, mut answers) = tokio::sync::mpsc::channel(1);
        served.running.orders.send(Order::Ask(Ask { request, answer })).await.unwrap();
        tokio::time::timeout(PATIENCE, answers.recv()).await.unwrap().unwrap()
    };
    let account = || "wechat:work".into();
    let in_force = async || {
        let Ok(Answer::Choices(choices)) = ask(Request::Choices(account())).await else {
            panic!("no choices")
        };
        for choice in &choices {
            assert!(choice.values.iter().any(|(value, _)| *value == choice.value), "{choice:?}");
        }
        choices.into_iter().map(|choice| (choice.name, choice.value)).collect::<Vec<_>>()
    };
    let of = |names: &str, recalls: &str| {
        let all = [
            ("join", "auto"),
            ("names", names),
            ("language", "english"),
            ("recalls", recalls),
            ("officials", "show"),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    assert_eq!(in_force().await, of("utf8", "remove"));
    let choose = async |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        ask(Request::Choose { account: account(), name, value }).await
    };
    // Nobody is there: whoever comes finds it.
    assert_eq!(choose("recalls", "keep").await, Ok(Answer::Done));
    let mut client = Client::login(&served, "", "draft/channel-rename").await;
    assert!(client.ask("PRIVMSG wechat :recalls").await[0].contains("keep: "));
    // Somebody is: they see it happen.
    assert_eq!(choose("names", "pinyin").await, Ok(Answer::Done));
    client.until(" NICK lisi").await;
    client.sync().await;
    assert_eq!(in_force().await, of("pinyin", "keep"));
    assert!(client.ask("PRIVMSG wechat :names utf8").await.iter().any(|line| line.contains("NICK 李四")));
    assert_eq!(in_force().await, of("utf8", "keep"));
    for (name, value) in [("names", "klingon"), ("colour", "red"), ("", "")] {
        assert!(matches!(choose(name, value).await, Err(CommandError::Refused(_))), "{name} {value}");
    }
    assert!(matches!(ask(Request::Questions).await, Err(CommandError::Refused(_))));
}
