//! The PROXY protocol: who a reverse proxy speaks for.
//!
//! Source: The PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt). Two fixed headers, and
//! nothing may be read beyond them, because TLS follows; the crate for them brings a second `thiserror`
//! into everybody's first build.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

use super::config::IrcServerConfig;
use super::websocket;

/// Source: section 2.2, the signature of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Source: section 2.1, "the maximum line length", CRLF included.
const MAX_LINE_BYTES: usize = 107;
/// Addresses and what proxies add to them (names, certificates). Chosen: far below the 64 KiB of the field.
const MAX_REST_BYTES: usize = 4096;

/// For whom a proxy speaks, by a PROXY header or by a WebSocket client's request, which is what is read of it then. The
/// caller bounds the time.
///
/// # Errors
/// When what comes is neither.
pub(super) async fn introduced(
    config: &IrcServerConfig,
    stream: &mut TcpStream,
    proxy: SocketAddr,
    is_web: bool,
) -> io::Result<(SocketAddr, Option<Vec<u8>>)> {
    let mut first = [0];
    // A request begins with its method, no PROXY header of either version with a G. Source: RFC 6455, section 4.1.
    if is_web && stream.peek(&mut first).await? == 1 && first == *b"G" {
        let head = websocket::read_head(stream).await?;
        let headers = websocket::headers(&head);
        let client = (config.forwarded)(proxy.ip().to_canonical(), &headers, &config.proxy_from);
        return Ok((SocketAddr::new(client, proxy.port()), Some(head)));
    }
    Ok((read(stream).await?.unwrap_or(proxy), None))
}

/// Reads the header; `None` when the proxy speaks for itself, as for its health checks.
///
/// # Errors
/// When what comes is no such header: a trusted proxy never leaves it out.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let [version_command, family, high, low] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_REST_BYTES {
            return Err(wrong("a header that is too long"));
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await?;
        return second(version_command, family, &rest);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE_BYTES {
            return Err(wrong("a line that does not end"));
        }
        line.push(stream.read_u8().await?);
    }
    first(&line)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("wanted a PROXY header, got {what}"))
}

/// `PROXY TCP4 source destination source-port destination-port`, or `PROXY UNKNOWN …`.
fn first(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let text = std::str::from_utf8(line).map_err(|_| wrong("bytes"))?;
    let words: Vec<&str> = text.trim_end_matches("\r\n").split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, _, port, _] => {
            let source: IpAddr = source.parse().map_err(|_| wrong("no address"))?;
            if source.is_ipv4() != (*family == "TCP4") {
                return Err(wrong("an address of another family"));
            }
            Ok(Some(SocketAddr::new(source, port.parse().map_err(|_| wrong("no port"))?)))
        }
        _ => Err(wrong("another line")),
    }
}

fn second(version_command: u8, family: u8, rest: &[u8]) -> io::Result<Option<SocketAddr>> {
    match version_command {
        // LOCAL: the proxy itself.
        0x20 => return Ok(None),
        // PROXY.
        0x21 => {}
        _ => return Err(wrong("another version or command")),
    }
    let short = || wrong("a header that is too short");
    match family {
        // TCP over IPv4: source, destination, two ports.
        0x11 => {
            let (address, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            let port = rest.get(4..).and_then(|ports| ports.first_chunk::<2>()).ok_or_else(short)?;
            Ok(Some(SocketAddr::new(Ipv4Addr::from(*address).into(), u16::from_be_bytes(*port))))
        }
        // TCP over IPv6.
        0x21 => {
            let (address, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let port = rest.get(16..).and_then(|ports| ports.first_chunk::<2>()).ok_or_else(short)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes(*port))))
        }
        // Unspecified, or a kind that cannot come over this socket: the real address stands.
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn parse(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let mut stream = bytes;
        let parsed = read(&mut stream).await;
        (parsed, stream.to_vec())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest, b"NICK a\r\n"].concat()
    }

    #[tokio::test]
    async fn both_versions_tell_the_client_and_leave_the_rest() {
        let four = "PROXY TCP4 203.0.113.7 192.0.2.1 50000 6697\r\nNICK a\r\n";
        let six = "PROXY TCP6 2001:db8::7 2001:db8::1 50000 6697\r\nNICK a\r\n";
        let binary_four =
            [&[203, 0, 113, 7, 192, 0, 2, 1][..], &50_000_u16.to_be_bytes(), &[0x1a, 0x29]].concat();
        let source_six = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        let binary_six =
            [&source_six[..], &[0; 16], &50_000_u16.to_be_bytes(), &[0x1a, 0x29], b"\x04\0\x01x"].concat();
        for (bytes, wanted) in [
            (four.as_bytes().to_vec(), "203.0.113.7:50000"),
            (six.as_bytes().to_vec(), "[2001:db8::7]:50000"),
            (v2(0x21, 0x11, &binary_four), "203.0.113.7:50000"),
            (v2(0x21, 0x21, &binary_six), "[2001:db8::7]:50000"),
        ] {
            let (parsed, rest) = parse(&bytes).await;
            assert_eq!(parsed.unwrap(), Some(wanted.parse().unwrap()));
            assert_eq!(rest, b"NICK a\r\n");
        }
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        for bytes in [
            b"PROXY UNKNOWN\r\nNICK a\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nNICK a\r\n".to_vec(),
            v2(0x20, 0, &[]),
            v2(0x21, 0, &[1, 2, 3]),
        ] {
            let (parsed, rest) = parse(&bytes).await;
            assert_eq!(parsed.unwrap(), None);
            assert_eq!(rest, b"NICK a\r\n");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for bytes in [
            &b"NICK ann\r\nUSER ann 0 * :Ann\r\n"[..],
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 192.0.2.1 70000 1\r\n",
            b"PROXY TCP4 203.0.113.7\r\n",
            b"\xff\xfePROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            long.as_bytes(),
            &v2(0x31, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[1, 2, 3]),
            b"PROXY TCP4",
        ] {
            assert!(parse(bytes).await.0.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), is_second: bool) {
            let start: &[u8] = if is_second { &SIGNATURE } else { b"PROXY " };
            let bytes = [start, &bytes].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(parse(&bytes));
        }
    }
}
