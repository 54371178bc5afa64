use std::time::Duration;

use wxgate_contract::conformance::{Bug, FixedClock};
use wxgate_contract::{Adapter as _, AdapterError, Body};
use wxgate_irc::{Flood, IrcServerAdapter};

use crate::client::{Client, NOW_MS, PATIENCE, config, said, serve, world};

#[tokio::test]
async fn garbage_does_no_harm() {
    let served = serve(world(), config()).await;
    let mut bad = Client::connect(served.address).await;
    bad.bytes(b"\xff\xfe\r\n\r\n  \r\nNICK a\0b\r\nNI CK\r\n:x\r\n@\r\n123456 a\r\nPING ok\r\n").await;
    let lines = bad.until("PONG").await;
    assert!(lines.iter().all(|line| !line.contains('\0')), "{lines:#?}");
    assert!(lines.contains(
        &":wx.test FAIL NICK INVALID_PARAMS :The line contains NUL or CR and was dropped".to_owned()
    ));
    let mut client = Client::login(&served, "", "standard-replies").await;
    client.bytes(b"PRIVMSG #x :\xff\xfe\r\n").await;
    assert!(client.sync().await[0].starts_with(":wx.test FAIL "));
    client.bytes(b"PRIVMSG \r \0 :x\r\nPRIVMSG\r\n").await;
    let lines = client.sync().await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with(":wx.test FAIL PRIVMSG INVALID_PARAMS :"), "{lines:#?}");
    let mut labels = Client::login(&served, "l", "labeled-response message-tags batch").await;
    labels.bytes("@label=n1 PRIVMSG 张三 :nul\0x\r\n".as_bytes()).await;
    let lines = labels.sync().await;
    assert!(lines[0].starts_with("@label=n1 :wx.test FAIL PRIVMSG INVALID_PARAMS :"), "{lines:#?}");
}

#[tokio::test]
async fn a_message_with_a_line_that_was_refused_is_not_said_with_a_hole() {
    let served = serve(world(), config()).await;
    let caps = "batch message-tags draft/multiline labeled-response";
    let mut client = Client::login(&served, "", caps).await;
    let long = format!("@batch=1 PRIVMSG #家 :{}", "b".repeat(600));
    let refused: [(&[u8], &str); 4] = [
        (long.as_bytes(), ":wx.test 417 ann :"),
        (b"@label=l;batch=1 PRIVMSG x :\xff", "@label=l :wx.test FAIL PRIVMSG INVALID_UTF8 :"),
        (b"@batch=1 PRIVMSG x :nul\0", ":wx.test FAIL PRIVMSG INVALID_PARAMS :"),
        (b"@batch=1 PRIV_MSG x :b", ":wx.test 421 ann PRIV_MSG :"),
    ];
    for (line, answer) in refused {
        client.send("@label=m BATCH +1 draft/multiline #家").await;
        client.send("@batch=1 PRIVMSG #家 :a").await;
        client.bytes(line).await;
        client.send("\r\n@batch=1 PRIVMSG #家 :c").await;
        let lines = client.ask("BATCH -1").await;
        let [own, whole] = lines.as_slice() else { panic!("{answer}: {lines:#?}") };
        assert!(own.starts_with(answer), "{own}");
        assert!(whole.starts_with("@label=m :wx.test FAIL BATCH MULTILINE_INVALID :"), "{whole}");
    }
    assert!(served.double.state().posts.is_empty());
    for line in ["BATCH +2 draft/multiline #家", "@batch=2 PRIVMSG #家 :a"] {
        client.send(line).await;
    }
    client.bytes(b"AWAY :\xff\r\n").await;
    client.send("@batch=2 PRIVMSG #家 :c").await;
    client.ask("BATCH -2").await;
    let said: Vec<Body> = served.double.state().posts.iter().map(|post| post.2.body.clone()).collect();
    assert_eq!(said, [Body::text("a\nc")], "what is not of the message does it no harm");
}

#[tokio::test]
async fn an_endless_line_ends_the_connection() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    client.bytes(&vec![b'a'; 17 * 1024]).await;
    assert!(client.rest().await.last().unwrap().starts_with("ERROR :Closing link: the line does not end"));
    let mut other = Client::connect(served.address).await;
    other.bytes(&vec![b'@'; 17 * 1024]).await;
    assert!(other.rest().await.last().unwrap().starts_with("ERROR :"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let served = serve(world(), config()).await;
    let mut config = config();
    config.listen = vec![served.address];
    let (context, _running) = world().context(&"irc:local".into(), FixedClock::at(NOW_MS));
    let ended = IrcServerAdapter::new(config).run(context).await;
    let Err(AdapterError::Fatal(why)) = ended else { panic!("{ended:?}") };
    assert!(why.contains(&format!("cannot listen on {}", served.address)), "{why}");
}

#[tokio::test]
async fn a_certificate_that_is_missing_is_named() {
    let mut config = config();
    config.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.tls_cert = Some("/nowhere/cert.pem".into());
    config.tls_key = Some("/nowhere/key.pem".into());
    let (context, _running) = world().context(&"irc:local".into(), FixedClock::at(NOW_MS));
    let ended = IrcServerAdapter::new(config).run(context).await;
    let Err(AdapterError::Fatal(why)) = ended else { panic!("{ended:?}") };
    assert!(why.contains("/nowhere/cert.pem"), "{why}");
}

#[tokio::test]
async fn silence_before_registration_ends() {
    let mut config = config();
    config.limits.registration_timeout = Duration::from_millis(100);
    let served = serve(world(), config).await;
    let mut client = Client::connect(served.address).await;
    assert_eq!(client.rest().await, ["ERROR :Closing link: registration timed out"]);
}

#[tokio::test]
async fn silence_after_it_is_asked_about() {
    let mut config = config();
    config.limits.ping_after = Duration::from_millis(200);
    config.limits.ping_timeout = Duration::from_millis(200);
    let served = serve(world(), config).await;
    let mut answers = Client::login(&served, "", "").await;
    let answering = tokio::spawn(async move { answers.rest().await });
    let mut silent = Client::login(&served, "", "").await;
    silent.confirms = false;
    // Lines that go out do not count as life.
    served.double.show(said("g-home", "p-li", "1", Body::text("anybody?")));
    assert!(silent.rest().await.last().unwrap().contains("ping timeout"));
    assert!(!answering.is_finished(), "who answers stays");
}

#[tokio::test]
async fn connections_are_limited() {
    let mut config = config();
    config.limits.unregistered_on_loopback = 2;
    config.limits.connections_per_account = 3;
    let served = serve(world(), config).await;
    let mut waiting = vec![Client::connect(served.address).await, Client::connect(served.address).await];
    for client in &mut waiting {
        client.send("PING x").await;
        client.next().await;
    }
    let mut third = Client::connect(served.address).await;
    assert_eq!(third.rest().await, ["ERROR :Too many connections from your address"]);
    drop(waiting);
    let mut clients = Vec::new();
    while clients.len() < 3 {
        let mut client = Client::begin(&served, "", "").await;
        // The places of the two above are free once the server has seen them go.
        match client.next().await {
            Some(line) if line.contains(" 001 ") => clients.push(client),
            _ => tokio::task::yield_now().await,
        }
    }
    let mut fourth = Client::begin(&served, "", "").await;
    assert!(fourth.rest().await.last().unwrap().contains("more than 3 connections"));
}

#[tokio::test]
async fn floods_are_slowed_and_nothing_is_dropped() {
    let mut config = config();
    config.limits.flood = Some(Flood { burst: 5, per_second: 50 });
    let served = serve(world(), config).await;
    let mut client = Client::login(&served, "", "").await;
    let lines: String = (0..25).map(|at| format!("PRIVMSG #家 :{at}\r\n")).collect();
    let start = tokio::time::Instant::now();
    client.bytes(lines.as_bytes()).await;
    served.double.wait_for(PATIENCE, |state| (state.posts.len() == 25).then_some(())).await;
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn lines_that_are_refused_are_slowed_as_well() {
    let mut config = config();
    config.limits.flood = Some(Flood { burst: 5, per_second: 50 });
    let served = serve(world(), config).await;
    let long = vec![b'x'; 600];
    for line in [&b"PONGX"[..], b"PRIVMSG #x :\xff", &long, b"PONG x"] {
        let mut client = Client::login(&served, "", "").await;
        let start = tokio::time::Instant::now();
        client.bytes(&[line, b"\r\n"].concat().repeat(25)).await;
        client.sync().await;
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", String::from_utf8_lossy(line));
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_not_waited_for() {
    let mut config = config();
    config.limits.sendq_bytes = 64 * 1024;
    config.limits.ping_timeout = Duration::from_secs(1);
    let served = serve(world(), config).await;
    for at in 0..50 {
        served.double.show(said("g-test", "p-zhang", &format!("d{at}"), Body::text("x".repeat(400))));
    }
    let mut deaf = Client::login(&served, "", "draft/chathistory message-tags batch").await;
    // It asks for more than the kernel takes for it, and reads nothing until it is ended.
    let flood = "CHATHISTORY LATEST #测试群 * 500\r\n".repeat(100);
    let ended = async {
        loop {
            let writing = tokio::time::timeout(Duration::from_millis(500), deaf.try_bytes(flood.as_bytes()));
            if writing.await.is_ok_and(|written| written.is_err()) {
                return;
            }
        }
    };
    tokio::time::timeout(3 * PATIENCE, ended).await.expect("a client that never reads is ended");
    // It ends, and soon. Whether "SendQ exceeded" can be read is the kernel's affair: it drops what is under
    // way when a connection is closed with input that nobody has read.
    let mut other = Client::login(&served, "", "").await;
    other.sync().await;
}

#[tokio::test]
async fn a_client_that_reads_gets_the_answers_to_all_that_it_asks_at_once() {
    const ASKED: usize = 40;
    let served = serve(world(), config()).await;
    for at in 0..200 {
        let text = format!("{at} {}", "x".repeat(600));
        served.double.show(said("g-test", "p-zhang", &format!("h{at}"), Body::text(text)));
    }
    let caps = "draft/chathistory message-tags server-time batch";
    for (name, question, answer) in [
        ("a", "CHATHISTORY LATEST #测试群 * 500", " BATCH -h"),
        ("b", "PRIVMSG wechat :more #测试群 500", " BATCH -h"),
    ] {
        let mut client = Client::login(&served, name, caps).await;
        client.bytes(format!("{question}\r\n").repeat(ASKED).as_bytes()).await;
        for at in 0..ASKED {
            let lines = client.until(answer).await;
            assert!(lines.len() > 200, "answer {at} of {question} has {} lines", lines.len());
        }
    }
}

#[tokio::test]
async fn answers_larger_than_the_queue_come_whole_to_a_client_that_reads() {
    const MEMBERS: usize = 10_000;
    const GROUPS: usize = 4_000;
    let double = world();
    let keys: Vec<String> = (0..MEMBERS).map(|at| format!("m{at}")).collect();
    for key in &keys {
        crate::client::add_person(&double, key, &format!("somebody_with_a_long_name_{key}"), false);
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    crate::client::add_group(&double, "g-large", "大群", &keys);
    for at in 0..GROUPS {
        let title = format!("{at} {}", "long title ".repeat(12));
        crate::client::add_group(&double, &format!("l{at}"), &title, &["p-li"]);
    }
    let served = serve(double, config()).await;
    let caps = "labeled-response message-tags batch userhost-in-names";
    let mut client = Client::login(&served, "", caps).await;
    client.ask("JOIN #大群").await;
    // The lines come without a pause, so that each answer has the one before it to wait for.
    let questions = [
        ("WHO #大群 %tuhsnfar,7", " 315 ", MEMBERS + 2),
        ("LIST", " 323 ", GROUPS + 5),
        ("NAMES #大群,#家,#大群", " 366 ", 0),
        ("@label=q WHO #大群", " BATCH -l", MEMBERS + 4),
        ("@label=q LIST", " BATCH -l", GROUPS + 7),
        ("@label=q WHO #家", " BATCH -l", 5),
        ("WHO #大群 n", " 315 ", MEMBERS + 2),
    ];
    let all: String = questions.iter().map(|(question, ..)| format!("{question}\r\n")).collect();
    client.bytes(format!("{all}PING done\r\n").as_bytes()).await;
    for (question, end, count) in questions {
        let mut lines = client.until(end).await;
        if question.starts_with("NAMES") {
            lines.extend(client.until(end).await);
            lines.extend(client.until(end).await);
            let named = lines.iter().filter(|line| line.contains(" 353 ")).flat_map(|line| line.split('@'));
            assert!(named.count() > 2 * MEMBERS);
            continue;
        }
        assert_eq!(lines.len(), count, "{question}: {:?}", lines.last());
        if question.starts_with('@') {
            assert!(lines[0].starts_with("@label=q :wx.test BATCH +l"), "{}", lines[0]);
            let reference = lines[0].split(['+', ' ']).nth(4).unwrap();
            let batched = format!("@batch={reference} ");
            assert!(lines[1..lines.len() - 1].iter().all(|line| line.starts_with(&batched)), "{question}");
        }
    }
    assert_eq!(client.next().await.as_deref(), Some(":wx.test PONG wx.test :done"));
}

#[tokio::test]
async fn stopping_says_so_within_the_grace_period() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    let mut unregistered = Client::connect(served.address).await;
    unregistered.send("PING x").await;
    unregistered.next().await;
    served.running.stop.stop();
    assert!(client.rest().await.last().unwrap().contains("stopping"));
    assert!(unregistered.rest().await.last().unwrap().contains("stopping"));
    assert!(tokio::time::timeout(PATIENCE, served.task).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_removed_account_ends_its_sessions() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "").await;
    served.double.state().accounts.clear();
    served.double.tell(wxgate_contract::FeedEvent::Accounts("ann".into()));
    assert!(client.rest().await.last().unwrap().contains("the account was removed"));
}

#[tokio::test]
async fn a_bug_in_a_session_sends_its_clients_away_and_no_others() {
    let double = world();
    double.add_account("bob", "secret", "wechat:bob");
    let served = serve(double, config()).await;
    let mut types = Client::login(&served, "", "").await;
    let mut reads = Client::login(&served, "", "").await;
    let mut other = Client::connect(served.address).await;
    other.send("PASS bob/bob:secret\r\nNICK bob\r\nUSER bob 0 * :b").await;
    other.until(" 001 ").await;
    served.double.state().bug = Some(Bug::CommitOf("boom".to_owned()));
    types.send("PRIVMSG #家 :boom").await;
    let last = "ERROR :Closing link: a bug in the gateway ended the session; connect again";
    assert_eq!(types.rest().await.last().unwrap(), last);
    assert_eq!(reads.rest().await.last().unwrap(), last, "who says nothing would wait for ever");
    other.send("PING still").await;
    other.until("PONG").await;
    let mut again = Client::login(&served, "", "").await;
    again.sync().await;
    assert!(!served.task.is_finished());
}

#[tokio::test]
async fn a_part_of_the_server_that_fails_takes_the_run_with_it() {
    let served = serve(world(), config()).await;
    let mut client = Client::login(&served, "", "draft/read-marker").await;
    served.double.state().bug = Some(Bug::ToldRead);
    served.double.show(said("g-home", "p-li", "1", Body::text("read me")));
    client.until("read me").await;
    client.send("MARKREAD #家 timestamp=2023-11-14T22:13:25.000Z").await;
    let ended = tokio::time::timeout(PATIENCE, served.task).await.expect("the run goes on without it");
    assert!(ended.unwrap_err().is_panic(), "the supervisor counts it");
    client.rest().await;
}

#[tokio::test]
async fn guests_that_vanish_while_they_come_in_leave_nothing_behind() {
    let served = serve(world(), crate::local::open()).await;
    for at in 0..200 {
        let mut client = Client::connect(served.address).await;
        client.bytes(format!("CAP LS 302\r\nNICK g{at}\r\nUSER g 0 * :g\r\nCAP END\r\n").as_bytes()).await;
        if at % 3 == 0 {
            tokio::task::yield_now().await;
        }
        // With what it was told unread this resets the connection.
        drop(client);
    }
    let mut stays = crate::local::guest(&served, "stays", "").await;
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let lines = stays.ask("LUSERS").await;
        if lines[0].contains(" 1 users and 0 invisible ") {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "{lines:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
