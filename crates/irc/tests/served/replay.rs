use std::time::Duration;

use wxgate_contract::{Body, Post, Timestamp};

use crate::client::{Client, NOW_MS, PATIENCE, add_group, config, said, serve, world};

pub(crate) fn texts(lines: &[String]) -> Vec<String> {
    let said = lines.iter().filter(|line| line.contains(" PRIVMSG "));
    said.map(|line| line.rsplit_once(" :").unwrap().1.to_owned()).collect()
}

/// Waits until the position of a client name is on disk.
pub(crate) async fn confirmed(served: &crate::client::Served, name: &str) -> i64 {
    let top = served.double.state().timeline.last().map_or(0, |item| item.seq);
    let key = ("irc:local".into(), format!("cursor/wechat:work/{name}"));
    served
        .double
        .wait_for(PATIENCE, |state| {
            let seq = std::str::from_utf8(state.notes.get(&key)?).unwrap().parse().unwrap();
            (seq == top).then_some(seq)
        })
        .await
}

pub(crate) async fn arrive(served: &crate::client::Served, name: &str, caps: &str) -> (Client, Vec<String>) {
    let mut client = Client::begin(served, name, caps).await;
    client.until(" 221 ").await;
    let lines = client.sync().await;
    (client, lines)
}

#[tokio::test]
async fn what_a_client_name_missed_comes_once() {
    let served = serve(world(), config()).await;
    for at in 0..25 {
        served.double.show(said("g-test", "p-zhang", &format!("old{at}"), Body::text(format!("old {at}"))));
    }
    let (mut client, lines) = arrive(&served, "phone", "").await;
    let expected: Vec<String> = (5..25).map(|at| format!("[11-14 22:13] old {at}")).collect();
    assert_eq!(texts(&lines), expected, "a new name starts with the last 20");
    // Reading on answers the server's question whether all of it arrived.
    let reading = tokio::spawn(async move {
        client.next().await;
        client
    });
    confirmed(&served, "phone").await;
    reading.abort();
    let _ = reading.await;
    served.double.show(said("g-test", "p-zhang", "new1", Body::text("new 1")));
    served.double.show(said("p-li", "p-li", "new2", Body::text("new 2")));
    let (_client, lines) = arrive(&served, "phone", "server-time batch message-tags").await;
    assert_eq!(texts(&lines), ["new 1", "new 2"], "{lines:#?}");
    let start = lines.iter().find(|line| line.contains(" BATCH +")).unwrap();
    assert!(start.ends_with(" chathistory #测试群"), "{start}");
    let reference = start.split(' ').nth(2).unwrap().trim_start_matches('+');
    let line = lines.iter().find(|line| line.ends_with(":new 1")).unwrap();
    assert!(
        line.starts_with(&format!("@batch={reference};time=2023-11-14T22:13:20.000Z;msgid=wx")),
        "{line}"
    );
    assert!(lines.contains(&format!(":wx.test BATCH -{reference}")));
}

#[tokio::test]
async fn what_was_not_confirmed_comes_again_under_the_same_msgid() {
    let served = serve(world(), config()).await;
    let (mut client, _) = arrive(&served, "phone", "message-tags").await;
    client.confirms = false;
    served.double.show(said("g-test", "p-zhang", "1", Body::text("first")));
    let given = client.until("first").await.pop().unwrap();
    drop(client);
    let (_client, lines) = arrive(&served, "phone", "message-tags").await;
    let again = lines.iter().find(|line| line.contains("first")).unwrap();
    assert_eq!(given.split(' ').next(), again.split(' ').next());
}

#[tokio::test]
async fn more_than_a_hundred_lines_are_counted() {
    let served = serve(world(), config()).await;
    let (mut client, _) = arrive(&served, "pc", "").await;
    served.double.show(said("g-test", "p-zhang", "0", Body::text("seen")));
    client.until("seen").await;
    let reading = tokio::spawn(async move { client.next().await });
    confirmed(&served, "pc").await;
    reading.abort();
    let _ = reading.await;
    for at in 0..130 {
        served.double.show(said("g-test", "p-zhang", &format!("x{at}"), Body::text(format!("x {at}"))));
    }
    let (mut client, lines) = arrive(&served, "pc", "server-time").await;
    assert_eq!(texts(&lines).len(), 100);
    let notice = lines.iter().find(|line| line.contains("older messages")).unwrap();
    assert!(notice.ends_with(" NOTICE #测试群 :30 older messages not shown, \"more #测试群\""), "{notice}");
    let lines = client.ask("PRIVMSG wechat :more #测试群 3").await;
    assert_eq!(texts(&lines), ["x 127", "x 128", "x 129"]);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_clients_come_and_go() {
    let served = serve(world(), config()).await;
    let double = served.double.clone();
    let talking = tokio::spawn(async move {
        for at in 0..600 {
            double.show(said("g-test", "p-zhang", &format!("n{at}"), Body::text(format!("line {at}"))));
            if at % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut is_last_seen = false;
    let mut round = 0;
    while !is_last_seen {
        round += 1;
        assert!(round < 200, "the last line never came");
        let mut client = Client::begin(&served, "roaming", "message-tags server-time").await;
        for _ in 0..150 {
            let Ok(Some(line)) = tokio::time::timeout(Duration::from_millis(400), client.next()).await else {
                break;
            };
            if let Some((head, text)) = line.split_once(" PRIVMSG #测试群 :") {
                let id = head.split("msgid=").nth(1).unwrap().split([';', ' ']).next().unwrap().to_owned();
                is_last_seen |= text == "line 599";
                if !seen.iter().any(|(known, _)| *known == id) {
                    seen.push((id, text.to_owned()));
                }
            }
        }
    }
    talking.await.unwrap();
    let numbers: Vec<usize> =
        seen.iter().map(|(_, text)| text.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
    let first = numbers[0];
    assert_eq!(numbers, (first..600).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything_and_delays_nobody() {
    let served = serve(world(), config()).await;
    let mut slow = Client::begin(&served, "slow", "").await;
    slow.until(" 221 ").await;
    let mut quick = Client::login(&served, "quick", "").await;
    let text = "x".repeat(380);
    const LINES: usize = 20_000;
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while count < LINES {
            if quick.next().await.unwrap().contains(" PRIVMSG #家 ") {
                count += 1;
            }
        }
    });
    for at in 0..LINES {
        served.double.show(said("g-home", "p-li", &format!("s{at}"), Body::text(format!("{at} {text}"))));
        if at % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
    // 8 MB waited for the slow one, far more than its queue may hold; it gets them from the timeline.
    let mut next = 0;
    while next < LINES {
        let line = slow.next().await.unwrap();
        if let Some((_, text)) = line.split_once(" PRIVMSG #家 :") {
            let text = text.strip_prefix("[11-14 22:13] ").unwrap_or(text);
            assert_eq!(text.split(' ').next().unwrap().parse(), Ok(next));
            next += 1;
        }
    }
}

#[tokio::test]
async fn names_stay_over_a_restart() {
    let double = world();
    crate::client::add_person(&double, "p-a", "张伟", true);
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    crate::client::add_person(&double, "p-0", "张伟", true);
    double.tell(wxgate_contract::FeedEvent::People("wechat:work".into(), ["p-0".into()].into()));
    assert_eq!(client.ask("ISON 张伟_2").await, [":wx.test 303 ann :张伟_2"]);
    double
        .wait_for(PATIENCE, |state| {
            state.notes.get(&("irc:local".into(), "nick/wechat:work/p-0".into())).cloned()
        })
        .await;
    served.running.stop.stop();
    assert!(served.task.await.unwrap().is_ok());
    assert!(client.rest().await.last().unwrap().starts_with("ERROR :"));
    let served = serve(double.clone(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    double.show(said("p-0", "p-0", "1", Body::text("it is me")));
    assert!(client.until("PRIVMSG").await.pop().unwrap().starts_with(":张伟_2!"));
}

#[tokio::test]
async fn with_many_groups_only_those_that_speak_are_joined() {
    let double = world();
    for at in 0..60 {
        add_group(&double, &format!("g{at}"), &format!("群{at}"), &["p-li"]);
    }
    double.show(said("g7", "p-li", "1", Body::text("hi")));
    let served = serve(double, config()).await;
    let (_client, lines) = arrive(&served, "", "").await;
    let joined: Vec<&String> = lines.iter().filter(|line| line.contains(" JOIN ")).collect();
    assert_eq!(joined.len(), 1, "{joined:#?}");
    assert!(joined[0].ends_with(" JOIN #群7"));
}

#[tokio::test]
async fn with_many_groups_who_comes_back_is_where_they_were() {
    let double = world();
    for at in 0..60 {
        add_group(&double, &format!("g{at}"), &format!("群{at}"), &["p-li"]);
    }
    let old = Post { at: Timestamp(NOW_MS - 31 * 86_400_000), ..said("g8", "p-li", "0", Body::text("hi")) };
    double.show(old);
    double.show(said("g7", "p-li", "1", Body::text("hi")));
    let joined = |lines: &[String]| -> Vec<String> {
        let joins = lines.iter().filter_map(|line| line.split_once(" JOIN "));
        joins.map(|(_, name)| name.to_owned()).collect()
    };
    let served = serve(double.clone(), config()).await;
    let (mut client, _) = arrive(&served, "phone", "").await;
    assert_eq!(joined(&client.ask("JOIN #群9").await), ["#群9"]);
    tokio::select! {
        _ = confirmed(&served, "phone") => {}
        line = client.next() => panic!("{line:?}"),
    }
    client.send("QUIT").await;
    client.rest().await;
    // Nothing was missed, and all of it is there.
    let (mut client, lines) = arrive(&served, "phone", "").await;
    assert_eq!(joined(&lines), ["#群7", "#群9"]);
    client.ask("PRIVMSG wechat :join manual").await;
    client.send("QUIT").await;
    client.rest().await;
    let (mut client, lines) = arrive(&served, "phone", "").await;
    assert_eq!(joined(&lines), ["#群9"], "by hand");
    client.ask("PART #群9").await;
    client.send("QUIT").await;
    client.rest().await;
    let (_client, lines) = arrive(&served, "phone", "").await;
    assert_eq!(joined(&lines), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_that_is_behind_gets_the_echo_of_its_line_once_and_in_its_place() {
    const LINES: usize = 20_000;
    let served = serve(world(), config()).await;
    served.double.state().says_at_once = false;
    let mut echoes = Client::login(&served, "e", "echo-message labeled-response message-tags batch").await;
    let mut plain = Client::login(&served, "p", "").await;
    let mut quick = Client::login(&served, "q", "").await;
    echoes.send("@label=mine PRIVMSG #家 :typed with a label").await;
    plain.send("PRIVMSG #家 :typed without").await;
    let typed = served
        .double
        .wait_for(PATIENCE, |state| {
            let ids: Vec<_> = state.posts.iter().map(|(id, ..)| *id).collect();
            (ids.len() == 2).then_some(ids)
        })
        .await;
    let text = "x".repeat(380);
    for at in 0..LINES {
        served.double.show(said("g-home", "p-li", &format!("s{at}"), Body::text(format!("{at} {text}"))));
        if at % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for post in typed {
        served.double.decide(post, wxgate_contract::Fate::Said);
    }
    served.double.show(said("g-home", "p-li", "last", Body::text("the last")));
    let is_typed = |line: &&String| line.contains("typed with");
    let lines = quick.until("the last").await;
    assert_eq!(lines.iter().filter(is_typed).count(), 2, "others see both");
    let lines = echoes.until("the last").await;
    let echoed: Vec<&String> = lines.iter().filter(|line| line.contains("typed with a label")).collect();
    assert!(matches!(echoed.as_slice(), [line] if line.contains("label=mine")), "{echoed:#?}");
    assert_eq!(lines.iter().rev().take(3).filter(is_typed).count(), 2, "in their place");
    let lines = plain.until("the last").await;
    let typed: Vec<&String> = lines.iter().filter(is_typed).collect();
    assert!(matches!(typed.as_slice(), [line] if line.contains("with a label")), "{typed:#?}");
}
