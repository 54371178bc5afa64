use wxgate_contract::{Body, Timestamp};

use crate::client::{Client, NOW_MS, config, said, serve, world};
use crate::local::{guest, open, two};

const CAPS: &str = "soju.im/search batch server-time message-tags";

/// The texts of an answer, which has to be one batch.
fn texts(lines: &[String]) -> Vec<&str> {
    let [first, inner @ .., last] = lines else { panic!("no batch: {lines:#?}") };
    assert!(first.contains(" BATCH +s") && first.ends_with(" soju.im/search"), "{lines:#?}");
    assert!(last.contains(" BATCH -s"), "{lines:#?}");
    assert!(inner.iter().all(|line| line.starts_with("@batch=s") && line.contains(";time=")), "{lines:#?}");
    inner.iter().map(|line| line.split_once(" :").unwrap().1.split_once(" :").unwrap().1).collect()
}

#[tokio::test]
async fn what_was_said_in_wechat_is_found() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    for (n, (chat, who, text)) in [
        ("g-test", "p-zhang", "明天开会吗"),
        ("g-home", "p-li", "Dinner at Seven"),
        ("g-test", "owner", "开会在三点"),
        ("p-zhang", "p-zhang", "dinner?"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut post = said(chat, who, &format!("s{n}"), Body::text(text));
        post.at = Timestamp(NOW_MS + i64::try_from(n).unwrap() * 1000);
        served.double.show(post);
    }
    client.until("dinner?").await;
    client.sync().await;
    for (line, expected) in [
        ("SEARCH text=开会", vec!["明天开会吗", "开会在三点"]),
        ("SEARCH text=DINNER", vec!["Dinner at Seven", "dinner?"]),
        ("SEARCH text=at\\sseven", vec!["Dinner at Seven"]),
        ("SEARCH in=#测试群", vec!["明天开会吗", "开会在三点"]),
        ("SEARCH in=#测试群;from=ann", vec!["开会在三点"]),
        ("SEARCH from=张三", vec!["明天开会吗", "dinner?"]),
        ("SEARCH from=nobody", vec![]),
        ("SEARCH in=#nowhere", vec![]),
        ("SEARCH text=开会;limit=1", vec!["开会在三点"]),
        ("SEARCH after=2023-11-14T22:13:21.000Z;limit=2", vec!["Dinner at Seven", "开会在三点"]),
        ("SEARCH before=2023-11-14T22:13:20.000Z", vec!["明天开会吗"]),
        ("@label=x SEARCH text=nothing", vec![]),
    ] {
        let lines = client.ask(line).await;
        let plain: Vec<String> = lines.iter().map(|line| line.replace("@label=x ", "")).collect();
        assert_eq!(texts(&plain), expected, "{line}");
    }
    let lines = client.ask("SEARCH colour=red").await;
    assert!(lines[0].starts_with(":wx.test FAIL SEARCH INVALID_PARAMS colour=red :"), "{lines:#?}");
    let mut plain = Client::login(&served, "two", "").await;
    let lines = plain.ask("PRIVMSG wechat :find 开会").await;
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with(" #测试群 <张三> 明天开会吗"), "{lines:#?}");
    let lines = plain.ask("PRIVMSG wechat :find #家 dinner at").await;
    assert!(lines.len() == 1 && lines[0].ends_with(" #家 <李四> Dinner at Seven"), "{lines:#?}");
    for words in ["find", "find xyzzy"] {
        assert_eq!(plain.ask(&format!("PRIVMSG wechat :{words}")).await.len(), 1);
    }
}

#[tokio::test]
async fn a_search_that_ends_early_says_so_and_where_to_go_on() {
    const LINES: i64 = 3_000;
    let double = world();
    for n in 0..LINES {
        let (chat, text) =
            if n % 1_000 == 1 { ("g-home", format!("rare {n}")) } else { ("g-test", n.to_string()) };
        let mut post = said(chat, "p-li", &format!("s{n}"), Body::text(text));
        post.at = Timestamp(NOW_MS + n * 1000);
        double.show(post);
    }
    let mut config = config();
    config.limits.searched_items = 1_000;
    let served = serve(double, config).await;
    let mut client = Client::login(&served, "", CAPS).await;
    let time = |n: i64| {
        let at = (NOW_MS / 1000 + n) % 86_400;
        format!("2023-11-14T{:02}:{:02}:{:02}.000Z", at / 3600, at / 60 % 60, at % 60)
    };
    // The newest thousand have one; the rest was not looked at.
    let mut lines = client.ask("SEARCH text=rare").await;
    let warning = lines.pop().unwrap();
    assert_eq!(texts(&lines), ["rare 2001"]);
    let told =
        format!(":wx.test WARN SEARCH INCOMPLETE before={} :Nothing earlier was looked at", time(2000));
    assert!(warning.starts_with(&told), "{warning}");
    // It goes on where it is told to, which costs nothing for what is newer.
    let mut lines = client.ask(&format!("SEARCH text=rare;before={}", time(1999))).await;
    let warning = lines.pop().unwrap();
    assert_eq!(texts(&lines), ["rare 1001"]);
    assert!(warning.contains(&format!("before={} ", time(1000))), "{warning}");
    let lines = client.ask(&format!("SEARCH text=rare;before={}", time(998))).await;
    assert_eq!(texts(&lines), ["rare 1"], "the beginning was reached");
    // From a time on the oldest are wanted.
    let lines = client.ask(&format!("SEARCH after={};limit=2", time(5))).await;
    assert_eq!(texts(&lines), ["5", "6"]);
    let lines = client.ask(&format!("SEARCH text=rare;after={};before={}", time(1001), time(1500))).await;
    assert_eq!(texts(&lines), ["rare 1001"]);
    let lines = client.ask(&format!("SEARCH after={}", time(LINES))).await;
    assert!(texts(&lines).is_empty());
    let lines = client.ask(&format!("SEARCH text=xyzzy;after={}", time(0))).await;
    let told = format!(":wx.test FAIL SEARCH INCOMPLETE after={} :", time(999));
    assert!(lines.len() == 1 && lines[0].starts_with(&told), "{lines:#?}");
    // A chat of its own is looked at whole.
    assert_eq!(texts(&client.ask("SEARCH in=#家").await), ["rare 1", "rare 1001", "rare 2001"]);
    let mut plain = Client::login(&served, "two", "").await;
    let lines = plain.ask("PRIVMSG wechat :find xyzzy").await;
    let told = format!("I looked back to {0}; to go on say: find xyzzy before {0}", time(2000));
    assert!(lines.len() == 1 && lines[0].ends_with(&told), "{lines:#?}");
    let lines = plain.ask(&format!("PRIVMSG wechat :find rare before {}", time(1500))).await;
    assert!(lines.len() == 2 && lines[1].ends_with(" rare 1001"), "{lines:#?}");
    let lines = plain.ask("PRIVMSG wechat :find #家 rare before 2023-11-14").await;
    assert!(lines.len() == 1 && lines[0].ends_with("nothing was said with these words"), "{lines:#?}");
}

#[tokio::test]
async fn what_local_users_said_is_found_by_who_was_there() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, CAPS).await;
    let mut eve = guest(&served, "eve", CAPS).await;
    ann.ask("PRIVMSG #room :the first word").await;
    bob.ask("PRIVMSG #room :the last word").await;
    ann.ask("PRIVMSG bob :a secret word").await;
    ann.sync().await;
    bob.sync().await;
    assert_eq!(
        texts(&bob.ask("SEARCH text=word").await),
        ["the first word", "the last word", "a secret word"]
    );
    assert_eq!(texts(&bob.ask("SEARCH text=word;from=anna;in=#room").await), ["the first word"]);
    assert_eq!(texts(&ann.ask("SEARCH in=bob").await), ["a secret word"]);
    assert!(texts(&eve.ask("SEARCH text=word").await).is_empty());
    assert_eq!(ann.ask("SEARCH").await, [":wx.test 461 anna SEARCH :Not enough parameters"]);
}
