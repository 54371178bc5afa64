//! Too many guesses, and connections that outlive what they came in with.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wxgate_contract::{Command, FeedEvent, UserName};

use crate::client::{Client, PATIENCE, config, numerics, serve, world};
use crate::sasl::{begun, known, scram};

const WAIT: &str = "too many wrong attempts; wait half a minute and try again";

#[tokio::test]
async fn whoever_guessed_too_often_is_told_to_wait() {
    let double = world();
    known(&double);
    double.state().is_tired = true;
    let served = serve(double, config()).await;
    let plain = STANDARD.encode("\0ann\0secret");
    for (caps, beside) in [
        ("sasl", format!(":wx.test NOTICE * :{WAIT}")),
        ("sasl standard-replies", format!(":wx.test FAIL AUTHENTICATE TOO_MANY_ATTEMPTS :{WAIT}")),
    ] {
        let mut client = Client::connect(served.address).await;
        client.send(&format!("CAP REQ :{caps}")).await;
        client.send("AUTHENTICATE PLAIN").await;
        client.until("AUTHENTICATE +").await;
        client.send(&format!("AUTHENTICATE {plain}")).await;
        let failed = client.next().await.unwrap();
        assert_eq!(failed, format!(":wx.test 904 * :SASL authentication failed: {WAIT}"));
        assert_eq!(client.next().await.unwrap(), beside);
    }
    // Before the client works at its proof.
    let mut client = begun(&served).await;
    client.send("AUTHENTICATE SCRAM-SHA-256").await;
    client.until("AUTHENTICATE +").await;
    client.send(&format!("AUTHENTICATE {}", STANDARD.encode("n,,n=ann,r=nonce"))).await;
    let lines = client.until(" 904 ").await;
    assert!(lines[0].ends_with(WAIT), "{lines:#?}");

    let mut client = Client::begin(&served, "", "").await;
    let lines = client.rest().await;
    assert_eq!(numerics(&lines), ["464"], "{lines:#?}");
    assert!(lines[0].ends_with(&format!(":{WAIT}")), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), &format!("ERROR :Closing link: {WAIT}"));
}

#[tokio::test]
async fn a_proof_counts_whether_it_is_right_or_not() {
    let double = world();
    known(&double);
    let served = serve(double, config()).await;
    let mut client = begun(&served).await;
    scram(&mut client, "ann", "wrong").await;
    scram(&mut client, "ann", "secret").await;
    let here: Option<IpAddr> = Some("127.0.0.1".parse().unwrap());
    let commands = served.double.state().commands.clone();
    let proved: Vec<bool> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Proved { user, from, is_right } if user.as_str() == "ann" && *from == here => {
                Some(*is_right)
            }
            _ => None,
        })
        .collect();
    assert_eq!(proved, [false, true]);
}

#[tokio::test]
async fn a_password_is_asked_for_under_both_names_at_once_and_with_the_clients_address() {
    let mut config = config();
    config.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let served = serve(world(), config).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let lines = "PROXY TCP4 203.0.113.7 127.0.0.1 50000 6667\r\nPASS secret\r\nNICK ann\r\nUSER phone 0 * :A\r\nQUIT\r\n";
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut said = String::new();
    let _ = timeout(PATIENCE, stream.read_to_string(&mut said)).await.expect("the server closes");
    assert!(said.contains(" 001 ann "), "{said}");
    let names: Vec<UserName> = vec!["phone".into(), "ann".into()];
    let asked = Command::Authenticate {
        names,
        password: "secret".to_owned(),
        from: Some("203.0.113.7".parse().unwrap()),
    };
    assert!(served.double.state().commands.contains(&asked));
}

#[tokio::test]
async fn who_came_in_with_a_password_goes_when_it_is_another_one() {
    let double = world();
    double.add_account("bob", "secret", "wechat:bob");
    let served = serve(double, config()).await;
    let mut ann = Client::login(&served, "", "").await;
    let mut bob = Client::connect(served.address).await;
    for line in ["PASS bob:secret", "NICK bob", "USER bob 0 * :Bob"] {
        bob.send(line).await;
    }
    bob.until(" 221 ").await;
    bob.sync().await;
    served.double.tell(FeedEvent::Doors("ann".into()));
    assert!(ann.sync().await.is_empty(), "nothing of hers was taken away");
    for person in ["ann", "bob"] {
        served.double.state().users.insert(person.into(), "another".to_owned());
    }
    served.double.tell(FeedEvent::Doors("ann".into()));
    let last = "ERROR :Closing link: the password was changed or removed; log in again";
    assert_eq!(ann.rest().await.last().unwrap(), last);
    assert!(bob.sync().await.is_empty(), "he was not told yet");
}

#[tokio::test]
async fn what_is_taken_away_while_somebody_comes_in_opens_nothing() {
    let double = world();
    known(&double);
    // The proof is of a password that is another one by now.
    double.state().users.insert("ann".into(), "another".to_owned());
    let served = serve(double, config()).await;
    let mut client = begun(&served).await;
    scram(&mut client, "ann/work", "secret").await;
    client.send("AUTHENTICATE +").await;
    client.until(" 903 ").await;
    client.send("CAP END").await;
    let lines = client.rest().await;
    assert!(lines.last().unwrap().contains("the password was changed"), "{lines:#?}");
}
