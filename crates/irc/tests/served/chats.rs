use std::time::Duration;

use wxgate_contract::{
    Attachment, AttachmentKind, Author, Body, Card, CardKind, Fate, FeedEvent, GroupEvent, MediaId, Mention,
    Post, Quote,
};

use crate::client::{ACCOUNT, Client, PATIENCE, add_group, add_person, chat, config, said, serve, world};

#[tokio::test]
async fn what_is_said_appears() {
    let served = serve(world(), config()).await;
    let mut rich = Client::login(&served, "rich", "server-time message-tags account-tag").await;
    let mut plain = Client::login(&served, "plain", "").await;
    served.double.show(said("g-test", "p-zhang", "1", Body::text("你好 👋")));
    let line = rich.until("PRIVMSG").await.pop().unwrap();
    assert!(line.starts_with("@time=2023-11-14T22:13:20.000Z;msgid=wx"), "{line}");
    assert!(line.contains(";account=u") && line.ends_with("@wechat PRIVMSG #测试群 :你好 👋"), "{line}");
    let line = plain.until("PRIVMSG").await.pop().unwrap();
    assert!(line.starts_with(":张三!u") && line.ends_with("@wechat PRIVMSG #测试群 :你好 👋"), "{line}");
    served.double.show(said("p-li", "p-li", "2", Body::text("a\nb")));
    let lines = plain.until(":b").await;
    assert!(lines[0].ends_with(" PRIVMSG ann :a") && lines[1].ends_with(" PRIVMSG ann :b"), "{lines:#?}");
}

#[tokio::test]
async fn own_lines_from_the_phone_appear_as_each_client_understands() {
    let served = serve(world(), config()).await;
    let mut aware = Client::login(&served, "a", "znc.in/self-message").await;
    let mut plain = Client::login(&served, "b", "").await;
    served.double.show(said("g-home", "owner", "1", Body::text("from the phone")));
    for client in [&mut aware, &mut plain] {
        let line = client.until("PRIVMSG").await.pop().unwrap();
        assert!(
            line.starts_with(":ann!ann@") && line.ends_with("@wxgate PRIVMSG #家 :from the phone"),
            "{line}"
        );
    }
    served.double.show(said("p-zhang", "owner", "2", Body::text("hi")));
    let line = aware.until("PRIVMSG").await.pop().unwrap();
    assert!(line.starts_with(":ann!") && line.ends_with(" PRIVMSG 张三 :hi"), "{line}");
    let line = plain.until("PRIVMSG").await.pop().unwrap();
    assert!(line.starts_with(":张三!") && line.ends_with(" PRIVMSG ann :→ hi"), "{line}");
}

#[tokio::test]
async fn what_is_typed_is_a_post_and_is_echoed_once_accepted() {
    let double = world();
    double.state().says_at_once = false;
    let served = serve(double, config()).await;
    let mut sender = Client::login(&served, "a", "echo-message message-tags").await;
    let mut other = Client::login(&served, "b", "message-tags").await;
    sender.send("PRIVMSG #测试群 :张三: hi @王五, \x02bold\x02").await;
    let (id, post) =
        served.double.wait_for(PATIENCE, |state| state.posts.last().map(|p| (p.0, p.2.clone()))).await;
    assert_eq!((post.chat.clone(), post.author.clone()), (chat("g-test"), Author::Owner));
    let Body::Text { text } = &post.body else { panic!("{post:?}") };
    assert_eq!(text, "@张三 hi @王五, bold");
    let named: Vec<(&str, &str)> = post
        .mentions
        .iter()
        .map(|m| (m.person.as_ref().unwrap().as_str(), &text[m.range.0..m.range.1]))
        .collect();
    assert_eq!(named, [("p-zhang", "@张三"), ("p-wang", "@王五")]);
    assert!(sender.sync().await.is_empty(), "no echo before the fate is known");
    let item = served.double.decide(id, Fate::Said);
    let msgid = format!("@msgid=wx{} ", item.post_id);
    for client in [&mut sender, &mut other] {
        let line = client.until("PRIVMSG").await.pop().unwrap();
        assert!(
            line.starts_with(&msgid) && line.ends_with(" PRIVMSG #测试群 :张三: hi @王五, bold"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn what_was_not_delivered_is_told_where_it_was_typed() {
    let double = world();
    double.state().says_at_once = false;
    let served = serve(double, config()).await;
    let mut plain = Client::login(&served, "a", "").await;
    let mut modern = Client::login(&served, "b", "standard-replies labeled-response message-tags").await;
    plain.send("PRIVMSG 张三 :lost words").await;
    let id = served.double.wait_for(PATIENCE, |state| state.posts.last().map(|p| p.0)).await;
    served.double.decide(id, Fate::NotDelivered { why: "they blocked you".to_owned() });
    let line = plain.until("NOTICE").await.pop().unwrap();
    assert!(line.starts_with(":张三!"), "{line}");
    assert!(
        line.ends_with(" NOTICE ann :[gateway] \"lost words\" was not delivered, because they blocked you"),
        "{line}"
    );
    modern.send("@label=9 PRIVMSG #家 :more").await;
    let id = served.double.wait_for(PATIENCE, |state| state.posts.get(1).map(|p| p.0)).await;
    served.double.decide(id, Fate::MaybeDelivered { why: "the connection broke".to_owned() });
    let line = modern.until("FAIL").await.pop().unwrap();
    assert!(
        line.starts_with("@label=9 :wx.test FAIL PRIVMSG MESSAGE_NOT_DELIVERED #家 :\"more\" may not"),
        "{line}"
    );
}

#[tokio::test]
async fn a_store_that_is_down_loses_nothing_silently() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    served.double.state().store_is_down = true;
    client.send("PRIVMSG #家 :hello").await;
    let line = client.until("NOTICE").await.pop().unwrap();
    assert!(
        line.contains(" NOTICE #家 :\"hello\" was not delivered, because the store is unavailable"),
        "{line}"
    );
    served.double.state().store_is_down = false;
    client.send("PRIVMSG #家 :again").await;
    served.double.wait_for(PATIENCE, |state| state.posts.last().cloned()).await;
}

#[tokio::test]
async fn every_kind_of_body_is_shown() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let file = |kind, name: &str, size_bytes, duration_ms| {
        Body::Attachment(Attachment {
            media: MediaId([1; 16]),
            kind,
            name: name.to_owned(),
            mime: String::new(),
            size_bytes,
            width_px: 0,
            height_px: 0,
            duration_ms,
            caption: String::new(),
            poster: None,
        })
    };
    let link = "http://127.0.0.1:8480/media/01010101010101010101010101010101/";
    let card = |kind, title: &str, url: &str| {
        Body::Card(Card {
            kind,
            title: title.to_owned(),
            detail: String::new(),
            url: url.to_owned(),
            place: None,
            source: String::new(),
        })
    };
    let shown = [
        (
            file(AttachmentKind::Image, "a.jpg", 1_258_291, 0),
            format!("PRIVMSG #家 :[image] {link}a.jpg (1.2 MB)"),
        ),
        (file(AttachmentKind::Voice, "v.mp3", 0, 3400), format!("PRIVMSG #家 :[voice] {link}v.mp3 (0:04)")),
        (
            match file(AttachmentKind::Video, "v.mp4", 0, 3400) {
                Body::Attachment(film) => {
                    Body::Attachment(Attachment { poster: Some(MediaId([2; 16])), ..film })
                }
                other => other,
            },
            format!(
                "PRIVMSG #家 :[video] {link}v.mp4 (0:04) preview: {}preview.jpg",
                link.replace("01", "02")
            ),
        ),
        (file(AttachmentKind::File, "b.pdf", 10, 0), format!("PRIVMSG #家 :[file] b.pdf {link}b.pdf (10 B)")),
        (
            card(CardKind::Link, "News", "https://e.org/x"),
            "PRIVMSG #家 :[link] News https://e.org/x".to_owned(),
        ),
        (
            card(CardKind::RedPacket, "恭喜", ""),
            "PRIVMSG #家 :[red packet] 恭喜 (open on the phone)".to_owned(),
        ),
        (Body::Action { text: "waves".to_owned() }, "PRIVMSG #家 :\x01ACTION waves\x01".to_owned()),
        (
            Body::Recall { target: None, notice: "李四 recalled a message".to_owned() },
            "NOTICE #家 :李四 recalled a message".to_owned(),
        ),
        (Body::Unsupported { summary: "a poll".to_owned() }, "PRIVMSG #家 :[a poll]".to_owned()),
        (
            Body::Event { event: GroupEvent::Notice, text: "李四 invited 王五".to_owned() },
            "NOTICE #家 :李四 invited 王五".to_owned(),
        ),
        (Body::text("evil\r\nQUIT\0 \x01VERSION\x01"), "PRIVMSG #家 :evil".to_owned()),
    ];
    for (at, (body, expected)) in shown.into_iter().enumerate() {
        served.double.show(said("g-home", "p-li", &at.to_string(), body));
        let line = client.next().await.unwrap();
        assert!(line.ends_with(&expected), "{line} / {expected}");
    }
    assert!(client.next().await.unwrap().ends_with(" PRIVMSG #家 :QUIT VERSION"));
}

#[tokio::test]
async fn mentions_and_quotes_are_readable() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let text = "@Ann\u{2005}see @老张\u{2005}too";
    let mut post = said("g-test", "p-wang", "1", Body::text(text));
    let second = text.find("@老张").unwrap();
    post.mentions = vec![
        Mention {
            person: Some("p-zhang".into()), is_owner: false, range: (second, second + "@老张".len())
        },
        Mention { person: None, is_owner: true, range: (0, 4) },
        Mention { person: None, is_owner: true, range: (9000, 9001) },
    ];
    served.double.show(post);
    assert!(client.next().await.unwrap().ends_with(" PRIVMSG #测试群 :ann: see @张三 too"));
    let mut post = said("g-test", "p-zhang", "2", Body::text("yes"));
    let quote = Quote { target: None, author_name: "王五".to_owned(), excerpt: "字".repeat(30) };
    post.quote = Some(quote);
    served.double.show(post);
    let expected = format!(" PRIVMSG #测试群 :「王五: {}…」 yes", "字".repeat(24));
    assert!(client.next().await.unwrap().ends_with(&expected));
    let mut post = said("g-test", "p-zhang", "3", Body::text("ok"));
    post.quote =
        Some(Quote { target: Some("2".into()), author_name: "张三".to_owned(), excerpt: "yes".to_owned() });
    served.double.show(post);
    assert!(
        client.next().await.unwrap().ends_with(" PRIVMSG #测试群 :ok"),
        "the line above needs no quoting"
    );
}

#[tokio::test]
async fn long_chinese_texts_are_cut_within_the_budget() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "message-tags").await;
    let text = "字".repeat(1000);
    served.double.show(said("g-test", "p-zhang", "1", Body::text(text.clone())));
    let (mut whole, mut ids) = (String::new(), Vec::new());
    while whole.len() < text.len() {
        let line = client.next().await.unwrap();
        whole.push_str(line.rsplit_once(" :").unwrap().1);
        ids.push(line.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(whole, text);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7, "each piece has an id of its own: {ids:?}");
}

#[tokio::test]
async fn pieces_that_a_client_cut_are_joined() {
    let mut config = config();
    config.limits.hold = Duration::from_millis(300);
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "echo-message").await;
    let piece = "字".repeat(140);
    client
        .bytes(format!("PRIVMSG #家 :{piece}\r\nPRIVMSG #家 :尾\r\nPRIVMSG 张三 :other\r\n").as_bytes())
        .await;
    let posts =
        served.double.wait_for(PATIENCE, |state| (state.posts.len() == 2).then(|| state.posts.clone())).await;
    assert_eq!(posts[0].2.body, Body::text(format!("{piece}尾")));
    assert_eq!((posts[1].2.chat.clone(), posts[1].2.body.clone()), (chat("p-zhang"), Body::text("other")));
}

/// The pieces as WeeChat and irssi send them: seconds apart, cut at spaces, with a PING of their own between them.
#[tokio::test]
async fn a_question_of_the_client_itself_does_not_cut_a_text_in_two() {
    let mut config = config();
    config.limits.hold = Duration::from_millis(300);
    config.limits.long_hold = Duration::from_secs(60);
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "").await;
    let words = format!("{}end", "some words ".repeat(33));
    let first = client.ask(&format!("PRIVMSG #家 :{words}")).await;
    assert!(first.is_empty(), "{first:?}");
    assert!(served.double.state().posts.is_empty(), "it went out without its rest");
    client.send("PRIVMSG #家 :of-the-text").await;
    let posts =
        served.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then(|| state.posts.clone())).await;
    assert_eq!(posts[0].2.body, Body::text(format!("{words} of-the-text")));
}

#[tokio::test]
async fn lines_with_labels_and_notices_are_not_joined() {
    let mut config = config();
    config.limits.hold = Duration::from_millis(300);
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "labeled-response message-tags").await;
    let lines = ["PRIVMSG #家 :a", "NOTICE #家 :b", "@label=1 PRIVMSG #家 :c", "@label=2 PRIVMSG #家 :d"];
    client.bytes(format!("{}\r\n", lines.join("\r\n")).as_bytes()).await;
    client.sync().await;
    let said: Vec<Body> = served.double.state().posts.iter().map(|(_, _, post)| post.body.clone()).collect();
    assert_eq!(said, ["a", "b", "c", "d"].map(Body::text));
}

#[tokio::test]
async fn a_ping_is_answered_after_what_was_typed_is_stored() {
    let mut config = config();
    config.limits.hold = Duration::from_secs(60);
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "").await;
    client.ask("PRIVMSG #家 :held").await;
    assert_eq!(served.double.state().posts.len(), 1);
}

/// Notes of lines that wait.
fn waiting(state: &wxgate_contract::conformance::State) -> usize {
    state.notes.keys().filter(|(_, key)| key.starts_with("held/")).count()
}

#[tokio::test]
async fn a_crash_while_a_line_waits_for_the_rest_loses_nothing() {
    let mut config = config();
    config.limits.hold = Duration::from_secs(60);
    let double = world();
    let served = serve(double.clone(), config.clone()).await;
    let mut client = Client::login(&served, "", "").await;
    client.bytes("PRIVMSG #家 :first\r\nPRIVMSG 张三 :one\r\nPRIVMSG 张三 :two\r\n".as_bytes()).await;
    let both = |state: &wxgate_contract::conformance::State| {
        let text = state.notes.values().any(|value| String::from_utf8_lossy(value).contains("one\\ntwo"));
        (text && waiting(state) == 1 && state.posts.len() == 1).then_some(())
    };
    double.wait_for(PATIENCE, |state| both(state)).await;
    // As kill -9: nothing of it runs on.
    served.task.abort();
    let _ = served.task.await;
    assert_eq!(double.state().posts.len(), 1, "it was not said before the end");

    let served = serve(double.clone(), config.clone()).await;
    let posts: Vec<Body> = double.state().posts.iter().map(|(_, _, post)| post.body.clone()).collect();
    assert_eq!(posts, [Body::text("first"), Body::text("one\ntwo")]);
    assert_eq!(waiting(&double.state()), 0);
    drop(served);
    serve(double.clone(), config).await;
    assert_eq!(double.state().posts.len(), 2, "once only");
}

#[tokio::test]
async fn a_line_that_waited_leaves_no_note_behind() {
    let mut config = config();
    config.limits.hold = Duration::from_secs(60);
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "").await;
    client.ask("PRIVMSG #家 :said").await;
    let now = |served: &crate::client::Served| {
        let state = served.double.state();
        (state.posts.len(), waiting(&state))
    };
    assert_eq!(now(&served), (1, 0));
    // Typed while WeChat is there, given up because it is not: not said after a restart either.
    client.bytes("PRIVMSG #家 :given up\r\n".as_bytes()).await;
    served.double.wait_for(PATIENCE, |state| (waiting(state) == 1).then_some(())).await;
    let down = wxgate_contract::Health::Down { why: "gone".to_owned() };
    served.double.tell(FeedEvent::Health(ACCOUNT.into(), down.into()));
    client.until("work is down: gone").await;
    let lines = client.sync().await;
    assert!(lines.iter().any(|line| line.contains("\"given up\" was not delivered")), "{lines:#?}");
    assert_eq!(now(&served), (1, 0));
}

#[tokio::test]
async fn actions_and_ctcp_are_told_apart() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    client.send("PRIVMSG #家 :\x01ACTION waves\x01").await;
    let post = served.double.wait_for(PATIENCE, |state| state.posts.first().map(|p| p.2.clone())).await;
    assert_eq!(post.body, Body::Action { text: "waves".to_owned() });
    let lines = client.ask("PRIVMSG 张三 :\x01PING 12 34\x01").await;
    assert!(
        lines[0].starts_with(":张三!") && lines[0].ends_with(" NOTICE ann :\x01PING 12 34\x01"),
        "{lines:#?}"
    );
    assert!(client.ask("PRIVMSG 张三 :\x01VERSION\x01").await[0].contains("\x01VERSION wxgate"));
    assert_eq!(served.double.state().posts.len(), 1);
}

#[tokio::test]
async fn renames_are_seen_and_the_old_names_work_for_a_day() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    add_person(&served.double, "p-zhang", "张三丰", true);
    served.double.tell(FeedEvent::People(ACCOUNT.into(), ["p-zhang".into()].into()));
    let line = client.next().await.unwrap();
    assert!(line.starts_with(":张三!u") && line.ends_with(" NICK 张三丰"), "{line}");
    let lines = client.ask("PRIVMSG 张三 :hi").await;
    assert!(lines[0].ends_with(" NOTICE ann :[gateway] 张三 is called 张三丰 now"), "{lines:#?}");
    served.double.wait_for(PATIENCE, |state| (state.posts.len() == 1).then_some(())).await;
    assert!(client.ask("WHOWAS 张三").await[0].contains(" 314 ann 张三 u"));
    add_group(&served.double, "g-home", "新家", &["p-li", "p-wang"]);
    served.double.tell(FeedEvent::Chats(ACCOUNT.into(), ["g-home".into()].into()));
    let lines = client.until(" JOIN #新家").await;
    assert!(lines[0].contains(" PART #家 "), "{lines:#?}");
    let lines = client.sync().await;
    assert!(
        lines.iter().any(|line| line.starts_with(":王五!") && line.ends_with(" JOIN #新家")),
        "{lines:#?}"
    );
    client.ask("PRIVMSG #家 :under the old name").await;
    assert_eq!(served.double.state().posts.len(), 2);
}

#[tokio::test]
async fn a_part_hides_until_the_next_join() {
    let double = world();
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let lines = client.ask("PART #家 :too loud").await;
    assert!(lines[0].ends_with(" PART #家 :too loud"), "{lines:#?}");
    assert!(lines[1].contains("you are still a member"), "{lines:#?}");
    served.double.show(said("g-home", "p-li", "1", Body::text("hello?")));
    assert!(client.sync().await.is_empty());
    assert!(client.ask("PRIVMSG #家 :x").await[0].contains(" 404 ann #家 "));
    client.send("QUIT").await;
    client.rest().await;
    // The next session knows it from the notes.
    let mut client = Client::begin(&served, "", "").await;
    client.until(" 221 ").await;
    let lines = client.sync().await;
    assert!(!lines.iter().any(|line| line.contains("JOIN #家")), "{lines:#?}");
    let lines = client.ask("JOIN #家").await;
    assert!(lines[0].ends_with(" JOIN #家"), "{lines:#?}");
    let lines = client.ask("PART #家").await;
    assert_eq!(lines.len(), 1, "explained once: {lines:#?}");
}

#[tokio::test]
async fn members_come_and_go() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    add_group(&served.double, "g-test", "测试群", &["p-zhang", "p-li"]);
    served.double.tell(FeedEvent::Chats(ACCOUNT.into(), ["g-test".into()].into()));
    let lines = client.until(" MODE ").await;
    assert!(lines[0].starts_with(":王五!") && lines[0].ends_with(" PART #测试群"), "{lines:#?}");
    assert!(lines[1].starts_with(":李四!") && lines[1].ends_with(" JOIN #测试群"), "{lines:#?}");
    assert_eq!(lines[2], ":wx.test MODE #测试群 +v 李四");
}

#[tokio::test]
async fn who_is_put_out_of_a_group_is_seen_to_be() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let event = GroupEvent::Removed { names: vec!["王五".to_owned()], by: "Ann".to_owned() };
    let body = Body::Event { event, text: "You removed 王五".to_owned() };
    served.double.show(Post { author: Author::Network, ..said("g-test", "owner", "1", body) });
    client.until("You removed").await;
    add_group(&served.double, "g-test", "测试群", &["p-zhang"]);
    served.double.tell(FeedEvent::Chats(ACCOUNT.into(), ["g-test".into()].into()));
    let line = client.next().await.unwrap();
    assert!(line.starts_with(":ann!") && line.ends_with(" KICK #测试群 王五"), "{line}");
    // Who goes without a word leaves.
    add_group(&served.double, "g-test", "测试群", &[]);
    served.double.tell(FeedEvent::Chats(ACCOUNT.into(), ["g-test".into()].into()));
    let line = client.next().await.unwrap();
    assert!(line.starts_with(":张三!") && line.ends_with(" PART #测试群"), "{line}");
}

#[tokio::test]
async fn who_owns_a_group_and_who_is_a_contact_is_told_when_it_changes() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let hand_to = |owner: Option<&str>| {
        let mut state = served.double.state();
        let chat = state.chats.get_mut(&(ACCOUNT.into(), "g-test".into())).unwrap();
        (chat.owner, chat.is_owned) = (owner.map(Into::into), owner.is_none());
        drop(state);
        served.double.tell(FeedEvent::Chats(ACCOUNT.into(), ["g-test".into()].into()));
    };
    hand_to(Some("p-zhang"));
    assert_eq!(client.next().await.unwrap(), ":wx.test MODE #测试群 -v+o 张三 张三");
    hand_to(None);
    assert_eq!(client.next().await.unwrap(), ":wx.test MODE #测试群 +o ann");
    assert_eq!(client.next().await.unwrap(), ":wx.test MODE #测试群 -o+v 张三 张三");
    hand_to(Some("p-wang"));
    assert_eq!(client.next().await.unwrap(), ":wx.test MODE #测试群 -o ann");
    assert_eq!(client.next().await.unwrap(), ":wx.test MODE #测试群 +o 王五");
    for (is_contact, change) in [(false, "-v"), (true, "+v")] {
        add_person(&served.double, "p-zhang", "张三", is_contact);
        served.double.tell(FeedEvent::People(ACCOUNT.into(), ["p-zhang".into()].into()));
        assert_eq!(client.next().await.unwrap(), format!(":wx.test MODE #测试群 {change} 张三"));
    }
    let names = client.ask("NAMES #测试群").await;
    assert!(names[0].ends_with(":ann +张三 @王五") || names[0].ends_with(":ann @王五 +张三"), "{names:#?}");
}

#[tokio::test]
async fn a_member_who_is_no_contact_is_renamed_too() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    add_person(&served.double, "p-wang", "王六", false);
    served.double.tell(FeedEvent::People(ACCOUNT.into(), ["p-wang".into()].into()));
    let line = client.next().await.unwrap();
    assert!(line.starts_with(":王五!") && line.ends_with(" NICK 王六"), "{line}");
}

#[tokio::test]
async fn a_group_that_nobody_knew_speaks() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    add_group(&served.double, "g-new", "新群", &["p-zhang"]);
    served.double.show(said("g-new", "p-zhang", "1", Body::text("first")));
    let lines = client.until("PRIVMSG").await;
    assert!(lines[0].ends_with(" JOIN #新群"), "{lines:#?}");
    served.double.show(said("p-stranger", "p-stranger", "2", Body::text("who am I")));
    let line = client.next().await.unwrap();
    assert!(line.starts_with(":p-stranger!u") && line.ends_with(" PRIVMSG ann :who am I"), "{line}");
}

#[tokio::test]
async fn logged_out_fails_at_once() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let down = wxgate_contract::Health::Down { why: "banned".to_owned() };
    served.double.tell(FeedEvent::Health(ACCOUNT.into(), down.into()));
    client.until("work is down: banned").await;
    let lines = client.ask("PRIVMSG 张三 :hi").await;
    assert!(lines[0].ends_with("\"hi\" was not delivered, because WeChat is logged out"), "{lines:#?}");
    assert!(served.double.state().posts.is_empty());
}
