//! How IRC clients connect: what people are told of where the server listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use maud::{Markup, html};
use wxgate_irc::Listening;

use super::words::Words;
use crate::wiring::Parts;

/// How a door is knocked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Tls,
    Plain,
    WebSocket,
}

/// Where a client connects.
#[derive(Debug, PartialEq, Eq)]
struct Door {
    /// A name or an address, without brackets.
    host: String,
    port: u16,
    how: How,
}

impl Door {
    fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// The section for one account of a person.
pub(super) fn section(parts: &Parts, user: &str, account: &str, words: &Words) -> Markup {
    shown(&doors(&parts.irc, parts.client_host.as_deref()), user, account, words)
}

fn shown(doors: &[Door], user: &str, account: &str, words: &Words) -> Markup {
    html! {
        @if doors.is_empty() {
            p { (words.irc_off) }
        } @else {
            p {
                "IRC: "
                @for door in doors {
                    code { (door.address()) }
                    @match door.how { How::Tls => " TLS", How::Plain => "", How::WebSocket => " WebSocket" }
                    " "
                }
            }
        }
        @if let Some(Door { host, port, how }) = doors.iter().find(|door| door.how != How::WebSocket) {
            @let (irssi_tls, weechat_tls) = if *how == How::Tls { (" --tls", "") } else { ("", " -notls") };
            pre { "irssi -c " (host) " -p " (port) (irssi_tls) " -n " (user) " -w " (user) "/" (account) ":PASSWORD" }
            pre { "/server add wx " (host) "/" (port) (weechat_tls) " -password=" (user) "/" (account) ":PASSWORD\n/connect wx" }
        }
    }
}

/// What leads in from elsewhere, by the name that this machine has there, TLS first. Where nothing does, what this
/// machine itself reaches, as it is bound; there no certificate fits, so TLS comes second.
fn doors(irc: &Listening, host: Option<&str>) -> Vec<Door> {
    let of = |list: &[SocketAddr], how| list.iter().map(|address| (*address, how)).collect::<Vec<_>>();
    let [tls, plain, web] =
        [of(&irc.tls, How::Tls), of(&irc.plain, How::Plain), of(&irc.websocket, How::WebSocket)];
    let is_local = |(address, _): &(SocketAddr, How)| address.ip().to_canonical().is_loopback();
    let is_shut = [&tls, &plain, &web].into_iter().flatten().all(is_local);
    let all = if is_shut { [plain, tls, web] } else { [tls, plain, web] };
    let mut doors = Vec::new();
    for (address, how) in all.into_iter().flatten().filter(|bound| is_shut || !is_local(bound)) {
        let host =
            host.filter(|_| !is_shut).map_or_else(|| reachable(address.ip()).to_string(), str::to_owned);
        let door = Door { host, port: address.port(), how };
        if !doors.contains(&door) {
            doors.push(door);
        }
    }
    doors
}

/// "Every address" is none to connect to. Where it is not known by what name others come, the reader is on this machine:
/// pages that others reach have a `web.public_url`.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Language;
    use super::*;

    fn told(plain: &[&str], tls: &[&str], websocket: &[&str], host: Option<&str>) -> Vec<String> {
        let [plain, tls, websocket] =
            [plain, tls, websocket].map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        let all = doors(&Listening { plain, tls, websocket }, host);
        all.iter().map(|door| format!("{} {:?}", door.address(), door.how)).collect()
    }

    #[test]
    fn clients_are_told_what_leads_in_from_where_they_are() {
        let name = Some("irc.wx.example.org");
        // config/loopback.toml, home-server.toml, many-users.toml and the container's.
        assert_eq!(told(&["127.0.0.1:6667"], &[], &[], None), ["127.0.0.1:6667 Plain"]);
        assert_eq!(told(&["127.0.0.1:6667"], &["[::]:6697"], &[], name), ["irc.wx.example.org:6697 Tls"]);
        assert_eq!(told(&[], &["0.0.0.0:6697"], &[], name), ["irc.wx.example.org:6697 Tls"]);
        assert_eq!(told(&["0.0.0.0:6667"], &[], &[], Some("localhost")), ["localhost:6667 Plain"]);
        // Behind a proxy on this machine: nobody knows its port.
        let web = ["127.0.0.1:8097"];
        assert_eq!(
            told(&["127.0.0.1:6667"], &[], &web, name),
            ["127.0.0.1:6667 Plain", "127.0.0.1:8097 WebSocket"]
        );
        assert_eq!(
            told(&["10.0.0.7:6667", "[::1]:6667"], &["0.0.0.0:6697", "[::]:6697"], &web, name),
            ["irc.wx.example.org:6697 Tls", "irc.wx.example.org:6667 Plain"]
        );
        // By no name.
        assert_eq!(told(&["10.0.0.7:6667"], &[], &[], None), ["10.0.0.7:6667 Plain"]);
        assert_eq!(
            told(&["0.0.0.0:6667", "[::]:6667"], &[], &[], None),
            ["127.0.0.1:6667 Plain", "[::1]:6667 Plain"]
        );
        assert_eq!(
            told(&["[::1]:6667", "[::ffff:127.0.0.1]:6667"], &["127.0.0.1:6697"], &[], None),
            ["[::1]:6667 Plain", "[::ffff:127.0.0.1]:6667 Plain", "127.0.0.1:6697 Tls"]
        );
        assert!(told(&[], &[], &[], name).is_empty());
    }

    #[test]
    fn commands_name_the_first_door_that_is_no_web_clients() {
        let door = |host: &str, how| Door { host: host.to_owned(), port: 6697, how };
        let words = Language::English.words();
        let html = shown(&[door("wx.example.org", How::Tls)], "ann", "phone", words).0;
        assert!(
            html.contains("irssi -c wx.example.org -p 6697 --tls -n ann -w ann/phone:PASSWORD"),
            "{html}"
        );
        assert!(html.contains("/server add wx wx.example.org/6697 -password="), "{html}");
        let html = shown(&[door("::1", How::WebSocket), door("::1", How::Plain)], "ann", "phone", words).0;
        assert!(
            html.contains("[::1]:6697</code> WebSocket") && html.contains("irssi -c ::1 -p 6697 -n"),
            "{html}"
        );
        assert!(html.contains("/server add wx ::1/6697 -notls -password="), "{html}");
        assert!(!shown(&[door("x.y", How::WebSocket)], "ann", "phone", words).0.contains("irssi"));
        assert!(shown(&[], "ann", "phone", words).0.contains("switched off"));
    }
}
