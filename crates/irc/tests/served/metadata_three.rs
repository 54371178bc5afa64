//! The newer draft of METADATA, draft/metadata-3, beside the older one.

use crate::client::{Client, numerics, serve, world};
use crate::local::{guest, open, two};

const CAPS: &str = "draft/metadata-3 batch";

/// What stands between the borders of the one batch in these lines.
fn inside(lines: &[String], target: &str) -> Vec<String> {
    let opened = |line: &String| line.contains(" BATCH +") && line.ends_with(&format!(" metadata {target}"));
    let at = lines.iter().position(opened).unwrap_or_else(|| panic!("no batch of {target}: {lines:#?}"));
    let reference = lines[at].split(" BATCH +").nth(1).unwrap().split(' ').next().unwrap();
    let end = lines.iter().position(|line| line.ends_with(&format!(" BATCH -{reference}"))).unwrap();
    let tag = format!("@batch={reference} ");
    lines[at + 1..end].iter().map(|line| line.strip_prefix(&tag).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn faults_have_the_names_of_the_newer_draft() {
    let served = serve(world(), open()).await;
    let (mut ann, _bob) = two(&served, CAPS).await;
    for (line, answer) in [
        ("METADATA * SET url :http://a.example/ x", ":wx.test 761 anna anna url * :http://a.example/ x"),
        ("METADATA ANNA SET url :", ":wx.test 766 anna anna url :key not set"),
        ("METADATA * SET url", ":wx.test 766 anna anna url :key not set"),
        ("METADATA * SET Bad$Key :x", ":wx.test FAIL METADATA INVALID_KEY Bad$Key :This is no key"),
        (
            "METADATA BOB SET url :x",
            ":wx.test FAIL METADATA KEY_NO_PERMISSION bob url :This is not yours to change",
        ),
        ("METADATA nobody LIST", ":wx.test FAIL METADATA INVALID_TARGET nobody :There is no such target"),
        ("METADATA bob SUB url", ":wx.test FAIL METADATA INVALID_TARGET bob :Only your own subscriptions"),
        ("METADATA * SNEEZE", ":wx.test FAIL METADATA INVALID_PARAMS SNEEZE :There is no such subcommand"),
        ("METADATA * :: hi", ":wx.test FAIL METADATA INVALID_PARAMS * :There is no such subcommand"),
        ("METADATA * GET", ":wx.test 461 anna METADATA :Not enough parameters"),
    ] {
        assert_eq!(ann.ask(line).await, [answer], "{line}");
    }
    let long = format!("METADATA * SET url :{}", "x".repeat(301));
    assert_eq!(ann.ask(&long).await, [":wx.test FAIL METADATA INVALID_VALUE url :The value is too long"]);
    for at in 0..20 {
        ann.ask(&format!("METADATA * SET key{at} :x")).await;
    }
    let lines = ann.ask("METADATA * SET more :x").await;
    assert_eq!(lines, [":wx.test FAIL METADATA LIMIT_REACHED SET anna 20 :There are too many keys"]);
    let lines = ann.ask("METADATA * GET key0 b@d none").await;
    assert_eq!(
        inside(&lines, "anna"),
        [
            ":wx.test 761 anna anna key0 * :x",
            ":wx.test WARN METADATA INVALID_KEY b@d :This is no key",
            ":wx.test 766 anna anna none :key not set"
        ]
    );
    let cleared = inside(&ann.ask("METADATA * CLEAR").await, "anna");
    assert!(cleared.len() == 20 && cleared.iter().all(|line| line.contains(" 766 anna anna key")));
    for keys in (0..60).map(|at| format!("k{at}")).collect::<Vec<_>>().chunks(12) {
        ann.ask(&format!("METADATA * SUB {}", keys.join(" "))).await;
    }
    let lines = ann.ask("METADATA * SUB more").await;
    assert_eq!(lines, [":wx.test FAIL METADATA LIMIT_REACHED SUB more 50 :There are too many subscriptions"]);
}

#[tokio::test]
async fn subscribers_are_told_by_numerics_and_ask_for_the_rest() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, CAPS).await;
    let mut old = guest(&served, "old", "draft/metadata-2 batch").await;
    old.ask("JOIN #room").await;
    old.ask("METADATA * SUB avatar").await;
    for client in [&mut ann, &mut bob] {
        client.sync().await;
    }
    ann.ask("METADATA * SET avatar :one").await;
    assert_eq!(
        bob.ask("METADATA * SUB avatar b@d").await,
        [
            ":wx.test 770 bob avatar",
            ":wx.test WARN METADATA INVALID_KEY b@d :This is no key",
            ":wx.test 774 bob *ALL 0 :Ask for it with SYNC"
        ]
    );
    assert_eq!(bob.ask("METADATA * SUB avatar").await, [":wx.test 770 bob avatar"], "nothing new");
    let one = ":wx.test 761 bob anna avatar * :one";
    assert_eq!(inside(&bob.ask("METADATA *ALL SYNC").await, "*ALL"), [one]);
    assert_eq!(inside(&bob.ask("METADATA #room SYNC").await, "#room"), [one]);
    let set = ann.ask("METADATA * SET avatar :two").await;
    assert_eq!(set, [":wx.test 761 anna anna avatar * :two"], "one's own change is told once");
    assert_eq!(bob.sync().await, [":wx.test 761 bob anna avatar * :two"]);
    ann.ask("METADATA * SET avatar").await;
    assert_eq!(bob.sync().await, [":wx.test 766 bob anna avatar :key not set"]);
    ann.ask("METADATA #room SET avatar :x").await;
    assert_eq!(bob.sync().await, [":wx.test 761 bob #room avatar * :x"]);
    let told = old.sync().await;
    assert_eq!(
        told[told.len() - 2..],
        [":wx.test METADATA anna avatar *", ":wx.test METADATA #room avatar * :x"],
        "in the words of the older draft"
    );
    bob.ask("CAP REQ :-draft/metadata-3").await;
    bob.ask("CAP REQ :draft/metadata-3").await;
    ann.ask("METADATA #room SET avatar :y").await;
    assert!(bob.sync().await.is_empty(), "who gave it up is not subscribed any more");
}

#[tokio::test]
async fn who_comes_into_sight_is_described() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, CAPS).await;
    ann.ask("METADATA * SET url :u").await;
    bob.ask("METADATA * SUB url").await;
    bob.ask("PART #room").await;
    assert_eq!(inside(&bob.ask("JOIN #room").await, "#room"), [":wx.test 761 bob anna url * :u"]);
    ann.sync().await;
    let lines = bob.ask("MONITOR + anna,late").await;
    assert_eq!(numerics(&lines)[..2], ["730", "731"], "{lines:#?}");
    assert_eq!(inside(&lines, "anna"), [":wx.test 761 bob anna url * :u"]);
    let _late = guest(&served, "late", "").await;
    let lines = bob.sync().await;
    assert_eq!(
        lines,
        [":wx.test 730 bob :late!~late@wxgate", ":wx.test 774 bob late 0 :Ask for it with SYNC"]
    );
    assert!(inside(&bob.ask("METADATA late SYNC").await, "late").is_empty());
    assert!(bob.ask("WHOIS anna").await.contains(&":wx.test 760 bob anna url * :u".to_owned()));
    let mut plain = guest(&served, "plain", "").await;
    assert!(!numerics(&plain.ask("WHOIS anna").await).contains(&"760"));
}

#[tokio::test]
async fn a_closed_channel_keeps_its_values() {
    let served = serve(world(), open()).await;
    let (mut ann, _bob) = two(&served, CAPS).await;
    let mut eve = guest(&served, "eve", CAPS).await;
    eve.ask("METADATA * SUB url").await;
    ann.ask("METADATA #room SET url :u").await;
    assert_eq!(inside(&eve.ask("METADATA #room LIST").await, "#room").len(), 1, "it is open");
    for mode in ["+i", "-i+s", "-s+k key"] {
        ann.ask(&format!("MODE #room {mode}")).await;
        for question in ["LIST", "SYNC", "GET url"] {
            let lines = eve.ask(&format!("METADATA #room {question}")).await;
            let refused = ":wx.test FAIL METADATA INVALID_TARGET #room :There is no such target";
            assert_eq!(lines, [refused], "{mode} {question}");
        }
    }
}

#[tokio::test]
async fn before_the_welcome_all_of_ones_own_can_be_asked() {
    let served = serve(world(), open()).await;
    let mut client = Client::connect(served.address).await;
    client.send("CAP LS 302").await;
    client.until("draft/metadata-3=before-connect,max-subs=50,max-keys=20,max-key-bytes=64,").await;
    client.send("CAP REQ :draft/metadata-2 draft/metadata-3").await;
    client.until(" NAK ").await;
    client.send("CAP REQ :draft/metadata-3 batch").await;
    client.until(" ACK ").await;
    for (line, answers) in [
        ("METADATA * SET url :u", &["761 * * url * :u"][..]),
        ("METADATA * SET gone :", &["766 * * gone :key not set"]),
        ("METADATA * LIST", &["BATCH", "761 * * url * :u", "BATCH"]),
        ("METADATA * GET gone url", &["BATCH", "766 * * gone", "761 * * url", "BATCH"]),
        ("METADATA * SUB url", &["770 * url"]),
        ("METADATA * SUBS", &["BATCH", "772 * url", "BATCH"]),
        ("METADATA * SYNC", &["774 * * 0 :"]),
        ("METADATA * NOPE", &["FAIL METADATA INVALID_PARAMS NOPE"]),
        ("METADATA other SET url :u", &["FAIL METADATA INVALID_TARGET other"]),
        ("METADATA * CLEAR", &["BATCH", "766 * * url", "BATCH"]),
        ("METADATA * SET display-name :Ann", &["761 * * display-name * :Ann"]),
    ] {
        client.send(line).await;
        for answer in answers {
            let got = client.next().await.unwrap();
            assert!(got.contains(&format!(":wx.test {answer}")), "{line}: {got}");
        }
    }
    for line in ["NICK anna", "USER a 0 * :a", "CAP END"] {
        client.send(line).await;
    }
    let welcome = client.until(" 422 ").await;
    assert_eq!(inside(&welcome, "anna"), [":wx.test 761 anna anna display-name * :Ann"]);
}
