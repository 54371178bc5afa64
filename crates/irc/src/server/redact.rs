//! Taking a message back. Source: IRCv3 draft/message-redaction; the IRC notes, section 5.

use std::time::Duration;

use wxgate_contract::{Author, Batch, Body, Fate, Post};

use super::commands::Turn;
use super::quote::post_of;
use super::session::{Pending, Session, Unstored};
use crate::wire::message::Line;

/// How long WeChat takes a message back. Source: the protocol sheet, section 6 (two minutes).
const WINDOW: Duration = Duration::from_secs(120);

impl Session {
    /// `REDACT target msgid [reason]`.
    pub(super) async fn redact(&mut self, turn: &Turn<'_>) {
        let (name, msgid) = (turn.param(0).to_owned(), turn.param(1).to_owned());
        if self.is_local(&name) {
            let reason = turn.param(2);
            let taken = self.on_floor(turn.client, |floor| floor.redact(&name, &msgid, reason));
            if let Some(Err((code, text))) = taken {
                let ids = [name.as_str(), msgid.as_str()];
                let context = if code == "INVALID_TARGET" { &ids[..1] } else { &ids[..] };
                self.redact_fails(turn, code, context, text);
            }
            return;
        }
        let chat = self.target(&name).and_then(|target| self.chat_of(target));
        let Some(chat) = chat else {
            return self.redact_fails(turn, "INVALID_TARGET", &[&name], "There is no such chat");
        };
        let item = match post_of(&msgid) {
            Some(post) => self.item(&chat, post).await,
            None => None,
        };
        let ids = [name.as_str(), msgid.as_str()];
        let Some(item) = item.filter(|item| !matches!(item.post.body, Body::Recall { .. })) else {
            return self.redact_fails(turn, "UNKNOWN_MSGID", &ids, "This message does not exist");
        };
        if item.is_recalled {
            return self.redact_fails(turn, "UNKNOWN_MSGID", &ids, "This message was taken back already");
        }
        if item.post.author != Author::Owner || item.fate != Fate::Said {
            return self.redact_fails(
                turn,
                "REDACT_FORBIDDEN",
                &ids,
                "Only your own messages can be taken back",
            );
        }
        let now = self.shared.clock.now();
        if now.since(item.post.at) > WINDOW {
            let window = WINDOW.as_secs().to_string();
            let ids = [name.as_str(), msgid.as_str(), window.as_str()];
            let text = "WeChat takes messages back for two minutes only";
            return self.redact_fails(turn, "REDACT_WINDOW_EXPIRED", &ids, text);
        }
        let Some(chat) = self.chat_ref(&chat) else { return };
        let target = item.native_id.clone().unwrap_or_else(|| item.post.remote_id.clone());
        let post = Post {
            remote_id: self.shared.next_remote_id(),
            chat,
            author: Author::Owner,
            at: now,
            body: Body::Recall { target: Some(target), notice: String::new() },
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        };
        let pending = Pending {
            client: turn.client,
            labels: turn.label.iter().cloned().collect(),
            target: name,
            excerpt: String::new(),
            redacts: Some(msgid),
        };
        let remote_id = post.remote_id.clone();
        match self.commit(Batch { posts: vec![post], ..Batch::default() }).await {
            Ok(()) => self.expect_fate(remote_id, pending),
            Err(error @ (Unstored::Not(_) | Unstored::Perhaps)) => {
                tracing::warn!(%error, "a recall asked for on IRC is not known to be stored");
                self.tell_failure(&pending, &format!("was not taken back, because {error}"));
            }
        }
    }

    fn redact_fails(&mut self, turn: &Turn<'_>, code: &str, context: &[&str], text: &str) {
        self.fails(turn.client, "REDACT", code, context, text);
    }

    /// A standard reply. Source: IRCv3 standard-replies.
    pub(super) fn fails(
        &mut self,
        id: super::registry::ClientId,
        command: &str,
        code: &str,
        context: &[&str],
        text: &str,
    ) {
        let line = Line::new().source(&self.shared.config.server_name).command("FAIL");
        let line = context.iter().fold(line.param(command).param(code), |line, word| line.param(word));
        let line = line.last(text).build();
        self.to(id, &line);
    }
}
