//! METADATA among local users, and of WeChat.

use wxgate_contract::{Answer, Body, Command, FeedEvent, MediaId, Request};

use crate::client::{Client, config, numerics, said, serve, world};
use crate::local::{guest, open, two};

const CAPS: &str = "draft/metadata-2 batch";

/// What stands between the borders of the one batch of an answer.
fn inside(lines: &[String], target: &str) -> Vec<String> {
    let [first, inner @ .., last] = lines else { panic!("no batch: {lines:#?}") };
    let opened = first.split_once(" BATCH +").unwrap().1;
    let (reference, rest) = opened.split_once(' ').unwrap();
    assert_eq!(rest, format!("metadata {target}"), "{lines:#?}");
    assert!(last.ends_with(&format!(" BATCH -{reference}")), "{lines:#?}");
    let tag = format!("@batch={reference} ");
    inner.iter().map(|line| line.strip_prefix(&tag).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_describes_oneself_and_others_read_it() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, CAPS).await;
    for (line, answer) in [
        ("METADATA * SET url :http://a.example/ x", ":wx.test 761 anna * url * :http://a.example/ x"),
        ("METADATA anna SET status :", ":wx.test 761 anna anna status * :"),
        ("METADATA * SET status", ":wx.test 766 anna * status :key not set"),
        ("METADATA * SET status", ":wx.test FAIL METADATA KEY_NOT_SET * status :The key is not set"),
        ("METADATA * SET Bad$Key :x", ":wx.test FAIL METADATA KEY_INVALID Bad$Key :This is no key"),
        (
            "METADATA bob SET url :x",
            ":wx.test FAIL METADATA KEY_NO_PERMISSION bob url :This is not yours to change",
        ),
        ("METADATA nobody GET url", ":wx.test FAIL METADATA INVALID_TARGET nobody :There is no such target"),
        ("METADATA nobody LIST", ":wx.test FAIL METADATA INVALID_TARGET nobody :There is no such target"),
        (
            "METADATA * DESTROY",
            ":wx.test FAIL METADATA SUBCOMMAND_INVALID DESTROY :There is no such subcommand",
        ),
        ("METADATA * GET", ":wx.test 461 anna METADATA :Not enough parameters"),
        ("METADATA *", ":wx.test 461 anna METADATA :Not enough parameters"),
    ] {
        assert_eq!(ann.ask(line).await, [answer], "{line}");
    }
    let long = format!("METADATA * SET url :{}", "x".repeat(301));
    assert_eq!(ann.ask(&long).await, [":wx.test FAIL METADATA VALUE_INVALID :The value is too long"]);
    let lines = bob.ask("METADATA anna GET url color b@d").await;
    assert_eq!(
        inside(&lines, "anna"),
        [
            ":wx.test 761 bob anna url * :http://a.example/ x",
            ":wx.test 766 bob anna color :key not set",
            ":wx.test FAIL METADATA KEY_INVALID b@d :This is no key"
        ]
    );
    let lines = bob.ask("METADATA anna LIST").await;
    assert_eq!(inside(&lines, "anna"), [":wx.test 761 bob anna url * :http://a.example/ x"]);
    assert!(inside(&bob.ask("METADATA * LIST").await, "*").is_empty());
    for at in 0..19 {
        ann.ask(&format!("METADATA * SET key{at} :x")).await;
    }
    let lines = ann.ask("METADATA * SET more :x").await;
    assert_eq!(lines, [":wx.test FAIL METADATA LIMIT_REACHED * :There are too many keys"]);
    assert_eq!(inside(&ann.ask("METADATA * CLEAR").await, "*").len(), 20);
    assert!(inside(&ann.ask("METADATA * LIST").await, "*").is_empty());
    let mut plain = guest(&served, "plain", "").await;
    assert_eq!(numerics(&plain.ask("METADATA * LIST").await), ["421"]);
}

#[tokio::test]
async fn subscribers_hear_of_changes() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, CAPS).await;
    let mut far = guest(&served, "far", CAPS).await;
    ann.ask("METADATA * SET avatar :https://a.example/1.png").await;
    let lines = bob.ask("METADATA * SUB avatar b@d url").await;
    assert_eq!(
        lines,
        [
            ":wx.test 770 bob avatar url",
            ":wx.test FAIL METADATA KEY_INVALID b@d :This is no key",
            ":wx.test METADATA anna avatar * :https://a.example/1.png"
        ]
    );
    let lines = bob.ask("METADATA * SUBS").await;
    assert!(lines[0].ends_with(" metadata-subs") && lines[1].ends_with(" 772 bob avatar url"), "{lines:#?}");
    far.ask("METADATA * SUB avatar").await;
    let lines = far.ask("MONITOR + anna").await;
    assert_eq!(lines[1], ":wx.test METADATA anna avatar * :https://a.example/1.png", "{lines:#?}");
    ann.ask("METADATA * SET avatar :https://a.example/2.png").await;
    ann.ask("METADATA * SET color :red").await;
    let line = ":wx.test METADATA anna avatar * :https://a.example/2.png";
    assert_eq!(bob.sync().await, [line]);
    assert_eq!(far.sync().await, [line], "who watches them");
    assert_eq!(bob.ask("METADATA * UNSUB avatar other").await, [":wx.test 771 bob avatar other"]);
    ann.ask("METADATA * SET avatar").await;
    assert!(bob.sync().await.is_empty());
    assert_eq!(far.sync().await, [":wx.test METADATA anna avatar *"], "it is gone");
    let keys: Vec<String> = (0..60).map(|at| format!("k{at}")).collect();
    let lines = far.ask(&format!("METADATA * SUB {}", keys[..13].join(" "))).await;
    assert_eq!(lines[0].split(' ').count(), 3 + 13);
    for chunk in keys[13..].chunks(12) {
        far.ask(&format!("METADATA * SUB {}", chunk.join(" "))).await;
    }
    let lines = far.ask("METADATA * SUB avatar more").await;
    assert_eq!(lines[1], ":wx.test FAIL METADATA TOO_MANY_SUBS more :There are too many subscriptions");
    assert_eq!(bob.ask("METADATA anna SUB x").await.len(), 1, "only one's own");
}

#[tokio::test]
async fn channels_are_described_by_their_operators() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, CAPS).await;
    bob.ask("METADATA * SUB url display-name").await;
    let refused = ":wx.test FAIL METADATA KEY_NO_PERMISSION #room url :This is not yours to change";
    assert_eq!(bob.ask("METADATA #room SET url :x").await, [refused]);
    let set = "METADATA #room SET url :https://room.example/";
    assert_eq!(ann.ask(set).await, [":wx.test 761 anna #room url * :https://room.example/"]);
    ann.ask("METADATA * SET display-name :Anna B").await;
    let url = ":wx.test METADATA #room url * :https://room.example/";
    let name = ":wx.test METADATA anna display-name * :Anna B";
    assert_eq!(bob.sync().await, [url, name]);
    assert_eq!(inside(&bob.ask("METADATA #room SYNC").await, "#room"), [url, name]);
    let mut eve = guest(&served, "eve", CAPS).await;
    eve.ask("METADATA * SUB url display-name").await;
    eve.ask("METADATA * SET url :https://eve.example/").await;
    let lines = eve.ask("JOIN #room").await;
    assert_eq!(lines[lines.len() - 3..], [url, name, ":wx.test METADATA eve url * :https://eve.example/"]);
    assert_eq!(bob.sync().await[1], ":wx.test METADATA eve url * :https://eve.example/");
}

#[tokio::test]
async fn the_welcome_holds_ones_own_values() {
    let served = serve(world(), config()).await;
    let mut one = Client::login(&served, "one", CAPS).await;
    assert_eq!(one.ask("METADATA * SET color :blue").await, [":wx.test 761 ann * color * :blue"]);
    one.send("QUIT").await;
    one.rest().await;
    let mut two = Client::begin(&served, "two", CAPS).await;
    let lines = two.until(" 422 ").await;
    let at = lines.iter().position(|line| line.contains(" BATCH +k")).unwrap();
    assert_eq!(inside(&lines[at..at + 3], "ann"), [":wx.test METADATA ann color * :blue"]);
}

#[tokio::test]
async fn contacts_can_be_read_and_not_changed() {
    let double = world();
    double.state().answer = Some(Answer::Media(Some(MediaId([7; 16]))));
    let served = serve(double, config()).await;
    let mut client = Client::login(&served, "", CAPS).await;
    let lines = client.ask("METADATA 李四 LIST").await;
    assert_eq!(inside(&lines, "李四"), [":wx.test 761 ann 李四 display-name * :李四"]);
    let lines = client.ask("METADATA 李四 SET display-name :x").await;
    assert!(
        lines[0].starts_with(":wx.test FAIL METADATA KEY_NO_PERMISSION 李四 display-name :"),
        "{lines:#?}"
    );
    let lines = client.ask("METADATA #家 LIST").await;
    assert_eq!(inside(&lines, "#家"), [":wx.test 761 ann #家 display-name * :家"]);
    let lines = client.ask("METADATA * SUB avatar display-name").await;
    assert_eq!(lines[0], ":wx.test 770 ann avatar display-name");
    for who in ["张三", "李四", "王五", "#家", "#测试群"] {
        let line = format!(":wx.test METADATA {who} display-name * :{}", who.trim_start_matches('#'));
        assert_eq!(lines.iter().filter(|got| **got == line).count(), 1, "{who}: {lines:#?}");
    }
    served.double.show(said("p-zhang", "p-zhang", "1", Body::text("hi")));
    let lines = client.until(" METADATA ").await;
    assert!(
        lines.last().unwrap().starts_with(":wx.test METADATA 张三 avatar * :http"),
        "who speaks is shown: {lines:#?}"
    );
    served.double.show(said("p-zhang", "p-zhang", "2", Body::text("again")));
    client.until("again").await;
    client.sync().await;
    let asked = |command: &&Command| matches!(command, Command::Ask { request: Request::Avatar(_), .. });
    // One for the question about 李四, one for 张三, who spoke twice.
    assert_eq!(served.double.state().commands.iter().filter(asked).count(), 2);
    // Who has another picture perhaps is asked about again.
    served.double.state().answer = Some(Answer::Media(Some(MediaId([8; 16]))));
    served.double.tell(FeedEvent::People("wechat:work".into(), ["p-zhang".into()].into()));
    served.double.show(said("p-zhang", "p-zhang", "3", Body::text("look")));
    let line = client.until(" METADATA 张三 avatar ").await.pop().unwrap();
    assert!(line.contains("08080808"), "{line}");
}

#[tokio::test]
async fn what_is_said_of_oneself_before_the_welcome_counts_from_the_first_moment() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    client.send("CAP LS 302").await;
    let offered = client.until("metadata-2").await.pop().unwrap();
    assert!(offered.contains("draft/metadata-2=before-connect,max-subs="), "{offered}");
    client.send("METADATA * SET avatar x").await;
    client.until(" 451 ").await;
    client.send("CAP REQ :draft/metadata-2 batch").await;
    client.until(" ACK ").await;
    for (line, answer) in [
        ("METADATA * SET display-name :Ann of the web", ":wx.test 761 * * display-name * :Ann of the web"),
        ("METADATA * SET Nope :x", ":wx.test FAIL METADATA KEY_INVALID Nope :This is no key"),
        ("METADATA * SUB display-name", ":wx.test 770 * display-name"),
        (
            "METADATA bob SET a :b",
            ":wx.test FAIL METADATA INVALID_TARGET bob :Only your own before you are here",
        ),
        ("METADATA * SYNC", ":wx.test 774 * *"),
        (
            "METADATA * DESTROY",
            ":wx.test FAIL METADATA SUBCOMMAND_INVALID DESTROY :There is no such subcommand",
        ),
    ] {
        client.send(line).await;
        assert_eq!(client.next().await.as_deref(), Some(answer));
    }
    client.send("PASS ann/work:secret").await;
    client.send("NICK ann").await;
    client.send("USER ann 0 * :Ann Lee").await;
    client.send("CAP END").await;
    client.until(" 221 ").await;
    client.sync().await;
    assert!(client.ask("METADATA * SUBS").await.iter().any(|line| line.ends_with(" 772 ann display-name")));
    let mut other = Client::login(&served, "other", "draft/metadata-2 batch").await;
    let lines = other.ask("METADATA ann GET display-name").await;
    assert!(
        lines.iter().any(|line| line.ends_with(" 761 ann ann display-name * :Ann of the web")),
        "{lines:#?}"
    );
}
