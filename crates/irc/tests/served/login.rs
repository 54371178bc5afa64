use base64::Engine as _;

use crate::client::{Client, config, numerics, serve, world};

fn plain(login: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0{password}"))
}

#[tokio::test]
async fn the_welcome_is_in_order() {
    let served = serve(world(), config()).await;
    let mut client = Client::begin(&served, "", "").await;
    let lines = client.until(" 221 ").await;
    let expected = [
        "001", "002", "003", "004", "005", "005", "251", "252", "253", "254", "255", "265", "266", "422",
        "221",
    ];
    assert_eq!(numerics(&lines), expected, "{lines:#?}");
    assert!(lines[4..6].iter().all(|line| line.is_ascii()));
    let lines = client.sync().await;
    let words: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(words, ["JOIN", "332", "333", "353", "366", "JOIN", "332", "333", "353", "366"], "{lines:#?}");
    assert!(lines[5].ends_with(" JOIN #测试群"), "{lines:#?}");
    assert_eq!(lines[8], ":wx.test 353 ann = #测试群 :ann +张三 王五");
}

#[tokio::test]
async fn registration_works_in_any_order() {
    let served = serve(world(), config()).await;
    for order in [
        ["USER ann 0 * :Ann", "NICK ann", "PASS ann:secret", "CAP END"],
        ["NICK ann", "CAP END", "PASS ann:secret", "USER ann 0 * :Ann"],
        ["PASS secret", "NICK other", "CAP END", "USER ann 0 * :Ann"],
        ["PASS secret", "NICK ann", "CAP END", "USER whoever 0 * :Ann"],
    ] {
        let mut client = Client::connect(served.address).await;
        client.send("CAP LS 302").await;
        for line in order {
            client.send(line).await;
        }
        client.until(" 221 ").await;
    }
}

#[tokio::test]
async fn a_held_registration_waits_for_cap_end() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    for line in ["CAP LS 302", "PASS ann:secret", "NICK ann", "USER ann 0 * :Ann", "JOIN :", "FOO", "PING x"]
    {
        client.send(line).await;
    }
    let lines = client.until("PONG").await;
    assert!(lines[0].starts_with(":wx.test CAP * LS * :") && lines[0].contains("sasl=PLAIN"), "{lines:#?}");
    assert_eq!(numerics(&lines), ["CAP", "CAP", "451", "421"], "{lines:#?}");
    client.send("CAP REQ :server-time nonsense").await;
    assert_eq!(client.next().await.unwrap(), ":wx.test CAP ann NAK :server-time nonsense");
    client.send("CAP END").await;
    client.until(" 221 ").await;
}

#[tokio::test]
async fn sasl_plain_logs_in() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    for line in ["CAP LS 302", "NICK ann", "USER ann 0 * :Ann", "CAP REQ :sasl", "AUTHENTICATE PLAIN"] {
        client.send(line).await;
    }
    client.until("AUTHENTICATE +").await;
    client.send(&format!("AUTHENTICATE {}", plain("ann/work@phone", "secret"))).await;
    let lines = client.until(" 903 ").await;
    assert_eq!(numerics(&lines), ["900", "903"]);
    assert!(
        lines[0].contains(" 900 ann ann!") && lines[0].contains("@wxgate ann :You are now logged in as ann")
    );
    client.send("AUTHENTICATE PLAIN").await;
    client.until(" 907 ").await;
    client.send("CAP END").await;
    client.until(" 221 ").await;
}

#[tokio::test]
async fn sasl_failures_are_told_and_counted() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    client.send("CAP LS 302").await;
    client.until(" CAP * LS :").await;
    client.send("AUTHENTICATE SCRAM-SHA-1").await;
    assert_eq!(numerics(&client.until(" 904 ").await), ["908", "904"]);
    client.send("AUTHENTICATE PLAIN").await;
    client.send("AUTHENTICATE *").await;
    client.until(" 906 ").await;
    client.send("AUTHENTICATE PLAIN").await;
    client.send(&format!("AUTHENTICATE {}", "a".repeat(401))).await;
    client.until(" 905 ").await;
    client.send("AUTHENTICATE PLAIN").await;
    let other = base64::engine::general_purpose::STANDARD.encode("bob\0ann\0secret");
    client.send(&format!("AUTHENTICATE {other}")).await;
    client.until(" 904 ").await;
    for _ in 0..2 {
        client.send("AUTHENTICATE PLAIN").await;
        client.send(&format!("AUTHENTICATE {}", plain("ann", "wrong"))).await;
        client.until(" 904 ").await;
    }
    assert!(client.rest().await.last().unwrap().starts_with("ERROR :"));
}

#[tokio::test]
async fn who_does_not_log_in_is_turned_away() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    client.send("NICK ann").await;
    client.send("USER ann 0 * :Ann").await;
    let lines = client.rest().await;
    assert_eq!(numerics(&lines), ["464"]);
    assert!(lines.last().unwrap().starts_with("ERROR :"));
    let mut client = Client::connect(served.address).await;
    for line in ["CAP REQ :standard-replies", "NICK ann", "USER ann 0 * :Ann", "CAP END"] {
        client.send(line).await;
    }
    let lines = client.rest().await;
    assert!(lines.iter().any(|line| line.starts_with(":wx.test FAIL * ACCOUNT_REQUIRED :")), "{lines:#?}");
    let mut client = Client::connect(served.address).await;
    for line in ["PASS ann:wrong", "NICK ann", "USER ann 0 * :Ann"] {
        client.send(line).await;
    }
    assert_eq!(numerics(&client.rest().await), ["464"]);
    let mut client = Client::connect(served.address).await;
    for line in ["PASS ann/play:secret", "NICK ann", "USER ann 0 * :Ann"] {
        client.send(line).await;
    }
    assert!(client.rest().await.last().unwrap().contains("no account play"));
}

#[tokio::test]
async fn bad_nicks_are_refused() {
    let served = serve(world(), config()).await;
    let mut client = Client::connect(served.address).await;
    for (line, numeric) in [
        ("NICK", "431"),
        ("NICK :", "431"),
        ("NICK a@b", "432"),
        ("NICK :a b", "432"),
        ("NICK WeChat", "433"),
        ("USER x", "461"),
        ("PASS", "461"),
        ("CAP FOO", "410"),
        ("PING", "409"),
    ] {
        client.send(line).await;
        let answer = client.next().await.unwrap();
        assert!(answer.contains(&format!(" {numeric} * ")), "{line}: {answer}");
    }
}

#[tokio::test]
async fn several_accounts_and_none_named_gives_the_service() {
    let double = world();
    double.add_account("ann", "secret", "wechat:play");
    let served = serve(double, config()).await;
    let mut client = Client::connect(served.address).await;
    for line in ["PASS ann:secret", "NICK ann", "USER ann 0 * :Ann"] {
        client.send(line).await;
    }
    client.until(" 221 ").await;
    let lines = client.sync().await;
    assert!(lines.iter().any(|line| line.contains("log in as ann/work")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("log in as ann/play")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains(" JOIN ")));
    assert_eq!(numerics(&client.ask("PRIVMSG 张三 :hi").await), ["401"]);
}

#[tokio::test]
async fn a_second_client_shares_the_nick() {
    let served = serve(world(), config()).await;
    let mut one = Client::login(&served, "one", "").await;
    let mut two = Client::connect(served.address).await;
    for line in ["PASS ann/work@two:secret", "NICK somebody", "USER x 0 * :X"] {
        two.send(line).await;
    }
    let lines = two.until(" 221 ").await;
    assert!(lines.iter().any(|line| line.starts_with(":wx.test 001 ann ")), "{lines:#?}");
    one.send("NICK 王").await;
    one.until(" NICK 王").await;
    two.until(" NICK 王").await;
    two.send("QUIT :bye").await;
    assert_eq!(two.rest().await.last().unwrap(), "ERROR :Closing link: bye");
    assert!(one.sync().await.is_empty());
}
