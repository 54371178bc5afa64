//! Whether what is told to clients can be followed where they are.

use super::{Finding, warning};
use crate::config::{Settings, is_loopback};

/// Without `web.public_url` links lead to whatever machine they are followed on.
pub(super) fn check(settings: &Settings) -> Option<Finding> {
    let server = &settings.irc.server;
    if !server.enabled || !settings.web.public_url.is_empty() {
        return None;
    }
    let listeners = [
        ("irc.server.listen", &server.listen),
        ("irc.server.tls_listen", &server.tls_listen),
        ("irc.server.websocket_listen", &server.websocket_listen),
    ];
    let is_open = |addresses: &[String]| addresses.iter().any(|address| !is_loopback(address));
    let (key, _) = listeners.into_iter().find(|(_, addresses)| is_open(addresses))?;
    Some(warning(
        "web.public_url",
        format!(
            "is not set, and {key} takes clients from other machines: media links lead them to their own machine, \
             and they hear of no address for uploads"
        ),
        "set it, such as https://wx.example.org, and let a proxy there pass everything on to web.listen",
    ))
}
