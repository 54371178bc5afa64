//! Clients in web pages: one line per message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};
use wxgate_contract::Adapter as _;
use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_irc::{Guests, IrcServerAdapter, IrcServerConfig};

use crate::client::{NOW_MS, PATIENCE, config, world};

/// A server with a WebSocket listener; it ends with what is returned beside the address.
async fn serve(mut config: IrcServerConfig) -> (SocketAddr, (Double, Running)) {
    let bound: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let seen = Arc::clone(&bound);
    config.listen.clear();
    config.websocket_listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.on_bound = Some(Arc::new(move |bound| seen.lock().unwrap().extend(&bound.websocket)));
    let double = world();
    let (context, running) = double.context(&"irc:local".into(), FixedClock::at(NOW_MS));
    tokio::spawn(async move { IrcServerAdapter::new(config).run(context).await });
    double.wait_for(PATIENCE, |state| state.health.remove(&"irc:local".into())).await;
    let address = bound.lock().unwrap()[0];
    (address, (double, running))
}

async fn connect(
    address: SocketAddr,
    protocol: Option<&'static str>,
) -> (String, WebSocketStream<TcpStream>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let uri = format!("ws://{address}/").parse().unwrap();
    let mut builder = ClientBuilder::from_uri(uri);
    if let Some(protocol) = protocol {
        let name = http::header::SEC_WEBSOCKET_PROTOCOL;
        builder = builder.add_header(name, http::HeaderValue::from_static(protocol)).unwrap();
    }
    let (socket, answer) = builder.connect_on(stream).await.unwrap();
    let chosen = answer.headers().get(http::header::SEC_WEBSOCKET_PROTOCOL);
    (chosen.map(|name| name.to_str().unwrap().to_owned()).unwrap_or_default(), socket)
}

/// Says lines and gives all messages until the server closes.
async fn talk(mut socket: WebSocketStream<TcpStream>, lines: &[&str]) -> Vec<Message> {
    for line in lines {
        socket.send(Message::text((*line).to_owned())).await.unwrap();
    }
    let mut heard = Vec::new();
    while let Some(Ok(message)) = timeout(PATIENCE, socket.next()).await.expect("the server closes") {
        heard.push(message);
    }
    heard
}

const LOGIN: [&str; 3] = ["PASS ann:secret", "NICK ann", "USER ann 0 * :Ann"];

#[tokio::test]
async fn each_message_is_one_line_without_its_end() {
    let (address, _running) = serve(config()).await;
    let (chosen, socket) = connect(address, Some("binary.ircv3.net, text.ircv3.net")).await;
    assert_eq!(chosen, "binary.ircv3.net");
    let heard =
        talk(socket, &[&LOGIN[..], &["PRIVMSG wechat :help", "PING :\u{738b}", "QUIT"]].concat()).await;
    let (last, lines) = heard.split_last().unwrap();
    assert!(last.is_close(), "{last:?}");
    assert!(lines.iter().all(Message::is_binary), "{lines:?}");
    let lines: Vec<String> =
        lines.iter().map(|line| String::from_utf8(line.as_payload().to_vec()).unwrap()).collect();
    assert!(lines.iter().all(|line| !line.is_empty() && !line.contains(['\r', '\n'])), "{lines:?}");
    assert!(lines[0].starts_with(":wx.test 001 "), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.ends_with(" \u{738b}") || line.ends_with(" :\u{738b}")),
        "{lines:?}"
    );
    assert!(lines.last().unwrap().starts_with("ERROR "), "{lines:?}");
}

#[tokio::test]
async fn who_asks_for_text_gets_text_and_who_asks_for_nothing_too() {
    let (address, _running) = serve(config()).await;
    for protocol in [Some("text.ircv3.net"), None, Some("mqtt")] {
        let (chosen, socket) = connect(address, protocol).await;
        assert_eq!(chosen, protocol.filter(|name| *name != "mqtt").unwrap_or_default());
        let heard = talk(socket, &[&LOGIN[..], &["QUIT"]].concat()).await;
        let (_, lines) = heard.split_last().unwrap();
        assert!(!lines.is_empty() && lines.iter().all(Message::is_text), "{protocol:?}: {lines:?}");
    }
}

#[tokio::test]
async fn a_page_in_a_browser_is_no_guest_of_this_machine() {
    let mut config = config();
    config.guests = Guests::Loopback;
    let (address, _running) = serve(config).await;
    let (_, socket) = connect(address, Some("text.ircv3.net")).await;
    let heard = talk(socket, &LOGIN[1..]).await;
    let said: Vec<&str> = heard.iter().filter_map(Message::as_text).collect();
    assert!(said.iter().any(|line| line.contains(" 464 ")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains(" 001 ")), "{said:?}");
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so_and_what_never_ends_is_closed() {
    let (address, _running) = serve(config()).await;
    for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "NICK ann\r\nUSER ann 0 * :Ann\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000));
    // The server may close before all of it is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    // A message far longer than a line may be ends the connection, not the server.
    let (_, mut socket) = connect(address, Some("text.ircv3.net")).await;
    let _ = socket.send(Message::text("x".repeat(100_000))).await;
    while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.expect("the server closes") {}
    let (_, socket) = connect(address, Some("text.ircv3.net")).await;
    let heard = talk(socket, &[&LOGIN[..], &["QUIT"]].concat()).await;
    assert!(heard.iter().filter_map(Message::as_text).any(|line| line.contains(" 001 ")));
}

/// The last address of the header, as a gateway's own reading of it would be.
fn last_forwarded(
    proxy: std::net::IpAddr,
    headers: &http::HeaderMap,
    _: &[ipnet::IpNet],
) -> std::net::IpAddr {
    let value = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.rsplit(',').next()?.trim().parse().ok()).unwrap_or(proxy)
}

#[tokio::test]
async fn a_listed_proxy_says_who_comes_in_its_request_or_before_it() {
    let mut config = config();
    config.guests = Guests::Anywhere;
    config.limits.guests_per_address = 1;
    config.proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
    config.forwarded = last_forwarded;
    let (address, _running) = serve(config).await;
    let mut inside = Vec::new();
    let mut come = async |before: &str, forwarded: &'static str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(before.as_bytes()).await.unwrap();
        let mut builder = ClientBuilder::from_uri(format!("ws://{address}/").parse().unwrap());
        if !forwarded.is_empty() {
            let name = http::HeaderName::from_static("x-forwarded-for");
            builder = builder.add_header(name, http::HeaderValue::from_static(forwarded)).unwrap();
        }
        let (mut socket, _) = builder.connect_on(stream).await.unwrap();
        for line in [format!("NICK n{}", inside.len()), "USER n 0 * :N".to_owned()] {
            socket.send(Message::text(line)).await.unwrap();
        }
        let said = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        inside.push(socket);
        said.as_text().is_some_and(|line| line.contains(" 001 "))
    };
    assert!(come("", "203.0.113.7").await);
    assert!(!come("", "1.1.1.1, 203.0.113.7").await, "one guest of an address");
    assert!(come("", "203.0.113.8").await);
    let header = "PROXY TCP4 203.0.113.9 127.0.0.1 50000 80\r\n";
    assert!(come(header, "203.0.113.7").await, "what the connection says counts");
    assert!(!come(header, "203.0.113.10").await);
    // Who says neither is taken for the proxy itself.
    assert!(come("", "").await);
}
