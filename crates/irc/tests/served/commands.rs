use crate::client::{Client, add_person, config, numerics, serve, world};
use wxgate_contract::{FeedEvent, Health};

#[tokio::test]
async fn a_line_that_is_too_long_is_answered_before_the_welcome_as_well() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    client.send(&format!("AUTHENTICATE {}", "A".repeat(500))).await;
    client.until(" 417 * :Input line was too long").await;
}

#[tokio::test]
async fn errors_have_their_parameters_in_order() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    for (line, answer) in [
        ("FOO", ":wx.test 421 ann FOO :Unknown command"),
        ("PRIVMSG", ":wx.test 411 ann :No recipient given (PRIVMSG)"),
        ("PRIVMSG 张三", ":wx.test 412 ann :No text to send"),
        ("PRIVMSG 张三 :", ":wx.test 412 ann :No text to send"),
        ("PRIVMSG nobody :hi", ":wx.test 401 ann nobody :No such nick/channel"),
        ("PRIVMSG #nowhere :hi", ":wx.test 403 ann #nowhere :No such channel"),
        ("PRIVMSG a,b,c,d,e :hi", ":wx.test 407 ann a,b,c,d,e :Too many targets"),
        ("JOIN", ":wx.test 461 ann JOIN :Not enough parameters"),
        ("JOIN #nowhere", ":wx.test 403 ann #nowhere :No such channel"),
        ("PART #nowhere", ":wx.test 403 ann #nowhere :No such channel"),
        ("TOPIC #家 :new", ":wx.test 482 ann #家 :You're not channel operator"),
        ("MODE #家 +m", ":wx.test 482 ann #家 :You're not channel operator"),
        ("MODE #家 +y", ":wx.test 472 ann y :is unknown mode char to me"),
        ("MODE #家", ":wx.test 324 ann #家 +nt"),
        ("MODE #家 b", ":wx.test 368 ann #家 :End of channel ban list"),
        ("MODE ann", ":wx.test 221 ann +i"),
        ("MODE ann +o", ":wx.test 501 ann :Unknown MODE flag"),
        ("MODE 张三 +i", ":wx.test 502 ann :Cant change mode for other users"),
        ("MODE nobody", ":wx.test 401 ann nobody :No such nick/channel"),
        ("KICK #家 李四", ":wx.test 482 ann #家 :You're not channel operator"),
        ("KICK #家 张三", ":wx.test 441 ann 张三 #家 :They aren't on that channel"),
        ("KICK #家 nobody", ":wx.test 401 ann nobody :No such nick/channel"),
        ("INVITE 李四 #家", ":wx.test 443 ann 李四 #家 :is already on channel"),
        ("INVITE 张三", ":wx.test 461 ann INVITE :Not enough parameters"),
        ("NICK", ":wx.test 431 ann :No nickname given"),
        ("NICK a@b", ":wx.test 432 ann a@b :Erroneous nickname"),
        ("NICK 张三", ":wx.test 433 ann 张三 :Nickname is already in use"),
        ("USER a b c d", ":wx.test 462 ann :You may not reregister"),
        ("PASS x", ":wx.test 462 ann :You may not reregister"),
        ("OPER a b", ":wx.test 491 ann :No O-lines for your host"),
        ("KILL 李四 :x", ":wx.test 481 ann :Permission Denied- You're not an IRC operator"),
        ("STATS", ":wx.test 461 ann STATS :Not enough parameters"),
        ("STATS u", ":wx.test 242 ann :Server Up 0 days 0:00:00"),
        ("STATS x", ":wx.test 219 ann x :End of /STATS report"),
        ("MONITOR +", ":wx.test 461 ann MONITOR :Not enough parameters"),
        ("LINKS", ":wx.test 364 ann wx.test wx.test :0 a gateway to WeChat"),
        ("KICK #家,#测试群 李四,张三,王五", ":wx.test 461 ann KICK :Not enough parameters"),
        ("KICK #家 a,b,c,d,e", ":wx.test 407 ann a,b,c,d,e :Too many targets"),
        ("WHO 李四 o", ":wx.test 315 ann 李四 :End of WHO list"),
        ("AUTHENTICATE PLAIN", ":wx.test 907 ann :You have already authenticated using SASL"),
        ("CAP FOO", ":wx.test 410 ann FOO :Invalid CAP command"),
        ("PING", ":wx.test 409 ann :No origin specified"),
        ("MOTD other.server", ":wx.test 402 ann other.server :No such server"),
        ("HELP nonsense", ":wx.test 524 ann nonsense :No help available on this topic"),
        ("WHOWAS nobody", ":wx.test 406 ann nobody :There was no such nickname"),
        ("MOTD", ":wx.test 422 ann :MOTD File is missing"),
        ("TIME", ":wx.test 391 ann wx.test :2023-11-14 22:13:20 UTC"),
        ("ISON 张三 nobody ann", ":wx.test 303 ann :张三 ann"),
    ] {
        let got = client.ask(line).await;
        assert_eq!(got.first().map(String::as_str), Some(answer), "{line}: {got:#?}");
    }
    assert!(client.ask("NOTICE nobody :hi").await.is_empty(), "NOTICE never causes an error");
    assert_eq!(
        client.ask(&format!("PRIVMSG 张三 :{}", "x".repeat(600))).await,
        [":wx.test 417 ann :Input line was too long"]
    );
}

#[tokio::test]
async fn numeric_sequences_are_whole() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    for (line, expected) in [
        ("WHOIS 张三", &["311", "319", "312", "330", "320", "318"][..]),
        ("WHOIS nobody", &["401", "318"]),
        ("WHOIS ann", &["311", "319", "312", "330", "378", "318"]),
        ("WHOIS wechat", &["311", "312", "335", "318"]),
        ("LIST", &["321", "322", "322", "323"]),
        ("LIST #家*", &["321", "322", "323"]),
        ("LIST >2", &["321", "322", "323"]),
        ("LIST <1", &["321", "323"]),
        ("LUSERS", &["251", "252", "253", "254", "255", "265", "266"]),
        ("VERSION", &["351", "005", "005"]),
        ("ADMIN", &["256", "257", "258", "259"]),
        ("INFO", &["371", "371", "371", "374"]),
        ("HELP", &["704", "705", "705", "705", "706"]),
        ("NAMES #家", &["353", "366"]),
        ("NAMES #nowhere", &["366"]),
        ("TOPIC #家", &["332", "333"]),
        ("WHO #测试群", &["352", "352", "352", "315"]),
        ("WHO nobody", &["315"]),
        ("WHO 张*", &["352", "315"]),
        ("AWAY :lunch", &["306"]),
        ("AWAY", &["305"]),
    ] {
        let got = client.ask(line).await;
        assert_eq!(numerics(&got), expected, "{line}: {got:#?}");
    }
    let who = client.ask("WHO #测试群 %tcuhnfar,42").await;
    let expected = ":wx.test 354 ann 42 #测试群 u97fa6abe wechat 张三 H+ u97fa6abe :张三";
    let fields: Vec<&str> = who[1].split(' ').collect();
    assert_eq!(fields.len(), expected.split(' ').count(), "{who:#?}");
    assert_eq!(
        (fields[3], fields[4], fields[6], fields[7], fields[8]),
        ("42", "#测试群", "wechat", "张三", "H+")
    );
    assert_eq!(
        client.ask("USERHOST ann").await[0].split(' ').nth(3).unwrap().split('=').next(),
        Some(":ann")
    );
}

#[tokio::test]
async fn monitor_tells_who_is_there() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "away-notify").await;
    let lines = client.ask("MONITOR + 张三,新人").await;
    assert_eq!(numerics(&lines), ["730", "731"]);
    assert!(lines[0].contains(" 730 ann :张三!u"), "{lines:#?}");
    assert_eq!(lines[1], ":wx.test 731 ann :新人");
    add_person(&served.double, "p-new", "新人", true);
    served.double.tell(FeedEvent::People("wechat:work".into(), ["p-new".into()].into()));
    assert!(client.until(" 730 ").await.last().unwrap().contains(":新人!u"));
    add_person(&served.double, "p-new", "更新", true);
    served.double.tell(FeedEvent::People("wechat:work".into(), ["p-new".into()].into()));
    let lines = client.until(" 731 ").await;
    assert!(lines[0].starts_with(":新人!u") && lines[0].ends_with(" NICK 更新"), "{lines:#?}");
    assert_eq!(numerics(&client.ask("MONITOR L").await), ["732", "733"]);
    let down = Health::NeedsHuman { step: "sign in again".to_owned() };
    served.double.tell(FeedEvent::Health("wechat:work".into(), down.into()));
    let lines = client.until(" AWAY :").await;
    assert!(lines.iter().any(|line| line.contains("work is signed out: sign in again")), "{lines:#?}");
    assert!(lines.iter().any(|line| line == ":wx.test 731 ann :张三"), "{lines:#?}");
    assert_eq!(numerics(&client.ask("MONITOR S").await), ["731"]);
    client.ask("MONITOR C").await;
    assert_eq!(numerics(&client.ask("MONITOR L").await), ["733"]);
    let many: Vec<String> = (0..201).map(|at| format!("n{at}")).collect();
    let mut last = Vec::new();
    for chunk in many.chunks(50) {
        last = client.ask(&format!("MONITOR + {}", chunk.join(","))).await;
    }
    assert_eq!(last.last().unwrap(), ":wx.test 734 ann 200 n200 :Monitor list is full");
}

#[tokio::test]
async fn names_follow_the_capabilities() {
    let double = world();
    double.state().accounts[0].own_name = "李安".to_owned();
    let served = serve(double, config()).await;
    let mut client = Client::begin(&served, "", "userhost-in-names extended-join multi-prefix setname").await;
    client.until(" 221 ").await;
    let lines = client.sync().await;
    // As in WeChat, and not as the client says.
    assert!(lines[0].ends_with(" JOIN #家 ann :李安") || lines[0].ends_with(" JOIN #测试群 ann :李安"));
    assert!(
        lines
            .iter()
            .any(|line| line.contains(" 353 ") && line.contains("+张三!u") && line.contains("@wechat"))
    );
    let lines = client.ask("SETNAME :Ann B.").await;
    assert!(lines[0].ends_with(" SETNAME :Ann B."), "{lines:#?}");
    assert!(
        client.ask("CAP LIST").await[0].ends_with(":multi-prefix userhost-in-names extended-join setname")
    );
}

#[tokio::test]
async fn labels_come_back() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "labeled-response batch message-tags echo-message").await;
    assert_eq!(client.ask("@label=a PING x").await, ["@label=a :wx.test PONG wx.test :x"]);
    assert_eq!(client.ask("@label=b PONG x").await, ["@label=b :wx.test ACK"]);
    let lines = client.ask("@label=c WHOIS nobody").await;
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].starts_with("@label=c :wx.test BATCH +l") && lines[0].ends_with(" labeled-response"));
    assert!(lines[1].starts_with("@batch=l") && lines[3].starts_with(":wx.test BATCH -l"));
    let lines = client.ask("@label=d PRIVMSG nobody :hi").await;
    assert_eq!(lines, ["@label=d :wx.test 401 ann nobody :No such nick/channel"]);
    client.send("@label=e PRIVMSG 张三 :hi").await;
    let line = client.until("PRIVMSG").await.pop().unwrap();
    assert!(line.starts_with("@label=e;msgid=wx") && line.ends_with("@wxgate PRIVMSG 张三 :hi"), "{line}");
}

#[tokio::test]
async fn tagmsg_is_understood_and_refused_in_words() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "message-tags standard-replies").await;
    assert!(client.ask("@+typing=active TAGMSG 张三").await.is_empty());
    let lines = client.ask("@+draft/react=x TAGMSG 张三").await;
    assert!(lines[0].starts_with(":wx.test FAIL TAGMSG REACTION_UNSUPPORTED 张三 :"), "{lines:#?}");
    assert_eq!(numerics(&client.ask("@+typing=active TAGMSG nobody").await), ["401"]);
}

#[tokio::test]
async fn the_message_of_the_day_is_the_file() {
    let path = std::env::temp_dir().join(format!("wxgate-motd-{}", std::process::id()));
    std::fs::write(&path, "你好\nwelcome\n").unwrap();
    let mut config = config();
    config.motd_file = Some(path.clone());
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "").await;
    let lines = client.ask("MOTD").await;
    assert_eq!(numerics(&lines), ["375", "372", "372", "376"]);
    assert_eq!(lines[1], ":wx.test 372 ann :- 你好");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn that_groups_have_no_modes_is_told_by_code_to_those_who_take_it() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "standard-replies").await;
    let lines = client.ask("MODE #家 +m").await;
    let wanted = [
        ":wx.test 482 ann #家 :You're not channel operator",
        ":wx.test FAIL MODE MODE_UNSUPPORTED #家 +m :WeChat groups have no modes to change",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(client.ask("MODE #家 b").await, [":wx.test 368 ann #家 :End of channel ban list"]);
}
