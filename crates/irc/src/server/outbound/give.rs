//! One item as the lines of one client, with the tags that it negotiated.

use super::{OWN_MARK, Redacted, Rendered};
use crate::server::caps::Caps;
use crate::server::client::Client;
use crate::server::multiline::{BATCH_TYPE, CONCAT_TAG};
use crate::server::stamp;
use crate::wire::tags::escape_into;

/// How a line is given to one client.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Giving<'a> {
    pub(in crate::server) batch: Option<&'a str>,
    pub(in crate::server) label: Option<&'a str>,
    pub(in crate::server) is_replay: bool,
}

/// Writes one item for one client.
pub(super) fn give(
    client: &mut Client,
    rendered: &Rendered,
    giving: Giving<'_>,
    nick: &str,
    buffer: &mut String,
) {
    buffer.clear();
    let caps = client.caps();
    if let Some(redacted) = rendered.redacted.filter(|_| caps.has(Caps::REDACTION)) {
        return give_redaction(client, rendered, redacted, giving, buffer);
    }
    // Outside of such a batch they would happen now. Source: IRCv3 draft/chathistory, "draft/event-playback".
    if let Some(batch) = giving.batch
        && giving.is_replay
        && !rendered.played_for(caps).is_empty()
    {
        let extra = format!("batch={batch}");
        for played in rendered.played_for(caps) {
            buffer.extend([played.line(caps, &extra).as_str(), "\r\n"]);
        }
        return client.lines(buffer);
    }
    let (prefix, target, mark) = match &rendered.own_query {
        Some(contact) if !caps.sees_own_lines() => (contact.as_str(), nick, OWN_MARK),
        _ => (rendered.prefix.as_str(), rendered.target.as_str(), ""),
    };
    let stamp = if giving.is_replay && !caps.has(Caps::SERVER_TIME) {
        stamp::short(rendered.at)
    } else {
        String::new()
    };
    if caps.takes_multiline() && !rendered.parts.is_empty() && mark.is_empty() && stamp.is_empty() {
        push_tags(buffer, caps, rendered, giving, 0);
        push_parts(buffer, rendered, prefix, target);
        return client.lines(buffer);
    }
    for (at, text) in rendered.texts.iter().enumerate() {
        push_tags(buffer, caps, rendered, giving, at);
        buffer.extend([":", prefix, " ", rendered.verb, " ", target, " :"]);
        match text.strip_prefix("\x01ACTION ") {
            Some(action) if !(stamp.is_empty() && mark.is_empty()) => {
                buffer.extend(["\x01ACTION ", &stamp, mark, action]);
            }
            _ => buffer.extend([stamp.as_str(), mark, text]),
        }
        buffer.push_str("\r\n");
    }
    client.lines(buffer);
}

/// Writes one message as a batch of lines behind its tags.
fn push_parts(buffer: &mut String, rendered: &Rendered, prefix: &str, target: &str) {
    use std::fmt::Write as _;
    let reference = format!("m{}", rendered.id);
    let _ = write!(buffer, ":{prefix} BATCH +{reference} {BATCH_TYPE} {target}\r\n");
    for part in &rendered.parts {
        let concat = if part.is_concat { format!(";{CONCAT_TAG}") } else { String::new() };
        let _ = write!(
            buffer,
            "@batch={reference}{concat} :{prefix} {} {target} :{}\r\n",
            rendered.verb, part.text
        );
    }
    let _ = write!(buffer, ":{prefix} BATCH -{reference}\r\n");
}

/// Writes the recall of a message. Source: IRCv3 draft/message-redaction.
fn give_redaction(
    client: &mut Client,
    rendered: &Rendered,
    redacted: Redacted,
    giving: Giving<'_>,
    buffer: &mut String,
) {
    use std::fmt::Write as _;
    let (by, target) = &rendered.redacted_by;
    let prefix = if by.is_empty() { &rendered.prefix } else { by };
    let pieces = if redacted.is_one && client.caps().takes_multiline() { 1 } else { redacted.pieces };
    for at in 0..pieces {
        push_tags(buffer, client.caps(), rendered, giving, at);
        let _ = write!(buffer, ":{prefix} REDACT {target} wx{}", redacted.post);
        if at > 0 {
            let _ = write!(buffer, "-{}", at + 1);
        }
        buffer.push_str("\r\n");
    }
    client.lines(buffer);
}

/// Only tags that the client negotiated. The pieces of one message have ids of their own.
fn push_tags(buffer: &mut String, caps: Caps, rendered: &Rendered, giving: Giving<'_>, at: usize) {
    use std::fmt::Write as _;
    let mut separator = '@';
    let mut next = |buffer: &mut String, key: &str| {
        buffer.push(separator);
        buffer.push_str(key);
        buffer.push('=');
        separator = ';';
    };
    if let Some(label) = giving.label.filter(|_| at == 0) {
        next(buffer, "label");
        escape_into(buffer, label);
    }
    if let Some(batch) = giving.batch.filter(|_| caps.has(Caps::BATCH)) {
        next(buffer, "batch");
        buffer.push_str(batch);
    }
    if caps.has(Caps::SERVER_TIME) {
        next(buffer, "time");
        stamp::push_server_time(buffer, rendered.at);
    }
    if caps.has(Caps::MESSAGE_TAGS) {
        next(buffer, "msgid");
        let _ = write!(buffer, "wx{}", rendered.id);
        if at > 0 {
            let _ = write!(buffer, "-{}", at + 1);
        }
    }
    if let Some(reply) = rendered.reply.filter(|_| at == 0 && caps.has(Caps::MESSAGE_TAGS)) {
        // Source: IRCv3 client-tags: the name since it is ratified, and the one that clients knew before.
        for key in ["+draft/reply", "+reply"] {
            next(buffer, key);
            let _ = write!(buffer, "wx{reply}");
        }
    }
    if let Some(account) = rendered.account.as_ref().filter(|_| caps.has(Caps::ACCOUNT_TAG)) {
        next(buffer, "account");
        escape_into(buffer, account);
    }
    if rendered.is_bot && caps.has(Caps::MESSAGE_TAGS) {
        // Source: IRCv3 bot-mode. Behind msgid, which is always there.
        buffer.push_str(";bot");
    }
    if separator == ';' {
        buffer.push(' ');
    }
}
