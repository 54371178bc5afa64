//! Something that happened, as each client is told of it.

use wxgate_contract::Timestamp;

use crate::server::caps::Caps;
use crate::server::outbound::TAG_BYTES;
use crate::server::stamp;
use crate::wire::tags::escape_into;

/// Something that happened, before it is written for a client.
#[derive(Clone, Debug)]
pub(in crate::server) struct Event {
    /// Who did it.
    pub(in crate::server) prefix: String,
    pub(in crate::server) account: Option<String>,
    pub(in crate::server) is_bot: bool,
    pub(in crate::server) at: Timestamp,
    pub(in crate::server) msgid: String,
    /// Client-only tags as they came, without a separator around them.
    pub(in crate::server) tags: String,
    /// From the command on.
    pub(in crate::server) body: String,
}

impl Event {
    /// About the bytes of its line with all tags.
    pub(super) fn bytes(&self) -> usize {
        self.prefix.len() + self.tags.len() + self.body.len() + TAG_BYTES
    }

    /// The line for a client; `extra` tags stand first.
    pub(in crate::server) fn line(&self, caps: Caps, extra: &str) -> String {
        let mut line = String::with_capacity(self.body.len() + 128);
        self.push_tags(&mut line, caps, extra);
        line.extend([":", &self.prefix, " ", &self.body]);
        line
    }

    /// Only the tags that the client negotiated, and the space behind them.
    pub(in crate::server) fn push_tags(&self, line: &mut String, caps: Caps, extra: &str) {
        let mut separator = '@';
        let mut next = |line: &mut String| {
            line.push(separator);
            separator = ';';
        };
        if !extra.is_empty() {
            next(line);
            line.push_str(extra);
        }
        if caps.has(Caps::SERVER_TIME) {
            next(line);
            line.push_str("time=");
            stamp::push_server_time(line, self.at);
        }
        if let Some(account) = self.account.as_ref().filter(|_| caps.has(Caps::ACCOUNT_TAG)) {
            next(line);
            line.push_str("account=");
            escape_into(line, account);
        }
        if caps.has(Caps::MESSAGE_TAGS) {
            if !self.msgid.is_empty() {
                next(line);
                line.extend(["msgid=", &self.msgid]);
            }
            if self.is_bot {
                // Source: IRCv3 bot-mode.
                next(line);
                line.push_str("bot");
            }
            if !self.tags.is_empty() {
                next(line);
                line.push_str(&self.tags);
            }
        }
        if separator == ';' {
            line.push(' ');
        }
    }
}
