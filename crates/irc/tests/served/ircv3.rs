//! Promises of IRCv3 that hold for every command: labels, tags, batches.

use std::time::Duration;

use wxgate_contract::{FeedEvent, Health};

use crate::client::{ACCOUNT, Client, PATIENCE, config, numerics, serve, world};
use crate::local::{guest, open, two};

/// Everything that is offered, without the older draft of METADATA and what needs a WeChat account.
const CAPS: &str = "sasl server-time message-tags batch echo-message labeled-response multi-prefix \
     userhost-in-names extended-join setname account-tag account-notify away-notify chghost invite-notify \
     standard-replies draft/chathistory draft/event-playback draft/read-marker draft/message-redaction \
     draft/multiline extended-monitor draft/pre-away draft/extended-isupport draft/channel-rename \
     soju.im/bouncer-networks draft/metadata-3 soju.im/search";

fn tag<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (tags, _) = line.strip_prefix('@')?.split_once(' ')?;
    let mut pairs = tags.split(';').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find_map(|(name, value)| (name == key).then_some(value))
}

fn body(line: &str) -> &str {
    line.strip_prefix('@').and_then(|line| line.split_once(' ')).map_or(line, |(_, body)| body)
}

/// One label, on one logical message: a line, or a batch that holds everything else.
fn assert_labelled(lines: &[String], label: &str, what: &str) {
    let labelled: Vec<&String> = lines.iter().filter(|line| tag(line, "label").is_some()).collect();
    assert_eq!(labelled.len(), 1, "{what}: {lines:#?}");
    assert_eq!(tag(labelled[0], "label"), Some(label), "{what}");
    let Some(opened) = body(labelled[0]).split(" BATCH +").nth(1) else { return };
    let outer = opened.split(' ').next().unwrap();
    let (mut open, mut is_over) = (vec![outer.to_owned()], false);
    let at = lines.iter().position(|line| line == labelled[0]).unwrap();
    for line in &lines[at + 1..] {
        if let Some(ended) = body(line).split(" BATCH -").nth(1) {
            assert!(open.iter().any(|known| known == ended), "{what}: {line}");
            is_over |= ended == outer;
            continue;
        }
        assert!(!is_over, "{what}: {line} comes behind the answer: {lines:#?}");
        let inside = tag(line, "batch").unwrap_or_else(|| panic!("{what}: {line} is in no batch"));
        assert!(open.iter().any(|known| known == inside), "{what}: {line}");
        open.extend(body(line).split(" BATCH +").nth(1).and_then(|b| b.split(' ').next()).map(str::to_owned));
    }
    assert!(is_over, "{what}: {lines:#?}");
}

/// What is asked in a channel `#room` with somebody called bob in it.
const LINES: &[&str] = &[
    "ADMIN",
    "AUTHENTICATE *",
    "AUTHENTICATE NONE",
    "AWAY :out",
    "AWAY",
    "AWAY *",
    "BATCH -none",
    "BATCH +1 none #room",
    "BATCH nonsense",
    "BOUNCER LISTNETWORKS",
    "BOUNCER NONSENSE",
    "CAP LIST",
    "CAP LS 302",
    "CAP NONSENSE",
    "CAP REQ :nonsense",
    "CHATHISTORY LATEST #room * 5",
    "CHATHISTORY LATEST #nowhere * 5",
    "CHATHISTORY TARGETS timestamp=2020-01-01T00:00:00.000Z timestamp=2030-01-01T00:00:00.000Z 5",
    "CHATHISTORY NONSENSE",
    "HELP",
    "HELP JOIN",
    "HELP NONSENSE",
    "INFO",
    "INVITE bob #room",
    "INVITE nobody #room",
    "INVITE",
    "ISON bob nobody",
    "ISUPPORT",
    "JOIN #other",
    "JOIN #other",
    "JOIN #a,#b,&c",
    "JOIN nonsense",
    "KICK #room nobody",
    "KICK #nowhere bob",
    "KILL bob :x",
    "LINKS",
    "LIST",
    "LIST #room",
    "LUSERS",
    "MARKREAD #room",
    "MARKREAD #room timestamp=2019-01-04T14:33:26.123Z",
    "MARKREAD",
    "METADATA * SET url :x",
    "METADATA * SUB url",
    "METADATA * SUBS",
    "METADATA * LIST",
    "METADATA *ALL SYNC",
    "METADATA * CLEAR",
    "METADATA * NONSENSE",
    "MODE #room",
    "MODE #room +m",
    "MODE #room +m",
    "MODE #room +b",
    "MODE #room +b x!y@z",
    "MODE #room +b",
    "MODE #room +Z",
    "MODE anna",
    "MODE anna +i",
    "MODE bob",
    "MONITOR + bob,nobody",
    "MONITOR L",
    "MONITOR S",
    "MONITOR C",
    "MOTD",
    "NAMES",
    "NAMES #room",
    "NAMES #nowhere",
    "NICK anna",
    "NICK bob",
    "NICK anneke",
    "NICK anna",
    "NOTICE #room :hi",
    "NOTICE nobody :hi",
    "NOTICE bob :hi",
    "OPER a b",
    "PART #other :bye",
    "PART #other",
    "PART #nowhere",
    "PASS x",
    "PING x",
    "PING",
    "PONG x",
    "PRIVMSG #room :hi",
    "PRIVMSG bob :hi",
    "PRIVMSG bob,#room :hi",
    "PRIVMSG nobody :hi",
    "PRIVMSG wechat :help",
    "PRIVMSG",
    "PRIVMSG #room",
    "REDACT #room none",
    "REHASH",
    "RENAME #room #room",
    "RENAME #room nothing",
    "SEARCH text=hi",
    "SETNAME :New Name",
    "SETNAME :",
    "STATS u",
    "TAGMSG #room",
    "TAGMSG bob",
    "TAGMSG nobody",
    "TIME",
    "TOPIC #room :about",
    "TOPIC #room",
    "USER a b c d",
    "USERHOST bob",
    "VERSION",
    "WALLOPS :x",
    "WHO #room",
    "WHO bob",
    "WHO * o",
    "WHO #room %tcuihsnfdlaor,7",
    "WHOIS bob",
    "WHOIS nobody",
    "WHOIS anna",
    "WHOWAS nobody",
    "NONSENSE",
    "NO_SENSE",
    "你好",
];

#[tokio::test]
async fn every_command_answers_its_label_once() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", CAPS).await;
    let mut bob = guest(&served, "bob", CAPS).await;
    ann.ask("JOIN #room").await;
    bob.ask("JOIN #room").await;
    ann.sync().await;
    for (at, line) in LINES.iter().enumerate() {
        let label = format!("l{at}");
        let lines = ann.ask(&format!("@label={label} {line}")).await;
        assert_labelled(&lines, &label, line);
        let told = bob.sync().await;
        assert!(told.iter().all(|line| tag(line, "label").is_none()), "{line}: {told:#?}");
    }
}

#[tokio::test]
async fn every_command_of_an_account_answers_its_label_once() {
    let served = serve(world(), config()).await;
    let mut ann = Client::login(&served, "", CAPS).await;
    for (at, line) in [
        "JOIN #家",
        "PART #家",
        "JOIN #家",
        "NAMES #家",
        "WHO #家",
        "LIST",
        "MODE #家",
        "MODE #家 +m",
        "TOPIC #家",
        "TOPIC #家 :x",
        "KICK #家 李四",
        "INVITE 张三 #家",
        "RENAME #家 #other",
        "WHOIS 李四",
        "WHOWAS 李四",
        "PRIVMSG 李四 :hi",
        "PRIVMSG #家 :hi",
        "PRIVMSG #家,李四 :hi",
        "PRIVMSG ann :to myself",
        "PRIVMSG 李四 :\x01VERSION\x01",
        "PRIVMSG wechat :status",
        "NOTICE 李四 :hi",
        "NOTICE wechat :hi",
        "TAGMSG 李四",
        "@+draft/react=x TAGMSG 李四",
        "REDACT #家 none",
        "CHATHISTORY LATEST #家 * 10",
        "MARKREAD #家",
        "METADATA 李四 LIST",
        "METADATA * SUB display-name",
        "METADATA *ALL SYNC",
        "METADATA #家 SYNC",
        "MONITOR + 李四,nobody",
        "SEARCH text=hi",
        "BOUNCER LISTNETWORKS",
        "NICK anna",
        "SETNAME :New Name",
    ]
    .iter()
    .enumerate()
    {
        let label = format!("l{at}");
        let line = match line.strip_prefix('@') {
            Some(tagged) => format!("@label={label};{tagged}"),
            None => format!("@label={label} {line}"),
        };
        ann.send(&line).await;
        let mut lines = ann.until(&format!("label={label}")).await;
        lines.extend(ann.sync().await);
        assert_labelled(&lines, &label, &line);
    }
}

#[tokio::test]
async fn what_is_answered_at_once_and_later_answers_its_label_once() {
    let served = serve(world(), open()).await;
    let mut ann = Client::login(&served, "", CAPS).await;
    ann.ask("JOIN #room").await;
    for targets in ["nobody,李四", "李四,nobody", "#room,李四", "李四,#room", "#nowhere,李四,nobody"]
    {
        ann.send(&format!("@label=x PRIVMSG {targets} :hi")).await;
        let mut lines = ann.until(" PRIVMSG 李四 :hi").await;
        let echo = lines.pop().unwrap();
        assert_eq!(tag(&echo, "label"), None, "{targets}: {lines:#?}");
        lines.extend(ann.sync().await);
        assert_labelled(&lines, "x", targets);
    }
    served.double.tell(FeedEvent::Health(ACCOUNT.into(), Health::signed_out(None).into()));
    ann.until(" is signed out").await;
    for targets in ["李四,张三", "nobody,李四", "李四"] {
        let lines = ann.ask(&format!("@label=x PRIVMSG {targets} :hi")).await;
        assert_labelled(&lines, "x", targets);
    }
}

#[tokio::test]
async fn what_becomes_of_a_line_before_it_is_no_answer_to_a_label() {
    let mut config = config();
    config.limits.hold = Duration::from_secs(60);
    let served = serve(world(), config).await;
    let mut ann = Client::login(&served, "", "labeled-response batch message-tags standard-replies").await;
    for target in ["李四", "张三"] {
        ann.send("PRIVMSG 李四 :it waits").await;
        let waits = |key: &(_, String)| key.1.starts_with("held/");
        served.double.wait_for(PATIENCE, |state| state.notes.keys().any(waits).then_some(())).await;
        served.double.tell(FeedEvent::Health(ACCOUNT.into(), Health::signed_out(None).into()));
        ann.until(" is signed out").await;
        let lines = ann.ask(&format!("@label=x PRIVMSG {target} :at once")).await;
        assert_labelled(&lines, "x", target);
        let [waited, answer] = lines.as_slice() else { panic!("{target}: {lines:#?}") };
        assert!(waited.starts_with(":wx.test FAIL ") && waited.contains("it waits"), "{waited}");
        assert!(answer.starts_with("@label=x :wx.test "), "{answer}");
        served.double.tell(FeedEvent::Health(ACCOUNT.into(), Health::Up.into()));
        ann.until(" is online").await;
    }
}

#[tokio::test]
async fn whatever_somebody_does_carries_their_account_and_its_time() {
    let served = serve(world(), open()).await;
    let mut bob = guest(&served, "bob", "account-tag server-time message-tags").await;
    let mut ann = Client::login(&served, "", "account-tag server-time setname").await;
    bob.ask("JOIN #room").await;
    ann.ask("JOIN #room").await;
    bob.ask("MODE #room +o ann").await;
    bob.sync().await;
    for (line, verb) in [
        ("PRIVMSG #room :hi", "PRIVMSG"),
        ("NOTICE #room :hi", "NOTICE"),
        ("TOPIC #room :about", "TOPIC"),
        ("MODE #room +v bob", "MODE"),
        ("INVITE bob #room2", ""),
        ("NICK anna", "NICK"),
        ("PART #room", "PART"),
        ("JOIN #room", "JOIN"),
        ("KICK #room bob", ""),
        ("PRIVMSG bob :hi", "PRIVMSG"),
    ] {
        let own = ann.ask(line).await;
        for told in bob.sync().await.iter().chain(own.iter().filter(|line| body(line).starts_with(":ann"))) {
            assert_eq!(tag(told, "account"), Some("ann"), "{line}: {told}");
            assert_eq!(tag(told, "time"), Some("2023-11-14T22:13:20.000Z"), "{line}: {told}");
            assert!(body(told).contains(&format!(" {verb}")), "{line}: {told}");
        }
    }
    let lines = ann.ask("SETNAME :Other").await;
    assert_eq!(lines.len(), 1);
    assert_eq!((tag(&lines[0], "account"), tag(&lines[0], "time").is_some()), (Some("ann"), true));
    for line in ["PART #家", "JOIN #家"] {
        let lines = ann.ask(line).await;
        let deed = lines.iter().find(|line| body(line).starts_with(":anna!")).unwrap();
        assert_eq!((tag(deed, "account"), tag(deed, "time").is_some()), (Some("ann"), true), "{lines:#?}");
    }
    let lines = ann.ask("PRIVMSG wechat :help").await;
    assert!(lines.iter().all(|line| tag(line, "time").is_some() && tag(line, "account").is_none()));
}

#[tokio::test]
async fn references_of_batches_are_letters_numbers_and_hyphens() {
    let served = serve(world(), open()).await;
    let (mut ann, mut bob) = two(&served, "batch message-tags draft/multiline standard-replies").await;
    for reference in ["a_b", "a.b", "名", "a:b"] {
        let lines = ann.ask(&format!("BATCH +{reference} draft/multiline #room")).await;
        assert!(
            lines[0].starts_with(&format!(":wx.test FAIL BATCH INVALID_REFTAG {reference} :")),
            "{lines:#?}"
        );
    }
    for line in [
        "BATCH +aB-9 draft/multiline #room",
        "@batch=aB-9 PRIVMSG #room :one",
        "@batch=aB-9 PRIVMSG #room :two",
    ] {
        assert!(ann.ask(line).await.is_empty(), "{line}");
    }
    ann.ask("BATCH -aB-9").await;
    let told = bob.sync().await;
    let reference = body(&told[0]).split(" BATCH +").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{reference}");
}

#[tokio::test]
async fn tags_of_the_sender_are_on_every_line_of_the_fallback() {
    let served = serve(world(), open()).await;
    let (mut ann, mut plain) = two(&served, "batch message-tags").await;
    ann.ask("CAP REQ :draft/multiline").await;
    for line in [
        "@+draft/reply=x;+mine=y BATCH +1 draft/multiline #room",
        "@batch=1 PRIVMSG #room :one",
        "@batch=1 PRIVMSG #room :",
        "@batch=1;draft/multiline-concat PRIVMSG #room :two",
        "BATCH -1",
    ] {
        ann.send(line).await;
    }
    ann.sync().await;
    let told = plain.sync().await;
    assert_eq!(told.len(), 2, "blank lines are left out: {told:#?}");
    assert!(
        told.iter().all(|line| tag(line, "+mine") == Some("y") && tag(line, "+draft/reply") == Some("x"))
    );
    assert!(tag(&told[0], "msgid").is_some() && tag(&told[1], "msgid").is_none(), "{told:#?}");
}

#[tokio::test]
async fn what_is_said_to_the_service_is_echoed_in_lines_that_fit() {
    let served = serve(world(), config()).await;
    let mut plain = Client::login(&served, "plain", "echo-message").await;
    let lines = plain.ask(&format!("PRIVMSG wechat :find {}", "x".repeat(485))).await;
    assert!(lines[0].starts_with(":ann!") && lines[0].contains(" PRIVMSG wechat :find xxx"), "{lines:#?}");
    let caps = "echo-message batch message-tags draft/multiline labeled-response";
    let mut client = Client::login(&served, "", caps).await;
    let words: Vec<String> = (0..20).map(|at| format!("{at} {}", "y".repeat(400))).collect();
    client.send("@label=m BATCH +1 draft/multiline wechat").await;
    client.send("@batch=1 PRIVMSG wechat :find").await;
    for text in &words {
        client.send(&format!("@batch=1 PRIVMSG wechat :{text}")).await;
    }
    let lines = client.ask("BATCH -1").await;
    let echoed = lines.iter().filter_map(|line| body(line).split_once(" PRIVMSG wechat :"));
    let echoed: Vec<&str> = echoed.map(|(_, text)| text).collect();
    assert_eq!(echoed[0], "find");
    assert_eq!(echoed[1..], words, "nothing of it is lost");
}

#[tokio::test]
async fn numerics_name_their_receiver_first() {
    let served = serve(world(), open()).await;
    let (mut ann, _bob) = two(&served, "").await;
    for line in LINES.iter().filter(|line| !line.starts_with("NICK ")) {
        let lines = ann.ask(line).await;
        let told = lines.iter().filter(|line| numerics(std::slice::from_ref(line)).len() == 1);
        for line in told {
            assert_eq!(line.split(' ').nth(2), Some("anna"), "{line}");
            assert!(!line.starts_with('@'), "no tags were negotiated: {line}");
        }
    }
}
