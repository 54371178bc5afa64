//! Behind a reverse proxy the client's address is the one that the proxy tells.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wxgate_irc::{Filehost, Guests};

use crate::client::{PATIENCE, Served, config, serve, world};

async fn told(served: &Served, header: &str) -> String {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let lines = format!("{header}NICK visitor\r\nUSER visitor 0 * :V\r\nCAP LS 302\r\nQUIT\r\n");
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is closed with lines unread ends in a reset.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn who_comes_through_the_proxy_is_judged_by_their_own_address() {
    let mut config = config();
    config.guests = Guests::Loopback;
    config.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let served = serve(world(), config).await;
    let from_here = told(&served, "PROXY TCP4 127.0.0.9 127.0.0.1 50000 6667\r\n").await;
    assert!(from_here.contains(" 001 visitor "), "{from_here}");
    let from_afar = told(&served, "PROXY TCP4 203.0.113.7 127.0.0.1 50000 6667\r\n").await;
    assert!(!from_afar.contains(" 001 ") && from_afar.contains(" 464 "), "{from_afar}");
    let itself = told(&served, "PROXY UNKNOWN\r\n").await;
    assert!(itself.contains(" 001 visitor "), "{itself}");
    assert_eq!(told(&served, "").await, "", "a trusted proxy never leaves the header out");
}

#[tokio::test]
async fn nobody_else_can_say_who_they_are() {
    let mut config = config();
    config.guests = Guests::Loopback;
    config.proxy_from = vec!["10.0.0.0/8".parse().unwrap()];
    let served = serve(world(), config).await;
    let answer = told(&served, "PROXY TCP4 203.0.113.7 127.0.0.1 50000 6667\r\n").await;
    assert!(answer.contains(" 001 visitor "), "the header is an unknown command: {answer}");
}

#[tokio::test]
async fn a_client_from_afar_hears_where_tls_is_spoken() {
    let dir = std::env::temp_dir().join(format!("wxgate-irc-sts-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    crate::tls::certify(&dir);
    let mut config = config();
    config.guests = Guests::Anywhere;
    config.tls_listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.tls_cert = Some(dir.join("cert.pem"));
    config.tls_key = Some(dir.join("key.pem"));
    config.sts_seconds = 300;
    config.proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
    let served = serve(world(), config).await;
    let afar = told(&served, "PROXY TCP4 203.0.113.7 127.0.0.1 50000 6667\r\n").await;
    assert!(afar.contains(" sts=port=") && afar.contains(",duration=300"), "{afar}");
    let here = told(&served, "PROXY UNKNOWN\r\n").await;
    assert!(here.contains("CAP") && !here.contains("sts="), "{here}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn addresses_are_counted_by_whom_they_are_given_to() {
    let mut config = config();
    config.guests = Guests::Anywhere;
    config.limits.guests_per_address = 1;
    config.limits.guests_on_loopback = 2;
    config.proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
    let served = serve(world(), config).await;
    let mut inside = Vec::new();
    let mut come = async |from: &str| {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let nick = format!("n{}", inside.len());
        let lines = format!("PROXY TCP6 {from} ::1 50000 6667\r\nNICK {nick}\r\nUSER n 0 * :N\r\n");
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let is_over = |answer: &[u8]| {
            let text = String::from_utf8_lossy(answer).into_owned();
            [" 422 ", "ERROR "].iter().any(|end| text.contains(end)).then_some(text)
        };
        loop {
            let mut piece = [0; 4096];
            let count = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
            answer.extend_from_slice(&piece[..count]);
            if let Some(text) = is_over(&answer) {
                inside.push(stream);
                return text.contains(" 001 ");
            }
            assert!(count > 0, "closed without a word");
        }
    };
    for (from, is_taken) in [
        ("2001:db8:1:2::1", true),
        // The same household under another of its addresses.
        ("2001:db8:1:2:ffff::2", false),
        ("2001:db8:1:3::1", true),
        // IPv4 as IPv6: each is one address, and this machine is this machine.
        ("::ffff:192.0.2.1", true),
        ("::ffff:192.0.2.1", false),
        ("::ffff:192.0.2.2", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:127.0.0.1", false),
    ] {
        assert_eq!(come(from).await, is_taken, "{from}");
    }
}

#[tokio::test]
async fn only_this_machine_hears_of_an_upload_address_of_its_own() {
    for (is_local, is_told_afar) in [(true, false), (false, true)] {
        let mut config = config();
        config.guests = Guests::Anywhere;
        config.proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
        let url = "http://127.0.0.1:8480/upload".to_owned();
        config.filehost = Some(Filehost { url, is_local, follow: Arc::new(|_| None) });
        let served = serve(world(), config).await;
        let afar = told(&served, "PROXY TCP4 203.0.113.7 127.0.0.1 50000 6667\r\n").await;
        assert_eq!(afar.contains("FILEHOST="), is_told_afar, "{afar}");
        let here = told(&served, "PROXY UNKNOWN\r\n").await;
        assert!(here.contains(" soju.im/FILEHOST=http://127.0.0.1:8480/upload "), "{here}");
    }
}
