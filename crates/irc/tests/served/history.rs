use wxgate_contract::{
    Author, Body, ChatRef, Command, Fate, FeedEvent, GroupEvent, Post, PostId, Quote, Request, Timestamp,
};

use crate::client::{Client, NOW_MS, PATIENCE, Served, config, said, serve, world};

const CAPS: &str = "draft/chathistory draft/event-playback message-tags server-time batch labeled-response \
                    echo-message draft/read-marker draft/message-redaction draft/multiline";

/// Ten lines of the test group, one second apart; the ids of their posts.
fn talk(served: &Served) -> Vec<PostId> {
    (0..10)
        .map(|n| {
            let mut post = said("g-test", "p-zhang", &format!("t{n}"), Body::text(format!("line {n}")));
            post.at = Timestamp(NOW_MS + n * 1000);
            served.double.show(post).post_id
        })
        .collect()
}

fn time(seconds: i64) -> String {
    format!("timestamp=2023-11-14T22:13:{:02}.000Z", 20 + seconds)
}

/// The numbers of the lines in an answer, which has to be a whole batch.
fn numbers(lines: &[String]) -> Vec<usize> {
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert!(first.contains(" BATCH +h") && first.ends_with(" chathistory #测试群"), "{lines:#?}");
    assert!(last.contains(" BATCH -h"), "{lines:#?}");
    let inside = &lines[1..lines.len() - 1];
    assert!(inside.iter().all(|line| line.starts_with("@batch=h") && line.contains(";time=")), "{lines:#?}");
    inside.iter().map(|line| line.rsplit_once(" :line ").unwrap().1.parse().unwrap()).collect()
}

#[tokio::test]
async fn history_is_given_by_id_and_by_time() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    let ids = talk(&served);
    client.until("line 9").await;
    client.sync().await;
    let id = |n: usize| format!("msgid=wx{}", ids[n]);
    for (line, expected) in [
        ("LATEST #测试群 * 3".to_owned(), vec![7, 8, 9]),
        (format!("LATEST #测试群 {} 10", id(7)), vec![8, 9]),
        (format!("LATEST #测试群 {} 10", time(7)), vec![8, 9]),
        (format!("LATEST #测试群 {} 1", id(5)), vec![9]),
        (format!("BEFORE #测试群 {} 2", id(4)), vec![2, 3]),
        (format!("BEFORE #测试群 {} 2", time(4)), vec![2, 3]),
        (format!("AFTER #测试群 {} 2", id(4)), vec![5, 6]),
        (format!("AFTER #测试群 {} 2", time(4)), vec![5, 6]),
        (format!("AROUND #测试群 {} 3", id(4)), vec![3, 4, 5]),
        (format!("AROUND #测试群 {} 1", id(4)), vec![4]),
        (format!("BETWEEN #测试群 {} {} 10", id(2), id(5)), vec![3, 4]),
        (format!("BETWEEN #测试群 {} {} 1", id(2), id(5)), vec![3]),
        (format!("BETWEEN #测试群 {} {} 1", id(5), id(2)), vec![4]),
        (format!("BETWEEN #测试群 {} {} 10", time(5), time(2)), vec![3, 4]),
        (format!("AFTER #测试群 {} 5", id(9)), vec![]),
        (format!("BEFORE #测试群 {} 5", time(0)), vec![]),
    ] {
        let got = client.ask(&format!("CHATHISTORY {line}")).await;
        assert_eq!(numbers(&got), expected, "{line}");
    }
    let got = client.ask("@label=x CHATHISTORY LATEST #测试群 * 1").await;
    assert!(got.len() == 3 && got[0].starts_with("@label=x :wx.test BATCH +h"), "{got:#?}");
}

/// Something that happened in the test group, as WeChat says it.
fn happened(id: &str, event: GroupEvent, text: &str) -> Post {
    let body = Body::Event { event, text: text.to_owned() };
    Post { author: Author::Network, ..said("g-test", "", id, body) }
}

#[tokio::test]
async fn what_happened_in_a_group_is_played_to_those_who_take_it_and_told_to_others() {
    let served = serve(world(), config()).await;
    let names = |name: &str| vec![name.to_owned()];
    let zhang = || "张三".to_owned();
    for (id, event, text) in [
        ("1", GroupEvent::Joined { names: names("王五"), by: zhang() }, "张三邀请王五加入了群聊"),
        ("2", GroupEvent::Renamed { title: "测试群".to_owned(), by: zhang() }, "张三修改群名为“测试群”"),
        // The account is called like its owner here.
        ("3", GroupEvent::Removed { names: names("王五"), by: "ann".to_owned() }, "你将王五移出了群聊"),
        ("4", GroupEvent::Joined { names: names("陌生人"), by: zhang() }, "张三邀请陌生人加入了群聊"),
        ("5", GroupEvent::OwnerGone, "你被张三移出群聊"),
        ("6", GroupEvent::Notice, "张三拍了拍王五"),
    ] {
        served.double.show(happened(id, event, text));
    }
    let caps = "draft/chathistory message-tags server-time batch";
    let mut plain = Client::login(&served, "one", caps).await;
    let mut modern =
        Client::login(&served, "two", &format!("{caps} draft/event-playback extended-join")).await;
    let history = async |client: &mut Client| {
        let lines = client.ask("CHATHISTORY LATEST #测试群 * 10").await;
        let inside = lines[1..lines.len() - 1].iter();
        assert!(inside.clone().all(|line| line.starts_with("@batch=h") && line.contains(";msgid=wx")));
        inside.map(|line| line.split_once(" :").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let told = history(&mut plain).await;
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(told.iter().all(|line| line.starts_with("wechat!wechat@wx.test NOTICE #测试群 :")), "{told:#?}");
    let played = history(&mut modern).await;
    for (line, (by, rest)) in played.iter().zip([
        ("王五!u", "@wechat JOIN #测试群 u"),
        ("张三!u", "@wechat TOPIC #测试群 :测试群"),
        ("ann!ann@wxgate", " KICK #测试群 王五 :你将王五移出了群聊"),
        // Nobody here knows who that is.
        ("wechat!wechat@wx.test", " NOTICE #测试群 :张三邀请陌生人加入了群聊"),
        ("wechat!wechat@wx.test", " KICK #测试群 ann :你被张三移出群聊"),
        ("wechat!wechat@wx.test", " NOTICE #测试群 :张三拍了拍王五"),
    ]) {
        assert!(line.starts_with(by) && line.contains(rest), "{by}{rest}: {line}");
    }
    assert!(played[0].ends_with(" :王五"), "{played:#?}");
    // Outside of a history they would happen now.
    served.double.show(happened("7", GroupEvent::OwnerGone, "你被移出群聊"));
    assert!(modern.until("你被移出群聊").await.last().unwrap().contains(" NOTICE #测试群 :"));
}

#[tokio::test]
async fn who_gave_a_group_its_title_is_told_with_its_topic() {
    let double = world();
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let by = async |client: &mut Client| {
        client.ask("TOPIC #测试群").await.pop().unwrap().split(' ').nth(4).unwrap().to_owned()
    };
    assert_eq!(by(&mut client).await, "wechat!wechat@wx.test");
    let renamed = |title: &str| GroupEvent::Renamed { title: title.to_owned(), by: "王五".to_owned() };
    served.double.show(happened("1", renamed("测试群"), "王五修改群名为“测试群”"));
    client.until("王五修改群名为").await;
    assert!(by(&mut client).await.starts_with("王五!u"));
    client.sync().await;
    served.running.stop.stop();
    assert!(served.task.await.unwrap().is_ok());
    let served = serve(double, config()).await;
    let mut client = Client::login(&served, "", "").await;
    assert!(by(&mut client).await.starts_with("王五!u"), "after a restart");
    // Of another title it says nothing.
    let mut other = happened("2", renamed("旧名"), "王五修改群名为“旧名”");
    other.at = Timestamp(NOW_MS + 1000);
    served.double.show(other);
    client.until("王五修改群名为").await;
    assert_eq!(by(&mut client).await, "wechat!wechat@wx.test");
}

#[tokio::test]
async fn bad_questions_are_answered_by_name() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    for (line, answer) in [
        ("CHATHISTORY", "FAIL CHATHISTORY INVALID_PARAMS * :"),
        ("CHATHISTORY SOMETIME #家 * 1", "FAIL CHATHISTORY INVALID_PARAMS SOMETIME :"),
        ("CHATHISTORY LATEST #家", "FAIL CHATHISTORY INVALID_PARAMS LATEST :"),
        ("CHATHISTORY LATEST #家 * 5 6", "FAIL CHATHISTORY INVALID_PARAMS LATEST :"),
        ("CHATHISTORY LATEST #家 * many", "FAIL CHATHISTORY INVALID_PARAMS LATEST :"),
        ("CHATHISTORY BEFORE #家 * 5", "FAIL CHATHISTORY INVALID_PARAMS BEFORE * :"),
        ("CHATHISTORY LATEST #nowhere * 5", "FAIL CHATHISTORY INVALID_TARGET LATEST #nowhere :"),
        ("CHATHISTORY BEFORE #家 msgid=wx99999 5", "FAIL CHATHISTORY MESSAGE_ERROR BEFORE #家 :"),
    ] {
        let got = client.ask(line).await;
        assert!(got[0].starts_with(&format!(":wx.test {answer}")), "{line}: {got:#?}");
    }
}

#[tokio::test]
async fn targets_are_the_chats_that_spoke() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    talk(&served);
    served.double.show(said("p-li", "p-li", "q1", Body::text("query")));
    client.until("query").await;
    let got = client.ask(&format!("CHATHISTORY TARGETS {} {} 10", time(-5), time(30))).await;
    assert!(got[0].ends_with(" draft/chathistory-targets"), "{got:#?}");
    let lines: Vec<&str> =
        got[1..got.len() - 1].iter().map(|l| l.split_once(" CHATHISTORY ").unwrap().1).collect();
    assert_eq!(lines, ["TARGETS 李四 2023-11-14T22:13:20.000Z", "TARGETS #测试群 2023-11-14T22:13:29.000Z"]);
    let got = client.ask(&format!("CHATHISTORY TARGETS {} {} 10", time(5), time(30))).await;
    assert_eq!(got.len(), 3, "{got:#?}");
    for (from, to, first) in [(-5, 30, "李四"), (30, -5, "#测试群")] {
        let got = client.ask(&format!("CHATHISTORY TARGETS {} {} 1", time(from), time(to))).await;
        assert!(
            got.len() == 3 && got[1].contains(&format!(" TARGETS {first} ")),
            "counted from {from}: {got:#?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_asks_for_history_is_sent_none_unasked() {
    let served = serve(world(), config()).await;
    talk(&served);
    let mut client = Client::begin(&served, "", CAPS).await;
    client.until(" 221 ").await;
    let lines = client.sync().await;
    assert!(!lines.iter().any(|line| line.contains(":line ")), "{lines:#?}");
}

#[tokio::test]
async fn read_marks_only_move_forward_and_are_kept() {
    let double = world();
    let served = serve(double.clone(), config()).await;
    let mut one = Client::login(&served, "one", CAPS).await;
    let mut two = Client::login(&served, "two", CAPS).await;
    let mut plain = Client::login(&served, "three", "").await;
    assert_eq!(one.ask("MARKREAD #家").await, [":wx.test MARKREAD #家 *"]);
    let mark = ":wx.test MARKREAD #家 timestamp=2023-11-14T22:13:25.000Z";
    assert_eq!(one.ask(&format!("MARKREAD #家 {}", time(5))).await, [mark]);
    assert_eq!(two.sync().await, [mark]);
    assert!(plain.sync().await.is_empty());
    assert_eq!(one.ask(&format!("MARKREAD #家 {}", time(3))).await, [mark], "it does not move back");
    assert!(two.sync().await.is_empty());
    assert!(one.ask("MARKREAD").await[0].starts_with(":wx.test FAIL MARKREAD NEED_MORE_PARAMS :"));
    assert!(
        one.ask("MARKREAD #家 soon").await[0].starts_with(":wx.test FAIL MARKREAD INVALID_PARAMS #家 soon :")
    );
    assert_eq!(one.ask("MARKREAD #no").await, [":wx.test MARKREAD #no *"]);
    let line = format!("MARKREAD #no {}", time(5));
    assert!(one.ask(&line).await[0].starts_with(":wx.test FAIL MARKREAD INVALID_PARAMS #no :"));
    assert!(plain.ask("MARKREAD #家").await[0].contains(" 421 "));
    drop(served);
    let served = serve(double, config()).await;
    let mut client = Client::begin(&served, "one", CAPS).await;
    client.until(" 221 ").await;
    let lines = client.sync().await;
    let at = |what: &str| lines.iter().position(|line| line.contains(what)).unwrap();
    assert!(at(" JOIN #家") < at(mark) && at(mark) < at(" 366 ann #家"), "{lines:#?}");
    assert!(lines.iter().any(|line| line == ":wx.test MARKREAD #测试群 *"), "{lines:#?}");
}

#[tokio::test]
async fn an_own_message_is_taken_back_within_the_time() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "one", CAPS).await;
    let mut plain = Client::login(&served, "two", "").await;
    client.send("PRIVMSG #家 :oops").await;
    let line = client.until("PRIVMSG #家 :oops").await.pop().unwrap();
    let msgid = line.split_once("msgid=").unwrap().1.split([';', ' ']).next().unwrap().to_owned();
    plain.until("PRIVMSG #家 :oops").await;
    for (line, answer) in [
        ("REDACT #no x".to_owned(), "INVALID_TARGET #no :"),
        ("REDACT #家 x".to_owned(), "UNKNOWN_MSGID #家 x :"),
        (format!("REDACT #测试群 {msgid}"), "UNKNOWN_MSGID #测试群 "),
    ] {
        let got = client.ask(&line).await;
        assert!(got[0].starts_with(&format!(":wx.test FAIL REDACT {answer}")), "{line}: {got:#?}");
    }
    client.send(&format!("@label=r REDACT #家 {msgid} :typo")).await;
    let line = client.until(" REDACT ").await.pop().unwrap();
    assert!(
        line.starts_with("@label=r;") && line.ends_with(&format!("@wxgate REDACT #家 {msgid}")),
        "{line}"
    );
    assert!(plain.until("recalled").await[0].ends_with(" NOTICE #家 :ann recalled a message"));
    let got = client.ask(&format!("REDACT #家 {msgid}")).await;
    assert!(got[0].contains(" FAIL REDACT UNKNOWN_MSGID "), "{got:#?}");
    let got = client.ask("CHATHISTORY LATEST #家 * 10").await;
    assert!(!got.iter().any(|line| line.contains("oops")), "{got:#?}");
    assert!(got[1].contains(&format!(" REDACT #家 {msgid}")), "{got:#?}");
    // Somebody else's, and one that is too old.
    let other = served.double.show(said("g-home", "p-li", "x1", Body::text("mine"))).post_id;
    let got = client.ask(&format!("REDACT #家 wx{other}")).await;
    assert!(got.iter().any(|line| line.contains(" FAIL REDACT REDACT_FORBIDDEN ")), "{got:#?}");
    let mut old = said("g-home", "owner", "x2", Body::text("old"));
    old.at = Timestamp(NOW_MS - 121_000);
    let old = served.double.show(old).post_id;
    let got = client.ask(&format!("REDACT #家 wx{old}")).await;
    assert!(
        got.iter().any(|line| line.contains(&format!(" REDACT_WINDOW_EXPIRED #家 wx{old} 120 :"))),
        "{got:#?}"
    );
}

#[tokio::test]
async fn a_recall_in_wechat_is_a_redaction() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    let mut bare = Client::login(&served, "bare", "draft/message-redaction message-tags").await;
    let long = "长".repeat(300);
    let item = served.double.show(said("g-test", "p-zhang", "r1", Body::text(long)));
    bare.until("-2 :").await;
    let recall = Body::Recall { target: Some("r1".into()), notice: "张三撤回了一条消息".to_owned() };
    served.double.show(said("g-test", "p-zhang", "r2", recall));
    let line = client.until(" REDACT ").await.pop().unwrap();
    assert!(
        line.contains(":张三!u") && line.ends_with(&format!(" REDACT #测试群 wx{}", item.post_id)),
        "{line}"
    );
    assert!(client.sync().await.is_empty(), "one message in several lines has one id");
    let lines = bare.until(&format!(" REDACT #测试群 wx{}-2", item.post_id)).await;
    assert!(
        lines.iter().any(|line| line.ends_with(&format!(" REDACT #测试群 wx{}", item.post_id))),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn what_was_recalled_stays_where_its_owner_wants_it() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    let got = client.ask("PRIVMSG wechat :recalls keep").await;
    assert!(got.iter().any(|line| line.contains("stays, and I say")), "{got:#?}");
    served.double.show(said("g-test", "p-zhang", "r1", Body::text("secret plans")));
    client.until("secret plans").await;
    let recall = Body::Recall { target: Some("r1".into()), notice: "张三撤回了一条消息".to_owned() };
    served.double.show(said("g-test", "p-zhang", "r2", recall));
    let line = client.until(" recalled: ").await.pop().unwrap();
    assert!(line.ends_with(" NOTICE #测试群 :张三 recalled: \"secret plans\""), "{line}");
    let got = client.ask("CHATHISTORY LATEST #测试群 * 10").await;
    assert!(got.iter().any(|line| line.ends_with(" PRIVMSG #测试群 :secret plans (recalled)")), "{got:#?}");
    assert!(got.iter().all(|line| !line.contains(" REDACT ")), "{got:#?}");
    let mut late = Client::login(&served, "late", "server-time").await;
    late.send("PRIVMSG wechat :more #测试群").await;
    let got = late.until(" recalled: ").await;
    assert!(got.iter().any(|line| line.ends_with(":secret plans (recalled)")), "{got:#?}");
    client.ask("PRIVMSG wechat :recalls remove").await;
    let got = client.ask("CHATHISTORY LATEST #测试群 * 10").await;
    assert!(got.iter().all(|line| !line.contains("secret plans")), "{got:#?}");
}

#[tokio::test]
async fn several_lines_are_one_message_both_ways() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "one", CAPS).await;
    let mut plain = Client::login(&served, "two", "message-tags").await;
    for line in [
        "@label=m BATCH +1 draft/multiline #家",
        "@batch=1 PRIVMSG #家 :hello",
        "@batch=1 PRIVMSG #家 :",
        "@batch=1 PRIVMSG #家 :how is ",
        "@batch=1;draft/multiline-concat PRIVMSG #家 everyone?",
        "BATCH -1",
    ] {
        client.send(line).await;
    }
    let lines = client.until(" BATCH -").await;
    assert!(
        lines[0].starts_with("@label=m;time=") && lines[0].contains(" draft/multiline #家"),
        "{lines:#?}"
    );
    let texts: Vec<&str> =
        lines[1..lines.len() - 1].iter().map(|l| l.rsplit_once(" #家 :").unwrap().1).collect();
    assert_eq!(texts, ["hello", "", "how is everyone?"]);
    assert!(lines[1].starts_with("@batch=m") && !lines[1].contains("msgid"), "{lines:#?}");
    let lines = plain.until("everyone").await;
    assert!(lines.last().unwrap().ends_with(" PRIVMSG #家 :how is everyone?"), "{lines:#?}");
    let stored = served.double.wait_for(PATIENCE, |state| state.posts.last().cloned()).await;
    assert_eq!(stored.2.body, Body::text("hello\n\nhow is everyone?"));
    // A line that is too long for one.
    served.double.show(said("g-home", "p-li", "w1", Body::text("字".repeat(400))));
    let lines = client.until(" BATCH -").await;
    assert!(lines[2].contains(";draft/multiline-concat :李四!u"), "{lines:#?}");
    for (bad, answer) in [
        ("BATCH +x netsplit #家", "UNKNOWN_TYPE x netsplit :"),
        ("BATCH -y", "MULTILINE_INVALID :"),
        ("BATCH x", "MULTILINE_INVALID :"),
        ("BATCH + draft/multiline #家", "INVALID_REFTAG * :"),
        ("@batch=nothing PRIVMSG #家 :x", "MULTILINE_INVALID :No such batch"),
    ] {
        let got = client.ask(bad).await;
        assert!(got[0].starts_with(&format!(":wx.test FAIL BATCH {answer}")), "{bad}: {got:#?}");
    }
    client.send("BATCH +2 draft/multiline #家").await;
    let got = client.ask("@batch=2 PRIVMSG #测试群 :elsewhere").await;
    assert!(got[0].starts_with(":wx.test FAIL BATCH MULTILINE_INVALID_TARGET #家 #测试群 :"), "{got:#?}");
    assert!(client.ask("BATCH -2").await.is_empty(), "it is known to be nothing");
    assert!(client.ask("@batch=x PRIVMSG #家 :of the batch of another kind").await.is_empty());
    assert!(client.ask("BATCH -x").await.is_empty());
    client.send("BATCH +3 draft/multiline #家").await;
    for _ in 0..40 {
        client.send(&format!("@batch=3 PRIVMSG #家 :{}", "x".repeat(400))).await;
    }
    client.until(" FAIL BATCH MULTILINE_MAX_BYTES 16000 :").await;
    let said = served.double.state().posts.len();
    assert!(client.ask("@batch=3 PRIVMSG #家 :the rest of it").await.is_empty());
    assert!(client.ask("BATCH -3").await.is_empty());
    assert_eq!(served.double.state().posts.len(), said, "nothing of a batch that failed is said");
}

#[tokio::test]
async fn several_lines_to_oneself_are_one_note() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "one", CAPS).await;
    let mut plain = Client::login(&served, "two", "").await;
    for line in [
        "@label=m;+mine=x BATCH +1 draft/multiline ann",
        "@batch=1 NOTICE ann :milk",
        "@batch=1 NOTICE ann :bre",
        "@batch=1;draft/multiline-concat NOTICE ann ad",
    ] {
        client.send(line).await;
    }
    let got = client.ask("BATCH -1").await;
    // Delivered, and behind it the echo, which answers the label.
    assert_eq!(got.len(), 10, "{got:#?}");
    let (note, echo) = got.split_at(5);
    assert!(note[0].contains(" BATCH +m") && note[0].contains(";+mine=x ") && !note[0].contains("label="));
    assert!(echo[0].starts_with("@label=m;") && echo[0].ends_with(" draft/multiline ann"), "{echo:#?}");
    assert!(echo[2].ends_with(" NOTICE ann :bre") && echo[3].contains(";draft/multiline-concat :ann!"));
    let got = plain.sync().await;
    let expected = ["milk", "bre", "ad"].map(|text| format!(":ann!ann@wxgate NOTICE ann :{text}"));
    assert_eq!(got, expected);
    assert!(served.double.state().posts.is_empty());
}

#[tokio::test]
async fn quotes_go_both_ways() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    let ids = talk(&served);
    client.until("line 9").await;
    client.send(&format!("@+draft/reply=wx{} PRIVMSG #测试群 :agreed", ids[3])).await;
    let line = client.until("agreed").await.pop().unwrap();
    assert!(line.contains(&format!(";+draft/reply=wx{}", ids[3])), "{line}");
    let quote = |state: &wxgate_contract::conformance::State| state.posts.last().unwrap().2.quote.clone();
    let expected =
        Quote { target: Some("t3".into()), author_name: "张三".to_owned(), excerpt: "line 3".to_owned() };
    assert_eq!(quote(&served.double.state()), Some(expected.clone()));
    client.send("PRIVMSG wechat :show ids #测试群 8").await;
    let lines = client.until("to answer to one of them").await;
    let line = lines.iter().find(|line| line.ends_with(" 张三: line 3")).unwrap();
    let short = line.split(" NOTICE ann :").nth(1).unwrap().split(' ').next().unwrap();
    client.send(&format!("PRIVMSG #测试群 :>{short} again")).await;
    client.until(":「张三: line 3」 again").await;
    assert_eq!(quote(&served.double.state()), Some(expected));
    assert_eq!(served.double.state().posts.last().unwrap().2.body, Body::text("again"));
    client.send("PRIVMSG #测试群 :>zzzz is no id").await;
    client.until(":>zzzz is no id").await;
    let item = served.double.state().timeline.last().unwrap().clone();
    assert_eq!(
        (item.post.author.clone(), item.fate.clone(), item.post.quote.clone()),
        (Author::Owner, Fate::Said, None)
    );
}

#[tokio::test]
async fn read_marks_cross_to_the_account_and_come_from_it() {
    let double = world();
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "one", CAPS).await;
    client.ask(&format!("MARKREAD #家 {}", time(5))).await;
    let asked = |state: &mut wxgate_contract::conformance::State| {
        let read = |command: &&Command| matches!(command, Command::Ask { request: Request::Read { .. }, .. });
        state.commands.iter().find(read).cloned()
    };
    let Command::Ask { account, request: Request::Read { chat, at } } =
        double.wait_for(PATIENCE, asked).await
    else {
        unreachable!()
    };
    // Further on, on the phone.
    let later = at.after(std::time::Duration::from_secs(4));
    let chat = ChatRef { network: account, chat };
    double.tell(FeedEvent::Read(chat.clone(), later));
    let lines = client.until("MARKREAD #家").await;
    assert_eq!(lines.last().unwrap(), ":wx.test MARKREAD #家 timestamp=2023-11-14T22:13:29.000Z");
    double.tell(FeedEvent::Read(chat, at));
    assert!(client.sync().await.is_empty(), "it does not move back");
}
