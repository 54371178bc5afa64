//! IRC over WebSocket: one line per message, without its end.
//!
//! Source: IRCv3 websocket; RFC 6455. The two subprotocols differ in the kind of the messages only: lines
//! of this server are UTF-8 in both.

use std::io::{self, Cursor};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_websockets::{Limits, Message, ServerBuilder, WebSocketStream};

use crate::wire::framing::{LineBuffer, MAX_PENDING_BYTES};

/// The head of the request: browsers send less than 2 KiB. Chosen.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Bytes taken from the server's side at once.
const READ_BYTES: usize = 4096;

/// Source: IRCv3 websocket, "Subprotocols".
const TEXT: &str = "text.ircv3.net";
const BINARY: &str = "binary.ircv3.net";

/// A client that has shaken hands.
pub(super) struct Socket<S> {
    stream: WebSocketStream<S>,
    is_binary: bool,
}

/// Answers the request to switch protocols, which was read already or is still to come. The caller bounds the time.
///
/// # Errors
/// When the connection ends, or the request is none; the client was told so.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: S,
    head: Option<Vec<u8>>,
    origins: &[String],
) -> io::Result<Socket<impl AsyncRead + AsyncWrite + Send + Unpin>> {
    let (mut read, mut write) = tokio::io::split(stream);
    let head = match head {
        Some(head) => head,
        None => read_head(&mut read).await?,
    };
    if !is_from(&head, origins) {
        write.write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await?;
        write.shutdown().await?;
        return Err(io::Error::other("a page of another origin"));
    }
    let chosen = subprotocol(&head);
    let mut builder = ServerBuilder::new().limits(Limits::default().max_payload_len(Some(MAX_PENDING_BYTES)));
    if let Some(name) = chosen {
        let name = HeaderValue::from_static(name);
        builder = builder.add_header(header::SEC_WEBSOCKET_PROTOCOL, name).map_err(io::Error::other)?;
    }
    let whole = tokio::io::join(Cursor::new(head).chain(read), write);
    let (_, stream) = builder.accept(whole).await.map_err(io::Error::other)?;
    Ok(Socket { stream, is_binary: chosen == Some(BINARY) })
}

/// The head of a request: up to the empty line, and what came with it.
///
/// # Errors
/// When the connection ends before, or the head does not end.
pub(super) async fn read_head(read: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the request does not end"));
        }
        match read.read(&mut chunk).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(chunk.get(..length).unwrap_or_default()),
        }
    }
    Ok(head)
}

/// Its headers; what is none is left out.
pub(super) fn headers(head: &[u8]) -> HeaderMap {
    let end = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(head.len());
    let lines = head.get(..end).unwrap_or_default().split(|byte| *byte == b'\n').skip(1);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The values of a header.
fn values(head: &[u8], name: &header::HeaderName) -> Vec<String> {
    let head = String::from_utf8_lossy(head);
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let is_it = |(key, _): &(&str, &str)| key.trim().eq_ignore_ascii_case(name.as_str());
    lines.filter(is_it).map(|(_, value)| value.trim().to_owned()).collect()
}

/// Whether the page that asks may; a client that is no page names no origin. Source: RFC 6455, section 10.2.
fn is_from(head: &[u8], origins: &[String]) -> bool {
    let asked = values(head, &header::ORIGIN);
    origins.is_empty()
        || asked.iter().all(|origin| origins.iter().any(|known| known.eq_ignore_ascii_case(origin)))
}

/// The first of the offered subprotocols that we speak, in the client's order.
fn subprotocol(head: &[u8]) -> Option<&'static str> {
    let values = values(head, &header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = values.iter().flat_map(|value| value.split(',').map(str::trim));
    offered.find_map(|name| [TEXT, BINARY].into_iter().find(|known| *known == name))
}

/// Carries lines between the client and the server's side until one of them ends; then the other has
/// `farewell` to take what is under way.
pub(super) async fn carry<S>(socket: Socket<S>, server: DuplexStream, farewell: Duration)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let Socket { stream, is_binary } = socket;
    let (mut sink, mut messages) = stream.split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let inward = async {
        // An error is a client that broke the protocol; the library tells it which way.
        while let Some(Ok(message)) = messages.next().await {
            if message.is_text() || message.is_binary() {
                let mut line = message.as_payload().to_vec();
                line.extend_from_slice(b"\r\n");
                if to_server.write_all(&line).await.is_err() {
                    break;
                }
            }
        }
        let _ = to_server.shutdown().await;
    };
    let outward = async {
        let mut lines = LineBuffer::default();
        let mut chunk = [0; READ_BYTES];
        while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
            lines.push(chunk.get(..length).unwrap_or_default());
            while let Ok(Some(line)) = lines.next_line() {
                let message = match is_binary {
                    true => Message::binary(bytes::Bytes::copy_from_slice(line)),
                    false => Message::text(String::from_utf8_lossy(line).into_owned()),
                };
                if sink.feed(message).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    tokio::pin!(inward, outward);
    tokio::select! {
        () = &mut inward => drop(tokio::time::timeout(farewell, outward).await),
        () = &mut outward => drop(tokio::time::timeout(farewell, inward).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_origins_are_turned_away() {
        let head = |origin: &str| format!("GET / HTTP/1.1\r\norigin: {origin}\r\n\r\n").into_bytes();
        let known = ["https://chat.example.org".to_owned()];
        assert!(is_from(&head("https://chat.example.org"), &known));
        assert!(is_from(&head("HTTPS://Chat.example.org"), &known));
        for other in
            ["https://evil.example", "http://chat.example.org", "null", "https://chat.example.org.evil"]
        {
            assert!(!is_from(&head(other), &known), "{other}");
            assert!(is_from(&head(other), &[]), "without a list everybody may");
        }
        assert!(is_from(b"GET / HTTP/1.1\r\n\r\n", &known), "no page names no origin");
    }

    #[test]
    fn headers_are_read_as_they_stand() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For:  1.1.1.1 \r\nx-forwarded-for: 2.2.2.2\r\n\
                     broken\r\nb\xffd: x\r\n: y\r\n\r\nlate: z\r\n\r\n";
        let read = headers(head);
        let all: Vec<&str> =
            read.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        assert_eq!(all, ["1.1.1.1", "2.2.2.2"]);
        assert_eq!((read.len(), read.contains_key("late")), (3, false), "{read:?}");
        assert!(headers(b"").is_empty() && headers(b"\r\n\r\n").is_empty());
    }

    #[test]
    fn the_first_subprotocol_that_we_speak_is_chosen() {
        let head = |value: &str| format!("GET / HTTP/1.1\r\nsec-websocket-protocol: {value}\r\n\r\n");
        assert_eq!(subprotocol(head("text.ircv3.net").as_bytes()), Some(TEXT));
        assert_eq!(subprotocol(head("mqtt, binary.ircv3.net,text.ircv3.net").as_bytes()), Some(BINARY));
        assert_eq!(subprotocol(head("mqtt").as_bytes()), None);
        let behind = "GET / HTTP/1.1\r\n\r\nSec-WebSocket-Protocol: text.ircv3.net";
        assert_eq!(subprotocol(behind.as_bytes()), None);
    }
}
